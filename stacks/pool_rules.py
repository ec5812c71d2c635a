"""Rules between the values of one pool, and of a pool among the others, that need no knowledge of Azure's sizes.

Owns AKS's and Kubernetes' rules for names, labels, taints, spot, sharing of GPUs and counts. Each rule yields a
problem with the remedy; what it rests on is named in `needs`, and a problem whose grounds were themselves wrong is
left out by the caller.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from stacks.draft import Draft
from stacks.kubernetes_names import label_key_fault, label_value_fault, taint_fault, taint_key
from stacks.problems import PathParts, Problem
from stacks.settings import POOL_KEY_PATTERN, Gpu, Pool
from stacks.surge import surge_nodes

MOST_POOLS = 100
MOST_NODES = 5000
MOST_NODES_A_POOL = 1000


def pool_rules(draft: Draft) -> Iterator[Problem]:
    """Everything wrong with the pools by themselves and together."""
    yield from _names(draft)
    yield from _totals(draft)
    for key, pool in draft.pools():
        yield from _counts(key, pool)
        yield from _spot(draft, key, pool)
        yield from _storage(key, pool)
        yield from _gpu(draft, key, pool)
        yield from _placement(key, pool)
        yield from _labels(draft, key, pool)
        yield from _taints(draft, key, pool)


def normalised(key: str) -> str:
    """A pool's name as AKS could take it: lower case, letters and digits, a letter first, seven at most."""
    return re.sub(r"^[0-9]+", "", re.sub(r"[^a-z0-9]", "", key.lower()))[:7] or "pool"


def _names(draft: Draft) -> Iterator[Problem]:
    groups: dict[str, list[str]] = {}
    for key, _ in draft.pools():
        groups.setdefault(normalised(key), []).append(key)
        if not re.fullmatch(POOL_KEY_PATTERN, key):
            yield Problem(
                ("pools", key),
                f"{draft.shown(key)} cannot name a pool; allowed: 1 to 7 lower-case letters and digits, a letter first "
                f"(AKS takes 12, the last 5 are a hash). Call it {normalised(key)}.",
            )
    for name, keys in groups.items():
        for key in keys[1:]:
            yield Problem(
                ("pools", key),
                f"{draft.shown(key)} and {draft.shown(keys[0])} are both {name} for AKS, which takes 7 lower-case "
                f"letters and digits of a name; allowed: one pool a name. Rename one of them.",
            )


def _totals(draft: Draft) -> Iterator[Problem]:
    pools = dict(draft.pools())
    if len(pools) + 1 > MOST_POOLS:
        yield Problem(
            ("pools",),
            f"{len(pools)} pools and the system pool are {len(pools) + 1}; allowed: {MOST_POOLS} in a cluster. "
            f"Join pools of the same size, or use a second stack.",
        )
    system = draft.stack.cluster.system_pool
    counted = {key: pool.max + pool.surge_nodes for key, pool in pools.items() if draft.known("pools", key, "max")}
    nodes = sum(counted.values()) + system.count + system.surge_nodes
    if nodes > MOST_NODES:
        largest = max(counted, key=lambda key: counted[key])
        yield Problem(
            ("pools",),
            f"{nodes} machines in all (every pool at its max with its surge, and the system pool); allowed: "
            f"{MOST_NODES} in a cluster. Lower max by {nodes - MOST_NODES}, {largest} is the largest, or use a second "
            f"stack.",
        )
    if system.count + system.surge_nodes > MOST_NODES_A_POOL:
        path: PathParts = ("cluster", "systemPool")
        yield Problem((*path, "count"), _too_many(system.count, system.surge), needs=((*path, "surge"),))


def _counts(key: str, pool: Pool) -> Iterator[Problem]:
    path: PathParts = ("pools", key)
    if pool.min > pool.max:
        yield Problem(
            (*path, "min"),
            f"{pool.min} is above max {pool.max}; allowed: 0 to max. Raise max or lower min.",
            needs=((*path, "max"),),
        )
    if pool.max_surge is not None and pool.max + surge_nodes(pool.max_surge, pool.max) > MOST_NODES_A_POOL:
        needs = ((*path, "max"), (*path, "surge"), (*path, "spot"))
        yield Problem((*path, "max"), _too_many(pool.max, pool.max_surge), needs=needs)


def _too_many(nodes: int, surge: str) -> str:
    return (
        f"{nodes} with a surge of {surge} is {nodes + surge_nodes(surge, nodes)} machines in an upgrade; allowed: "
        f"{MOST_NODES_A_POOL}, as many as a scale set takes. Lower max or surge."
    )


def _spot(draft: Draft, key: str, pool: Pool) -> Iterator[Problem]:
    path: PathParts = ("pools", key)
    if pool.spot is None:
        return
    needs = ((*path, "spot"),)
    if pool.surge is not None:
        yield Problem(
            (*path, "surge"),
            f"{draft.shown(pool.surge)} on a spot pool; allowed: nothing, AKS refuses a surge there. "
            f"Remove surge, or spot.",
            needs=needs,
        )
    if pool.capacity_reservation_group is not None:
        yield Problem(
            (*path, "capacityReservationGroup"),
            "a reservation on a spot pool; allowed: on demand only, Azure reserves no spot machines. "
            "Remove capacityReservationGroup, or spot.",
            needs=needs,
        )
    if pool.spot.eviction_policy == "Deallocate" and pool.os_disk.type == "Ephemeral":
        yield Problem(
            (*path, "spot", "evictionPolicy"),
            "Deallocate with an ephemeral OS disk; allowed: Delete, as a deallocated machine keeps its disk. "
            "Use Delete, or osDisk.type Managed.",
            needs=((*path, "osDisk", "type"),),
        )


