"""The simulation itself: one event after the other.

Owns what happens to jobs, and the order of events. Where a pod goes is `machines`, what grows and goes `autoscaler`.
The autoscaler looks every scan interval; turns in which nothing can have changed are left out, as they would decide
nothing.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from capacity.autoscaling.scheduling import Shape
from capacity.simulation.agenda import LATER, Agenda
from capacity.simulation.autoscaler import Autoscaler, Batch
from capacity.simulation.fleet import Fleet
from capacity.simulation.jobs import Demand, Job
from capacity.simulation.machines import Machines
from capacity.simulation.nodes import Node
from capacity.simulation.outcome import Outcome, Series
from capacity.simulation.waiting import Line, Queue, Waiting

_POINTS = 4000
"""Steps that a series over time is thinned to."""
_TELL_EVERY = 4096
"""Jobs between two tellings of progress."""


@dataclass(slots=True)
class _Run:
    """A job that runs.

    Attributes:
        nodes: one entry a pod.
    """

    nodes: list[Node]
    shape: Shape


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
        self._seed = seed

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
        out = Outcome(
            began, began, began, machines={key: Series(step) for key in self._fleet.groups}, waiting=Series(step)
        )
        run = _Course(self._fleet, self._quota, self._seed, out)
        for number, job in enumerate(jobs):
            if job.arrival < last:
                raise ValueError(
                    f"job {job.name} arrives at {job.arrival:g} s, before the one above it: sort the trace"
                )
            last = job.arrival
            run.until(job.arrival, arriving=True)
            run.arrive(job)
            if progress is not None and number % _TELL_EVERY == 0:
                progress(number, len(jobs))
        run.until(inf, arriving=False)
        if progress is not None:
            progress(len(jobs), len(jobs))
        out.unfinished = len(run.waiting)
        return out


class _Course:
    """What happens in one run."""

    def __init__(self, fleet: Fleet, quota: Mapping[str, int], seed: int, out: Outcome) -> None:
        self._fleet = fleet
        self._out = out
        self._verdicts: dict[tuple[Demand, int], str] = {}
        self.waiting = Waiting(fleet)
        self._agenda = Agenda(out.began, fleet.options.scan_interval)
        self._machines = Machines(fleet, quota, self._agenda, out)
        self._autoscaler = Autoscaler(fleet, self._machines, self.waiting, self._agenda, out, seed=seed)
        # The pools' minimums are there from the start, as after `pulumi up`.
        for key, group in fleet.groups.items():
            self._join(self._machines.ask(key, group.min, out.began), out.began)

    def until(self, time: float, *, arriving: bool) -> None:
        """Everything that happens before a time; at infinity, until nothing more does."""
        while (event := self._agenda.pop_before(time)) is not None:
            at, what = event
            if isinstance(what, _Run):
                self._finish(what, at)
            elif isinstance(what, Batch):
                self._ready(what, at)
            else:
                self._autoscaler.turn(at, arriving=arriving)

    def arrive(self, job: Job) -> None:
        """A job comes: it starts, waits, or can never run."""
        now = job.arrival
        asked = (job.demand, job.pods)
        never = self._verdicts.get(asked)
        if never is None:
            never = self._verdicts[asked] = self._fleet.why_never(*asked)
        if never:
            self._out.never[never] += 1
            return
        queue = self.waiting.queue(job.demand)
        if job.pods > 1:
            if not self._start_whole(job, queue, now):
                if not queue.gangs:
                    self._machines.watch(queue)
                self.waiting.add_gang(queue, job)
                self._wait(now, 1)
            return
        # Where others of its kind wait already, there is no room for it either.
        node = None if queue.jobs else self._machines.best(queue)
        if node is None:
            self.waiting.add(queue, job)
            self._wait(now, 1)
        else:
            self._machines.hold(node, queue.shape)
            self._start(job, [node], queue.shape, now)

    def _wait(self, now: float, change: int) -> None:
        self._out.waiting.add(now, change)
        if change > 0:
            self._agenda.look_at(now)

    def _start(self, job: Job, nodes: list[Node], shape: Shape, now: float) -> None:
        """A job starts on nodes whose room it holds."""
        for node in nodes:
            if node.busy_since is None:
                node.busy_since = now
        pool_class = self._fleet.plans[nodes[0].group].settings.pool_class
        waits = self._out.waits.get(pool_class)
        if waits is None:
            waits = self._out.waits[pool_class] = array("d")
        waits.append(now - job.arrival)
        self._agenda.push(now + job.duration, LATER, _Run(nodes, shape))

    def _finish(self, run: _Run, now: float) -> None:
        self._out.finished += 1
        self._out.last_finish = max(self._out.last_finish, now)
        for node in run.nodes:
            self._machines.hold(node, run.shape, -1)
            if not node.pods and node.busy_since is not None:
                node.busy.append((node.busy_since, now))
                node.busy_since = None
        distinct = run.nodes if len(run.nodes) == 1 else list(dict.fromkeys(run.nodes))
        self._fill(distinct, now)
        self._machines.rest(distinct, now)

    def _ready(self, batch: Batch, now: float) -> None:
        claim = batch.claim
        if claim is None:
            self._autoscaler.came(batch)
            self._join(batch.nodes, now)
            return
        self._machines.join(batch.nodes)
        a_node = self._fleet.groups[batch.nodes[0].group].template.allocatable.times(claim.shape.requests)
        for node in batch.nodes:
            pods = min(a_node, claim.gang.pods - len(claim.held))
            self._machines.hold(node, claim.shape, pods)
            claim.held.extend([node] * pods)
        self._start(claim.gang, claim.held, claim.shape, now)
        self._wait(now, -1)
        self._fill(batch.nodes, now)
        self._machines.rest(batch.nodes, now)

    def _join(self, nodes: list[Node], now: float) -> None:
        self._machines.join(nodes)
        self._fill(nodes, now)
        self._machines.rest(nodes, now)

    def _fill(self, nodes: Iterable[Node], now: float) -> None:
        """Let those who wait onto nodes with new room, gangs that now fit whole first."""
        if not self._out.waiting.now:
            return
        line = Line(kind for kind in self.waiting.gangs() if self._machines.room(kind.queue, kind.pods) >= kind.pods)
        while (found := line.pop()) is not None:
            kind, _ = found
            if self._start_whole(kind.jobs[0][1], kind.queue, now):
                self.waiting.take_gang(kind)
                if not kind.queue.gangs:
                    self._machines.unwatch(kind.queue)
                self._wait(now, -1)
                line.call(kind, 0)
        for node in nodes:
            for queue in self.waiting.for_node(node):
                while queue.jobs and node.free.holds(queue.shape.requests):
                    self._machines.hold(node, queue.shape)
                    self._start(self.waiting.take(queue), [node], queue.shape, now)
                    self._wait(now, -1)

    def _start_whole(self, gang: Job, queue: Queue, now: float) -> bool:
        """Start a gang if all its pods fit at once; whether they did."""
        if self._machines.room(queue, gang.pods) < gang.pods:
            return False
        self._start(gang, self._machines.hold_some(queue, gang.pods), queue.shape, now)
        return True
