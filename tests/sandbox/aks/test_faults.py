"""Faults on order: what they meet, how often, and what Azure looks like afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.azure import faults
from sandbox.azure.errors import ArmError
from tests.sandbox.aks.conftest import Cloud


def order(yard: Cloud, *wanted: dict[str, Any]) -> None:
    yard.put("/sandbox/faults", {"faults": list(wanted)})


def meets(yard: Cloud, method: str, path: str, body: Any = None) -> ArmError | None:
    fault = yard.manager.fault(method, path, body)
    return None if fault is None else faults.error(fault)


def growth(yard: Cloud, capacity: int) -> tuple[str, dict[str, Any]]:
    found = yard.scale_set("light")
    return found["id"], {"location": found["location"], "sku": {**found["sku"], "capacity": capacity}}


def states(yard: Cloud) -> list[str]:
    listed = yard.get(f"{yard.scale_set('light')['id']}/virtualMachines")["value"]
    return [one["properties"]["provisioningState"] for one in listed]


def test_a_throttled_request_says_when_to_come_back_and_is_met_as_often_as_ordered(yard: Cloud) -> None:
    yard.make_pool("light", count=0)
    order(yard, {"answer": "429", "type": "microsoft.compute/virtualmachinescalesets", "count": 2, "retryAfter": 7})
    path, body = growth(yard, 1)
    first = meets(yard, "PUT", path, body)
    assert first is not None
    assert (first.status, first.headers["Retry-After"]) == (429, "7")
    assert meets(yard, "GET", path) is not None
    assert meets(yard, "GET", path) is None
    assert yard.get("/sandbox/faults") == {"faults": []}


def test_a_fault_meets_only_what_it_names(yard: Cloud) -> None:
    yard.make_pool("light", count=0)
    order(yard, {"answer": "500", "method": "PUT", "name": "heavy"}, {"answer": "503", "method": "POST"})
    path, body = growth(yard, 1)
    assert meets(yard, "PUT", path, body) is None
    error = meets(yard, "POST", f"{path}/delete", {"instanceIds": ["0"]})
    assert error is not None
    assert error.status == 503


@pytest.mark.parametrize("code", faults.ALLOCATION)
def test_an_allocation_that_is_refused_at_once_meets_growth_alone(yard: Cloud, code: str) -> None:
    yard.make_pool("light", count=1)
    order(yard, {"answer": code, "name": "light"})
    path, body = growth(yard, 1)
    assert meets(yard, "PUT", path, body) is None
    path, body = growth(yard, 2)
    error = meets(yard, "PUT", path, body)
    assert error is not None
    assert (error.status, error.code) == (409, code)


@pytest.mark.parametrize(("leave", "left"), [(0, []), (2, ["Failed", "Failed"])])
def test_an_allocation_that_fails_later_is_accepted_first(yard: Cloud, leave: int, left: list[str]) -> None:
    yard.make_pool("light", count=0)
    order(yard, {"answer": "AllocationFailed", "name": "light", "when": "later", "after": 4, "leave": leave})
    reply = yard.put(*growth(yard, 3))
    assert reply.status == 200
    assert reply.body["sku"]["capacity"] == 3
    assert states(yard) == ["Creating"] * 3
    assert yard.finish(reply) == "Failed"
    assert reply.operation is not None
    assert reply.operation.error is not None
    assert reply.operation.error["code"] == "AllocationFailed"
    assert states(yard) == left
    found = yard.scale_set("light")
    assert (found["sku"]["capacity"], found["properties"]["provisioningState"]) == (leave, "Failed")
    again = yard.put(*growth(yard, leave + 1))
    assert yard.finish(again) == "Succeeded"
    assert yard.scale_set("light")["properties"]["provisioningState"] == "Succeeded"


def test_some_machines_of_a_failed_allocation_may_come(yard: Cloud) -> None:
    yard.make_pool("light", count=0)
    order(yard, {"answer": "ZonalAllocationFailed", "when": "later", "after": 4, "granted": 1})
    reply = yard.put(*growth(yard, 3))
    assert yard.finish(reply) == "Failed"
    assert states(yard) == ["Succeeded"]


def test_spot_machines_are_taken_back_and_others_are_not(yard: Cloud) -> None:
    yard.make_pool("light", count=2)
    yard.make_pool(
        "cheap", count=3, vmSize="Standard_D4ds_v5", scaleSetPriority="Spot", scaleSetEvictionPolicy="Delete"
    )
    gone = yard.send("POST", "/sandbox/evictions", {"pool": "cheap|light", "count": 2}).body["evicted"]
    assert len(gone) == 2
    assert (len(yard.machines("cheap")), len(yard.machines("light"))) == (1, 2)
    assert yard.scale_set("cheap")["sku"]["capacity"] == 1


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"answer": "418"}, "answer"),
        ({"answer": "429", "polite": True}, "polite"),
        ({"answer": "429", "when": "later"}, "later"),
        ({"answer": "429", "count": "two"}, "count"),
        ({"answer": "429", "name": "("}, "no pattern"),
        ({}, "answer"),
    ],
)
def test_a_fault_that_is_not_understood_is_refused_with_the_reason(
    yard: Cloud, fault: dict[str, Any], says: str
) -> None:
    error = yard.refusal(lambda: order(yard, fault))
    assert error.status == 400
    assert says in error.message
