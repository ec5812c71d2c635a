"""Turns over an Azure and an API server that answer at once: what is asked for, and what is not."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.autoscaler import loop
from sandbox.autoscaler.resource_manager import ArmFailedError
from sandbox.autoscaler.view import TO_BE_DELETED
from tests.sandbox.autoscaler.builders import FakeAzure, FakeWatched, Yard, node, pod, scale_set

LIGHT, HEAVY = "aks-light-1-vmss", "aks-heavy-1-vmss"
QUOTA = ArmFailedError(409, "QuotaExceeded", "the quota is full")
ALLOCATION = ArmFailedError(200, "AllocationFailed", "no room in the region")


@pytest.fixture(autouse=True)
def _one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns take the time of the yard that runs."""
    monkeypatch.setattr(loop.time, "time", lambda: _Running.yard.now)


class _Running:
    yard: Yard


def run(yard: Yard, work: Coroutine[Any, Any, None]) -> None:
    _Running.yard = yard
    asyncio.run(work)


def waiting(count: int, **more: Any) -> FakeWatched:
    return FakeWatched(*(pod(f"job-{number}", **more) for number in range(count)))


def test_a_pool_grows_once_for_the_pods_that_wait_and_not_again_while_machines_come() -> None:
    yard = Yard(FakeAzure(scale_set("light")), waiting(4))

    async def work() -> None:
        await yard.turn()
        await yard.turn()
        assert yard.azure.asked == [(LIGHT, 4)]
        yard.join("light", gpus=0)
        await yard.turn()
        assert yard.azure.asked == [(LIGHT, 4)], "nodes without their GPUs yet are still coming"

    run(yard, work())
    assert yard.said("TriggeredScaleUp") == [f"pod triggered scale-up: [{{{LIGHT} 0->4 (max: 10)}}]"] * 4


@pytest.mark.parametrize(
    ("gpus", "flags", "turns"),
    [
        (1, {}, 4),
        (0, {}, 1),
        (1, {"bypassed-scheduler-names": "default-scheduler"}, 1),
    ],
)
def test_new_pods_with_gpus_wait_for_more_of_them_unless_schedulers_are_bypassed(
    gpus: int, flags: dict[str, str], turns: int
) -> None:
    yard = Yard(FakeAzure(scale_set("light")), FakeWatched(), flags=flags)
    made = datetime.fromtimestamp(yard.now + 5, UTC).isoformat()
    one = pod("job", gpus=gpus)
    one["metadata"]["creationTimestamp"] = made
    yard.pods.put(one)

    async def work() -> None:
        for turn in range(1, turns + 1):
            assert not yard.azure.asked, f"turn {turn}"
            await yard.turn()
        assert yard.azure.asked == [(LIGHT, 1)]

    run(yard, work())


def test_a_process_that_was_killed_goes_on_from_what_azure_says() -> None:
    yard = Yard(FakeAzure(scale_set("light")), waiting(4))

    async def work() -> None:
        await yard.turn()
        yard.begin()
        await yard.turn()
        assert yard.azure.asked == [(LIGHT, 4)]

    run(yard, work())


def test_no_pool_grows_beyond_its_maximum_and_the_rest_is_told_why() -> None:
    yard = Yard(FakeAzure(scale_set("light", high=3)), waiting(5))

    async def work() -> None:
        await yard.turn()
        await yard.turn()

    run(yard, work())
    assert yard.azure.asked == [(LIGHT, 3)]
    assert set(yard.said("NotTriggerScaleUp")) >= {"pod didn't trigger scale-up: 1 at its maximum of 3"}


def test_a_pool_that_azure_refuses_is_left_alone_and_the_next_one_is_tried_in_the_next_turn() -> None:
    yard = Yard(FakeAzure(scale_set("light"), scale_set("heavy", size="Standard_NC24ads_A100_v4")), waiting(2))

    async def work() -> None:
        yard.azure.refuse[LIGHT] = QUOTA
        yard.azure.refuse[HEAVY] = QUOTA
        await yard.turn()
        [(first, _)] = yard.azure.asked
        other = HEAVY if first == LIGHT else LIGHT
        yard.azure.refuse.pop(other)
        await yard.turn()
        assert yard.azure.asked[1:] == [(other, 2)]

    run(yard, work())


@pytest.mark.parametrize("left", [0, 2])
def test_a_failure_after_acceptance_moves_on_too_and_failed_machines_are_deleted(left: int) -> None:
    yard = Yard(FakeAzure(scale_set("light"), scale_set("heavy")), waiting(2))

    async def work() -> None:
        yard.azure.fail = {LIGHT: (ALLOCATION, left), HEAVY: (ALLOCATION, left)}
        await yard.turn()
        [(first, _)] = yard.azure.asked
        other = HEAVY if first == LIGHT else LIGHT
        yard.azure.fail.pop(other)
        await yard.turn()
        assert yard.azure.asked[1:] == [(other, 2)]
        assert yard.azure.machines[first] == []
        assert len(yard.azure.deleted) == left

    run(yard, work())


