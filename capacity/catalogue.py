"""The catalogue of Azure's VM sizes: what each one is, where it is sold, and at which price.

Owns the reading of `capacity/data`. What the data do not say is None, unknown: neither yes nor no. A price means
that a size has been sold in a region, not that a subscription gets it there; quota and restrictions are asked live.
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Literal, cast

DATA = Path(__file__).parent / "data"
Vendor = Literal["nvidia", "amd"]
Architecture = Literal["amd64", "arm64"]

_BURSTABLE = re.compile(r"^standard_b\d", re.IGNORECASE)
_ACCELERATED = re.compile(r"^standard_n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class VmSize:
    """One VM size. None stands for unknown.

    Attributes:
        name: as Azure spells it, `Standard_NC4as_T4_v3`.
        family: the quota family as Azure spells it, stray spaces included; compare by `family_key`.
        vcpus: virtual CPUs.
        memory_mib: MiB of the size as sold; a machine shows less.
        gpus: GPUs that a pod can be given, slices of one counted as one; 0 for sizes without, FPGAs included.
        gpu_share: how much of a physical GPU each of them is, 1 or a slice of it; None: a slice of unknown size.
        gpu_vendor, gpu_model: of the GPUs, `nvidia` and `A100-80GB-PCIe`; None where there is none.
        mig_capable: whether AKS partitions the GPUs in hardware.
        architecture: `amd64` or `arm64`.
        cache_disk_gib, temp_disk_gib: GiB of the host's cache and temporary disk.
        nvme_disk_gib: GiB of one local NVMe disk.
        os_disk_room_gib: the largest ephemeral OS disk in GiB; 0: none fits.
        premium_disks, accelerated_networking, rdma, spot_capable, encryption_at_host, capacity_reservation:
            whether Azure supports it on this size.
    """

    name: str
    family: str
    vcpus: int
    memory_mib: int
    gpus: int
    gpu_share: Fraction | None
    gpu_vendor: Vendor | None
    gpu_model: str | None
    mig_capable: bool | None
    architecture: Architecture
    cache_disk_gib: int | None
    temp_disk_gib: int | None
    nvme_disk_gib: int | None
    os_disk_room_gib: int | None
    premium_disks: bool | None
    accelerated_networking: bool | None
    rdma: bool | None
    spot_capable: bool | None
    encryption_at_host: bool | None
    capacity_reservation: bool | None

    @property
    def family_key(self) -> str:
        """The family with case and spaces removed: Azure spells the same family in several ways."""
        return family_key(self.family)


class Catalogue:
    """All known sizes, regions and prices.

    Args:
        sizes: the sizes, any order.
        prices: size name to region to US dollars an hour.
    """

    def __init__(self, sizes: list[VmSize], prices: Mapping[str, Mapping[str, float]]) -> None:
        self.sizes: Mapping[str, VmSize] = {size.name: size for size in sorted(sizes, key=lambda one: one.name)}
        self.regions: tuple[str, ...] = tuple(sorted({region for row in prices.values() for region in row}))
        self._by_lower_name = {name.lower(): size for name, size in self.sizes.items()}
        self._prices = {name.lower(): dict(row) for name, row in prices.items()}

    def size(self, name: str) -> VmSize | None:
        """The size of that name, whatever its case, as Azure itself compares them; None where it is not known."""
        return self._by_lower_name.get(name.lower())

    def price(self, region: str, size: str) -> float | None:
        """US dollars an hour for Linux, pay as you go; None: unknown."""
        return self._prices.get(size.lower(), {}).get(region)

    def sold_in(self, region: str, size: str) -> bool:
        """Whether the size has a price in the region."""
        return self.price(region, size) is not None

    def regions_of(self, size: str) -> tuple[str, ...]:
        """The regions that have a price for the size, cheapest first."""
        return tuple(sorted(self._prices.get(size.lower(), {}), key=lambda one: (self.price(one, size), one)))

    def nearest_sizes(self, name: str, count: int = 3) -> list[str]:
        """Known sizes spelled most like `name`, best first."""
        close = difflib.get_close_matches(name.lower(), self._by_lower_name, n=count, cutoff=0.6)
        return [self._by_lower_name[one].name for one in close]

    def alternatives(self, size: VmSize, region: str, count: int = 3) -> list[str]:
        """Sizes sold in the region that could stand in for `size`: as many GPUs of its vendor, none of them a smaller
        part of a GPU, no less memory or vCPUs than half; the same model first, then the nearest in price, memory and
        vCPUs.
        """
        own = [price for one in self.regions_of(size.name) if (price := self.price(one, size.name)) is not None]
        reference = min(own) if own else None

        def distance(other: VmSize) -> tuple[bool, float, str]:
            price = self.price(region, other.name)
            apart = (
                abs(other.vcpus - size.vcpus) / size.vcpus + abs(other.memory_mib - size.memory_mib) / size.memory_mib
            )
            if reference and price is not None:
                apart += abs(price - reference) / reference
            return (other.gpu_model != size.gpu_model, apart, other.name)

        fitting = [
            other
            for other in self.sizes.values()
            if other.name != size.name
            and other.gpu_vendor == size.gpu_vendor
            and _has_gpus_like(other, size)
            and other.architecture == size.architecture
            and other.vcpus * 2 >= size.vcpus
            and other.memory_mib * 2 >= size.memory_mib
            and self.sold_in(region, other.name)
        ]
        return [other.name for other in sorted(fitting, key=distance)[:count]]


def is_burstable(name: str) -> bool:
    """Whether a size is of the B series, in the catalogue or not: AKS refuses those in system pools."""
    return _BURSTABLE.match(name) is not None


def is_accelerated(name: str) -> bool:
    """Whether a size is of the N series, made for a GPU or an FPGA, also one that AKS cannot use."""
    return _ACCELERATED.match(name) is not None


def _has_gpus_like(other: VmSize, size: VmSize) -> bool:
    """Whether `other` has GPUs enough for what runs on `size`; what needs none is not put beside one."""
    if not size.gpus:
        return not is_accelerated(other.name)
    return other.gpus >= size.gpus and other.gpu_share is not None and other.gpu_share >= (size.gpu_share or 1)


def family_key(family: str) -> str:
    """A quota family's name with case and spaces removed, for comparing."""
    return family.replace(" ", "").lower()


