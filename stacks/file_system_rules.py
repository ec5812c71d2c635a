"""Rules for the file system that need no knowledge of Azure's sizes.

Owns what its backends ask of the rest of a stack: a size in whole disks, a pool that holds data, machines enough for
the copies. As in `stacks/pool_rules.py`, each problem names what it rests on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stacks.draft import Draft
from stacks.problems import PathParts, Problem, nearest
from stacks.settings import Pool
from stacks.storage_settings import FileSystem, Lustre

PATH: PathParts = ("storage", "fileSystem")
LEAST_NODES: Mapping[str, int] = {"rook": 3, "portworx": 3, "gluster": 1}
"""Storage machines at least, whatever the copies: Ceph's monitors and Portworx's records are on three."""

LUSTRE_STEP_TIB: Mapping[str, int] = {
    "AMLFS-Durable-Premium-40": 48,
    "AMLFS-Durable-Premium-125": 16,
    "AMLFS-Durable-Premium-250": 8,
    "AMLFS-Durable-Premium-500": 4,
}
"""TiB by which an Azure Managed Lustre of each SKU grows, also its smallest size (the answers of Azure's SKU API that
kubernetes-sigs/azurelustre-csi-driver v0.4.0 tests with, `pkg/azurelustre/azurelustre_test.go`)."""

PLACED_SINCE = (1, 36)
"""The operators of Gluster and Portworx are placed by a MutatingAdmissionPolicy, part of Kubernetes from here on."""

_GIB_PER_TIB = 1024
_BACKEND: PathParts = (*PATH, "backend")


def file_system_rules(draft: Draft) -> Iterator[Problem]:
    """Everything wrong with the file system's settings."""
    wanted = draft.stack.storage.file_system
    yield from _options(draft, wanted)
    if wanted.backend == "none":
        return
    yield from _size(wanted)
    if wanted.backend == "lustre":
        yield from _lustre(draft)
    else:
        yield from _pool(draft, wanted)
        yield from _kubernetes(draft, wanted)


def storage_pools(draft: Draft) -> dict[str, Pool]:
    """The pools that may hold data, by key."""
    return {key: pool for key, pool in draft.pools() if pool.is_storage}


def storage_pool(draft: Draft, wanted: FileSystem) -> str | None:
    """The key of the pool that holds the data; None where the settings name none that can."""
    pools = storage_pools(draft)
    if wanted.pool is not None:
        return wanted.pool if wanted.pool in pools else None
    return next(iter(pools)) if len(pools) == 1 else None


def _options(draft: Draft, wanted: FileSystem) -> Iterator[Problem]:
    """Options that only one backend has."""
    if wanted.backend != "rook":
        for field, key in (("dashboard", "dashboard"), ("toolbox", "toolbox"), ("local_nvme", "localNvme")):
            value = getattr(wanted, field)
            if value:
                told = draft.shown(value) if isinstance(value, bool) else "a mapping"
                yield Problem(
                    (*PATH, key),
                    f"{told} with backend {wanted.backend}; allowed: with rook alone. Remove it, or set backend to "
                    f"rook.",
                    needs=(_BACKEND,),
                )
    elif wanted.local_nvme is not None and not wanted.local_nvme.accept_data_loss:
        yield Problem(
            (*PATH, "localNvme", "acceptDataLoss"),
            "false; allowed with localNvme: true, as data on a machine's own disk dies with the machine. Set it to "
            "true, or remove localNvme to use managed disks.",
        )
    if wanted.backend != "lustre" and wanted.lustre != Lustre():
        yield Problem(
            (*PATH, "lustre"),
            f"a mapping with backend {wanted.backend}; allowed: with lustre alone. Remove it, or set backend to "
            f"lustre.",
            needs=(_BACKEND,),
        )
    if wanted.pool is not None and wanted.backend in ("lustre", "none"):
        yield Problem(
            (*PATH, "pool"),
            f"{draft.shown(wanted.pool)} with backend {wanted.backend}, which keeps no data on machines of the "
            f"cluster; allowed: none. Remove it.",
            needs=(_BACKEND,),
        )


