"""What is asked of storage, and on which machines: the dataset, how it is read, and what would serve it.

Owns the two inputs of every computation about storage, their bounds, and what one request is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from capacity.classes import CLASSES
from capacity.storage_data import PATTERNS, Pattern

KIB_OF_RANDOM_READ = 4
DISK_IO_MIB = 0.25
"""Managed disks count I/O above 256 KiB as several of 256 KiB (azure-compute-docs `disks-types.md`)."""

REQUESTS: dict[Pattern, str] = {
    "sequential": "1 MiB reads",
    "random": f"{KIB_OF_RANDOM_READ} KiB reads",
    "small-files": "files read whole",
    "checkpoint": "1 MiB writes",
}
"""Pattern to what one request is, in words."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A dataset and how it is used.

    Attributes:
        size_gib: GiB in all.
        files: how many files that is.
        nodes: machines that use it at the same time.
        pattern: `sequential` large reads, `random` small reads, many `small-files` read whole, `checkpoint` writes.

    Raises:
        ValueError: a figure is out of bounds.
    """

    size_gib: float
    files: int
    nodes: int
    pattern: Pattern

    def __post_init__(self) -> None:
        if not 0 < self.size_gib < math.inf:
            raise ValueError(f"a dataset of {self.size_gib} GiB: give a size above 0")
        if self.files < 1 or self.nodes < 1:
            raise ValueError(f"{self.files} files on {self.nodes} nodes: there is at least 1 of each")
        if self.pattern not in PATTERNS:
            raise ValueError(f"pattern {self.pattern!r}: one of {', '.join(PATTERNS)}")

    @property
    def file_mib(self) -> float:
        """MiB of the average file."""
        return self.size_gib * 1024 / self.files

    @property
    def request_mib(self) -> float:
        """MiB that one request moves."""
        sizes: dict[Pattern, float] = {"random": KIB_OF_RANDOM_READ / 1024, "small-files": self.file_mib}
        return sizes.get(self.pattern, 1.0)

    @property
    def requests(self) -> float:
        """Requests of one pass over the dataset."""
        return self.size_gib * 1024 / self.request_mib

    @property
    def writes(self) -> bool:
        """Whether it writes; else it only reads."""
        return self.pattern == "checkpoint"

    def ios(self, largest_mib: float) -> float:
        """I/O operations of one request where one of them moves `largest_mib` at most."""
        return float(max(1, math.ceil(self.request_mib / largest_mib)))


@dataclass(frozen=True, slots=True)
class Setup:
    """Machines and settings that the figures are for; the defaults are the platform's own.

    Attributes:
        region: for prices and for accounts' limits; None: no prices, the lower limits.
        node_size: the VM size that reads and writes.
        storage_size, nvme_size: the VM sizes of a storage pool with managed disks and with local NVMe disks.
        storage_nodes: machines of the storage pool, at least.
        replicas: copies of each piece of data in a file system of the cluster.
        disk_gib: GiB of each managed disk.
        streams: files that one node reads or writes at the same time: a data loader's workers. An assumption.
        goal_minutes: how long one pass over the dataset may take.

    Raises:
        ValueError: a figure is out of bounds.
    """

    region: str | None = None
    node_size: str = CLASSES["heavy-gpu"].vm_size
    storage_size: str = CLASSES["storage"].vm_size
    nvme_size: str = "Standard_L16s_v4"
    storage_nodes: int = 3
    replicas: int = 3
    disk_gib: int = 1024
    streams: int = 8
    goal_minutes: float = 30

    def __post_init__(self) -> None:
        if not 1 <= self.replicas <= self.storage_nodes:
            raise ValueError(
                f"{self.replicas} replicas on {self.storage_nodes} storage nodes: each copy needs a node of its own; "
                "use more storage nodes or fewer replicas, 1 at least"
            )
        if self.streams < 1 or self.disk_gib < 1 or not 0 < self.goal_minutes < math.inf:
            raise ValueError(
                f"streams {self.streams}, disk {self.disk_gib} GiB, goal {self.goal_minutes} minutes: all above 0"
            )
