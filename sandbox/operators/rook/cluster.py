"""A CephCluster: finalizer, monitors, managers, secrets, OSDs, status, and its end.

In Rook's order: managers after all first monitors, OSDs after them. A cluster is Ready once all of it runs, and stays
so, with its health telling what does not.
"""

from __future__ import annotations

import base64
import hashlib
import uuid

from sandbox.kubernetes_client import ApiError, path
from sandbox.nodes.objects import Json, Key, condition, key_of, section, text
from sandbox.operators.rook.osds import Osds
from sandbox.operators.rook.pods import counted, letters, mgr, mon
from sandbox.operators.view import View, is_going, with_condition

MANAGER = "rook"
FINALIZER = "cephcluster.ceph.rook.io"
PROTECTION = "ceph.rook.io/disaster-protection"
"""Finalizer of what a cluster could not be rescued without."""
SECRETS = {
    "rook-csi-rbd-provisioner": "csi-rbd-provisioner",
    "rook-csi-rbd-node": "csi-rbd-node",
    "rook-csi-cephfs-provisioner": "csi-cephfs-provisioner",
    "rook-csi-cephfs-node": "csi-cephfs-node",
}
"""The CSI drivers' secrets and the Ceph users in them."""
_DEPENDENTS = (
    *("cephblockpools", "cephrbdmirrors", "cephfilesystems", "cephfilesystemmirrors", "cephobjectstores"),
    *("cephobjectstoreusers", "cephobjectzones", "cephobjectzonegroups", "cephobjectrealms", "cephnfses"),
    *("cephclients", "cephfilesystemsubvolumegroups", "cephblockpoolradosnamespaces"),
)
_DESTROY = "yes-really-destroy-data"


