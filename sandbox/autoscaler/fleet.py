"""The scale sets under the autoscaler's hand: what is known of them, and the changes under way.

Owns reading Azure no more often than the autoscaler does, failed and unregistered machines, and following changes to
their end. Everything it knows comes from Azure, so that a process that was killed goes on from there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from capacity.autoscaling.backoff import Backoff
from sandbox.autoscaler.declared import Declared
from sandbox.autoscaler.groups import Pool, discovered
from sandbox.autoscaler.machines import Known
from sandbox.autoscaler.resource_manager import ArmFailedError, ResourceManager
from sandbox.autoscaler.view import View

log = logging.getLogger(__name__)


class Fleet:
    """All pools of one autoscaler.

    Args:
        azure: Resource Manager.
        backoff: told of failures.
        clock: gives seconds, as the turns count them.

    Attributes:
        pools: by name.
        known: by the pool's name.
    """

    def __init__(self, azure: ResourceManager, backoff: Backoff, clock: Callable[[], float]) -> None:
        self._azure = azure
        self._backoff = backoff
        self._clock = clock
        self._read_at = float("-inf")
        self._growing_since: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.pools: dict[str, Pool] = {}
        self.known: dict[str, Known] = {}

    async def stop(self) -> None:
        """Give up following: as when the program is killed."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def look(self, told: Declared) -> None:
        """Read what is too old to be believed.

        Raises:
            ArmFailedError: Azure cannot be asked.
            DiscoveryError: a scale set's tags cannot be used.
        """
        now, caching = self._clock(), told.caching
        spot_due = any(
            pool.spot and now - self.known[name].sized_at >= min(30.0, caching.sets)
            for name, pool in self.pools.items()
        )
        if now - self._read_at >= caching.sets or spot_due:
            found = discovered(
                await self._azure.scale_sets(told.group_id), told.flags["node-group-auto-discovery"], told.options
            )
            self.pools = {pool.name: pool for pool in found}
            self._read_at = now
            self.known = {name: self.known.get(name) or Known(pool.capacity, now) for name, pool in self.pools.items()}
            for name, pool in self.pools.items():
                self.known[name].sized(pool, now, caching)
        for name, pool in self.pools.items():
            if self.known[name].is_stale(now, caching):
                self.known[name].read(await self._azure.instances(pool.id), now, caching)

    async def clear(self, told: Declared, view: View) -> None:
        """Delete machines that failed, and those that never became nodes; leave their pools alone for a while."""
        now, registered = self._clock(), view.registered()
        for name, known in self.known.items():
            failed = [one.provider_id for one in known.instances.values() if one.state == "failed"]
            late = [
                one.provider_id
                for one in known.instances.values()
                if one.state in ("running", "creating")
                and one.provider_id not in registered
                and now - known.first_seen[one.provider_id] > told.options.max_node_provision_time
            ]
            reasons = ((failed, "machines failed to come up"), (late, "machines did not become nodes in time"))
            for machines, reason in reasons:
                if machines:
                    self.failed(name, f"{len(machines)} {reason}", told)
                    spare = known.target - self.pools[name].min
                    await self._delete_quietly(name, machines[: max(spare, 0)] if machines is late else machines)
        self._judge_growth(told, view)

    def upcoming(self, pool: str, view: View) -> int:
        """Machines that were asked for and are no nodes to be counted on yet."""
        here = {one.provider_id for one in view.of_pool(pool) if one.readiness != "starting"}
        living = {one.provider_id for one in self.known[pool].instances.values() if one.state != "deleting"}
        return max(0, self.known[pool].target - len(here & living))

    def targets(self) -> dict[str, int]:
        """Pool to the machines it is to have."""
        return {name: known.target for name, known in self.known.items()}

    async def grow(self, name: str, target: int, told: Declared) -> None:
        """Ask for a capacity and follow the change.

        Raises:
            ArmFailedError: refused at once; the pool is left alone for a while.
        """
        pool, known = self.pools[name], self.known[name]
        try:
            operation = await self._azure.resize(pool.id, pool.location, pool.size, target)
        except ArmFailedError as error:
            if error.status:
                self.failed(name, str(error), told)
            known.distrust()
            self._read_at = float("-inf")
            raise
        known.asked_for(target, self._clock())
        known.read_at = None
        self._growing_since[name] = self._clock()
        if operation is not None:
            self._follow(self._grown(name, operation, told))

    async def delete(self, name: str, provider_ids: Sequence[str]) -> None:
        """Delete machines, and return once they are gone.

        Raises:
            ArmFailedError: Azure refused, or failed.
        """
        known = self.known[name]
        numbers = [one.rsplit("/", 1)[-1] for one in provider_ids]
        operation = await self._azure.delete(self.pools[name].id, numbers)
        known.deleted(provider_ids, self._clock())
        if operation is not None:
            await self._azure.follow(operation)
        known.read_at = None

    def failed(self, name: str, reason: str, told: Declared) -> None:
        """Leave a pool alone for a while."""
        failure = self._backoff.failed(name, self._clock(), told.options, reason)
        self._growing_since.pop(name, None)
        log.warning("%s is left alone for %.0f s: %s", name, failure.duration, reason)

    def _judge_growth(self, told: Declared, view: View) -> None:
        """A pool whose machines are all there is forgiven; one that takes too long has failed."""
        now = self._clock()
        for name, since in list(self._growing_since.items()):
            if name not in self.known or not self.upcoming(name, view):
                self._growing_since.pop(name)
                self._backoff.succeeded(name)
            elif now - since > told.options.max_node_provision_time:
                self.failed(name, f"machines did not come within {now - since:.0f} s", told)

    async def _grown(self, name: str, operation: str, told: Declared) -> None:
        """What became of a change of capacity.

        CA itself only reads the size anew when a change fails, and tries the same pool again where no failed machine
        was left behind; here the failure counts either way.
        """
        try:
            await self._azure.follow(operation)
        except ArmFailedError as error:
            if error.status:
                self.failed(name, str(error), told)
            self.known[name].distrust()
            self._read_at = float("-inf")
        else:
            self.known[name].read_at = None

    async def _delete_quietly(self, name: str, provider_ids: Sequence[str]) -> None:
        """Delete machines that are of no use; what fails is tried again in a later turn."""
        if not provider_ids:
            return
        log.info("deleting %d machines of %s that are of no use", len(provider_ids), name)
        known = self.known[name]
        numbers = [one.rsplit("/", 1)[-1] for one in provider_ids]
        try:
            await self._azure.delete(self.pools[name].id, numbers)
        except ArmFailedError as error:
            log.warning("%s: %s", name, error)
            known.distrust()
        else:
            known.deleted(provider_ids, self._clock())

    def _follow(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
