"""CSI drivers of file systems inside the cluster: when they serve, what they refuse, and what their volumes are.

One class a driver; messages are the drivers' own (ceph/ceph-csi v3.17 internal/cephfs and internal/rbd, kadalu/kadalu
1.2.0 csi/controllerserver.py, azurelustre-csi-driver pkg/azurelustre). Parameters that they do not know, all but the
last pass over.
"""

from __future__ import annotations

import math
import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import cast

from sandbox.nodes.objects import Json, annotations_of, items, key_of, labels_of, section, text
from sandbox.nodes.quantities import parse_quantity
from sandbox.nodes.volume_plans import PlanError
from sandbox.operators.ceph_csi import is_configured
from sandbox.operators.kadalu import CONFIG, pools_of, server_name
from sandbox.operators.rook.contents import CONTENTS, contents, data_pools, written
from sandbox.operators.view import View, is_going

_PARAMETER = "csi.storage.k8s.io/{}-secret-{}"
_KADALU_RESERVED = 0.1


@dataclass(frozen=True)
class NewVolume:
    """A volume that a driver made.

    Attributes:
        csi: `spec.csi` of its PersistentVolume.
        size: its bytes.
    """

    csi: Json
    size: int


class Driver(ABC):
    """One driver.

    Args:
        view: the cluster.
        name: the driver's name.
    """

    def __init__(self, view: View, name: str) -> None:
        self._view = view
        self.name = name

    @abstractmethod
    def serves(self) -> bool:
        """Whether its controller's pod is ready."""

    @abstractmethod
    async def make(self, claim: Json, parameters: Json) -> NewVolume:
        """Make a volume for a claim.

        Raises:
            PlanError: the driver refuses.
        """

    @abstractmethod
    async def remove(self, volume: Json) -> None:
        """Remove what is behind a volume; nothing where it is gone."""

    def check_growth(self, volume: Json, size: int) -> None:
        """Whether a volume may have that many bytes.

        Raises:
            PlanError: it may not.
        """
        del volume, size  # most drivers set a quota and no more

    def secret(self, parameters: Json, user: str, *, of: str) -> tuple[str, str] | None:
        """Namespace and name of the secret that a class names for a user such as `node-stage`; None: it names none.

        Raises:
            PlanError: the secret is not there.
        """
        name, namespace = (text(parameters, _PARAMETER.format(user, part)) for part in ("name", "namespace"))
        if not name and not namespace:
            return None
        if not name or not namespace:
            raise PlanError(f"failed to get name and namespace template from params: {user}-secret-name and -namespace")
        if of == "now" and self._view.find("Secret", namespace, name) is None:
            raise PlanError(
                f"error getting secret {name} in namespace {namespace}: secrets {name!r} not found".replace("'", '"')
            )
        return namespace, name


