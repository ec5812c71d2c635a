"""The quota rule on declared pools: what counts, what does not, and that what it proposes passes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from policy.facts.azure import question
from policy.facts.facts import Facts
from policy.model import Resource, of_stack
from policy.properties import UNKNOWN, Properties
from policy.stack import StackView
from tests.policy.world import A100, BY_NAME, D8, T4, Answers, World, usages

GROUP = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/capacityReservationGroups/Reserved"
TIGHT = {"t4": (4, 36)}
"""Eight machines of 4 vCPUs, one more in an upgrade; the one that runs is the stack's own."""


def world(**used: tuple[int, int]) -> World:
    made = World()
    made.answers[question("usages", "westeurope")] = usages(**used)
    return made


def failures(made: World) -> list[str]:
    return [one.message for one in made.judged("vcpu-quota") if not one.unverified]


def unverified(made: World) -> list[str]:
    return [one.message for one in made.judged("vcpu-quota") if one.unverified]


def test_one_core_short_fails_with_the_numbers_and_what_would_work() -> None:
    [said] = failures(world(t4=(4, 35)))
    assert (
        "westeurope, Standard NCASv3_T4 Family: 36 vCPUs needed at most, 0 used by others, limit 35: short by 1" in said
    )
    assert "light (8 machines and 1 in an upgrade of Standard_NC4as_T4_v3, 4 vCPUs each)" in said
    assert "lower the maximum of light from 8 to 7" in said
    assert "another size for light, with room for as many machines: Standard_" in said
    assert "another region, with room for all pools" in said
    assert "ask for a limit of 36 (now 35)" in said
    assert "--limit-object value=36" in said
    assert failures(world(**TIGHT)) == []


def test_each_remedy_applied_passes() -> None:
    [said] = failures(world(t4=(4, 35)))
    lower = re.search(r"the maximum of light from 8 to (\d+)", said)
    size = re.search(r"as many machines: (\w+)", said)
    region = re.search(r"room for all pools: (\w+)", said)
    limit = re.search(r"a limit of (\d+)", said)
    assert lower
    assert size
    assert region
    assert limit
    lowered, resized, moved = (world(t4=(4, 35)) for _ in range(3))
    lowered.set("light", "tags.max", lower[1])
    resized.set("light", "vmSize", size[1])
    moved.set("cluster", "location", region[1])
    spot = world(t4=(4, 35))
    spot.set("light", "scaleSetPriority", "Spot")
    for mended in (lowered, resized, moved, spot, world(t4=(4, int(limit[1])))):
        assert failures(mended) == []
        assert unverified(mended) == []


def test_of_a_hundred_pools_those_that_give_most_are_named() -> None:
    made = world(t4=(4, 36 + 98 * 9 * 4 - 1), cores=(16, 10**6))
    kind, inputs = made.resources["light"]
    for index in range(98):
        tags = {**inputs["tags"], "max": "8"}
        made.resources[f"p{index}"] = (kind, {**inputs, "agentPoolName": f"p{index}", "tags": tags})
    made.set("p97", "tags.max", "40")
    made.answers[question("usages", "westeurope")]["standardncasv3_t4family"][2] += 32 * 4
    [said] = failures(made)
    named = re.findall(r"lower the maximum of (\w+) from (\d+) to (\d+)", said)
    assert len(named) == 4
    assert named[0] == ("p97", "40", "39")
    assert "the like for 95 more pools" in said
    made.set("p97", "tags.max", named[0][2])
    assert failures(made) == []


def test_no_slice_of_a_gpu_is_proposed_in_place_of_a_whole_one() -> None:
    made = world(t4=(4, 35))
    offered = made.answers[question("sizes", "westeurope")]
    for vcpus in (6, 12, 18):
        name = f"Standard_NV{vcpus}ads_A10_v5"
        offered[name.lower()] = {**offered["standard_nv36ads_a10_v5"], "name": name}
    made.answers[question("aks-sizes", "westeurope")] = sorted(offered)
    [said] = failures(made)
    found = re.search(r"another size for light, with room for as many machines: (.+)", said)
    assert found
    assert {*found[1].split(", ")} == {A100, "Standard_NV36ads_A10_v5"}


def test_machines_of_the_stack_itself_are_not_counted_twice() -> None:
    busy = world(t4=(32, 36))
    busy.answers[question("scale-sets", "rg-nodes")][1]["count"] = 8
    assert failures(busy) == []


def test_a_replaced_pool_counts_beside_its_successor() -> None:
    replaced = world(**TIGHT)
    replaced.answers[question("scale-sets", "rg-nodes")][1]["pool"] = "lightold"
    [said] = failures(replaced)
    assert "4 used by others" in said
    assert "short by 4" in said


def test_machines_that_cannot_be_read_matter_only_where_quota_would_be_short() -> None:
    blind = world(t4=(0, 1000))
    del blind.answers[question("scale-sets", "rg-nodes")]
    assert blind.judged("vcpu-quota") == []
    blind = world(**TIGHT)
    del blind.answers[question("scale-sets", "rg-nodes")]
    assert failures(blind) == []
    assert "counted twice: machines that run in rg-nodes could not be read" in unverified(blind)[0]


