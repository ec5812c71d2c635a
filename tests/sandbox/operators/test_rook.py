"""Rook and ceph-csi in a real control plane: what runs where, what is ready when, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.nodes.objects import annotations_of, finalizers_of, labels_of
from tests.sandbox.nodes.conftest import eventually
from tests.sandbox.operators.conftest import StorageCluster
from tests.sandbox.operators.manifests import (
    CEPHFS,
    EVERYWHERE,
    HEAVY,
    NAMESPACE,
    ON_STORAGE,
    RBD,
    SYSTEM,
    ceph_class,
    ceph_cluster,
    ceph_filesystem,
    claim,
    disk_class,
    driver_values,
    machines,
    named,
    namespace,
    pod,
    storage_name,
)

Json = dict[str, Any]
pytestmark = pytest.mark.control_plane


def operators(cluster: StorageCluster, tolerations: list[Json] | None = None) -> list[Json]:
    """Machines, namespace, disks, and Rook's chart; both operators on storage nodes where told to tolerate them."""
    cluster.azure.machines = machines()
    cluster.apply(namespace(), disk_class())
    values: Json = {"tolerations": tolerations or [], "nodeSelector": {"trainyard/pool": "store"}}
    return cluster.install(
        "rook-ceph", NAMESPACE, "v1.20.6", **values, **{"ceph-csi-operator": {"controllerManager": values}}
    )


def whole(cluster: StorageCluster, node_plugin: list[Json] = EVERYWHERE) -> None:
    """Everything up to a file system that is ready."""
    operators(cluster, ON_STORAGE)
    cluster.install("ceph-csi-drivers", NAMESPACE, **driver_values(node_plugin))
    cluster.apply(ceph_cluster(), ceph_filesystem(), ceph_class())
    eventually(lambda: cluster.phase("cephfilesystem", NAMESPACE, "shared") == "Ready", within=240)


def is_bound(cluster: StorageCluster, name: str, where: str = "default") -> bool:
    return cluster.get("pvc", name, "-n", where).get("status", {}).get("phase") == "Bound"


def test_a_cluster_is_ready_once_its_daemons_run_on_storage_nodes(cluster: StorageCluster) -> None:
    whole(cluster)
    assert cluster.phase("cephcluster", NAMESPACE, NAMESPACE) == "Ready"
    status = cluster.get("cephcluster", NAMESPACE, "-n", NAMESPACE)["status"]
    assert (status["state"], status["ceph"]["health"]) == ("Created", "HEALTH_OK")
    for app, count in (("mon", 3), ("mgr", 2), ("osd", 3), ("mds", 2)):
        found = cluster.pods(NAMESPACE, app=f"rook-ceph-{app}")
        assert len(found) == count, app
        assert {one["spec"]["nodeName"] for one in found} <= {storage_name(number) for number in range(3)}
    mons = [one["spec"]["nodeName"] for one in cluster.pods(NAMESPACE, app="rook-ceph-mon")]
    assert len(set(mons)) == 3, "one a node"
    osds = [labels_of(one)["ceph-osd-id"] for one in cluster.pods(NAMESPACE, app="rook-ceph-osd")]
    assert sorted(osds) == ["0", "1", "2"]
    assert "rook-csi-cephfs-node" in cluster.kubectl("get", "secrets", "-n", NAMESPACE, "-o", "name")
    # every node that may mount has the drivers, GPU node of a spot pool and system node included
    for node in (HEAVY, SYSTEM, storage_name(0)):
        eventually(lambda node=node: {CEPHFS, RBD} <= cluster.drivers_of(node))
    cluster.apply(claim("data", "rook-cephfs"), pod("train", "data", HEAVY))
    eventually(lambda: is_bound(cluster, "data"))
    eventually(lambda: cluster.get("pod", "train")["status"]["phase"] == "Running")
    [volume] = [one for one in cluster.list("pv") if one["spec"]["storageClassName"] == "rook-cephfs"]
    assert volume["spec"]["csi"]["volumeAttributes"]["fsName"] == "shared"
    assert volume["spec"]["csi"]["nodeStageSecretRef"] == {"namespace": NAMESPACE, "name": "rook-csi-cephfs-node"}
    # more is asked for and given
    cluster.apply(claim("data", "rook-cephfs", "20Gi"))
    eventually(lambda: cluster.get("pvc", "data")["status"]["capacity"]["storage"] == "20Gi")


