"""Rules for the file system that need to know Azure's sizes: what a storage pool's machines can carry.

Owns the judging of disks, processors and memory. What is not known of a size is no reason to refuse it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from capacity.catalogue import Catalogue, VmSize
from capacity.file_system_plan import (
    USABLE,
    FileSystemPlan,
    most_osds,
    nvme_usable_gib,
    plan_file_system,
)
from capacity.node_disks import node_disks, sizes_with_nvme
from capacity.pools import os_disk_type, plan_pool, size_name
from stacks.draft import Draft
from stacks.file_system_rules import PATH, storage_pool
from stacks.problems import PathParts, Problem
from stacks.settings import Pool
from stacks.storage_settings import FileSystem


def file_system_catalogue_rules(draft: Draft, catalogue: Catalogue) -> Iterator[Problem]:
    """Whether the storage pool's machines can carry the file system."""
    wanted = draft.stack.storage.file_system
    if wanted.backend in ("none", "lustre") or wanted.size_gib is None:
        return
    key = storage_pool(draft, wanted)
    size = catalogue.size(size_name(draft.stack.pools[key])) if key else None
    if key is None or size is None:
        return
    pool = draft.stack.pools[key]
    if wanted.local_nvme is not None and wanted.backend != "rook":
        return
    needs: tuple[PathParts, ...] = (PATH, ("pools", key))
    plan = plan_file_system(wanted, {key: plan_pool(key, pool, catalogue)})
    problems = _premium(key, size)
    if plan is not None:
        found = _nvme(key, pool, size, plan) if plan.local_nvme else _managed(key, size, plan, wanted)
        problems = [*problems, *found]
    for problem in problems:
        yield Problem(problem.path, problem.message, needs)


def _premium(key: str, size: VmSize) -> list[Problem]:
    if size.premium_disks is not False:
        return []
    return [
        Problem(
            ("pools", key, "vmSize"),
            f"{size.name} takes no premium disks, which the file system lies on; allowed: sizes that do (an s in the "
            f"name). Use Standard_D16ds_v5.",
        )
    ]


def _managed(key: str, size: VmSize, plan: FileSystemPlan, wanted: FileSystem) -> Iterator[Problem]:
    """Disks that the fullest machine must take, and the OSDs that serve them."""
    known = node_disks(size.name)
    if known is not None and plan.disks_per_node > known.data_disks:
        yield Problem(
            (*PATH, "diskGib"),
            f"{plan.disk_gib} makes {plan.disks_per_node} disks on a machine of pool {key}; allowed: "
            f"{known.data_disks}, what {size.name} can attach. Use larger disks, more machines in the "
            f"pool, or a larger size.",
        )
        return
    osds, most = math.ceil(plan.disks / plan.nodes), most_osds(size)
    if plan.backend == "rook" and osds > most:
        yield Problem(
            (*PATH, "diskGib"),
            f"{plan.disk_gib} makes {osds} OSDs on a machine of pool {key}; allowed: {most}, what {size.name} has "
            f"processors and memory for ({wanted.replicas} copies, {USABLE:.0%} of each disk used). Use larger disks, "
            f"more machines in the pool, or a larger size.",
        )


def _nvme(key: str, pool: Pool, size: VmSize, plan: FileSystemPlan) -> Iterator[Problem]:
    """Whether the machines have NVMe disks of their own, free ones, and enough of them."""
    path: PathParts = (*PATH, "localNvme")
    known = node_disks(size.name)
    if (known is not None and not known.nvme_disks) or (known is None and size.nvme_disk_gib == 0):
        yield Problem(
            path,
            f"a mapping, and pool {key} is of {size.name}, which has no NVMe disk of its own; allowed: sizes that do. "
            f"Set pools.{key}.vmSize to one, as {', '.join(_nearest_with_nvme(size))}, or remove localNvme.",
        )
        return
    on_nvme = not size.temp_disk_gib and not size.cache_disk_gib and bool(size.nvme_disk_gib)
    if on_nvme and os_disk_type(pool.os_disk, size, pool.spot) == "Ephemeral":
        yield Problem(
            ("pools", key, "osDisk", "type"),
            f"{pool.os_disk.type} puts the OS disk of {size.name} on an NVMe disk that localNvme is to use; allowed: "
            f"Managed. Set it.",
        )
    usable = nvme_usable_gib(size.name, plan.nodes, plan.replicas)
    if usable is not None and plan.size_gib > usable:
        yield Problem(
            (*PATH, "sizeGib"),
            f"{plan.size_gib} on the NVMe disks of {plan.nodes} machines of {size.name}; allowed: {usable} or less "
            f"({plan.replicas} copies, {USABLE:.0%} of each disk used). Lower it, or use more or larger machines.",
        )


def _nearest_with_nvme(size: VmSize) -> list[str]:
    """Two sizes with NVMe disks and as many processors."""
    alike = [one for one in sizes_with_nvme() if one.split("_")[1].strip("LDasd") == str(size.vcpus)]
    return (alike or sizes_with_nvme())[:2]
