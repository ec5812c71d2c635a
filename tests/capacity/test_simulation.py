"""What a stack does with jobs, one after the other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity.catalogue import load_catalogue
from capacity.checks import load
from capacity.simulation.engine import Simulation
from capacity.simulation.fleet import Fleet, fleet
from capacity.simulation.jobs import Demand, Job
from capacity.simulation.outcome import Outcome

GIB = 2**20
HEAVY = Demand(4_000, 16 * GIB, gpus=1, pool_class="heavy-gpu")
CPU = Demand(2_000, 4 * GIB)
POOLS: dict[str, Any] = {
    "cpu": {"class": "cpu", "max": 4},
    "heavy": {"class": "heavy-gpu", "max": 40},
    "serve": {"class": "light-gpu", "min": 1, "max": 4, "role": "serve"},
}
BOOT = 300.0


def made(pools: dict[str, Any] | None = None, **stack: Any) -> Fleet:
    return fleet(load({"location": "westeurope", "pools": pools or POOLS, **stack}), load_catalogue())


def jobs(count: int, demand: Demand = HEAVY, *, every: float = 0, duration: float = 600, pods: int = 1) -> list[Job]:
    return [Job(f"job-{number}", number * every, duration, demand, pods) for number in range(count)]


def run(found: list[Job], stack: Fleet | None = None, **more: Any) -> Outcome:
    return Simulation(stack or made(), **more).run(found)


def machine_hours(found: Outcome) -> float:
    return sum((node.gone_at or found.ended) - node.requested_at for node in found.nodes) / 3600


def test_forty_jobs_bring_forty_machines_that_go_again():
    found = run(jobs(40))
    assert (found.finished, found.unfinished, found.machines["heavy"].highest) == (40, 0, 40)
    assert found.machines["heavy"].now == 0, "an hour later nobody pays for them"
    # The first turn sees them too new; the second asks; then they boot.
    assert max(found.waits["heavy-gpu"]) == 10 + BOOT


def test_machines_rest_before_they_go():
    found = run(jobs(1))
    assert found.nodes[0].gone_at == pytest.approx(10 + BOOT + 600 + 300 + 10 + 5, abs=10)


def test_a_job_that_comes_soon_after_takes_the_machine_that_rests():
    found = run([Job("a", 0, 600, HEAVY), Job("b", 1100, 600, HEAVY)])
    assert len(found.nodes) == 1
    assert list(found.waits["heavy-gpu"]) == [310, 0]


def test_a_gpu_job_never_takes_a_cpu_or_serve_machine():
    found = run([*jobs(60), *jobs(0)])
    assert found.machines["cpu"].highest == 0
    assert set(found.machines) == {"cpu", "heavy"}


def test_more_jobs_than_machines_wait_for_a_free_one():
    found = run(jobs(80))
    assert found.machines["heavy"].highest == 40
    assert (found.finished, max(found.waits["heavy-gpu"])) == (80, 10 + BOOT + 600)


def test_a_higher_priority_goes_first():
    stack = made({"heavy": {"class": "heavy-gpu", "max": 1}})
    urgent = Demand(4_000, 16 * GIB, gpus=1, priority=10)
    found = run([*jobs(2), Job("urgent", 1, 600, urgent)], stack)
    assert sorted(found.waits["heavy-gpu"]) == [309, 910, 1510], "the urgent job's wait is the shortest"


def test_quota_reached_half_way_refuses_the_rest_and_loses_no_job():
    found = run(jobs(40), quota={"standardncadsa100v4family": 24 * 40, "cores": 24 * 40})
    assert (found.finished, dict(found.refused)) == (40, {})
    short = run([*jobs(20), *[Job(f"late-{n}", 20, 600, HEAVY) for n in range(20)]], quota={"cores": 24 * 30})
    assert short.refused["heavy"] >= 1
    assert (short.finished, short.machines["heavy"].highest) == (40, 20), "Azure grants a request whole or not at all"


def test_spot_machines_count_against_the_spot_quota_alone():
    stack = made({"heavy": {"class": "heavy-gpu", "max": 40, "spot": True}})
    found = run(jobs(10), stack, quota={"cores": 0})
    assert (found.finished, found.cores) == (10, {"spot": 240})


def test_spot_goes_first_and_on_demand_takes_over_when_it_is_refused():
    pools = {
        "spot": {"class": "heavy-gpu", "max": 40, "spot": True, "priority": 80},
        "heavy": {"class": "heavy-gpu", "max": 40},
    }
    assert run(jobs(10), made(pools)).machines["spot"].highest == 10
    found = run(jobs(10), made(pools), quota={"spot": 0})
    assert (found.machines["spot"].highest, found.machines["heavy"].highest) == (0, 10)
    assert max(found.waits["heavy-gpu"]) <= 10 + 10 + 10 + BOOT


def test_a_gang_starts_whole_or_not_at_all_and_lets_small_jobs_pass():
    pools = {"heavy": {"class": "heavy-gpu", "max": 8}}
    found = [Job("long", 0, 5000, HEAVY), Job("gang", 60, 600, HEAVY, 8), Job("small", 1000, 600, HEAVY)]
    blocked = run(found, made(pools))
    assert blocked.finished == 3
    long, small, gang = list(blocked.waits["heavy-gpu"])
    assert (long, small < 400) == (310, True), "the small job passes the gang"
    assert gang > 5000, "the gang waits for eight machines at once"


def test_a_gang_takes_what_is_there_and_asks_for_the_rest():
    pools = {"heavy": {"class": "heavy-gpu", "max": 8}}
    found = run([Job("first", 0, 300, HEAVY), Job("gang", 620, 600, HEAVY, 8)], made(pools))
    assert (len(found.nodes), found.finished) == (8, 2)


@pytest.mark.parametrize(
    ("demand", "pods", "reason"),
    [
        (Demand(4_000, GIB, gpus=8, pool_class="heavy-gpu"), 1, "more than any machine of heavy offers"),
        (
            Demand(4_000, GIB, gpus=1, pool_class="light-gpu"),
            1,
            "the stack's pools for jobs are of class cpu, heavy-gpu",
        ),
        (Demand(4_000, GIB, gpus=1, gpu_model="H100"), 1, "the stack's GPUs are A100"),
        (HEAVY, 41, "a gang of 41 pods"),
        (Demand(400_000, GIB), 1, "more than any machine of cpu offers: the largest leaves 7."),
    ],
)
def test_a_job_that_can_never_run_is_told_why(demand: Demand, pods: int, reason: str):
    found = run([Job("never", 0, 10, demand, pods), Job("fine", 0, 10, CPU)])
    [told] = found.never
    assert reason in told
    assert found.finished == 1


def test_the_minimum_is_there_from_the_start_and_stays():
    found = run(jobs(1), made({"heavy": {"class": "heavy-gpu", "min": 2, "max": 4}}))
    assert list(found.waits["heavy-gpu"]) == [0]
    assert (len(found.nodes), found.machines["heavy"].now) == (2, 2)


def test_a_trace_out_of_order_or_empty_is_refused():
    with pytest.raises(ValueError, match="job early arrives at 0 s, before the one above it"):
        run([Job("late", 10, 1, CPU), Job("early", 0, 1, CPU)])
    with pytest.raises(ValueError, match="no jobs"):
        run([])


JOBS = st.lists(
    st.tuples(
        st.floats(0, 400),
        st.floats(0, 3000),
        st.sampled_from([HEAVY, CPU, Demand(1_000, GIB, gpus=1), Demand(7_000, 20 * GIB)]),
        st.sampled_from([1, 1, 1, 2, 5]),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(JOBS, st.sampled_from([{}, {"cores": 100}, {"spot": 0}]))
def test_no_job_is_lost_and_no_machine_left(listed: list[tuple[float, float, Demand, int]], quota: dict[str, int]):
    at, found = 0.0, list[Job]()
    for number, (gap, duration, demand, pods) in enumerate(listed):
        at += gap
        found.append(Job(str(number), at, duration, demand, pods))
    outcome = run(found, quota=quota)
    told = sum(outcome.never.values())
    assert outcome.finished + outcome.unfinished + told == len(found)
    assert outcome.unfinished == 0 or outcome.refused, "only a quota can keep a job waiting for ever"
    assert all(wait >= 0 for waits in outcome.waits.values() for wait in waits)
    assert all(node.pods == 0 for node in outcome.nodes)
    assert all(series.now == 0 for series in outcome.machines.values()), "all machines above the minimum go"
    assert outcome.cores.get("cores", 0) <= quota.get("cores", 10**9)
