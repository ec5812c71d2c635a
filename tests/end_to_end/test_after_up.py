"""After `make up`: nothing is left to change, the machines are those asked for, and GPUs are where they should be."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest

from capacity.pools import PoolPlan
from components.cluster import SYSTEM_POOL, SYSTEM_TAINT
from stacks.settings import Stack as Settings
from tests.conftest import Stack
from tests.end_to_end.whole import AGENT_POOL_LABEL, NVIDIA, agent_pool, eventually, is_ready

pytestmark = pytest.mark.sandbox

GPU_TOLERATION = {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}
Node = dict[str, Any]


@pytest.fixture(scope="module")
def nodes(platform: Stack) -> list[Node]:
    return json.loads(platform.sandbox.kubectl("get", "nodes", "-o", "json"))["items"]


@pytest.fixture(scope="module")
def outputs(platform: Stack) -> dict[str, Any]:
    return platform.outputs()


def _plan_of(node: Node, plans: dict[str, PoolPlan]) -> PoolPlan | None:
    """The plan of a node's pool; None for the system pool."""
    return plans.get(node["metadata"]["labels"].get("trainyard/pool", ""))


def _taints(node: Node) -> set[str]:
    taints: list[dict[str, str]] = node["spec"].get("taints", [])
    return {f"{one['key']}={one.get('value', '')}:{one['effect']}" for one in taints}


def test_a_preview_right_after_shows_no_change(platform: Stack) -> None:
    platform.pulumi("preview", "--expect-no-changes")


def test_a_refresh_right_after_finds_no_drift(platform: Stack) -> None:
    platform.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")


def test_the_nodes_are_exactly_those_that_the_minimums_ask_for(
    nodes: list[Node], settings: Settings, plans: dict[str, PoolPlan], outputs: dict[str, Any]
) -> None:
    wanted = Counter({outputs["pools"][key]["agentPool"]: plan.settings.min for key, plan in plans.items()})
    wanted[SYSTEM_POOL] = settings.cluster.system_pool.count
    assert Counter(map(agent_pool, nodes)) == +wanted
    assert [node["metadata"]["name"] for node in nodes if not is_ready(node)] == []


def test_nodes_carry_aks_s_labels(nodes: list[Node], settings: Settings, outputs: dict[str, Any]) -> None:
    sizes: dict[str, str] = {pool["agentPool"]: pool["vmSize"] for pool in outputs["pools"].values()}
    for node in nodes:
        labels = node["metadata"]["labels"]
        pool = labels[AGENT_POOL_LABEL]
        system = pool == SYSTEM_POOL
        expected = {
            "agentpool": pool,
            "kubernetes.azure.com/cluster": outputs["nodeResourceGroup"],
            "kubernetes.azure.com/mode": "system" if system else "user",
            "kubernetes.azure.com/role": "agent",
            "kubernetes.azure.com/os-sku": settings.cluster.os_sku,
            "kubernetes.io/hostname": node["metadata"]["name"],
            "kubernetes.io/os": "linux",
            "node.kubernetes.io/instance-type": settings.cluster.system_pool.vm_size if system else sizes[pool],
            "topology.kubernetes.io/region": settings.location,
        }
        assert expected.items() <= labels.items()
        assert node["spec"]["providerID"].startswith("azure:///subscriptions/")
        assert f"/resourceGroups/{outputs['nodeResourceGroup']}/" in node["spec"]["providerID"]
        assert f"/virtualMachineScaleSets/aks-{pool}-" in node["spec"]["providerID"]


def test_nodes_carry_our_labels_and_taints(nodes: list[Node], plans: dict[str, PoolPlan]) -> None:
    for node in nodes:
        plan = _plan_of(node, plans)
        assert _taints(node) == (set(plan.taints) if plan else {SYSTEM_TAINT})
        if plan:
            assert plan.labels.items() <= node["metadata"]["labels"].items()


def test_the_autoscaler_is_ready(platform: Stack) -> None:
    found = platform.sandbox.kubectl("get", "deployment", "cluster-autoscaler", "-n", "kube-system", "-o", "json")
    deployment = json.loads(found)
    assert deployment["spec"]["replicas"] > 0
    assert deployment["status"]["readyReplicas"] == deployment["spec"]["replicas"]
    assert deployment["status"]["observedGeneration"] == deployment["metadata"]["generation"]


def test_gpus_are_allocatable_exactly_on_gpu_nodes(nodes: list[Node], plans: dict[str, PoolPlan]) -> None:
    offered: dict[str, str] = {
        node["metadata"]["name"]: node["status"]["allocatable"][NVIDIA]
        for node in nodes
        if NVIDIA in node["status"]["allocatable"]
    }
    wanted = {
        node["metadata"]["name"]: str(plan.gpus_per_node)
        for node in nodes
        if (plan := _plan_of(node, plans)) and plan.gpu_resource == NVIDIA
    }
    assert wanted, "the stack keeps no GPU machine, so this test shows nothing"
    assert offered == wanted


@pytest.fixture
def pod_named(platform: Stack, request: pytest.FixtureRequest) -> Generator[str]:
    """A name for a pod, which is removed afterwards."""
    name = request.node.name.replace("_", "-")[:60].rstrip("-")
    yield name
    platform.sandbox.kubectl("delete", "pod", name, "--ignore-not-found", "--now", "--wait")


def _pod_asking_for_one_gpu(name: str, tolerations: list[dict[str, str]]) -> str:
    container = {"name": "job", "image": "nvcr.io/nvidia/cuda:12.9.1-base-ubuntu24.04"}
    limits = {"cpu": "100m", "memory": "64Mi", NVIDIA: "1"}
    spec = {"containers": [{**container, "resources": {"limits": limits}}], "tolerations": tolerations}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def _scheduled(platform: Stack, name: str) -> dict[str, Any]:
    """The scheduler's verdict on a pod: its condition and, where it has one, the node's name."""

    def read() -> dict[str, Any]:
        pod = json.loads(platform.sandbox.kubectl("get", "pod", name, "-o", "json"))
        conditions: list[dict[str, Any]] = pod["status"].get("conditions", [])
        verdicts = [one for one in conditions if one["type"] == "PodScheduled"]
        return {**verdicts[0], "node": pod["spec"].get("nodeName")} if verdicts else {}

    return eventually(read, bool, "the scheduler's verdict")


def test_a_pod_that_asks_for_one_gpu_is_scheduled_on_a_serve_node(
    platform: Stack, nodes: list[Node], pod_named: str
) -> None:
    platform.sandbox.kubectl("apply", "-f", "-", stdin=_pod_asking_for_one_gpu(pod_named, [GPU_TOLERATION]))
    verdict = _scheduled(platform, pod_named)
    assert verdict["status"] == "True", verdict
    [node] = [node for node in nodes if node["metadata"]["name"] == verdict["node"]]
    assert node["metadata"]["labels"]["trainyard/pool"] == "serve"
    assert node["metadata"]["labels"]["trainyard/role"] == "serve"


def test_a_pod_without_the_toleration_is_scheduled_nowhere(platform: Stack, pod_named: str) -> None:
    platform.sandbox.kubectl("apply", "-f", "-", stdin=_pod_asking_for_one_gpu(pod_named, []))
    verdict = _scheduled(platform, pod_named)
    assert (verdict["status"], verdict["reason"], verdict["node"]) == ("False", "Unschedulable", None)
    assert "untolerated taint" in verdict["message"]
