"""From what a stack asks of its file system to the disks, daemons and machines that it takes.

Owns the arithmetic and the choice of the storage pool, and the facts of each backend that decide it. Does not judge
the settings: a stack that `capacity.checks.load` returned can be planned. Pure: no Pulumi, no I/O.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from capacity.catalogue import VmSize
from capacity.node_disks import node_disks
from capacity.pools import PoolPlan
from stacks.storage_settings import FileSystem

InCluster = Literal["rook", "gluster", "portworx"]
FailureDomain = Literal["zone", "host"]
_IN_CLUSTER: Mapping[str, InCluster] = {"rook": "rook", "gluster": "gluster", "portworx": "portworx"}

USABLE = 0.85
"""Share of its disks that a file system can promise. Ceph warns at 85 % (`mon_osd_nearfull_ratio`), stops writing at
95 %, and needs room for a lost disk's data; Kadalu keeps 10 % back and its bricks' own file system takes some; Portworx
keeps records beside the data."""

CEPH_MONITORS = 3
"""A majority must live: three outlast the loss of one, and each is on a machine of its own."""

MONITOR_DISK_GIB = 16
OSD_CPU, OSD_MEMORY_GIB = 1, 4
"""What one OSD asks for: a core, and the memory that Ceph fits its cache to (`osd_memory_target`)."""

OTHERS_CPU, OTHERS_MEMORY_GIB = 4, 12
"""Room that a storage node keeps for what is not an OSD: a monitor, a manager, a metadata server and operators, and
Kubernetes' own."""

PORTWORX_METADATA_GIB = 64
"""The disk for Portworx's own records on each storage node (its operator's default on Azure)."""

_LUSTRE_SUBNETS = ((16, 27), (40, 26), (92, 25), (196, 24), (400, 23))
"""TiB at most, and the prefix of the subnet that takes them (Azure's page "Azure Managed Lustre prerequisites")."""


@dataclass(frozen=True, slots=True)
class Toleration:
    """A toleration of exactly one taint."""

    key: str
    value: str
    effect: str

    def spec(self) -> dict[str, str]:
        """As Kubernetes spells it."""
        return {"key": self.key, "operator": "Equal", "value": self.value, "effect": self.effect}


@dataclass(frozen=True, slots=True)
class FileSystemPlan:
    """A file system inside the cluster.

    Attributes:
        backend: who runs it.
        size_gib: GiB that users can fill.
        replicas: copies of each piece of data.
        pool: key of the pool whose machines hold it.
        nodes: machines of that pool.
        zones: zones of that pool; 0 or 1: no choice of zone.
        disks: managed disks that hold data, all together; 0 with local NVMe.
        disk_gib: GiB of each.
        local_nvme: whether data is on the machines' own disks.
        monitors: Ceph's monitors, 0 with others.
        failure_domain: what two copies never share.
        tolerations: of what runs on the pool, and nowhere else.
    """

    backend: InCluster
    size_gib: int
    replicas: int
    pool: str
    nodes: int
    zones: tuple[str, ...]
    disks: int
    disk_gib: int
    local_nvme: bool
    monitors: int
    failure_domain: FailureDomain
    tolerations: tuple[Toleration, ...]

    @property
    def disks_per_node(self) -> int:
        """Managed disks on the fullest machine, monitors' and metadata disks counted."""
        own = {"rook": 1, "gluster": 0, "portworx": 1}[self.backend]
        return math.ceil(self.disks / self.nodes) + own

    @property
    def managed_gib(self) -> int:
        """GiB of all managed disks, those that hold no data counted."""
        own = {"rook": self.monitors * MONITOR_DISK_GIB, "gluster": 0, "portworx": self.nodes * PORTWORX_METADATA_GIB}
        return self.disks * self.disk_gib + own[self.backend]


