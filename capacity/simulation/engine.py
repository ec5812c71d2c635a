"""The simulation itself: one event after the other.

Owns the order of events and nothing that is decided in them: where a pod goes is `nodes`, what grows and goes is
`capacity.autoscaling`. The autoscaler looks every scan interval; turns in which nothing can have changed are left out,
as they would decide nothing.
"""

from __future__ import annotations

import heapq
import random
from array import array
from bisect import insort
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile
from math import ceil, floor, inf

from capacity.autoscaling.backoff import Backoff
from capacity.autoscaling.scale_down import Idle, Machine, Pauses, removable
from capacity.autoscaling.scale_up import Growth, Room, Situation, below_minimum, place_on, scale_up
from capacity.autoscaling.scheduling import Shape, admits
from capacity.catalogue import family_key
from capacity.simulation.fleet import Fleet
from capacity.simulation.jobs import Demand, Job
from capacity.simulation.nodes import Node, Pool
from capacity.simulation.outcome import Outcome, Series

SPOT, REGION = "spot", "cores"
"""Names of the two quotas that are not a family's: all spot cores, and the region's total."""
_NEW = 2.0
"""Seconds within which the autoscaler takes all waiting pods for too new to act on (CA `static_autoscaler.go`)."""
_POINTS = 4000
"""Steps that a series over time is thinned to."""
_TELL_EVERY = 4096
"""Jobs between two tellings of progress."""
_EPSILON = 1e-6
_READY, _FINISH, _TICK = 0, 1, 2
"""Kinds of events, in the order in which they happen at one time."""


@dataclass(slots=True)
class _Run:
    """A job that runs.

    Attributes:
        nodes: one entry a pod.
    """

    job: Job
    nodes: list[Node]
    shape: Shape


@dataclass(slots=True)
class _Queue:
    """Jobs of one shape that wait, first come first.

    Attributes:
        pools: keys of the pools that admit them.
    """

    shape: Shape
    pools: tuple[str, ...]
    jobs: deque[Job] = field(default_factory=deque[Job])


@dataclass(slots=True)
class _Claim:
    """A gang whose machines were asked for: what it has of them already, one entry a pod."""

    gang: Job
    shape: Shape
    held: list[Node]


@dataclass(slots=True)
class _Batch:
    """Machines of one request, until they are ready."""

    nodes: list[Node]
    claim: _Claim | None


def _order(job: Job) -> tuple[float, float]:
    """Higher priority first, then first come first."""
    return (-job.demand.priority, job.arrival)


Progress = Callable[[int, int], None]
"""Told now and then: jobs that have arrived, and how many there are."""


