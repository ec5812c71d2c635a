"""Every mistake in a stack file becomes an error that names key, value, what is allowed and the remedy."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from capacity.checks import load
from stacks.problems import SettingsErrors
from tests.stacks.mistakes import CASES, VALID


def changed(**settings: Any) -> dict[str, Any]:
    """The valid stack with values put at keys as `pools__heavy__max`."""
    values = copy.deepcopy(VALID)
    for key, value in settings.items():
        *path, last = key.split("__")
        place = values
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return values


def errors_of(values: Mapping[str, Any]) -> list[str]:
    with pytest.raises(SettingsErrors) as caught:
        load(values)
    return caught.value.errors


def test_the_valid_stack_is_valid():
    assert load(VALID).pools["heavy"].max == 4


@pytest.mark.parametrize(("settings", "key", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_mistake_is_one_error_with_key_value_and_remedy(settings: dict[str, Any], key: str, words: list[str]):
    errors = errors_of(changed(**settings))
    named = [error for error in errors if error.startswith(f"trainyard:{key}: ")]
    matching = [error for error in named if all(word in error for word in words)]
    assert len(matching) == 1, errors


@pytest.mark.parametrize(
    "values", [{}, {"location": "westeurope"}, {"pools": VALID["pools"]}], ids=["nothing", "no pools", "no location"]
)
def test_a_missing_required_key_is_named(values: dict[str, Any]):
    [error] = errors_of(values)
    assert ("required: location and pools" in error) if not values else ("is missing" in error and "Add it" in error)


@pytest.mark.parametrize("pools", [{"heavy": {"max": 1}}, {"heavy": {"class": "heavy-gpu"}}])
def test_a_pool_without_class_or_max_is_one_error(pools: dict[str, Any]):
    [error] = errors_of(changed(pools=pools))
    assert error.startswith("trainyard:pools.heavy.")
    assert "is missing" in error


def test_more_than_a_hundred_pools_are_refused_the_system_pool_counted():
    pools = {f"p{index}": {"class": "cpu", "max": 1} for index in range(100)}
    assert any("101; allowed: 100" in error for error in errors_of(changed(pools=pools)))
    del pools["p0"]
    load(changed(pools=pools))


def test_more_than_5000_machines_are_refused_surge_and_system_pool_counted():
    pools = {f"p{index}": {"class": "cpu", "max": 999} for index in range(5)}
    [error] = errors_of(changed(pools=pools))
    assert error.startswith("trainyard:pools: 5003 machines in all")
    assert "Lower max by 3" in error
    pools["p0"]["max"] = 996
    load(changed(pools=pools))


def test_all_errors_come_at_once_those_hidden_behind_others_too():
    values = changed(
        location="westeurop",
        cluster__kubernetesVersion=1.35,
        cluster__systemPool__vmSize="Standard_B4ms",
        pools__heavy__min=9,
        pools__heavy__labels={"kubernetes.io/x": "y"},
        pools__bad={"class": "cpu", "max": "x", "taints": ["nonsense"], "oops": 1},
        network__podCidr="10.0.0.0/11",
        storage__files__shares__code__protocol="nfs",
        allowReplacement=["nobody"],
    )
    keys = {error.split(": ")[0] for error in errors_of(values)}
    assert keys == {
        "trainyard:location",
        "trainyard:cluster.kubernetesVersion",
        "trainyard:cluster.systemPool.vmSize",
        "trainyard:pools.heavy.min",
        'trainyard:pools.heavy.labels["kubernetes.io/x"]',
        "trainyard:pools.bad.max",
        "trainyard:pools.bad.oops",
        "trainyard:pools.bad.taints[0]",
        "trainyard:network.podCidr",
        "trainyard:storage.files.shares.code.protocol",
        "trainyard:allowReplacement[0]",
    }


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"pools__heavy__min": 9, "pools__heavy__max": "x"}, "pools.heavy.max"),
        (
            {"pools__heavy__class": "gpu", "pools__heavy__gpu": {"replicas": 2, "sharing": "time-slicing"}},
            "pools.heavy.class",
        ),
        ({"pools__cpu__klass": "cpu"}, "pools.cpu.klass"),
        ({"pools__heavy__vmsize": "Standard_D8ds_v5", "location": "westeurope"}, "pools.heavy.vmsize"),
        ({"network__vnetCidr": "wide", "network__nodeSubnetCidr": "192.168.0.0/20"}, "network.vnetCidr"),
        ({"allowReplacement": ["heavy"], "pools__heavy": "big"}, "pools.heavy"),
        (
            {"storage__files__shares__code": {"sizeGib": 50, "tier": "fast", "protocol": "nfs"}},
            "storage.files.shares.code.tier",
        ),
    ],
)
def test_an_error_brings_no_others_that_it_caused(settings: dict[str, Any], key: str):
    errors = errors_of(changed(**settings))
    assert [error.split(": ")[0] for error in errors] == [f"trainyard:{key}"], errors


def test_an_error_is_told_once_however_many_rules_meet_it():
    errors = errors_of(changed(pools__heavy__vmSize="Standard_Nonsense"))
    assert len(errors) == 1


def test_numbers_and_booleans_may_be_text_as_pulumi_config_set_writes_them():
    stack = load(
        changed(
            pools__heavy__max="16",
            pools__heavy__scaling={"utilizationThreshold": "0.5"},
            pools__heavy__zones=[1],
            pools__heavy__surge=2,
            pools__cpu__spot="true",
            cluster__private="true",
        )
    )
    heavy = stack.pools["heavy"]
    assert (heavy.max, heavy.scaling.utilization_threshold, heavy.zones, heavy.surge) == (16, 0.5, ("1",), "2")
    assert stack.pools["cpu"].spot is not None
    assert stack.cluster.private is True


@pytest.mark.parametrize("written", [False, "false", None])
def test_spot_can_be_switched_off(written: object):
    assert load(changed(pools__heavy__spot=written)).pools["heavy"].spot is None


def test_a_spot_pool_has_no_surge_and_an_on_demand_pool_always_has_one():
    pools = load(changed(pools__heavy__spot=True)).pools
    assert (pools["heavy"].max_surge, pools["heavy"].surge_nodes) == (None, 0)
    assert (pools["cpu"].max_surge, pools["cpu"].surge_nodes) == ("1", 1)


@pytest.mark.parametrize(("surge", "nodes"), [("1", 1), ("33%", 4), ("100%", 10), ("25", 10)])
def test_surge_counts_as_aks_counts_it(surge: str, nodes: int):
    assert load(changed(pools__cpu__max=10, pools__cpu__surge=surge)).pools["cpu"].surge_nodes == nodes


@pytest.mark.parametrize(
    "settings",
    [
        {"pools__heavy__password": "hunter2"},
        {"pools__heavy__labels": {"api-token": "hunter2 x"}},
        {"accountKey": "hunter2"},
        {"cluster": {"secure": "hunter2"}},
    ],
)
def test_values_that_may_be_secrets_are_not_shown(settings: dict[str, Any]):
    errors = errors_of(changed(**settings))
    assert not [error for error in errors if "hunter2" in error]


def test_values_that_the_engine_holds_encrypted_are_not_shown():
    values = changed(location="hunter2", pools__heavy__taints=["hunter2"], pools__heavy__min=999)
    with pytest.raises(SettingsErrors) as caught:
        load(values, secret_keys={"location", "pools"})
    assert "hunter2" not in str(caught.value)
    assert "999" not in str(caught.value)
    assert "without --secret" in str(caught.value)


def test_a_value_that_holds_itself_is_an_error():
    endless: dict[str, Any] = {}
    endless["pools"] = endless
    assert errors_of({"location": "westeurope", "pools": endless})


def test_a_small_file_that_stands_for_a_huge_tree_is_an_error():
    tree: list[Any] = ["x"]
    for _ in range(11):
        tree = [tree] * 10
    assert any("holds too much" in error for error in errors_of(changed(tags={"a": tree})))
