"""Portworx' operator: a storage pod on every node that a StorageCluster allows, its API and CSI parts, and its end.

After libopenstorage/operator (24.1, the last with public source) pkg/controller/storagecluster and
drivers/storage/portworx. What the storage pods do with cloud drives, and the licence, is Portworx' own: left out.
"""

from __future__ import annotations

import hashlib

from sandbox.nodes.objects import Json, items, key_of, labels_of, section, text
from sandbox.operators.placement import allows
from sandbox.operators.view import View, is_going, with_condition

DRIVER = "pxd.portworx.com"
FINALIZER = "operator.libopenstorage.org/delete"
_MANAGER = "portworx-operator"
_MANAGED = {"operator.libopenstorage.org/managed-by": "portworx"}
_KINDS = ("StorageCluster", "ServiceAccount", "DaemonSet", "Deployment", "CSIDriver", "StorageClass")
_KVDB_NODES = 3
"""Portworx' own key-value store wants a quorum of three."""
_DEFAULT_AFFINITY: Json = {
    "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [
            {
                "matchExpressions": [
                    {"key": "px/enabled", "operator": "NotIn", "values": ["false"]},
                    {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
                    {"key": "node-role.kubernetes.io/master", "operator": "DoesNotExist"},
                ]
            }
        ]
    }
}
_CLASSES = {"px-csi-db": "3", "px-csi-replicated": "2"}
"""The classes that the operator makes unless told not to, of those for CSI and plain data, and their copies."""