def test_a_pool_of_unknown_size_is_named_and_the_others_are_judged() -> None:
    made = world(t4=(4, 35))
    made.set("heavy", "vmSize", UNKNOWN)
    assert "short by 1" in failures(made)[0]
    assert "heavy (vmSize is known only once the deployment runs)" in unverified(made)[0]


def test_pools_that_another_provider_declares_are_said() -> None:
    made = world()
    made.resources["old"] = ("azure:containerservice/kubernetesClusterNodePool:KubernetesClusterNodePool", {})
    assert "old: declared through the provider `azure`" in unverified(made)[0]


def test_a_pool_that_nobody_scales_counts_with_its_count() -> None:
    made = world(t4=(4, 36))
    made.set("light", "tags", {})
    made.set("light", "count", 9)
    assert "40 vCPUs needed" in failures(made)[0], "nine machines and one in an upgrade"


def test_aks_default_surge_counts_where_none_is_set() -> None:
    made = world(t4=(4, 100))
    made.set("light", "upgradeSettings", None)
    made.set("light", "tags.max", "24")
    assert "108 vCPUs needed" in failures(made)[0], "24 machines and a tenth of them, rounded up"


def test_a_refreshed_clusters_list_of_all_pools_is_not_the_programs() -> None:
    made = world(**TIGHT)
    profile = {"name": "light", "mode": "User", "vmSize": T4, "count": 500}
    made.resources["cluster"][1]["agentPoolProfiles"] += [profile, {**profile, "name": "gone"}]
    made.ignored["cluster"] = frozenset({"agentPoolProfiles"})
    assert failures(made) == []
    made.ignored.clear()
    assert "gone" in failures(made)[0], "a pool that the program writes there is its own"


def test_a_reservation_that_is_there_counts_once() -> None:
    made = world(a100=(72, 96))
    _reserve(made, GROUP)
    made.answers[question("reservations", GROUP)] = [{"size": A100, "count": 3}]
    assert failures(made) == [], "three of the four are in Azure's usage already"
    made.answers[question("usages", "westeurope")] = usages(a100=(72, 95))
    assert "24 vCPUs needed at most, 72 used by others, limit 95: short by 1" in failures(made)[0]


def test_a_reservation_to_come_counts_once_though_its_id_is_unknown() -> None:
    made = world(a100=(0, 96))
    _reserve(made, UNKNOWN)
    made.resources["group"] = (
        "azure-native:compute:CapacityReservationGroup",
        {"capacityReservationGroupName": "Reserved"},
    )
    made.resources["reserved"] = (
        "azure-native:compute:CapacityReservation",
        {"capacityReservationGroupName": "Reserved", "sku": {"name": A100, "capacity": 3}},
    )
    made.depends["heavy"] = {"capacityReservationGroupID": ("urn:group",)}
    assert failures(made) == []
    made.answers[question("usages", "westeurope")] = usages(a100=(0, 95))
    assert "96 vCPUs needed" in failures(made)[0]


def _reserve(made: World, group: Any) -> None:
    """`heavy` becomes a pool of four machines on demand that draw from a reservation, with no surge."""
    for path, value in {
        "scaleSetPriority": "Regular",
        "capacityReservationGroupID": group,
        "upgradeSettings": {"maxSurge": "0"},
    }.items():
        made.set("heavy", path, value)


def test_several_regions_are_judged_each_by_its_own_quota() -> None:
    made = world()
    kind, cluster = made.resources["cluster"]
    made.resources["second"] = (
        kind,
        {
            **cluster,
            "resourceName": "aks2",
            "location": "northeurope",
            "nodeResourceGroup": "rg2",
            "agentPoolProfiles": [],
        },
    )
    made.resources["far"] = (
        "azure-native:containerservice:AgentPool",
        {"vmSize": D8, "count": 1, "resourceName": UNKNOWN},
    )
    made.depends["far"] = {"resourceName": ("urn:second",)}
    made.answers[question("scale-sets", "rg2")] = []
    made.answers[question("usages", "northeurope")] = usages(d=(0, 15))
    [said] = failures(made)
    assert said.startswith("northeurope, StandardDdsv5Family: 16 vCPUs needed")


def test_a_failure_on_kept_answers_is_judged_again_on_fresh_ones() -> None:
    old, new = world(t4=(4, 35)), world(**TIGHT)
    stack = StackView(_resources(old), Facts(Answers(old.answers), again=lambda: Answers(new.answers)))
    assert list(of_stack(BY_NAME["vcpu-quota"], stack, BY_NAME["vcpu-quota"].defaults)) == []


def _resources(made: World) -> list[Resource]:
    return [made._resource(name) for name in made.resources]  # pyright: ignore[reportPrivateUsage]  the same world


@pytest.mark.parametrize("size", [None, "", 5])
def test_odd_values_are_no_tracebacks(size: object) -> None:
    made = world()
    made.set("light", "vmSize", size)
    assert all(one.unverified and "rule itself" not in one.message for one in made.judged("vcpu-quota"))


def test_properties_say_what_is_not_known() -> None:
    read = Properties({"a": {"b": UNKNOWN, "c": [UNKNOWN, 1]}})
    assert read.raw("a.b.deeper") is UNKNOWN
    assert read.known("a.b") is None
    assert read.plain() == {"a": {"c": [1]}}
