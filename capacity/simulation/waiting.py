"""Who waits: jobs of one pod by shape, gangs by shape and size.

Jobs that are alike are interchangeable but for their arrival, so only the first of each kind is ever looked at: what
it cannot have, those behind it cannot have either.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf

from capacity.autoscaling.scheduling import Shape, admits
from capacity.simulation.fleet import Fleet
from capacity.simulation.jobs import Demand, Job
from capacity.simulation.nodes import Node

Order = tuple[float, float]
"""Higher priority first, then first come first."""
LAST: Order = (inf, inf)


def order(job: Job) -> Order:
    """A job's place in the line."""
    return (-job.demand.priority, job.arrival)


@dataclass(slots=True, eq=False)
class Queue:
    """Jobs of one shape.

    Attributes:
        number: in the order in which shapes came first.
        pools: keys of the pools that admit them.
        jobs: those of one pod that wait, first come first.
        gangs: how many gangs wait.
    """

    number: int
    shape: Shape
    pools: tuple[str, ...]
    jobs: deque[Job] = field(default_factory=deque[Job])
    gangs: int = 0


@dataclass(slots=True, eq=False)
class Gangs:
    """Gangs of one shape and size that wait, each with its number in the order of arrival."""

    queue: Queue
    pods: int
    jobs: deque[tuple[int, Job]] = field(default_factory=deque[tuple[int, Job]])


class Line:
    """The first gangs of some kinds, in order; one that stood behind another of its kind comes when it is called."""

    def __init__(self, kinds: Iterator[Gangs]) -> None:
        self._heap: list[tuple[Order, int, int, Gangs]] = [
            (order(kind.jobs[0][1]), kind.jobs[0][0], 0, kind) for kind in kinds
        ]
        heapq.heapify(self._heap)

    def pop(self, last: Order = LAST) -> tuple[Gangs, int] | None:
        """The next gang that stands no later than `last`: its kind, and its place among them; None: there is none."""
        if not self._heap or self._heap[0][0] > last:
            return None
        _, _, place, kind = heapq.heappop(self._heap)
        return kind, place

    def call(self, kind: Gangs, place: int) -> None:
        """Let the gang at a place of its kind come, if there is one."""
        if place < len(kind.jobs):
            number, job = kind.jobs[place]
            heapq.heappush(self._heap, (order(job), number, place, kind))


class Waiting:
    """Everybody who waits.

    Args:
        fleet: says which pools admit whom.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._by_demand: dict[Demand, Queue] = {}
        self._by_shape: dict[Shape, Queue] = {}
        self._in_pool: dict[str, dict[int, Queue]] = {key: {} for key in fleet.groups}
        self._with_jobs: dict[int, Queue] = {}
        self._gangs: dict[tuple[int, int], Gangs] = {}
        self._came = 0

    def __len__(self) -> int:
        singles = sum(len(queue.jobs) for queue in self._with_jobs.values())
        return singles + sum(len(kind.jobs) for kind in self._gangs.values())

    def queue(self, demand: Demand) -> Queue:
        """Where jobs with such a demand wait."""
        queue = self._by_demand.get(demand)
        if queue is None:
            shape = self._fleet.shape(demand)
            queue = self._by_shape.get(shape)
            if queue is None:
                templates = {key: group.template for key, group in self._fleet.groups.items()}
                pools = tuple(key for key, one in templates.items() if admits(one.labels, one.taints, shape))
                queue = self._by_shape[shape] = Queue(len(self._by_shape), shape, pools)
            self._by_demand[demand] = queue
        return queue

    def add(self, queue: Queue, job: Job) -> None:
        """A job of one pod waits."""
        if not queue.jobs:
            self._with_jobs[queue.number] = queue
            for key in queue.pools:
                self._in_pool[key][queue.number] = queue
        queue.jobs.append(job)

    def take(self, queue: Queue) -> Job:
        """The first job of a queue waits no longer."""
        job = queue.jobs.popleft()
        if not queue.jobs:
            del self._with_jobs[queue.number]
            for key in queue.pools:
                del self._in_pool[key][queue.number]
        return job

    def for_node(self, node: Node) -> list[Queue]:
        """Queues whose first job fits on a node, in the order in which they come."""
        free = node.free
        found = [queue for queue in self._in_pool[node.group].values() if free.holds(queue.shape.requests)]
        if len(found) > 1:
            found.sort(key=lambda queue: (order(queue.jobs[0]), queue.number))
        return found

    def queues(self) -> list[Queue]:
        """Queues in which jobs wait, in the order in which their shapes came first."""
        return [self._with_jobs[number] for number in sorted(self._with_jobs)]

    def add_gang(self, queue: Queue, gang: Job) -> None:
        """A gang waits."""
        self._came += 1
        key = (queue.number, gang.pods)
        if key not in self._gangs:
            self._gangs[key] = Gangs(queue, gang.pods)
        self._gangs[key].jobs.append((self._came, gang))
        queue.gangs += 1

    def take_gang(self, kind: Gangs, place: int = 0) -> Job:
        """A gang waits no longer."""
        _, gang = kind.jobs[place]
        del kind.jobs[place]
        kind.queue.gangs -= 1
        if not kind.jobs:
            del self._gangs[kind.queue.number, kind.pods]
        return gang

    def gangs(self) -> Iterator[Gangs]:
        """Every kind of gang that waits."""
        yield from self._gangs.values()
