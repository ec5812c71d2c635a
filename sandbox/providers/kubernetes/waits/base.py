"""What a wait is: rules fed with events, and the loop that feeds them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ClassVar

from sandbox.kubernetes_client import ApiError
from sandbox.providers.kubernetes.cluster import Cluster
from sandbox.providers.kubernetes.objects import Json, Kind, as_map, generation_of, name_of, namespace_of, pluck, text

Report = Callable[[str], None]
_PAUSE = 0.5


class NotReadyError(Exception):
    """An object that is there but did not become ready, or did not go.

    Attributes:
        object: its last known state.
        reasons: what is wrong, one sentence each.
    """

    def __init__(self, message: str, obj: Json, reasons: list[str] | None = None) -> None:
        super().__init__(message)
        self.object = obj
        self.reasons = reasons or []


@dataclass(frozen=True)
class Event:
    """One change of one object: `ADDED`, `MODIFIED` or `DELETED`."""

    type: str
    object: Json

    @property
    def deleted(self) -> bool:
        """Whether the object is gone."""
        return self.type == "DELETED"


@dataclass(frozen=True)
class Collection:
    """What to watch: a kind in a namespace, narrowed by label or field."""

    kind: Kind
    namespace: str
    params: dict[str, str] = field(default_factory=dict[str, str])


class Wait:
    """The rules by which objects of one kind are ready; a subclass a kind.

    Attributes:
        object: the last known state.
    """

    timeout: ClassVar[float] = 600.0
    """Seconds to wait where neither the resource's options nor its annotation say otherwise."""
    checked_on_read: ClassVar[bool] = False
    """Whether a refresh finds an object that is not ready unhealthy."""

    def __init__(self, inputs: Json, outputs: Json, before: Json | None = None) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.before = before
        self.object = outputs

    @property
    def name(self) -> str:
        """The object's name."""
        return name_of(self.outputs)

    @property
    def namespace(self) -> str:
        """The object's namespace."""
        return namespace_of(self.outputs)

    async def prepare(self, cluster: Cluster) -> None:
        """Read what the rules need to know beforehand."""

    def related(self) -> list[Collection]:
        """What else to watch."""
        return []

    def observe(self, event: Event) -> None:
        """Take in a change of the object itself, not older than what was written."""
        if not event.deleted:
            self.object = event.object

    def observe_related(self, event: Event) -> None:
        """Take in a change of another object."""

    def done(self) -> bool:
        """Whether the object is ready.

        Raises:
            NotReadyError: it never will be.
        """
        raise NotImplementedError

    def acceptable(self) -> bool:
        """Whether, the time being over, the object may count as ready all the same."""
        return False

    def settles_at(self) -> float | None:
        """When, on the monotonic clock, `done` is to be asked again though nothing happens."""
        return None

    def progress(self) -> str:
        """What is waited for, in words; empty: nothing to say."""
        return ""

    def reasons(self) -> list[str]:
        """Why the object is not ready."""
        return []


def own(obj: Json) -> Collection:
    """The collection that holds this object alone."""
    return Collection(Kind.of(obj), namespace_of(obj), {"fieldSelector": f"metadata.name={name_of(obj)}"})


def selected(obj: Json, kind: Kind) -> Collection:
    """The objects of a kind that a workload's selector selects."""
    labels = as_map(pluck(obj, "spec", "selector", "matchLabels"))
    selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return Collection(kind, namespace_of(obj), {"labelSelector": selector} if selector else {})


@asynccontextmanager
async def events(
    cluster: Cluster, collections: list[Collection], known: Json | None = None
) -> AsyncGenerator[asyncio.Queue[tuple[Collection, Event]]]:
    """A queue of what happens in these collections, beginning with what is there.

    Args:
        cluster: where.
        collections: what to follow.
        known: an object that was there: its absence from the first list is an event, too.
    """
    queue: asyncio.Queue[tuple[Collection, Event]] = asyncio.Queue()
    watchers = [asyncio.create_task(_follow(cluster, one, queue, known)) for one in collections]
    try:
        yield queue
    finally:
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)