class Portworx:
    """The Portworx operator of the cluster."""

    def __init__(self, view: View) -> None:
        self._view = view

    async def reconcile(self) -> None:
        """Do what a running operator would do now."""
        if not self._view.knows(*_KINDS) or not self._view.ready_pods(None, {"name": "portworx-operator"}):
            return
        for cluster in self._view.all("StorageCluster"):
            if is_going(cluster):
                await self._delete(cluster)
            elif await self._view.hold(cluster, FINALIZER):
                await self._cluster(cluster)

    async def _cluster(self, cluster: Json) -> None:
        placement = _placement(cluster)
        nodes = [node for node in self._view.all("Node") if allows(placement, node)]
        for name in ("portworx", "px-csi"):
            account = _object(cluster, "v1", "ServiceAccount", name)
            await self._view.create(account, manager=_MANAGER, owner=cluster)
        for node in nodes:
            await self._view.create(_storage_pod(cluster, node, placement), manager=_MANAGER, owner=cluster)
        for made in (_api(cluster, placement), _csi(cluster, placement)):
            await self._view.keep(made, manager=_MANAGER, owner=cluster)
        driver = {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": DRIVER}}
        await self._view.keep({**driver, "spec": {"attachRequired": False, "podInfoOnMount": True}}, manager=_MANAGER)
        if section(cluster, "metadata", "annotations").get("portworx.io/disable-storage-class") != "true":
            for name, copies in _CLASSES.items():
                await self._view.keep(_storage_class(name, copies), manager=_MANAGER)
        await self._report(cluster, nodes)

    async def _report(self, cluster: Json, nodes: list[Json]) -> None:
        running = {text(pod, "spec", "nodeName") for pod in self._storage_pods(cluster)}
        wanted = {text(node, "metadata", "name") for node in nodes}
        quorum = len(running) >= min(_KVDB_NODES, len(wanted)) and bool(wanted)
        whole = wanted <= running
        before = text(cluster, "status", "phase")
        phase = "Running" if quorum and (whole or before == "Running") else "Initializing"
        if before == "Running" and not quorum:
            phase = "Degraded"
        conditions = with_condition(
            cluster,
            "RuntimeState",
            status=True,
            reason="",
            message=f"{len(running)} of {len(wanted)} storage pods run",
        )
        for one in conditions:  # its own words, in place of True and False
            if one["type"] == "RuntimeState":
                one["status"] = "Online" if phase == "Running" else "InProgress"
                one["source"] = "Portworx"
        if phase != before:
            status: Json = {"phase": phase, "clusterName": key_of(cluster)[1], "conditions": conditions}
            await self._view.report(cluster, status)

    def _storage_pods(self, cluster: Json) -> list[Json]:
        return self._view.ready_pods(key_of(cluster)[0], {"name": "portworx"})

    async def _delete(self, cluster: Json) -> None:
        """Take a cluster down; where its data is to be wiped, every node must have done so first."""
        if FINALIZER not in (cluster["metadata"].get("finalizers") or []):
            return
        if text(cluster, "status", "phase") != "Uninstalling":
            await self._view.report(cluster, {"phase": "Uninstalling"})
        strategy = text(cluster, "spec", "deleteStrategy", "type")
        if strategy:
            # An account of its own: the others go with the cluster that is being deleted.
            account = _object(cluster, "v1", "ServiceAccount", "px-node-wiper")
            await self._view.keep(account, manager=_MANAGER, owner=cluster)
            wiper = _wiper(cluster, _placement(cluster), wipe=strategy != "Uninstall")
            await self._view.keep(wiper, manager=_MANAGER, owner=cluster)
            present = self._view.find("DaemonSet", key_of(cluster)[0], "px-node-wiper")
            status = section(present or {}, "status")
            seen = status.get("observedGeneration") and "desiredNumberScheduled" in status
            if not seen or (status.get("numberReady") or 0) < status["desiredNumberScheduled"]:
                return
        for name in _CLASSES:
            await self._view.delete("StorageClass", "", name)
        await self._view.delete("CSIDriver", "", DRIVER)
        await self._view.let_go(cluster, FINALIZER)


def _placement(cluster: Json) -> Json:
    """Where a cluster's pods go: as its spec says, else on every Linux node without taints."""
    own = section(cluster, "spec", "placement")
    affinity = section(own, "nodeAffinity") or _DEFAULT_AFFINITY
    return {"nodeAffinity": affinity, "tolerations": items(own, "tolerations")}


def _object(cluster: Json, api_version: str, kind: str, name: str, labels: Json | None = None) -> Json:
    metadata: Json = {"name": name, "namespace": key_of(cluster)[0], "labels": {**_MANAGED, **(labels or {})}}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _storage_pod(cluster: Json, node: Json, placement: Json) -> Json:
    """The storage pod for one node, bound to it as a DaemonSet's is."""
    name = text(node, "metadata", "name")
    storage = labels_of(node).get("portworx.io/node-type") != "storageless"
    digest = hashlib.sha256(node["metadata"]["uid"].encode()).hexdigest()[:5]
    pod = _object(cluster, "v1", "Pod", f"{key_of(cluster)[1]}-{digest}", {"name": "portworx"})
    pod["metadata"]["labels"]["storage"] = str(storage).lower()
    terms = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    everywhere = [
        {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": effect}
        for key, effect in (
            *(("not-ready", "NoExecute"), ("unreachable", "NoExecute"), ("disk-pressure", "NoSchedule")),
            *(("memory-pressure", "NoSchedule"), ("pid-pressure", "NoSchedule"), ("unschedulable", "NoSchedule")),
        )
    ]
    container = {
        "name": "portworx",
        "image": text(cluster, "spec", "image") or "portworx/oci-monitor:3.6.1",
        "env": items(cluster, "spec", "env"),
        "resources": section(cluster, "spec", "resources"),
        "securityContext": {"privileged": True},
    }
    pod["spec"] = {
        "serviceAccountName": "portworx",
        "hostNetwork": True,
        "restartPolicy": "Always",
        "affinity": {"nodeAffinity": required},
        "tolerations": [*placement["tolerations"], *everywhere],
        "containers": [container],
    }
    return pod


def _template(labels: Json, placement: Json, account: str, containers: list[Json]) -> Json:
    spec: Json = {
        "serviceAccountName": account,
        "affinity": {"nodeAffinity": placement["nodeAffinity"]},
        "tolerations": placement["tolerations"],
        "containers": containers,
    }
    return {"metadata": {"labels": {**_MANAGED, **labels}}, "spec": spec}


def _api(cluster: Json, placement: Json) -> Json:
    """The API on every node, with the registrar of the CSI driver beside it."""
    registrar = {
        "name": "csi-node-driver-registrar",
        "image": "registry.k8s.io/sig-storage/csi-node-driver-registrar:v2.13.0",
        "args": [f"--kubelet-registration-path=/var/lib/kubelet/csi-plugins/{DRIVER}/csi.sock"],
    }
    labels = {"name": "portworx-api"}
    made = _object(cluster, "apps/v1", "DaemonSet", "portworx-api", labels)
    pause = {"name": "portworx-api", "image": "registry.k8s.io/pause:3.1"}
    template = _template(labels, placement, "portworx", [pause, registrar])
    template["spec"]["hostNetwork"] = True
    made["spec"] = {
        "selector": {"matchLabels": labels},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%"}},
        "template": template,
    }
    return made


def _csi(cluster: Json, placement: Json) -> Json:
    """The CSI controllers."""
    labels = {"app": "px-csi-driver"}
    made = _object(cluster, "apps/v1", "Deployment", "px-csi-ext", labels)
    names = ("csi-external-provisioner", "csi-snapshotter", "csi-resizer")
    containers = [{"name": name, "image": f"registry.k8s.io/sig-storage/{name}:v5.2.0"} for name in names]
    made["spec"] = {
        "replicas": 3,
        "selector": {"matchLabels": labels},
        "template": _template(labels, placement, "px-csi", containers),
    }
    return made


def _wiper(cluster: Json, placement: Json, *, wipe: bool) -> Json:
    labels = {"name": "px-node-wiper"}
    made = _object(cluster, "apps/v1", "DaemonSet", "px-node-wiper", labels)
    container = {"name": "px-node-wiper", "image": "portworx/px-node-wiper:2.13.2", "args": ["-w"] if wipe else []}
    made["spec"] = {
        "selector": {"matchLabels": labels},
        "template": _template(labels, placement, "px-node-wiper", [container]),
    }
    return made


def _storage_class(name: str, copies: str) -> Json:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": DRIVER,
        "allowVolumeExpansion": True,
        "parameters": {"repl": copies},
    }
