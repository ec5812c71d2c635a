"""What a stack costs: sums, what they leave out, and that settings and registered resources come to the same."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from capacity.catalogue import load_catalogue
from capacity.checks import load_file
from capacity.cost import MAXIMUM, MINIMUM, Bill, Declared, Load, bill, from_resources, from_settings, over_budget, usd
from capacity.cost.__main__ import main
from capacity.cost.items import DISK_SIZES, disk_meter, share_items
from capacity.cost.prices import DATA, HOURS_A_MONTH, UNITS_A_MONTH, load_prices
from capacity.storage import compare
from capacity.storage_workload import Setup, Workload
from infra.platform import Platform
from stacks.settings import Budget, Stack
from tests.components.recorder import record
from tests.components.stacks import environment, stack

STACKS = Path("stacks")
ROOK_POOLS = {"store": {"class": "storage", "min": 3, "max": 3}}
POOL = "azure-native:containerservice:AgentPool"


def bill_of(settings: Stack) -> Bill:
    return bill(from_settings(settings), settings.location)


def registered(settings: Stack) -> Bill:
    """The bill of what the real program registers for the settings."""
    found = record(
        lambda: Platform("trainyard", environment=environment(location=settings.location), settings=settings)
    )
    return bill(from_resources(Declared(one.type, one.name, one.inputs) for one in found.made), settings.location)


def pool(**inputs: Any) -> Declared:
    return Declared(POOL, "heavy", {"vmSize": "Standard_NC24ads_A100_v4", "osDiskType": "Ephemeral", **inputs})


@pytest.mark.parametrize("name", ["dev", "prod", "sandbox"])
def test_a_stack_file_and_its_resources_cost_the_same(name: str) -> None:
    settings = load_file(STACKS / f"Pulumi.{name}.yaml")
    planned, made = bill_of(settings), registered(settings)
    assert made.minimum == pytest.approx(planned.minimum)
    assert made.maximum == pytest.approx(planned.maximum)
    assert made.minimum > 0
    assert len(made.unpriced) == len(planned.unpriced)


@pytest.mark.parametrize(
    "changes",
    [
        {"autoscaler": {"mode": "managed"}},
        {"storage": {"files": {"dynamic": False}}},
        {"storage": {"blob": {"containers": ["raw"]}}},
        {"storage": {"blob": {"containers": {"raw": {"hierarchical": True}}, "dynamic": True}}},
        {"pools": ROOK_POOLS, "storage": {"fileSystem": {"backend": "rook", "sizeGib": 4096}}},
        {"storage": {"fileSystem": {"backend": "lustre", "sizeGib": 16384}}},
        {"storage": {"files": {"shares": {"hot": {"sizeGib": 200, "tier": "premium", "provisionedIops": 9000}}}}},
    ],
    ids=["managed", "no shares", "containers", "hierarchical", "rook", "lustre", "shares with IOPS"],
)
def test_settings_and_resources_agree_whatever_is_set(changes: dict[str, Any]) -> None:
    planned, made = bill_of(stack(**changes)), registered(stack(**changes))
    assert (made.minimum, made.maximum) == pytest.approx((planned.minimum, planned.maximum))
    assert len(made.unpriced) == len(planned.unpriced)


def test_machines_cost_their_catalogue_price_by_the_hour() -> None:
    price = load_catalogue().price("westeurope", "Standard_NC24ads_A100_v4")
    assert price is not None
    made = bill(from_resources([pool(count=3)]), "westeurope")
    assert made.minimum == made.maximum == pytest.approx(3 * price * HOURS_A_MONTH)


@pytest.mark.parametrize(
    "bounds",
    [
        {"count": 9, "enableAutoScaling": True, "minCount": 1, "maxCount": 5},
        {"count": 9, "tags": {"cluster-autoscaler-enabled": "true", "min": "1", "max": "5"}},
    ],
    ids=["AKS's autoscaler", "cluster-autoscaler"],
)
def test_an_autoscaled_pool_costs_its_bounds_whatever_runs_now(bounds: dict[str, Any]) -> None:
    one = bill(from_resources([pool(count=1)]), "westeurope").maximum
    made = bill(from_resources([pool(**bounds)]), "westeurope")
    assert (made.minimum, made.maximum) == pytest.approx((one, 5 * one))


def test_a_load_lies_between_minimum_and_maximum_and_hours_name_a_pool() -> None:
    items = from_resources([pool(count=0, tags={"cluster-autoscaler-enabled": "", "min": "0", "max": "4"})])
    made = bill(items, "westeurope")
    assert made.at(Load(0.25)) == pytest.approx(made.maximum / 4)
    assert made.at(Load(1, {"heavy": HOURS_A_MONTH})) == pytest.approx(made.maximum / 4)
    assert made.at(Load(0, {"heavy": 1e9})) == pytest.approx(made.maximum), "no pool runs more than its maximum"
    assert made.at(Load(0, {"other": 50})) == 0


def test_a_spot_machine_counts_with_its_ceiling_and_says_so() -> None:
    on_demand = bill(from_resources([pool(count=1)]), "westeurope").maximum
    spot = bill(from_resources([pool(count=1, scaleSetPriority="Spot", spotMaxPrice=-1.0)]), "westeurope")
    capped = bill(from_resources([pool(count=1, scaleSetPriority="Spot", spotMaxPrice=2.5)]), "westeurope")
    assert spot.maximum == pytest.approx(on_demand)
    assert capped.maximum == pytest.approx(2.5 * HOURS_A_MONTH)
    assert [line.note for line in spot.ceilings] == ["spot price unknown: at most this"]
    assert len(capped.ceilings) == 1


def test_what_has_no_known_price_is_listed_and_never_free() -> None:
    unknown = [
        Declared("azure-native:nobody:KnowsThis", "thing", {}),
        pool(vmSize="Standard_XX1_v9", count=2),
        Declared("azure-native:containerregistry:Registry", "registry", {"sku": {"name": "Standard"}}),
        Declared("azure-native:compute:Disk", "data", {"diskSizeGB": 99999, "sku": {"name": "UltraSSD_LRS"}}),
    ]
    made = bill(from_resources(unknown), "westeurope")
    assert made.maximum == 0
    assert len(made.unpriced) == 4
    assert all(line.cost(MAXIMUM) is None and line.note for line in made.unpriced)


def test_nothing_that_the_program_registers_is_unknown_to_the_cost() -> None:
    settings = load_file(STACKS / "Pulumi.prod.yaml")
    assert [line.item.what for line in registered(settings).unpriced if "type" in line.note] == []


def test_a_price_of_another_region_says_which() -> None:
    made = bill(from_resources([Declared("azure-native:network:NatGateway", "out", {})]), "japaneast")
    assert [line.note for line in made.lines] == ["price of westeurope"]
    assert made.minimum > 0


def test_data_that_moves_is_named_and_in_no_sum() -> None:
    made = bill(from_resources([Declared("azure-native:network:NatGateway", "out", {})]), "westeurope")
    assert [line.item.what for line in made.by_use] == ["out: data"]
    assert made.minimum == made.maximum == pytest.approx(0.045 * HOURS_A_MONTH)


def test_a_refreshed_cluster_does_not_count_its_pools_twice() -> None:
    system = {"name": "system", "vmSize": "Standard_D4ds_v5", "count": 2, "osDiskType": "Ephemeral"}
    listed = {"name": "heavyab", "vmSize": "Standard_NC24ads_A100_v4", "count": 7, "osDiskType": "Ephemeral"}
    own = pool(count=1, agentPoolName="heavyab")
    cluster = Declared("azure-native:containerservice:ManagedCluster", "c", {"agentPoolProfiles": [system, listed]})
    made = bill(from_resources([cluster, own]), "westeurope")
    assert sum(line.item.quantity(MAXIMUM) for line in made.lines if line.item.group == "machines") == 3


@pytest.mark.parametrize(("gib", "meter"), [(30, "disk-P4"), (128, "disk-P10"), (129, "disk-P15"), (32767, "disk-P80")])
def test_azure_bills_the_next_larger_disk(gib: int, meter: str) -> None:
    assert disk_meter(gib) == meter


def test_a_disk_larger_than_any_has_no_meter() -> None:
    assert disk_meter(max(DISK_SIZES.values()) + 1) is None


def test_claims_cost_the_disks_that_their_class_makes() -> None:
    made = from_resources(
        [
            Declared(
                "kubernetes:storage.k8s.io/v1:StorageClass",
                "fast",
                {
                    "metadata": {"name": "fast"},
                    "provisioner": "disk.csi.azure.com",
                    "parameters": {"skuName": "Premium_LRS"},
                },
            ),
            Declared(
                "kubernetes:ceph.rook.io/v1:CephCluster",
                "ceph",
                {
                    "spec": {
                        "storage": {
                            "storageClassDeviceSets": [
                                {
                                    "name": "set",
                                    "count": 6,
                                    "volumeClaimTemplates": [
                                        {
                                            "spec": {
                                                "storageClassName": "fast",
                                                "resources": {"requests": {"storage": "1Ti"}},
                                            }
                                        }
                                    ],
                                }
                            ]
                        }
                    }
                },
            ),
        ]
    )
    [disks] = made
    assert (disks.meter, disks.pieces) == ("disk-P30", 6)


def test_a_budget_that_holds_is_silent_and_one_that_does_not_names_what_would_fit() -> None:
    settings = load_file(STACKS / "Pulumi.sandbox.yaml")
    made = bill_of(settings)
    assert over_budget(Budget(monthly_usd=made.maximum), made) is None
    said = over_budget(Budget(monthly_usd=made.maximum - 100), made)
    assert said is not None
    assert "$100 above the budget" in said
    assert "trainyard:pools.heavy.max to 3 (now 4)" in said
    heavy = settings.pools["heavy"].model_copy(update={"max": 3})
    mended = settings.model_copy(update={"pools": {**settings.pools, "heavy": heavy}})
    assert over_budget(Budget(monthly_usd=made.maximum - 100), bill_of(mended)) is None, "the remedy must work"


def test_a_budget_speaks_of_the_load_that_it_names() -> None:
    made = bill_of(load_file(STACKS / "Pulumi.sandbox.yaml"))
    sum_at_minimum = Budget(monthly_usd=made.minimum + 1, at="minimum")
    assert over_budget(sum_at_minimum, made) is None
    half = Budget(monthly_usd=made.minimum + 1, at="load", load=0.5)
    assert over_budget(half, made) is not None


def test_every_price_has_a_meter_a_source_and_a_date() -> None:
    with (DATA / "retail_prices.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    meters = load_prices().meters
    assert rows
    for row in rows:
        assert row["meter"] in meters
        assert float(row["usd"]) > 0
        assert row["source"]
        assert row["date"] >= "2018"
    assert len({(row["meter"], row["region"]) for row in rows}) == len(rows), "a second price would hide the first"
    assert {meter.unit for meter in meters.values()} <= set(UNITS_A_MONTH)


def test_no_other_table_holds_prices() -> None:
    priced = {file.name for file in DATA.glob("*.csv") if "usd" in file.read_text().partition("\n")[0]}
    assert priced == {"retail_prices.csv"}
    assert {file.name for file in DATA.glob("*price*")} == {"retail_prices.csv", "vm_prices.csv"}


def test_the_comparison_and_the_bill_have_one_price_for_a_share() -> None:
    region, gib = "eastus2", 10240
    setup = Setup(region=region, goal_minutes=1e6)
    compared = compare(Workload(gib, 1000, 4, "random"), setup)
    [share] = [one for one in compared.offers if one.key == "files-premium-v2-nfs"]
    found = re.match(r"10,240 GiB, ([\d,]+) IOPS, ([\d,]+) MiB/s", share.provisioned)
    assert found
    iops, mibps = (float(one.replace(",", "")) for one in found.groups())
    made = bill(share_items("data", gib, sku="PremiumV2_LRS", iops=iops, mibps=mibps), region)
    assert made.unpriced == []
    assert made.maximum == pytest.approx(share.cost.usd)


def test_the_table_reads_and_ends_badly_over_budget(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--stack-file", "stacks/Pulumi.dev.yaml", "--load", "0.5"]) == 0
    shown = capsys.readouterr().out
    assert "at this load" in shown
    assert "pool heavy: Standard_NC24ads_A100_v4, spot" in shown
    assert "Not in the sum, as it is billed by use" in shown
    text = (STACKS / "Pulumi.dev.yaml").read_text() + "  trainyard:budget: {monthlyUsd: 1000}\n"
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(text)
    assert main(["--stack-file", str(file)]) == 1
    assert "over budget: the stack costs" in capsys.readouterr().out


def test_a_file_that_is_no_stack_is_told_without_a_traceback(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["--stack-file", str(tmp_path / "none.yaml")]) == 1
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(("amount", "text"), [(0, "$0"), (3.65, "$3.65"), (-1234.5, "-$1,234"), (118875.2, "$118,875")])
def test_sums_are_said_as_people_read_them(amount: float, text: str) -> None:
    assert usd(amount) == text


def test_the_minimum_is_never_above_the_maximum() -> None:
    for line in bill_of(load_file(STACKS / "Pulumi.prod.yaml")).lines:
        assert (line.cost(MINIMUM) or 0) <= (line.cost(MAXIMUM) or 0), line.item.what


def test_items_tell_pools_apart() -> None:
    made = from_settings(stack())
    pools = {item.machines.pool for item in made if item.machines}
    assert pools == {"cpu", "light", "heavy", "serve", "system"}
    spot = next(item for item in made if item.machines and item.machines.pool == "heavy")
    assert replace(spot, pieces=2).quantity(MAXIMUM) == 8
