"""Which nodes go, and when.

A node goes once it has been unneeded for long enough: little is asked of it, and whatever runs on it may be moved and
fits elsewhere. Nothing goes in the pauses after a scale-up, a deletion or a failure.

Source: CA `core/scaledown/*`, `simulator/utilization/info.go`, `simulator/drainability/rules/*`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from capacity.autoscaling.amounts import Amounts
from capacity.autoscaling.options import Options

REPLICATED = frozenset({"ReplicationController", "Job", "ReplicaSet", "StatefulSet"})
"""Controllers that make a pod anew (CA `rules/replicated`)."""


@dataclass(frozen=True, slots=True)
class Resident:
    """A pod on a node, as far as removing the node goes.

    Attributes:
        requests: what it asks for.
        controller: kind of its controller; empty: none, nobody makes it anew.
        daemon: of a DaemonSet.
        mirror: of a static pod.
        finished: succeeded or failed.
        safe_to_evict: the annotation `cluster-autoscaler.kubernetes.io/safe-to-evict`; None: there is none.
        system: in the namespace `kube-system` without a PodDisruptionBudget, and not yet an hour old.
        local_storage: an emptyDir or hostPath that is not declared safe to lose.
        budget_spent: a PodDisruptionBudget allows no disruption now.
    """

    requests: Amounts
    controller: str = ""
    daemon: bool = False
    mirror: bool = False
    finished: bool = False
    safe_to_evict: bool | None = None
    system: bool = False
    local_storage: bool = False
    budget_spent: bool = False

    @property
    def stays(self) -> bool:
        """Whether it goes with its node, without being moved."""
        return self.daemon or self.mirror or self.finished


@dataclass(frozen=True, slots=True)
class Machine:
    """A node that might go.

    Attributes:
        name: the node's.
        group: its group's.
        allocatable: of the node.
        is_gpu: whether it carries the accelerator label, so only its GPUs count.
        residents: the pods on it.
        ready: its Ready condition.
        kept: the annotation `cluster-autoscaler.kubernetes.io/scale-down-disabled: "true"`.
    """

    name: str
    group: str
    allocatable: Amounts
    is_gpu: bool
    residents: tuple[Resident, ...] = ()
    ready: bool = True
    kept: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing would have to be moved."""
        return all(one.stays for one in self.residents)


def utilization(machine: Machine, *, ignore_daemonsets: bool) -> float:
    """The share of a node that is asked for: of its GPUs alone where it has the accelerator label, else of CPU or
    memory, whichever is more.

    A node with the label and no GPU yet counts as unused.
    """
    dimensions = ("nvidia", "amd") if machine.is_gpu else ("cpu_milli", "memory_kib")
    return max(_share(machine, name, ignore_daemonsets=ignore_daemonsets) for name in dimensions)


def _share(machine: Machine, name: str, *, ignore_daemonsets: bool) -> float:
    has: int = getattr(machine.allocatable, name)
    asked = 0
    for one in machine.residents:
        amount: int = getattr(one.requests, name)
        if ignore_daemonsets and one.daemon:
            has -= amount
        elif not one.finished:
            asked += amount
    return asked / has if has > 0 else 0.0


def is_underused(machine: Machine, options: Options) -> bool:
    """Whether so little is asked of a node that it may go: at or below its threshold."""
    threshold = (
        options.scale_down_gpu_utilization_threshold if machine.is_gpu else options.scale_down_utilization_threshold
    )
    return utilization(machine, ignore_daemonsets=options.ignore_daemonsets_utilization) <= threshold


