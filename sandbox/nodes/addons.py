"""AKS's addon manager: keeps its objects in the cluster as `addon_objects` says they are.

Owns objects that carry its labels. Changes by users are put back; objects of add-ons that were switched off,
or whose cluster is gone, are removed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable

from sandbox.kubernetes_client import ApiError, KubernetesClient, path
from sandbox.nodes.addon_objects import ADDON_LABEL, MODE_LABEL, addon_objects
from sandbox.nodes.azure_client import AzureClient, AzureError
from sandbox.nodes.machines import Cluster, Fleet
from sandbox.nodes.objects import Json, key_of, labels_of, text
from sandbox.nodes.watched import Watched

log = logging.getLogger(__name__)

_MANAGER = "aks-addon-manager"
_CLUSTER_API_VERSION = "2025-05-01"
_PLURALS = {
    "ServiceAccount": ("v1", "serviceaccounts"),
    "Service": ("v1", "services"),
    "DaemonSet": ("apps/v1", "daemonsets"),
    "Deployment": ("apps/v1", "deployments"),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets"),
    "CSIDriver": ("storage.k8s.io/v1", "csidrivers"),
    "StorageClass": ("storage.k8s.io/v1", "storageclasses"),
}
_LOOK_ANYWAY = 60.0
_PAUSE = 1.0
_VOLATILE = ("resourceVersion", "managedFields", "uid", "creationTimestamp", "selfLink")


class AddonManager:
    """The add-ons of one cluster.

    Args:
        client: the API server.
        azure: tells the cluster's network data plane.
        fleet: gives cluster and machines now; None before they were first read.
    """

    def __init__(self, client: KubernetesClient, azure: AzureClient, fleet: Callable[[], Fleet | None]) -> None:
        self._client = client
        self._azure = azure
        self._fleet = fleet
        self._dirty = asyncio.Event()
        self._cilium: dict[str, bool] = {}
        self._applied: dict[tuple[str, str, str], str] = {}
        self.watched = {
            kind: Watched(client, path(version, plural), {"labelSelector": MODE_LABEL})
            for kind, (version, plural) in _PLURALS.items()
        }
        for watched in self.watched.values():
            watched.on_change(lambda _before, _after: self._dirty.set())

    def look(self) -> None:
        """Something outside changed: look again soon."""
        self._dirty.set()

    async def run(self) -> None:
        """Keep the add-ons in line until cancelled."""
        for watched in self.watched.values():
            await watched.complete.wait()
        while True:
            self._dirty.clear()
            fleet = self._fleet()
            try:
                if fleet is not None:
                    await self._bring_in_line(await self._wanted(fleet))
            except (ApiError, AzureError) as error:
                log.warning("add-ons: %s", error)
                self._dirty.set()
            await asyncio.sleep(_PAUSE)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_ANYWAY):
                    await self._dirty.wait()

    async def _wanted(self, fleet: Fleet) -> list[Json]:
        cluster = fleet.cluster
        if cluster is None:
            return []
        zones = {machine.zone for machine in fleet.machines.values()}
        return addon_objects(cluster.addons, cilium=await self._has_cilium(cluster), several_zones=len(zones) > 1)

    async def _has_cilium(self, cluster: Cluster) -> bool:
        if cluster.id not in self._cilium:
            document = await self._azure.arm("GET", cluster.id, _CLUSTER_API_VERSION)
            self._cilium = {cluster.id: text(document, "properties", "networkProfile", "networkDataplane") == "cilium"}
        return self._cilium[cluster.id]

    async def _bring_in_line(self, wanted: list[Json]) -> None:
        keys = {(one["kind"], *key_of(one)) for one in wanted}
        for one in wanted:
            await self._keep(one)
        for kind, watched in self.watched.items():
            for key, present in list(watched.objects.items()):
                if (kind, *key) not in keys and ADDON_LABEL in labels_of(present):
                    log.info("%s %s goes with its add-on", kind, key[1])
                    await self._client.delete(self._where(kind, *key), propagation="Background")
                    self._applied.pop((kind, *key), None)

    async def _keep(self, wanted: Json) -> None:
        kind, (namespace, name) = wanted["kind"], key_of(wanted)
        present = self.watched[kind].objects.get((namespace, name))
        where = self._where(kind, namespace, name)
        if labels_of(wanted)[MODE_LABEL] == "EnsureExists":
            if present is None and await self._client.find(where) is None:
                await self._client.apply(where, wanted, manager=_MANAGER, force=True)
            return
        key = (kind, namespace, name)
        if present is None or self._applied.get(key) != _fingerprint(present):
            result = await self._client.apply(where, wanted, manager=_MANAGER, force=True)
            self._applied[key] = _fingerprint(result)

    def _where(self, kind: str, namespace: str, name: str) -> str:
        version, plural = _PLURALS[kind]
        return path(version, plural, namespace or None, name)


def _fingerprint(present: Json) -> str:
    """What a user might have changed: all but the status and what the server counts up by itself."""
    metadata = {key: value for key, value in present["metadata"].items() if key not in _VOLATILE}
    body = {key: value for key, value in present.items() if key not in ("status", "metadata", "apiVersion", "kind")}
    return json.dumps([metadata, body], sort_keys=True)
