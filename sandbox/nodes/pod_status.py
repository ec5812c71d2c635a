"""How a verdict shows in a pod's status: pure, pod and verdict in, patch of the status out."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast

from sandbox.nodes.objects import Json, condition, items, section, text
from sandbox.nodes.verdicts import Verdict

STARTED = "sandbox.trainyard/Started"
"""Condition with which a pod's containers are let run; its message holds the devices that a plugin offers."""
_FIRST_BACK_OFF, _LONGEST_BACK_OFF = 1.0, 10.0
"""Seconds between restarts; the kubelet's own begin at 10 and end at 300."""


def started(devices: Mapping[str, int], now: datetime) -> Json:
    """Let kwok run the pod."""
    message = json.dumps(dict(devices), sort_keys=True) if devices else ""
    return {"status": {"conditions": [new_condition(STARTED, "True", "Checked", message, now)]}}


def not_started(pod: Json, container: Json, verdict: Verdict, now: datetime) -> Json:
    """Show that one container does not run; the others do."""
    waiting: Json = {"reason": verdict.waiting_reason, "message": verdict.problem}
    before = {status["name"]: status for status in items(pod, "status", "containerStatuses")}
    crashed = verdict.waiting_reason == "CrashLoopBackOff"
    statuses: list[Json] = []
    for one in items(pod, "spec", "containers"):
        old = before.get(one["name"], {})
        status: Json = {
            "name": one["name"],
            "image": one["image"],
            "imageID": one["image"],
            "restartCount": old.get("restartCount") or 0,
        }
        if one["name"] == container["name"]:
            status |= {"ready": False, "started": False, "state": {"waiting": waiting}}
            if crashed:
                status["restartCount"] += 1
                status["lastState"] = {"terminated": _termination(verdict, now)}
        elif crashed:
            start = text(old, "state", "running", "startedAt") or _stamp(now)
            status |= {"ready": True, "started": True, "state": {"running": {"startedAt": start}}}
        else:
            status |= {"ready": False, "started": False, "state": {"waiting": {"reason": "ContainerCreating"}}}
        statuses.append(status)
    message = f"containers with unready status: [{container['name']}]"
    return {
        "status": {
            "phase": "Running" if crashed else "Pending",
            "conditions": [
                new_condition(STARTED, "False", verdict.waiting_reason, verdict.problem or "", now),
                new_condition("Ready", "False", "ContainersNotReady", message, now),
                new_condition("ContainersReady", "False", "ContainersNotReady", message, now),
            ],
            "containerStatuses": statuses,
        }
    }


def unready(pod: Json, message: str, now: datetime) -> Json:
    """Show that a pod's containers run and are not ready, or not any more."""
    before = {status["name"]: status for status in items(pod, "status", "containerStatuses")}
    statuses: list[Json] = []
    names: list[str] = []
    for one in items(pod, "spec", "containers"):
        old = before.get(one["name"], {})
        start = text(old, "state", "running", "startedAt") or _stamp(now)
        status: Json = {"name": one["name"], "image": one["image"], "imageID": one["image"], "ready": False}
        status |= {"started": True, "restartCount": old.get("restartCount") or 0}
        status |= {"state": {"running": {"startedAt": start}}, "lastState": old.get("lastState") or {}}
        statuses.append(status)
        names.append(one["name"])
    told = f"containers with unready status: [{' '.join(names)}]"
    return {
        "status": {
            "phase": "Running",
            "conditions": [
                new_condition(STARTED, "False", "Unready", message, now),
                new_condition("Ready", "False", "ContainersNotReady", told, now),
                new_condition("ContainersReady", "False", "ContainersNotReady", told, now),
            ],
            "containerStatuses": statuses,
        }
    }


