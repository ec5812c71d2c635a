"""Volumes of the drivers that storage operators bring: made for claims, grown with them, removed after them.

Plays external-provisioner and external-resizer; what a driver makes of a claim is in `drivers`. A claim that cannot be
served gets an event with the reason and is tried again, later each time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial

from sandbox.kubernetes_client import ApiError, path
from sandbox.nodes.objects import Json, Key, annotations_of, finalizers_of, items, key_of, section, text
from sandbox.nodes.quantities import parse_quantity
from sandbox.nodes.volume_plans import FINALIZER, PROVISIONED_BY, PlanError
from sandbox.operators.drivers import Driver, NewVolume, asked_size, drivers
from sandbox.operators.view import View, is_going

log = logging.getLogger(__name__)

_BACK_OFF = (1, 2, 5, 10)
_SEEN_WITHIN, _LOOK = 5.0, 0.05
_ASKED = "volume.kubernetes.io/storage-provisioner"


class Volumes:
    """All volumes of these drivers."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._failures: dict[Key, tuple[int, float]] = {}

    async def reconcile(self) -> None:
        """Serve what waits now."""
        serving = drivers(self._view)
        waiting: set[Key] = set()
        for claim in self._view.all("PersistentVolumeClaim"):
            driver = serving.get(annotations_of(claim).get(_ASKED, ""))
            if driver is None or is_going(claim):
                continue
            if text(claim, "status", "phase") == "Pending" and not text(claim, "spec", "volumeName"):
                waiting.add(key_of(claim))
                await self._try(claim, partial(self._make, claim, driver), "ProvisioningFailed", driver)
            elif _wants_more(claim):
                waiting.add(key_of(claim))
                await self._try(claim, partial(self._grow, claim, driver), "VolumeResizeFailed", driver)
        for volume in self._view.all("PersistentVolume"):
            driver = serving.get(annotations_of(volume).get(PROVISIONED_BY, ""))
            if driver is not None and _is_to_go(volume):
                waiting.add(key_of(volume))
                await self._try(volume, partial(self._remove, volume, driver), "VolumeFailedDelete", driver)
        self._failures = {key: failure for key, failure in self._failures.items() if key in waiting}

    async def _try(self, about: Json, work: Callable[[], Awaitable[None]], reason: str, driver: Driver) -> None:
        key = key_of(about)
        count, due = self._failures.get(key, (0, 0.0))
        if due > time.monotonic():
            return
        try:
            await work()
            self._failures.pop(key, None)
        except (ApiError, PlanError) as error:
            self._failures[key] = (count + 1, time.monotonic() + _BACK_OFF[min(count, len(_BACK_OFF) - 1)])
            log.warning("%s of %s/%s: %s", reason, *key, error)
            message = str(error)
            if reason == "ProvisioningFailed":
                name = text(about, "spec", "storageClassName")
                message = f'failed to provision volume with StorageClass "{name}": {error}'
            await self._view.tell(about, reason, message, f"{driver.name}_csi-controller")

    async def _make(self, claim: Json, driver: Driver) -> None:
        name = text(claim, "spec", "storageClassName")
        storage_class = self._view.find("StorageClass", "", name)
        if storage_class is None:
            raise PlanError(f'storageclass.storage.k8s.io "{name}" not found')
        made = await driver.make(claim, section(storage_class, "parameters"))
        volume = _volume(claim, storage_class, driver.name, made)
        try:
            await self._view.client.create(path("v1", "persistentvolumes"), volume)
        except ApiError as error:
            if not error.conflict:  # made before, by a process that was killed
                raise
        await self._until_seen(volume["metadata"]["name"])
        log.info("volume %s for claim %s/%s", volume["metadata"]["name"], *key_of(claim))

    async def _until_seen(self, volume: str) -> None:
        """Go on once the watch has told of a new volume: how much is left is counted from what it tells."""
        until = time.monotonic() + _SEEN_WITHIN
        while self._view.find("PersistentVolume", "", volume) is None and time.monotonic() < until:
            await asyncio.sleep(_LOOK)

    async def _grow(self, claim: Json, driver: Driver) -> None:
        volume = self._view.find("PersistentVolume", "", text(claim, "spec", "volumeName"))
        if volume is None:
            return
        size = asked_size(claim)
        if parse_quantity(text(volume, "spec", "capacity", "storage")) < size:
            driver.check_growth(volume, size)
        storage = {"storage": _gib(size)}
        await self._view.change(volume, {"spec": {"capacity": storage}})
        await self._view.report(claim, {"capacity": storage})
        log.info("claim %s/%s has grown to %s", *key_of(claim), storage["storage"])

    async def _remove(self, volume: Json, driver: Driver) -> None:
        await driver.remove(volume)
        where = self._view.where(volume)
        left = await self._view.client.delete(where, uid=volume["metadata"]["uid"]) or volume
        await self._view.let_go(left, FINALIZER)  # where it changed meanwhile, it is looked at again
        log.info("volume %s is gone", volume["metadata"]["name"])


def _gib(size: int) -> str:
    return f"{size // 2**30}Gi" if size % 2**30 == 0 else str(size)


def _wants_more(claim: Json) -> bool:
    has = text(claim, "status", "capacity", "storage")
    return text(claim, "status", "phase") == "Bound" and bool(has) and asked_size(claim) > parse_quantity(has)


def _is_to_go(volume: Json) -> bool:
    return FINALIZER in finalizers_of(volume) and (
        text(volume, "spec", "persistentVolumeReclaimPolicy") == "Delete"
        and text(volume, "status", "phase") in ("Released", "Failed")
    )


def _volume(claim: Json, storage_class: Json, driver: str, made: NewVolume) -> Json:
    metadata = section(claim, "metadata")
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": f"pvc-{metadata['uid']}",
            "annotations": {PROVISIONED_BY: driver},
            "finalizers": [FINALIZER],
        },
        "spec": {
            "accessModes": items(claim, "spec", "accessModes"),
            "capacity": {"storage": _gib(made.size)},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
            "csi": made.csi,
            "mountOptions": items(storage_class, "mountOptions"),
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
            "storageClassName": text(storage_class, "metadata", "name"),
            "volumeMode": text(claim, "spec", "volumeMode") or "Filesystem",
        },
    }
