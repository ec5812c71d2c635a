"""Waiting until a deleted object is gone."""

from __future__ import annotations

import asyncio
import time

from sandbox.kubernetes_client import ApiError
from sandbox.providers.kubernetes.cluster import Cluster
from sandbox.providers.kubernetes.objects import Json, as_list, conditions_of, pluck, text
from sandbox.providers.kubernetes.waits.base import NotReadyError, Report, events, own

DEFAULT_TIMEOUT = 600.0
_LOOK_AGAIN = 5.0


async def wait_until_gone(
    obj: Json, cluster: Cluster, timeout: float | None, cancelled: asyncio.Event, report: Report
) -> None:
    """Wait until an object is gone, or replaced by another of its name.

    Raises:
        NotReadyError: the time is over or the user interrupts; the message names the finalizers that hold it.
        ApiError: the server does not say whether it is there.
    """
    deadline = time.monotonic() + (DEFAULT_TIMEOUT if timeout is None else timeout)
    where = await cluster.where_is(obj)
    uid = pluck(obj, "metadata", "uid")
    async with events(cluster, [own(obj)], known=obj) as queue:
        while True:
            try:
                obj = await cluster.get(where, patience=max(deadline - time.monotonic(), 0))
            except ApiError as error:
                if error.not_found:
                    return
                raise
            if uid is not None and pluck(obj, "metadata", "uid") != uid:
                return
            if cancelled.is_set():
                raise NotReadyError("the deletion was cancelled", obj, _what_holds(obj))
            if time.monotonic() >= deadline:
                raise NotReadyError("timed out waiting for the condition", obj, _what_holds(obj))
            for line in _what_holds(obj)[:1]:
                report(line)
            try:
                await asyncio.wait_for(queue.get(), min(max(deadline - time.monotonic(), 0.05), _LOOK_AGAIN))
            except TimeoutError:
                continue  # a cancelled request ends here at the latest


def _what_holds(obj: Json) -> list[str]:
    """Why an object that is to go is still there."""
    finalizers = [*as_list(pluck(obj, "metadata", "finalizers")), *as_list(pluck(obj, "spec", "finalizers"))]
    held = [f"finalizers might be preventing deletion ({', '.join(map(text, finalizers))})"] if finalizers else []
    failing = [text(one.get("message")) for one in conditions_of(obj).values() if one.get("status") == "True"]
    return held + [message for message in failing if pluck(obj, "kind") == "Namespace" and message]
