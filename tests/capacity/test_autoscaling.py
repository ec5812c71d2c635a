"""The autoscaler's decisions: which group grows, by how much, and which nodes go."""

from __future__ import annotations

import csv
import random
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.autoscaling.amounts import Amounts
from capacity.autoscaling.backoff import Backoff
from capacity.autoscaling.expanders import Priorities
from capacity.autoscaling.options import GROUP_OPTIONS, Options, seconds
from capacity.autoscaling.profiles import flags
from capacity.autoscaling.scale_down import (
    Idle,
    Machine,
    Pauses,
    Removal,
    Resident,
    holds_back,
    is_underused,
    removable,
    unneeded,
    utilization,
)
from capacity.autoscaling.scale_up import (
    Group,
    Room,
    Situation,
    Verdict,
    below_minimum,
    estimate,
    is_unhealthy,
    place_on,
    scale_up,
)
from capacity.autoscaling.scheduling import Requirement, Shape, Taint, Template, Toleration, admits
from stacks.settings import Autoscaler

FLAGS = Path(__file__).parents[2] / "sandbox" / "nodes" / "data" / "cluster_autoscaler_flags.csv"
GPU_TAINT = Taint("sku", "gpu", "NoSchedule")
TOLERATES = frozenset({Toleration("sku", "Equal", "gpu", "NoSchedule")})
NODE = Amounts(cpu_milli=24_000, memory_kib=200_000, nvidia=1, pods=100)
ONE_GPU = Shape(Amounts(cpu_milli=4_000, memory_kib=50_000, nvidia=1, pods=1), tolerations=TOLERATES)
SMALL = Shape(Amounts(cpu_milli=1_000, memory_kib=1_000, pods=1), tolerations=TOLERATES)


def group(name: str = "heavy", *, template: Template | None = None, **more: Any) -> Group:
    values: dict[str, Any] = {"min": 0, "max": 10, "options": Options(), **more}
    return Group(name, template or Template(NODE, {"trainyard/pool": name}, (GPU_TAINT,)), **values)


def turn(
    waiting: Mapping[Shape, int],
    *groups: Group,
    targets: Mapping[str, int] | None = None,
    options: Options | None = None,
    whole: bool = False,
    **more: Any,
) -> Verdict:
    situation = Situation(
        waiting, targets or {}, more.pop("now", 0), more.pop("backoff", Backoff()), random.Random(1), **more
    )
    return scale_up(situation, groups, options or Options(), whole=whole)


def grown(verdict: Verdict) -> tuple[str, int] | None:
    return (verdict.growth.group_id, verdict.growth.nodes) if verdict.growth else None


# Scheduling


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        (Toleration("sku", "Equal", "gpu", "NoSchedule"), True),
        (Toleration("sku", "Equal", "gpu"), True),
        (Toleration("sku", "Exists"), True),
        (Toleration(operator="Exists"), True),
        (Toleration("sku", "Equal", "cpu", "NoSchedule"), False),
        (Toleration("sku", "Equal", "gpu", "NoExecute"), False),
        (Toleration("other", "Exists"), False),
    ],
)
def test_a_taint_keeps_out_what_does_not_tolerate_it(toleration: Toleration, tolerated: bool):
    shape = replace(ONE_GPU, tolerations=frozenset({toleration}))
    assert admits({}, (GPU_TAINT,), shape) is tolerated


def test_a_taint_that_only_prefers_keeps_nobody_out():
    assert admits({}, (Taint("a", "b", "PreferNoSchedule"),), Shape(Amounts(pods=1)))


@pytest.mark.parametrize(
    ("requirement", "met"),
    [
        (Requirement("zone", "In", ("1", "2")), True),
        (Requirement("zone", "NotIn", ("1",)), False),
        (Requirement("none", "NotIn", ("1",)), True),
        (Requirement("zone", "Exists"), True),
        (Requirement("none", "DoesNotExist"), True),
        (Requirement("zone", "Gt", ("0",)), True),
        (Requirement("zone", "Lt", ("1",)), False),
        (Requirement("word", "Gt", ("1",)), False),
    ],
)
def test_node_affinity_means_what_kubernetes_says(requirement: Requirement, met: bool):
    shape = Shape(Amounts(pods=1), affinity=((requirement,),))
    assert admits({"zone": "1", "word": "x"}, (), shape) is met