class Clusters:
    """All CephClusters that a running operator looks after."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._osds = Osds(view)

    async def reconcile(self, cluster: Json, operator_namespace: str) -> None:
        """Bring one cluster on."""
        if is_going(cluster):
            await self._delete(cluster)
            return
        if not await self._view.hold(cluster, FINALIZER):
            return
        if section(cluster, "spec", "cleanupPolicy").get("confirmation") == _DESTROY:
            return  # Rook does nothing for a cluster that is to be destroyed
        problem = self._problem(cluster)
        if problem:
            await self._fail(cluster, problem)
            return
        await self._start(cluster, operator_namespace)

    def _problem(self, cluster: Json) -> str:
        """Why Rook does not even begin."""
        spec = cluster["spec"]
        count = counted(spec, "mon", "count", default=3)
        nodes = len(self._view.all("Node"))
        if not section(spec, "mon").get("allowMultiplePerNode") and count > nodes:
            return f"cannot start {count} mons on {nodes} node(s) when allowMultiplePerNode is false"
        others = [one for one in self._view.all("CephCluster", _namespace(cluster)) if key_of(one) < key_of(cluster)]
        return f"a CephCluster CR already exists in namespace {_namespace(cluster)!r}" if others else ""

    async def _start(self, cluster: Json, operator_namespace: str) -> None:
        spec = cluster["spec"]
        names = [letters(index) for index in range(counted(spec, "mon", "count", default=3))]
        await self._protected(cluster, names)
        for name in names:
            for one in mon(cluster, name):
                await self._view.keep(one, manager=MANAGER, owner=cluster)
        mons = self._running(cluster, "rook-ceph-mon")
        was_ready = _was_ready(cluster)
        if len(mons) < (len(names) // 2 + 1 if was_ready else len(names)):
            if was_ready:
                await self._health(cluster, "HEALTH_ERR")
            else:
                await self._progress(cluster, "Configuring Ceph Mons")
            return
        await self._secrets(cluster)
        await self._connect(cluster, operator_namespace)
        count = counted(spec, "mgr", "count", default=2)
        for index in range(count):
            await self._view.keep(mgr(cluster, letters(index), count), manager=MANAGER, owner=cluster)
        mgrs = self._running(cluster, "rook-ceph-mgr")
        if not mgrs and not was_ready:
            await self._progress(cluster, "Configuring Ceph Mgr(s)")
            return
        wanted = await self._osds.reconcile(cluster)
        osds = self._running(cluster, "rook-ceph-osd")
        complete = len(mons) == len(names) and len(mgrs) == count and len(osds) >= wanted
        if not complete and not was_ready:
            await self._progress(cluster, "Configuring Ceph OSDs")
            return
        await self._extras(cluster)
        await self._ready(cluster, "HEALTH_OK" if complete else "HEALTH_WARN")

    def _running(self, cluster: Json, app: str) -> list[Json]:
        return self._view.ready_pods(_namespace(cluster), {"app": app, "rook_cluster": _namespace(cluster)})

    async def _protected(self, cluster: Json, names: list[str]) -> None:
        """The keys and addresses of the monitors, which nobody can take away while the cluster is there."""
        fsid = str(uuid.uuid5(uuid.NAMESPACE_OID, cluster["metadata"]["uid"]))
        secret = _object(cluster, "Secret", "rook-ceph-mon")
        secret |= {"type": "kubernetes.io/rook", "data": _encoded(self._administrator(cluster, fsid))}
        endpoints = _object(cluster, "ConfigMap", "rook-ceph-mon-endpoints")
        endpoints["data"] = {
            "data": ",".join(f"{name}=rook-ceph-mon-{name}.{_namespace(cluster)}.svc:6789" for name in names),
            "maxMonId": str(len(names) - 1),
        }
        for one in (secret, endpoints):
            one["metadata"]["finalizers"] = [PROTECTION]
            await self._view.keep(one, manager=MANAGER, owner=cluster)

    def _administrator(self, cluster: Json, fsid: str) -> Json:
        keys = {
            "mon-secret": _key(cluster, "mon"),
            "ceph-username": "client.admin",
            "ceph-secret": _key(cluster, "admin"),
        }
        return {"cluster-name": text(cluster, "metadata", "namespace"), "fsid": fsid, **keys}

    async def _secrets(self, cluster: Json) -> None:
        for name, user in SECRETS.items():
            secret = _object(cluster, "Secret", name)
            secret |= {"type": "kubernetes.io/rook", "data": _encoded({"userID": user, "userKey": _key(cluster, user)})}
            await self._view.keep(secret, manager=MANAGER, owner=cluster)

    async def _connect(self, cluster: Json, operator_namespace: str) -> None:
        """What ceph-csi-operator needs to know of the cluster: objects without owner, which Rook never deletes."""
        if not self._view.knows("CephConnection", "ClientProfile"):
            return
        namespace = _namespace(cluster)
        ends = self._view.find("ConfigMap", namespace, "rook-ceph-mon-endpoints") or {}
        monitors = [one.partition("=")[2] for one in section(ends, "data").get("data", "").split(",") if one]
        secret = {"namespace": namespace}
        profile = {
            "cephConnectionRef": {"name": namespace},
            "cephFs": {
                "cephCsiSecrets": {"controllerPublishSecret": {**secret, "name": "rook-csi-cephfs-provisioner"}}
            },
            "rbd": {"cephCsiSecrets": {"controllerPublishSecret": {**secret, "name": "rook-csi-rbd-provisioner"}}},
        }
        metadata = {"name": namespace, "namespace": operator_namespace}
        for kind, spec in (("CephConnection", {"monitors": monitors}), ("ClientProfile", profile)):
            present = self._view.find(kind, operator_namespace, namespace)
            if monitors and (present is None or not is_going(present)):
                one = {"apiVersion": "csi.ceph.io/v1", "kind": kind, "metadata": metadata, "spec": spec}
                await self._view.keep(one, manager=MANAGER)

    async def _extras(self, cluster: Json) -> None:
        """The dashboard's service, where it is asked for."""
        name = "rook-ceph-mgr-dashboard"
        if not section(cluster, "spec", "dashboard").get("enabled"):
            await self._view.delete("Service", _namespace(cluster), name)
            return
        ssl = section(cluster, "spec", "dashboard").get("ssl", True)
        port = {"name": "https-dashboard" if ssl else "http-dashboard", "port": 8443 if ssl else 7000}
        service = _object(cluster, "Service", name)
        service["spec"] = {"ports": [port], "selector": {"app": "rook-ceph-mgr", "rook_cluster": _namespace(cluster)}}
        await self._view.keep(service, manager=MANAGER, owner=cluster)

    async def _progress(self, cluster: Json, message: str) -> None:
        conditions = with_condition(cluster, "Progressing", status=True, reason="ClusterProgressing", message=message)
        status = {"phase": "Progressing", "state": "Creating", "message": message, "conditions": conditions}
        await self._view.report(cluster, status)

    async def _ready(self, cluster: Json, health: str) -> None:
        message = "Cluster created successfully"
        ready = with_condition(cluster, "Ready", status=True, reason="ClusterCreated", message=message)
        await self._view.report(
            cluster,
            {
                "phase": "Ready",
                "state": "Created",
                "message": message,
                "conditions": [one for one in ready if one.get("type") != "Progressing"],
                "observedGeneration": cluster["metadata"].get("generation"),
                "version": {"image": text(cluster, "spec", "cephVersion", "image"), "version": ""},
            },
        )
        await self._health(cluster, health)

    async def _health(self, cluster: Json, health: str) -> None:
        fsid = str(uuid.uuid5(uuid.NAMESPACE_OID, cluster["metadata"]["uid"]))
        await self._view.report(cluster, {"ceph": {"health": health, "fsid": fsid}})

    async def _fail(self, about: Json, message: str) -> None:
        await self._view.tell(
            about,
            "ReconcileFailed",
            f'failed to reconcile CephCluster "{"/".join(key_of(about))}". {message}',
            "rook-ceph-cluster-controller",
        )
        await self._progress(about, message)

    async def _delete(self, cluster: Json) -> None:
        """Let a cluster go once nothing depends on it any more."""
        if FINALIZER not in (cluster["metadata"].get("finalizers") or []):
            return
        blocked = await self._blocked(cluster)
        conditions = with_condition(
            cluster, "Deleting", status=True, reason="ClusterDeleting", message="Deleting the CephCluster"
        )
        status = {"phase": "Deleting", "state": "Deleting", "message": blocked or "Deleting the CephCluster"}
        if blocked:
            in_words: Json = {"status": {"conditions": conditions}}
            conditions = with_condition(
                in_words, "DeletionIsBlocked", status=True, reason="ObjectHasDependents", message=blocked
            )
        await self._view.report(cluster, {**status, "conditions": conditions})
        if blocked:
            await self._view.tell(cluster, "ReconcileFailed", blocked, "rook-ceph-cluster-controller")
            return
        for kind, name in (("Secret", "rook-ceph-mon"), ("ConfigMap", "rook-ceph-mon-endpoints")):
            protected = self._view.find(kind, _namespace(cluster), name)
            if protected is not None:
                await self._view.let_go(protected, PROTECTION)
        await self._view.let_go(cluster, FINALIZER)

    async def _blocked(self, cluster: Json) -> str:
        """What a cluster's deletion waits for, read afresh: a copy may be behind."""
        namespace = _namespace(cluster)
        found: list[str] = []
        for plural in _DEPENDENTS:
            found += [f"{plural}: {key[1]}" for key in await self._names(plural, namespace)]
        if found:
            return (
                f'CephCluster "{"/".join(key_of(cluster))}" will not be deleted until all dependents are removed: '
                + "; ".join(found)
            )
        if section(cluster, "spec", "cleanupPolicy").get("allowUninstallWithVolumes"):
            return ""
        volumes, _ = await self._view.client.list(path("v1", "persistentvolumes"))
        left = [one for one in volumes if _is_volume_of(one, namespace)]
        return f'waiting for csi volume attachments in cluster "{namespace}" to be cleaned up' if left else ""

    async def _names(self, plural: str, namespace: str) -> list[Key]:
        try:
            found, _ = await self._view.client.list(path("ceph.rook.io/v1", plural, namespace))
        except ApiError as error:
            if error.not_found:
                return []
            raise
        return [key_of(one) for one in found]


def _is_volume_of(volume: Json, namespace: str) -> bool:
    driver = text(volume, "spec", "csi", "driver")
    ours = driver.endswith((".cephfs.csi.ceph.com", ".rbd.csi.ceph.com"))
    return ours and section(volume, "spec", "csi", "volumeAttributes").get("clusterID") == namespace


def _was_ready(cluster: Json) -> bool:
    return condition(cluster, "Ready").get("status") == "True"


def can_take_orders(cluster: Json) -> bool:
    """Whether Rook runs Ceph's commands for file systems and pools of this cluster now."""
    return text(cluster, "status", "ceph", "health") in ("HEALTH_OK", "HEALTH_WARN")


def _namespace(cluster: Json) -> str:
    return text(cluster, "metadata", "namespace")


def _object(cluster: Json, kind: str, name: str) -> Json:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": _namespace(cluster)}}


def _key(cluster: Json, user: str) -> str:
    """A Ceph key that opens nothing: the same again for the same cluster and user."""
    return base64.b64encode(hashlib.sha256(f"{cluster['metadata']['uid']}/{user}".encode()).digest()[:28]).decode()


def _encoded(data: Json) -> Json:
    return {key: base64.b64encode(str(value).encode()).decode() for key, value in data.items()}
