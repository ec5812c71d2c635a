"""What is written down of Azure's storage: limits, disks, machines, Lustre's sizes, each with its source.

Owns the reading of `capacity/data/storage_*`. None stands for unknown, which is neither nothing nor no limit.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast

import yaml

from capacity.catalogue import DATA

Pattern = Literal["sequential", "random", "small-files", "checkpoint"]
PATTERNS: tuple[Pattern, ...] = ("sequential", "random", "small-files", "checkpoint")
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Source:
    """Where a figure is written, and when it was read there."""

    what: str
    date: str


@dataclass(frozen=True, slots=True)
class Limit:
    """One figure and the key of its source."""

    value: float
    source: str


@dataclass(frozen=True, slots=True)
class Backend:
    """One way to store a dataset.

    Attributes:
        key, title: for commands and for people.
        in_cluster: whether it runs on machines of the cluster.
        loses_data: why it may lose data, empty if it does not.
        last_resort: why it comes after everything else that fits, empty if it does not.
        unfit: access pattern to why it is not for it, with the source's key.
        limits: by name, as in `storage_backends.yaml`.
    """

    key: str
    title: str
    in_cluster: bool
    loses_data: str
    last_resort: str
    unfit: Mapping[Pattern, tuple[str, str]]
    limits: Mapping[str, Limit]


@dataclass(frozen=True, slots=True)
class Disk:
    """One tier of premium SSD: GiB, IOPS of 256 KiB at most, MiB/s."""

    tier: str
    gib: int
    iops: float
    mibps: float
    source: str


@dataclass(frozen=True, slots=True)
class Machine:
    """What a VM size does with disks and network; MiB/s and IOPS, None unknown.

    Attributes:
        uncached_iops, uncached_mibps: to all its managed disks together.
        network_mibps: out of all its network interfaces together.
        nvme_read, nvme_write: (IOPS, MiB/s) of all its local NVMe disks together.
    """

    size: str
    uncached_iops: float | None
    uncached_mibps: float | None
    network_mibps: float
    nvme_read: tuple[float, float] | None
    nvme_write: tuple[float, float] | None
    source: str


@dataclass(frozen=True, slots=True)
class LustreSku:
    """One kind of Azure Managed Lustre: MiB/s a TiB, and the sizes it comes in, TiB."""

    sku: str
    mibps_per_tib: float
    min_tib: int
    max_tib: int
    step_tib: int
    source: str


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """A storage account in one region: requests a second, MiB/s in and out."""

    requests: float
    ingress_mibps: float
    egress_mibps: float
    source: str


@dataclass(frozen=True, slots=True)
class StorageData:
    """All tables."""

    backends: Mapping[str, Backend]
    disks: tuple[Disk, ...]
    machines: Mapping[str, Machine]
    lustre: tuple[LustreSku, ...]
    sources: Mapping[str, Source]
    accounts: Mapping[str, Any]

    def account(self, region: str | None) -> AccountLimits:
        """A storage account's limits in a region; without one the lower ones."""
        row = self.accounts["select" if region in self.accounts["select_regions"] else "other"]
        return AccountLimits(
            requests=row["requests"],
            ingress_mibps=_mibps_of_gbit(row["ingress_gbit"]),
            egress_mibps=_mibps_of_gbit(row["egress_gbit"]),
            source=self.accounts["source"],
        )

    def favoured_for_files(self, region: str | None) -> bool:
        """Whether standard shares have the higher limits in the region."""
        return region in [*self.accounts["select_regions"], *self.accounts["select_regions_files"]]

    def disk(self, gib: int) -> Disk:
        """The tier that a disk of so many GiB is billed and limited as: the next larger one.

        Raises:
            ValueError: there is no disk that large.
        """
        for disk in self.disks:
            if disk.gib >= gib:
                return disk
        raise ValueError(f"no premium SSD has {gib} GiB: the largest has {self.disks[-1].gib}; use more, smaller disks")

    def machine(self, size: str) -> Machine:
        """A VM size's figures.

        Raises:
            ValueError: none are known for it.
        """
        for name, machine in self.machines.items():
            if name.lower() == size.lower():
                return machine
        raise ValueError(
            f"nothing is known of the disks and network of {size}: add its line to capacity/data/storage_vms.csv, "
            f"or take one of {', '.join(self.machines)}"
        )


