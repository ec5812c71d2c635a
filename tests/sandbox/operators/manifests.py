"""Machines, custom resources and pods for the tests, as short as the tests need them."""

from __future__ import annotations

from typing import Any

from tests.sandbox.nodes.builders import machine_document, system_document

Json = dict[str, Any]
NAMESPACE = "rook-ceph"
SYSTEM = "aks-system-12345678-vmss000000"
HEAVY = "aks-heavy-12345678-vmss000000"
STORAGE_TAINT = {"key": "storage-node", "value": "true", "effect": "NoSchedule"}
GPU_TAINT = {"key": "sku", "value": "gpu", "effect": "NoSchedule"}
SPOT_TAINT = {"key": "kubernetes.azure.com/scalesetpriority", "value": "spot", "effect": "NoSchedule"}
ON_STORAGE = [{"key": "storage-node", "operator": "Exists"}]
EVERYWHERE = [
    *ON_STORAGE,
    {"key": "CriticalAddonsOnly", "operator": "Exists"},
    {"key": "sku", "operator": "Exists"},
    {"key": "kubernetes.azure.com/scalesetpriority", "operator": "Exists"},
]
CEPHFS = f"{NAMESPACE}.cephfs.csi.ceph.com"
RBD = f"{NAMESPACE}.rbd.csi.ceph.com"


def storage_name(number: int) -> str:
    """The name of a storage node."""
    return f"aks-store-12345678-vmss00000{number}"


def machines() -> list[Json]:
    """A system node without taints, three storage nodes in three zones, and a GPU node of a spot pool."""
    storage = [
        system_document(
            storage_name(number),
            vmSize="Standard_D16ds_v5",
            mode="User",
            zone=f"westeurope-{number + 1}",
            labels={"trainyard/pool": "store"},
            taints=[STORAGE_TAINT],
            allocatable={"cpuMilli": 15000, "memoryKib": 60000000, "ephemeralKib": 119703055},
            capacity={"cpuMilli": 16000, "memoryKib": 65000000, "ephemeralKib": 129886128},
        )
        for number in range(3)
    ]
    return [system_document(SYSTEM, taints=[]), *storage, machine_document(HEAVY, taints=[GPU_TAINT, SPOT_TAINT])]


def named(api_version: str, kind: str, name: str, *, namespace: str | None = NAMESPACE, **rest: Any) -> Json:
    """An object."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


def namespace(name: str = NAMESPACE) -> Json:
    """A namespace."""
    return named("v1", "Namespace", name, namespace=None)


def disk_class(reclaim: str = "Delete") -> Json:
    """The class of the OSDs' and bricks' disks."""
    return named(
        "storage.k8s.io/v1",
        "StorageClass",
        "disks",
        namespace=None,
        provisioner="disk.csi.azure.com",
        parameters={"skuName": "Premium_LRS"},
        reclaimPolicy=reclaim,
        allowVolumeExpansion=True,
        volumeBindingMode="WaitForFirstConsumer",
    )


def _claim_template(size: str, mode: str) -> Json:
    spec = {
        "storageClassName": "disks",
        "volumeMode": mode,
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size}},
    }
    return {"metadata": {"name": "data"}, "spec": spec}


def ceph_cluster(tolerations: list[Json] | None = None, *, osds: int = 3, size: str = "64Gi", **more: Any) -> Json:
    """A CephCluster on claims; its pods tolerate the storage nodes' taint unless told otherwise."""
    placed = {
        "tolerations": ON_STORAGE if tolerations is None else tolerations,
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "trainyard/pool", "operator": "In", "values": ["store"]}]}
                ]
            }
        },
    }
    device_set = {
        "name": "set",
        "count": osds,
        "portable": True,
        "placement": placed,
        "preparePlacement": placed,
        "volumeClaimTemplates": [_claim_template(size, "Block")],
    }
    spec: Json = {
        "cephVersion": {"image": "quay.io/ceph/ceph:v20.2.4"},
        "dataDirHostPath": "/var/lib/rook",
        "mon": {"count": 3, "volumeClaimTemplate": _claim_template("10Gi", "Filesystem")},
        "mgr": {"count": 2},
        "placement": {"all": placed},
        "storage": {"storageClassDeviceSets": [device_set]},
        **more,
    }
    return named("ceph.rook.io/v1", "CephCluster", NAMESPACE, spec=spec)


def ceph_filesystem() -> Json:
    """A CephFilesystem with a pool `data`."""
    spec = {
        "metadataPool": {"replicated": {"size": 3}},
        "dataPools": [{"name": "data", "replicated": {"size": 3}}],
        "metadataServer": {
            "activeCount": 1,
            "activeStandby": True,
            "placement": {"tolerations": ON_STORAGE},
        },
    }
    return named("ceph.rook.io/v1", "CephFilesystem", "shared", spec=spec)


def ceph_class(name: str = "rook-cephfs", reclaim: str = "Delete", **changes: str) -> Json:
    """CephFS's StorageClass, with other parameters where told."""
    users = {"provisioner": "provisioner", "node-stage": "node", "controller-expand": "provisioner"}
    parameters = {"clusterID": NAMESPACE, "fsName": "shared", "pool": "shared-data"} | {
        f"csi.storage.k8s.io/{user}-secret-{part}": value
        for user, secret in users.items()
        for part, value in (("name", f"rook-csi-cephfs-{secret}"), ("namespace", NAMESPACE))
    }
    given = {key: value for key, value in {**parameters, **changes}.items() if value}
    return named(
        "storage.k8s.io/v1",
        "StorageClass",
        name,
        namespace=None,
        provisioner=CEPHFS,
        parameters=given,
        reclaimPolicy=reclaim,
        allowVolumeExpansion=True,
    )


def claim(name: str, storage_class: str, size: str = "10Gi", *, namespace: str = "default") -> Json:
    """A read-write-many claim."""
    spec = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": storage_class,
        "resources": {"requests": {"storage": size}},
    }
    return named("v1", "PersistentVolumeClaim", name, namespace=namespace, spec=spec)


def brick(name: str, namespace: str) -> Json:
    """A claim of a disk that a Kadalu server holds data on."""
    made = claim(name, "disks", "100Gi", namespace=namespace)
    made["spec"]["accessModes"] = ["ReadWriteOnce"]
    return made


def pod(name: str, claimed: str, node: str) -> Json:
    """A pod that mounts a claim on one node and tolerates everything."""
    spec = {
        "nodeSelector": {"kubernetes.io/hostname": node},
        "tolerations": [{"operator": "Exists"}],
        "containers": [{"name": "it", "image": "busybox", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claimed}}],
    }
    return named("v1", "Pod", name, namespace="default", spec=spec)


def driver_values(tolerations: list[Json]) -> Json:
    """Values of ceph-csi-drivers: plugins with these tolerations."""
    plugin = {"nodePlugin": {"tolerations": tolerations}, "controllerPlugin": {"tolerations": ON_STORAGE}}
    return {
        "operatorConfig": {
            "namespace": NAMESPACE,
            "driverSpecDefaults": {"imageSet": {"name": "rook-csi-operator-image-set-configmap"}},
        },
        "drivers": {
            "rbd": {"name": RBD, **plugin},
            "cephfs": {"name": CEPHFS, **plugin},
            "nfs": {"enabled": False},
            "nvmeof": {"enabled": False},
        },
    }
