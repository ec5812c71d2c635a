"""What counts as a change, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from preview.callouts import callouts
from preview.changed import changed_stacks
from preview.changes import AGENT_POOL, CLUSTER, Change, find_changes
from preview.events import Step
from preview.live import Live, LivePool

SCALED = {"tags": {"cluster-autoscaler-enabled": "true", "max": "4"}}


def step(type_: str, op: str, old: dict[str, Any] | None, new: dict[str, Any] | None, **more: Any) -> Step:
    values: dict[str, Any] = {"keys": (), "diff": {}, **more}
    return Step(op, f"urn:pulumi:dev::p::{type_}::x", type_, "x", "", old, new, **values)


def changes(type_: str, old: dict[str, Any], new: dict[str, Any], **more: Any) -> list[Change]:
    return list(find_changes([step(type_, "update", old, new, **more)]).listed)


@pytest.mark.parametrize(
    ("type_", "old", "new", "diff"),
    [
        (AGENT_POOL, {"count": 0, **SCALED}, {"count": 7, **SCALED}, {"count": "update"}),
        (AGENT_POOL, {"count": 3, "enableAutoScaling": True}, {"count": 1, "enableAutoScaling": True}, {}),
        ("t", {"tags": [{"key": "a"}, {"key": "b"}]}, {"tags": [{"key": "b"}, {"key": "a"}]}, {"tags": "update"}),
        (AGENT_POOL, {"nodeTaints": ["a", "b"]}, {"nodeTaints": ["b", "a"]}, {"nodeTaints[0]": "update"}),
        ("t", {"tags": {"a": "1", "b": "2"}}, {"tags": {"b": "2", "a": "1"}}, {}),
        ("t", {"size": 1, "zones": []}, {"size": 1.0}, {}),
        (CLUSTER, {"x": 1}, {"x": 1}, {"agentPoolProfiles[1]": "delete"}),
    ],
    ids=["cluster-autoscaler", "AKS's", "tags as a list", "taints", "tags", "numbers and nothing", "filled in"],
)
def test_churn_is_no_change_but_is_named(type_: str, old: Any, new: Any, diff: dict[str, str]) -> None:
    found = find_changes([step(type_, "update", old, new, diff=diff)])
    assert found.listed == ()
    assert (found.unchanged, len(found.quiet)) == (1, 1)


@pytest.mark.parametrize(
    ("type_", "old", "new"),
    [
        (AGENT_POOL, {"count": 0}, {"count": 7}),
        (AGENT_POOL, {"count": 0, **SCALED}, {"count": 0, "tags": {**SCALED["tags"], "max": "5"}}),
        ("t", {"command": ["a", "b"]}, {"command": ["b", "a"]}),
        ("t", {"enabled": True}, {"enabled": 1}),
        ("t", {"zones": ["1"]}, {"zones": ["1", "2"]}),
        ("t", {"tags": {"a": "1"}}, {"tags": {"A": "1"}}),
    ],
)
def test_what_means_something_is_a_change(type_: str, old: Any, new: Any) -> None:
    assert len(changes(type_, old, new)) == 1


def test_a_drift_that_the_update_puts_back_is_a_change() -> None:
    assert len(changes("t", {"a": 1}, {"a": 1}, diff={"properties.firewall": "update"})) == 1


def test_the_three_steps_of_a_replacement_are_one() -> None:
    old, new = {"vmSize": "A"}, {"vmSize": "B"}
    steps = [
        step(AGENT_POOL, "create-replacement", old, new, keys=("vmSize",)),
        step(AGENT_POOL, "replace", old, new, keys=("vmSize",)),
        step(AGENT_POOL, "delete-replaced", old, None),
    ]
    for order in (steps, steps[::-1]):
        [change] = find_changes(order).listed
        assert (change.kind, change.old, change.new) == ("replace", old, new)
        assert [(one.path, one.forces) for one in change.differences] == [("vmSize", True)]


LIVE = {
    "nobody looked": (None, "was not read"),
    "out of reach": (Live({}, "refused"), "could not be read"),
    "empty": (Live({}), "nothing that runs is ended"),
    "idle": (Live({"p1": LivePool(2)}), "has 2 machines now, and no job runs on them"),
    "busy": (Live({"p1": LivePool(1, {"a/b": 3})}), "**this ends 1 running job**: `a/b` (3 pods)"),
}


@pytest.mark.parametrize("case", sorted(LIVE))
def test_a_pool_that_goes_says_what_is_known_of_it(case: str) -> None:
    live, words = LIVE[case]
    found = find_changes([step(AGENT_POOL, "delete", {"agentPoolName": "p1"}, None)])
    [told] = callouts(found, live)
    assert words in told


@pytest.mark.parametrize(
    ("type_", "retained", "words"),
    [
        ("azure-native:storage:FileShare", False, "its data goes with it"),
        ("azure-native:storage:FileShare", True, "Azure keeps it and its data"),
        ("azure-native:storage:StorageAccount", False, "its data goes with it"),
        ("azure-native:resources:ResourceGroup", False, "with everything in it"),
        (CLUSTER, False, "with everything that runs in it"),
        ("kubernetes:ceph.rook.io/v1:CephCluster", False, "its data goes with it"),
    ],
)
def test_storage_that_goes_is_called_out(type_: str, retained: bool, words: str) -> None:
    [told] = callouts(find_changes([step(type_, "delete", {}, None, retained=retained)]), None)
    assert words in told


def test_what_holds_nothing_goes_silently() -> None:
    gone = [step("kubernetes:core/v1:ConfigMap", "delete", {}, None)]
    assert callouts(find_changes(gone), None) == []
    volume = {"spec": {"persistentVolumeReclaimPolicy": "Retain"}}
    assert callouts(find_changes([step("kubernetes:core/v1:PersistentVolume", "delete", volume, None)]), None) == []


@pytest.mark.parametrize(
    ("files", "stacks"),
    [
        (["stacks/Pulumi.dev.yaml"], ["dev"]),
        (["stacks/policies.prod.json"], ["prod"]),
        (["stacks/settings.py"], ["dev", "prod"]),
        (["components/cluster.py", "stacks/Pulumi.dev.yaml"], ["dev", "prod"]),
        (["stacks/Pulumi.other.yaml"], []),
        ([], []),
    ],
)
def test_only_environments_that_changed_are_previewed(files: list[str], stacks: list[str]) -> None:
    assert changed_stacks(files, ["dev", "prod"]) == stacks
