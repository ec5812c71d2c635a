"""Ceph as Rook is asked for it: charts' values and custom resources, as plain data.

Owns every name and field of Rook 1.20 and of the ceph-csi-operator's drivers chart. Pure: what it says is tested
without an engine, and against Rook's own schemas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from capacity.file_system_plan import (
    MONITOR_DISK_GIB,
    OSD_CPU,
    OSD_MEMORY_GIB,
    FileSystemPlan,
    Toleration,
)
from components.file_system.base import Chart, gib, on_pool, specs

NAMESPACE = "rook-ceph"
"""The operator's and the cluster's; the CSI drivers' names and the StorageClasses' `clusterID` begin with it."""

API, CSI_API = "ceph.rook.io/v1", "csi.ceph.io/v1"
ROOK = Chart("rook-ceph", "v1.20.6", "https://charts.rook.io/release")
DRIVERS = Chart("ceph-csi-drivers", "1.0.4", "https://ceph.github.io/ceph-csi-operator")
"""Of the same release as the ceph-csi-operator that Rook's chart brings."""

ROOK_IMAGE = "docker.io/rook/ceph:v1.20.6"
CEPH_IMAGE = "quay.io/ceph/ceph:v20.2.4"
FILE_SYSTEM, DATA_POOL, BLOCK_POOL = "shared", "data", "block"
GROUP = f"{FILE_SYSTEM}-csi"
"""The group of CephFS's volumes, under the name that Rook gives the default one; its ClientProfile shares it."""
FORCE = {"rook.io/force-deletion": "true"}
"""On a group and a pool: Rook deletes the volumes that are left in it. Without this it waits for others to do so, for
ever where a volume's policy is Retain."""
CLASS, BLOCK_CLASS = "rook-cephfs", "rook-ceph-block"
DEVICE_SET = "data"
DISK_CLASS = "rook-disks"
LOCAL_NVME = "^/dev/disk/by-id/nvme-Microsoft_NVMe_Direct_Disk"
"""udev's names of Azure's local NVMe disks. Remote disks are NVMe devices too on newer sizes, under another model: a
pattern of device names as `nvme` would take other pods' volumes."""

_ZONE, _HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"


def operator_values(plan: FileSystemPlan) -> dict[str, Any]:
    """Values of the chart `rook-ceph`: both operators on the storage pool, which is always there."""
    placed = {"nodeSelector": {"trainyard/pool": plan.pool}, "tolerations": specs(plan.tolerations)}
    return {
        **placed,
        "priorityClassName": "system-cluster-critical",
        "ceph-csi-operator": {"controllerManager": {**placed, "priorityClassName": "system-cluster-critical"}},
    }


def driver_values(plan: FileSystemPlan, every_pool: Sequence[Toleration]) -> dict[str, Any]:
    """Values of the chart `ceph-csi-drivers`: plugins on every node that may mount, controllers on the storage pool.

    The chart gives each driver an empty list of tolerations of its own, so the defaults would not count.
    """
    plugins: dict[str, Any] = {
        "nodePlugin": {"priorityClassName": "system-node-critical", "tolerations": specs(every_pool)},
        "controllerPlugin": {
            "priorityClassName": "system-cluster-critical",
            "replicas": 2,
            "tolerations": specs(plan.tolerations),
            "affinity": {"nodeAffinity": on_pool(plan)["nodeAffinity"]},
        },
    }
    drivers = {
        kind: {"enabled": kind in ("rbd", "cephfs"), "name": f"{NAMESPACE}.{kind}.csi.ceph.com", **plugins}
        for kind in ("rbd", "cephfs", "nfs", "nvmeof")
    }
    return {
        "operatorConfig": {
            "namespace": NAMESPACE,
            "driverSpecDefaults": {"imageSet": {"name": "rook-csi-operator-image-set-configmap"}, **plugins},
        },
        "drivers": drivers,
    }


