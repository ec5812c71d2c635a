"""What a chart's release makes: its objects applied, awaited and taken away as Helm does.

Owns those objects' life; what they are is rendered in `sandbox.operators.charts`. A release remembers them by kind and
name alone.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass

from sandbox.kubernetes_client import ApiError
from sandbox.providers.kubernetes.cluster import PATIENCE, Cluster, NoSuchKindError
from sandbox.providers.kubernetes.connection import Connection
from sandbox.providers.kubernetes.errors import ProviderError
from sandbox.providers.kubernetes.objects import (
    Json,
    Kind,
    annotation,
    as_list,
    conditions_of,
    name_of,
    namespace_of,
    pluck,
    qualified,
    text,
)
from sandbox.providers.kubernetes.waits.base import NotReadyError, wait_for
from sandbox.providers.kubernetes.waits.rules import rules_for

_MANAGER = "helm"
_LOOK = 1.0
_RELEASE_NAME, _RELEASE_NAMESPACE = "meta.helm.sh/release-name", "meta.helm.sh/release-namespace"

_REMOVED_FIRST = (
    *("APIService", "Ingress", "IngressClass", "Service", "CronJob", "Job", "StatefulSet", "HorizontalPodAutoscaler"),
    *("Deployment", "ReplicaSet", "ReplicationController", "Pod", "DaemonSet", "RoleBinding", "Role"),
    *("ClusterRoleBinding", "ClusterRole", "CustomResourceDefinition", "PersistentVolumeClaim", "PersistentVolume"),
    *("StorageClass", "ConfigMap", "Secret", "ServiceAccount", "PodDisruptionBudget", "LimitRange", "ResourceQuota"),
    *("NetworkPolicy", "Namespace", "PriorityClass"),
)
"""Kinds in the order in which Helm takes them away, all others after them (helm v3.20 `pkg/releaseutil`)."""


@dataclass(frozen=True)
class Reference:
    """One object of a release: kind, namespace and name."""

    kind: Kind
    namespace: str
    name: str

    @staticmethod
    def of(obj: Json) -> Reference:
        """The reference to an object."""
        return Reference(Kind.of(obj), namespace_of(obj), name_of(obj))

    def __str__(self) -> str:
        return f"{self.kind.kind} {qualified(self.namespace, self.name)}"


def write(references: list[Reference]) -> str:
    """References as the text of a record."""
    return json.dumps([[one.kind.api_version, one.kind.kind, one.namespace, one.name] for one in references])


def read(written: str) -> list[Reference]:
    """References from the text of a record; none where there is no text."""
    found: list[Reference] = []
    for api_version, kind, namespace, name in map(as_list, as_list(json.loads(written or "[]"))):
        found.append(Reference(Kind.of({"apiVersion": api_version, "kind": kind}), namespace, name))
    return found


def removal_order(references: list[Reference]) -> list[Reference]:
    """Objects in the order in which Helm takes them away."""
    turns = {kind: turn for turn, kind in enumerate(_REMOVED_FIRST)}
    return sorted(references, key=lambda one: turns.get(one.kind.kind, len(turns)))


async def install(cluster: Cluster, objects: list[Json], former: list[Reference]) -> list[Json]:
    """Apply a release's objects in their order, and take away those of its former revision that it has no more.

    Returns:
        The objects as the server has them.

    Raises:
        ProviderError: an object is somebody else's, or of a kind that is not served.
        ApiError: the server refuses an object.
    """
    for one in objects:
        await _check_owner(cluster, one)
    live: list[Json] = []
    for one in objects:
        where = await _where(cluster, one)
        params = {"fieldValidation": "Strict"}
        live.append(await cluster.apply(where, one, manager=_MANAGER, force=True, params=params, patience=PATIENCE))
    present = {Reference.of(one) for one in objects}
    await remove(cluster, [one for one in former if one not in present])
    return live


async def _where(cluster: Cluster, one: Json) -> str:
    try:
        return await cluster.where_is(one)
    except NoSuchKindError as error:
        raise ProviderError(
            f"unable to build kubernetes objects from release manifest: {error.message}: "
            "ensure CRDs are installed first"
        ) from error


async def _check_owner(cluster: Cluster, one: Json) -> None:
    """Helm takes over no object that another release, or nobody's, made."""
    try:
        present = await cluster.get(await _where(cluster, one), patience=PATIENCE)
    except ApiError as error:
        if error.not_found and not isinstance(error, NoSuchKindError):
            return
        raise
    for key in (_RELEASE_NAME, _RELEASE_NAMESPACE):
        if annotation(present, key) != annotation(one, key):
            raise ProviderError(
                f"unable to continue with install: {Reference.of(one)} exists and cannot be imported into the current "
                f'release: invalid ownership metadata; annotation validation error: key "{key}" must equal '
                f'"{annotation(one, key)}": current value is "{annotation(present, key)}"'
            )


async def await_ready(connection: Connection, cluster: Cluster, objects: list[Json], timeout: float) -> list[str]:
    """Wait until workloads of a release are ready; gives what is not in time, one sentence each."""

    async def one(live: Json) -> list[str]:
        rules = rules_for(live, live)
        if rules is None:
            return []
        try:
            await wait_for(rules, cluster, timeout, connection.cancelled, lambda _: None)
        except NotReadyError as error:
            return [f"{Reference.of(live)}: {reason}" for reason in (error.reasons or [str(error)])]
        return []

    return [said for found in await asyncio.gather(*map(one, objects)) for said in found]


async def remove(cluster: Cluster, references: list[Reference]) -> None:
    """Delete objects in Helm's order of kinds; what is gone already is passed over."""
    for one in removal_order(references):
        try:
            where = await cluster.where(one.kind, one.namespace, one.name)
        except NoSuchKindError:
            continue
        await cluster.delete(where, "Background", patience=PATIENCE)


async def await_gone(
    connection: Connection, cluster: Cluster, references: list[Reference], timeout: float
) -> list[str]:
    """Wait until objects that were deleted are gone; gives what is not in time, one sentence each."""
    deadline = time.monotonic() + timeout
    left = references
    while True:
        found = await asyncio.gather(*(_still(cluster, one) for one in left))
        there = [(one, obj) for one, obj in zip(left, found, strict=True) if obj is not None]
        if not there or time.monotonic() >= deadline or connection.cancelled.is_set():
            return [f"{one} is still there: {_why(obj)}" for one, obj in there]
        left = [one for one, _ in there]
        await asyncio.sleep(_LOOK)


async def _still(cluster: Cluster, one: Reference) -> Json | None:
    try:
        return await cluster.get(await cluster.where(one.kind, one.namespace, one.name), patience=PATIENCE)
    except NoSuchKindError:
        return None
    except ApiError as error:
        if error.not_found:
            return None
        raise


def _why(obj: Json) -> str:
    """What the object says of its end: the finalizers that hold it, and for a definition, the objects of its kind."""
    terminating = text(conditions_of(obj).get("Terminating", {}).get("message"))
    finalizers = ", ".join(map(text, as_list(pluck(obj, "metadata", "finalizers"))))
    return "; ".join(filter(None, [finalizers and f"finalizers {finalizers}", terminating])) or "nothing says why"
