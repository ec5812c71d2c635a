"""The catalogue: what the sources say, nothing guessed."""

from __future__ import annotations

import csv
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from capacity import build_data
from capacity.catalogue import DATA, family_key, is_burstable, load_catalogue, read_catalogue
from capacity.classes import CLASSES

CATALOGUE = load_catalogue()


def test_sizes_and_prices_are_those_of_the_sources():
    size = CATALOGUE.size("Standard_NC24ads_A100_v4")
    assert size is not None
    assert (size.vcpus, size.memory_mib, size.gpus, size.gpu_model) == (24, 225280, 1, "A100-80GB-PCIe")
    assert (size.cache_disk_gib, size.temp_disk_gib, size.nvme_disk_gib, size.os_disk_room_gib) == (256, 64, 894, 256)
    assert CATALOGUE.price("westeurope", size.name) == 4.775
    assert len(CATALOGUE.sizes) == 351
    assert len(CATALOGUE.regions) == 57


def test_a_size_is_found_whatever_its_case():
    size = CATALOGUE.size("standard_nc4as_t4_V3")
    assert size is not None
    assert size.name == "Standard_NC4as_T4_v3"
    assert CATALOGUE.sold_in("westeurope", "STANDARD_NC4AS_T4_V3")


def test_an_unknown_size_and_an_unknown_price_are_none():
    assert CATALOGUE.size("Standard_Nonsense") is None
    assert CATALOGUE.price("westeurope", "Standard_Nonsense") is None
    assert CATALOGUE.price("moon", "Standard_D8ds_v5") is None
    assert not CATALOGUE.sold_in("chilecentral", "Standard_NC24ads_A100_v4")


def test_what_no_source_says_is_unknown_and_not_no():
    size = CATALOGUE.size("Standard_E32bs_v5") or CATALOGUE.size("Standard_D8as_v6")
    assert size is not None
    assert size.os_disk_room_gib is None
    assert size.encryption_at_host is None


def test_a_size_without_local_disk_has_no_room_for_an_ephemeral_one():
    size = CATALOGUE.size("Standard_D8s_v5")
    assert size is not None
    assert size.os_disk_room_gib == 0


def test_fpgas_and_amd_gpus_that_aks_does_not_support_are_no_gpus():
    for name in ("Standard_NP10s", "Standard_NV8as_v4", "Standard_NV8ads_V710_v5", "Standard_ND96is_MI300X_v5"):
        size = CATALOGUE.size(name)
        assert size is not None
        assert (size.gpus, size.gpu_vendor) == (0, None), name
    mi300x = CATALOGUE.size("Standard_ND96isr_MI300X_v5")
    assert mi300x is not None
    assert (mi300x.gpus, mi300x.gpu_vendor, mi300x.mig_capable) == (8, "amd", False)


def test_every_gpu_has_a_vendor_and_a_model():
    for size in CATALOGUE.sizes.values():
        assert (size.gpus > 0) == (size.gpu_vendor is not None) == (size.gpu_model is not None), size


def test_families_compare_without_case_and_spaces():
    size = CATALOGUE.size("Standard_NC4as_T4_v3")
    assert size is not None
    assert size.family_key == family_key("standardncasv3_t4family")


@pytest.mark.parametrize(
    ("name", "burstable"), [("Standard_B2ms", True), ("standard_b16as_v2", True), ("Standard_D2ds_v5", False)]
)
def test_the_b_series_is_known_by_name(name: str, burstable: bool):
    assert is_burstable(name) is burstable


def test_alternatives_are_sold_there_and_have_as_many_gpus():
    size = CATALOGUE.size("Standard_NC24ads_A100_v4")
    assert size is not None
    names = CATALOGUE.alternatives(size, "westeurope")
    assert names[0] == "Standard_NC48ads_A100_v4"
    for name in names:
        other = CATALOGUE.size(name)
        assert other is not None
        assert other.gpus >= 1
        assert CATALOGUE.sold_in("westeurope", name)


@pytest.mark.parametrize("region", ["westeurope", "eastus", "southcentralus"])
def test_no_part_of_a_gpu_stands_in_for_a_whole_one(region: str):
    for size in CATALOGUE.sizes.values():
        for name in CATALOGUE.alternatives(size, region, count=30) if size.gpus and size.gpu_share else ():
            other = CATALOGUE.size(name)
            assert other is not None
            assert size.gpu_share is not None
            assert other.gpu_share is not None, f"{name} for {size.name}: nobody knows how much of a GPU it has"
            assert other.gpu_share >= size.gpu_share, f"{name} for {size.name}"


