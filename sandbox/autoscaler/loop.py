"""One turn after the other: look, clear up, grow, shrink.

Source: CA `core/static_autoscaler.go`. The order is the program's; a turn in which a pool grew, or
pods are still too new to grow for, removes nothing.
"""

from __future__ import annotations

import logging
import time

from sandbox.autoscaler.api_writes import Writes
from sandbox.autoscaler.cluster import Cluster, Memory
from sandbox.autoscaler.declared import Declared
from sandbox.autoscaler.fleet import Fleet
from sandbox.autoscaler.growing import Growing, Outcome
from sandbox.autoscaler.shrinking import Shrinking
from sandbox.autoscaler.view import is_marked, view
from sandbox.kubernetes_client import ApiError, KubernetesClient
from sandbox.nodes.objects import text

log = logging.getLogger(__name__)


class Autoscaler:
    """One run of the autoscaler, from the pod's start to its end.

    Args:
        client: the API server.
        cluster: what is watched of it.
        fleet: the scale sets.
        writes: to the API server.
        memory: what is remembered, shared with the fleet.
    """

    def __init__(
        self, client: KubernetesClient, *, cluster: Cluster, fleet: Fleet, writes: Writes, memory: Memory
    ) -> None:
        self._cluster = cluster
        self._fleet = fleet
        self._writes = writes
        self._memory = memory
        self._growing = Growing(client, cluster=cluster, fleet=fleet, writes=writes, memory=memory)
        self._shrinking = Shrinking(cluster=cluster, fleet=fleet, writes=writes, memory=memory)
        self._is_new = True

    async def stop(self) -> None:
        """End as a process that is killed: nothing is finished, nothing is taken back."""
        await self._shrinking.stop()
        await self._fleet.stop()

    async def turn(self, told: Declared) -> None:
        """One turn.

        Raises:
            ApiError, ArmFailedError: the API server or Azure cannot be asked; the next turn tries again.
            DeclarationError, DiscoveryError: what is declared cannot be followed.
        """
        now = time.time()
        if self._is_new:
            await self._take_off_old_marks()
            self._is_new = False
        self._memory.backoff.forget_old(now, told.options)
        await self._fleet.look(told)
        seen = view(self._cluster.nodes.objects.values(), self._cluster.pods_of, self._memory.shapes, now)
        await self._fleet.clear(told, seen)
        outcome = await self._growing.grow(told, seen, self._shrinking.leaving)
        if outcome is Outcome.GREW:
            self._memory.pauses.added_at = now
        elif outcome is Outcome.NOTHING:
            self._shrinking.shrink(told, seen)
        self._forget()

    async def _take_off_old_marks(self) -> None:
        """Marks of an autoscaler that was killed: its nodes are looked at afresh (CA `cleanUpIfRequired`)."""
        for key, node in list(self._cluster.nodes.objects.items()):
            if is_marked(node):
                try:
                    await self._writes.unmark(key[1])
                except ApiError as error:
                    log.warning("the mark of %s cannot be taken off: %s", key[1], error)

    def _forget(self) -> None:
        uids = {text(one, "metadata", "uid") for one in self._cluster.pods.objects.values()}
        self._memory.shapes.keep(uids)
        self._writes.forget(uids | {text(one, "metadata", "uid") for one in self._cluster.nodes.objects.values()})