@dataclass(frozen=True, slots=True)
class LustrePlan:
    """An Azure Managed Lustre.

    Attributes:
        size_tib: capacity that Azure is asked for.
        subnet_prefix: prefix length of the subnet it needs for itself.
    """

    size_tib: int
    subnet_prefix: int


def storage_pools(pools: Mapping[str, PoolPlan]) -> list[str]:
    """Keys of the pools that may hold data."""
    return [key for key, pool in pools.items() if pool.settings.is_storage]


def plan_file_system(settings: FileSystem, pools: Mapping[str, PoolPlan]) -> FileSystemPlan | None:
    """The file system inside the cluster; None for `lustre` and `none`, which have nothing there.

    Raises:
        LookupError: the stack has no storage pool, or several and names none: `capacity.checks` had not been asked.
    """
    backend = _IN_CLUSTER.get(settings.backend)
    if backend is None:
        return None
    key = settings.pool or next(iter(storage_pools(pools)), None)
    if key is None or key not in pools or settings.size_gib is None:
        raise LookupError(f"file system {backend}: pool {settings.pool!r}, size {settings.size_gib!r}")
    pool = pools[key]
    zones = tuple(pool.settings.zones)
    nvme = settings.local_nvme is not None
    return FileSystemPlan(
        backend=backend,
        size_gib=settings.size_gib,
        replicas=settings.replicas,
        pool=key,
        nodes=pool.settings.max,
        zones=zones,
        disks=0 if nvme else data_disks(settings, settings.size_gib, pool.settings.max),
        disk_gib=settings.disk_gib,
        local_nvme=nvme,
        monitors=CEPH_MONITORS if backend == "rook" else 0,
        failure_domain="zone" if len(zones) >= max(settings.replicas, 2) else "host",
        tolerations=tolerations_of([pool]),
    )


def data_disks(settings: FileSystem, size_gib: int, nodes: int) -> int:
    """Disks that hold `size_gib` with all copies and room to spare; Portworx gives every machine as many."""
    disks = settings.replicas * math.ceil(size_gib / (settings.disk_gib * USABLE))
    return nodes * math.ceil(disks / nodes) if settings.backend == "portworx" else disks


def plan_lustre(size_gib: int) -> LustrePlan:
    """The managed Lustre for a size in GiB, a whole number of TiB."""
    size_tib = size_gib // 1024
    for most, prefix in _LUSTRE_SUBNETS:
        if size_tib <= most:
            return LustrePlan(size_tib, prefix)
    most, prefix = _LUSTRE_SUBNETS[-1]
    return LustrePlan(size_tib, prefix - math.ceil(math.log2(size_tib / most)))


def most_osds(size: VmSize) -> int:
    """OSDs that a machine has processors and memory for."""
    by_cpu = (size.vcpus - OTHERS_CPU) // OSD_CPU
    by_memory = (size.memory_mib // 1024 - OTHERS_MEMORY_GIB) // OSD_MEMORY_GIB
    return max(0, min(by_cpu, by_memory))


def nvme_usable_gib(size: str, nodes: int, replicas: int) -> int | None:
    """GiB that users can fill on the machines' own disks; None where the size's disks are not known."""
    disks = node_disks(size)
    return None if disks is None else int(disks.nvme_gib * nodes * USABLE / replicas)


def tolerations_of(pools: Iterable[PoolPlan]) -> tuple[Toleration, ...]:
    """What a pod must tolerate to run on all of these pools: GPU, spot, storage and the user's own taints.

    CSI node plugins get those of every pool: a pod can mount only where the plugin runs. So a node that the autoscaler
    adds to an empty pool has the plugin by the time its pods start; and the StorageClasses ask for no topology, so that
    a pool's prediction needs none.
    """
    found: dict[Toleration, None] = {}
    for pool in pools:
        for taint in pool.taints:
            name, _, effect = taint.rpartition(":")
            key, _, value = name.partition("=")
            found[Toleration(key, value, effect)] = None
    return tuple(found)
