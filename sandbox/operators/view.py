"""What operators see of the cluster, and how they change it.

Owns copies of the collections they look at, and the upkeep of objects they want: applied once, and again where
somebody deleted them or another thing is wanted. Custom kinds are followed once they are served.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from sandbox.kubernetes_client import ApiError, KubernetesClient, path
from sandbox.nodes.events import post_event
from sandbox.nodes.objects import Json, finalizers_of, is_ready, items, key_of, labels_of, section, text
from sandbox.nodes.pod_status import new_event
from sandbox.nodes.watched import Watched

log = logging.getLogger(__name__)

_KINDS = {
    "Pod": ("v1", "pods"),
    "Node": ("v1", "nodes"),
    "Service": ("v1", "services"),
    "ServiceAccount": ("v1", "serviceaccounts"),
    "PersistentVolume": ("v1", "persistentvolumes"),
    "PersistentVolumeClaim": ("v1", "persistentvolumeclaims"),
    "ConfigMap": ("v1", "configmaps"),
    "Secret": ("v1", "secrets"),
    "Deployment": ("apps/v1", "deployments"),
    "DaemonSet": ("apps/v1", "daemonsets"),
    "StatefulSet": ("apps/v1", "statefulsets"),
    "Job": ("batch/v1", "jobs"),
    "CSIDriver": ("storage.k8s.io/v1", "csidrivers"),
    "StorageClass": ("storage.k8s.io/v1", "storageclasses"),
    "CephCluster": ("ceph.rook.io/v1", "cephclusters"),
    "CephFilesystem": ("ceph.rook.io/v1", "cephfilesystems"),
    "CephFilesystemSubVolumeGroup": ("ceph.rook.io/v1", "cephfilesystemsubvolumegroups"),
    "CephBlockPool": ("ceph.rook.io/v1", "cephblockpools"),
    "CephConnection": ("csi.ceph.io/v1", "cephconnections"),
    "ClientProfile": ("csi.ceph.io/v1", "clientprofiles"),
    "Driver": ("csi.ceph.io/v1", "drivers"),
    "OperatorConfig": ("csi.ceph.io/v1", "operatorconfigs"),
    "KadaluStorage": ("kadalu-operator.storage/v1alpha1", "kadalustorages"),
    "StorageCluster": ("core.libopenstorage.org/v1", "storageclusters"),
}
_CLUSTER_WIDE = {"Node", "PersistentVolume", "CSIDriver", "StorageClass"}
_ALWAYS = {"Pod", "Node", "PersistentVolume", "PersistentVolumeClaim", "StorageClass", "CSIDriver", "Job"}
"""Followed from the beginning; the others once one of the custom kinds is served, as few clusters have any."""
_LOOK_FOR_KINDS = 1.0


class View:
    """The cluster as operators see it.

    Args:
        client: the API server.

    Attributes:
        changed: set whenever something that is followed changed.
    """

    def __init__(self, client: KubernetesClient) -> None:
        self.client = client
        self.changed = asyncio.Event()
        self._watched = {kind: Watched(client, path(*where)) for kind, where in _KINDS.items()}
        self._followed: set[str] = set()
        self._applied: dict[tuple[str, str, str], tuple[str, str]] = {}
        for watched in self._watched.values():
            watched.on_change(lambda _before, _after: self.changed.set())

    async def run(self) -> None:
        """Follow the collections until cancelled; custom ones from the moment on that they are served."""
        async with asyncio.TaskGroup() as group:
            for kind in sorted(_ALWAYS):
                self._follow(kind, group)
            while len(self._followed) < len(_KINDS):
                with contextlib.suppress(ApiError):
                    served = await self._served_kinds()
                    for kind in served - self._followed if served - _ALWAYS else ():
                        self._follow(kind, group)
                await asyncio.sleep(_LOOK_FOR_KINDS)

    async def _served_kinds(self) -> set[str]:
        """The kinds to follow now: all of Kubernetes' own once a custom one is served."""
        answer = await self.client.get("/apis")
        groups = {one["name"] for one in answer["groups"]}
        custom = {kind: version for kind, (version, _) in _KINDS.items() if "." in version and "k8s.io" not in version}
        found = {kind for kind, version in custom.items() if version.partition("/")[0] in groups}
        return found | (set(_KINDS) - set(custom)) if found else set(_ALWAYS)

    def _follow(self, kind: str, group: asyncio.TaskGroup) -> None:
        self._followed.add(kind)
        group.create_task(self._watched[kind].run())

    async def complete(self) -> None:
        """Wait until what is always followed is known."""
        for kind in _ALWAYS:
            await self._watched[kind].complete.wait()

    def knows(self, *kinds: str) -> bool:
        """Whether all objects of these kinds are known: without that nothing may be judged by their absence."""
        return all(self._watched[kind].complete.is_set() for kind in kinds)

    def all(self, kind: str, namespace: str | None = None, labels: Mapping[str, str] | None = None) -> list[Json]:
        """The objects of a kind, by name."""
        found = [
            one
            for (where, _), one in self._watched[kind].objects.items()
            if namespace in (None, where) and (labels or {}).items() <= labels_of(one).items()
        ]
        return sorted(found, key=key_of)

    def find(self, kind: str, namespace: str, name: str) -> Json | None:
        """One object, None where there is none."""
        return self._watched[kind].objects.get((namespace, name))

    def ready_pods(self, namespace: str | None, labels: Mapping[str, str]) -> list[Json]:
        """The ready pods with these labels."""
        return [pod for pod in self.all("Pod", namespace, labels) if is_ready(pod)]

    async def keep(self, wanted: Json, *, manager: str, owner: Json | None = None) -> None:
        """Make an object as wanted, unless that was done before and it is still there."""
        if owner is not None:
            wanted = {**wanted, "metadata": {**wanted["metadata"], "ownerReferences": [controller_reference(owner)]}}
        key = (wanted["kind"], *key_of(wanted))
        present = self.find(*key)
        digest = json.dumps(wanted, sort_keys=True)
        if present is not None and self._applied.get(key) == (digest, text(present, "metadata", "uid")):
            return
        live = await self.client.apply(self.where(wanted), wanted, manager=manager, force=True)
        if self._applied.get(key, ("", ""))[0] != digest:
            log.info("%s: %s %s/%s", manager, *key)
        self._applied[key] = (digest, text(live, "metadata", "uid"))

    async def create(self, wanted: Json, *, manager: str, owner: Json) -> None:
        """Make an object that is never changed afterwards; nothing where it is there."""
        if self.find(wanted["kind"], *key_of(wanted)) is not None:
            return
        wanted = {**wanted, "metadata": {**wanted["metadata"], "ownerReferences": [controller_reference(owner)]}}
        where = self.where(wanted).rpartition("/")[0]
        try:
            await self.client.create(where, wanted, {"fieldManager": manager})
            log.info("%s: %s %s/%s", manager, wanted["kind"], *key_of(wanted))
        except ApiError as error:
            if not (error.conflict and error.reason == "AlreadyExists"):
                raise

    async def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete an object where it is there."""
        present = self.find(kind, namespace, name)
        if present is not None and not text(present, "metadata", "deletionTimestamp"):
            await self.client.delete(self.where(present), propagation="Background")

    async def hold(self, obj: Json, finalizer: str) -> bool:
        """Put a finalizer on an object; True where it is there already, or the object is going."""
        if finalizer in finalizers_of(obj) or text(obj, "metadata", "deletionTimestamp"):
            return True
        await self._set_finalizers(obj, [*finalizers_of(obj), finalizer])
        return False

    async def let_go(self, obj: Json, finalizer: str) -> None:
        """Take a finalizer off an object."""
        if finalizer in finalizers_of(obj):
            await self._set_finalizers(obj, [one for one in finalizers_of(obj) if one != finalizer])
            log.info("%s %s/%s: finalizer %s is off", obj["kind"], *key_of(obj), finalizer)

    async def _set_finalizers(self, obj: Json, finalizers: Iterable[str]) -> None:
        version = text(obj, "metadata", "resourceVersion")
        await self._patch(self.where(obj), {"metadata": {"resourceVersion": version, "finalizers": list(finalizers)}})

    async def annotate(self, obj: Json, annotations: Mapping[str, str | None]) -> None:
        """Set annotations of an object; None takes one away."""
        await self.change(obj, {"metadata": {"annotations": dict(annotations)}})

    async def resize(self, claim: Json, storage: str) -> None:
        """Ask for more in a claim; the server refuses it where the class does not let claims grow."""
        await self.change(claim, {"spec": {"resources": {"requests": {"storage": storage}}}})

    async def write(self, config_map: Json, data: Mapping[str, str | None]) -> None:
        """Set keys of a ConfigMap; None takes one away."""
        await self.change(config_map, {"data": dict(data)})

    async def change(self, obj: Json, patch: Json) -> None:
        """Change an object that others own, too."""
        await self._patch(self.where(obj), patch)

    async def report(self, obj: Json, status: Json) -> None:
        """Set these fields of an object's status, where they differ."""
        present = section(obj, "status")
        change = {key: value for key, value in status.items() if present.get(key) != value}
        if change:
            await self._patch(self.where(obj) + "/status", {"status": change})

    async def tell(self, about: Json, reason: str, message: str, component: str, *, kind: str = "Warning") -> None:
        """Post an event about an object; repeats are counted."""
        with contextlib.suppress(ApiError):
            made = new_event(about, reason, message, datetime.now(UTC), component=component, kind=kind)
            await post_event(self.client, made)

    async def _patch(self, where: str, patch: Json) -> None:
        """Patch, unless it went or changed meanwhile: then it is looked at again anyway."""
        try:
            await self.client.patch(where, patch)
        except ApiError as error:
            if not (error.not_found or error.conflict):
                raise

    def where(self, obj: Json) -> str:
        """The REST path of an object of a known kind."""
        version, plural = _KINDS[obj["kind"]]
        namespace, name = key_of(obj)
        return path(version, plural, None if obj["kind"] in _CLUSTER_WIDE else namespace, name)


def controller_reference(owner: Json) -> Json:
    """The reference to the one that an object goes with."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def is_going(obj: Json) -> bool:
    """Whether an object is being deleted."""
    return bool(text(obj, "metadata", "deletionTimestamp"))


def with_condition(obj: Json, kind: str, *, status: bool, reason: str, message: str) -> list[Json]:
    """An object's conditions with one set; its times move only where it changes."""
    others: list[Json] = []
    said: Json = {"type": kind, "status": str(status), "reason": reason, "message": message}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    made: Json = {**said, "lastTransitionTime": now, "lastHeartbeatTime": now}
    for one in items(obj, "status", "conditions"):
        if one.get("type") != kind:
            others.append(one)
        elif all(one.get(key) == value for key, value in said.items()):
            made = one
    return [*others, made]