async def _follow(
    cluster: Cluster, what: Collection, queue: asyncio.Queue[tuple[Collection, Event]], known: Json | None
) -> None:
    """List and watch, for ever; after a break list again, and tell of what went meanwhile."""
    seen = {text(pluck(known, "metadata", "uid")): known} if known else {}
    while True:
        try:
            where = await cluster.where(what.kind, what.namespace)
            items, version = await cluster.list(where, what.params)
            there = {text(pluck(one, "metadata", "uid")): one for one in items}
            for uid in [uid for uid in seen if uid not in there]:
                queue.put_nowait((what, Event("DELETED", seen.pop(uid))))
            for one in items:
                queue.put_nowait((what, Event("ADDED", one)))
            seen = there
            async for raw in cluster.watch(where, version, what.params):
                obj = as_map(raw.get("object"))
                if raw.get("type") == "BOOKMARK":
                    continue
                uid = text(pluck(obj, "metadata", "uid"))
                if raw.get("type") == "DELETED":
                    seen.pop(uid, None)
                else:
                    seen[uid] = obj
                queue.put_nowait((what, Event(text(raw.get("type")), obj)))
        except ApiError:
            await asyncio.sleep(_PAUSE)


async def wait_for(
    wait: Wait, cluster: Cluster, timeout: float | None, cancelled: asyncio.Event, report: Report
) -> Json:
    """Wait until the object is ready; gives its last state.

    Args:
        wait: the rules.
        cluster: where the object is.
        timeout: seconds; None: the kind's own.
        cancelled: set when the user interrupts.
        report: takes progress messages.

    Raises:
        NotReadyError: it never will be, the time is over, or the user interrupts.
    """
    deadline = time.monotonic() + (wait.timeout if timeout is None else timeout)
    await wait.prepare(cluster)
    collection = own(wait.outputs)
    said = ""
    async with events(cluster, [collection, *wait.related()]) as queue:
        while not wait.done():
            if (saying := wait.progress()) and saying != said:
                report(saying)
                said = saying
            until = min(deadline, wait.settles_at() or deadline)
            item = await _next(queue, until - time.monotonic(), cancelled)
            if item is not None:
                _feed(wait, collection, *item)
            elif cancelled.is_set():
                if wait.acceptable():
                    break
                message = f"Resource operation was cancelled for {wait.name!r}"
                raise NotReadyError(message, wait.object, wait.reasons())
            elif time.monotonic() >= deadline:
                if wait.acceptable():
                    break
                raise NotReadyError(f"'{wait.name}' timed out waiting to be Ready", wait.object, wait.reasons())
    if said:
        report("")
    return wait.object


def _feed(wait: Wait, collection: Collection, source: Collection, event: Event) -> None:
    if source is not collection:
        wait.observe_related(event)
    elif generation_of(event.object) >= generation_of(wait.outputs):
        wait.observe(event)


async def _next(
    queue: asyncio.Queue[tuple[Collection, Event]], seconds: float, cancelled: asyncio.Event
) -> tuple[Collection, Event] | None:
    """The next event; None if the time is over or the user interrupts."""
    getting = asyncio.create_task(queue.get())
    interrupted = asyncio.create_task(cancelled.wait())
    try:
        await asyncio.wait({getting, interrupted}, timeout=max(seconds, 0), return_when=asyncio.FIRST_COMPLETED)
        return getting.result() if getting.done() else None
    finally:
        getting.cancel()
        interrupted.cancel()


async def judge(wait: Wait, cluster: Cluster) -> None:
    """Judge an object as it is now, without waiting.

    Raises:
        NotReadyError: it is not ready.
        ApiError: related objects cannot be read.
    """
    await wait.prepare(cluster)
    wait.observe(Event("ADDED", wait.outputs))
    for collection in wait.related():
        items, _ = await cluster.list(await cluster.where(collection.kind, collection.namespace), collection.params)
        for one in items:
            wait.observe_related(Event("ADDED", one))
    if not wait.done() and not wait.acceptable():
        message = f"Resource '{wait.name}' was created but failed to initialize"
        raise NotReadyError(message, wait.object, wait.reasons())
