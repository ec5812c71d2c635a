"""Every claim of the platform, mounted from a pod in every pool, as far as scheduling, taints and CSI topology decide.

A pool at zero gets one machine, asked of its scale set as cluster-autoscaler asks. What a mount would carry is not
shown: the sandbox's machines run no containers.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from typing import Any

import pytest
from azure.mgmt.compute import ComputeManagementClient

from capacity.pools import PoolPlan
from tests.conftest import Stack
from tests.end_to_end.conftest import Azure
from tests.end_to_end.whole import eventually

pytestmark = pytest.mark.sandbox

_PATIENCE = 180.0


@pytest.fixture(scope="module")
def claims(platform: Stack) -> dict[str, str]:
    """Each claim in `default` that the stack's outputs name, to the CSI driver of its volume."""
    outputs = platform.outputs()
    named = [*outputs["shares"].values(), *outputs["containers"].values()]
    if "claim" in outputs["fileSystem"]:
        named.append(outputs["fileSystem"]["claim"])
    found: dict[str, str] = {}
    for one in named:
        namespace, _, name = one.partition("/")
        assert namespace == "default"
        claim = _object(platform, "pvc", name)
        assert claim["status"]["phase"] == "Bound", name
        assert claim["spec"]["accessModes"] == ["ReadWriteMany"], name
        found[name] = _object(platform, "pv", claim["spec"]["volumeName"])["spec"]["csi"]["driver"]
    return found


@pytest.fixture
def machines(platform: Stack, azure: Azure, plans: Mapping[str, PoolPlan]) -> Generator[None]:
    """A machine at least in every pool; those that were added go again."""
    compute = azure.client(ComputeManagementClient)
    outputs = platform.outputs()
    group = outputs["nodeResourceGroup"]
    pools = {outputs["pools"][key]["agentPool"]: key for key in plans}
    sets = {pools[one.tags["aks-managed-poolName"]]: one for one in _scale_sets(compute, group) if _pool(one) in pools}
    grown = {key: one for key, one in sets.items() if one.sku.capacity == 0}
    for one in grown.values():
        sku = {"name": one.sku.name, "tier": one.sku.tier, "capacity": 1}
        compute.virtual_machine_scale_sets.begin_create_or_update(
            group, one.name, {"location": one.location, "sku": sku}
        ).result()
    yield
    for one in grown.values():
        for machine in compute.virtual_machine_scale_set_vms.list(group, one.name):
            compute.virtual_machine_scale_sets.begin_delete_instances(
                group, one.name, {"instanceIds": [machine.instance_id]}
            ).result()


def test_the_stack_names_a_claim_of_every_kind_that_its_file_asks_for(claims: dict[str, str]) -> None:
    assert set(claims.values()) == {"file.csi.azure.com", "blob.csi.azure.com", "rook-ceph.cephfs.csi.ceph.com"}


def test_a_pod_in_every_pool_mounts_every_claim(
    platform: Stack, claims: dict[str, str], plans: Mapping[str, PoolPlan], machines: None
) -> None:
    pods = {key: f"mounts-{key}" for key in plans}
    platform.sandbox.kubectl(
        "apply",
        "-f",
        "-",
        stdin="\n".join(json.dumps(_pod(name, key, plans[key], claims)) for key, name in pods.items()),
    )
    try:
        for key, name in pods.items():
            node = eventually(lambda name=name: _node_of(platform, name), bool, f"a node for {name}", _PATIENCE)
            labels = _object(platform, "node", node)["metadata"]["labels"]
            assert labels["trainyard/pool"] == key
            wanted = set(claims.values())
            eventually(
                lambda node=node: _drivers(platform, node),
                lambda there, wanted=wanted: wanted <= there,
                f"the drivers {sorted(wanted)} on {node} of pool {key}",
                _PATIENCE,
            )
            eventually(
                lambda name=name: _object(platform, "pod", name)["status"]["phase"],
                lambda phase: phase == "Running",
                f"{name} mounts {', '.join(claims)}",
                _PATIENCE,
            )
    finally:
        platform.sandbox.kubectl("delete", "pod", *pods.values(), "--ignore-not-found", "--now", "--wait")


def _pod(name: str, pool: str, plan: PoolPlan, claims: Mapping[str, str]) -> dict[str, Any]:
    """A pod for one pool, with that pool's own taints tolerated and nothing else."""
    tolerations: list[dict[str, str]] = []
    for taint in plan.taints:
        key, _, rest = taint.partition("=")
        value, _, effect = rest.partition(":")
        tolerations.append({"key": key, "operator": "Equal", "value": value, "effect": effect})
    container = {
        "name": "reads",
        "image": "registry.k8s.io/pause:3.10",
        "volumeMounts": [{"name": one, "mountPath": f"/{one}"} for one in claims],
    }
    volumes = [{"name": one, "persistentVolumeClaim": {"claimName": one}} for one in claims]
    spec = {
        "nodeSelector": {"trainyard/pool": pool},
        "tolerations": tolerations,
        "containers": [container],
        "volumes": volumes,
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def _object(platform: Stack, kind: str, name: str) -> dict[str, Any]:
    return json.loads(platform.sandbox.kubectl("get", kind, name, "-o", "json"))


def _node_of(platform: Stack, name: str) -> str:
    return _object(platform, "pod", name)["spec"].get("nodeName", "")


def _drivers(platform: Stack, node: str) -> set[str]:
    drivers: list[dict[str, Any]] = _object(platform, "csinode", node)["spec"].get("drivers") or []
    return {one["name"] for one in drivers}


def _scale_sets(compute: Any, group: str) -> list[Any]:
    return list(compute.virtual_machine_scale_sets.list(group))


def _pool(scale_set: Any) -> str:
    tags: dict[str, str] = scale_set.tags or {}
    return tags.get("aks-managed-poolName", "")