def test_an_operator_that_finds_no_node_does_nothing(cluster: StorageCluster) -> None:
    operators(cluster, [{"key": "storage", "operator": "Exists"}])
    cluster.apply(ceph_cluster())
    eventually(lambda: "FailedScheduling" in cluster.events(NAMESPACE))
    made = cluster.get("cephcluster", NAMESPACE, "-n", NAMESPACE)
    assert "status" not in made
    assert not finalizers_of(made)
    assert not cluster.list("pvc", "-n", NAMESPACE)


def test_daemons_that_find_no_node_leave_the_cluster_unready(cluster: StorageCluster) -> None:
    operators(cluster, ON_STORAGE)
    cluster.apply(ceph_cluster([{"key": "storage", "operator": "Exists"}]))
    eventually(lambda: cluster.phase("cephcluster", NAMESPACE, NAMESPACE) == "Progressing")
    eventually(lambda: len(cluster.list("pods", "-n", NAMESPACE, "-l", "app=rook-ceph-mon")) == 3)
    assert not cluster.pods(NAMESPACE, app="rook-ceph-mon")
    assert cluster.get("cephcluster", NAMESPACE, "-n", NAMESPACE)["status"]["message"] == "Configuring Ceph Mons"
    assert not cluster.list("deployments", "-n", NAMESPACE, "-l", "app=rook-ceph-mgr")


def test_more_monitors_than_nodes_are_refused_in_words(cluster: StorageCluster) -> None:
    operators(cluster, ON_STORAGE)
    eventually(lambda: cluster.pods(NAMESPACE, app="rook-ceph-operator"))
    made = ceph_cluster()
    made["spec"]["mon"]["count"] = 7
    cluster.apply(made)
    eventually(lambda: "cannot start 7 mons on 5 node(s)" in cluster.events(NAMESPACE))


def test_a_node_plugin_without_the_spot_taint_s_toleration_keeps_pods_of_spot_nodes_waiting(
    cluster: StorageCluster,
) -> None:
    whole(cluster, [one for one in EVERYWHERE if "scalesetpriority" not in one["key"]])
    eventually(lambda: {CEPHFS, RBD} <= cluster.drivers_of(SYSTEM))
    assert CEPHFS not in cluster.drivers_of(HEAVY)
    cluster.apply(claim("data", "rook-cephfs"), pod("train", "data", HEAVY), pod("plain", "data", SYSTEM))
    eventually(lambda: cluster.get("pod", "plain")["status"]["phase"] == "Running")
    eventually(lambda: f"driver name {CEPHFS} not found in the list of registered" in cluster.events("default"))
    waiting = cluster.get("pod", "train")
    assert waiting["status"]["phase"] == "Pending"
    assert waiting["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "ContainerCreating"
    cluster.install("ceph-csi-drivers", NAMESPACE, **driver_values(EVERYWHERE))
    eventually(lambda: cluster.get("pod", "train")["status"]["phase"] == "Running")
    # and the driver goes from the node when its pod does
    cluster.install("ceph-csi-drivers", NAMESPACE, **driver_values(ON_STORAGE))
    eventually(lambda: CEPHFS not in cluster.drivers_of(HEAVY))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fsName": ""}, "missing required field fsName"),
        ({"fsName": "other"}, "not found in Ceph cluster"),
        ({"pool": "data"}, "pool"),
        ({"clusterID": "elsewhere"}, 'missing configuration for cluster ID "elsewhere"'),
        ({"csi.storage.k8s.io/provisioner-secret-name": "no-such"}, 'secrets "no-such" not found'),
    ],
)
def test_parameters_that_ceph_csi_refuses_are_said_at_the_claim(
    ceph: StorageCluster, changes: dict[str, str], said: str
) -> None:
    ceph.apply(ceph_class("rook-wrong", **changes), claim("wrong", "rook-wrong"))
    try:
        eventually(lambda: said in ceph.events("default"))
        assert not is_bound(ceph, "wrong")
    finally:
        ceph.kubectl("delete", "pvc", "wrong")
        ceph.kubectl("delete", "storageclass", "rook-wrong")
        ceph.kubectl("delete", "events", "--all")


