"""Rook: what it is asked for, where it runs, in which order it goes, and what it keeps."""

from __future__ import annotations

from typing import Any

import pytest

from components.file_system.base import shrinking
from components.file_system.rook_objects import disks_of
from tests.components.file_systems import STORE, after, platform, tolerated, usual
from tests.components.recorder import Made, Recorder

STORAGE = "storage-node=true:NoSchedule"
EVERY_TAINT = {STORAGE, "sku=gpu:NoSchedule", "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"}
ON_POOL = {"key": "trainyard/pool", "operator": "In", "values": ["store"]}


@pytest.fixture(scope="module")
def made() -> Recorder:
    return usual("rook")


def custom(made: Recorder, kind: str) -> dict[str, Any]:
    [one] = made.of_type(f"kubernetes:ceph.rook.io/v1:{kind}")
    return one.inputs["spec"]


def release(made: Recorder, name: str) -> dict[str, Any]:
    return made.one("kubernetes:helm.sh/v3:Release", f"file-system-{name}").inputs


def affinity(placement: dict[str, Any]) -> dict[str, Any]:
    [term] = placement["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    [expression] = term["matchExpressions"]
    return expression


def placements(made: Recorder) -> dict[str, dict[str, Any]]:
    cluster = custom(made, "CephCluster")
    [osds] = cluster["storage"]["storageClassDeviceSets"]
    return {
        "all": cluster["placement"]["all"],
        "mon": cluster["placement"]["mon"],
        "osd": osds["placement"],
        "prepare": osds["preparePlacement"],
        "mds": custom(made, "CephFilesystem")["metadataServer"]["placement"],
    }


def test_charts_have_pinned_versions(made: Recorder) -> None:
    assert (release(made, "rook-ceph")["chart"], release(made, "rook-ceph")["version"]) == ("rook-ceph", "v1.20.6")
    drivers = release(made, "ceph-csi-drivers")
    assert (drivers["version"], drivers["repositoryOpts"]["repo"]) == (
        "1.0.4",
        "https://ceph.github.io/ceph-csi-operator",
    )


@pytest.mark.parametrize("daemon", ["all", "mon", "osd", "prepare", "mds"])
def test_daemons_run_on_storage_nodes_and_nowhere_else(made: Recorder, daemon: str) -> None:
    placement = placements(made)[daemon]
    assert affinity(placement) == ON_POOL
    assert tolerated(placement["tolerations"]) == {STORAGE}


def test_both_operators_run_on_storage_nodes(made: Recorder) -> None:
    values = release(made, "rook-ceph")["values"]
    for operator in (values, values["ceph-csi-operator"]["controllerManager"]):
        assert operator["nodeSelector"] == {"trainyard/pool": "store"}
        assert tolerated(operator["tolerations"]) == {STORAGE}


@pytest.mark.parametrize("driver", ["rbd", "cephfs"])
def test_node_plugins_run_wherever_a_pod_may_mount_and_controllers_on_storage_nodes(
    made: Recorder, driver: str
) -> None:
    values = release(made, "ceph-csi-drivers")["values"]["drivers"][driver]
    assert values["enabled"] is True
    assert values["name"] == f"rook-ceph.{driver}.csi.ceph.com"
    assert tolerated(values["nodePlugin"]["tolerations"]) == EVERY_TAINT
    assert "affinity" not in values["nodePlugin"]
    assert tolerated(values["controllerPlugin"]["tolerations"]) == {STORAGE}
    assert affinity(values["controllerPlugin"]["affinity"]) == ON_POOL


def test_a_taint_of_the_user_s_own_is_tolerated_by_the_plugins() -> None:
    made = platform({"backend": "rook", "sizeGib": 1024}, mine={"class": "cpu", "max": 1, "taints": ["a=b:NoExecute"]})
    drivers = release(made, "ceph-csi-drivers")["values"]["drivers"]
    assert tolerated(drivers["cephfs"]["nodePlugin"]["tolerations"]) == {*EVERY_TAINT, "a=b:NoExecute"}
    assert tolerated(placements(made)["osd"]["tolerations"]) == {STORAGE}


def test_drivers_that_are_not_used_are_off(made: Recorder) -> None:
    drivers = release(made, "ceph-csi-drivers")["values"]["drivers"]
    assert {name for name, values in drivers.items() if not values["enabled"]} == {"nfs", "nvmeof"}


def test_no_storage_class_asks_for_a_topology_so_empty_pools_predict_nodes_that_can_mount(made: Recorder) -> None:
    for name in ("file-system-cephfs", "file-system-rbd"):
        inputs = made.one("kubernetes:storage.k8s.io/v1:StorageClass", name).inputs
        assert inputs["volumeBindingMode"] == "Immediate"
        assert "allowedTopologies" not in inputs
    assert "topology" not in str(release(made, "ceph-csi-drivers")["values"])


def test_osds_lie_on_claims_of_premium_disks_in_the_data_group(made: Recorder) -> None:
    disks = made.one("kubernetes:storage.k8s.io/v1:StorageClass", "file-system-disks").inputs
    assert disks["parameters"]["skuName"] == "Premium_LRS"
    assert disks["parameters"]["resourceGroup"] == "rg-trainyard-test-westeurope-data"
    assert "trainyard-stack=test" in disks["parameters"]["tags"].split(",")
    assert (disks["volumeBindingMode"], disks["allowVolumeExpansion"]) == ("WaitForFirstConsumer", True)
    [osds] = custom(made, "CephCluster")["storage"]["storageClassDeviceSets"]
    assert (osds["count"], osds["portable"], osds["tuneFastDeviceClass"]) == (15, True, True)
    [template] = osds["volumeClaimTemplates"]
    assert template["metadata"] == {"name": "data"}
    assert template["spec"]["storageClassName"] == disks["metadata"]["name"]
    assert template["spec"]["volumeMode"] == "Block"
    mon = custom(made, "CephCluster")["mon"]
    assert mon["volumeClaimTemplate"]["spec"]["storageClassName"] == disks["metadata"]["name"]
    assert (mon["count"], mon["allowMultiplePerNode"]) == (3, False)


def test_monitors_and_osds_are_spread_over_zones_and_machines(made: Recorder) -> None:
    for daemon in ("mon", "prepare"):
        keys = {
            one["topologyKey"]: one["whenUnsatisfiable"]
            for one in placements(made)[daemon]["topologySpreadConstraints"]
        }
        assert keys == {"topology.kubernetes.io/zone": "DoNotSchedule", "kubernetes.io/hostname": "ScheduleAnyway"}


def test_in_one_zone_nothing_is_spread_over_zones() -> None:
    made = platform({"backend": "rook", "sizeGib": 1024}, store={**STORE, "zones": []})
    keys = {one["topologyKey"] for one in placements(made)["mon"]["topologySpreadConstraints"]}
    assert keys == {"kubernetes.io/hostname"}
    assert custom(made, "CephBlockPool")["failureDomain"] == "host"


def test_copies_lie_in_different_zones(made: Recorder) -> None:
    file_system = custom(made, "CephFilesystem")
    for pool in (file_system["metadataPool"], *file_system["dataPools"], custom(made, "CephBlockPool")):
        assert (pool["failureDomain"], pool["replicated"]["size"]) == ("zone", 3)


def test_one_copy_is_allowed_to_be_unsafe() -> None:
    pool = custom(platform({"backend": "rook", "sizeGib": 1024, "replicas": 1}), "CephBlockPool")
    assert pool["replicated"] == {"size": 1, "requireSafeReplicaSize": False}


def test_a_metadata_server_follows_the_one_at_work_on_another_machine(made: Recorder) -> None:
    servers = custom(made, "CephFilesystem")["metadataServer"]
    assert (servers["activeCount"], servers["activeStandby"]) == (1, True)
    [apart] = servers["placement"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert apart["topologyKey"] == "kubernetes.io/hostname"


def test_the_storage_class_names_file_system_pool_and_secrets_as_rook_makes_them(made: Recorder) -> None:
    parameters = made.one("kubernetes:storage.k8s.io/v1:StorageClass", "file-system-cephfs").inputs["parameters"]
    [pool] = custom(made, "CephFilesystem")["dataPools"]
    assert parameters["pool"] == f"{parameters['fsName']}-{pool['name']}"
    assert parameters["csi.storage.k8s.io/node-stage-secret-name"] == "rook-csi-cephfs-node"
    for user in ("provisioner", "controller-expand", "controller-publish"):
        assert parameters[f"csi.storage.k8s.io/{user}-secret-name"] == "rook-csi-cephfs-provisioner"
    assert {value for key, value in parameters.items() if key.endswith("namespace")} == {"rook-ceph"}


def test_a_claim_is_ready_for_many_pods(made: Recorder) -> None:
    claim = made.one("kubernetes:core/v1:PersistentVolumeClaim", "file-system-claim").inputs
    assert claim["metadata"] == {"name": "file-system-rook", "namespace": "default"}
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert claim["spec"]["resources"] == {"requests": {"storage": "4096Gi"}}


def test_dashboard_and_tools_come_on_request() -> None:
    assert custom(usual("rook"), "CephCluster")["dashboard"]["enabled"] is False
    deployments = [one.name for one in usual("rook").of_type("kubernetes:apps/v1:Deployment")]
    assert deployments == ["autoscaler"]
    made = platform({"backend": "rook", "sizeGib": 1024, "dashboard": True, "toolbox": True})
    assert custom(made, "CephCluster")["dashboard"] == {"enabled": True, "ssl": True}
    tools = made.one("kubernetes:apps/v1:Deployment", "file-system-tools").inputs["spec"]["template"]["spec"]
    assert tools["nodeSelector"] == {"trainyard/pool": "store"}
    assert tolerated(tools["tolerations"]) == {STORAGE}


def test_local_disks_are_found_by_model_on_the_storage_pool_s_machines() -> None:
    local = {"backend": "rook", "sizeGib": 1024, "localNvme": {"acceptDataLoss": True}}
    cluster = custom(platform(local, store={**STORE, "vmSize": "Standard_L8s_v3"}), "CephCluster")
    assert cluster["storage"] == {
        "useAllNodes": True,
        "useAllDevices": False,
        "devicePathFilter": "^/dev/disk/by-id/nvme-Microsoft_NVMe_Direct_Disk",
    }
    assert affinity(cluster["placement"]["all"]) == ON_POOL, "all nodes are those that the placement allows"
    assert cluster["cleanupPolicy"]["wipeDevicesFromOtherClusters"] is True
    assert cluster["removeOSDsIfOutAndSafeToRemove"] is True
    assert "storageClassDeviceSets" not in cluster["storage"]


def test_disks_of_another_cluster_are_never_wiped_where_they_are_kept(made: Recorder) -> None:
    policy = custom(made, "CephCluster")["cleanupPolicy"]
    assert policy["wipeDevicesFromOtherClusters"] is False
    assert "confirmation" not in policy, "Rook does not look after a cluster that has one"


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("PersistentVolumeClaim::file-system-claim", "StorageClass::file-system-cephfs"),
        ("StorageClass::file-system-cephfs", "CephFilesystemSubVolumeGroup::file-system-group"),
        ("CephFilesystemSubVolumeGroup::file-system-group", "CephFilesystem::file-system-cephfs"),
        ("StorageClass::file-system-rbd", "CephBlockPool::file-system-block"),
        ("CephFilesystem::file-system-cephfs", "CephCluster::file-system-cluster"),
        ("CephBlockPool::file-system-block", "CephCluster::file-system-cluster"),
        ("CephCluster::file-system-cluster", "ClientProfile::file-system-client-profile"),
        ("CephCluster::file-system-cluster", "ClientProfile::file-system-group-profile"),
        ("ClientProfile::file-system-client-profile", "Release::file-system-ceph-csi-drivers"),
        ("CephCluster::file-system-cluster", "StorageClass::file-system-disks"),
        ("Release::file-system-ceph-csi-drivers", "Release::file-system-rook-ceph"),
        ("Release::file-system-rook-ceph", "Namespace::file-system-rook-ceph"),
        ("Namespace::file-system-rook-ceph", "AgentPool::store"),
        ("Namespace::file-system-rook-ceph", "RoleAssignment::data-disks"),
    ],
)
def test_each_goes_before_what_clears_its_finalizer(first: str, then: str) -> None:
    made = usual("rook", delete_data=True)
    kind, _, name = first.partition("::")
    [one] = [one for one in made.made if one.name == name and one.type.endswith(f":{kind}")]
    assert any(key.endswith(f":{then}") for key in after(made, one)), f"{first} must go before {then}"


