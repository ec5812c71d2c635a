from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from capacity import prediction
from capacity.catalogue import VmSize, load_catalogue
from sandbox.azure import node_capacity
from sandbox.azure.behaviour import Principal, Reply, Request
from sandbox.azure.kubernetes_access import data_action, decide
from sandbox.nodes.machines import read_fleet
from tests.sandbox.aks.conftest import Cloud

CLUSTER_ADMIN = "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b"
READER = "7f6c6a51-bcf8-42ba-9220-52d62157d7db"
WRITER = "a7ffa36f-339b-4b5c-8bdf-e2c188b2c0eb"
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"


def test_the_fleet_is_as_the_nodes_read_it(yard: Cloud) -> None:
    yard.make_pool("light", count=1)
    fleet = read_fleet(json.dumps(yard.get("/sandbox/machines")))
    assert fleet.cluster is not None
    assert (fleet.cluster.name, fleet.cluster.kubernetes_version) == ("yard", "1.36.1")
    assert fleet.cluster.addons.disk_csi
    assert not fleet.cluster.addons.blob_csi
    assert fleet.cluster.addons.workload_identity
    assert len(fleet.machines) == 3


def test_who_has_the_machines_already_is_told_so_exactly_while_nothing_changed(yard: Cloud) -> None:
    def told(tag: str) -> Reply:
        headers = {"if-none-match": tag}
        request = Request("GET", "/sandbox/machines", None, "", {}, headers, yard.home.azure_url)
        return yard.manager.handle(request, None, yard.caller)

    last, unchanged, states = told(""), 0, set[str]()
    reply = yard.put(yard.pool_id("light"), yard.pool_body(count=2))
    for _ in range(60):
        yard.pass_time(0.2)
        now = told(last.headers["ETag"])
        if now.status == 304:
            unchanged += 1
            assert yard.get("/sandbox/machines") == last.body
        else:
            last = now
        states |= {one["state"] for one in last.body["machines"] if one["pool"] == "light"}
    assert yard.finish(reply) == "Succeeded"
    assert states == {"booting", "running"}
    assert unchanged > 0


def test_machines_are_for_the_sandboxs_own_parts(yard: Cloud) -> None:
    yard.caller = Principal(yard.home.config.object_id)
    for path in ("/sandbox/machines",):
        assert yard.refusal(lambda path=path: yard.get(path)).status == 403


def test_a_machine_is_known_by_the_provider_id_that_the_autoscaler_builds(yard: Cloud) -> None:
    body = yard.cluster_body()
    assert body["properties"]["nodeResourceGroup"] == "rg-nodes"
    [first, second] = yard.machines("system")
    name = yard.scale_set("system")["name"]
    assert first["nodeName"] == f"{name}000000"
    assert second["providerId"] == (
        f"azure://{yard.subscription}/resourceGroups/rg-nodes/providers/Microsoft.Compute/virtualMachineScaleSets"
        f"/{name}/virtualMachines/1"
    )


def test_a_gpu_node_carries_aks_labels_ours_and_its_taints(yard: Cloud) -> None:
    yard.make_pool(
        "light",
        nodeLabels={"trainyard/pool": "light"},
        nodeTaints=["sku=gpu:NoSchedule"],
        availabilityZones=["1"],
    )
    [machine] = yard.machines("light")
    expected = {
        "agentpool": "light",
        "kubernetes.azure.com/agentpool": "light",
        "kubernetes.azure.com/accelerator": "nvidia",
        "kubernetes.azure.com/cluster": "rg-nodes",
        "kubernetes.azure.com/mode": "user",
        "kubernetes.azure.com/os-sku": "Ubuntu",
        "kubernetes.azure.com/role": "agent",
        "kubernetes.azure.com/sku-cpu": "4",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": machine["nodeName"],
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": "Standard_NC4as_T4_v3",
        "beta.kubernetes.io/instance-type": "Standard_NC4as_T4_v3",
        "topology.kubernetes.io/region": "westeurope",
        "topology.kubernetes.io/zone": "westeurope-1",
        "topology.disk.csi.azure.com/zone": "westeurope-1",
        "trainyard/pool": "light",
    }
    assert expected.items() <= machine["labels"].items()
    assert "kubernetes.azure.com/scalesetpriority" not in machine["labels"]
    assert machine["taints"] == [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}]
    assert machine["gpu"] == {"vendor": "nvidia", "count": 1, "driver": "Install", "instanceProfile": None}


def test_a_machine_outside_zones_says_zero(yard: Cloud) -> None:
    machine = yard.machines("system")[0]
    assert machine["zone"] == machine["labels"]["topology.kubernetes.io/zone"] == "0"
    assert machine["gpu"] is None
    assert machine["labels"]["kubernetes.azure.com/mode"] == "system"


def test_a_spot_machine_says_so(yard: Cloud) -> None:
    yard.make_pool("cheap", scaleSetPriority="Spot", count=1)
    [machine] = yard.machines("cheap")
    assert machine["labels"]["kubernetes.azure.com/scalesetpriority"] == "spot"
    taint = {"key": "kubernetes.azure.com/scalesetpriority", "value": "spot", "effect": "NoSchedule"}
    assert machine["taints"] == [taint]


@pytest.mark.parametrize(("memory_mib", "shown_kib"), [(4096, 4_025_836), (7168, 7_113_160), (57_344, 57_713_788)])
def test_a_machine_shows_no_more_memory_than_real_ones_did(memory_mib: int, shown_kib: int) -> None:
    found = node_capacity.capacity(_size(memory_mib), 128).memory_kib
    assert found <= shown_kib
    assert found >= shown_kib * 0.98, "the model must stay near what was measured"


