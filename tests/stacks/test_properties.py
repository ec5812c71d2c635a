"""What holds for every value that YAML can bring."""

from __future__ import annotations

import json
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from capacity.catalogue import load_catalogue
from capacity.checks import load
from capacity.network_plan import plan_network
from capacity.pools import plan_pools
from capacity.prediction import allocatable
from stacks.base import Settings
from stacks.draft import STAND_INS
from stacks.problems import SettingsErrors
from stacks.settings import Stack

KEYS = sorted(
    {field.alias or name for model in [Stack, *Settings.__subclasses__()] for name, field in model.model_fields.items()}
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.dates(),
    st.binary(max_size=4),
    st.text(max_size=12),
    st.sampled_from(
        ["cpu", "heavy-gpu", "westeurope", "10.0.0.0/16", "mig", "1", "Standard_D8ds_v5", "a=b:NoSchedule"]
    ),
)
WORDS = st.one_of(st.sampled_from(KEYS), st.text(max_size=8), st.integers(), st.none(), st.booleans())
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5), max_leaves=25
)

SOLD = [
    size
    for size in load_catalogue().sizes.values()
    if load_catalogue().sold_in("westeurope", size.name) and size.architecture == "amd64"
]
CPU_SIZES = [size.name for size in SOLD if not size.gpus and not size.family.lower().startswith("standardn")]
GPU_SIZES = [size.name for size in SOLD if size.gpus]


def errors_of(values: dict[Any, Any]) -> list[str]:
    """The errors of a stack, none if it is valid; any other exception is the test's failure."""
    try:
        load(values)
    except SettingsErrors as problem:
        return problem.errors
    return []


@st.composite
def pools(draw: st.DrawFn) -> dict[str, Any]:
    """A valid pool."""
    is_gpu = draw(st.booleans())
    maximum = draw(st.integers(1, 400))
    pool: dict[str, Any] = {
        "class": draw(st.sampled_from(["light-gpu", "heavy-gpu"])) if is_gpu else "cpu",
        "vmSize": draw(st.sampled_from(GPU_SIZES if is_gpu else CPU_SIZES)),
        "min": draw(st.integers(0, maximum)),
        "max": maximum,
        "maxPods": draw(st.integers(10, 250)),
        "osDisk": {"sizeGib": draw(st.integers(30, 2048))},
        "zones": draw(st.lists(st.sampled_from(["1", "2", "3"]), unique=True)),
        "labels": draw(
            st.dictionaries(st.from_regex(r"[a-z]{1,8}\.example/[a-z]{1,8}", fullmatch=True), st.just("x"), max_size=3)
        ),
        "taints": draw(st.lists(st.from_regex(r"t[a-z]{1,8}=v:NoSchedule", fullmatch=True), max_size=1)),
    }
    if draw(st.booleans()):
        pool["surge"] = draw(st.sampled_from(["1", "5", "50%"]))
    else:
        pool["spot"] = draw(st.sampled_from([True, {"maxPrice": 1.5}, {"evictionPolicy": "Deallocate"}]))
    return pool


@st.composite
def stack_values(draw: st.DrawFn) -> dict[str, Any]:
    """A valid stack."""
    return {
        "location": "westeurope",
        "pools": draw(
            st.dictionaries(st.from_regex(r"[a-z][a-z0-9]{0,6}", fullmatch=True), pools(), min_size=1, max_size=4)
        ),
        "network": draw(
            st.sampled_from(
                [
                    {},
                    {"vnetCidr": "10.0.0.0/18"},
                    {"vnetCidr": "192.168.0.0/16"},
                    {"vnetCidr": "10.224.0.0/12"},
                    {"serviceCidr": "10.240.0.0/16"},
                ]
            )
        ),
        "tags": draw(
            st.dictionaries(st.from_regex(r"[a-z]{1,9}-tag", fullmatch=True), st.text(max_size=9), max_size=3)
        ),
    }


@given(st.dictionaries(WORDS, VALUES, max_size=6))
@settings(max_examples=300, deadline=None)
def test_no_values_bring_anything_but_settings_errors(values: dict[Any, Any]):
    errors = errors_of(values)
    assert len(set(errors)) == len(errors)


@given(st.lists(st.sampled_from(KEYS), min_size=1, max_size=4), VALUES)
@settings(max_examples=300, deadline=None)
def test_any_value_at_any_key_of_a_valid_stack_brings_nothing_else_either(keys: list[str], value: Any):
    values: dict[str, Any] = {
        "location": "westeurope",
        "pools": {"heavy": {"class": "heavy-gpu", "max": 2, "gpu": {}, "spot": {}}},
        "cluster": {"systemPool": {}, "upgrades": {"window": {}}},
        "storage": {"files": {"shares": {"code": {"sizeGib": 100}}}},
        "network": {},
        "autoscaler": {},
    }
    place = values
    for key in keys[:-1]:
        inner: Any = place.get(key, place.get("heavy", {}))
        place = cast("dict[str, Any]", inner) if isinstance(inner, dict) else place
    place[keys[-1]] = value
    assert all(error.startswith("trainyard") for error in errors_of(values))


@given(stack_values())
@settings(max_examples=150, deadline=None)
def test_a_valid_stack_survives_a_round_trip(values: dict[str, Any]):
    stack = load(values)
    written = json.loads(stack.model_dump_json(by_alias=True))
    assert load(written) == stack


@given(stack_values())
@settings(max_examples=150, deadline=None)
def test_any_valid_pools_get_a_network_with_room_for_all_their_machines(values: dict[str, Any]):
    stack = load(values)
    plan = plan_network(stack)
    machines = stack.cluster.system_pool.count + 1
    machines += sum(pool.peak_nodes for pool in plan_pools(stack, load_catalogue()).values())
    assert plan.node_subnet.num_addresses - 5 >= machines
    assert 1 << (24 - plan.pods.prefixlen) >= machines
    assert plan.node_subnet.subnet_of(plan.vnet)
    assert plan.private_endpoints.subnet_of(plan.vnet)
    apart = [plan.node_subnet, plan.private_endpoints, plan.pods, plan.services]
    assert not any(one.overlaps(other) for index, one in enumerate(apart) for other in apart[:index])
    assert not plan.vnet.overlaps(plan.pods)
    assert plan.dns_service_ip in plan.services


@given(stack_values())
@settings(max_examples=100, deadline=None)
def test_no_node_is_promised_more_than_its_size_has(values: dict[str, Any]):
    for plan in plan_pools(load(values), load_catalogue()).values():
        room = allocatable(plan.size, plan.settings.max_pods, plan.os_disk_gib)
        assert 0 < room.cpu_milli < plan.size.vcpus * 1000
        assert 0 <= room.memory_mib < plan.size.memory_mib
        assert 0 < room.ephemeral_mib < plan.os_disk_gib * 1024
        if plan.os_disk_type == "Ephemeral":
            assert plan.size.os_disk_room_gib is not None
            assert plan.os_disk_gib <= plan.size.os_disk_room_gib


def test_every_required_setting_has_a_stand_in_for_when_it_is_wrong():
    required = {
        field.alias or name
        for model in [Stack, *Settings.__subclasses__()]
        for name, field in model.model_fields.items()
        if field.is_required()
    }
    assert required == set(STAND_INS)
