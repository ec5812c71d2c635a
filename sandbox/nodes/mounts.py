"""Lets pods with volumes of CSI drivers start, once the volumes can be mounted where the pod runs.

kwok holds such pods back until they carry the condition `sandbox.trainyard/Mounted` (`kwok.yaml`). What is looked at is
what the kubelet looks at before it asks a driver: that the claim is bound, that the driver is registered on the node,
and that the secret which the volume names is there. Nothing is mounted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import UTC, datetime

from sandbox.kubernetes_client import ApiError, KubernetesClient, path
from sandbox.nodes.events import post_event
from sandbox.nodes.objects import Json, condition, items, key_of, section, text
from sandbox.nodes.pod_status import new_condition, new_event
from sandbox.nodes.watched import Watched

log = logging.getLogger(__name__)

MOUNTED = "sandbox.trainyard/Mounted"
_PAUSE = 0.3
_LOOK_ANYWAY = 2.0
_SAID_AGAIN = 30.0
"""Seconds after which an event that still holds is counted once more."""


class Mounts:
    """The volumes of all pods that are held.

    Args:
        client: the API server.
        pods, csi_nodes, claims, volumes: watched.
    """

    def __init__(
        self, client: KubernetesClient, pods: Watched, csi_nodes: Watched, claims: Watched, volumes: Watched
    ) -> None:
        self._client = client
        self._pods = pods
        self._csi_nodes = csi_nodes
        self._claims = claims
        self._volumes = volumes
        self._waiting: dict[str, Json] = {}
        self._said: dict[tuple[str, str], float] = {}
        self._dirty = asyncio.Event()
        pods.on_change(self._pod_changed)
        for watched in (csi_nodes, claims, volumes):
            watched.on_change(lambda _before, _after: self._dirty.set())

    def _pod_changed(self, before: Json | None, pod: Json | None) -> None:
        uid = text(pod or before or {}, "metadata", "uid")
        if pod is not None and _waits(pod):
            self._waiting[uid] = pod
            self._dirty.set()
        else:
            self._waiting.pop(uid, None)

    async def run(self) -> None:
        """Look at held pods until cancelled."""
        for watched in (self._pods, self._csi_nodes, self._claims, self._volumes):
            await watched.complete.wait()
        while True:
            self._dirty.clear()
            for uid, pod in list(self._waiting.items()):
                with contextlib.suppress(ApiError):  # gone, or the server is away: looked at again
                    await self._look(uid, pod)
            live = set(self._waiting)
            self._said = {key: at for key, at in self._said.items() if key[0] in live}
            await asyncio.sleep(_PAUSE)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_ANYWAY if self._waiting else None):
                    await self._dirty.wait()

    async def _look(self, uid: str, pod: Json) -> None:
        problem = await self._problem(pod)
        if problem is None:
            patch = new_condition(MOUNTED, "True", "Mounted", "", datetime.now(UTC))
            body = {"metadata": {"uid": uid}, "status": {"conditions": [patch]}}
            await self._client.patch(path("v1", "pods", *key_of(pod), "status"), body, "strategic")
            self._waiting.pop(uid, None)
        elif asyncio.get_running_loop().time() - self._said.get((uid, problem), -_SAID_AGAIN) >= _SAID_AGAIN:
            self._said[uid, problem] = asyncio.get_running_loop().time()
            log.info("pod %s/%s waits: %s", *key_of(pod), problem)
            node = text(pod, "spec", "nodeName")
            said = new_event(pod, "FailedMount", problem, datetime.now(UTC), component="kubelet", host=node)
            await post_event(self._client, said)

    async def _problem(self, pod: Json) -> str | None:
        """Why the pod's volumes cannot be mounted now; None where they can."""
        namespace = text(pod, "metadata", "namespace")
        for volume in mounted(pod):
            if "csi" in volume:
                problem = self._unregistered(pod, volume["name"], text(volume, "csi", "driver"))
            else:
                problem = await self._claim_problem(pod, claim_name(pod, volume), namespace)
            if problem is not None:
                return problem
        return None

    async def _claim_problem(self, pod: Json, claim: str, namespace: str) -> str | None:
        found = self._claims.objects.get((namespace, claim))
        bound = text(found or {}, "spec", "volumeName")
        behind = self._volumes.objects.get(("", bound)) if bound else None
        if found is None or behind is None or text(found, "status", "phase") != "Bound":
            return f'Unable to attach or mount volumes: persistentvolumeclaim "{claim}" is not bound'
        driver = text(behind, "spec", "csi", "driver")
        if not driver:
            return None
        problem = self._unregistered(pod, bound, driver)
        secret = section(behind, "spec", "csi", "nodeStageSecretRef")
        if problem is None and secret:
            where = path("v1", "secrets", secret["namespace"], secret["name"])
            if await self._client.find(where) is None:
                return (
                    f'MountVolume.MountDevice failed for volume "{bound}" : fetching NodeStageSecretRef '
                    f'{secret["namespace"]}/{secret["name"]} failed: secrets "{secret["name"]}" not found'
                )
        return problem

    def _unregistered(self, pod: Json, volume: str, driver: str) -> str | None:
        csi_node = self._csi_nodes.objects.get(("", text(pod, "spec", "nodeName"))) or {}
        if driver in {one["name"] for one in items(csi_node, "spec", "drivers")}:
            return None
        return (
            f'MountVolume.MountDevice failed for volume "{volume}" : kubernetes.io/csi: attacher.MountDevice failed to '
            f"create newCsiDriverClient: driver name {driver} not found in the list of registered CSI drivers"
        )


def mounted(pod: Json) -> list[Json]:
    """A pod's volumes that a CSI driver may have to mount: the same as in `kwok.yaml`."""
    return [
        one
        for one in items(pod, "spec", "volumes")
        if one.get("persistentVolumeClaim") or one.get("ephemeral") or one.get("csi")
    ]


def claim_name(pod: Json, volume: Json) -> str:
    """The claim behind a volume; of an ephemeral one it is named after pod and volume."""
    return text(volume, "persistentVolumeClaim", "claimName") or f"{key_of(pod)[1]}-{volume['name']}"


def _waits(pod: Json) -> bool:
    return (
        bool(mounted(pod))
        and text(pod, "status", "phase") == "Pending"
        and bool(text(pod, "spec", "nodeName"))
        and not text(pod, "metadata", "deletionTimestamp")
        and condition(pod, MOUNTED).get("status") != "True"
    )