def _size(memory_mib: int) -> VmSize:
    any_size = next(iter(load_catalogue().sizes.values()))
    return replace(any_size, memory_mib=memory_mib)


@pytest.mark.parametrize(("vcpus", "milli"), [(1, 60), (2, 100), (4, 140), (8, 180), (16, 260), (32, 420), (64, 740)])
def test_aks_reserves_cpu_by_its_table(vcpus: int, milli: int) -> None:
    assert node_capacity.reserved_cpu_milli(vcpus) == milli


def test_aks_reserves_memory_by_pods_up_to_a_quarter() -> None:
    assert node_capacity.reserved_memory_kib(8 * 1024**2, 30) == 650 * 1024
    assert node_capacity.reserved_memory_kib(4 * 1024**2, 70) == 1024 * 1024


@pytest.mark.parametrize("max_pods", [10, 30, 110, 250])
def test_the_platforms_prediction_never_promises_more_than_a_machine_has(max_pods: int) -> None:
    for size in load_catalogue().sizes.values():
        for disk in (30, 128, 2048):
            promised = prediction.allocatable(size, max_pods, disk)
            has = node_capacity.allocatable(size, disk, max_pods)
            assert promised.cpu_milli <= has.cpu_milli, size.name
            assert promised.memory_mib * 1024 <= has.memory_kib, size.name
            assert promised.ephemeral_mib * 1024 <= has.ephemeral_kib, size.name


def may(cloud: Cloud, user: str, verb: str, *, groups: list[str] | None = None, **attributes: Any) -> bool:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "groups": groups or [], "resourceAttributes": {"verb": verb, **attributes}},
    }
    answer = cloud.send("POST", "/sandbox/authorize", review).body
    assert decide(cloud.manager.context(), review) == answer
    return answer["status"]["allowed"]


def principal(cloud: Cloud) -> str:
    return cloud.get(cloud.identity("kubelet"))["properties"]["principalId"]


def test_only_the_deployers_kubernetes_role_opens_the_cluster_and_only_once_it_is_effective(yard: Cloud) -> None:
    user = principal(yard)
    yard.assign("kubelet", OWNER, yard.group)
    yard.pass_time(6)
    assert not may(yard, user, "get", resource="pods"), "Owner brings no right on Kubernetes' objects"
    yard.assign("kubelet", CLUSTER_ADMIN, yard.cluster)
    assert not may(yard, user, "get", resource="pods")
    yard.pass_time(6)
    assert may(yard, user, "get", resource="pods")
    assert may(yard, user, "*", resource="*", group="*")
    assert may(yard, user, "create", resource="clusterroles", group="rbac.authorization.k8s.io")
    assert may(yard, user, "create", resource="rayjobs", group="ray.io")
    assert not may(yard, "somebody-else", "get", resource="pods")


def test_a_reader_reads_and_a_writer_writes(yard: Cloud) -> None:
    yard.assign("kubelet", READER, yard.cluster)
    yard.pass_time(6)
    user = principal(yard)
    assert may(yard, user, "list", resource="pods", namespace="default")
    assert not may(yard, user, "delete", resource="pods", namespace="default")
    assert not may(yard, user, "get", resource="secrets", namespace="default")
    assert not may(yard, user, "*", resource="*", group="*")
    yard.assign("kubelet", WRITER, yard.cluster)
    yard.pass_time(6)
    assert may(yard, user, "create", resource="deployments", group="apps", namespace="default")
    assert not may(yard, user, "create", resource="roles", group="rbac.authorization.k8s.io", namespace="default")


def test_a_group_of_administrators_needs_no_role(cloud: Cloud) -> None:
    group = "11111111-2222-3333-4444-555555555555"
    sign_in = {"managed": True, "enableAzureRBAC": True, "adminGroupObjectIDs": [group]}
    cloud.make(cloud.cluster, cloud.cluster_body(aadProfile=sign_in))
    assert may(cloud, "somebody", "delete", resource="nodes", groups=[group.upper()])
    assert not may(cloud, "somebody", "delete", resource="nodes")


def test_nobody_gets_in_without_a_cluster(cloud: Cloud) -> None:
    assert not may(cloud, principal(cloud), "get", resource="pods")


@pytest.mark.parametrize(
    ("attributes", "action"),
    [
        ({"verb": "watch", "resource": "pods"}, "pods/read"),
        ({"verb": "patch", "resource": "deployments", "group": "apps"}, "apps/deployments/write"),
        ({"verb": "deletecollection", "resource": "pods"}, "pods/delete"),
        ({"verb": "create", "resource": "pods", "subresource": "exec"}, "pods/exec/write"),
        ({"verb": "create", "resource": "rayjobs", "group": "ray.io"}, "customresources/write"),
        ({"verb": "impersonate", "resource": "users"}, "users/impersonate/action"),
    ],
)
def test_kubernetes_requests_become_azures_data_actions(attributes: dict[str, str], action: str) -> None:
    found = data_action({"resourceAttributes": attributes})
    assert found == f"Microsoft.ContainerService/managedClusters/{action}"


def test_paths_become_data_actions_too() -> None:
    found = data_action({"nonResourceAttributes": {"path": "/healthz", "verb": "get"}})
    assert found == "Microsoft.ContainerService/managedClusters/healthz/read"
