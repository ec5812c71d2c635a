"""How many disks a machine can have: managed ones attached to it, and NVMe disks of its own.

Owns the reading of `capacity/data/node_disks.csv`, which knows the sizes that storage pools use. A size that is not in
it is unknown: neither yes nor no.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache

from capacity.catalogue import DATA


@dataclass(frozen=True, slots=True)
class NodeDisks:
    """The disks of one VM size.

    Attributes:
        data_disks: managed disks at most, the OS disk not counted.
        nvme_disks: NVMe disks of the machine's own; 0: it has none.
        nvme_disk_gib: GiB of each of them.
    """

    data_disks: int
    nvme_disks: int
    nvme_disk_gib: int

    @property
    def nvme_gib(self) -> int:
        """GiB of all NVMe disks of a machine."""
        return self.nvme_disks * self.nvme_disk_gib


def node_disks(size: str) -> NodeDisks | None:
    """The disks of a size, whatever its name's case; None where they are not known."""
    return _read().get(size.lower())


def sizes_with_nvme() -> list[str]:
    """Sizes known to have NVMe disks of their own, the smallest first."""
    names = {name: disks for name, disks in _spelled().items() if disks.nvme_disks}
    return sorted(names, key=lambda name: (names[name].nvme_gib, name))


@lru_cache(maxsize=1)
def _spelled() -> dict[str, NodeDisks]:
    with (DATA / "node_disks.csv").open(newline="") as file:
        return {
            row["size"]: NodeDisks(int(row["data_disks"]), int(row["nvme_disks"]), int(row["nvme_disk_gib"]))
            for row in csv.DictReader(file)
        }


@lru_cache(maxsize=1)
def _read() -> dict[str, NodeDisks]:
    return {name.lower(): disks for name, disks in _spelled().items()}