def test_one_of_several_affinity_terms_is_enough():
    terms = ((Requirement("a", "Exists"),), (Requirement("b", "Exists"),))
    assert admits({"b": ""}, (), Shape(Amounts(pods=1), affinity=terms))
    assert not admits({"c": ""}, (), Shape(Amounts(pods=1), affinity=terms))


def test_a_taint_reads_back_from_its_text():
    assert Taint.parse("sku=gpu:NoSchedule") == GPU_TAINT
    assert Taint.parse("CriticalAddonsOnly:NoExecute") == Taint("CriticalAddonsOnly", "", "NoExecute")


# Scale-up


def test_forty_gpu_pods_ask_for_forty_machines_with_one_gpu_each():
    assert grown(turn({ONE_GPU: 40}, group(max=40))) == ("heavy", 40)


def test_a_group_grows_to_its_maximum_and_no_further():
    assert grown(turn({ONE_GPU: 40}, group(max=10), targets={"heavy": 3})) == ("heavy", 7)
    full = turn({ONE_GPU: 40}, group(max=10), targets={"heavy": 10})
    assert grown(full) is None
    assert "at its maximum of 10" in full.skipped[0].reason


def test_one_turn_adds_no_more_than_the_flag_allows():
    assert grown(turn({ONE_GPU: 40}, group(max=100), options=Options(max_nodes_per_scaleup=25))) == ("heavy", 25)


def test_the_cluster_s_total_holds_over_all_groups():
    found = turn({ONE_GPU: 40}, group(max=100), targets={"other": 6}, options=Options(max_nodes_total=10))
    assert grown(found) == ("heavy", 4)
    full = turn({ONE_GPU: 1}, group(), targets={"other": 10}, options=Options(max_nodes_total=10))
    assert grown(full) is None


def test_a_gpu_pod_without_the_toleration_grows_nothing():
    assert grown(turn({replace(ONE_GPU, tolerations=frozenset()): 1}, group())) is None


def test_a_pod_larger_than_the_machine_grows_nothing():
    huge = replace(ONE_GPU, requests=ONE_GPU.requests._replace(nvidia=8))
    found = turn({huge: 1}, group())
    assert grown(found) is None
    assert found.skipped[0].reason == "no waiting pod fits"


def test_small_pods_share_a_machine_that_a_larger_one_opened():
    growth = estimate(group(), {ONE_GPU: 1, SMALL: 20}, 10)
    assert growth is not None
    assert (growth.nodes, growth.helped) == (1, {ONE_GPU: 1, SMALL: 20})
    more = estimate(group(), {ONE_GPU: 1, SMALL: 21}, 10)
    assert more is not None
    assert more.nodes == 2, "the machine with the GPU job has 20 cores left"


def test_pods_that_may_not_share_a_node_get_one_each():
    growth = estimate(group(), {replace(SMALL, one_a_node=True): 5}, 10)
    assert growth is not None
    assert growth.nodes == 5


def test_what_fits_on_nodes_that_are_coming_asks_for_none():
    coming = [Room(NODE, 3, {}, (GPU_TAINT,))]
    assert place_on(coming, {ONE_GPU: 3}) == {}
    assert place_on([Room(NODE, 3, {}, (GPU_TAINT,))], {ONE_GPU: 5}) == {ONE_GPU: 2}


def test_pods_of_higher_priority_take_the_room_there_is():
    urgent = replace(ONE_GPU, priority=10)
    assert place_on([Room(NODE, 1, {}, (GPU_TAINT,))], {ONE_GPU: 1, urgent: 1}) == {ONE_GPU: 1}


def test_a_gang_gets_all_its_machines_or_none():
    assert grown(turn({ONE_GPU: 8}, group(max=7), whole=True)) is None
    assert grown(turn({ONE_GPU: 8}, group(max=8), whole=True)) == ("heavy", 8)
    assert grown(turn({ONE_GPU: 8}, group(max=8), targets={"heavy": 1}, whole=True)) is None


def test_least_waste_takes_the_machine_that_fits_best():
    large = group("large", template=Template(Amounts(96_000, 900_000, 0, 8, 0, 100), {}, (GPU_TAINT,)))
    found = turn({ONE_GPU: 1}, large, group("small"), options=Options(expander="least-waste"))
    assert grown(found) == ("small", 1)


