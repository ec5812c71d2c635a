"""Which group grows by how many nodes for the pods that wait.

One call is one turn of the program's loop: at most one group grows in it, as without `--salvo-scale-up`. Pods that fit
on nodes that are there, or are coming, have been taken off before (`place_on`).

Source: CA `core/scaleup/orchestrator`, `estimator/binpacking_estimator.go`, `estimator/decreasing_pod_orderer.go`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from capacity.autoscaling.amounts import Amounts
from capacity.autoscaling.backoff import Backoff
from capacity.autoscaling.expanders import Priorities, choose
from capacity.autoscaling.options import Options
from capacity.autoscaling.scheduling import Shape, Taint, Template, admits, fits_empty

_NEW_SECONDS, _NEW_GPU_SECONDS = 2.0, 30.0
"""CA `core/static_autoscaler.go`, `unschedulablePodTimeBuffer` and `unschedulablePodWithGpuTimeBuffer`: no flags."""


def awaits_more(waiting: Iterable[tuple[float, bool]], options: Options) -> bool:
    """Whether nothing grows yet, as more pods may be about to come (CA `core/static_autoscaler.go`, `allPodsAreNew`).

    Not where schedulers are bypassed: the program takes that flag for the wish to react at once.

    Args:
        waiting: of each pod without a place its age in seconds, and whether it asks for GPUs.
    """
    if options.bypassed_scheduler_names:
        return False
    ages = list(waiting)
    oldest = max((age for age, _ in ages), default=math.inf)
    oldest_with_gpu = max((age for age, has_gpu in ages if has_gpu), default=math.inf)
    return oldest < _NEW_SECONDS or oldest_with_gpu < _NEW_GPU_SECONDS


@dataclass(frozen=True, slots=True)
class Group:
    """One node group: a VM scale set.

    Attributes:
        id: its name on Azure, which priorities match.
        template: a node of it.
        min, max: nodes at least and at most.
        price: US dollars an hour of a node; None: unknown.
        options: the flags with the group's own tags applied.
    """

    id: str
    template: Template
    min: int
    max: int
    options: Options
    price: float | None = None


@dataclass(slots=True)
class Room:
    """Nodes that are alike: the same group, the same room left, the same pods of `one_a_node` kinds.

    Attributes:
        free: what is left on each.
        count: how many nodes.
        labels, taints: of each.
        taken_by: shapes of which each has one, where one a node is all they may.
    """

    free: Amounts
    count: int
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    taken_by: frozenset[Shape] = frozenset()


@dataclass(frozen=True, slots=True)
class Growth:
    """One way to grow, and what it would help.

    Attributes:
        group: which.
        nodes: how many more.
        helped: shape to how many waiting pods would fit.
    """

    group: Group
    nodes: int
    helped: Mapping[Shape, int]

    @property
    def group_id(self) -> str:
        """The group's name."""
        return self.group.id

    @property
    def pods(self) -> int:
        """Waiting pods that would fit."""
        return sum(self.helped.values())

    @property
    def requested(self) -> Amounts:
        """What they ask for together."""
        total = Amounts()
        for shape, count in self.helped.items():
            total = total.plus(shape.requests, count)
        return total

    @property
    def node_capacity(self) -> Amounts:
        """Of one machine."""
        return self.group.template.capacity or self.group.template.allocatable

    @property
    def node_price(self) -> float | None:
        """US dollars an hour."""
        return self.group.price


@dataclass(slots=True)
class Situation:
    """What one turn of the loop rests on.

    Attributes:
        waiting: shape to how many pods wait that fit nowhere.
        targets: group to the size that was last asked for.
        now: seconds on any one clock.
        backoff: groups that are left alone.
        unhealthy: groups with too many nodes that are not ready.
        lots: draws among equal options.
        priorities: of the expander `priority`.
    """

    waiting: Mapping[Shape, int]
    targets: Mapping[str, int]
    now: float
    backoff: Backoff
    lots: random.Random
    unhealthy: frozenset[str] = frozenset()
    priorities: Priorities | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """Why a group did not come into question."""

    group: str
    reason: str


@dataclass(slots=True)
class Verdict:
    """What one turn comes to.

    Attributes:
        growth: which group grows; None: none.
        considered: every way that came into question.
        skipped: groups that did not.
    """

    growth: Growth | None
    considered: list[Growth] = field(default_factory=list[Growth])
    skipped: list[Skipped] = field(default_factory=list[Skipped])


def scale_up(situation: Situation, groups: Sequence[Group], options: Options, *, whole: bool = False) -> Verdict:
    """One turn of the loop.

    Args:
        whole: all waiting pods or none: a gang's ProvisioningRequest of the class
            `best-effort-atomic-scale-up.autoscaling.x-k8s.io`.
    """
    verdict = Verdict(None)
    nodes_now = sum(situation.targets.values())
    for group in groups:
        reason = _out_of_question(situation, group, options, nodes_now)
        if reason:
            verdict.skipped.append(Skipped(group.id, reason))
            continue
        room = group.max - situation.targets.get(group.id, 0)
        if options.max_nodes_total:
            room = min(room, options.max_nodes_total - nodes_now)
        # A gang is packed as if its group had no end, to see whether it is whole; below, it must fit.
        most = options.max_nodes_per_scaleup if whole else min(room, options.max_nodes_per_scaleup)
        growth = estimate(group, situation.waiting, most)
        if growth is None or (whole and (growth.nodes > room or growth.pods < sum(situation.waiting.values()))):
            verdict.skipped.append(Skipped(group.id, "no waiting pod fits" if growth is None else "not all pods fit"))
        else:
            verdict.considered.append(growth)
    verdict.growth = choose(verdict.considered, options.expanders, situation.lots, situation.priorities)
    return verdict


