"""Kadalu, Portworx and Lustre's driver in a real control plane."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.nodes.objects import finalizers_of, items, section
from tests.sandbox.nodes.conftest import eventually
from tests.sandbox.operators.conftest import StorageCluster
from tests.sandbox.operators.manifests import (
    EVERYWHERE,
    HEAVY,
    ON_STORAGE,
    SYSTEM,
    brick,
    claim,
    disk_class,
    machines,
    named,
    namespace,
    pod,
    storage_name,
)

Json = dict[str, Any]
pytestmark = pytest.mark.control_plane
LUSTRE = "azurelustre.csi.azure.com"


def pool(tolerations: list[Json], bricks: int = 3, **changes: Any) -> Json:
    storage = [{"pvc": f"brick-{number}"} for number in range(bricks)]
    spec = {"type": "Replica3", "storage": storage, "tolerations": tolerations, **changes}
    return named("kadalu-operator.storage/v1alpha1", "KadaluStorage", "shared", namespace="kadalu", spec=spec)


def kadalu(cluster: StorageCluster) -> None:
    cluster.azure.machines = machines()
    cluster.apply(namespace("kadalu"), disk_class(), *(brick(f"brick-{number}", "kadalu") for number in range(3)))
    values: Json = {"operator": {"enabled": True}, "csi-nodeplugin": {"enabled": True}}
    cluster.install("kadalu", "kadalu", "1.2.0", **values)


def test_kadalu_s_pool_serves_claims_and_goes_with_its_last_volume(cluster: StorageCluster) -> None:
    kadalu(cluster)
    eventually(lambda: "kadalu" in cluster.drivers_of(SYSTEM), within=240)
    assert "kadalu" not in cluster.drivers_of(HEAVY), "the chart's plugin tolerates nothing"
    cluster.apply(pool(EVERYWHERE), claim("data", "kadalu.shared", "50Gi"), claim("more", "kadalu.shared", "50Gi"))
    eventually(lambda: len(cluster.pods("kadalu", **{"app.kubernetes.io/component": "server"})) == 3, within=240)
    eventually(lambda: "kadalu" in cluster.drivers_of(HEAVY))
    eventually(lambda: cluster.get("pvc", "data")["status"]["phase"] == "Bound" or cluster.get("pvc", "more"))

    def bound() -> list[str]:
        return [one["metadata"]["name"] for one in cluster.list("pvc") if one["status"]["phase"] == "Bound"]

    eventually(lambda: len(bound()) == 1)
    eventually(lambda: "No Hosting Volumes available, add more storage" in cluster.events("default"))
    [name] = bound()
    cluster.apply(pod("train", name, HEAVY))
    eventually(lambda: cluster.get("pod", "train")["status"]["phase"] == "Running")
    cluster.kubectl("delete", "kadalustorage", "shared", "-n", "kadalu")
    with pytest.raises(AssertionError):
        eventually(lambda: not cluster.list("statefulsets", "-n", "kadalu", "-l", "app.kubernetes.io/name=server"), 5)
    cluster.kubectl("delete", "pod,pvc", "--all")
    eventually(lambda: not cluster.list("statefulsets", "-n", "kadalu", "-l", "app.kubernetes.io/name=server"))
    eventually(lambda: not cluster.get("storageclass", "kadalu.shared"))


def test_a_kadalu_pool_of_a_wrong_number_of_bricks_is_left_alone(cluster: StorageCluster) -> None:
    kadalu(cluster)
    cluster.apply(pool(EVERYWHERE, bricks=2))
    eventually(lambda: "Invalid number of storage directories" in cluster.events("kadalu"), within=240)
    assert not cluster.get("storageclass", "kadalu.shared")


def storage_cluster(tolerations: list[Json], **changes: Any) -> Json:
    expression = {"key": "trainyard/pool", "operator": "Exists"}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    affinity = {"requiredDuringSchedulingIgnoredDuringExecution": terms}
    spec = {"image": "portworx/oci-monitor:3.6.1", "placement": {"nodeAffinity": affinity, "tolerations": tolerations}}
    return named("core.libopenstorage.org/v1", "StorageCluster", "px", namespace="portworx", spec={**spec, **changes})


def test_portworx_runs_where_it_may_and_is_wiped_before_it_goes(cluster: StorageCluster) -> None:
    cluster.azure.machines = machines()
    cluster.apply(namespace("portworx"))
    cluster.install("portworx", "portworx", deployCluster=False)
    cluster.apply(storage_cluster(EVERYWHERE, deleteStrategy={"type": "UninstallAndWipe"}))
    eventually(lambda: cluster.phase("storagecluster", "portworx", "px") == "Running", within=240)
    nodes = {one["spec"]["nodeName"] for one in cluster.pods("portworx", name="portworx")}
    assert nodes == {HEAVY, *(storage_name(number) for number in range(3))}
    parameters = {"repl": "3", "sharedv4": "true"}
    made = named(
        *("storage.k8s.io/v1", "StorageClass", "px-shared"),
        namespace=None,
        provisioner="pxd.portworx.com",
        parameters=parameters,
    )
    cluster.apply(made, claim("data", "px-shared"), pod("train", "data", HEAVY))
    eventually(lambda: cluster.get("pod", "train")["status"]["phase"] == "Running", within=240)
    cluster.kubectl("delete", "pod,pvc", "--all")
    cluster.kubectl("delete", "storagecluster", "px", "-n", "portworx")
    assert not cluster.get("storagecluster", "px", "-n", "portworx")
    eventually(lambda: not cluster.list("pods", "-n", "portworx", "-l", "name=portworx"))


def test_portworx_without_its_operator_keeps_its_finalizer(cluster: StorageCluster) -> None:
    cluster.azure.machines = machines()
    cluster.apply(namespace("portworx"))
    cluster.install("portworx", "portworx", deployCluster=False)
    cluster.apply(storage_cluster(ON_STORAGE))
    eventually(lambda: finalizers_of(cluster.get("storagecluster", "px", "-n", "portworx")), within=240)
    cluster.kubectl("delete", "deployment", "portworx-operator", "-n", "portworx")
    eventually(lambda: not cluster.list("pods", "-n", "portworx", "-l", "name=portworx-operator"))
    cluster.kubectl("delete", "storagecluster", "px", "-n", "portworx", "--wait=false")
    with pytest.raises(AssertionError):
        eventually(lambda: not cluster.get("storagecluster", "px", "-n", "portworx"), within=5)


def lustre(tolerations: list[Json]) -> list[Json]:
    """Lustre's driver as plain objects."""
    registrar = {
        "name": "node-driver-registrar",
        "image": "mcr.microsoft.com/oss/v2/kubernetes-csi/csi-node-driver-registrar:v2.15.0",
        "args": ["--kubelet-registration-path=$(SOCKET)"],
        "env": [{"name": "SOCKET", "value": f"/var/lib/kubelet/plugins/{LUSTRE}/csi.sock"}],
    }
    workloads: list[Json] = []
    for kind, name, container in (
        ("DaemonSet", "csi-azurelustre-node", registrar),
        ("Deployment", "csi-azurelustre-controller", {"name": "azurelustre", "image": "azurelustre-csi"}),
    ):
        labels = {"app": name}
        spec = {"tolerations": tolerations, "containers": [container]}
        template = {"metadata": {"labels": labels}, "spec": spec}
        whole = {"selector": {"matchLabels": labels}, "template": template}
        workloads.append(named("apps/v1", kind, name, namespace="default", spec=whole))
    driver = named("storage.k8s.io/v1", "CSIDriver", LUSTRE, namespace=None, spec={"attachRequired": False})
    return [driver, *workloads]