def held(made: Recorder) -> list[Made]:
    kinds = (
        "ClientProfile",
        "CephCluster",
        "CephFilesystem",
        "CephFilesystemSubVolumeGroup",
        "CephBlockPool",
        "Namespace",
    )
    return [one for one in made.made if one.name.startswith("file-system") and one.type.rsplit(":", 1)[-1] in kinds]


def test_what_holds_the_data_is_kept_unless_data_is_deleted() -> None:
    kept, deleted = usual("rook"), usual("rook", delete_data=True)
    assert len(held(kept)) == 7
    assert all(one.retain_on_delete for one in held(kept))
    assert not any(one.retain_on_delete for one in held(deleted))
    assert custom(kept, "CephFilesystem")["preserveFilesystemOnDelete"] is True
    assert custom(deleted, "CephFilesystem")["preserveFilesystemOnDelete"] is False
    for made, policy in ((kept, "Retain"), (deleted, "Delete")):
        for name in ("file-system-disks", "file-system-cephfs", "file-system-rbd"):
            inputs = made.one("kubernetes:storage.k8s.io/v1:StorageClass", name).inputs
            assert inputs["reclaimPolicy"] == policy


def test_volumes_that_are_left_hold_up_no_end_where_data_is_deleted_and_are_safe_where_it_is_kept() -> None:
    for made, expected in (
        (usual("rook", delete_data=True), "true"),
        (usual("rook"), None),
    ):
        for kind in ("CephFilesystemSubVolumeGroup", "CephBlockPool"):
            [one] = made.of_type(f"kubernetes:ceph.rook.io/v1:{kind}")
            assert one.inputs["metadata"]["annotations"].get("rook.io/force-deletion") == expected
    group = custom(usual("rook"), "CephFilesystemSubVolumeGroup")
    assert (group["filesystemName"], group["name"]) == ("shared", "csi")
    profiles = usual("rook").of_type("kubernetes:csi.ceph.io/v1:ClientProfile")
    names = {one.inputs["metadata"]["name"] for one in profiles}
    assert names == {"rook-ceph", group["clusterID"]}, "Rook makes one for the cluster and one for the group"


def test_fewer_or_smaller_disks_are_refused_in_preview_and_more_are_not() -> None:
    def cluster(count: int, size: int) -> dict[str, Any]:
        claims = [{"spec": {"resources": {"requests": {"storage": f"{size}Gi"}}}}]
        return {"spec": {"storage": {"storageClassDeviceSets": [{"count": count, "volumeClaimTemplates": claims}]}}}

    def said(before: dict[str, Any], later: dict[str, Any]) -> str:
        return shrinking(disks_of(before), disks_of(later))

    assert said(cluster(15, 1024), cluster(12, 1024)) == "disks from 15 to 12"
    assert said(cluster(15, 1024), cluster(15, 512)) == "GiB a disk from 1024 to 512"
    assert said(cluster(15, 1024), cluster(18, 2048)) == ""
    local: dict[str, Any] = {"spec": {"storage": {"useAllNodes": True}}}
    assert said(local, local) == ""
