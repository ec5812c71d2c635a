"""What the controller does to a real control plane with kwok."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox import control_plane
from sandbox.nodes.objects import items, labels_of, section, text
from tests.sandbox.nodes.builders import SUBSCRIPTION, machine_document, system_document
from tests.sandbox.nodes.conftest import Cluster, eventually
from tests.sandbox.nodes.manifests import autoscaler, deployment, device_plugin, job

Json = dict[str, Any]
pytestmark = pytest.mark.control_plane
HEAVY = "aks-heavy-12345678-vmss000000"
OTHER = "aks-heavy-12345678-vmss000001"
POOL = {"trainyard/pool": "heavy"}


def allocatable(cluster: Cluster, node: str, resource: str = "nvidia.com/gpu") -> str | None:
    return section(cluster.get("node", node), "status", "allocatable").get(resource)


def is_ready(cluster: Cluster, node: str) -> bool:
    names = {
        one["metadata"]["name"]
        for one in cluster.list("nodes")
        if any(c["type"] == "Ready" and c["status"] == "True" for c in one["status"].get("conditions", []))
    }
    return node in names


def messages(cluster: Cluster) -> str:
    return "\n".join(f"{one['reason']}: {one['message']}" for one in cluster.list("events"))


def pod_of(cluster: Cluster, app: str) -> Json:
    [pod] = cluster.list("pods", "-l", f"app={app}")
    return pod


def test_a_running_machine_is_a_ready_node_and_a_booting_one_is_not(cluster: Cluster) -> None:
    cluster.azure.machines = [machine_document(HEAVY), machine_document(OTHER, state="booting")]
    eventually(lambda: is_ready(cluster, HEAVY))
    assert [one["metadata"]["name"] for one in cluster.list("nodes")] == [HEAVY]


def test_gpus_appear_with_the_plugin_and_go_with_it(cluster: Cluster) -> None:
    cluster.azure.machines = [machine_document(HEAVY)]
    cluster.apply(job("train", gpus=1))
    eventually(lambda: is_ready(cluster, HEAVY))
    assert allocatable(cluster, HEAVY) is None, "no plugin runs yet"
    assert not cluster.list("pods", "-l", "job-name=train")[0]["spec"].get("nodeName")
    cluster.apply(*device_plugin())
    eventually(lambda: allocatable(cluster, HEAVY) == "1")
    eventually(lambda: cluster.get("job", "train")["status"].get("succeeded") == 1)
    cluster.kubectl("delete", "daemonset", "plugin")
    eventually(lambda: allocatable(cluster, HEAVY) == "0")


def test_a_plugin_that_does_not_tolerate_the_taint_brings_no_gpus(cluster: Cluster) -> None:
    cluster.azure.machines = [machine_document(HEAVY)]
    cluster.apply(*device_plugin(tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}]))
    eventually(lambda: is_ready(cluster, HEAVY))
    cluster.apply(job("plain"))
    eventually(lambda: cluster.get("job", "plain")["status"].get("succeeded") == 1)
    assert allocatable(cluster, HEAVY) is None


def test_a_bad_plugin_configuration_crashes_and_a_mended_one_brings_gpus(cluster: Cluster) -> None:
    cluster.azure.machines = [machine_document(HEAVY)]
    bad = "version: v1\nsharing: {timeSlicing: {resources: [{name: nvidia.com/gpu, replicas: 1}]}}"
    cluster.apply(*device_plugin(bad))

    def crashed() -> bool:
        statuses = [
            one for pod in cluster.list("pods", "-l", "app=plugin") for one in items(pod, "status", "containerStatuses")
        ]
        return [text(one, "state", "waiting", "reason") for one in statuses] == ["CrashLoopBackOff"]

    eventually(crashed)
    assert "sharing.timeSlicing.resources.0.replicas" in messages(cluster)
    assert allocatable(cluster, HEAVY) is None
    cluster.apply(*device_plugin(bad.replace("replicas: 1", "replicas: 4")))
    eventually(lambda: allocatable(cluster, HEAVY) == "4")
    assert pod_of(cluster, "plugin")["status"]["containerStatuses"][0]["restartCount"] >= 1


def test_a_node_that_goes_gives_its_pods_to_others(cluster: Cluster) -> None:
    cluster.azure.machines = [machine_document(HEAVY, taints=[])]
    cluster.apply(deployment("web", {"containers": [{"name": "web", "image": "nginx"}]}))
    eventually(lambda: cluster.get("deployment", "web")["status"].get("readyReplicas") == 1)
    cluster.azure.machines = [machine_document(OTHER, taints=[])]

    def moved() -> bool:
        nodes = [one["metadata"]["name"] for one in cluster.list("nodes")]
        pods = [one["spec"].get("nodeName") for one in cluster.list("pods", "-l", "app=web")]
        return nodes == [OTHER] and pods == [OTHER]

    eventually(moved)
    eventually(lambda: cluster.get("deployment", "web")["status"].get("readyReplicas") == 1)


def test_a_machine_being_deleted_is_drained_within_the_disruption_budget(cluster: Cluster) -> None:
    cluster.azure.machines = [machine_document(HEAVY, taints=[])]
    budget: Json = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    }
    cluster.apply(budget, deployment("web", {"containers": [{"name": "web", "image": "nginx"}]}))
    eventually(lambda: cluster.get("deployment", "web")["status"].get("readyReplicas") == 1)
    first = pod_of(cluster, "web")["metadata"]["uid"]
    cluster.azure.machines = [machine_document(HEAVY, taints=[], state="deleting")]
    eventually(lambda: section(cluster.get("node", HEAVY), "spec").get("unschedulable"))
    assert pod_of(cluster, "web")["metadata"]["uid"] == first, "the budget holds it"
    cluster.kubectl("delete", "pdb", "web")
    eventually(lambda: first not in {one["metadata"]["uid"] for one in cluster.list("pods", "-l", "app=web")})


def test_labels_and_taints_of_a_pool_reach_its_nodes_and_leave_them(cluster: Cluster) -> None:
    cluster.azure.machines = [machine_document(HEAVY)]
    eventually(lambda: is_ready(cluster, HEAVY))
    cluster.kubectl("label", "node", HEAVY, "by-hand=yes")
    cluster.kubectl("taint", "node", HEAVY, "by-hand=yes:PreferNoSchedule")
    taint = {"key": "team", "value": "vision", "effect": "NoSchedule"}
    cluster.azure.machines = [
        machine_document(HEAVY, labels={"trainyard/pool": "heavy", "team": "vision"}, taints=[taint])
    ]
    eventually(lambda: labels_of(cluster.get("node", HEAVY)).get("team") == "vision")
    node = cluster.get("node", HEAVY)
    assert node["metadata"]["labels"]["by-hand"] == "yes"
    assert {one["key"] for one in node["spec"]["taints"]} == {"team", "by-hand"}
    cluster.azure.machines = [machine_document(HEAVY, labels=POOL, taints=[])]
    eventually(lambda: "team" not in labels_of(cluster.get("node", HEAVY)))
    assert {one["key"] for one in cluster.get("node", HEAVY)["spec"].get("taints", [])} == {"by-hand"}


def test_a_deleted_node_registers_again_while_its_machine_lives(cluster: Cluster) -> None:
    cluster.azure.machines = [machine_document(HEAVY)]
    eventually(lambda: is_ready(cluster, HEAVY))
    first = cluster.get("node", HEAVY)["metadata"]["uid"]
    cluster.kubectl("delete", "node", HEAVY)
    eventually(lambda: is_ready(cluster, HEAVY))
    assert cluster.get("node", HEAVY)["metadata"]["uid"] != first


def test_drivers_are_listed_only_while_their_node_pods_run(cluster: Cluster) -> None:
    cluster.azure.machines = [machine_document(HEAVY)]

    def drivers() -> set[str]:
        return {str(one["name"]) for csi_node in cluster.list("csinodes") for one in items(csi_node, "spec", "drivers")}

    eventually(lambda: drivers() == {"disk.csi.azure.com", "file.csi.azure.com", "blob.csi.azure.com"})
    nowhere = '{"spec": {"template": {"spec": {"nodeSelector": {"nowhere": "yes"}}}}}'
    cluster.kubectl("-n", "kube-system", "patch", "daemonset", "csi-blob-node", "-p", nowhere)
    try:
        eventually(lambda: drivers() == {"disk.csi.azure.com", "file.csi.azure.com"})
    finally:
        undo = '[{"op": "remove", "path": "/spec/template/spec/nodeSelector"}]'
        cluster.kubectl("-n", "kube-system", "patch", "daemonset", "csi-blob-node", "--type=json", "-p", undo)


def test_a_changed_add_on_is_put_back_and_a_deleted_one_comes_again(cluster: Cluster) -> None:
    eventually(lambda: "coredns" in cluster.kubectl("get", "deployments", "-n", "kube-system"))
    cluster.kubectl("-n", "kube-system", "scale", "deployment", "coredns", "--replicas=7")
    eventually(lambda: cluster.get("deployment", "coredns", "-n", "kube-system")["spec"]["replicas"] == 2)
    cluster.kubectl("-n", "kube-system", "delete", "deployment", "metrics-server")
    eventually(lambda: "metrics-server" in cluster.kubectl("get", "deployments", "-n", "kube-system"))


def test_an_autoscaler_with_all_it_needs_is_ready(cluster: Cluster) -> None:
    cluster.azure.machines = [system_document()]
    cluster.apply(*autoscaler("--scan-interval=10s"))
    eventually(lambda: cluster.get("deployment", "autoscaler")["status"].get("readyReplicas") == 1)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--max-empty-bulk-delete=10"], "unknown flag: --max-empty-bulk-delete"),
        (["--scan-interval=ten"], 'invalid argument "ten" for "--scan-interval"'),
    ],
)
def test_an_autoscaler_with_a_bad_flag_is_not_ready_and_an_event_names_it(
    cluster: Cluster, flags: list[str], said: str
) -> None:
    cluster.azure.machines = [system_document()]
    cluster.apply(*autoscaler(*flags))
    eventually(lambda: said in messages(cluster))
    assert not cluster.get("deployment", "autoscaler")["status"].get("readyReplicas")
    assert "CrashLoopBackOff" in cluster.kubectl("get", "pods", "-l", "app=autoscaler")


def test_an_autoscaler_bears_a_role_that_takes_effect_late(cluster: Cluster) -> None:
    cluster.azure.machines = [system_document()]
    cluster.azure.may_read = False
    cluster.apply(*autoscaler())
    eventually(lambda: "AuthorizationFailed" in messages(cluster))
    cluster.azure.may_read = True
    eventually(lambda: cluster.get("deployment", "autoscaler")["status"].get("readyReplicas") == 1)


def test_a_killed_controller_goes_on_where_it_was(cluster: Cluster) -> None:
    cluster.azure.machines = [machine_document(HEAVY)]
    cluster.apply(*device_plugin())
    eventually(lambda: allocatable(cluster, HEAVY) == "1")
    before = cluster.get("node", HEAVY)["metadata"]["uid"]
    cluster.kill_controller()
    cluster.azure.machines = [machine_document(HEAVY), machine_document(OTHER)]
    cluster.start_controller()
    eventually(lambda: is_ready(cluster, OTHER) and allocatable(cluster, OTHER) == "1")
    assert cluster.get("node", HEAVY)["metadata"]["uid"] == before
    assert allocatable(cluster, HEAVY) == "1"


def test_a_claim_gets_a_share_and_the_share_goes_with_it(cluster: Cluster) -> None:
    share: Json = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "scratch"},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "shares",
            "resources": {"requests": {"storage": "5Gi"}},
        },
    }
    account = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/acc"
    kind: Json = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "shares"},
        "provisioner": "file.csi.azure.com",
        "parameters": {"resourceGroup": "rg", "storageAccount": "acc", "mountWithManagedIdentity": "true"},
    }
    cluster.apply(kind, share)
    eventually(lambda: "ProvisioningFailed" in messages(cluster) and "was not found" in messages(cluster))
    role = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/r"
    assignment = {"properties": {"scope": account, "roleDefinitionId": role, "principalId": "c"}}
    uid = cluster.get("pvc", "scratch")["metadata"]["uid"]
    made = f"{account}/fileServices/default/shares/pvc-{uid}"
    cluster.azure.arm[f"GET {account}"] = (200, {"name": "acc"})
    eventually(lambda: "does not take SMB OAuth" in messages(cluster))
    oauth = {"azureFilesIdentityBasedAuthentication": {"smbOAuthSettings": {"isSmbOAuthEnabled": True}}}
    cluster.azure.arm[f"GET {account}"] = (200, {"name": "acc", "properties": oauth})
    cluster.azure.arm[f"PUT {made}"] = (201, {"name": "share"})
    cluster.azure.arm[f"GET {account}/providers/Microsoft.Authorization/roleAssignments"] = (200, {"value": []})
    eventually(lambda: "does not have authorization to perform action" in messages(cluster))
    cluster.azure.arm[f"GET {account}/providers/Microsoft.Authorization/roleAssignments"] = (
        200,
        {"value": [assignment]},
    )
    cluster.azure.arm[f"GET {role}"] = (200, {"properties": {"permissions": [{"actions": ["*"]}]}})
    eventually(lambda: text(cluster.get("pvc", "scratch"), "status", "phase") == "Bound")
    cluster.azure.arm[f"DELETE {made}"] = (200, {})
    cluster.kubectl("delete", "pvc", "scratch")
    eventually(lambda: not cluster.list("pv"))
    assert f"DELETE {made}" in cluster.azure.requests


def test_after_the_clusters_end_the_next_one_is_filled_anew(cluster: Cluster) -> None:
    cluster.azure.machines = [machine_document(HEAVY)]
    eventually(lambda: is_ready(cluster, HEAVY))
    before = cluster.get("node", HEAVY)["metadata"]["uid"]
    control_plane.reset(cluster.home)
    eventually(lambda: is_ready(cluster, HEAVY), within=240)
    assert cluster.get("node", HEAVY)["metadata"]["uid"] != before
    eventually(lambda: "coredns" in cluster.kubectl("get", "deployments", "-n", "kube-system"))


def test_the_controller_ends_at_once_when_told_whatever_it_is_doing(cluster: Cluster) -> None:
    for count in range(20, 24):
        cluster.azure.machines = [machine_document(f"aks-heavy-12345678-vmss{one:06d}") for one in range(count)]
        eventually(lambda wanted=count: len(cluster.list("nodes")) == wanted)
        assert cluster.stop_controller(within=30) == 0, "it ends by itself while pods of new nodes still start"
        cluster.start_controller()