class Ceph(Driver):
    """ceph-csi for CephFS and RBD."""

    @property
    def is_cephfs(self) -> bool:
        """Whether it serves CephFS."""
        return self.name.endswith("cephfs.csi.ceph.com")

    def serves(self) -> bool:
        """See `Driver`."""
        return bool(self._view.ready_pods(None, {"app": f"{self.name}-ctrlplugin"}))

    async def make(self, claim: Json, parameters: Json) -> NewVolume:
        """See `Driver`."""
        if self.secret(parameters, "provisioner", of="now") is None:
            raise PlanError("rpc error: code = InvalidArgument desc = provided secret is empty")
        cluster_id = text(parameters, "clusterID")
        if not cluster_id:
            said = "clusterID must be set" if self.is_cephfs else "empty cluster ID to provision volume from"
            raise PlanError(f"rpc error: code = InvalidArgument desc = {said}")
        holder = self._filesystem(parameters) if self.is_cephfs else self._pool(claim, parameters)
        uid = str(uuid.uuid5(uuid.NAMESPACE_OID, claim["metadata"]["uid"]))
        inside = f"csi-vol-{uid}"
        if inside not in contents(holder):
            await self._view.annotate(holder, {CONTENTS: written({*contents(holder), inside})})
        stage = self.secret(parameters, "node-stage", of="mount")
        expand = self.secret(parameters, "controller-expand", of="mount")
        csi: Json = {
            "driver": self.name,
            "volumeHandle": f"0001-{len(cluster_id):04x}-{cluster_id}-{1:016x}-{uid}",
            "volumeAttributes": {
                **{key: value for key, value in parameters.items() if not key.startswith("csi.storage.k8s.io/")},
                "subvolumeName" if self.is_cephfs else "imageName": inside,
            },
        }
        for field, secret in (("nodeStageSecretRef", stage), ("controllerExpandSecretRef", expand)):
            if secret is not None:
                csi[field] = {"namespace": secret[0], "name": secret[1]}
        return NewVolume(csi, asked_size(claim))

    def _filesystem(self, parameters: Json) -> Json:
        cluster_id, name = text(parameters, "clusterID"), text(parameters, "fsName")
        if not name:
            raise PlanError("rpc error: code = InvalidArgument desc = missing required field fsName")
        self._check_cluster(cluster_id)
        found = self._view.find("CephFilesystem", cluster_id, name)
        if found is None or is_going(found) or text(found, "status", "phase") != "Ready":
            raise PlanError(
                f"rpc error: code = Internal desc = pool not found: fscID for {name!r} not found in Ceph cluster"
            )
        pool = text(parameters, "pool")
        if pool and pool not in data_pools(found):
            raise PlanError(
                f"rpc error: code = Internal desc = rados: ret=-22, Invalid argument: pool {pool!r} of {name!r}"
            )
        return found

    def _pool(self, claim: Json, parameters: Json) -> Json:
        cluster_id, name = text(parameters, "clusterID"), text(parameters, "pool")
        if not name:
            said = "missing or empty pool name to provision volume from"
            raise PlanError(f"rpc error: code = InvalidArgument desc = {said}")
        if "ReadWriteMany" in access_modes(claim) and text(claim, "spec", "volumeMode") != "Block":
            said = "multi node access modes are only supported on rbd `block` type volumes"
            raise PlanError(f"rpc error: code = InvalidArgument desc = {said}")
        self._check_cluster(cluster_id)
        found = self._view.find("CephBlockPool", cluster_id, name)
        if found is None or is_going(found) or text(found, "status", "phase") != "Ready":
            raise PlanError(
                f"rpc error: code = Internal desc = pool not found: pool ({name}) not found in Ceph cluster"
            )
        return found

    def _check_cluster(self, cluster_id: str) -> None:
        if not is_configured(self._view, cluster_id):
            raise PlanError(
                "rpc error: code = InvalidArgument desc = failed to fetch monitor list using clusterID "
                f'({cluster_id}): missing configuration for cluster ID "{cluster_id}"'
            )

    async def remove(self, volume: Json) -> None:
        """See `Driver`."""
        attributes = section(volume, "spec", "csi", "volumeAttributes")
        kind, name = ("CephFilesystem", "fsName") if self.is_cephfs else ("CephBlockPool", "pool")
        inside = text(attributes, "subvolumeName" if self.is_cephfs else "imageName")
        holder = self._view.find(kind, text(attributes, "clusterID"), text(attributes, name))
        if holder is not None and inside in contents(holder):
            await self._view.annotate(holder, {CONTENTS: written(set(contents(holder)) - {inside})})