@pytest.fixture(scope="module")
def ceph(running: StorageCluster) -> StorageCluster:
    """A Ceph cluster that several tests share."""
    whole(running)
    return running


def test_a_cluster_without_its_operator_is_never_gone(cluster: StorageCluster) -> None:
    operators(cluster, ON_STORAGE)
    cluster.apply(ceph_cluster())
    eventually(lambda: finalizers_of(cluster.get("cephcluster", NAMESPACE, "-n", NAMESPACE)))
    cluster.kubectl("delete", "deployment", "rook-ceph-operator", "-n", NAMESPACE)
    eventually(lambda: not cluster.list("pods", "-n", NAMESPACE, "-l", "app=rook-ceph-operator"))
    cluster.kubectl("delete", "cephcluster", NAMESPACE, "-n", NAMESPACE, "--wait=false")
    with pytest.raises(AssertionError):
        eventually(lambda: not cluster.get("cephcluster", NAMESPACE, "-n", NAMESPACE), within=5)
    assert finalizers_of(cluster.get("cephcluster", NAMESPACE, "-n", NAMESPACE)) == ["cephcluster.ceph.rook.io"]


def test_what_depends_on_a_cluster_goes_first_and_then_all_ends(cluster: StorageCluster) -> None:
    whole(cluster)
    cluster.apply(claim("data", "rook-cephfs"))
    eventually(lambda: is_bound(cluster, "data"))
    disks = {one["metadata"]["name"] for one in cluster.list("pv")}
    cluster.kubectl("delete", "cephcluster", NAMESPACE, "-n", NAMESPACE, "--wait=false")
    eventually(lambda: "will not be deleted until all dependents are removed" in cluster.events(NAMESPACE))
    cluster.kubectl("delete", "cephfilesystem", "shared", "-n", NAMESPACE, "--wait=false")
    eventually(lambda: "groups with subvolumes: csi-vol-" in cluster.events(NAMESPACE))
    assert cluster.get("cephfilesystem", "shared", "-n", NAMESPACE)
    cluster.kubectl("delete", "pvc", "data")
    eventually(lambda: not cluster.get("cephfilesystem", "shared", "-n", NAMESPACE))
    eventually(lambda: not cluster.get("cephcluster", NAMESPACE, "-n", NAMESPACE))
    # claims of OSDs and monitors go with the cluster, and their disks with them
    eventually(lambda: not cluster.list("pvc", "-n", NAMESPACE))
    eventually(lambda: not disks & {one["metadata"]["name"] for one in cluster.list("pv")})
    # the profile that Rook made has nobody who deletes it, and lets go while the CSI operator runs
    assert finalizers_of(cluster.get("clientprofile", NAMESPACE, "-n", NAMESPACE)) == ["csi.ceph.com/cleanup"]
    cluster.kubectl("delete", "clientprofile", NAMESPACE, "-n", NAMESPACE)
    assert not cluster.get("clientprofile", NAMESPACE, "-n", NAMESPACE)