def estimate(group: Group, waiting: Mapping[Shape, int], most: int) -> Growth | None:
    """How many nodes of a group the waiting pods need: first-fit decreasing, up to `most` nodes.

    None where no waiting pod fits on a node of the group.
    """
    template = group.template
    shapes = sorted(
        (shape for shape, count in waiting.items() if count and fits_empty(template, shape)),
        key=lambda shape: _score(shape, template),
        reverse=True,
    )
    rooms: list[Room] = []
    helped: dict[Shape, int] = {}
    nodes = 0
    for shape in shapes:
        wanted = waiting[shape]
        left = _fill(rooms, shape, wanted)
        a_node = 1 if shape.one_a_node else template.allocatable.times(shape.requests)
        new = min(-(-left // a_node), most - nodes)
        if new > 0:
            fresh = Room(template.allocatable, new, template.labels, template.taints)
            rooms.append(fresh)
            left -= _take(rooms, fresh, shape, min(left, new * a_node), a_node)
            nodes += new
        if wanted > left:
            helped[shape] = wanted - left
    return Growth(group, nodes, helped) if nodes else None


def place_on(rooms: Iterable[Room], waiting: Mapping[Shape, int]) -> dict[Shape, int]:
    """What still waits once everything that fits on nodes there and coming is put on them.

    Pods of higher priority first, as CA's `filter_out_schedulable.go` does; the rooms are changed.
    """
    rooms = list(rooms)
    left: dict[Shape, int] = {}
    for shape in sorted(waiting, key=lambda one: -one.priority):
        rest = _fill(rooms, shape, waiting[shape])
        if rest:
            left[shape] = rest
    return left


def below_minimum(groups: Iterable[Group], situation: Situation) -> dict[str, int]:
    """Groups below their minimum to the size they must have, with `--enforce-node-group-min-size`."""
    return {
        group.id: group.min
        for group in groups
        if situation.targets.get(group.id, 0) < group.min
        and situation.backoff.left_alone(group.id, situation.now) is None
        and group.id not in situation.unhealthy
    }


def is_unhealthy(unready: int, expected: int, options: Options) -> bool:
    """Whether too many of some nodes are not ready for more to be added.

    Source: CA `clusterstate/clusterstate.go`, `IsNodeGroupHealthy` and `IsClusterHealthy`.
    """
    too_many = unready * 100 > options.max_total_unready_percentage * expected
    return too_many and unready > options.ok_total_unready_count


def _out_of_question(situation: Situation, group: Group, options: Options, nodes_now: int) -> str:
    failure = situation.backoff.left_alone(group.id, situation.now)
    if group.id in situation.unhealthy:
        return "too many of its nodes are not ready"
    if failure is not None:
        return f"left alone for {failure.until - situation.now:.0f} s more after a failure: {failure.reason}"
    if situation.targets.get(group.id, 0) >= group.max:
        return f"at its maximum of {group.max}"
    if options.max_nodes_total and nodes_now >= options.max_nodes_total:
        return f"the cluster is at its maximum of {options.max_nodes_total} nodes"
    return ""


def _score(shape: Shape, template: Template) -> float:
    has, asked = template.allocatable, shape.requests
    cpu = asked.cpu_milli / has.cpu_milli if has.cpu_milli else 0
    return cpu + (asked.memory_kib / has.memory_kib if has.memory_kib else 0)


def _fill(rooms: list[Room], shape: Shape, wanted: int) -> int:
    """Put pods of a shape on nodes that have room, first come, first filled; gives how many are left over."""
    for room in list(rooms):
        if wanted <= 0:
            break
        if shape in room.taken_by or not admits(room.labels, room.taints, shape):
            continue
        a_node = room.free.times(shape.requests)
        if a_node:
            wanted -= _take(rooms, room, shape, wanted, 1 if shape.one_a_node else a_node)
    return wanted


def _take(rooms: list[Room], room: Room, shape: Shape, wanted: int, a_node: int) -> int:
    """Fill nodes of a room with `a_node` pods each, and one with the rest; gives how many were put."""
    full = min(wanted // a_node, room.count)
    rest = min(wanted - full * a_node, a_node - 1) if full < room.count else 0
    for nodes, pods in ((full, a_node), (1 if rest else 0, rest)):
        if nodes:
            rooms.append(_used(room, shape, nodes, pods))
    room.count -= full + (1 if rest else 0)
    if not room.count:
        rooms.remove(room)
    return full * a_node + rest


def _used(room: Room, shape: Shape, nodes: int, pods: int) -> Room:
    taken = room.taken_by | {shape} if shape.one_a_node else room.taken_by
    return Room(room.free.minus(shape.requests, pods), nodes, room.labels, room.taints, taken)