def ended(pod: Json, code: int, reason: str, now: datetime) -> Json:
    """Show that a pod's containers have ended for good."""
    statuses: list[Json] = []
    for one in items(pod, "status", "containerStatuses"):
        start = text(one, "state", "running", "startedAt") or _stamp(now)
        over = {"exitCode": code, "reason": reason, "startedAt": start, "finishedAt": _stamp(now)}
        statuses.append({**one, "ready": False, "started": False, "state": {"terminated": over, "running": None}})
        statuses[-1]["state"]["waiting"] = None
    told = "PodCompleted" if code == 0 else "PodFailed"
    return {
        "status": {
            "phase": "Succeeded" if code == 0 else "Failed",
            "conditions": [
                new_condition("Ready", "False", told, "", now),
                new_condition("ContainersReady", "False", told, "", now),
            ],
            "containerStatuses": statuses,
        }
    }


def orphaned_status(pod: Json, now: datetime) -> Json:
    """Show that a pod's node is gone, as Kubernetes' pod garbage collector does before it deletes the pod."""
    others = [one for one in items(pod, "status", "conditions") if one.get("type") != "DisruptionTarget"]
    message = "PodGC: node no longer exists"
    mine = new_condition("DisruptionTarget", "True", "DeletionByPodGC", message, now)
    return {"status": {"phase": "Failed", "conditions": [*others, mine]}}


def is_started(pod: Json) -> bool:
    """Whether the pod was let run."""
    return condition(pod, STARTED).get("status") == "True"


def offered_devices(pod: Json) -> dict[str, int]:
    """What the device plugins of a running pod offer its node."""
    message = text(condition(pod, STARTED), "message")
    return cast(dict[str, int], json.loads(message)) if is_started(pod) and message else {}


def seconds_to_wait(pod: Json, now: datetime) -> float:
    """Until the next restart of a container that ended: longer each time, and counted from the last end."""
    wait = 0.0
    for status in items(pod, "status", "containerStatuses"):
        ended = text(status, "lastState", "terminated", "finishedAt")
        if not ended or "waiting" not in section(status, "state"):
            continue
        back_off = min(_FIRST_BACK_OFF * 2 ** min(int(status.get("restartCount") or 0), 8), _LONGEST_BACK_OFF)
        wait = max(wait, back_off - (now - datetime.fromisoformat(ended)).total_seconds())
    return wait


def event(pod: Json, container: Json, verdict: Verdict, now: datetime) -> Json:
    """The kubelet's event about a container that does not run; one object however often it comes."""
    crashed = verdict.waiting_reason == "CrashLoopBackOff"
    reason = "BackOff" if crashed else ("FailedMount" if verdict.waiting_reason == "ContainerCreating" else "Failed")
    name = container["name"]
    message = f"Back-off restarting failed container {name}: {verdict.problem}" if crashed else str(verdict.problem)
    return new_event(pod, reason, message, now, component="kubelet", host=text(pod, "spec", "nodeName"))


def new_event(
    about: Json, reason: str, message: str, now: datetime, *, component: str, host: str = "", kind: str = "Warning"
) -> Json:
    """A core/v1 Event about an object; its name is told by what it says, so that repeats are counted."""
    metadata = section(about, "metadata")
    digest = f"{zlib.crc32((reason + message).encode()):08x}"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name'][:200]}.{metadata['uid'][:8]}.{digest}",
            "namespace": metadata.get("namespace") or "default",
        },
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": metadata["name"],
            "namespace": metadata.get("namespace"),
            "uid": metadata["uid"],
        },
        "type": kind,
        "reason": reason,
        "message": message[:1024],
        "source": {"component": component, **({"host": host} if host else {})},
        "reportingComponent": component,
        "reportingInstance": host,
        "firstTimestamp": _stamp(now),
        "lastTimestamp": _stamp(now),
        "count": 1,
    }


def new_condition(kind: str, status: str, reason: str, message: str, now: datetime) -> Json:
    """A condition of a pod."""
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": _stamp(now),
    }


def _termination(verdict: Verdict, now: datetime) -> Json:
    return {
        "exitCode": 1,
        "reason": "Error",
        "message": verdict.problem,
        "startedAt": _stamp(now),
        "finishedAt": _stamp(now),
    }


def _stamp(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
