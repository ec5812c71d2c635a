"""Pods: when one is ready, and what is wrong with one that is not."""

from __future__ import annotations

from sandbox.providers.kubernetes.objects import (
    Json,
    as_list,
    as_map,
    conditions_of,
    is_owned_by,
    name_of,
    namespace_of,
    pluck,
    text,
)
from sandbox.providers.kubernetes.waits.base import Event, Wait


def problems(pod: Json) -> list[str]:
    """What keeps a pod from being scheduled, initialised and ready: the first of these that is not."""
    conditions = conditions_of(pod)
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") != "True":
        return [text(scheduled.get("message"))] if scheduled.get("reason") and scheduled.get("message") else []
    for name in ("Initialized", "Ready"):
        condition = conditions.get(name)
        if condition is None:
            return []
        if condition.get("status") != "True" and not (name == "Ready" and _succeeded(pod)):
            troubles = [line for status in _containers(pod) for line in _container_problems(status)]
            message = text(condition.get("message"))
            if not troubles and not message:
                return []
            head = message if condition.get("reason") and message else ""
            return [f"[Pod {_title(pod)}]: {head}" + "\n".join(troubles)]
    return []


def _title(pod: Json) -> str:
    namespace = namespace_of(pod)
    return name_of(pod) if namespace in ("", "default") else f"{namespace}/{name_of(pod)}"


def _succeeded(pod: Json) -> bool:
    return pluck(pod, "status", "phase") == "Succeeded"


def _containers(pod: Json) -> list[Json]:
    return [as_map(one) for one in as_list(pluck(pod, "status", "containerStatuses"))]


def _container_problems(status: Json) -> list[str]:
    if status.get("ready") is True:
        return []
    found: list[str] = []
    waiting = as_map(pluck(status, "state", "waiting"))
    if waiting and waiting.get("reason") != "ContainerCreating":
        found.append(f"[{text(waiting.get('reason'))}] {_trimmed(text(waiting.get('message')))}")
    ended = as_map(pluck(status, "state", "terminated"))
    if ended.get("reason"):
        message = text(ended.get("message"))
        found.append(
            f"[{ended['reason']}] {_trimmed(message)}"
            if message
            else f"container {text(status.get('name'))!r} completed with exit code {ended.get('exitCode', 0)}"
        )
    last = as_map(pluck(status, "lastState", "terminated"))
    if last:
        found.append(
            f"container {text(status.get('name'))!r} terminated at {text(last.get('finishedAt'))} "
            f"({text(last.get('reason'))}: exit code {last.get('exitCode', 0)})"
        )
        found.extend([text(last["message"])] if last.get("message") else [])
    return found


def _trimmed(message: str) -> str:
    """An image pull's message without the words that help nobody."""
    head = "rpc error: code = Unknown desc = Error response from daemon: "
    return message.removeprefix(head).removesuffix(": manifest unknown")


class OwnedPods:
    """The pods of one workload, and what is wrong with them."""

    def __init__(self) -> None:
        self._pods: dict[str, Json] = {}

    def observe(self, event: Event) -> None:
        """Take in a change of a pod."""
        if event.deleted:
            self._pods.pop(name_of(event.object), None)
        else:
            self._pods[name_of(event.object)] = event.object

    def problems(self, owner: Json | None) -> list[str]:
        """What is wrong with the pods that `owner` owns."""
        return [line for pod in self._pods.values() if is_owned_by(pod, owner) for line in problems(pod)]


class PodWait(Wait):
    """A bare pod is ready once it is scheduled, initialised and Ready, or has succeeded."""

    checked_on_read = True

    def done(self) -> bool:
        """See `Wait`."""
        conditions = conditions_of(self.object)
        ready = conditions.get("Ready", {})
        if ready.get("status") != "True" and not (ready and _succeeded(self.object)):
            return False
        return all(conditions.get(one, {}).get("status") == "True" for one in ("PodScheduled", "Initialized"))

    def progress(self) -> str:
        """See `Wait`."""
        return f"Waiting for Pod {_title(self.object)!r} to be ready"

    def reasons(self) -> list[str]:
        """See `Wait`."""
        return problems(self.object)
