"""Changes of the stack file: what is changed in place, what is replaced, and in which order."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from azure.mgmt.containerservice import ContainerServiceClient

from tests.conftest import Stack
from tests.end_to_end.conftest import Azure
from tests.end_to_end.whole import AGENT_POOL, StackFile, Step

pytestmark = pytest.mark.sandbox

CREATE_ONLY = {"light": ("vmSize", "Standard_NC8as_T4_v3"), "cpu": ("maxPods", "60")}
"""Pools without machines, so that nothing stands in the way of a replacement."""


def test_a_raised_maximum_updates_one_agent_pool_and_nothing_else(stack_file: StackFile) -> None:
    stack_file.set("pools.heavy.max", "16")
    assert stack_file.preview() == [Step("update", AGENT_POOL, "heavy")]


def test_changed_create_only_values_show_one_replacement_each_and_nothing_else(stack_file: StackFile) -> None:
    _change(stack_file)
    assert sorted(stack_file.preview()) == [Step("replace", AGENT_POOL, pool) for pool in sorted(CREATE_ONLY)]


@pytest.fixture
def put_back(platform: Stack) -> Generator[None]:
    """Deploys the stack's own file afterwards."""
    yield
    platform.pulumi("up", "--yes", "--skip-preview")


@pytest.mark.usefixtures("put_back")
def test_replacements_go_through_each_new_pool_before_the_old_one(
    platform: Stack, stack_file: StackFile, azure: Azure
) -> None:
    before = _agent_pools(platform, azure)
    _change(stack_file)

    steps = stack_file.up()

    assert {(step.type, step.name) for step in steps} == {(AGENT_POOL, pool) for pool in CREATE_ONLY}
    for pool in CREATE_ONLY:
        assert [one.op for one in steps if one.name == pool] == ["create-replacement", "replace", "delete-replaced"]

    after = _agent_pools(platform, azure)
    assert len(after) == len(before), f"a pool is there twice, or none: {[one['name'] for one in after]}"
    names = {_key(one): one["name"] for one in after}
    assert {pool for pool, name in names.items() if name not in {one["name"] for one in before}} == set(CREATE_ONLY)
    shown: dict[str, dict[str, Any]] = platform.outputs()["pools"]
    assert {pool: output["agentPool"] for pool, output in shown.items()} == names
    live = {_key(one): one["properties"] for one in after}
    assert (live["light"]["vmSize"], live["cpu"]["maxPods"]) == ("Standard_NC8as_T4_v3", 60)


def _change(stack_file: StackFile) -> None:
    for pool, (key, value) in CREATE_ONLY.items():
        stack_file.set(f"pools.{pool}.{key}", value)


def _agent_pools(platform: Stack, azure: Azure) -> list[dict[str, Any]]:
    """The program's pools as they are on Azure now."""
    outputs = platform.outputs()
    pools = azure.client(ContainerServiceClient).agent_pools
    documents = [pool.as_dict() for pool in pools.list(outputs["resourceGroup"], outputs["clusterName"])]
    return [one for one in documents if "trainyard-pool" in one["properties"].get("tags", {})]


def _key(agent_pool: dict[str, Any]) -> str:
    """A pool's key in the stack file."""
    return agent_pool["properties"]["tags"]["trainyard-pool"]
