"""The autoscaler's turns in a simulation: decisions of `capacity.autoscaling`, applied to its machines.

Owns when machines are asked for and when they go.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, takewhile
from math import inf
from typing import Literal

from capacity.autoscaling.backoff import Backoff
from capacity.autoscaling.scale_down import Machine, Pauses, removable
from capacity.autoscaling.scale_up import Growth, Room, Situation, below_minimum, place_on, scale_up
from capacity.autoscaling.scheduling import Shape
from capacity.simulation.agenda import FIRST, Agenda
from capacity.simulation.fleet import Fleet
from capacity.simulation.jobs import Job
from capacity.simulation.machines import Machines
from capacity.simulation.nodes import Node
from capacity.simulation.outcome import Outcome
from capacity.simulation.waiting import LAST, Gangs, Line, Order, Waiting, order

_NEW = 2.0
"""Seconds within which the autoscaler takes all waiting pods for too new to act on (CA `static_autoscaler.go`)."""
_EPSILON = 1e-6


@dataclass(slots=True)
class Claim:
    """A gang whose machines were asked for: what it has of them already, one entry a pod."""

    gang: Job
    shape: Shape
    held: list[Node]


@dataclass(slots=True)
class Batch:
    """Machines of one request, until they are ready."""

    nodes: list[Node]
    claim: Claim | None


class Autoscaler:
    """Looks at who waits and what rests, turn by turn.

    Args:
        fleet: the pools and its own flags.
        machines: what there is.
        waiting: who waits.
        agenda: gets its next turns, and batches of machines when they are ready.
        out: told what was refused.
        seed: of the lots that it draws among equal options.
    """

    def __init__(
        self, fleet: Fleet, machines: Machines, waiting: Waiting, agenda: Agenda, out: Outcome, *, seed: int
    ) -> None:
        self._fleet = fleet
        self._groups = list(fleet.groups.values())
        self._machines = machines
        self._waiting = waiting
        self._agenda = agenda
        self._out = out
        self._lots = random.Random(seed)
        self._backoff = Backoff()
        self._pauses = Pauses()
        self._retry_at = inf

    def turn(self, now: float, *, arriving: bool) -> None:
        """One turn; `arriving`: more jobs are to come."""
        grew = self._grow(now)
        if self._fleet.options.scale_down_enabled and not grew:
            self._shrink(now)
        self._plan_next(now, arriving=arriving)

    def came(self, batch: Batch) -> None:
        """Machines that no gang had claimed are ready: nothing is held against their pool."""
        key = batch.nodes[0].group
        self._machines.coming[key] -= len(batch.nodes)
        self._backoff.succeeded(key)

    def _grow(self, now: float) -> bool:
        """Ask for machines for whoever waits; at most one group grows in a turn."""
        self._backoff.forget_old(now, self._fleet.options)
        queues = self._waiting.queues()
        gangs = (kind.jobs[0][1] for kind in self._waiting.gangs())
        oldest = min((job.arrival for job in (*gangs, *(queue.jobs[0] for queue in queues))), default=inf)
        if oldest == inf:
            return self._grow_to_minimum(now)
        if oldest > now - _NEW:
            self._agenda.look_at(now, after=True)
            return False
        first = min((order(queue.jobs[0]) for queue in queues), default=LAST)
        line = Line(self._waiting.gangs())
        grew = (
            self._grow_for_gangs(line, first, now)
            or self._grow_for_singles({queue.shape: len(queue.jobs) for queue in queues}, now)
            or self._grow_for_gangs(line, LAST, now)
        )
        if grew:
            self._agenda.look_at(now, after=True)
        return grew or self._grow_to_minimum(now)

    def _grow_for_singles(self, waiting: Mapping[Shape, int], now: float) -> bool:
        """Machines for jobs of one pod that fit neither on what is there nor on what is coming."""
        coming = [
            Room(group.template.allocatable, self._machines.coming[key], group.template.labels, group.template.taints)
            for key, group in self._fleet.groups.items()
            if self._machines.coming[key]
        ]
        left = place_on(coming, waiting)
        if not left:
            return False
        growth = scale_up(self._situation(left, now), self._groups, self._fleet.options).growth
        return growth is not None and self._request(growth, None, now)

    def _grow_for_gangs(self, line: Line, last: Order, now: float) -> bool:
        """Machines for the first gang that can have them, of those that stand no later than `last`."""
        while (found := line.pop(last)) is not None:
            kind, place = found
            came = self._grow_for(kind, place, now)
            if came == "granted":
                return True
            if came == "refused":
                # Another pool may do for the next one of this kind: this one is left alone now.
                line.call(kind, place + 1)
        return False

    def _grow_for(self, kind: Gangs, place: int, now: float) -> Literal["granted", "refused", "impossible"]:
        """All machines that a gang lacks, or none; what is there already is held for it."""
        there = self._machines.room(kind.queue)
        situation = self._situation({kind.queue.shape: kind.pods - there}, now)
        growth = scale_up(situation, self._groups, self._fleet.options, whole=True).growth
        if growth is None:
            return "impossible"
        claim = Claim(kind.jobs[place][1], kind.queue.shape, [])
        if not self._request(growth, claim, now):
            return "refused"
        claim.held.extend(self._machines.hold_some(kind.queue, there))
        self._waiting.take_gang(kind, place)
        if not kind.queue.gangs:
            self._machines.unwatch(kind.queue)
        return "granted"

    def _grow_to_minimum(self, now: float) -> bool:
        if not self._fleet.options.enforce_node_group_min_size:
            return False
        lacking = below_minimum(self._groups, self._situation({}, now))
        for key, size in lacking.items():
            self._request(Growth(self._fleet.groups[key], size - self._machines.targets[key], {}), None, now)
        return bool(lacking)

    def _situation(self, waiting: Mapping[Shape, int], now: float) -> Situation:
        targets = self._machines.targets
        return Situation(waiting, targets, now, self._backoff, self._lots, priorities=self._fleet.priorities)

    def _request(self, growth: Growth, claim: Claim | None, now: float) -> bool:
        """Ask Azure for the machines; where the quota is short it grants none of them."""
        key = growth.group_id
        if not self._machines.granted(key, growth.nodes):
            self._out.refused[key] += 1
            failure = self._backoff.failed(key, now, self._fleet.options, "QuotaExceeded")
            # Another pool may do; and this one again, if anything that is still to happen can make room.
            self._agenda.look_at(now, after=True)
            self._retry_at = failure.until
            return False
        nodes = self._machines.ask(key, growth.nodes, now)
        if claim is None:
            self._machines.coming[key] += growth.nodes
        self._pauses.added_at = now
        self._agenda.push(now + self._fleet.boot[key], FIRST, Batch(nodes, claim))
        return True

    def _shrink(self, now: float) -> None:
        """Remove machines that have rested for long enough."""
        options = self._fleet.options
        if not self._pauses.over(options, now):
            return
        resting = self._machines.resting
        machines = [machine for key in resting for machine in self._due(key, now)]
        if not machines:
            return
        gone = removable(
            machines,
            dict.fromkeys([one.name for one in machines], True),
            self._machines.idle,
            options=options,
            by_group={key: group.options for key, group in self._fleet.groups.items()},
            sizes=self._machines.targets,
            minimums={key: group.min for key, group in self._fleet.groups.items()},
            deleting=0,
            draining=0,
            now=now,
        )
        by_name = {one.name: one.group for one in machines}
        for name in gone.empty:
            self._machines.remove(resting[by_name[name]][name], now)
        if gone.empty:
            self._pauses.deleted_at = now

    def _due(self, key: str, now: float) -> Iterator[Machine]:
        """Nodes of a pool that have rested for long enough, as many as may go in a turn."""
        group, since = self._fleet.groups[key], self._machines.idle.since
        room, due = group.template.allocatable, now - group.options.scale_down_unneeded_time
        # In the order in which they came to rest, so that the first that is not due ends the search.
        due_first = takewhile(lambda name: since[name] <= due, self._machines.resting[key])
        most = min(self._machines.targets[key] - group.min, self._fleet.options.max_scale_down_parallelism)
        return (Machine(name, key, room, is_gpu=bool(room.gpus)) for name in islice(due_first, max(most, 0)))

    def _plan_next(self, now: float, *, arriving: bool) -> None:
        """Look again when the next machine has rested for long enough, or a refused pool may be asked again."""
        targets, resting = self._machines.targets, self._machines.resting
        can_change = (
            arriving
            or self._agenda.lasting
            or any(targets[key] > group.min for key, group in self._fleet.groups.items())
        )
        if self._retry_at < inf and can_change:
            self._agenda.look_at(max(self._retry_at, now), after=True)
            self._retry_at = inf if self._retry_at <= now else self._retry_at
        for key, group in self._fleet.groups.items():
            if targets[key] <= group.min or not resting[key]:
                continue
            first = next(iter(resting[key]))
            due = self._machines.idle.since[first] + group.options.scale_down_unneeded_time
            self._agenda.look_at(max(due, now, self._pauses.until(self._fleet.options) - _EPSILON), after=True)