def test_without_fast_deletion_a_failed_machine_counts_until_it_took_too_long() -> None:
    yard = Yard(FakeAzure(scale_set("light")), waiting(1), fast_delete=False)

    async def work() -> None:
        yard.azure.fail = {LIGHT: (ALLOCATION, 1)}
        await yard.turn()
        await yard.turn()
        assert yard.azure.deleted == []
        for _ in range(16):
            await yard.turn(60)
        assert yard.azure.deleted == ["0"]

    run(yard, work())


def test_a_machine_that_never_becomes_a_node_is_deleted_and_its_pool_left_alone() -> None:
    yard = Yard(FakeAzure(scale_set("light")), waiting(1), flags={"max-node-provision-time": "2m"})

    async def work() -> None:
        for _ in range(6):
            await yard.turn(50)
        assert yard.azure.deleted == ["0"]
        assert yard.memory.backoff.left_alone(LIGHT, yard.now)
        assert yard.azure.asked == [(LIGHT, 1)]

    run(yard, work())


def test_idle_machines_go_after_their_time_and_never_below_the_minimum() -> None:
    yard = Yard(
        FakeAzure(scale_set("light", low=1, capacity=3)),
        FakeWatched(),
        flags={"scale-down-unneeded-time": "1m", "scale-down-delay-after-add": "1m"},
    )
    yard.join("light")

    async def work() -> None:
        await yard.turn()
        await yard.turn(55)
        assert yard.azure.deleted == []
        await yard.turn(10)
        await asyncio.sleep(0.05)
        assert len(yard.azure.deleted) == 2

    run(yard, work())


def test_a_running_job_is_never_disturbed() -> None:
    yard = Yard(
        FakeAzure(scale_set("light", capacity=1)),
        FakeWatched(pod("job", node="light-0")),
        flags={"scale-down-unneeded-time": "1m", "scale-down-gpu-utilization-threshold": "0"},
    )
    yard.join("light")

    async def work() -> None:
        for _ in range(10):
            await yard.turn(60)
        assert yard.azure.deleted == []
        assert all(one["key"] != TO_BE_DELETED for one in yard.nodes.objects["", "light-0"]["spec"]["taints"])

    run(yard, work())


def test_a_node_that_a_pod_reaches_at_the_last_moment_stays_and_loses_its_mark() -> None:
    yard = Yard(
        FakeAzure(scale_set("light", capacity=1)),
        FakeWatched(),
        flags={"scale-down-unneeded-time": "1m", "node-delete-delay-after-taint": "100ms"},
    )
    yard.join("light")

    async def work() -> None:
        await yard.turn()
        await yard.turn(65)
        taints = yard.nodes.objects["", "light-0"]["spec"]["taints"]
        assert any(one["key"] == TO_BE_DELETED for one in taints)
        yard.pods.put(pod("late", node="light-0"))
        await asyncio.sleep(0.3)
        assert yard.azure.deleted == []
        taints = yard.nodes.objects["", "light-0"]["spec"]["taints"]
        assert all(one["key"] != TO_BE_DELETED for one in taints)

    run(yard, work())


def test_marks_of_a_killed_autoscaler_are_taken_off() -> None:
    yard = Yard(FakeAzure(scale_set("light", capacity=1)), FakeWatched(pod("job", node="light-0")))
    [provider_id] = yard.azure.provider_ids(LIGHT)
    left = node("light-0", provider_id, "light")
    left["spec"]["taints"].append({"key": TO_BE_DELETED, "value": "1", "effect": "NoSchedule"})
    yard.nodes.put(left)

    async def work() -> None:
        await yard.turn()
        assert all(one["key"] != TO_BE_DELETED for one in yard.nodes.objects["", "light-0"]["spec"]["taints"])

    run(yard, work())


def test_pods_that_no_machine_can_take_are_told_so_and_trigger_nothing() -> None:
    odd = pod("odd", gpus=0)
    odd["spec"]["containers"][0]["resources"]["limits"] = {"example.com/fpga": 1}
    yard = Yard(FakeAzure(scale_set("light")), FakeWatched(odd, pod("large", gpus=8)))

    async def work() -> None:
        await yard.turn()

    run(yard, work())
    assert yard.azure.asked == []
    assert sorted(yard.said("NotTriggerScaleUp")) == [
        "pod didn't trigger scale-up: 1 node(s) are too small for the pod",
        "pod didn't trigger scale-up: no node group offers example.com/fpga",
    ]