def _size(wanted: FileSystem) -> Iterator[Problem]:
    path: PathParts = (*PATH, "sizeGib")
    if wanted.size_gib is None:
        yield Problem(
            path,
            f"is missing with backend {wanted.backend}; required: GiB that users can fill, as 4096. Add it.",
            needs=(_BACKEND,),
        )
        return
    step, of, rests_on = wanted.disk_gib, f"whole disks of {wanted.disk_gib} GiB (diskGib)", (*PATH, "diskGib")
    if wanted.backend == "lustre":
        tib = LUSTRE_STEP_TIB[wanted.lustre.sku]
        step, of = tib * _GIB_PER_TIB, f"steps of {tib} TiB ({tib * _GIB_PER_TIB} GiB) of {wanted.lustre.sku}"
        rests_on = (*PATH, "lustre", "sku")
    elif wanted.local_nvme is not None:
        return
    if wanted.size_gib % step:
        below = wanted.size_gib // step * step
        near = [str(one) for one in (below, below + step) if one]
        yield Problem(
            path,
            f"{wanted.size_gib} is not divisible; allowed: {of}. Use {' or '.join(near)}.",
            needs=(_BACKEND, rests_on, (*PATH, "localNvme")),
        )


def _lustre(draft: Draft) -> Iterator[Problem]:
    if draft.stack.cluster.os_sku == "AzureLinux":
        yield Problem(
            ("cluster", "osSku"),
            "AzureLinux with storage.fileSystem.backend lustre; allowed: Ubuntu, for which alone Lustre's client is "
            "built. Use Ubuntu, or another backend.",
            needs=(_BACKEND,),
        )


def _pool(draft: Draft, wanted: FileSystem) -> Iterator[Problem]:
    """Whether there is one pool for the data, and machines in it for the copies."""
    path: PathParts = (*PATH, "pool")
    pools = storage_pools(draft)
    names = ", ".join(pools)
    classes = tuple(("pools", key, "class") for key in draft.stack.pools)
    if not pools:
        yield Problem(
            path if wanted.pool is not None else _BACKEND,
            f"{draft.shown(wanted.pool) if wanted.pool else wanted.backend}, and no pool has class storage; required: "
            f"one that holds the data. Add it: `pools.store: {{class: storage, min: 3, max: 3}}`.",
            needs=(_BACKEND, *classes),
        )
        return
    if wanted.pool is not None and wanted.pool not in pools:
        near = nearest(wanted.pool, pools)
        known = "is of another class" if wanted.pool in draft.stack.pools else "names no pool"
        yield Problem(
            path,
            f"{draft.shown(wanted.pool)} {known}; allowed: pools of class storage: {names}. "
            f"{f'Did you mean {near}?' if near else 'Use one of them.'}",
            needs=classes,
        )
        return
    key = storage_pool(draft, wanted)
    if key is None:
        yield Problem(
            _BACKEND,
            f"{wanted.backend}, and {len(pools)} pools have class storage: {names}; required: which one holds the "
            f"data. Set pool to one of them.",
            needs=classes,
        )
        return
    least, nodes = max(wanted.replicas, LEAST_NODES[wanted.backend]), pools[key].max
    if nodes < least:
        reason = f"{wanted.replicas} copies on different machines"
        if least > wanted.replicas:
            reason = "three monitors on different machines" if wanted.backend == "rook" else "its records on three"
        remedies = [f"Set pools.{key}.min and max to {least}"]
        if LEAST_NODES[wanted.backend] <= nodes:
            remedies.append(f"replicas to {nodes}")
        yield Problem(
            ("pools", key, "max"),
            f"{nodes} for the file system's data; allowed with {wanted.backend}: {least} or more, for {reason}. "
            f"{', or '.join(remedies)}.",
            needs=(_BACKEND, (*PATH, "replicas"), *classes),
        )


def _kubernetes(draft: Draft, wanted: FileSystem) -> Iterator[Problem]:
    version = draft.stack.cluster.kubernetes_version
    major, minor = (int(part) for part in version.split(".")[:2])
    if wanted.backend in ("gluster", "portworx") and (major, minor) < PLACED_SINCE:
        since = ".".join(str(part) for part in PLACED_SINCE)
        yield Problem(
            ("cluster", "kubernetesVersion"),
            f"{draft.shown(version)} with storage.fileSystem.backend {wanted.backend}; allowed: {since} or later, "
            f"which can place its operator on the storage pool. Use {since}, or backend rook.",
            needs=(_BACKEND,),
        )