def test_a_larger_part_of_a_gpu_stands_in_for_a_smaller_one():
    sixth = CATALOGUE.size("Standard_NV6ads_A10_v5")
    assert sixth is not None
    assert sixth.gpu_share == Fraction(1, 6)
    assert CATALOGUE.alternatives(sixth, "westeurope")[0] == "Standard_NV12ads_A10_v5"


def test_what_needs_no_gpu_is_not_put_beside_one():
    for name in ("Standard_D8ds_v5", "Standard_D16ds_v5"):
        size = CATALOGUE.size(name)
        assert size is not None
        found = CATALOGUE.alternatives(size, "westeurope", count=30)
        assert len(found) == 30
        assert not [one for one in found if one.startswith("Standard_N")]


def test_every_slice_is_of_a_known_size_less_than_a_gpu_and_has_a_source():
    with (DATA / "gpu_slices.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 14
    for row in rows:
        assert row["size"] in CATALOGUE.sizes, row
        assert not row["gpu_share"] or 0 < Fraction(row["gpu_share"]) < 1, row
        assert row["source"], row
    whole = CATALOGUE.size("Standard_NV36ads_A10_v5")
    assert whole is not None
    assert whole.gpu_share == 1


def test_regions_of_a_size_come_cheapest_first():
    prices = [CATALOGUE.price(region, "Standard_D8ds_v5") for region in CATALOGUE.regions_of("Standard_D8ds_v5")]
    known = [price for price in prices if price is not None]
    assert known == sorted(known)
    assert len(known) == len(prices) > 20


@pytest.mark.parametrize("pool_class", list(CLASSES))
def test_the_default_size_of_a_class_fits_it(pool_class: Any):
    size = CATALOGUE.size(CLASSES[pool_class].vm_size)
    assert size is not None
    assert (size.gpus > 0) == (pool_class in ("light-gpu", "heavy-gpu"))
    assert CATALOGUE.sold_in("westeurope", size.name)


def test_every_line_names_its_source():
    with (DATA / "vm_sizes.csv").open(newline="") as file:
        assert all(row["source"] for row in csv.DictReader(file))


def sources(folder: Path, *, gpus: int = 0, family: str = "f") -> Path:
    """The three source files with one size in them."""
    (folder / "azure_vm_sizes.csv").write_text(
        f"size,family,vcpus,memory_mib,gpus,architecture\nStandard_X1,{family},2,4096,{gpus},amd64\n"
    )
    (folder / "azure_vm_prices.csv").write_text(
        "region,size,usd_per_hour\nwesteurope,Standard_X1,0.5\neastus,Standard_X1,0.4\n"
    )
    capabilities = {
        "EphemeralOSDiskSupported": "True",
        "SupportedEphemeralOSDiskPlacements": "ResourceDisk,CacheDisk",
        "CachedDiskBytes": str(50 << 30),
        "MaxResourceVolumeMB": str(80 << 10),
        "LowPriorityCapable": "False",
    }
    (folder / "azure_sku_capabilities.json").write_text(json.dumps({"Standard_X1": {"capabilities": capabilities}}))
    return folder


def target(folder: Path, family: str = "f") -> Path:
    made = folder / "data"
    made.mkdir()
    (made / "size_pages.csv").write_text(
        "size,temp_disk_gib,nvme_disk_gib,ephemeral_os_disk,premium_disks,accelerated_networking,rdma,source\n"
    )
    (made / "gpu_slices.csv").write_text("size,gpu_share,source\nStandard_X1,1/4,somewhere\n")
    (made / "gpu_families.csv").write_text(f"family,vendor,model,mig,source\n{family},nvidia,T4,false,somewhere\n")
    return made


def test_the_data_are_built_from_the_source_files(tmp_path: Path):
    made = target(tmp_path)
    build_data.build(sources(tmp_path, gpus=1), made)
    catalogue = read_catalogue(made)
    size = catalogue.size("Standard_X1")
    assert size is not None
    assert (size.gpus, size.gpu_share, size.gpu_model, size.os_disk_room_gib) == (1, Fraction(1, 4), "T4", 80)
    assert size.spot_capable is False
    assert size.encryption_at_host is None, "what the answer is silent about is unknown"
    assert catalogue.regions_of("Standard_X1") == ("eastus", "westeurope")


def test_a_gpu_family_that_nobody_described_stops_the_build(tmp_path: Path):
    with pytest.raises(ValueError, match="Standard_X1: family 'new'"):
        build_data.build(sources(tmp_path, gpus=1, family="new"), target(tmp_path))