def holds_back(pod: Resident, options: Options) -> str:
    """Why a pod keeps its node from going; empty: it does not."""
    if pod.stays or pod.safe_to_evict is True:
        return ""
    custom = pod.controller and options.skip_nodes_with_custom_controller_pods and pod.controller not in REPLICATED
    reasons = {
        "nobody would make it anew": not pod.controller or custom,
        "it is a system pod without a PodDisruptionBudget": pod.system and options.skip_nodes_with_system_pods,
        "it is annotated as not safe to evict": pod.safe_to_evict is False,
        "it has local storage": pod.local_storage and options.skip_nodes_with_local_storage,
        "its PodDisruptionBudget allows no disruption": pod.budget_spent,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


Fits = Callable[[Machine], bool]
"""Whether the pods of a machine that must move fit on others; what it answers for one is taken into account for the
next."""


def unneeded(machines: Iterable[Machine], options: Mapping[str, Options], moves: Fits) -> dict[str, bool]:
    """Nodes that could go now, and whether each is empty.

    Args:
        machines: in the order in which they are to be looked at.
        options: of each group.
        moves: asked for nodes that are not empty.
    """
    found: dict[str, bool] = {}
    for machine in machines:
        mine = options[machine.group]
        if machine.kept or not is_underused(machine, mine):
            continue
        if machine.is_empty:
            found[machine.name] = True
        elif not any(holds_back(pod, mine) for pod in machine.residents) and moves(machine):
            found[machine.name] = False
    return found


@dataclass
class Idle:
    """Since when nodes are unneeded. Times in seconds, on any one clock."""

    since: dict[str, float] = field(default_factory=dict[str, float])

    def update(self, names: Iterable[str], now: float) -> None:
        """These are unneeded now; what is not among them is needed again."""
        self.since = {name: self.since.get(name, now) for name in names}

    def long_enough(self, machine: Machine, options: Options, now: float) -> bool:
        """Whether a node has been unneeded for longer than its group wants.

        A time of 0 is at once; else the time must be over, not just reached (CA `unneeded/nodes.go`).
        """
        wanted = options.scale_down_unneeded_time if machine.ready else options.scale_down_unready_time
        began = self.since.get(machine.name)
        return began is not None and (wanted <= 0 or began + wanted < now)


@dataclass
class Pauses:
    """When the cluster was last changed; None: never."""

    added_at: float | None = None
    deleted_at: float | None = None
    failed_at: float | None = None

    def until(self, options: Options) -> float:
        """When nodes may be removed again."""
        ends = (
            (self.added_at, options.scale_down_delay_after_add),
            (self.deleted_at, options.delay_after_delete),
            (self.failed_at, options.scale_down_delay_after_failure),
        )
        return max((at + pause for at, pause in ends if at is not None), default=float("-inf"))

    def over(self, options: Options, now: float) -> bool:
        """Whether nodes may be removed now (CA `isScaleDownInCooldown`)."""
        return self.until(options) <= now


@dataclass(frozen=True, slots=True)
class Removal:
    """What goes in one turn.

    Attributes:
        empty: nodes with nothing to move.
        drain: nodes whose pods must be moved first.
    """

    empty: tuple[str, ...] = ()
    drain: tuple[str, ...] = ()


def removable(
    machines: Sequence[Machine],
    found: Mapping[str, bool],
    idle: Idle,
    *,
    options: Options,
    by_group: Mapping[str, Options],
    sizes: Mapping[str, int],
    minimums: Mapping[str, int],
    deleting: int,
    draining: int,
    now: float,
) -> Removal:
    """Which of the unneeded nodes go in this turn.

    Args:
        machines: all that were looked at.
        found: what `unneeded` said.
        idle: since when, updated with it.
        sizes, minimums: of each group; `sizes` without what is being deleted.
        deleting: nodes whose deletion is under way, those that are drained among them.
        draining: nodes that are being drained.
    """
    spare = {group: sizes[group] - minimums.get(group, 0) for group in sizes}
    most = options.max_scale_down_parallelism - deleting
    drains = min(options.max_drain_parallelism - draining, most)
    empty: list[str] = []
    drain: list[str] = []
    for wants_empty in (True, False):
        for machine in machines:
            if found.get(machine.name) is not wants_empty or spare.get(machine.group, 0) < 1:
                continue
            if not idle.long_enough(machine, by_group[machine.group], now):
                continue
            if wants_empty and len(empty) < most:
                empty.append(machine.name)
            elif not wants_empty and len(drain) < min(drains, most - len(empty)):
                drain.append(machine.name)
            else:
                continue
            spare[machine.group] -= 1
    return Removal(tuple(empty), tuple(drain))