def test_priority_goes_before_waste_and_what_matches_nothing_is_left_out():
    order = Priorities.of({80: ["^spot"], 50: ["^heavy"]})
    options = Options(expander="priority,least-waste")
    groups = (group("heavy"), group("spot"), group("other"))
    assert grown(turn({ONE_GPU: 1}, *groups, options=options, priorities=order)) == ("spot", 1)
    only_other = turn({ONE_GPU: 1}, group("other"), options=options, priorities=order)
    assert grown(only_other) == ("other", 1), "one option is not narrowed"


def test_price_takes_the_cheapest_and_an_unknown_price_is_never_that():
    groups = (group("dear", price=4.0), group("unknown"), group("cheap", price=1.0))
    assert grown(turn({ONE_GPU: 1}, *groups, options=Options(expander="price"))) == ("cheap", 1)


def test_most_pods_takes_the_group_that_helps_most():
    picky = group("picky", template=Template(NODE, {"a": "b"}, (GPU_TAINT,)))
    selects = replace(SMALL, selector=frozenset({("a", "b")}))
    found = turn({ONE_GPU: 1, selects: 2}, group(), picky, options=Options(expander="most-pods"))
    assert grown(found) == ("picky", 1)


def test_equal_options_are_drawn_by_lot_and_the_lot_can_be_drawn_again():
    groups = [group(name) for name in "abcdefgh"]
    first = [grown(turn({ONE_GPU: 1}, *groups, options=Options(expander="random"))) for _ in range(3)]
    assert len(set(first)) == 1


def test_an_expander_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="--expander=cheapest: no such expander"):
        turn({ONE_GPU: 1}, group("a"), group("b"), options=Options(expander="cheapest"))


def test_a_failed_group_is_left_alone_and_the_next_one_grows():
    backoff = Backoff()
    backoff.failed("spot", 0, Options(), "AllocationFailed")
    order = Priorities.of({80: ["spot"], 50: ["heavy"]})
    options = Options(expander="priority")
    groups = (group("spot"), group("heavy"))
    during = turn({ONE_GPU: 1}, *groups, options=options, priorities=order, backoff=backoff, now=10)
    assert grown(during) == ("heavy", 1)
    assert "AllocationFailed" in during.skipped[0].reason
    after = turn({ONE_GPU: 1}, *groups, options=options, priorities=order, backoff=backoff, now=301)
    assert grown(after) == ("spot", 1)


def test_a_pause_doubles_after_each_failure_but_not_within_one():
    backoff, options = Backoff(), Options()
    assert backoff.failed("a", 0, options).duration == 300
    assert backoff.failed("a", 10, options).duration == 300, "failures at once are one failure"
    assert backoff.failed("a", 400, options).duration == 600
    for now in (2000, 4000, 8000):
        last = backoff.failed("a", now, options)
    assert last.duration == 1800, "half an hour at most"
    backoff.forget_old(8000 + 10_801, options)
    assert backoff.failed("a", 20_000, options).duration == 300


def test_a_success_ends_the_pause():
    backoff = Backoff()
    backoff.failed("a", 0, Options())
    backoff.succeeded("a")
    assert backoff.left_alone("a", 1) is None


def test_a_group_with_too_many_broken_nodes_does_not_grow():
    assert grown(turn({ONE_GPU: 1}, group(), unhealthy=frozenset({"heavy"}))) is None
    assert is_unhealthy(4, 8, Options())
    assert not is_unhealthy(3, 3, Options()), "up to three are borne"
    assert not is_unhealthy(4, 9, Options()), "45 % at most"


def test_groups_below_their_minimum_are_brought_to_it():
    situation = Situation({}, {"serve": 0, "heavy": 0}, 0, Backoff(), random.Random(1))
    assert below_minimum([group("serve", min=2), group()], situation) == {"serve": 2}


def _shape(numbers: tuple[int, int, int], alone: bool) -> Shape:
    cpu, memory, gpus = numbers
    return Shape(Amounts(cpu, memory, 0, gpus, 0, 1), tolerations=TOLERATES, one_a_node=alone)


SHAPES = st.builds(_shape, st.tuples(st.integers(1, 30_000), st.integers(1, 250_000), st.integers(0, 2)), st.booleans())


