"""What is billed: machines, disks, shares and the fixed parts of a platform, as plain quantities.

Owns the rules by which Azure turns things into billed pieces: which managed disk holds so many GiB, which machines have
a disk that costs. Knows no price. The same items are made from a stack's settings (`settings.py`) and from the
resources that a program registers (`resources.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from capacity.cost.prices import HOURS_A_MONTH, MACHINE, SPOT_MACHINE

Group = Literal["machines", "disks", "storage", "cluster", "network", "registry", "other"]

DISK_SIZES: Mapping[str, int] = {
    "4": 32,
    "6": 64,
    "10": 128,
    "15": 256,
    "20": 512,
    "30": 1024,
    "40": 2048,
    "50": 4096,
    "60": 8192,
    "70": 16384,
    "80": 32767,
}
"""Number of a managed disk's size to its GiB; Azure bills the next larger one (azure-docs, disks-types)."""

_INCLUDED_IOPS, _INCLUDED_MIBPS = 3000, 100
"""What a share with IOPS of its own has without extra charge (azure-docs, files/understanding-billing)."""

DISK_LETTERS: Mapping[str, str] = {"Premium_LRS": "P", "StandardSSD_LRS": "E", "Standard_LRS": "S"}


@dataclass(frozen=True, slots=True)
class Machines:
    """How many machines of a pool run: the bounds that its autoscaler keeps.

    Attributes:
        pool: the pool's key, where it has one, else its name.
        minimum, maximum: machines; equal where nothing scales.
        spot: whether Azure may take them back.
        max_hourly_usd: what a spot machine may cost an hour at most; None: up to the on-demand price.
    """

    pool: str
    minimum: int
    maximum: int
    spot: bool = False
    max_hourly_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """How busy the pools are.

    Attributes:
        share: of the machines between minimum and maximum, 0 to 1.
        machine_hours: pool to hours a month; such pools ignore `share`.
    """

    share: float = 0
    machine_hours: Mapping[str, float] | None = None

    def of(self, machines: Machines) -> float:
        """Machines that run on average, within the pool's bounds."""
        hours = (self.machine_hours or {}).get(machines.pool)
        if hours is None:
            return machines.minimum + self.share * (machines.maximum - machines.minimum)
        return min(max(hours / HOURS_A_MONTH, machines.minimum), machines.maximum)


MINIMUM, MAXIMUM = Load(0), Load(1)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that is billed.

    Attributes:
        what: in words, with the name of the pool, share or resource.
        group: for summing up.
        meter: what Azure bills, a key of `retail_meters.csv` or a machine's; None where no meter is known.
        pieces: machines, disks, GiB, gateways. Of a pool's items: for each machine.
        empty: pieces at the minimum where that differs, as a share that is billed by what it holds.
        machines: the pool that it comes and goes with.
        by_use: billed by what is moved or stored, which nobody knows beforehand: named, never summed.
        why: where no meter is known, why.
    """

    what: str
    group: Group
    meter: str | None
    pieces: float = 1
    empty: float | None = None
    machines: Machines | None = None
    by_use: bool = False
    why: str = ""

    def quantity(self, load: Load) -> float:
        """Pieces under a load."""
        if self.machines is not None:
            return self.pieces * load.of(self.machines)
        if self.empty is not None:
            return self.empty + load.share * (self.pieces - self.empty)
        return self.pieces


def disk_meter(gib: int, sku: str = "Premium_LRS") -> str | None:
    """The meter of a managed disk of so many GiB; None: no such disk is sold, or its kind is not known here."""
    letter = DISK_LETTERS.get(sku)
    number = next((number for number, room in DISK_SIZES.items() if gib <= room), None)
    return f"disk-{letter}{number}" if letter and number else None


def disk(what: str, gib: int, count: float = 1, sku: str = "Premium_LRS", machines: Machines | None = None) -> Item:
    """Managed disks of one size, or what stands in for them where the size is not sold."""
    meter = disk_meter(gib, sku)
    why = "" if meter else f"no price is known for {sku} disks of {gib} GiB"
    return Item(what, "disks", meter, pieces=count, machines=machines, why=why)


def pool_items(machines: Machines, size: str, os_disk_type: str, os_disk_gib: int, *, premium: bool) -> Iterator[Item]:
    """A pool's machines, and their OS disks unless those lie on the machines themselves.

    Args:
        premium: whether the size takes premium disks: AKS then uses them.
    """
    kind = f"{size}, spot" if machines.spot else size
    start = SPOT_MACHINE if machines.spot else MACHINE
    yield Item(f"pool {machines.pool}: {kind}", "machines", start + size, machines=machines)
    if os_disk_type != "Ephemeral":
        sku = "Premium_LRS" if premium else "StandardSSD_LRS"
        yield disk(f"pool {machines.pool}: OS disks of {os_disk_gib} GiB", os_disk_gib, 1, sku, machines)


def cluster_items(name: str, tier: str) -> Iterator[Item]:
    """The control plane. Its Free tier costs nothing, which is Azure's own word."""
    if tier != "Free":
        yield Item(f"{name}, tier {tier}", "cluster", f"cluster-{tier.lower()}")


def share_items(
    name: str, gib: int, *, sku: str, iops: float | None = None, mibps: float | None = None
) -> Iterator[Item]:
    """One file share: premium ones are billed by what they provision, standard ones by what they hold and do.

    Args:
        sku: of the account: `Premium_LRS`, `PremiumV2_LRS` or `Standard_LRS`; others have no known price.
        iops, mibps: of a share in a `PremiumV2_LRS` account; the first 3000 and 100 come with it.
    """
    match sku:
        case "Premium_LRS":
            yield Item(f"share {name}: {gib} GiB, premium", "storage", "files-premium", pieces=gib)
        case "PremiumV2_LRS":
            yield Item(f"share {name}: {gib} GiB, premium v2", "storage", "files-premium-v2", pieces=gib)
            more = (("iops", "IOPS", iops, _INCLUDED_IOPS), ("mibps", "MiB/s", mibps, _INCLUDED_MIBPS))
            for key, unit, wanted, included in more:
                if wanted is not None and wanted > included:
                    extra = wanted - included
                    yield Item(
                        f"share {name}: {extra:g} more {unit}", "storage", f"files-premium-v2-{key}", pieces=extra
                    )
        case "Standard_LRS":
            yield Item(f"share {name}: up to {gib} GiB, standard", "storage", "files-standard", pieces=gib, empty=0)
            yield Item(f"share {name}: requests", "storage", None, by_use=True, why="no price is known")
        case _:
            yield Item(f"share {name}", "storage", None, pieces=gib, why=f"no price is known for {sku} accounts")


def egress_items(gateway: str, addresses: int) -> Iterator[Item]:
    """A NAT gateway and its addresses."""
    yield Item(gateway, "network", "nat-gateway")
    yield Item(f"{gateway}: data", "network", "nat-gateway-data", by_use=True)
    if addresses:
        yield Item(f"{addresses} public address{'es' if addresses > 1 else ''}", "network", "public-ip", addresses)
