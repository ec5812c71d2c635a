"""Shrinking: which nodes are not needed, and the beginning of their removal.

Source: CA `core/scaledown`.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict

from capacity.autoscaling.scale_down import Fits, Machine, removable, unneeded
from capacity.autoscaling.scale_up import place_on
from capacity.autoscaling.scheduling import Shape
from sandbox.autoscaler.api_writes import Writes
from sandbox.autoscaler.cluster import Cluster, Memory
from sandbox.autoscaler.declared import Declared
from sandbox.autoscaler.fleet import Fleet
from sandbox.autoscaler.pods import finished
from sandbox.autoscaler.removals import Leaving, Removals
from sandbox.autoscaler.view import View
from sandbox.nodes.objects import Json, owner_kind

log = logging.getLogger(__name__)


class Shrinking:
    """What makes pools shrink.

    Args:
        cluster: what is watched of the API server.
        fleet: the scale sets.
        writes: to the API server.
        memory: what is remembered.
    """

    def __init__(self, *, cluster: Cluster, fleet: Fleet, writes: Writes, memory: Memory) -> None:
        self._cluster = cluster
        self._fleet = fleet
        self._writes = writes
        self._memory = memory
        self._removals = Removals(writes, cluster.pods_of, fleet.delete, self._removal_failed)

    @property
    def leaving(self) -> set[str]:
        """Nodes that are being removed."""
        return self._removals.names

    async def stop(self) -> None:
        """Give up the removals under way."""
        await self._removals.stop()

    def shrink(self, told: Declared, seen: View) -> None:
        """Find what is not needed, and begin to remove what has not been for long enough."""
        now = seen.now
        if not told.options.scale_down_enabled:
            return
        budgets: dict[str, list[Json]] = defaultdict(list)
        for (namespace, _), budget in self._cluster.budgets.objects.items():
            budgets[namespace].append(budget)
        pools = self._fleet.pools
        machines = [one for one in seen.machines(pools, budgets) if one.name not in self._removals.names]
        by_group = {name: pool.options for name, pool in pools.items()}
        found = unneeded(machines, by_group, self._moves(seen))
        self._memory.idle.update(found, now)
        if not self._memory.pauses.over(told.options, now):
            return
        sizes = {name: known.target - self._removals.of_pool(name) for name, known in self._fleet.known.items()}
        going = removable(
            machines,
            found,
            self._memory.idle,
            options=told.options,
            by_group=by_group,
            sizes=sizes,
            minimums={name: pool.min for name, pool in pools.items()},
            deleting=len(self._removals.names),
            draining=self._removals.draining,
            now=now,
        )
        names = [*((one, False) for one in going.empty), *((one, True) for one in going.drain)]
        if not names:
            return
        log.info("%d empty nodes go, %d are drained", len(going.empty), len(going.drain))
        self._memory.pauses.deleted_at = now
        leaving = [Leaving(name, seen.nodes[name].pool, seen.nodes[name].provider_id, drain) for name, drain in names]
        for name, _ in names:
            self._writes.say(seen.nodes[name].node, "Node", "ScaleDown", "node removed by cluster autoscaler", now)
        self._removals.begin(leaving, told.options)

    def _moves(self, seen: View) -> Fits:
        """Whether a machine's pods fit on the other nodes; room given to one is taken for the next."""
        moved: dict[str, Counter[Shape]] = {}

        def fits(machine: Machine) -> bool:
            gone = {machine.name, *moved, *self._removals.names}
            wanted = Counter(
                self._memory.shapes.of(pod)
                for pod in seen.nodes[machine.name].pods
                if not finished(pod) and owner_kind(pod) != "DaemonSet"
            )
            before = sum(moved.values(), Counter[Shape]())
            if place_on(seen.rooms(gone), before + wanted):
                return False
            moved[machine.name] = wanted
            return True

        return fits

    def _removal_failed(self, reason: str) -> None:
        log.warning("%s", reason)
        self._memory.pauses.failed_at = time.time()