@given(st.dictionaries(SHAPES, st.integers(1, 50), max_size=8), st.integers(1, 40))
def test_what_a_growth_promises_fits_on_its_nodes(waiting: dict[Shape, int], most: int):
    growth = estimate(group(), waiting, most)
    if growth is None:
        return
    assert 1 <= growth.nodes <= most
    assert all(count <= waiting[shape] for shape, count in growth.helped.items())
    together = Amounts(*[amount * growth.nodes for amount in NODE])
    assert all(asked <= there for asked, there in zip(growth.requested, together, strict=True))
    fewer = estimate(group(), waiting, growth.nodes - 1) if growth.nodes > 1 else None
    assert fewer is None or fewer.pods <= growth.pods


# Scale-down


def machine(name: str = "n", *residents: Resident, is_gpu: bool = True, **more: Any) -> Machine:
    return Machine(name, more.pop("group", "heavy"), NODE, is_gpu, residents, **more)


JOB = Resident(Amounts(4_000, 50_000, 0, 1, 0, 1), controller="Job")
DAEMON = Resident(Amounts(500, 1_000, 0, 0, 0, 1), controller="DaemonSet", daemon=True)


def test_on_a_gpu_node_only_gpus_count():
    busy_cpu = Resident(Amounts(cpu_milli=24_000, pods=1), controller="Job")
    assert utilization(machine("n", busy_cpu), ignore_daemonsets=False) == 0
    assert utilization(machine("n", JOB), ignore_daemonsets=False) == 1
    assert utilization(machine("n", busy_cpu, is_gpu=False), ignore_daemonsets=False) == 1


def test_daemons_count_unless_told_otherwise():
    node = machine("n", DAEMON, is_gpu=False)
    assert utilization(node, ignore_daemonsets=False) == pytest.approx(500 / 24_000)
    assert utilization(node, ignore_daemonsets=True) == 0


def test_a_gpu_node_whose_gpu_never_came_counts_as_unused():
    broken = replace(machine("n", JOB), allocatable=NODE._replace(nvidia=0))
    assert utilization(broken, ignore_daemonsets=False) == 0


def test_at_threshold_zero_a_half_used_machine_stays_and_an_empty_one_goes():
    options = Options(scale_down_gpu_utilization_threshold=0, ignore_daemonsets_utilization=True)
    eight = replace(machine("n", JOB), allocatable=NODE._replace(nvidia=8))
    assert not is_underused(eight, options)
    assert is_underused(replace(eight, residents=(DAEMON,)), options)
    assert is_underused(eight, Options()), "the program's own threshold would drain it"


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        (JOB, ""),
        (replace(JOB, controller=""), "nobody would make it anew"),
        (replace(JOB, controller="PyTorchJob"), "nobody would make it anew"),
        (replace(JOB, safe_to_evict=False), "not safe to evict"),
        (replace(JOB, controller="", safe_to_evict=True), ""),
        (replace(JOB, local_storage=True), "local storage"),
        (replace(JOB, local_storage=True, safe_to_evict=True), ""),
        (replace(JOB, system=True), "system pod"),
        (replace(JOB, budget_spent=True), "PodDisruptionBudget"),
        (DAEMON, ""),
        (replace(JOB, controller="", finished=True), ""),
    ],
)
def test_what_keeps_a_node(pod: Resident, reason: str):
    said = holds_back(pod, Options())
    assert (reason in said) if reason else said == ""


@pytest.mark.parametrize(
    ("flag", "pod"),
    [
        ("skip_nodes_with_system_pods", replace(JOB, system=True)),
        ("skip_nodes_with_local_storage", replace(JOB, local_storage=True)),
        ("skip_nodes_with_custom_controller_pods", replace(JOB, controller="PyTorchJob")),
    ],
)
def test_a_rule_that_is_switched_off_keeps_nothing(flag: str, pod: Resident):
    assert holds_back(pod, replace(Options(), **{flag: False})) == ""


def test_a_node_goes_only_if_its_pods_fit_elsewhere():
    half = replace(machine("half", JOB), allocatable=NODE._replace(nvidia=8))
    found = unneeded([machine("empty", DAEMON), half], {"heavy": Options()}, lambda _: False)
    assert found == {"empty": True}
    assert unneeded([half], {"heavy": Options()}, lambda _: True) == {"half": False}


def test_a_node_marked_to_stay_stays():
    assert unneeded([machine(kept=True)], {"heavy": Options()}, lambda _: True) == {}


