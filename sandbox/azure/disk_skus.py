"""What each kind of managed disk offers: sizes, zones, IOPS and throughput. The figures are `data/disk_skus.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

_FILE = Path(__file__).parent / "data" / "disk_skus.json"


@dataclass(frozen=True)
class Tier:
    """A size that disks are sold in: those up to `gib` have its IOPS and MB/s."""

    name: str
    gib: int
    iops: int
    mbps: int


@dataclass(frozen=True)
class DiskSku:
    """One kind of disk.

    Attributes:
        name: `Premium_LRS`.
        smallest, largest: GiB.
        zones: whether a disk may, must or must not lie in one zone of a region that has zones.
        tiers: smallest first; empty where IOPS and MB/s are chosen apart from the size.
        iops, mbps: the smallest and largest that may be chosen; the smallest is the default.
        iops_per_gib, mbps_per_iops: what bounds them further.
    """

    name: str
    smallest: int
    largest: int
    zones: Literal["optional", "required", "never"]
    tiers: tuple[Tier, ...] = ()
    iops: tuple[int, int] = (0, 0)
    iops_per_gib: int = 0
    mbps: tuple[int, int] = (0, 0)
    mbps_per_iops: float = 0

    @property
    def is_adjustable(self) -> bool:
        """Whether IOPS and MB/s are chosen apart from the size."""
        return not self.tiers

    def tier(self, gib: int) -> Tier:
        """The tier of a size."""
        return next(one for one in self.tiers if gib <= one.gib)

    def most_iops(self, gib: int) -> int:
        """The most that a disk of this size may be given."""
        return max(self.iops[0], min(self.iops[1], gib * self.iops_per_gib))

    def most_mbps(self, iops: int) -> int:
        """The most MB/s beside these IOPS."""
        return max(self.mbps[0], min(self.mbps[1], int(iops * self.mbps_per_iops)))


@cache
def disk_skus() -> Mapping[str, DiskSku]:
    """Every kind, by its name."""
    entries: dict[str, dict[str, Any]] = json.loads(_FILE.read_text())["skus"]
    return {name: _sku(name, entry, entries) for name, entry in entries.items()}


def _sku(name: str, entry: dict[str, Any], entries: Mapping[str, dict[str, Any]]) -> DiskSku:
    rows = entries[entry["tiersOf"]]["tiers"] if "tiersOf" in entry else entry.get("tiers", [])
    smallest, largest = entry["sizes"]
    return DiskSku(
        name,
        smallest,
        largest,
        entry["zones"],
        tuple(Tier(*row) for row in rows),
        iops=tuple(entry.get("iops", (0, 0))),
        iops_per_gib=entry.get("iopsPerGib", 0),
        mbps=tuple(entry.get("mbps", (0, 0))),
        mbps_per_iops=entry.get("mbpsPerIops", 0),
    )
