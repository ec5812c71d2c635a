"""The autoscaler's writes to the API server, no faster than its flags allow."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable

from sandbox.autoscaler.pods import timestamp
from sandbox.autoscaler.view import TO_BE_DELETED
from sandbox.kubernetes_client import ApiError, KubernetesClient, path
from sandbox.nodes.events import post_event
from sandbox.nodes.objects import Json, items, key_of, text

_TRIES = 5
_EVENTS_AT_ONCE = 4


class Pace:
    """A bucket of requests, as `--kube-client-qps` and `--kube-client-burst` give.

    Args:
        rate: requests a second.
        burst: requests at once.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = max(rate, 0.1)
        self._burst = max(burst, 1.0)
        self._left = self._burst
        self._at = time.monotonic()

    async def wait(self) -> None:
        """Wait for one request's turn."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        self._left -= 1
        if self._left < 0:
            await asyncio.sleep(-self._left / self._rate)


class Writes:
    """Marks, evictions and events.

    Args:
        client: the API server.
        pace: how fast.
    """

    def __init__(self, client: KubernetesClient, pace: Pace) -> None:
        self._client = client
        self._pace = pace
        self._events: set[asyncio.Task[None]] = set()
        self._said: dict[tuple[str, str], str] = {}
        self._few = asyncio.Semaphore(_EVENTS_AT_ONCE)

    async def mark(self, node: str, now: float) -> bool:
        """Put the taint of nodes that go; False where the node is gone.

        Raises:
            ApiError: the server cannot be asked.
        """
        taint = {"key": TO_BE_DELETED, "value": str(int(now)), "effect": "NoSchedule"}
        return await self._taints(node, lambda present: [*present, taint])

    async def unmark(self, node: str) -> bool:
        """Take the taint off again; False where the node is gone.

        Raises:
            ApiError: the server cannot be asked.
        """
        return await self._taints(node, lambda present: present)

    async def evict(self, pod: Json) -> bool:
        """Ask a pod away; False where a PodDisruptionBudget says: not now.

        Raises:
            ApiError: the server cannot be asked.
        """
        await self._pace.wait()
        return await self._client.evict(*key_of(pod))

    async def write_status(self, where: str, body: Json) -> None:
        """Merge into an object's status.

        Raises:
            ApiError: the server does not take it.
        """
        await self._pace.wait()
        await self._client.patch(f"{where}/status", body)

    def say(self, about: Json, kind: str, reason: str, message: str, now: float, *, warning: bool = False) -> None:
        """Post an event in the background; the same message about the same object is said once."""
        uid = text(about, "metadata", "uid")
        if self._said.get((uid, reason)) == message:
            return
        self._said[uid, reason] = message
        task = asyncio.ensure_future(self._post(about, kind, reason, message, now, warning=warning))
        self._events.add(task)
        task.add_done_callback(self._events.discard)

    def forget(self, uids: set[str]) -> None:
        """Forget what was said about objects other than these."""
        self._said = {key: message for key, message in self._said.items() if key[0] in uids}

    async def _post(self, about: Json, kind: str, reason: str, message: str, now: float, *, warning: bool) -> None:
        namespace, name = key_of(about)
        reference = {"kind": kind, "name": name, "uid": text(about, "metadata", "uid"), "apiVersion": "v1"}
        if namespace:
            reference["namespace"] = namespace
        moment = timestamp(now)
        digest = f"{zlib.crc32(f'{reason} {message}'.encode()):08x}"
        event: Json = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"namespace": namespace or "default", "name": f"{name}.{digest}"},
            "involvedObject": reference,
            "reason": reason,
            "message": message,
            "type": "Warning" if warning else "Normal",
            "source": {"component": "cluster-autoscaler"},
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
        }
        async with self._few:
            await self._pace.wait()
            try:
                await post_event(self._client, event)
            except ApiError:
                return  # an event that is lost is lost: nothing rests on it

    async def _taints(self, node: str, change: Callable[[list[Json]], list[Json]]) -> bool:
        where = path("v1", "nodes", None, node)
        for attempt in range(1, _TRIES + 1):
            await self._pace.wait()
            present = await self._client.find(where)
            if present is None:
                return False
            before = items(present, "spec", "taints")
            others = [one for one in before if one.get("key") != TO_BE_DELETED]
            wanted = change(others)
            if wanted == before:
                return True
            version = text(present, "metadata", "resourceVersion")
            try:
                await self._client.patch(where, {"metadata": {"resourceVersion": version}, "spec": {"taints": wanted}})
            except ApiError as error:
                if error.not_found:
                    return False
                if not error.conflict or attempt == _TRIES:
                    raise
            else:
                return True
        return True