def lustre_class(name: str, **parameters: str) -> Json:
    return named("storage.k8s.io/v1", "StorageClass", name, namespace=None, provisioner=LUSTRE, parameters=parameters)


def test_lustre_s_driver_serves_a_file_system_that_is_there(cluster: StorageCluster) -> None:
    cluster.azure.machines = machines()
    cluster.apply(*lustre(EVERYWHERE), lustre_class("disks-lustre", **{"mgs-ip-address": "10.1.2.3", "sub-dir": "a"}))
    cluster.apply(lustre_class("disks-wrong", **{"mgs-ip-address": "10.1.2.3", "mgs": "10.1.2.3"}))
    cluster.apply(claim("data", "disks-lustre"), claim("wrong", "disks-wrong"), pod("train", "data", HEAVY))
    eventually(lambda: cluster.get("pod", "train")["status"]["phase"] == "Running", within=240)
    [volume] = [one for one in cluster.list("pv") if one["spec"]["storageClassName"] == "disks-lustre"]
    assert section(volume, "spec", "capacity") == {"storage": "4Ti"}, "it comes in blocks of 4 TiB"
    assert volume["spec"]["csi"]["volumeHandle"].endswith("#lustrefs#10.1.2.3#a#f#")
    eventually(lambda: "Invalid parameter(s) {mgs = 10.1.2.3} in storage class" in cluster.events("default"))
    assert not items(cluster.get("pvc", "wrong"), "spec", "volumeName")
