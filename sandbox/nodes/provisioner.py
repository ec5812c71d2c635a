"""The controllers of Azure's CSI drivers: volumes for claims, their growth, and their end.

Owns PersistentVolumes it made and what backs them on Azure. A claim that cannot be served gets an event with the
reason and is tried again, later each time, as the cause may be mended.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from sandbox.kubernetes_client import ApiError, KubernetesClient, path
from sandbox.nodes.azure_client import AzureClient, AzureError
from sandbox.nodes.azure_rights import missing_action
from sandbox.nodes.csi_nodes import BLOB, DISK, DISK_ZONE_LABEL, FILE
from sandbox.nodes.events import post_event
from sandbox.nodes.machines import Cluster, Fleet
from sandbox.nodes.objects import Json, Key, annotations_of, finalizers_of, key_of, labels_of, text
from sandbox.nodes.pod_status import new_event
from sandbox.nodes.volume_plans import (
    BACKING,
    DISK_API,
    FINALIZER,
    PROVISIONED_BY,
    STORAGE_API,
    PlanError,
    Step,
    VolumePlan,
    asked_gib,
    check_account,
    growth,
    persistent_volume,
    plan_volume,
    wants_more,
)
from sandbox.nodes.watched import Watched

log = logging.getLogger(__name__)

_BACK_OFF = (1, 2, 5, 10, 30)
_PAUSE = 0.5
_LOOK_ANYWAY = 30.0
_READY_WITHIN = 60.0


class Provisioner:
    """Volumes of one cluster.

    Args:
        client: the API server.
        azure: the simulated Azure.
        nodes: watched; tells a chosen node's zone.
        fleet: gives the cluster now; None before it was first read.
        role_delay: seconds until a role assignment takes effect.
    """

    def __init__(
        self,
        client: KubernetesClient,
        azure: AzureClient,
        nodes: Watched,
        fleet: Callable[[], Fleet | None],
        role_delay: float,
    ) -> None:
        self._client = client
        self._azure = azure
        self._nodes = nodes
        self._fleet = fleet
        self._role_delay = role_delay
        self._dirty = asyncio.Event()
        self._failures: dict[Key, tuple[int, float]] = {}
        self.claims = Watched(client, path("v1", "persistentvolumeclaims"))
        self.volumes = Watched(client, path("v1", "persistentvolumes"))
        for watched in (self.claims, self.volumes):
            watched.on_change(lambda _before, _after: self._dirty.set())

    async def run(self) -> None:
        """Serve claims until cancelled."""
        for watched in (self.claims, self.volumes):
            await watched.complete.wait()
        while True:
            self._dirty.clear()
            fleet = self._fleet()
            if fleet is not None and fleet.cluster is not None:
                await self._serve(fleet.cluster)
            await asyncio.sleep(_PAUSE)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1 if self._failures else _LOOK_ANYWAY):
                    await self._dirty.wait()

    async def _serve(self, cluster: Cluster) -> None:
        drivers = _drivers(cluster)
        self._failures = {key: value for key, value in self._failures.items() if key in self._waiting_keys()}
        for key, claim in list(self.claims.objects.items()):
            if _provisioner(claim) in drivers and _waits(claim) and self._is_due(key):
                await self._try(key, claim, functools.partial(self._provision, claim, cluster), "ProvisioningFailed")
        for key, claim in list(self.claims.objects.items()):
            if _provisioner(claim) in drivers and wants_more(claim) and self._is_due(key):
                await self._try(key, claim, functools.partial(self._grow, claim, cluster), "VolumeResizeFailed")
        for key, volume in list(self.volumes.objects.items()):
            if annotations_of(volume).get(PROVISIONED_BY) in drivers and _is_to_go(volume) and self._is_due(key):
                await self._try(key, volume, functools.partial(self._delete, volume), "VolumeFailedDelete")

    def _waiting_keys(self) -> set[Key]:
        waiting = {key for key, claim in self.claims.objects.items() if _waits(claim) or wants_more(claim)}
        return waiting | {key for key, volume in self.volumes.objects.items() if _is_to_go(volume)}

    def _is_due(self, key: Key) -> bool:
        return key not in self._failures or self._failures[key][1] <= time.monotonic()

    async def _try(self, key: Key, about: Json, work: Callable[[], Awaitable[None]], reason: str) -> None:
        """Do one piece of work; a failure is told as an event and tried again later."""
        try:
            await work()
            self._failures.pop(key, None)
        except (ApiError, AzureError, PlanError) as error:
            count = self._failures.get(key, (0, 0.0))[0]
            self._failures[key] = (count + 1, time.monotonic() + _BACK_OFF[min(count, len(_BACK_OFF) - 1)])
            log.warning("%s of %s/%s: %s", reason, *key, error)
            component = f"{_provisioner(about) or annotations_of(about).get(PROVISIONED_BY, '')}_csi-controller"
            with contextlib.suppress(ApiError):
                await post_event(
                    self._client, new_event(about, reason, str(error), datetime.now(UTC), component=component)
                )

    async def _provision(self, claim: Json, cluster: Cluster) -> None:
        storage_class = await self._client.find(
            path("storage.k8s.io/v1", "storageclasses", None, text(claim, "spec", "storageClassName"))
        )
        if storage_class is None:
            raise PlanError(f'storageclass "{text(claim, "spec", "storageClassName")}" not found')
        chosen = annotations_of(claim).get("volume.kubernetes.io/selected-node", "")
        node = self._nodes.objects.get(("", chosen))
        zone = labels_of(node).get(DISK_ZONE_LABEL) if node is not None else None
        plan = plan_volume(claim, storage_class, cluster, zone)
        await self._make(plan, cluster)
        volume = persistent_volume(claim, storage_class, plan)
        try:
            await self._client.create(path("v1", "persistentvolumes"), volume)
        except ApiError as error:
            if not error.conflict:  # made before, by a process that was killed
                raise
        log.info("volume %s for claim %s/%s", volume["metadata"]["name"], *key_of(claim))

    async def _grow(self, claim: Json, cluster: Cluster) -> None:
        """Make a volume's disk or share as large as its claim asks for, and tell so."""
        volume = self.volumes.objects.get(("", text(claim, "spec", "volumeName")))
        backing = annotations_of(volume or {}).get(BACKING, "")
        if volume is None or not backing:
            return
        step = growth(volume, claim)
        if step is not None:
            await self._check_rights(step, cluster)
            await self._azure.arm("PATCH", step.resource_id, step.api_version, body=step.body)
        storage = {"storage": f"{asked_gib(claim)}Gi"}
        await self._client.patch(
            path("v1", "persistentvolumes", None, volume["metadata"]["name"]), {"spec": {"capacity": storage}}
        )
        where = path("v1", "persistentvolumeclaims", *key_of(claim), "status")
        await self._client.patch(where, {"status": {"capacity": storage}})
        log.info("claim %s/%s has grown to %s", *key_of(claim), storage["storage"])

    async def _make(self, plan: VolumePlan, cluster: Cluster) -> None:
        """Make what backs a volume; as the platform, after looking whether the cluster's identity might."""
        if plan.account_id is not None:
            check_account(plan, await self._azure.arm("GET", plan.account_id, STORAGE_API))
        for step in plan.steps:
            await self._check_rights(step, cluster)
            await self._azure.arm("PUT", step.resource_id, step.api_version, body=step.body)
            if step is not plan.backing:
                await self._until_made(step)

    async def _check_rights(self, step: Step, cluster: Cluster) -> None:
        """Whether the cluster's identity may do a step.

        Raises:
            AzureError: it may not.
        """
        if step.scope.split("/")[4].lower() == cluster.node_resource_group.lower():
            return  # there AKS gives its identity all it needs
        missing = await missing_action(
            self._azure, cluster.cluster_principal, step.actions, step.scope, self._role_delay
        )
        if missing is not None:
            raise AzureError(
                403,
                "AuthorizationFailed",
                f"the cluster's identity {cluster.cluster_principal} does not have authorization to perform "
                f"action '{missing}' over scope '{step.scope}'",
            )

    async def _until_made(self, step: Step) -> None:
        """Wait for an account, which takes Azure a moment."""
        until = time.monotonic() + _READY_WITHIN
        while time.monotonic() < until:
            found = await self._azure.arm("GET", step.resource_id, step.api_version)
            if text(found, "properties", "provisioningState") in ("Succeeded", ""):
                return
            await asyncio.sleep(0.5)
        raise AzureError(0, "TimeOut", f"{step.resource_id} was not ready within {_READY_WITHIN:.0f} s")

    async def _delete(self, volume: Json) -> None:
        backing = annotations_of(volume).get(BACKING, "")
        try:
            await self._azure.arm("DELETE", backing, DISK_API if "/disks/" in backing else STORAGE_API)
        except AzureError as error:
            if error.status != 404:
                raise
        where = path("v1", "persistentvolumes", None, text(volume, "metadata", "name"))
        left = await self._client.delete(where, uid=volume["metadata"]["uid"]) or volume
        kept = [one for one in finalizers_of(left) if one != FINALIZER]
        with contextlib.suppress(ApiError):  # gone already, or changed: looked at again
            await self._client.patch(where, {"metadata": {"finalizers": kept}})
        log.info("volume %s is gone", volume["metadata"]["name"])


def _drivers(cluster: Cluster) -> set[str]:
    """The drivers whose controllers run."""
    addons = cluster.addons
    switched = {DISK: addons.disk_csi, FILE: addons.file_csi, BLOB: addons.blob_csi}
    return {driver for driver, is_on in switched.items() if is_on}


def _provisioner(claim: Json) -> str:
    """Whom the volume controller asked to serve a claim; it does so only once a node is chosen, where one must be."""
    return annotations_of(claim).get("volume.kubernetes.io/storage-provisioner", "")


def _waits(claim: Json) -> bool:
    return (
        text(claim, "status", "phase") == "Pending"
        and not text(claim, "spec", "volumeName")
        and not text(claim, "metadata", "deletionTimestamp")
    )


def _is_to_go(volume: Json) -> bool:
    return (
        text(volume, "spec", "persistentVolumeReclaimPolicy") == "Delete"
        and text(volume, "status", "phase") in ("Released", "Failed")
        and FINALIZER in finalizers_of(volume)
    )