def test_a_group_goes_with_the_volumes_in_it_only_where_that_is_forced(cluster: StorageCluster) -> None:
    whole(cluster)
    spec = {"filesystemName": "shared", "name": "csi"}
    cluster.apply(named("ceph.rook.io/v1", "CephFilesystemSubVolumeGroup", "shared-csi", spec=spec))
    cluster.apply(ceph_class("kept", "Retain"), claim("data", "kept"))
    eventually(lambda: is_bound(cluster, "data"))
    cluster.kubectl("delete", "pvc", "data")
    where = ("shared-csi", "-n", NAMESPACE)
    cluster.kubectl("delete", "cephfilesystemsubvolumegroup", *where, "--wait=false")
    cluster.kubectl("delete", "cephfilesystem", "shared", "-n", NAMESPACE, "--wait=false")
    eventually(lambda: "CephFilesystemSubVolumeGroups: shared-csi" in cluster.events(NAMESPACE))
    eventually(lambda: "subvolumes: csi-vol-" in cluster.events(NAMESPACE))
    assert cluster.get("cephfilesystemsubvolumegroup", *where)
    cluster.kubectl("annotate", "cephfilesystemsubvolumegroup", *where, "rook.io/force-deletion=true")
    eventually(lambda: not cluster.get("cephfilesystemsubvolumegroup", *where))
    eventually(lambda: not cluster.get("cephfilesystem", "shared", "-n", NAMESPACE))


def test_operators_that_are_killed_neither_double_nor_lose_anything(cluster: StorageCluster) -> None:
    operators(cluster, ON_STORAGE)
    cluster.install("ceph-csi-drivers", NAMESPACE, **driver_values(EVERYWHERE))
    cluster.apply(ceph_cluster(), ceph_filesystem(), ceph_class(), claim("data", "rook-cephfs"))
    for wanted in (3, 1):  # killed while monitors come, and again while OSDs do
        app = "rook-ceph-mon" if wanted == 3 else "rook-ceph-osd-prepare"
        eventually(lambda app=app: cluster.list("pods", "-n", NAMESPACE, "-l", f"app={app}"), within=240)
        cluster.kill_operators()
        cluster.start_operators()
    eventually(lambda: cluster.phase("cephfilesystem", NAMESPACE, "shared") == "Ready", within=240)
    eventually(lambda: is_bound(cluster, "data"))
    before = names(cluster)
    assert len([one for one in before if one.startswith("PersistentVolumeClaim")]) == 3 + 3 + 1
    generations = {one["metadata"]["name"]: one["metadata"]["generation"] for one in cluster.list("deployments", "-A")}
    cluster.kill_operators()
    cluster.start_operators()
    cluster.kubectl("delete", "deployment", "rook-ceph-osd-1", "-n", NAMESPACE)
    eventually(lambda: len(cluster.pods(NAMESPACE, app="rook-ceph-osd")) == 3, within=240)
    assert names(cluster) == before
    after = {one["metadata"]["name"]: one["metadata"]["generation"] for one in cluster.list("deployments", "-A")}
    assert after == generations, "what is as it should be is not touched"


def names(cluster: StorageCluster) -> list[str]:
    found = cluster.list("deployments,daemonsets,jobs,secrets,services", "-n", NAMESPACE)
    found += cluster.list("pv,pvc", "-A")
    return sorted(f"{one['kind']}/{one['metadata']['name']}" for one in found)


def test_a_device_set_that_grows_brings_osds_and_larger_disks(cluster: StorageCluster) -> None:
    operators(cluster, ON_STORAGE)
    cluster.apply(ceph_cluster(osds=1))
    eventually(lambda: cluster.phase("cephcluster", NAMESPACE, NAMESPACE) == "Ready", within=240)
    cluster.apply(ceph_cluster(osds=2, size="128Gi"))
    eventually(lambda: len(cluster.pods(NAMESPACE, app="rook-ceph-osd")) == 2, within=240)

    def sizes() -> list[str]:
        claims = cluster.list("pvc", "-n", NAMESPACE, "-l", "ceph.rook.io/DeviceSet=set")
        return [one["status"].get("capacity", {}).get("storage", "") for one in claims]

    eventually(lambda: sizes() == ["128Gi", "128Gi"])
    kept = [annotations_of(one).get("sandbox.trainyard/osd-id") for one in cluster.list("pvc", "-n", NAMESPACE)]
    assert {"0", "1"} <= set(kept)