@lru_cache(maxsize=1)
def load_catalogue() -> Catalogue:
    """The catalogue that lies beside this module, read once a process."""
    return read_catalogue(DATA)


def read_catalogue(folder: Path) -> Catalogue:
    """A catalogue from `vm_sizes.csv`, `gpu_slices.csv` and `vm_prices.csv` in a folder."""
    with (folder / "gpu_slices.csv").open(newline="") as file:
        slices = {row["size"]: Fraction(row["gpu_share"]) if row["gpu_share"] else None for row in csv.DictReader(file)}
    with (folder / "vm_sizes.csv").open(newline="") as file:
        sizes = [_size(row, slices.get(row["size"], Fraction(1))) for row in csv.DictReader(file)]
    with (folder / "vm_prices.csv").open(newline="") as file:
        prices = {
            row["size"]: {region: float(price) for region, price in row.items() if region != "size" and price}
            for row in csv.DictReader(file)
        }
    return Catalogue(sizes, prices)


def _size(row: Mapping[str, str], gpu_share: Fraction | None) -> VmSize:
    return VmSize(
        name=row["size"],
        family=row["family"],
        vcpus=int(row["vcpus"]),
        memory_mib=int(row["memory_mib"]),
        gpus=int(row["gpus"]),
        gpu_share=gpu_share,
        gpu_vendor=cast("Vendor | None", row["gpu_vendor"] or None),
        gpu_model=row["gpu_model"] or None,
        mig_capable=_flag(row["mig_capable"]),
        architecture=cast("Architecture", row["architecture"]),
        cache_disk_gib=_number(row["cache_disk_gib"]),
        temp_disk_gib=_number(row["temp_disk_gib"]),
        nvme_disk_gib=_number(row["nvme_disk_gib"]),
        os_disk_room_gib=_number(row["os_disk_room_gib"]),
        premium_disks=_flag(row["premium_disks"]),
        accelerated_networking=_flag(row["accelerated_networking"]),
        rdma=_flag(row["rdma"]),
        spot_capable=_flag(row["spot_capable"]),
        encryption_at_host=_flag(row["encryption_at_host"]),
        capacity_reservation=_flag(row["capacity_reservation"]),
    )


def _number(text: str) -> int | None:
    return int(text) if text else None


def _flag(text: str) -> bool | None:
    return text == "true" if text else None
