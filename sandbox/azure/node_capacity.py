"""What a machine of a size shows to Kubernetes, and what AKS leaves of it to pods.

Computed from AKS's documents and from what real nodes showed, apart from the platform's own prediction, so
that a test can judge the one by the other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from capacity.catalogue import VmSize

_DATA = Path(__file__).parent / "data" / "node_capacity.json"
_EVICTION_KIB = 100 * 1024
"""`memory.available<100Mi` (azure-aks-docs node-resource-reservations.md, AKS 1.29 and later)."""
_DISK_EVICTION = 0.1
"""`nodefs.available<10%`: allocatable is nine tenths (Azure/AKS#3525: 259966896 Ki, of them 239585490957 bytes)."""


@dataclass(frozen=True)
class Resources:
    """An amount of each resource, as in a Node's status: thousandths of a CPU, and KiB."""

    cpu_milli: int
    memory_kib: int
    ephemeral_kib: int

    def document(self) -> dict[str, int]:
        """As `/sandbox/machines` shows it."""
        return {"cpuMilli": self.cpu_milli, "memoryKib": self.memory_kib, "ephemeralKib": self.ephemeral_kib}


@lru_cache(maxsize=1)
def _shown() -> dict[str, float]:
    document = json.loads(_DATA.read_text())
    return {key: value for key, value in document.items() if key != "source"}


def capacity(size: VmSize, os_disk_gib: int) -> Resources:
    """What the machine has: less memory than its size says, less disk than the OS disk."""
    shown = _shown()
    memory = size.memory_mib * 1024
    hidden = memory * shown["memory_hidden_fraction"] + shown["memory_hidden_mib"] * 1024
    disk = os_disk_gib * 1024 * 1024
    return Resources(size.vcpus * 1000, int(memory - hidden), int(disk * shown["disk_shown_fraction"]))


def reserved_cpu_milli(vcpus: int) -> int:
    """AKS's CPU reservation: 60 for one core, 40 for the second, 20 each for two more, 10 for every other.

    The steps between the documented points (60, 100, 140, 180, 260, 420, 740 for 1 to 64 cores) are even.
    """
    return sum(60 if core == 0 else 40 if core == 1 else 20 if core < 4 else 10 for core in range(vcpus))


def reserved_memory_kib(memory_kib: int, max_pods: int) -> int:
    """20 MB a pod and 50 MB, at most a quarter of the machine's memory."""
    return min((20 * max_pods + 50) * 1024, memory_kib // 4)


def allocatable(size: VmSize, os_disk_gib: int, max_pods: int) -> Resources:
    """What AKS leaves to pods, of the capacity."""
    has = capacity(size, os_disk_gib)
    return Resources(
        has.cpu_milli - reserved_cpu_milli(size.vcpus),
        has.memory_kib - reserved_memory_kib(size.memory_mib * 1024, max_pods) - _EVICTION_KIB,
        int(has.ephemeral_kib * (1 - _DISK_EVICTION)),
    )
