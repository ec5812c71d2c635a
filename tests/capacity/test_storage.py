"""What ways to store a dataset offer: figures of Azure's documents, monotonicity, and the recommendation's rule."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from capacity import storage
from capacity.catalogue import DATA
from capacity.cost.prices import Price, load_prices
from capacity.storage import Comparison, compare
from capacity.storage_data import PATTERNS, Pattern, load_storage_data, read_storage_data
from capacity.storage_offers import Offer
from capacity.storage_workload import Setup, Workload

TABLES = load_storage_data()


@dataclass
class FixedPrices:
    """The prices given, and no others."""

    prices: dict[str, float] = field(default_factory=dict[str, float])

    def price(self, meter: str, region: str) -> Price | None:
        assert region
        return Price(self.prices[meter], "a test") if meter in self.prices else None


def offers_of(comparison: Comparison) -> dict[str, Offer]:
    return {one.key: one for one in comparison.offers}


def asked(pattern: Pattern, *, gib: float = 1000, files: int = 1000, nodes: int = 4, **setup: object) -> Comparison:
    return compare(Workload(gib, files, nodes, pattern), Setup(**setup))  # pyright: ignore[reportArgumentType]


def test_every_backend_of_the_table_answers():
    keys = {one.backend.key for one in asked("sequential").offers}
    assert keys == set(TABLES.backends)
    assert len([one for one in asked("sequential").offers if one.key.startswith("lustre-")]) == len(TABLES.lustre)


def test_premium_shares_give_what_azures_own_examples_say():
    """understanding-billing.md: 10,240 GiB have 13,240 IOPS and, of version 1, 1,125 MiB/s."""
    share = offers_of(asked("random", gib=10240, goal_minutes=1e6))["files-premium-v1-nfs"]
    assert "13,240 IOPS" in share.provisioned
    assert share.requests == 13240
    tiny = offers_of(asked("random", gib=1, goal_minutes=1e6))
    assert tiny["files-premium-v1-nfs"].provisioned.startswith("100 GiB, 3,100 IOPS, 110 MiB/s")
    assert tiny["files-premium-v2-nfs"].provisioned.startswith("32 GiB, 3,032 IOPS, 104 MiB/s")


def test_a_v2_share_is_given_the_speed_that_the_goal_needs_and_no_more_than_azure_sells():
    share = offers_of(asked("sequential", gib=1000, goal_minutes=10))["files-premium-v2-nfs"]
    assert share.mibps == math.ceil(1000 * 1024 / 600)
    assert offers_of(asked("sequential", gib=1000, nodes=64, goal_minutes=0.1))["files-premium-v2-nfs"].mibps == 10340


def test_a_v2_share_costs_what_microsofts_example_says():
    """10 TiB with the recommended speed: 1,341.09 dollars a month (techcommunity, 2025-08-14)."""
    share = offers_of(asked("random", gib=10240, region="eastus2", goal_minutes=1e6))["files-premium-v2-nfs"]
    assert share.cost.usd == pytest.approx(1341.09, abs=0.05)


def test_one_file_limits_a_standard_share_to_60_mib_a_second():
    share = offers_of(asked("sequential", files=1))["files-standard-smb"]
    assert share.mibps == 60
    assert "of a file" in share.limit.what


def test_small_files_cost_requests_to_open_and_close_them():
    share = offers_of(asked("small-files", gib=1, files=1_000_000, goal_minutes=1e6))["files-standard-smb"]
    assert share.limit.what.startswith("share's metadata")
    assert share.requests == 12000 / 2


def test_managed_lustre_comes_in_steps_and_ends():
    found = offers_of(asked("sequential", gib=5 * 1024, nodes=64))
    assert found["lustre-500"].provisioned.startswith("8 TiB")
    assert found["lustre-500"].mibps == pytest.approx(8 * 500e6 / 2**20)
    assert offers_of(asked("sequential", gib=129 * 1024))["lustre-500"].refused


def test_the_storage_nodes_limit_many_disks():
    """8 TiB take 30 P30 with three replicas: 6,000 MB/s of disks behind 3 machines with 600 MB/s each."""
    rook = offers_of(asked("sequential", gib=8192, nodes=64))["rook-disks"]
    assert "3 x Standard_D16ds_v5, 30 x P30" in rook.provisioned
    assert rook.limit.what.startswith("uncached disk MiB/s of 3 x Standard_D16ds_v5")
    assert rook.mibps == pytest.approx(3 * 600e6 / 2**20)


@pytest.mark.parametrize("backend", ["rook-disks", "gluster-disks"])
def test_writing_three_replicas_takes_three_times_the_disk(backend: str):
    reads, writes = (offers_of(asked(pattern, nodes=64))[backend] for pattern in ("sequential", "checkpoint"))
    assert writes.mibps == pytest.approx(reads.mibps / 3)
    assert "written 3 times" in writes.limit.what


def test_gluster_clients_send_each_replica_themselves_and_cephs_do_not():
    many_disks = {"storage_size": "Standard_D96ds_v5", "nodes": 1, "gib": 90_000}
    found = offers_of(asked("checkpoint", **many_disks))  # pyright: ignore[reportArgumentType]
    network = TABLES.machine(Setup().node_size).network_mibps
    assert found["gluster-disks"].mibps == pytest.approx(network / 3)
    assert found["rook-disks"].mibps > network / 3


def test_nvme_is_limited_by_the_network_of_its_machines():
    nvme = offers_of(asked("sequential", nodes=64))["rook-nvme"]
    assert nvme.limit.what.startswith("network of 3 x Standard_L16s_v4")


def test_an_nvme_size_without_a_published_write_speed_says_so():
    nvme = offers_of(asked("checkpoint", nvme_size="Standard_L8s_v3"))["rook-nvme"]
    assert "NVMe write speed of Standard_L8s_v3" in nvme.unknown
    assert offers_of(asked("checkpoint", nvme_size="Standard_D16ds_v5"))["rook-nvme"].refused


def test_a_cost_with_an_unknown_part_is_unknown_and_not_lower():
    found = compare(
        Workload(1000, 1000, 4, "sequential"), Setup(region="eastus"), prices=FixedPrices({"disk-P30": 100})
    )
    rook = offers_of(found)["rook-disks"]
    assert rook.cost.usd is None
    assert rook.cost.missing == ("Standard_D16ds_v5",)
    assert all(one.cost.usd is None for one in asked("sequential").offers), "no region, no price"


def test_a_regions_own_disk_price_is_used():
    price = load_prices().price("disk-P30", "westeurope")
    assert price is not None
    assert (price.monthly_usd, price.borrowed_from) == (148.68, None)


def test_a_borrowed_price_is_said_to_be_one_and_decides_nothing():
    share = offers_of(asked("sequential", region="norwayeast"))["files-premium-v1-nfs"]
    assert share.cost.borrowed_from
    assert not share.cost.comparable


# ---- the recommendation


def test_what_is_not_made_for_the_pattern_is_not_recommended():
    for pattern in PATTERNS:
        found = asked(pattern, region="eastus2")
        assert pattern not in found.advice.offer.backend.unfit
        assert not found.advice.offer.backend.loses_data
        assert not found.advice.offer.backend.last_resort


def test_more_running_is_taken_only_where_it_is_known_to_be_a_fifth_cheaper():
    workload, setup = Workload(1000, 1000, 4, "random"), Setup(region="eastus2", goal_minutes=1e6)
    share = {"files-premium-v2": 10.0, "files-premium-v2-iops": 1.0, "files-premium-v2-mibps": 1.0}
    machines = {"machine:Standard_D16ds_v5": 1.0}
    cheap = compare(workload, setup, prices=FixedPrices({**share, **machines, "disk-P30": 1.0}))
    assert cheap.advice.offer.key == "rook-disks"
    unknown = compare(workload, setup, prices=FixedPrices({**share, **machines}))
    assert unknown.advice.offer.key == "files-premium-v2-nfs"


def test_where_nothing_is_fast_enough_the_fastest_that_fits_is_named_and_that_it_is_too_slow():
    found = asked("sequential", gib=100_000, nodes=16, goal_minutes=1)
    assert not found.advice.fast_enough
    assert "nothing known here" in found.advice.reason
    fit = [
        one for one in found.offers if not one.refused and not one.backend.loses_data and not one.backend.last_resort
    ]
    assert found.advice.offer.mibps == max(one.mibps for one in fit)


def test_every_other_offer_is_given_a_reason():
    found = asked("small-files", region="eastus2")
    assert {key for key, _ in found.advice.others} == {one.key for one in found.offers} - {found.advice.offer.key}
    assert all(why for _, why in found.advice.others)


# ---- properties

WORKLOADS = {
    "gib": some.floats(min_value=0.5, max_value=60_000),
    "files": some.integers(min_value=1, max_value=10_000_000),
    "nodes": some.integers(min_value=1, max_value=200),
    "pattern": some.sampled_from(PATTERNS),
}


@settings(max_examples=80, deadline=None)
@given(**WORKLOADS, more=some.integers(min_value=1, max_value=200))
def test_more_nodes_never_lower_the_total(gib: float, files: int, nodes: int, pattern: Pattern, more: int):
    few, many = (
        offers_of(asked(pattern, gib=gib, files=files, nodes=count, region="eastus2"))
        for count in (nodes, nodes + more)
    )
    for key, offer in few.items():
        assert many[key].requests >= offer.requests, key


@settings(max_examples=80, deadline=None)
@given(**WORKLOADS, factor=some.integers(min_value=2, max_value=9))
def test_a_larger_dataset_of_as_large_files_never_gets_fewer_iops(
    gib: float, files: int, nodes: int, pattern: Pattern, factor: int
):
    small = offers_of(asked(pattern, gib=gib, files=files, nodes=nodes, region="eastus2"))
    large = offers_of(asked(pattern, gib=gib * factor, files=files * factor, nodes=nodes, region="eastus2"))
    for key, offer in small.items():
        if not offer.refused and not large[key].refused:
            # equal up to rounding: the average file's size is a quotient
            assert large[key].requests >= offer.requests * (1 - 1e-9), key


@settings(max_examples=80, deadline=None)
@given(**WORKLOADS)
def test_an_offer_is_its_lowest_ceiling(gib: float, files: int, nodes: int, pattern: Pattern):
    for offer in asked(pattern, gib=gib, files=files, nodes=nodes).offers:
        if not offer.refused:
            assert offer.requests == min(one.requests for one in offer.ceilings) > 0
            assert offer.per_node_mibps * nodes == pytest.approx(offer.mibps)


@settings(max_examples=40, deadline=None)
@given(**WORKLOADS)
def test_a_cost_is_never_nothing(gib: float, files: int, nodes: int, pattern: Pattern):
    for offer in asked(pattern, gib=gib, files=files, nodes=nodes, region="eastus2").offers:
        assert offer.cost.usd is None or offer.cost.usd > 0


# ---- input, data, command


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"--size-gib": "0"}, "above 0"),
        ({"--nodes": "0"}, "at least 1"),
        ({"--replicas": "4"}, "each copy needs a node"),
        ({"--storage-size": "Standard_Nonsense"}, "Standard_Nonsense"),
        ({"--disk-gib": "40000"}, "32767"),
        ({"--size-gib": "90000000"}, "nothing known fits"),
    ],
)
def test_a_question_without_an_answer_ends_with_the_reason(
    wrong: dict[str, str], says: str, capsys: pytest.CaptureFixture[str]
):
    arguments = {"--size-gib": "100", "--files": "10", "--nodes": "2", "--pattern": "random", **wrong}
    assert storage.main([word for pair in arguments.items() for word in pair]) == 2
    assert says in capsys.readouterr().err


def test_the_table_names_the_recommendation_and_fits_a_terminal(capsys: pytest.CaptureFixture[str]):
    for pattern in PATTERNS:
        assert storage.main(f"--size-gib 700 --files 9 --nodes 3 --region eastus2 --pattern {pattern}".split()) == 0
        printed = capsys.readouterr().out
        assert "\nTake " in printed
        assert printed.count("\n> ") == 1
        assert max(len(line) for line in printed.splitlines()) <= 120


def test_json_gives_each_limit_with_its_source_and_date(capsys: pytest.CaptureFixture[str]):
    assert storage.main(["--size-gib", "700", "--files", "9", "--nodes", "3", "--pattern", "random", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["recommended"] in {one["backend"] for one in answer["offers"]}
    for offer in answer["offers"]:
        for limit in offer["limits"]:
            assert limit["source"], offer
            assert limit["basis"] in ("documented", "computed", "assumed")
            assert limit["date"].startswith("20")
    assert all(one["monthlyUsd"] is None for one in answer["offers"]), "unknown is null, not 0"


def test_a_figure_without_a_source_is_refused(tmp_path: Path):
    for file in DATA.glob("storage_*"):
        (tmp_path / file.name).write_text(file.read_text().replace("ddsv5\n", "hearsay\n"))
    with pytest.raises(ValueError, match="hearsay"):
        read_storage_data(tmp_path)


def test_a_region_that_azure_does_not_favour_gets_the_lower_limits():
    favoured, other, none = (TABLES.account(region) for region in ("westeurope", "polandcentral", None))
    assert favoured.requests == 40000
    assert other == none
    assert other.requests == 20000
