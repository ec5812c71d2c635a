"""Changes that would end running jobs or the cluster are refused before anything is changed, with the remedy."""

from __future__ import annotations

import pytest

from tests.end_to_end.whole import AGENT_POOL, StackFile, Step

pytestmark = pytest.mark.sandbox

OTHER_SIZE = ("pools.serve.vmSize", "Standard_NC8as_T4_v3")
"""The `serve` pool keeps a machine, so that a replacement would end what runs there."""


def test_replacing_a_pool_with_machines_is_refused_with_the_remedy(stack_file: StackFile) -> None:
    stack_file.set(*OTHER_SIZE)
    said = stack_file.refusal()
    assert "nothing was changed" in said
    assert "trainyard:pools.serve: the change replaces the pool" in said
    assert "`pulumi config set --path 'trainyard:allowReplacement[0]' serve`" in said


def test_the_remedy_lets_the_replacement_pass(stack_file: StackFile) -> None:
    stack_file.set(*OTHER_SIZE)
    stack_file.set("allowReplacement[0]", "serve")
    assert stack_file.preview() == [Step("replace", AGENT_POOL, "serve")]


def test_another_pod_range_and_another_system_pool_are_refused_both_at_once(stack_file: StackFile) -> None:
    stack_file.set("network.podCidr", "10.64.0.0/10")
    stack_file.set("cluster.systemPool.count", "7")
    said = stack_file.refusal()
    assert "nothing was changed" in said
    assert "trainyard:network.podCidr 10.64.0.0/10: the cluster was made with" in said
    assert "Set `trainyard:network.podCidr` to" in said
    assert "trainyard:cluster.systemPool.count 7: the running system pool has" in said
    assert "az aks nodepool scale --name system --node-count 7" in said