class Kadalu(Driver):
    """Kadalu's driver."""

    def serves(self) -> bool:
        """See `Driver`."""
        labels = {"app.kubernetes.io/name": "kadalu-csi-provisioner", "app.kubernetes.io/component": "csi-driver"}
        return bool(self._view.ready_pods(None, labels))

    async def make(self, claim: Json, parameters: Json) -> NewVolume:
        """See `Driver`."""
        if text(claim, "spec", "volumeMode") == "Block" and access_modes(claim) != ["ReadWriteOnce"]:
            raise PlanError(
                "rpc error: code = InvalidArgument desc = Only SINGLE_NODE_WRITER is allowed for block Volume"
            )
        named, size = text(parameters, "storage_name"), asked_size(claim)
        for name, info in self._pools().items():
            if named in ("", name) and self._free(name, info) * (1 - _KADALU_RESERVED) > size:
                digest = uuid.uuid5(uuid.NAMESPACE_OID, claim["metadata"]["uid"]).hex
                handle = f"pvc-{claim['metadata']['uid']}"
                attributes = {
                    "type": text(info, "type"),
                    "hostvol": name,
                    "pvtype": "subvol",
                    "path": f"subvol/{digest[:2]}/{digest[2:4]}/{handle}",
                    "fstype": "xfs",
                    "single_pv_per_pool": text(parameters, "single_pv_per_pool") or "False",
                }
                csi = {"driver": self.name, "volumeHandle": handle, "volumeAttributes": attributes}
                return NewVolume(csi, size)
        raise PlanError("rpc error: code = ResourceExhausted desc = No Hosting Volumes available, add more storage")

    def check_growth(self, volume: Json, size: int) -> None:
        """See `Driver`."""
        name = text(volume, "spec", "csi", "volumeAttributes", "hostvol")
        has = parse_quantity(text(volume, "spec", "capacity", "storage") or "0")
        info = self._pools().get(name)
        if info is None or self._free(name, info) * (1 - _KADALU_RESERVED) <= size - has:
            raise PlanError("rpc error: code = ResourceExhausted desc = Hosting volume is full. Add more storage")

    async def remove(self, volume: Json) -> None:
        """See `Driver`: a directory, of which nothing is kept here."""

    def _pools(self) -> dict[str, Json]:
        found: dict[str, Json] = {}
        for pod in self._view.all("Pod", None, {"app.kubernetes.io/name": "kadalu-csi-provisioner"})[:1]:
            found = pools_of(self._view.find("ConfigMap", key_of(pod)[0], CONFIG) or {})
        return found

    def _free(self, name: str, info: Json) -> float:
        """Bytes that are left in a pool whose servers run; 0 where too few of them do to mount it."""
        bricks = items(info, "bricks")
        group = {"Replica1": 1, "Replica2": 2, "Replica3": 3, "Arbiter": 3}.get(text(info, "type"), len(bricks))
        used = sum(
            float(parse_quantity(text(volume, "spec", "capacity", "storage") or "0"))
            for volume in self._view.all("PersistentVolume")
            if text(volume, "spec", "csi", "volumeAttributes", "hostvol") == name
        )
        total = 0.0
        for start in range(0, len(bricks), group):
            sizes = [
                self._size(name, start + number, brick) for number, brick in enumerate(bricks[start : start + group])
            ]
            running = [size for size in sizes if size > 0]
            if len(running) * 2 < group or not running:
                return 0
            total += min(running)
        return total - used

    def _size(self, pool: str, index: int, brick: Json) -> float:
        """Bytes of a brick whose server runs; of a node's own disk nothing is known, so it is as large as it needs."""
        pods = [
            pod
            for pod in self._view.ready_pods(None, {"app.kubernetes.io/component": "server"})
            if key_of(pod)[1] == f"{server_name(pool, index)}-0"
        ]
        if not pods:
            return 0
        claim = self._view.find("PersistentVolumeClaim", key_of(pods[0])[0], text(brick, "pvc_name"))
        if claim is None:
            return float(2**60)
        return float(parse_quantity(text(claim, "status", "capacity", "storage") or "0"))


class Portworx(Driver):
    """Portworx' driver."""

    def serves(self) -> bool:
        """See `Driver`."""
        return bool(self._view.ready_pods(None, {"app": "px-csi-driver"}))

    async def make(self, claim: Json, parameters: Json) -> NewVolume:
        """See `Driver`."""
        clusters = [one for one in self._view.all("StorageCluster") if text(one, "status", "phase") == "Running"]
        if not clusters:
            raise PlanError("rpc error: code = Unavailable desc = the Portworx cluster is not running")
        shared = {"ReadWriteMany", "ReadOnlyMany"} & set(access_modes(claim))
        sharing = [text(parameters, key) for key in ("sharedv4", "shared")]
        if shared and "true" not in sharing:
            raise PlanError(
                'rpc error: code = InvalidArgument desc = access mode MULTI_NODE_MULTI_WRITER needs sharedv4: "true"'
            )
        copies = text(parameters, "repl") or "1"
        if copies not in ("1", "2", "3"):
            raise PlanError(f"rpc error: code = InvalidArgument desc = invalid repl {copies!r}: it takes 1, 2 or 3")
        running = self._view.ready_pods(key_of(clusters[0])[0], {"name": "portworx"})
        storage = [pod for pod in running if labels_of(pod).get("storage") == "true"] or running
        if len(storage) < int(copies):
            raise PlanError(
                f"rpc error: code = Internal desc = could not find enough nodes to provision volume: {copies} "
                f"replicas, {len(storage)} storage nodes"
            )
        number = uuid.uuid5(uuid.NAMESPACE_OID, claim["metadata"]["uid"]).int % 10**18
        attributes = {key: value for key, value in parameters.items() if not key.startswith("csi.storage.k8s.io/")}
        csi = {"driver": self.name, "volumeHandle": f"{number:018d}", "volumeAttributes": attributes}
        return NewVolume(csi, asked_size(claim))

    async def remove(self, volume: Json) -> None:
        """See `Driver`: nothing of it is kept here."""


