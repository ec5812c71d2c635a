"""What a claim asks of Azure: pure, from claim, StorageClass and cluster to a plan, as the CSI drivers read them.

Owns the drivers' parameters and the shape of the volumes that come of them. Does not talk to anybody.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import yaml

from sandbox.nodes.csi_nodes import BLOB, DISK, DISK_ZONE_LABEL, FILE
from sandbox.nodes.machines import Cluster
from sandbox.nodes.objects import Json, items, section, text
from sandbox.nodes.quantities import parse_quantity

PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
FINALIZER = "external-provisioner.volume.kubernetes.io/finalizer"
BACKING = "sandbox.trainyard/backing"
"""Annotation of a volume: the id of the share, container or disk behind it."""
_FILE = Path(__file__).parent / "data" / "csi_parameters.yaml"
_GIB = 2**30
_SMALLEST_PREMIUM_SHARE = 100
STORAGE_API, DISK_API = "2024-01-01", "2024-03-02"


class PlanError(ValueError):
    """A claim that the driver refuses; the message is its own."""


@dataclass(frozen=True)
class Step:
    """One PUT to Azure, and the action that the cluster's identity needs for it.

    Attributes:
        scope: where the action must be allowed; the resource itself where it is None.
    """

    resource_id: str
    api_version: str
    body: Json
    actions: tuple[str, ...]
    scope: str


@dataclass(frozen=True)
class VolumePlan:
    """A volume to be.

    Attributes:
        account_id: a storage account that must be there already; None: none is named.
        steps: in order; the last makes what backs the volume.
        csi: the volume's `spec.csi`.
        size_gib: what it will have.
        zone: where its disk can be reached from, None: everywhere.
    """

    account_id: str | None
    steps: tuple[Step, ...]
    csi: Json
    size_gib: int
    zone: str | None = None

    @property
    def backing(self) -> Step:
        """What holds the data."""
        return self.steps[-1]


def plan_volume(claim: Json, storage_class: Json, cluster: Cluster, zone: str | None) -> VolumePlan:
    """What to make for a claim.

    Args:
        zone: of the node that the scheduler chose, `westeurope-1`; None: none, or a node in no zone.

    Raises:
        PlanError: parameters that the driver refuses.
    """
    driver = str(storage_class["provisioner"])
    given = {
        key.lower(): str(value)
        for key, value in section(storage_class, "parameters").items()
        if not key.startswith("csi.storage.k8s.io/")
    }
    for key in section(storage_class, "parameters"):
        if not key.startswith("csi.storage.k8s.io/") and key.lower() not in known_parameters()[driver]:
            raise PlanError(f'invalid parameter "{key}" in storage class')
    size = asked_gib(claim)
    name = f"pvc-{claim['metadata']['uid']}"
    if driver == DISK:
        return _disk(name, size, given, cluster, claim=claim, zone=zone)
    return _file(name, size, given, cluster) if driver == FILE else _blob(name, size, given, cluster)


def asked_gib(claim: Json) -> int:
    """The whole GiB that a claim asks for."""
    asked = section(claim, "spec", "resources", "requests").get("storage", "1Gi")
    return max(math.ceil(parse_quantity(asked) / _GIB), 1)


def wants_more(claim: Json) -> bool:
    """Whether a bound claim asks for more than it has."""
    has = text(claim, "status", "capacity", "storage")
    return text(claim, "status", "phase") == "Bound" and bool(has) and asked_gib(claim) > parse_quantity(has) / _GIB


def growth(volume: Json, claim: Json) -> Step | None:
    """The PATCH that makes what is behind a volume as large as its claim asks for; None: a container has no size."""
    backing, size = section(volume, "metadata", "annotations")[BACKING], asked_gib(claim)
    if "/disks/" in backing:
        group = backing.rpartition("/providers/")[0]
        actions = ("Microsoft.Compute/disks/write",)
        return Step(backing, DISK_API, {"properties": {"diskSizeGB": size}}, actions, group)
    if "/shares/" in backing:
        account = "/".join(backing.split("/")[:9])
        actions = ("Microsoft.Storage/storageAccounts/fileServices/shares/write",)
        return Step(backing, STORAGE_API, {"properties": {"shareQuota": size}}, actions, account)
    return None


def persistent_volume(claim: Json, storage_class: Json, plan: VolumePlan) -> Json:
    """The PersistentVolume of a plan."""
    metadata = section(claim, "metadata")
    spec: Json = {
        "accessModes": items(claim, "spec", "accessModes"),
        "capacity": {"storage": f"{plan.size_gib}Gi"},
        "claimRef": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
        "csi": plan.csi,
        "mountOptions": items(storage_class, "mountOptions"),
        "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
        "storageClassName": text(storage_class, "metadata", "name"),
        "volumeMode": text(claim, "spec", "volumeMode") or "Filesystem",
    }
    if plan.zone is not None:
        expression = {"key": DISK_ZONE_LABEL, "operator": "In", "values": [plan.zone]}
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": f"pvc-{metadata['uid']}",
            "annotations": {PROVISIONED_BY: plan.csi["driver"], BACKING: plan.backing.resource_id},
            "finalizers": [FINALIZER],
        },
        "spec": spec,
    }


def check_account(plan: VolumePlan, account: Json) -> None:
    """An account that a volume is to be mounted from by identity must take SMB OAuth.

    Raises:
        PlanError: it does not. On Azure the claim is bound and the mount fails later; here nothing is mounted.
    """
    attributes: Json = plan.csi.get("volumeAttributes", {})
    if str(attributes.get("mountwithmanagedidentity", "")).lower() != "true":
        return
    properties: Json = account.get("properties", {})
    sign_in: Json = properties.get("azureFilesIdentityBasedAuthentication", {})
    oauth: Json = sign_in.get("smbOAuthSettings", {})
    if not oauth.get("isSmbOAuthEnabled"):
        raise PlanError(
            f"mountWithManagedIdentity: the account {account.get('name')} does not take SMB OAuth; enable "
            "azureFilesIdentityBasedAuthentication.smbOAuthSettings.isSmbOAuthEnabled on it"
        )


@functools.cache
def known_parameters() -> Mapping[str, frozenset[str]]:
    """Driver to the parameters it takes, in lower case."""
    document = cast(dict[str, list[str]], yaml.safe_load(_FILE.read_text()))
    return {driver: frozenset(names) for driver, names in document.items()}


def _file(name: str, size: int, given: Mapping[str, str], cluster: Cluster) -> VolumePlan:
    protocol = given.get("protocol", "smb").lower()
    if protocol not in ("smb", "nfs"):
        raise PlanError(f"protocol({protocol}) is not supported, supported protocol list: [smb nfs]")
    sku = given.get("skuname") or given.get("storageaccounttype") or ("Premium_LRS" if protocol == "nfs" else "")
    if protocol == "nfs" and sku.lower().startswith("standard"):
        raise PlanError(f"nfs protocol only supports premium storage, current account type: {sku}")
    premium = sku.lower().startswith("premium")
    size = max(size, _SMALLEST_PREMIUM_SHARE) if premium else size
    kind = "FileStorage" if premium else "StorageV2"
    account, made = _account(
        "f", given, cluster, sku=sku or "Standard_LRS", kind=kind, properties={"protocol": protocol}
    )
    share = given.get("sharename") or (name.replace("pvc", "pvcn", 1) if protocol == "nfs" else name)
    actions = ["Microsoft.Storage/storageAccounts/fileServices/shares/write"]
    if protocol == "smb" and given.get("mountwithmanagedidentity", "").lower() != "true":
        actions.append("Microsoft.Storage/storageAccounts/listKeys/action")
    body: Json = {"properties": {"shareQuota": size, "enabledProtocols": protocol.upper()}}
    step = Step(f"{account}/fileServices/default/shares/{share}", STORAGE_API, body, tuple(actions), account)
    group, account_name = account.split("/")[4], account.rpartition("/")[2]
    csi = {
        "driver": FILE,
        "volumeHandle": f"{group}#{account_name}#{share}###{name}",
        "volumeAttributes": {**given, "protocol": protocol, "storageaccount": account_name, "sharename": share},
    }
    return VolumePlan(None if made else account, (*made, step), csi, size)


def _blob(name: str, size: int, given: Mapping[str, str], cluster: Cluster) -> VolumePlan:
    protocol = given.get("protocol", "fuse").lower()
    if protocol not in ("fuse", "fuse2", "nfs"):
        raise PlanError(f"protocol({protocol}) is not supported, supported protocol list: [fuse fuse2 nfs]")
    if given.get("containername") and given.get("containernameprefix"):
        raise PlanError("containerName and containerNamePrefix could not be specified together")
    sku = given.get("skuname") or given.get("storageaccounttype") or "Standard_LRS"
    kind = "BlockBlobStorage" if sku.lower().startswith("premium") else "StorageV2"
    closed = {"supportsHttpsTrafficOnly": False, "networkAcls": {"defaultAction": "Deny"}}
    properties: Json = {"isHnsEnabled": True, "isNfsV3Enabled": True, **closed} if protocol == "nfs" else {}
    prefix = "n" if protocol == "nfs" else "b"
    account, made = _account(prefix, given, cluster, sku=sku, kind=kind, properties=properties)
    container = given.get("containername") or "-".join(filter(None, (given.get("containernameprefix"), name)))
    actions = ["Microsoft.Storage/storageAccounts/blobServices/containers/write"]
    if protocol != "nfs" and given.get("azurestorageauthtype", "").lower() != "msi":
        actions.append("Microsoft.Storage/storageAccounts/listKeys/action")
    step = Step(f"{account}/blobServices/default/containers/{container}", STORAGE_API, {}, tuple(actions), account)
    group, account_name = account.split("/")[4], account.rpartition("/")[2]
    csi = {
        "driver": BLOB,
        "volumeHandle": f"{group}#{account_name}#{container}##{name}",
        "volumeAttributes": {
            **given,
            "protocol": protocol,
            "storageaccount": account_name,
            "containername": container,
        },
    }
    return VolumePlan(None if made else account, (*made, step), csi, size)


def _disk(
    name: str, size: int, given: Mapping[str, str], cluster: Cluster, *, claim: Json, zone: str | None
) -> VolumePlan:
    sku = given.get("skuname") or given.get("storageaccounttype") or "StandardSSD_LRS"
    shared = set(items(claim, "spec", "accessModes")) & {"ReadWriteMany", "ReadOnlyMany"}
    if shared and text(claim, "spec", "volumeMode") != "Block":
        raise PlanError("mountVolume is not supported for access mode: MULTI_NODE_MULTI_WRITER")
    group = _group(given.get("resourcegroup") or cluster.node_resource_group, given, cluster)
    zone = zone if zone and zone.startswith(f"{cluster.location}-") else None
    body: Json = {
        "location": given.get("location") or cluster.location,
        "sku": {"name": sku},
        "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": size},
    }
    if zone is not None and sku.endswith("_LRS"):
        body["zones"] = [zone.rpartition("-")[2]]
    disk = f"{group}/providers/Microsoft.Compute/disks/{name}"
    step = Step(disk, DISK_API, body, ("Microsoft.Compute/disks/write",), group)
    csi = {"driver": DISK, "volumeHandle": disk, "volumeAttributes": {**given, "requestedsizegib": str(size)}}
    return VolumePlan(None, (step,), csi, size, zone if sku.endswith("_LRS") else None)


def _account(
    prefix: str, given: Mapping[str, str], cluster: Cluster, *, sku: str, kind: str, properties: Json
) -> tuple[str, tuple[Step, ...]]:
    """The account a volume comes from: the one named, or one of the driver's own in the node resource group."""
    group = _group(given.get("resourcegroup") or cluster.node_resource_group, given, cluster)
    if given.get("storageaccount"):
        return f"{group}/providers/Microsoft.Storage/storageAccounts/{given['storageaccount']}", ()
    nfs_file = properties.get("protocol") == "nfs"
    settings: Json = {key: value for key, value in properties.items() if key != "protocol"}
    settings = {"allowBlobPublicAccess": False, "supportsHttpsTrafficOnly": not nfs_file, **settings}
    digest = hashlib.sha256(f"{cluster.id}{group}{sku}{kind}{settings}".lower().encode()).hexdigest()
    account = f"{group}/providers/Microsoft.Storage/storageAccounts/{prefix}{digest[:22]}"
    body: Json = {
        "location": given.get("location") or cluster.location,
        "kind": kind,
        "sku": {"name": sku},
        "properties": settings,
    }
    return account, (Step(account, STORAGE_API, body, ("Microsoft.Storage/storageAccounts/write",), group),)


def _group(name: str, given: Mapping[str, str], cluster: Cluster) -> str:
    subscription = given.get("subscriptionid") or cluster.id.split("/")[2]
    return f"/subscriptions/{subscription}/resourceGroups/{name}"
