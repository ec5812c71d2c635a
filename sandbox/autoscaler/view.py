"""The cluster as one turn sees it: nodes by pool, room for pods, machines that might go.

Pure: objects as the API server has them in, values of `capacity.autoscaling` out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from capacity.autoscaling.amounts import Amounts
from capacity.autoscaling.options import Options
from capacity.autoscaling.scale_down import Machine
from capacity.autoscaling.scale_up import Room
from capacity.autoscaling.scheduling import Shape, Taint, Template
from sandbox.autoscaler.groups import ACCELERATOR, node_template
from sandbox.autoscaler.pods import age, amounts, finished, pod_shape, resident
from sandbox.nodes.objects import Json, annotations_of, condition, items, labels_of, owner_kind, section, text

TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler"
SCALE_DOWN_DISABLED = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
_STARTUP_SECONDS = 900.0
"""For how long a node that is not ready counts as starting (`--max-node-startup-time`)."""
_HOST = "kubernetes.io/hostname"

Readiness = Literal["ready", "starting", "unready", "leaving"]
PodsOf = Callable[[str], Iterable[Json]]
"""The pods on a node, by its name."""


class Shapes:
    """Shapes of pods, worked out once each: their specs do not change where it matters."""

    def __init__(self) -> None:
        self._kept: dict[str, Shape] = {}

    def of(self, pod: Json) -> Shape:
        """A pod's shape."""
        uid = text(pod, "metadata", "uid")
        if uid not in self._kept:
            self._kept[uid] = pod_shape(pod)
        return self._kept[uid]

    def keep(self, uids: Iterable[str]) -> None:
        """Forget all pods but these."""
        wanted = set(uids)
        self._kept = {uid: shape for uid, shape in self._kept.items() if uid in wanted}


@dataclass(frozen=True)
class Seen:
    """One node.

    Attributes:
        name: its name.
        pool: the scale set's name as its provider id writes it; empty: none.
        provider_id: names its machine.
        readiness: `leaving` where it is marked for deletion.
        node: the object.
        pods: those on it.
    """

    name: str
    pool: str
    provider_id: str
    readiness: Readiness
    node: Json
    pods: tuple[Json, ...]


@dataclass
class View:
    """All nodes of one turn.

    Attributes:
        nodes: by name.
        shapes: of pods.
        now: Unix seconds.
    """

    nodes: dict[str, Seen]
    shapes: Shapes
    now: float
    _by_pool: dict[str, list[Seen]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for one in self.nodes.values():
            self._by_pool[one.pool].append(one)

    def of_pool(self, pool: str) -> Sequence[Seen]:
        """A pool's nodes."""
        return self._by_pool.get(pool, [])

    def registered(self) -> set[str]:
        """Provider ids of all nodes."""
        return {one.provider_id for one in self.nodes.values() if one.provider_id}

    def like_a_node_of(self, pool: str) -> Template | None:
        """A template like a node of a pool that is ready; None: there is none."""
        for one in self.of_pool(pool):
            if one.readiness == "ready" and not _is_cordoned(one.node):
                return node_template(one.node, [pod for pod in one.pods if owner_kind(pod) == "DaemonSet"])
        return None

    def rooms(self, without: Iterable[str] = ()) -> list[Room]:
        """Room on nodes that are ready; alike ones together.

        Args:
            without: names of nodes that are about to go.
        """
        gone = set(without)
        counted: Counter[_Alike] = Counter()
        for one in self.nodes.values():
            if one.readiness == "ready" and one.name not in gone and not _is_cordoned(one.node):
                counted[self._alike(one)] += 1
        return [
            Room(alike.free, count, dict(alike.labels), alike.taints, alike.taken_by)
            for alike, count in counted.items()
        ]

    def _alike(self, one: Seen) -> _Alike:
        free = amounts(section(one.node, "status", "allocatable"), up=False)
        taken: set[Shape] = set()
        for pod in one.pods:
            if not finished(pod):
                shape = self.shapes.of(pod)
                free = free.minus(shape.requests)
                if shape.one_a_node:
                    taken.add(shape)
        labels = frozenset((key, value) for key, value in labels_of(one.node).items() if key != _HOST)
        taints = tuple(
            Taint(str(taint["key"]), str(taint.get("value") or ""), str(taint["effect"]))
            for taint in items(one.node, "spec", "taints")
        )
        return _Alike(free, labels, taints, frozenset(taken))

    def machines(self, pools: Iterable[str], budgets: Mapping[str, Sequence[Json]]) -> list[Machine]:
        """Nodes that might go: those of these pools that are not on their way.

        Args:
            budgets: PodDisruptionBudgets by namespace.
        """
        return [
            self._machine(one, budgets)
            for pool in pools
            for one in sorted(self.of_pool(pool), key=lambda one: one.name)
            if one.readiness != "leaving"
        ]

    def _machine(self, one: Seen, budgets: Mapping[str, Sequence[Json]]) -> Machine:
        return Machine(
            name=one.name,
            group=one.pool,
            allocatable=amounts(section(one.node, "status", "allocatable"), up=False),
            is_gpu=ACCELERATOR in labels_of(one.node),
            residents=tuple(
                resident(pod, budgets.get(text(pod, "metadata", "namespace"), ()), self.now) for pod in one.pods
            ),
            ready=one.readiness == "ready",
            kept=annotations_of(one.node).get(SCALE_DOWN_DISABLED) == "true",
        )


@dataclass(frozen=True)
class _Alike:
    """What makes nodes interchangeable for pods."""

    free: Amounts
    labels: frozenset[tuple[str, str]]
    taints: tuple[Taint, ...]
    taken_by: frozenset[Shape]


def view(nodes: Iterable[Json], pods_of: PodsOf, shapes: Shapes, now: float) -> View:
    """The cluster now."""
    seen: dict[str, Seen] = {}
    for node in nodes:
        name, provider_id = text(node, "metadata", "name"), text(node, "spec", "providerID")
        seen[name] = Seen(name, pool_of(provider_id), provider_id, readiness(node, now), node, tuple(pods_of(name)))
    return View(seen, shapes, now)


def readiness(node: Json, now: float) -> Readiness:
    """How far a node is; one with the accelerator label and no GPU is not ready (CA `processors/customresources`)."""
    if text(node, "metadata", "deletionTimestamp") or is_marked(node):
        return "leaving"
    ready = condition(node, "Ready").get("status") == "True"
    if ACCELERATOR in labels_of(node):
        ready = ready and amounts(section(node, "status", "allocatable"), up=False).nvidia > 0
    if ready:
        return "ready"
    return "starting" if age(node, now) < _STARTUP_SECONDS else "unready"


def is_marked(node: Json) -> bool:
    """Whether the autoscaler has marked a node for deletion."""
    return any(taint.get("key") == TO_BE_DELETED for taint in items(node, "spec", "taints"))


def pool_of(provider_id: str) -> str:
    """The scale set in a provider id; empty: it names none."""
    parts = provider_id.split("/")
    lower = [part.lower() for part in parts]
    return parts[lower.index("virtualmachinescalesets") + 1] if "virtualmachinescalesets" in lower else ""


def expendable(shape: Shape, options: Options) -> bool:
    """Whether nothing is added for a pod, its priority being below the cut-off."""
    return shape.priority < options.expendable_pods_priority_cutoff


def _is_cordoned(node: Json) -> bool:
    return bool(section(node, "spec").get("unschedulable"))
