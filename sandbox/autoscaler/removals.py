"""Nodes on their way out: marked, drained where something must move, deleted on Azure; or let stay where that fails.

Source: CA `core/scaledown/actuation/actuator.go`, `drain.go`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from capacity.autoscaling.options import Options
from sandbox.autoscaler.api_writes import Writes
from sandbox.autoscaler.pods import MIRROR, finished
from sandbox.autoscaler.resource_manager import ArmFailedError
from sandbox.autoscaler.view import PodsOf
from sandbox.kubernetes_client import ApiError
from sandbox.nodes.objects import Json, annotations_of, owner_kind, text

log = logging.getLogger(__name__)
_EVICT_AGAIN = 5.0
_LOOK = 0.5


@dataclass(frozen=True)
class Leaving:
    """One node that goes.

    Attributes:
        node: its name.
        pool: its scale set's name.
        provider_id: of its machine.
        drained: whether pods have to be moved first.
    """

    node: str
    pool: str
    provider_id: str
    drained: bool


Delete = Callable[[str, Sequence[str]], Awaitable[None]]
"""Deletes machines of a pool, by provider id, and returns once they are gone; raises ArmFailedError."""


class Removals:
    """The removals under way.

    Args:
        writes: to the API server.
        pods_of: the pods on a node now.
        delete: deletes machines.
        failed: called when a removal failed.
    """

    def __init__(self, writes: Writes, pods_of: PodsOf, delete: Delete, failed: Callable[[str], None]) -> None:
        self._writes = writes
        self._pods_of = pods_of
        self._delete = delete
        self._failed = failed
        self._leaving: dict[str, Leaving] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def names(self) -> set[str]:
        """Nodes being removed."""
        return set(self._leaving)

    @property
    def draining(self) -> int:
        """How many of them are drained."""
        return sum(1 for one in self._leaving.values() if one.drained)

    def of_pool(self, pool: str) -> int:
        """How many of them are of a pool."""
        return sum(1 for one in self._leaving.values() if one.pool == pool)

    def begin(self, nodes: Sequence[Leaving], options: Options) -> None:
        """Remove nodes: empty ones of a pool together, each that must be drained by itself."""
        self._leaving.update({one.node: one for one in nodes})
        batches: dict[str, list[Leaving]] = {}
        for one in nodes:
            batches.setdefault(one.node if one.drained else f"{one.pool}/", []).append(one)
        for batch in batches.values():
            task = asyncio.ensure_future(self._remove(batch, options))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Give up what is under way: as when the program is killed, marks stay."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _remove(self, batch: list[Leaving], options: Options) -> None:
        try:
            marked = await asyncio.gather(*(self._mark(one) for one in batch))
            going = [one for one, done in zip(batch, marked, strict=True) if done]
            await asyncio.sleep(options.node_delete_delay_after_taint)
            ready = [one for one in going if await self._is_clear(one, options)]
            stays = [one for one in going if one not in ready]
            await asyncio.gather(*(self._let_stay(one) for one in stays))
            if ready:
                log.info("deleting %d machines of %s", len(ready), ready[0].pool)
                try:
                    await self._delete(ready[0].pool, [one.provider_id for one in ready])
                except ArmFailedError as error:
                    self._failed(f"{len(ready)} machines of {ready[0].pool} are not deleted: {error}")
                    await asyncio.gather(*(self._let_stay(one) for one in ready))
        finally:
            for one in batch:
                self._leaving.pop(one.node, None)

    async def _mark(self, one: Leaving) -> bool:
        try:
            return await self._writes.mark(one.node, time.time())
        except ApiError as error:
            self._failed(f"{one.node} cannot be marked: {error}")
            return False

    async def _let_stay(self, one: Leaving) -> None:
        try:
            await self._writes.unmark(one.node)
        except ApiError as error:
            log.warning("the mark of %s cannot be taken off: %s", one.node, error)

    async def _is_clear(self, one: Leaving, options: Options) -> bool:
        """Whether nothing that must be moved is left; a pod that came in the meantime keeps an empty node."""
        if not one.drained:
            kept = self._movable(one.node)
            if kept:
                log.info("%s stays: %d pods came in the meantime", one.node, len(kept))
            return not kept
        until = time.monotonic() + options.max_graceful_termination_sec + _EVICT_AGAIN
        asked: dict[str, float] = {}
        while time.monotonic() < until:
            left = self._movable(one.node)
            if not left:
                return True
            for pod in left:
                uid = text(pod, "metadata", "uid")
                if not text(pod, "metadata", "deletionTimestamp") and asked.get(uid, 0) <= time.monotonic():
                    asked[uid] = time.monotonic() + _EVICT_AGAIN
                    try:
                        await self._writes.evict(pod)
                    except ApiError as error:
                        log.warning("evicting %s: %s", text(pod, "metadata", "name"), error)
            await asyncio.sleep(_LOOK)
        self._failed(f"{one.node} could not be drained within {options.max_graceful_termination_sec} s")
        return False

    def _movable(self, node: str) -> list[Json]:
        return [
            pod
            for pod in self._pods_of(node)
            if not finished(pod) and owner_kind(pod) != "DaemonSet" and MIRROR not in annotations_of(pod)
        ]
