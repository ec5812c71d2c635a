"""Judges the pods that kwok holds back, and lets them run or shows why they do not.

Owns those pods' status until they run. Each pod has a task of its own, which ends when the pod runs for good
or goes; all it needs to go on after a restart is in the pod's status.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

from sandbox.kubernetes_client import ApiError, KubernetesClient, path
from sandbox.nodes.azure_client import AzureError
from sandbox.nodes.events import post_event
from sandbox.nodes.objects import Json, Key, condition, is_ready, key_of, text
from sandbox.nodes.pod_status import event, is_started, not_started, offered_devices, seconds_to_wait, started
from sandbox.nodes.surroundings import Surroundings
from sandbox.nodes.verdicts import Verdict
from sandbox.nodes.watched import Watched
from sandbox.nodes.workload_checks import is_held, is_lasting, judge_pod

log = logging.getLogger(__name__)

_AT_ONCE = 64
_LASTING_EVERY = 3.0
_LASTING_A_SECOND = 50
"""Pods that run and are judged again: each every three seconds, less often where there are many."""
_RETRY = 1.0


class Workloads:
    """The tasks of all held pods.

    Args:
        client: the API server.
        pods: all pods.
        around: what checks may look at.
    """

    def __init__(self, client: KubernetesClient, pods: Watched, around: Surroundings) -> None:
        self._client = client
        self._pods = pods
        self._around = around
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._answered: dict[str, str] = {}
        self._limit = asyncio.Semaphore(_AT_ONCE)
        pods.on_change(self._changed)

    async def run(self) -> None:
        """Stay until cancelled, then end all tasks."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            for task in self._tasks.values():
                task.cancel()

    def _changed(self, before: Json | None, pod: Json | None) -> None:
        if pod is None:
            task = self._tasks.pop(text(before or {}, "metadata", "uid"), None)
            if task is not None:
                task.cancel()
        elif _waits(pod):
            uid = text(pod, "metadata", "uid")
            if uid not in self._tasks:
                self._tasks[uid] = asyncio.create_task(self._attend(key_of(pod), uid))

    async def _attend(self, key: Key, uid: str) -> None:
        """Judge one pod until it runs for good."""
        try:
            while (pod := self._waiting(key, uid)) is not None:
                await asyncio.sleep(seconds_to_wait(pod, datetime.now(UTC)))
                await asyncio.sleep(await self._step(key, uid))
        except Exception:
            log.exception("judging pod %s/%s", *key)
            await asyncio.sleep(_RETRY)
        finally:
            self._tasks.pop(uid, None)
            self._answered.pop(uid, None)

    async def _step(self, key: Key, uid: str) -> float:
        """Judge one pod once; returns the seconds until the next time."""
        async with self._limit:
            pod = self._waiting(key, uid)
            if pod is None:
                return 0
            if self._answered.get(uid) == _version(pod):  # what was written then is yet to be seen
                return _RETRY
            try:
                await self._judge(pod)
            except (ApiError, AzureError) as error:
                log.warning("pod %s/%s cannot be judged now: %s", *key, error)
            return max(_LASTING_EVERY, len(self._tasks) / _LASTING_A_SECOND) if is_started(pod) else _RETRY

    def _waiting(self, key: Key, uid: str) -> Json | None:
        """The pod as it is now, where it still waits for a verdict."""
        pod = self._pods.objects.get(key)
        return pod if pod is not None and text(pod, "metadata", "uid") == uid and _waits(pod) else None

    async def _judge(self, pod: Json) -> None:
        verdict, container = await judge_pod(pod, self._around)
        now = datetime.now(UTC)
        if container is None:
            if not is_started(pod) or offered_devices(pod) != dict(verdict.devices):
                log.info("pod %s/%s runs, offering %s", *key_of(pod), dict(verdict.devices) or "no devices")
                await self._patch(pod, started(verdict.devices, now))
        elif self._is_news(pod, verdict):
            log.info("pod %s/%s, container %s: %s", *key_of(pod), container["name"], verdict.problem)
            if await self._patch(pod, not_started(pod, container, verdict, now)):
                await post_event(self._client, event(pod, container, verdict, now))

    def _is_news(self, pod: Json, verdict: Verdict) -> bool:
        """A crash is one more each time; a container that cannot start is told once."""
        said = condition(pod, "sandbox.trainyard/Started")
        told = said.get("status") == "False" and said.get("message") == verdict.problem
        return verdict.waiting_reason == "CrashLoopBackOff" or not told or is_ready(pod)

    async def _patch(self, pod: Json, patch: Json) -> bool:
        """Write the verdict on a pod as it was judged; False where it is another one by now."""
        namespace, name = key_of(pod)
        uid, version = text(pod, "metadata", "uid"), _version(pod)
        patch = {"metadata": {"uid": uid, "resourceVersion": version}, **patch}
        try:
            await self._client.patch(path("v1", "pods", namespace, name, "status"), patch, "strategic")
        except ApiError as error:
            if not (error.not_found or error.conflict):
                raise
            written = False
        else:
            written = True
        self._answered[uid] = version
        return written


def _version(pod: Json) -> str:
    return text(pod, "metadata", "resourceVersion")


def _waits(pod: Json) -> bool:
    """Whether a pod is at the point where its containers start, or is one that is judged again."""
    return (
        is_held(pod)
        and not text(pod, "metadata", "deletionTimestamp")
        and text(pod, "status", "phase") in ("Pending", "Running")
        and condition(pod, "Initialized").get("status") == "True"
        and (not is_started(pod) or is_lasting(pod))
    )