def gone(
    *machines: Machine, waited: float = 601, options: Options | None = None, minimum: int = 0, **more: Any
) -> Removal:
    options = options or Options()
    found = unneeded(machines, {"heavy": options}, lambda _: True)
    idle = Idle()
    idle.update(found, 0)
    arguments: dict[str, Any] = {"deleting": 0, "draining": 0, "sizes": {"heavy": len(machines)}, **more}
    return removable(
        machines,
        found,
        idle,
        options=options,
        by_group={"heavy": options},
        minimums={"heavy": minimum},
        now=waited,
        **arguments,
    )


def test_a_node_goes_when_it_was_unneeded_for_longer_than_wanted():
    assert gone(machine(), waited=600).empty == (), "ten minutes must be over, not just reached"
    assert gone(machine(), waited=601).empty == ("n",)


def test_a_node_that_was_needed_in_between_begins_anew():
    idle = Idle()
    idle.update(["n"], 0)
    idle.update([], 500)
    idle.update(["n"], 510)
    assert idle.since == {"n": 510}


def test_an_unready_node_has_its_own_time():
    assert gone(machine(ready=False), waited=601).empty == ()
    assert gone(machine(ready=False), waited=1201).empty == ("n",)


def test_a_group_keeps_its_minimum():
    assert gone(*(machine(f"n{index}") for index in range(3)), minimum=2).empty == ("n0",)


def test_deletions_run_beside_each_other_up_to_the_limits():
    nodes = [machine(f"n{index}") for index in range(30)]
    assert len(gone(*nodes).empty) == 10
    assert len(gone(*nodes, deleting=8).empty) == 2
    busy = [replace(machine(f"d{index}", JOB), allocatable=NODE._replace(nvidia=8)) for index in range(3)]
    assert gone(*busy).drain == ("d0",), "one node is drained at a time"
    assert gone(*busy, deleting=1, draining=1).drain == ()


@pytest.mark.parametrize(
    ("pauses", "over_at"),
    [(Pauses(), 0), (Pauses(added_at=0), 600), (Pauses(failed_at=0), 180), (Pauses(deleted_at=0), 10)],
)
def test_nothing_goes_in_a_pause(pauses: Pauses, over_at: float):
    assert pauses.over(Options(), over_at)
    assert not pauses.over(Options(), over_at - 1) or pauses == Pauses()


# Flags


def test_the_defaults_are_the_program_s_own():
    with FLAGS.open(newline="") as file:
        known = {row["flag"]: row for row in csv.DictReader(file)}
    for field in fields(Options):
        row = known[field.name.replace("_", "-")]
        said = row["default"] or {"bool": "false", "strings": ""}.get(row["type"], "0")
        assert Options.from_flags({row["flag"]: said}) == Options(), f"--{row['flag']} defaults to {said}"


def test_every_profile_s_flags_are_understood():
    for profile in ("batch", "bursty"):
        settings = Autoscaler.model_validate({"profile": profile})
        told = Options.from_flags(flags(settings, "aks"))
        assert told.expanders == ("priority", "least-waste")
        assert told.ignore_daemonsets_utilization


@pytest.mark.parametrize(("text", "value"), [("1h30m", 5400), ("90s", 90), ("0s", 0), ("1.5m", 90), ("200ms", 0.2)])
def test_durations_are_read_as_go_writes_them(text: str, value: float):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "ten minutes", "10", "5m oops", "-1m"])
def test_what_is_no_duration_is_refused(text: str):
    with pytest.raises(ValueError, match="no duration"):
        seconds(text)


def test_a_flag_with_a_bad_value_is_named():
    with pytest.raises(ValueError, match="--scan-interval=soon"):
        Options.from_flags({"scan-interval": "soon"})


def test_a_group_s_tags_override_the_flags_for_it():
    own = Options().for_group(
        {GROUP_OPTIONS + "scaledownunneededtime": "5m", GROUP_OPTIONS + "scaledowngpuutilizationthreshold": "0"}
    )
    assert (own.scale_down_unneeded_time, own.scale_down_gpu_utilization_threshold) == (300, 0)
    with pytest.raises(ValueError, match="scaledownunneededtime=later"):
        Options().for_group({GROUP_OPTIONS + "scaledownunneededtime": "later"})
