"""The machines of a simulation: what is asked for, what is there, what rests.

Owns where a pod goes, as kube-scheduler would have it, and the cores that count against quota. Does not own when
machines are asked for or go: that is `autoscaler`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import inf

from capacity.autoscaling.scale_down import Idle
from capacity.autoscaling.scheduling import Shape
from capacity.catalogue import family_key
from capacity.simulation.agenda import Agenda
from capacity.simulation.fleet import Fleet
from capacity.simulation.nodes import Node, Pool
from capacity.simulation.outcome import Outcome
from capacity.simulation.waiting import Queue

SPOT, REGION = "spot", "cores"
"""Names of the two quotas that are not a family's: all spot cores, and the region's total."""


class Machines:
    """All machines.

    Args:
        fleet: the pools.
        quota: cores by family key, `spot` and `cores`; what is not named has no end.
        agenda: told when a machine that rests is to be looked at.
        out: told what there is.

    Attributes:
        targets: pool to the size that was last asked for.
        coming: pool to machines that are asked for and not ready, those of gangs aside.
        resting: pool to its nodes without pods, in the order in which they came to rest.
        idle: since when they rest.
    """

    def __init__(self, fleet: Fleet, quota: Mapping[str, int], agenda: Agenda, out: Outcome) -> None:
        self._fleet = fleet
        self._quota = quota
        self._agenda = agenda
        self._out = out
        self._pools = {key: Pool(group) for key, group in fleet.groups.items()}
        self._used: Counter[str] = Counter()
        self.targets = dict.fromkeys(fleet.groups, 0)
        self.coming = dict.fromkeys(fleet.groups, 0)
        self.resting: dict[str, dict[str, Node]] = {key: {} for key in fleet.groups}
        self.idle = Idle()

    def granted(self, key: str, count: int) -> bool:
        """Whether the quota has room for more machines of a pool."""
        cores = self._fleet.plans[key].size.vcpus * count
        return all(self._used[name] + cores <= self._quota.get(name, inf) for name in self.quotas(key))

    def quotas(self, key: str) -> tuple[str, ...]:
        """The quotas of a pool; spot machines count against that of spot cores only (azure-docs `spot-vms`, quota)."""
        plan = self._fleet.plans[key]
        return (SPOT,) if plan.spot else (family_key(plan.size.family), REGION)

    def ask(self, key: str, count: int, now: float) -> list[Node]:
        """Machines are asked for, and paid for from now on."""
        self.targets[key] += count
        self._count(key, count)
        self._out.machines[key].set(now, self.targets[key])
        group = self._fleet.groups[key]
        made = [Node(group, f"{key}-{len(self._out.nodes) + number}", now) for number in range(count)]
        self._out.nodes.extend(made)
        return made

    def join(self, nodes: Iterable[Node]) -> None:
        """Machines are ready."""
        for node in nodes:
            self._pools[node.group].add(node)

    def remove(self, node: Node, now: float) -> None:
        """A machine that rests goes."""
        del self.resting[node.group][node.name], self.idle.since[node.name]
        self._pools[node.group].take_out(node)
        node.gone_at = now + self._fleet.options.node_delete_delay_after_taint
        self._out.ended = max(self._out.ended, node.gone_at)
        self.targets[node.group] -= 1
        self._count(node.group, -1)
        self._out.machines[node.group].set(now, self.targets[node.group])

    def rest(self, nodes: Iterable[Node], now: float) -> None:
        """Nodes without pods rest; they are unneeded since the autoscaler's next turn, which sees it."""
        for node in nodes:
            if not node.pods:
                self.resting[node.group][node.name] = node
                self.idle.since[node.name] = self._agenda.turn(now)
                self._agenda.look_at(now)

    def best(self, queue: Queue) -> Node | None:
        """The node that kube-scheduler would take for a pod."""
        asked = queue.shape.requests
        found = [node for key in queue.pools if (node := self._pools[key].best(asked)) is not None]
        if len(found) < 2:
            return found[0] if found else None
        return max(found, key=lambda node: self._pools[node.group].spread(node.free.minus(asked)))

    def hold(self, node: Node, shape: Shape, pods: int = 1) -> None:
        """Take room on a node; a negative number gives it back."""
        self._pools[node.group].change(node, node.free.minus(shape.requests, pods))
        node.pods += pods
        if pods > 0 and self.resting[node.group].pop(node.name, None) is not None:
            del self.idle.since[node.name]

    def hold_some(self, queue: Queue, pods: int) -> list[Node]:
        """Take room for up to so many pods; one entry a pod."""
        held: list[Node] = []
        while len(held) < pods and (node := self.best(queue)) is not None:
            self.hold(node, queue.shape)
            held.append(node)
        return held

    def room(self, queue: Queue, enough: float = inf) -> int:
        """How many pods of a shape fit on what is there; counting may end at `enough`."""
        total = 0
        for key in queue.pools:
            total += self._pools[key].room(queue.shape.requests, enough - total)
            if total >= enough:
                break
        return total

    def watch(self, queue: Queue) -> None:
        """`room` will be asked often for a shape: keep it counted."""
        for key in queue.pools:
            self._pools[key].watch(queue.shape.requests)

    def unwatch(self, queue: Queue) -> None:
        """`room` will no longer be asked often."""
        for key in queue.pools:
            self._pools[key].unwatch(queue.shape.requests)

    def _count(self, key: str, change: int) -> None:
        """Cores in use, by quota."""
        cores = change * self._fleet.plans[key].size.vcpus
        for name in self.quotas(key):
            self._used[name] += cores
            self._out.cores[name] = max(self._out.cores.get(name, 0), self._used[name])
