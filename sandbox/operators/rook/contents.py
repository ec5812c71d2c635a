"""CephFilesystems, their groups of volumes, and CephBlockPools: metadata servers, status, what is in them at the end.

What Ceph would know of its subvolumes and images stands on the custom resource, as an annotation; volumes of claims are
put there and taken away by `sandbox.operators.volumes`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import cast

from sandbox.nodes.objects import Json, annotations_of, items, key_of, section, text
from sandbox.operators.rook.cluster import MANAGER, can_take_orders
from sandbox.operators.rook.pods import counted, letters, mds
from sandbox.operators.view import View, is_going, with_condition

CONTENTS = "sandbox.trainyard/ceph-contents"
"""Annotation: the subvolumes of a file system, or the images of a pool, as a list."""
FILE_SYSTEM_FINALIZER, POOL_FINALIZER = "cephfilesystem.ceph.rook.io", "cephblockpool.ceph.rook.io"
GROUP_FINALIZER = "cephfilesystemsubvolumegroup.ceph.rook.io"
_FORCE = "rook.io/force-deletion"


def contents(obj: Json) -> list[str]:
    """The subvolumes or images in a file system or pool."""
    return cast("list[str]", json.loads(annotations_of(obj).get(CONTENTS) or "[]"))


def written(names: Iterable[str]) -> str | None:
    """The annotation's text; None where nothing is left."""
    return json.dumps(sorted(names)) if names else None


def data_pools(filesystem: Json) -> list[str]:
    """The names of a file system's data pools in Ceph: `<file system>-<pool>`, `-data<n>` for those without a name."""
    name = text(filesystem, "metadata", "name")
    found: list[str] = []
    for index, pool in enumerate(items(filesystem, "spec", "dataPools")):
        own = text(pool, "name")
        whole = (
            own if own and section(filesystem, "spec").get("preservePoolNames") else f"{name}-{own or f'data{index}'}"
        )
        found.append(whole)
    return found


class Contents:
    """All file systems and pools that a running operator looks after."""

    def __init__(self, view: View) -> None:
        self._view = view

    async def filesystem(self, filesystem: Json) -> None:
        """Bring one file system on."""
        cluster = self._cluster(filesystem)
        if is_going(filesystem):
            inside = [text(one, "metadata", "name") for one in self._groups(filesystem)]
            what = "CephFilesystemSubVolumeGroups" if inside else "filesystem subvolume groups with subvolumes"
            await self._delete(filesystem, cluster, FILE_SYSTEM_FINALIZER, what, inside or contents(filesystem))
            return
        if not await self._view.hold(filesystem, FILE_SYSTEM_FINALIZER):
            return
        if cluster is None or is_going(cluster) or not can_take_orders(cluster):
            await self._report(filesystem, "Progressing")
            return
        spec = section(filesystem, "spec", "metadataServer")
        active = counted(spec, "activeCount", default=1)
        names = [letters(index) for index in range(active * 2 if spec.get("activeStandby") else active)]
        for name in names:
            await self._view.keep(mds(cluster, filesystem, name), manager=MANAGER, owner=filesystem)
        own = {"app": "rook-ceph-mds", "rook_file_system": text(filesystem, "metadata", "name")}
        wanted = {f"rook-ceph-mds-{text(filesystem, 'metadata', 'name')}-{name}" for name in names}
        for deployment in self._view.all("Deployment", key_of(filesystem)[0], own):
            if key_of(deployment)[1] not in wanted:
                await self._view.delete("Deployment", *key_of(deployment))
        running = self._view.ready_pods(key_of(filesystem)[0], own)
        was_ready = text(filesystem, "status", "phase") == "Ready"
        await self._report(filesystem, "Ready" if was_ready or len(running) >= len(names) else "Progressing")

    async def pool(self, pool: Json) -> None:
        """Bring one pool on."""
        cluster = self._cluster(pool)
        if is_going(pool):
            if contents(pool) and annotations_of(pool).get(_FORCE) == "true":
                await self._view.annotate(pool, {CONTENTS: None})
                return
            await self._delete(pool, cluster, POOL_FINALIZER, "images", contents(pool))
            return
        if not await self._view.hold(pool, POOL_FINALIZER):
            return
        is_ready = cluster is not None and not is_going(cluster) and can_take_orders(cluster)
        await self._report(pool, "Ready" if is_ready or text(pool, "status", "phase") == "Ready" else "Progressing")

    async def group(self, group: Json) -> None:
        """Bring one group of volumes on; it goes with the volumes in it only where that is forced."""
        namespace = key_of(group)[0]
        filesystem = self._view.find("CephFilesystem", namespace, text(group, "spec", "filesystemName"))
        if is_going(group):
            inside = contents(filesystem) if filesystem else []
            if filesystem is not None and inside and annotations_of(group).get(_FORCE) == "true":
                await self._view.annotate(filesystem, {CONTENTS: None})
                return
            await self._delete(group, self._cluster(group), GROUP_FINALIZER, "subvolumes", inside)
            return
        if await self._view.hold(group, GROUP_FINALIZER):
            is_ready = filesystem is not None and text(filesystem, "status", "phase") == "Ready"
            await self._report(group, "Ready" if is_ready else "Progressing")

    def _groups(self, filesystem: Json) -> list[Json]:
        namespace, name = key_of(filesystem)
        groups = self._view.all("CephFilesystemSubVolumeGroup", namespace)
        return [one for one in groups if text(one, "spec", "filesystemName") == name]

    def _cluster(self, obj: Json) -> Json | None:
        found = self._view.all("CephCluster", key_of(obj)[0])
        return found[0] if found else None

    async def _report(self, obj: Json, phase: str) -> None:
        status: Json = {"phase": phase}
        if phase == "Ready":
            status["observedGeneration"] = obj["metadata"].get("generation")
        await self._view.report(obj, status)

    async def _delete(self, obj: Json, cluster: Json | None, finalizer: str, what: str, inside: list[str]) -> None:
        """Let a file system, group or pool go once nothing is in it; where its cluster is gone, at once."""
        if finalizer not in (obj["metadata"].get("finalizers") or []):
            return
        if cluster is not None and not can_take_orders(cluster):
            return
        if inside and cluster is not None:
            message = (
                f'{obj["kind"]} "{"/".join(key_of(obj))}" will not be deleted until all dependents are removed: '
                f"{what}: {', '.join(inside)}"
            )
            conditions = with_condition(
                obj, "DeletionIsBlocked", status=True, reason="ObjectHasDependents", message=message
            )
            await self._view.report(obj, {"conditions": conditions})
            await self._view.tell(obj, "ReconcileFailed", message, f"rook-{obj['kind'].lower()}-controller")
            return
        await self._view.let_go(obj, finalizer)
