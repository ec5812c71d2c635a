"""From a stack's settings to what is billed, without a program or an engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from capacity.catalogue import Catalogue, load_catalogue
from capacity.cost.items import Item, Machines, cluster_items, disk, egress_items, pool_items, share_items
from capacity.file_system_plan import MONITOR_DISK_GIB, PORTWORX_METADATA_GIB, plan_file_system
from capacity.pools import PoolPlan, os_disk_type, plan_pools
from stacks.settings import Stack, SystemPool
from stacks.storage_settings import Files, Share

DYNAMIC_ACCOUNTS = {("Standard_LRS", "smb"), ("Premium_LRS", "nfs")}
"""The accounts that StorageClasses for claims of jobs need (components/azure_files.py)."""

DYNAMIC_BLOB_ACCOUNTS = {("fuse2", False), ("nfs", True)}
"""The same for containers (components/blob_storage.py)."""

STORAGE_ZONES = 3
"""Private DNS zones of the network: blob, dfs, file."""


def from_settings(stack: Stack, catalogue: Catalogue | None = None) -> list[Item]:
    """Everything that a stack file makes Azure bill.

    Raises:
        LookupError: a pool's size is not in the catalogue.
    """
    sizes = catalogue or load_catalogue()
    plans = plan_pools(stack, sizes)
    return [
        *cluster_items("cluster", stack.cluster.tier),
        *_system_pool(stack.cluster.system_pool, sizes),
        *(item for plan in plans.values() for item in _pool(plan)),
        *_files(stack.storage.files),
        *_blob(stack),
        *_file_system(stack, plans),
        *_pachyderm(stack),
        *egress_items("NAT gateway", stack.network.outbound_ips),
        Item("private DNS zones", "network", "private-dns-zone", STORAGE_ZONES),
        Item(f"registry, {stack.registry.sku}", "registry", f"registry-{stack.registry.sku.lower()}"),
        Item("registry: images", "registry", "registry-data", by_use=True),
    ]


def _system_pool(pool: SystemPool, sizes: Catalogue) -> Iterator[Item]:
    size = sizes.size(pool.vm_size)
    name = size.name if size else pool.vm_size
    kind = os_disk_type(pool.os_disk, size, None) if size else "Managed"
    machines = Machines("system", pool.count, pool.count)
    yield from pool_items(
        machines, name, kind, pool.os_disk.size_gib, premium=size is None or size.premium_disks is not False
    )


def _pool(plan: PoolPlan) -> Iterator[Item]:
    spot = plan.spot
    pool = plan.settings
    machines = Machines(
        plan.key,
        pool.min,
        pool.min if pool.is_storage else pool.max,
        spot=spot is not None,
        max_hourly_usd=spot.max_price if spot else None,
    )
    premium = plan.size.premium_disks is not False
    yield from pool_items(machines, plan.size.name, plan.os_disk_type, plan.os_disk_gib, premium=premium)


def _files(files: Files) -> Iterator[Item]:
    skus = {name: _sku(share) for name, share in files.shares.items()}
    for name, share in files.shares.items():
        yield from share_items(
            name, share.size_gib, sku=skus[name], iops=share.provisioned_iops, mibps=share.provisioned_mibps
        )
    accounts = {(skus[name], share.protocol) for name, share in files.shares.items()}
    if files.dynamic:
        accounts |= DYNAMIC_ACCOUNTS
    if accounts:
        yield Item("private endpoints of file shares", "network", "private-endpoint", len(accounts))
        yield Item("private endpoints: data", "network", "private-endpoint-data", by_use=True)
    for sku, protocol in sorted(accounts):
        if sku == "Standard_LRS":
            yield Item(f"account for {protocol}: blobs and requests", "storage", "blob-hot", by_use=True)


def _sku(share: Share) -> str:
    """The account's SKU (components/azure_files.py)."""
    if share.tier == "standard":
        return "Standard_LRS"
    return "PremiumV2_LRS" if share.has_performance else "Premium_LRS"


def _blob(stack: Stack) -> Iterator[Item]:
    """One account a kind: flat, hierarchical, and NFS, each with its endpoints (components/blob_storage.py)."""
    blob = stack.storage.blob
    kinds = {(one.protocol, one.hierarchical or one.protocol == "nfs") for one in blob.containers.values()}
    if blob.dynamic:
        kinds |= DYNAMIC_BLOB_ACCOUNTS
    endpoints = sum(2 if hierarchical else 1 for _, hierarchical in kinds)
    if endpoints:
        yield Item("private endpoints of containers", "network", "private-endpoint", endpoints)
        yield Item("private endpoints: data", "network", "private-endpoint-data", by_use=True)
        yield Item("blob containers: what they hold, and requests", "storage", "blob-hot", by_use=True)


def _file_system(stack: Stack, pools: Mapping[str, PoolPlan]) -> Iterator[Item]:
    wanted = stack.storage.file_system
    plan = plan_file_system(wanted, pools)
    if wanted.backend == "lustre":
        why = "no price is known for Managed Lustre"
        yield Item(f"Managed Lustre: {wanted.size_gib} GiB", "storage", None, why=why)
    if plan is not None:
        if plan.disks:
            yield disk(f"{plan.backend}: {plan.disks} disks of {plan.disk_gib} GiB", plan.disk_gib, plan.disks)
        if plan.monitors:
            yield disk(f"{plan.backend}: {plan.monitors} monitors' disks", MONITOR_DISK_GIB, plan.monitors)
        if plan.backend == "portworx":
            yield disk(f"portworx: {plan.nodes} metadata disks", PORTWORX_METADATA_GIB, plan.nodes)
            yield Item("portworx: licence", "storage", None, why="sold by Portworx, not by Azure")


def _pachyderm(stack: Stack) -> Iterator[Item]:
    if stack.storage.pachyderm is not None:
        gib = stack.storage.pachyderm.database_gib
        yield disk(f"pachyderm: database disk of {gib} GiB", gib)