def cluster_spec(plan: FileSystemPlan, *, dashboard: bool) -> dict[str, Any]:
    """The CephCluster.

    Volumes do not hold up its end: whoever deletes it has decided on their data. `cleanupPolicy.confirmation` is not
    set, as Rook stops looking after a cluster that has it.
    """
    return {
        "cephVersion": {"image": CEPH_IMAGE, "allowUnsupported": False},
        "dataDirHostPath": "/var/lib/rook",
        "mon": {
            "count": plan.monitors,
            "allowMultiplePerNode": False,
            "volumeClaimTemplate": {
                "spec": {
                    "storageClassName": DISK_CLASS,
                    "resources": {"requests": {"storage": f"{MONITOR_DISK_GIB}Gi"}},
                }
            },
        },
        "mgr": {"count": 2, "allowMultiplePerNode": False},
        "dashboard": {"enabled": dashboard, "ssl": True},
        "crashCollector": {"disable": False},
        "logCollector": {"enabled": True, "periodicity": "daily", "maxLogSize": "500M"},
        "placement": {
            "all": on_pool(plan),
            "mon": {**on_pool(plan), "topologySpreadConstraints": _spread(plan, ["rook-ceph-mon"])},
        },
        "resources": {
            "mon": _resources("500m", "1Gi", "2Gi"),
            "mgr": _resources("500m", "512Mi", "1Gi"),
            "osd": _resources(str(OSD_CPU), f"{OSD_MEMORY_GIB}Gi", f"{OSD_MEMORY_GIB}Gi"),
            "prepareosd": {"requests": {"cpu": "200m", "memory": "200Mi"}},
        },
        "priorityClassNames": {
            "mon": "system-node-critical",
            "osd": "system-node-critical",
            "mgr": "system-cluster-critical",
        },
        "disruptionManagement": {"managePodBudgets": True},
        # OSDs whose machine is gone for good with its local disks: Ceph has copied their data by then.
        "removeOSDsIfOutAndSafeToRemove": plan.local_nvme,
        "cleanupPolicy": {"allowUninstallWithVolumes": True, "wipeDevicesFromOtherClusters": plan.local_nvme},
        "storage": _local_storage() if plan.local_nvme else _claimed_storage(plan),
    }


def _claimed_storage(plan: FileSystemPlan) -> dict[str, Any]:
    """OSDs on claims of disks, which follow an OSD to another machine of its zone.

    To Ceph a portable OSD is a host of its own: only over zones is it certain that two copies are on two machines. In
    one zone a dead machine can hold up some data for the minutes until its disks are attached elsewhere.
    """
    osds = ["rook-ceph-osd", "rook-ceph-osd-prepare"]
    return {
        "useAllNodes": False,
        "useAllDevices": False,
        "allowOsdCrushWeightUpdate": True,
        "storageClassDeviceSets": [
            {
                "name": DEVICE_SET,
                "count": plan.disks,
                "portable": True,
                "tuneFastDeviceClass": True,
                "placement": {
                    **on_pool(plan),
                    "topologySpreadConstraints": [_over(_HOST, ["rook-ceph-osd"], hard=False)],
                },
                "preparePlacement": {**on_pool(plan), "topologySpreadConstraints": _spread(plan, osds)},
                "resources": _resources(str(OSD_CPU), f"{OSD_MEMORY_GIB}Gi", f"{OSD_MEMORY_GIB}Gi"),
                "volumeClaimTemplates": [
                    {
                        "metadata": {"name": "data"},
                        "spec": {
                            "storageClassName": DISK_CLASS,
                            "volumeMode": "Block",
                            "accessModes": ["ReadWriteOnce"],
                            "resources": {"requests": {"storage": f"{plan.disk_gib}Gi"}},
                        },
                    }
                ],
            }
        ],
    }


def _local_storage() -> dict[str, Any]:
    """OSDs on the machines' own NVMe disks. `useAllNodes` is every node that the placement allows: the storage pool."""
    return {"useAllNodes": True, "useAllDevices": False, "devicePathFilter": LOCAL_NVME}


def profile_spec() -> dict[str, Any]:
    """A ClientProfile that the CSI drivers know the cluster by, as Rook writes it: one for all, one for the group.

    Rook would make them itself and leave them behind, and the CSI operator holds them by a finalizer: the namespace
    would never go, once that operator is gone (Rook's page on teardown deletes one by hand). So the stack makes them
    first, and takes them away while the operator is there.
    """
    return {
        "cephConnectionRef": {"name": NAMESPACE},
        **{
            field: {
                "cephCsiSecrets": {
                    "controllerPublishSecret": {"name": f"rook-csi-{kind}-provisioner", "namespace": NAMESPACE}
                }
            }
            for field, kind in (("cephFs", "cephfs"), ("rbd", "rbd"))
        },
    }


