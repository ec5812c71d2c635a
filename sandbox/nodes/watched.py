"""A collection of the API server kept in memory: list, then watch, for ever.

Owns the copy and its upkeep through restarts of the server. Does not change anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from sandbox.kubernetes_client import ApiError, KubernetesClient
from sandbox.nodes.objects import Json, Key, key_of, text

log = logging.getLogger(__name__)

Listener = Callable[[Json | None, Json | None], None]
"""Called with the object before and after; None where it was not, or is no more."""
_BACK_OFF = (0.5, 1, 2, 5, 10)


class Watched:
    """All objects of one collection, by namespace and name.

    Args:
        client: whom to ask.
        where: the collection's path.
        params: selectors of list and watch.
        index: gives an object's group in `grouped`, such as the node of a pod; None: no group.

    Attributes:
        objects: the copy; not to be changed.
        complete: set once the first list is in.
    """

    def __init__(
        self,
        client: KubernetesClient,
        where: str,
        params: Mapping[str, str] | None = None,
        index: Callable[[Json], str | None] | None = None,
    ) -> None:
        self.objects: dict[Key, Json] = {}
        self.complete = asyncio.Event()
        self._client = client
        self._where = where
        self._params = params
        self._index = index
        self._groups: dict[str, dict[Key, Json]] = defaultdict(dict)
        self._listeners: list[Listener] = []

    def on_change(self, listener: Listener) -> None:
        """Call `listener` at every change."""
        self._listeners.append(listener)

    def grouped(self, group: str) -> Iterable[Json]:
        """The objects of one group."""
        return list(self._groups.get(group, {}).values())

    async def run(self) -> None:
        """Keep the copy up to date until cancelled."""
        failures = 0
        while True:
            try:
                version = await self._list()
                failures = 0
                while True:
                    version = await self._follow(version)
            except ApiError as error:
                if error.status != 410:  # Gone is the ordinary way of saying: list again
                    log.warning("watching %s: %s", self._where, error)
            await asyncio.sleep(_BACK_OFF[min(failures, len(_BACK_OFF) - 1)])
            failures += 1

    async def _list(self) -> str:
        found, version = await self._client.list(self._where, self._params)
        fresh = {key_of(item): item for item in found}
        for key in [key for key in self.objects if key not in fresh]:
            self._put(key, None)
        for key, item in fresh.items():
            present = self.objects.get(key)
            if present is None or _identity(present) != _identity(item):
                self._put(key, item)
        self.complete.set()
        return version

    async def _follow(self, version: str) -> str:
        async for event in self._client.watch(self._where, version, self._params):
            item: Json = event["object"]
            version = _version(item)
            if event["type"] == "BOOKMARK":
                continue
            self._put(key_of(item), None if event["type"] == "DELETED" else item)
        return version

    def _put(self, key: Key, item: Json | None) -> None:
        before = self.objects.pop(key, None)
        if before is not None and self._index is not None:
            self._groups[self._index(before) or ""].pop(key, None)
        if item is not None:
            item["metadata"].pop("managedFields", None)  # most of an object's size, and of no use here
            self.objects[key] = item
            if self._index is not None:
                self._groups[self._index(item) or ""][key] = item
        for listener in self._listeners:
            listener(before, item)


def _version(item: Json) -> str:
    return text(item, "metadata", "resourceVersion")


def _identity(item: Json) -> tuple[str, str]:
    """Versions begin anew where the server's data was emptied; an object's uid never comes again."""
    return text(item, "metadata", "uid"), _version(item)