def _storage(key: str, pool: Pool) -> Iterator[Problem]:
    """Data stays where it is only on machines that neither come and go nor are taken back."""
    if not pool.is_storage:
        return
    path: PathParts = ("pools", key)
    needs = ((*path, "class"),)
    if pool.min != pool.max:
        yield Problem(
            (*path, "min"),
            f"{pool.min} with max {pool.max} in a pool of class storage; allowed: as many as max, since no data may "
            f"lie on machines that scale away. Set min to {pool.max}.",
            needs=(*needs, (*path, "max")),
        )
    if pool.spot is not None:
        yield Problem(
            (*path, "spot"),
            "true in a pool of class storage; allowed: false, as Azure would take machines with data on them back. "
            "Remove it.",
            needs=needs,
        )
    if pool.role != "train":
        yield Problem(
            (*path, "role"),
            f"{pool.role} in a pool of class storage; allowed: none, neither jobs nor services run there. Remove it.",
            needs=needs,
        )


def _gpu(draft: Draft, key: str, pool: Pool) -> Iterator[Problem]:
    path: PathParts = ("pools", key, "gpu")
    gpu, needs = pool.gpu, ((*path, "sharing"),)
    if not pool.is_gpu:
        for name in sorted(name for name, value in gpu if value != Gpu.model_fields[name].default):
            yield Problem(
                (*path, _camel(name)),
                f"{draft.shown(getattr(gpu, name))} in a pool of class {pool.pool_class}; allowed: nothing, it has no "
                f"GPU. Remove it, or use class light-gpu or heavy-gpu.",
                needs=(("pools", key, "class"),),
            )
        return
    if gpu.sharing == "time-slicing" and gpu.replicas is None:
        yield Problem(
            (*path, "replicas"),
            "is missing; allowed with time-slicing: 2 to 48, the pods that share a GPU. Add it, or use sharing whole.",
            needs=(*needs, (*path, "replicas")),
        )
    if gpu.sharing != "time-slicing" and gpu.replicas is not None:
        yield Problem(
            (*path, "replicas"),
            f"{gpu.replicas} with sharing {gpu.sharing}; allowed: only with time-slicing. "
            f"Set sharing to time-slicing, or remove replicas.",
            needs=needs,
        )
    if gpu.sharing == "mig" and gpu.mig_profile is None:
        yield Problem(
            (*path, "migProfile"),
            "is missing; allowed with mig: MIG1g, MIG2g, MIG3g, MIG4g, MIG7g. Add it, or use sharing whole.",
            needs=(*needs, (*path, "migProfile")),
        )
    if gpu.sharing != "mig" and gpu.mig_profile is not None:
        yield Problem(
            (*path, "migProfile"),
            f"{gpu.mig_profile} with sharing {gpu.sharing}; allowed: only with mig. "
            f"Set sharing to mig, or remove migProfile.",
            needs=needs,
        )


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match.group(1).upper(), name)


def _placement(key: str, pool: Pool) -> Iterator[Problem]:
    path: PathParts = ("pools", key)
    for zone, count in Counter(pool.zones).items():
        if count > 1:
            yield Problem((*path, "zones"), f"names zone {zone} {count} times; allowed: each once. Remove the others.")
    if pool.proximity_group and len(set(pool.zones)) > 1:
        yield Problem(
            (*path, "proximityGroup"),
            f"true over the zones {', '.join(pool.zones)}; allowed: one zone at most, machines of a proximity group "
            f"stand in one building. Name one zone, or remove proximityGroup.",
            needs=((*path, "zones"),),
        )


def _labels(draft: Draft, key: str, pool: Pool) -> Iterator[Problem]:
    path: PathParts = ("pools", key, "labels")
    seen: dict[str, str] = {}
    for name, value in pool.labels.items():
        if fault := label_key_fault(name):
            yield Problem((*path, name), f"{draft.shown(name)} {fault}")
        if fault := label_value_fault(value):
            yield Problem((*path, name), f"{draft.shown(value, *path, name)} {fault}")
        twin = seen.setdefault(name.lower(), name)
        if twin != name:
            yield Problem(
                (*path, name),
                f"{draft.shown(name)} and {draft.shown(twin)} differ in case only; allowed: labels that differ "
                f"otherwise too, the autoscaler learns them from Azure tags, which know no case. Rename one.",
            )


def _taints(draft: Draft, key: str, pool: Pool) -> Iterator[Problem]:
    path: PathParts = ("pools", key, "taints")
    known = draft.known("pools", key, "class")
    own = "sku=gpu:NoSchedule" if pool.is_gpu else "storage-node=true:NoSchedule" if pool.is_storage else ""
    seen = {own.partition("=")[0]: f"the class's own {own}"} if known and own else {}
    for index, taint in enumerate(pool.taints):
        if fault := taint_fault(taint):
            yield Problem((*path, index), f"{draft.shown(taint)} {fault}")
            continue
        name = taint_key(taint).lower()
        if name in seen:
            yield Problem(
                (*path, index),
                f"{draft.shown(taint)} has the same key as {seen[name]}; allowed: one taint a key, the autoscaler can "
                f"be told of one only. Remove it, or use another key.",
            )
        seen.setdefault(name, draft.shown(taint))
