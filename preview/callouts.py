"""What a change costs those who use the platform, in words: pools and storage that are replaced or deleted.

Owns which resources hold machines or data. Machines and running work come from the live cluster; where that could not
be read, the callout says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from preview.changes import AGENT_POOL, CLUSTER, Change, Changes, shown
from preview.live import Live
from preview.markdown import code, counted

_MOST_WORK = 5
_REASONS_SHOWN = 3

_STORAGE: Mapping[str, str] = {
    "azure-native:storage:StorageAccount": "storage account",
    "azure-native:storage:FileShare": "file share",
    "azure-native:storage:BlobContainer": "blob container",
    "azure-native:compute:Disk": "disk",
    "azure-native:storagecache:AmlFilesystem": "Managed Lustre",
    "kubernetes:ceph.rook.io/v1:CephCluster": "Ceph cluster",
    "kubernetes:ceph.rook.io/v1:CephFilesystem": "Ceph file system",
    "kubernetes:kadalu-operator.storage/v1alpha1:KadaluStorage": "Kadalu storage",
    "kubernetes:core.libopenstorage.org/v1:StorageCluster": "Portworx cluster",
    "kubernetes:core/v1:PersistentVolume": "volume",
    "kubernetes:core/v1:PersistentVolumeClaim": "claim",
}
"""Type to what holds data, in words."""


def callouts(changes: Changes, live: Live | None) -> list[str]:
    """A sentence or two, in Markdown, for each replacement or deletion that somebody would notice."""
    told: list[str] = []
    for change in changes.listed:
        if change.kind in ("replace", "delete"):
            told += list(_TELLERS.get(change.type, _storage)(change, live))
    return told


def machines_lost(changes: Changes, live: Live | None) -> tuple[int, int]:
    """Machines and running pieces of work that the replaced and deleted pools have now, where that is known."""
    pools = [
        pool
        for change in changes.listed
        if change.type == AGENT_POOL and change.kind in ("replace", "delete")
        if live is not None and (pool := live.pools.get(_pool_name(change.old))) is not None
    ]
    return sum(pool.machines for pool in pools), sum(len(pool.work) for pool in pools)


def _pool(change: Change, live: Live | None) -> Iterator[str]:
    name = code(change.name)
    if change.kind == "delete":
        said = f"**Pool {name} is deleted**, with its machines."
    else:
        said = f"**Pool {name} is replaced** ({_reasons(change)}): the new pool first, then the old one is drained."
    yield f"{said} {_machines(change, live)}"


def _machines(change: Change, live: Live | None) -> str:
    if live is None:
        return "What runs on it was not read."
    if live.problem:
        return "What runs on it is not known: the cluster could not be read."
    pool = live.pools.get(_pool_name(change.old))
    if pool is None or pool.machines == 0:
        return "It has no machines now, so nothing that runs is ended."
    has = f"It has {counted(pool.machines, 'machine')} now"
    if not pool.work:
        return f"{has}, and no job runs on {'it' if pool.machines == 1 else 'them'}."
    names = [f"{code(owner)}{f' ({count} pods)' if count > 1 else ''}" for owner, count in sorted(pool.work.items())]
    more = f" and {len(names) - _MOST_WORK} more" if len(names) > _MOST_WORK else ""
    return f"{has}, and **this ends {counted(len(names), 'running job')}**: {', '.join(names[:_MOST_WORK])}{more}."


def _cluster(change: Change, _live: Live | None) -> Iterator[str]:
    if change.kind == "delete":
        yield f"**The cluster {code(change.name)} is deleted**, with everything that runs in it."
    else:
        yield f"**The cluster {code(change.name)} is replaced** ({_reasons(change)}): everything that runs in it ends."


def _storage(change: Change, _live: Live | None) -> Iterator[str]:
    kind = _STORAGE.get(change.type)
    if kind is None or (change.kind == "delete" and not _holds_data(change)):
        return
    name = f"{kind[:1].upper()}{kind[1:]} {code(_own_name(change))}"
    size = _size(change.old)
    if change.kind == "delete":
        fate = "Azure keeps it and its data" if change.retained else "**its data goes with it**"
        yield f"**{name} is deleted**{size}: {fate}."
    else:
        fate = "the new one is empty, Azure keeps the old one" if change.retained else "**the new one is empty**"
        if change.type.startswith("kubernetes:core/v1:"):
            fate = "pods that mount it must be started anew"
        yield f"**{name} is replaced**{size} ({_reasons(change)}): {fate}."


def _holds_data(change: Change) -> bool:
    """Whether data goes with an object: a volume of a share is only the way to it, and a claim on one too."""
    spec = (change.old or {}).get("spec")
    if not change.type.startswith("kubernetes:core/v1:") or not isinstance(spec, dict):
        return True
    wanted = cast("dict[str, Any]", spec)
    if change.type.endswith(":PersistentVolume"):
        return wanted.get("persistentVolumeReclaimPolicy") == "Delete"
    return bool(wanted.get("storageClassName")) and not wanted.get("volumeName")


def _group(change: Change, _live: Live | None) -> Iterator[str]:
    if change.kind == "delete" and change.retained:
        yield f"**Resource group {code(change.name)} leaves the stack**; Azure keeps it and what lies in it."
    else:
        fate = "deleted" if change.kind == "delete" else f"replaced ({_reasons(change)})"
        yield f"**Resource group {code(change.name)} is {fate}**, with everything in it."


def _reasons(change: Change) -> str:
    """The properties that force a replacement, from what to what; a pool's physical name follows from them."""
    forcing = [one for one in change.differences if one.forces and one.path not in ("agentPoolName", "resourceName")]
    causes = forcing or [one for one in change.differences if one.path != "agentPoolName"]
    said = [f"{code(one.path)} from {code(shown(one.before), 80)} to {code(shown(one.after), 80)}" for one in causes]
    more = f" and {len(said) - _REASONS_SHOWN} more" if len(said) > _REASONS_SHOWN else ""
    return f"{', '.join(said[:_REASONS_SHOWN])}{more}" if said else "what it stands on is replaced"


def _size(inputs: Mapping[str, Any] | None) -> str:
    quota = (inputs or {}).get("shareQuota") or (inputs or {}).get("diskSizeGB")
    return f" ({quota:g} GiB)" if isinstance(quota, int | float) else ""


def _own_name(change: Change) -> str:
    """The name that people know it by, where its inputs say it."""
    inputs = change.old or {}
    named = (inputs.get(key) for key in ("shareName", "containerName", "accountName", "diskName"))
    return next((name for name in named if isinstance(name, str)), change.name)


def _pool_name(inputs: Mapping[str, Any] | None) -> str:
    return str((inputs or {}).get("agentPoolName", ""))


_TELLERS: Mapping[str, Callable[[Change, Live | None], Iterator[str]]] = {
    AGENT_POOL: _pool,
    CLUSTER: _cluster,
    "azure-native:resources:ResourceGroup": _group,
}
