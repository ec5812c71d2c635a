"""Writes `vm_sizes.csv` and `vm_prices.csv` from the source files: `python -m capacity.build_data FOLDER`.

Owns the joining of the sources that `capacity/data/README.md` names. Never guesses: a field that no source gives
for a size stays empty, which the catalogue reads as unknown.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from capacity.catalogue import DATA, family_key

SIZE_COLUMNS = [
    "size",
    "family",
    "vcpus",
    "memory_mib",
    "gpus",
    "gpu_vendor",
    "gpu_model",
    "mig_capable",
    "architecture",
    "cache_disk_gib",
    "temp_disk_gib",
    "nvme_disk_gib",
    "os_disk_room_gib",
    "premium_disks",
    "accelerated_networking",
    "rdma",
    "spot_capable",
    "encryption_at_host",
    "capacity_reservation",
    "source",
]
AUTOSCALER = "cluster-autoscaler 1.36.1"
RECORDED = "Compute SKU API as recorded by karpenter-provider-azure 2025-06-03"
AKS_AMD_SIZE = "Standard_ND96isr_MI300X_v5"
"""The only AMD size whose GPUs AKS supports (azure-aks-docs `use-amd-gpus.md`)."""


def build(source: Path, target: Path) -> None:
    """Write both files into `target` from `azure_vm_sizes.csv`, `azure_vm_prices.csv`, `azure_sku_capabilities.json`.

    Args:
        source: the folder with the three source files.
        target: the catalogue's folder, with `size_pages.csv` and `gpu_families.csv` in it.

    Raises:
        FileNotFoundError: a source file is missing.
        ValueError: a GPU family has no line in `gpu_families.csv`.
    """
    recorded: dict[str, dict[str, Any]] = json.loads((source / "azure_sku_capabilities.json").read_text())
    pages = {row["size"]: row for row in _rows(target / "size_pages.csv")}
    families = {family_key(row["family"]): row for row in _rows(target / "gpu_families.csv")}
    sizes = [
        _joined(row, recorded.get(row["size"]), pages.get(row["size"]), families.get(family_key(row["family"])))
        for row in _rows(source / "azure_vm_sizes.csv")
    ]
    _write(target / "vm_sizes.csv", SIZE_COLUMNS, sorted(sizes, key=lambda row: row["size"]))

    prices: dict[str, dict[str, str]] = {}
    for row in _rows(source / "azure_vm_prices.csv"):
        prices.setdefault(row["size"], {"size": row["size"]})[row["region"]] = row["usd_per_hour"]
    regions = sorted({region for row in prices.values() for region in row if region != "size"})
    _write(target / "vm_prices.csv", ["size", *regions], [prices[size] for size in sorted(prices)])


def _joined(
    base: Mapping[str, str],
    recorded: Mapping[str, Any] | None,
    page: Mapping[str, str] | None,
    gpu: Mapping[str, str] | None,
) -> dict[str, str]:
    """One line of `vm_sizes.csv`: Azure's own answer where there is one, else its size page, else nothing."""
    if int(base["gpus"]) and gpu is None:
        raise ValueError(
            f"{base['size']}: family {base['family']!r} has no line in gpu_families.csv: add vendor and model"
        )
    row = {column: base.get(column, "") for column in SIZE_COLUMNS}
    sources = [AUTOSCALER]
    if page is not None:
        sources.append(page["source"])
        for column in ("temp_disk_gib", "nvme_disk_gib", "premium_disks", "accelerated_networking", "rdma"):
            row[column] = page[column]
        row["os_disk_room_gib"] = _room_by_page(page)
    if recorded is not None:
        sources.append(RECORDED)
        row.update(_recorded_columns(recorded["capabilities"]))
    vendor = gpu["vendor"] if gpu else ""
    usable = vendor == "nvidia" or base["size"] == AKS_AMD_SIZE
    if gpu is not None and usable:
        row.update(gpu_vendor=vendor, gpu_model=gpu["model"], mig_capable=gpu["mig"])
        sources.append(gpu["source"])
    else:
        row.update(gpus="0", mig_capable="false")
    row["source"] = "; ".join(sources)
    return row


def _room_by_page(page: Mapping[str, str]) -> str:
    """The largest ephemeral OS disk a size page promises: on the temporary disk, else on one NVMe disk."""
    if page["ephemeral_os_disk"] == "false":
        return "0"
    return page["temp_disk_gib"] or page["nvme_disk_gib"]


def _recorded_columns(capabilities: Mapping[str, str]) -> dict[str, str]:
    """The columns that Azure's SKU API answers for, those it is silent about left out."""
    disks = {
        "CacheDisk": ("cache_disk_gib", int(capabilities.get("CachedDiskBytes", "0")) >> 30),
        "ResourceDisk": ("temp_disk_gib", int(capabilities.get("MaxResourceVolumeMB", "0")) >> 10),
        "NvmeDisk": ("nvme_disk_gib", int(capabilities.get("NvmeSizePerDiskInMiB", "0")) >> 10),
    }
    columns = {column: str(gib) for column, gib in disks.values()}
    placements = capabilities.get("SupportedEphemeralOSDiskPlacements", "").split(",")
    columns["os_disk_room_gib"] = str(max((disks[one][1] for one in placements if one in disks), default=0))
    for column, capability in (
        ("premium_disks", "PremiumIO"),
        ("accelerated_networking", "AcceleratedNetworkingEnabled"),
        ("rdma", "RdmaEnabled"),
        ("spot_capable", "LowPriorityCapable"),
        ("encryption_at_host", "EncryptionAtHostSupported"),
        ("capacity_reservation", "CapacityReservationSupported"),
    ):
        if capability in capabilities:
            columns[column] = capabilities[capability].lower()
    return columns


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _write(path: Path, columns: Iterable[str], rows: Iterable[Mapping[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(columns), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("usage: python -m capacity.build_data FOLDER   (the folder with the three azure_* source files)")
    build(Path(sys.argv[1]), DATA)