def file_system_spec(plan: FileSystemPlan, *, keep: bool) -> dict[str, Any]:
    """The CephFilesystem: one metadata server at work and one that follows it, on two machines."""
    pool = _pool(plan)
    mds = {"matchLabels": {"app": "rook-ceph-mds", "rook_file_system": FILE_SYSTEM}}
    return {
        "metadataPool": pool,
        "dataPools": [{"name": DATA_POOL, **pool}],
        "preserveFilesystemOnDelete": keep,
        "metadataServer": {
            "activeCount": 1,
            "activeStandby": True,
            "priorityClassName": "system-cluster-critical",
            "resources": _resources("1", "4Gi", "4Gi"),
            "placement": {
                **on_pool(plan),
                "podAntiAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": mds, "topologyKey": _HOST}],
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 100, "podAffinityTerm": {"labelSelector": mds, "topologyKey": _ZONE}}
                    ],
                },
            },
        },
    }


def group_spec() -> dict[str, Any]:
    """The CephFilesystemSubVolumeGroup, spread over the metadata servers at work."""
    return {"filesystemName": FILE_SYSTEM, "name": "csi", "clusterID": GROUP, "pinning": {"distributed": 1}}


def block_pool_spec(plan: FileSystemPlan) -> dict[str, Any]:
    """The CephBlockPool, for volumes of one pod."""
    return _pool(plan)


def class_parameters() -> dict[str, str]:
    """Of CephFS's StorageClass. No topology: a volume is reached from every node, also one that is not there yet."""
    return {
        "clusterID": NAMESPACE,
        "fsName": FILE_SYSTEM,
        "pool": f"{FILE_SYSTEM}-{DATA_POOL}",
        **_secrets("cephfs"),
    }


def block_class_parameters() -> dict[str, str]:
    """Of RBD's StorageClass."""
    return {
        "clusterID": NAMESPACE,
        "pool": BLOCK_POOL,
        "imageFormat": "2",
        "imageFeatures": "layering",
        "csi.storage.k8s.io/fstype": "ext4",
        **_secrets("rbd"),
    }


def disks_of(inputs: Mapping[str, Any]) -> dict[str, int]:
    """What of a CephCluster's inputs holds data: OSDs, and GiB of each."""
    found: dict[str, int] = {}
    for device_set in inputs["spec"]["storage"].get("storageClassDeviceSets", ()):
        [template] = device_set["volumeClaimTemplates"]
        found["disks from"] = int(device_set["count"])
        found["GiB a disk from"] = gib(template["spec"]["resources"]["requests"]["storage"])
    return found


def _secrets(kind: str) -> dict[str, str]:
    """The secrets that Rook makes for a driver."""
    provisioner, node = f"rook-csi-{kind}-provisioner", f"rook-csi-{kind}-node"
    users = {
        "provisioner": provisioner,
        "controller-expand": provisioner,
        "controller-publish": provisioner,
        "node-stage": node,
    }
    return {
        f"csi.storage.k8s.io/{user}-secret-{part}": value
        for user, secret in users.items()
        for part, value in (("name", secret), ("namespace", NAMESPACE))
    }


def _pool(plan: FileSystemPlan) -> dict[str, Any]:
    """Copies in different zones, where there are as many, else on different OSDs."""
    return {
        "failureDomain": plan.failure_domain,
        "replicated": {"size": plan.replicas, "requireSafeReplicaSize": plan.replicas > 1},
    }


def _spread(plan: FileSystemPlan, apps: list[str]) -> list[dict[str, Any]]:
    """Evenly over zones, where there are several, and over machines."""
    over_zones = [_over(_ZONE, apps, hard=True)] if len(plan.zones) > 1 else []
    return [*over_zones, _over(_HOST, apps, hard=False)]


def _over(key: str, apps: list[str], *, hard: bool) -> dict[str, Any]:
    """One constraint; a zone whose machines are down does not count, so that another can take over."""
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "DoNotSchedule" if hard else "ScheduleAnyway",
        "nodeTaintsPolicy": "Honor",
        "labelSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": apps}]},
    }


def _resources(cpu: str, memory: str, memory_limit: str) -> dict[str, Any]:
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory_limit}}