class Simulation:
    """One run of a trace on a fleet.

    Args:
        fleet: the stack's pools.
        quota: cores by family key, `spot` and `cores`; what is not named has no end.
        seed: of the lots that the autoscaler draws among equal options.
    """

    def __init__(self, fleet: Fleet, *, quota: Mapping[str, int] | None = None, seed: int = 0) -> None:
        self._fleet = fleet
        self._quota = quota or {}
        self._pools = {key: Pool(group) for key, group in fleet.groups.items()}
        self._targets = dict.fromkeys(fleet.groups, 0)
        self._coming = dict.fromkeys(fleet.groups, 0)
        self._queues: dict[Shape, _Queue] = {}
        self._shapes: dict[Demand, Shape] = {}
        self._gangs: list[Job] = []
        self._verdicts: dict[tuple[Demand, int], str] = {}
        self._idle = Idle()
        self._resting: dict[str, dict[str, Node]] = {key: {} for key in fleet.groups}
        self._pauses = Pauses()
        self._backoff = Backoff()
        self._lots = random.Random(seed)
        self._events: list[tuple[float, int, int, object]] = []
        self._pushed = 0
        self._tick_at = inf
        self._retry_at = inf
        self._lasting = 0
        self._used: Counter[str] = Counter()

    def run(self, jobs: Sequence[Job], progress: Progress | None = None) -> Outcome:
        """Everything that happens.

        Args:
            jobs: in the order of their arrival.

        Raises:
            ValueError: there are no jobs, or they are not in order.
        """
        if not jobs:
            raise ValueError("the trace has no jobs")
        began = last = jobs[0].arrival
        step = max(jobs[-1].arrival - began, 1.0) / _POINTS
        self._out = Outcome(
            began, began, began, machines={key: Series(step) for key in self._pools}, waiting=Series(step)
        )
        self._arriving = True
        self._begin(began)
        for number, job in enumerate(jobs):
            if job.arrival < last:
                raise ValueError(
                    f"job {job.name} arrives at {job.arrival:g} s, before the one above it: sort the trace"
                )
            last = job.arrival
            self._until(job.arrival)
            self._arrive(job)
            if progress is not None and number % _TELL_EVERY == 0:
                progress(number, len(jobs))
        self._arriving = False
        self._until(inf)
        if progress is not None:
            progress(len(jobs), len(jobs))
        self._out.unfinished = sum(len(queue.jobs) for queue in self._queues.values()) + len(self._gangs)
        return self._out

    def _begin(self, now: float) -> None:
        """The pools' minimums are there from the start, as after `pulumi up`."""
        for key, group in self._fleet.groups.items():
            nodes = self._ask(key, group.min, now)
            self._ready(_Batch(nodes, None), now)

    # Events

    def _push(self, at: float, kind: int, what: object) -> None:
        self._pushed += 1
        self._lasting += kind != _TICK
        heapq.heappush(self._events, (at, kind, self._pushed, what))

    def _until(self, time: float) -> None:
        """Everything that happens before a time; at infinity, until nothing more does."""
        while self._events and self._events[0][0] < time:
            at, kind, _, what = heapq.heappop(self._events)
            self._lasting -= kind != _TICK
            if isinstance(what, _Run):
                self._finish(what, at)
            elif isinstance(what, _Batch):
                self._ready(what, at)
            elif at == self._tick_at:
                self._tick_at = inf
                self._tick(at)

    def _look_at(self, time: float, *, after: bool = False) -> None:
        """Have the autoscaler look at its first turn at a time or later; `after`: later than it."""
        at = self._turn(time, after=after)
        if at < self._tick_at:
            self._tick_at = at
            self._push(at, _TICK, None)

    def _turn(self, time: float, *, after: bool = False) -> float:
        """The autoscaler's first turn at a time or later."""
        interval, origin = self._fleet.options.scan_interval, self._out.began
        turns = round((time - origin) / interval, 6)  # what is a turn but for floating point, is one
        return origin + interval * (floor(turns) + 1 if after else ceil(turns))

    # Jobs

    def _arrive(self, job: Job) -> None:
        now = job.arrival
        asked = (job.demand, job.pods)
        if asked not in self._verdicts:
            self._verdicts[asked] = self._fleet.why_never(*asked)
        if self._verdicts[asked]:
            self._out.never[self._verdicts[asked]] += 1
            return
        queue = self._queue(job.demand)
        if job.pods > 1:
            if not self._start_whole(job, queue, now):
                insort(self._gangs, job, key=_order)
                self._wait(now, 1)
            return
        # Where others of its kind wait already, there is no room for it either.
        node = None if queue.jobs else self._best(queue)
        if node is None:
            queue.jobs.append(job)
            self._wait(now, 1)
        else:
            self._hold(node, queue.shape)
            self._start(job, [node], queue.shape, now)

    def _wait(self, now: float, change: int) -> None:
        self._out.waiting.add(now, change)
        if change > 0:
            self._look_at(now)

    def _queue(self, demand: Demand) -> _Queue:
        shape = self._shapes.get(demand)
        if shape is None:
            shape = self._shapes[demand] = self._fleet.shape(demand)
        queue = self._queues.get(shape)
        if queue is None:
            templates = {key: group.template for key, group in self._fleet.groups.items()}
            pools = tuple(key for key, one in templates.items() if admits(one.labels, one.taints, shape))
            queue = self._queues[shape] = _Queue(shape, pools)
        return queue

    def _best(self, queue: _Queue) -> Node | None:
        """The node that kube-scheduler would take for a pod."""
        asked = queue.shape.requests
        found = [node for key in queue.pools if (node := self._pools[key].best(asked)) is not None]
        if len(found) < 2:
            return found[0] if found else None
        return max(found, key=lambda node: self._pools[node.group].spread(node.free.minus(asked)))

    def _hold(self, node: Node, shape: Shape, pods: int = 1) -> None:
        """Take room on a node; a negative number gives it back."""
        pool = self._pools[node.group]
        pool.take_out(node)
        node.free = node.free.minus(shape.requests, pods)
        node.pods += pods
        pool.add(node)
        if pods > 0 and self._resting[node.group].pop(node.name, None) is not None:
            del self._idle.since[node.name]

    def _start(self, job: Job, nodes: list[Node], shape: Shape, now: float) -> None:
        """A job starts on nodes whose room it holds."""
        for node in nodes:
            if node.busy_since is None:
                node.busy_since = now
        pool_class = self._fleet.plans[nodes[0].group].settings.pool_class
        self._out.waits.setdefault(pool_class, array("d")).append(now - job.arrival)
        self._push(now + job.duration, _FINISH, _Run(job, nodes, shape))

    def _finish(self, run: _Run, now: float) -> None:
        self._out.finished += 1
        self._out.last_finish = max(self._out.last_finish, now)
        self._give_back(run.nodes, run.shape, now)

    def _give_back(self, nodes: list[Node], shape: Shape, now: float) -> None:
        """Room on nodes is free again: whoever waits for it comes, and nodes that stay empty rest."""
        for node in nodes:
            self._hold(node, shape, -1)
            if not node.pods and node.busy_since is not None:
                node.busy.append((node.busy_since, now))
                node.busy_since = None
        distinct = list(dict.fromkeys(nodes))
        self._fill(distinct, now)
        self._rest(distinct, now)

    def _fill(self, nodes: Iterable[Node], now: float) -> None:
        """Let those who wait onto nodes with new room, gangs that now fit whole first."""
        if not self._out.waiting.now:
            return
        for gang in list(self._gangs):
            if self._start_whole(gang, self._queue(gang.demand), now):
                self._gangs.remove(gang)
                self._wait(now, -1)
        for node in nodes:
            waiting = [queue for queue in self._queues.values() if queue.jobs and node.group in queue.pools]
            waiting.sort(key=lambda queue: _order(queue.jobs[0]))
            for queue in waiting:
                while queue.jobs and node.free.holds(queue.shape.requests):
                    self._hold(node, queue.shape)
                    self._start(queue.jobs.popleft(), [node], queue.shape, now)
                    self._wait(now, -1)

    def _start_whole(self, gang: Job, queue: _Queue, now: float) -> bool:
        """Start a gang if all its pods fit at once; whether they did."""
        if sum(self._pools[key].room(queue.shape.requests) for key in queue.pools) < gang.pods:
            return False
        self._start(gang, self._hold_some(queue, gang.pods), queue.shape, now)
        return True

    def _hold_some(self, queue: _Queue, pods: int) -> list[Node]:
        """Take room for up to so many pods; one entry a pod."""
        held: list[Node] = []
        while len(held) < pods and (node := self._best(queue)) is not None:
            self._hold(node, queue.shape)
            held.append(node)
        return held

    # Machines

    def _ask(self, key: str, count: int, now: float) -> list[Node]:
        """Machines are asked for, and paid for from now on."""
        self._targets[key] += count
        self._count(key, count)
        self._out.machines[key].set(now, self._targets[key])
        group = self._fleet.groups[key]
        made = [Node(group, f"{key}-{len(self._out.nodes) + number}", now) for number in range(count)]
        self._out.nodes.extend(made)
        return made

    def _ready(self, batch: _Batch, now: float) -> None:
        for node in batch.nodes:
            self._pools[node.group].add(node)
        claim = batch.claim
        if claim is not None:
            a_node = self._fleet.groups[batch.nodes[0].group].template.allocatable.times(claim.shape.requests)
            for node in batch.nodes:
                pods = min(a_node, claim.gang.pods - len(claim.held))
                self._hold(node, claim.shape, pods)
                claim.held.extend([node] * pods)
            self._start(claim.gang, claim.held, claim.shape, now)
            self._wait(now, -1)
        elif batch.nodes:
            self._coming[batch.nodes[0].group] -= len(batch.nodes) if now > self._out.began else 0
            self._backoff.succeeded(batch.nodes[0].group)
        self._fill(batch.nodes, now)
        self._rest(batch.nodes, now)

    def _rest(self, nodes: Iterable[Node], now: float) -> None:
        """Nodes without pods rest; they are unneeded since the autoscaler's next turn, which sees it."""
        for node in nodes:
            if not node.pods:
                self._resting[node.group][node.name] = node
                self._idle.since[node.name] = self._turn(now)
                self._look_at(now)

    def _count(self, key: str, change: int) -> None:
        """Cores in use, by quota."""
        plan = self._fleet.plans[key]
        for name in self._quotas(key):
            self._used[name] += change * plan.size.vcpus
            self._out.cores[name] = max(self._out.cores.get(name, 0), self._used[name])

    def _quotas(self, key: str) -> tuple[str, ...]:
        """Spot machines count against the quota of spot cores only (azure-docs `spot-vms`, quota)."""
        plan = self._fleet.plans[key]
        return (SPOT,) if plan.spot else (family_key(plan.size.family), REGION)

    def _granted(self, key: str, count: int) -> bool:
        cores = self._fleet.plans[key].size.vcpus * count
        return all(self._used[name] + cores <= self._quota.get(name, inf) for name in self._quotas(key))

    # The autoscaler's turn

    def _tick(self, now: float) -> None:
        grew = self._grow(now)
        if self._fleet.options.scale_down_enabled and not grew:
            self._shrink(now)
        self._plan_next(now)

    def _grow(self, now: float) -> bool:
        """Ask for machines for whoever waits; at most one group grows in a turn."""
        self._backoff.forget_old(now, self._fleet.options)
        heads = [(_order(queue.jobs[0]), queue) for queue in self._queues.values() if queue.jobs]
        oldest = min((job.arrival for job in (*self._gangs, *(queue.jobs[0] for _, queue in heads))), default=inf)
        if oldest == inf:
            return self._grow_to_minimum(now)
        if oldest > now - _NEW:
            self._look_at(now, after=True)
            return False
        first = min((order for order, _ in heads), default=(inf, inf))
        before = [gang for gang in self._gangs if _order(gang) <= first]
        after = [gang for gang in self._gangs if _order(gang) > first]
        grew = (
            any(self._grow_for(gang, now) for gang in before)
            or self._grow_for_singles({queue.shape: len(queue.jobs) for _, queue in heads}, now)
            or any(self._grow_for(gang, now) for gang in after)
        )
        if grew:
            self._look_at(now, after=True)
        return grew or self._grow_to_minimum(now)

    def _grow_for_singles(self, waiting: Mapping[Shape, int], now: float) -> bool:
        """Machines for jobs of one pod that fit neither on what is there nor on what is coming."""
        coming = [
            Room(group.template.allocatable, self._coming[key], group.template.labels, group.template.taints)
            for key, group in self._fleet.groups.items()
            if self._coming[key]
        ]
        left = place_on(coming, waiting)
        if not left:
            return False
        growth = scale_up(self._situation(left, now), list(self._fleet.groups.values()), self._fleet.options).growth
        return growth is not None and self._request(growth, None, now)

    def _grow_for(self, gang: Job, now: float) -> bool:
        """All machines that a gang lacks, or none; what is there already is held for it."""
        queue = self._queue(gang.demand)
        there = sum(self._pools[key].room(queue.shape.requests) for key in queue.pools)
        situation = self._situation({queue.shape: gang.pods - there}, now)
        growth = scale_up(situation, list(self._fleet.groups.values()), self._fleet.options, whole=True).growth
        if growth is None:
            return False
        claim = _Claim(gang, queue.shape, [])
        if not self._request(growth, claim, now):
            return False
        claim.held.extend(self._hold_some(queue, there))
        self._gangs.remove(gang)
        return True

    def _grow_to_minimum(self, now: float) -> bool:
        if not self._fleet.options.enforce_node_group_min_size:
            return False
        lacking = below_minimum(self._fleet.groups.values(), self._situation({}, now))
        for key, size in lacking.items():
            self._request(Growth(self._fleet.groups[key], size - self._targets[key], {}), None, now)
        return bool(lacking)

    def _situation(self, waiting: Mapping[Shape, int], now: float) -> Situation:
        return Situation(waiting, self._targets, now, self._backoff, self._lots, priorities=self._fleet.priorities)

    def _request(self, growth: Growth, claim: _Claim | None, now: float) -> bool:
        """Ask Azure for the machines; where the quota is short it grants none of them."""
        key = growth.group_id
        if not self._granted(key, growth.nodes):
            self._out.refused[key] += 1
            failure = self._backoff.failed(key, now, self._fleet.options, "QuotaExceeded")
            # Another pool may do; and this one again, if anything that is still to happen can make room.
            self._look_at(now, after=True)
            self._retry_at = failure.until
            return False
        nodes = self._ask(key, growth.nodes, now)
        if claim is None:
            self._coming[key] += growth.nodes
        self._pauses.added_at = now
        self._push(now + self._fleet.boot[key], _READY, _Batch(nodes, claim))
        return True

    def _shrink(self, now: float) -> None:
        """Remove machines that have rested for long enough."""
        options = self._fleet.options
        if not self._pauses.over(options, now):
            return
        machines = [machine for key in self._resting for machine in self._due(key, now)]
        if not machines:
            return
        gone = removable(
            machines,
            dict.fromkeys([one.name for one in machines], True),
            self._idle,
            options=options,
            by_group={key: group.options for key, group in self._fleet.groups.items()},
            sizes=self._targets,
            minimums={key: group.min for key, group in self._fleet.groups.items()},
            deleting=0,
            draining=0,
            now=now,
        )
        by_name = {one.name: one.group for one in machines}
        for name in gone.empty:
            self._remove(self._resting[by_name[name]].pop(name), now)
        if gone.empty:
            self._pauses.deleted_at = now

    def _due(self, key: str, now: float) -> Iterator[Machine]:
        """Nodes of a pool that have rested for long enough, as many as may go in a turn."""
        group = self._fleet.groups[key]
        room, due = group.template.allocatable, now - group.options.scale_down_unneeded_time
        # In the order in which they came to rest, so that the first that is not due ends the search.
        due_first = takewhile(lambda name: self._idle.since[name] <= due, self._resting[key])
        most = min(self._targets[key] - group.min, self._fleet.options.max_scale_down_parallelism)
        return (Machine(name, key, room, is_gpu=bool(room.gpus)) for name in islice(due_first, max(most, 0)))

    def _remove(self, node: Node, now: float) -> None:
        del self._idle.since[node.name]
        self._pools[node.group].take_out(node)
        node.gone_at = now + self._fleet.options.node_delete_delay_after_taint
        self._out.ended = max(self._out.ended, node.gone_at)
        self._targets[node.group] -= 1
        self._count(node.group, -1)
        self._out.machines[node.group].set(now, self._targets[node.group])

    def _plan_next(self, now: float) -> None:
        """Look again when the next machine has rested for long enough, or a refused pool may be asked again."""
        can_change = (
            self._arriving
            or self._lasting
            or any(self._targets[key] > group.min for key, group in self._fleet.groups.items())
        )
        if self._retry_at < inf and can_change:
            self._look_at(max(self._retry_at, now), after=True)
            self._retry_at = inf if self._retry_at <= now else self._retry_at
        for key, group in self._fleet.groups.items():
            if self._targets[key] <= group.min or not self._resting[key]:
                continue
            first = next(iter(self._resting[key]))
            due = self._idle.since[first] + group.options.scale_down_unneeded_time
            self._look_at(max(due, now, self._pauses.until(self._fleet.options) - _EPSILON), after=True)