@lru_cache(maxsize=1)
def load_storage_data() -> StorageData:
    """The tables that lie beside this module, read once a process."""
    return read_storage_data(DATA)


def read_storage_data(folder: Path) -> StorageData:
    """The tables of a folder.

    Raises:
        ValueError: a figure names a source that is not in `storage_sources.csv`.
    """
    sources = {row["key"]: Source(row["source"], row["date"]) for row in _rows(folder / "storage_sources.csv")}
    data = StorageData(
        backends={
            key: _backend(key, value)
            for key, value in cast(
                "dict[str, dict[str, Any]]", yaml.safe_load((folder / "storage_backends.yaml").read_text())
            ).items()
        },
        disks=tuple(
            Disk(row["tier"], int(row["gib"]), float(row["iops"]), _mibps(row["mb_per_s"]), row["source"])
            for row in _rows(folder / "storage_disks.csv")
        ),
        machines={row["size"]: _machine(row) for row in _rows(folder / "storage_vms.csv")},
        lustre=tuple(_lustre(row) for row in _rows(folder / "storage_lustre.csv")),
        sources=sources,
        accounts=yaml.safe_load((folder / "storage_accounts.yaml").read_text()),
    )
    for named in _named_sources(data):
        if named not in sources:
            raise ValueError(f"{folder}: a figure names the source {named!r}, which is not in storage_sources.csv")
    return data


def _named_sources(data: StorageData) -> set[str]:
    of_backends = {
        source
        for one in data.backends.values()
        for source in (*(limit.source for limit in one.limits.values()), *(source for _, source in one.unfit.values()))
    }
    tables = (*data.disks, *data.machines.values(), *data.lustre)
    return of_backends | {one.source for one in tables} | {data.accounts["source"]}


def _backend(key: str, value: Mapping[str, Any]) -> Backend:
    return Backend(
        key=key,
        title=value["title"],
        in_cluster=value["runs"] == "cluster",
        loses_data=value.get("loses_data", ""),
        last_resort=value.get("last_resort", ""),
        unfit={pattern: (why, source) for pattern, (why, source) in value.get("unfit", {}).items()},
        limits={name: Limit(float(figure), source) for name, (figure, source) in value["limits"].items()},
    )


def _machine(row: Mapping[str, str]) -> Machine:
    def pair(kind: str) -> tuple[float, float] | None:
        iops, speed = row[f"nvme_{kind}_iops"], row[f"nvme_{kind}_mb_per_s"]
        return (float(iops), _mibps(speed)) if iops and speed else None

    return Machine(
        size=row["size"],
        uncached_iops=float(row["uncached_iops"]) if row["uncached_iops"] else None,
        uncached_mibps=_mibps(row["uncached_mb_per_s"]) if row["uncached_mb_per_s"] else None,
        network_mibps=_mibps_of_gbit(float(row["network_mbit_per_s"]) / 1000),
        nvme_read=pair("read"),
        nvme_write=pair("write"),
        source=row["source"],
    )


def _lustre(row: Mapping[str, str]) -> LustreSku:
    return LustreSku(
        sku=row["sku"],
        mibps_per_tib=_mibps(row["mb_per_s_per_tib"]),
        min_tib=int(row["min_tib"]),
        max_tib=int(row["max_tib"]),
        step_tib=int(row["step_tib"]),
        source=row["source"],
    )


def _mibps(mb_per_s: str) -> float:
    """MiB/s from the 10^6 bytes a second that Azure's pages count in."""
    return float(mb_per_s) * 1e6 / MIB


def _mibps_of_gbit(gbit: float) -> float:
    return gbit * 1e9 / 8 / MIB


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