def asked_size(claim: Json) -> int:
    """The bytes that a claim asks for."""
    return math.ceil(parse_quantity(section(claim, "spec", "resources", "requests").get("storage", "1Gi")))


def access_modes(claim: Json) -> list[str]:
    """A claim's access modes."""
    return cast("list[str]", section(claim, "spec").get("accessModes") or [])


class Lustre(Driver):
    """Azure Managed Lustre's driver, for file systems that are there; here it makes none of its own for a claim."""

    _KNOWN = frozenset(
        {
            *("resource-group-name", "mgs-ip-address", "location", "vnet-name", "vnet-resource-group", "subnet-name"),
            *("maintenance-day-of-week", "maintenance-time-of-day-utc", "sku-name", "zone", "zones", "tags"),
            *("identities", "fs-name", "sub-dir"),
        }
    )
    _NEEDED = ("maintenance-day-of-week", "sku-name", "maintenance-time-of-day-utc")
    _BLOCK = 4 * 2**40

    def serves(self) -> bool:
        """See `Driver`."""
        return bool(self._view.ready_pods(None, {"app": "csi-azurelustre-controller"}))

    async def make(self, claim: Json, parameters: Json) -> NewVolume:
        """See `Driver`."""
        if text(claim, "spec", "volumeMode") == "Block":
            raise PlanError("rpc error: code = InvalidArgument desc = Doesn't support block volume.")
        given = {key.lower(): str(value) for key, value in parameters.items()}
        unknown = [f"{key} = {value}" for key, value in given.items() if key not in self._KNOWN]
        if unknown:
            said = f"Invalid parameter(s) {{{', '.join(unknown)}}} in storage class"
            raise PlanError(f"rpc error: code = InvalidArgument desc = {said}")
        address = given.get("mgs-ip-address", "")
        if not address:
            missing = [key for key in self._NEEDED if not given.get(key)]
            said = "the sandbox makes no file system for a claim: name one that is there by mgs-ip-address"
            if missing:
                said = f"CreateVolume {missing[0]} must be provided for dynamically provisioned AMLFS"
            raise PlanError(f"rpc error: code = InvalidArgument desc = {said}")
        folder = given.get("sub-dir", "").strip("/")
        if "sub-dir" in given and not folder:
            said = "CreateVolume Parameter sub-dir must not be empty if provided"
            raise PlanError(f"rpc error: code = InvalidArgument desc = {said}")
        name = f"pvc-{claim['metadata']['uid']}"
        handle = f"{name}#lustrefs#{address}#{folder}#f#{given.get('resource-group-name', '')}"
        csi = {"driver": self.name, "volumeHandle": handle, "volumeAttributes": given}
        return NewVolume(csi, math.ceil(asked_size(claim) / self._BLOCK) * self._BLOCK)

    async def remove(self, volume: Json) -> None:
        """See `Driver`: a file system that it did not make stays."""


def drivers(view: View) -> dict[str, Driver]:
    """The drivers that serve, by name."""
    found: dict[str, Driver] = {}
    for one in view.all("CSIDriver"):
        name = text(one, "metadata", "name")
        if "csi.ceph.io/ownerref" in annotations_of(one) and name.endswith(
            (".rbd.csi.ceph.com", "cephfs.csi.ceph.com")
        ):
            found[name] = Ceph(view, name)
        elif name == "kadalu":
            found[name] = Kadalu(view, name)
        elif name == "pxd.portworx.com":
            found[name] = Portworx(view, name)
        elif name == "azurelustre.csi.azure.com":
            found[name] = Lustre(view, name)
    return {name: driver for name, driver in found.items() if driver.serves()}
