"""ProvisioningRequests of the class best-effort-atomic-scale-up: machines for a whole gang, or none.

Source: CA `provisioningrequest/{besteffortatomic,orchestrator,conditions}`, `apis/provisioningrequest`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from capacity.autoscaling.scheduling import Shape
from sandbox.autoscaler.api_writes import Writes
from sandbox.autoscaler.pods import age, shape, timestamp
from sandbox.kubernetes_client import ApiError, KubernetesClient, path
from sandbox.nodes.objects import Json, condition, items, key_of, section, text

ATOMIC = "best-effort-atomic-scale-up.autoscaling.x-k8s.io"
_API = "autoscaling.x-k8s.io/v1"
_PLURAL = "provisioningrequests"
BOOKED_SECONDS = 600.0
"""For how long the room of a provisioned request is kept for its pods."""
_RETRY_SECONDS = 60.0
Result = Literal["Accepted", "Provisioned", "Failed", "BookingExpired"]


@dataclass(frozen=True)
class Gang:
    """One request that is open, or whose room is kept.

    Attributes:
        request: the object.
        shapes: what it asks for, shape to number of pods.
    """

    request: Json
    shapes: Mapping[Shape, int]

    @property
    def name(self) -> str:
        """`namespace/name`."""
        return "/".join(key_of(self.request))


class ProvisioningRequests:
    """The requests of one cluster.

    Args:
        client: the API server.
        writes: for their conditions.
    """

    def __init__(self, client: KubernetesClient, writes: Writes) -> None:
        self._client = client
        self._writes = writes
        self._tried: dict[str, float] = {}

    async def read(self, now: float) -> tuple[list[Gang], list[Gang]]:
        """Requests whose machines are to be asked for now, the oldest first, and those whose room is kept.

        Raises:
            ApiError: the API server cannot be asked.
        """
        try:
            requests, _ = await self._client.list(path(_API, _PLURAL))
        except ApiError as error:
            if error.not_found:  # without Kueue there is no such kind
                return [], []
            raise
        open_: list[Gang] = []
        kept: list[Gang] = []
        for one in sorted(requests, key=lambda one: text(one, "metadata", "creationTimestamp")):
            if text(one, "spec", "provisioningClassName") != ATOMIC or _is(one, "Failed"):
                continue
            if _is(one, "Provisioned"):
                since = condition(one, "Provisioned").get("lastTransitionTime")
                if _is(one, "BookingExpired"):
                    continue
                if since and age({"metadata": {"creationTimestamp": since}}, now) > BOOKED_SECONDS:
                    await self.conclude(one, "BookingExpired", "CapacityReservationTimePassed", "kept long enough", now)
                else:
                    kept.append(Gang(one, await self._shapes(one)))
            elif now - self._tried.get(text(one, "metadata", "uid"), float("-inf")) >= _RETRY_SECONDS:
                open_.append(Gang(one, await self._shapes(one)))
        return open_, kept

    async def conclude(self, request: Json, kind: Result, reason: str, message: str, now: float) -> None:
        """Put a condition on a request that it is so.

        Raises:
            ApiError: the server does not take it.
        """
        await self._put(request, _condition(request, kind, reason, message) | {"lastTransitionTime": timestamp(now)})

    async def not_now(self, request: Json, message: str, now: float) -> None:
        """Not all its pods can be had: it is tried again in a minute.

        Raises:
            ApiError: the server does not take it.
        """
        self._tried[text(request, "metadata", "uid")] = now
        mine = _condition(request, "Provisioned", "CapacityIsNotFound", message)
        await self._put(request, mine | {"status": "False", "lastTransitionTime": timestamp(now)})

    async def _put(self, request: Json, mine: Json) -> None:
        others = [one for one in items(request, "status", "conditions") if one.get("type") != mine["type"]]
        conditions = [*others, mine]
        request.setdefault("status", {})["conditions"] = conditions
        await self._writes.write_status(path(_API, _PLURAL, *key_of(request)), {"status": {"conditions": conditions}})

    async def _shapes(self, request: Json) -> dict[Shape, int]:
        """What its pod sets ask for; a template that is missing makes a set that nothing fits."""
        found: Counter[Shape] = Counter()
        namespace = text(request, "metadata", "namespace")
        for part in items(request, "spec", "podSets"):
            name = text(part, "podTemplateRef", "name")
            template = await self._client.find(path("v1", "podtemplates", namespace, name))
            pod = section(template or {}, "template")
            found[shape(section(pod, "metadata"), section(pod, "spec"))] += int(part.get("count") or 1)
        return dict(found)


def consumed_by(annotation: str) -> str:
    """The request's name in a pod's annotation."""
    return re.sub(r"^.*/", "", annotation)


def without(asked: Mapping[Shape, int], here: Iterable[Shape]) -> dict[Shape, int]:
    """What was asked for and is not there yet.

    Args:
        asked: by the templates of a request.
        here: the pods that came. The API server has added tolerations to them, so these are not compared.
    """
    came = Counter(_bare(one) for one in here)
    left: dict[Shape, int] = {}
    for one, count in asked.items():
        taken = min(count, came[_bare(one)])
        came[_bare(one)] -= taken
        if count > taken:
            left[one] = count - taken
    return left


def _bare(one: Shape) -> Shape:
    return replace(one, tolerations=frozenset())


def _condition(request: Json, kind: Result, reason: str, message: str) -> Json:
    generation = section(request, "metadata").get("generation", 1)
    return {"type": kind, "status": "True", "reason": reason, "message": message, "observedGeneration": generation}


def _is(request: Json, kind: Result) -> bool:
    return condition(request, kind).get("status") == "True"
