"""Nodes and what is free on them: where the next pod goes.

A model of kube-scheduler's default scoring: of the nodes that a pod fits on, the least allocated one takes it. Nodes
with the same room are kept together, and those with most room are looked at first, so that a thousand nodes alike cost
as much as one.
"""

from __future__ import annotations

from collections import Counter
from math import inf

from capacity.autoscaling.amounts import Amounts
from capacity.autoscaling.scale_up import Group

_LEVELS = 32
"""Steps by which free CPU is told apart, where GPUs do not do it."""


class Node:
    """One machine.

    Args:
        group: its pool.
        name: unique in a simulation.
        requested_at: when it was asked for: it is paid for from then on.

    Attributes:
        group: its pool's key.
        free: what is left on it.
        pods: on it, or to come.
        busy: when jobs ran on it: beginning and end.
        busy_since: since when one does; None: none does.
        gone_at: when it went; None: it is there.
    """

    __slots__ = ("busy", "busy_since", "free", "gone_at", "group", "name", "pods", "requested_at")

    def __init__(self, group: Group, name: str, requested_at: float) -> None:
        self.group = group.id
        self.name = name
        self.requested_at = requested_at
        self.free = group.template.allocatable
        self.pods = 0
        self.busy: list[tuple[float, float]] = []
        self.busy_since: float | None = None
        self.gone_at: float | None = None


class Pool:
    """The ready nodes of one group, by what is free on them."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self._whole = group.template.allocatable
        levels = self._whole.gpus if self._whole.gpus else _LEVELS
        self._levels: list[dict[Amounts, dict[str, Node]]] = [{} for _ in range(levels + 1)]
        self._rooms: dict[Amounts, int] = {}
        self._watchers: Counter[Amounts] = Counter()
        self._full: set[Amounts] = set()

    def add(self, node: Node) -> None:
        """A node is ready."""
        self._full.clear()
        self._put(node)
        for asked in self._rooms:
            self._rooms[asked] += node.free.times(asked)

    def take_out(self, node: Node) -> None:
        """A node goes."""
        self._lift(node)
        for asked in self._rooms:
            self._rooms[asked] -= node.free.times(asked)

    def change(self, node: Node, free: Amounts) -> None:
        """A node has other room than before."""
        before = node.free
        self._lift(node)
        node.free = free
        self._put(node)
        if self._full and free.pods > before.pods:
            self._full.clear()
        for asked in self._rooms:
            self._rooms[asked] += free.times(asked) - before.times(asked)

    def best(self, asked: Amounts) -> Node | None:
        """The node with most room that takes a pod; None: none does."""
        if asked in self._full:
            return None
        for level in range(len(self._levels) - 1, self._level(asked) - 1, -1):
            for free, alike in self._levels[level].items():
                if free.holds(asked):
                    return next(iter(alike.values()))
        self._full.add(asked)
        return None

    def room(self, asked: Amounts, enough: float) -> int:
        """How many such pods fit in all; counting may end at `enough`."""
        if asked in self._rooms:
            return self._rooms[asked]
        total = 0
        for level in self._levels[self._level(asked) :]:
            for free, alike in level.items():
                total += free.times(asked) * len(alike)
                if total >= enough:
                    return total
        return total

    def watch(self, asked: Amounts) -> None:
        """`room` will be asked often: keep it counted from now on."""
        self._watchers[asked] += 1
        if asked not in self._rooms:
            self._rooms[asked] = self.room(asked, inf)

    def unwatch(self, asked: Amounts) -> None:
        """As often as watched, so often given up: then it is no longer counted."""
        self._watchers[asked] -= 1
        if not self._watchers[asked]:
            del self._watchers[asked], self._rooms[asked]

    def spread(self, free: Amounts) -> float:
        """How much of a node would be free, by kube-scheduler's LeastAllocated: the mean of CPU and memory."""
        return (free.cpu_milli / self._whole.cpu_milli + free.memory_kib / self._whole.memory_kib) / 2

    def _put(self, node: Node) -> None:
        level = self._levels[self._level(node.free)]
        alike = level.get(node.free)
        if alike is None:
            alike = level[node.free] = {}
        alike[node.name] = node

    def _lift(self, node: Node) -> None:
        level = self._levels[self._level(node.free)]
        alike = level[node.free]
        del alike[node.name]
        if not alike:
            del level[node.free]

    def _level(self, free: Amounts) -> int:
        """The level of nodes with so much room; pods that ask for as much find it there or above."""
        if self._whole.gpus:
            return min(free.nvidia + free.amd, self._whole.gpus)
        return max(0, min(_LEVELS, free.cpu_milli * _LEVELS // max(self._whole.cpu_milli, 1)))
