"""Pods as the decisions see them: what they ask for, where they may run, what keeps them where they are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

from capacity.autoscaling.amounts import Amounts
from capacity.autoscaling.scale_down import Resident
from capacity.autoscaling.scheduling import Requirement, Shape, Toleration
from sandbox.nodes.objects import Json, annotations_of, condition, items, labels_of, owner_kind, section, text
from sandbox.nodes.quantities import parse_quantity

SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
SAFE_VOLUMES = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
MIRROR = "kubernetes.io/config.mirror"
CONSUMES = "autoscaling.x-k8s.io/consume-provisioning-request"
"""Names the ProvisioningRequest that a pod's machines were asked for with: it triggers nothing by itself."""
_KNOWN = {
    "cpu": "cpu_milli",
    "memory": "memory_kib",
    "ephemeral-storage": "ephemeral_kib",
    "nvidia.com/gpu": "nvidia",
    "amd.com/gpu": "amd",
    "pods": "pods",
}
_SCALES = {"cpu": Decimal(1000), "memory": Decimal(1) / 1024, "ephemeral-storage": Decimal(1) / 1024}
_SYSTEM_POD_SECONDS = 3600.0
_HOST = "kubernetes.io/hostname"


def amounts(quantities: Mapping[str, Any], *, up: bool) -> Amounts:
    """Quantities by resource name as amounts; resources that no decision knows are left out.

    Args:
        up: round up, as for requests; else down, as for what a node has.
    """
    found: dict[str, int] = {}
    for name, field in _KNOWN.items():
        if name in quantities:
            exact = parse_quantity(quantities[name]) * _SCALES.get(name, Decimal(1))
            found[field] = math.ceil(exact) if up else math.floor(exact)
    return Amounts(**found)


def requests(spec: Mapping[str, Any]) -> dict[str, Decimal]:
    """What a pod's spec asks for by resource name: containers together, or the largest init container.

    Source: Kubernetes documentation, "Init Containers", "Resource sharing within containers".
    """
    running: dict[str, Decimal] = {}
    starting: dict[str, Decimal] = {}
    for container in items(spec, "initContainers"):
        mine = _container_requests(container)
        if container.get("restartPolicy") == "Always":  # a sidecar
            running = _added(running, mine)
            starting = _largest(starting, running)
        else:
            starting = _largest(starting, _added(running, mine))
    for container in items(spec, "containers"):
        running = _added(running, _container_requests(container))
    overhead = {name: parse_quantity(amount) for name, amount in section(spec, "overhead").items()}
    return _added(_largest(running, starting), overhead)


def unknown_resources(spec: Mapping[str, Any]) -> list[str]:
    """Resources asked for that no node of a scale set is foreseen to have."""
    return sorted(name for name, amount in requests(spec).items() if name not in _KNOWN and amount)


def shape(metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> Shape:
    """Everything that decides where a pod fits.

    Args:
        metadata, spec: of a pod, or of a pod template.
    """
    affinity = section(spec, "affinity")
    required = section(affinity, "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    return Shape(
        requests=amounts(requests(spec), up=True)._replace(pods=1),
        selector=frozenset((key, str(value)) for key, value in section(spec, "nodeSelector").items()),
        affinity=tuple(_requirements(term) for term in items(required, "nodeSelectorTerms")),
        tolerations=frozenset(_toleration(one) for one in items(spec, "tolerations")),
        one_a_node=_keeps_off_its_kind({"metadata": metadata}, affinity),
        priority=int(spec.get("priority") or 0),
    )


def pod_shape(pod: Json) -> Shape:
    """The shape of a pod."""
    return shape(section(pod, "metadata"), section(pod, "spec"))


def waits(pod: Json) -> bool:
    """Whether the scheduler found no node for a pod (CA `utils/kubernetes/listers.go`)."""
    if text(pod, "spec", "nodeName") or text(pod, "metadata", "deletionTimestamp") or finished(pod):
        return False
    scheduled = condition(pod, "PodScheduled")
    return scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable"


def finished(pod: Json) -> bool:
    """Whether a pod has ended."""
    return text(pod, "status", "phase") in ("Succeeded", "Failed")


def age(node: Mapping[str, Any], now: float) -> float:
    """Seconds since an object was made."""
    made = text(node, "metadata", "creationTimestamp")
    return now - datetime.fromisoformat(made).timestamp() if made else 0.0


def timestamp(now: float) -> str:
    """A moment as Kubernetes writes it."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def resident(pod: Json, budgets: Iterable[Json], now: float) -> Resident:
    """A pod as far as removing its node goes.

    Args:
        budgets: the PodDisruptionBudgets of its namespace.
    """
    mine = [one for one in budgets if selects(section(one, "spec").get("selector"), labels_of(pod))]
    marks = annotations_of(pod)
    safe = marks.get(SAFE_TO_EVICT)
    return Resident(
        requests=amounts(requests(section(pod, "spec")), up=True)._replace(pods=1),
        controller=owner_kind(pod),
        daemon=owner_kind(pod) == "DaemonSet",
        mirror=MIRROR in marks,
        finished=finished(pod),
        safe_to_evict=None if safe is None else safe == "true",
        system=text(pod, "metadata", "namespace") == "kube-system" and not mine and age(pod, now) < _SYSTEM_POD_SECONDS,
        local_storage=_has_local_storage(pod),
        budget_spent=any(int(section(one, "status").get("disruptionsAllowed") or 0) < 1 for one in mine),
    )


def selects(selector: Any, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; one that is absent matches nothing, an empty one everything."""
    if selector is None:
        return False
    wanted = cast(Json, selector)
    if any(labels.get(key) != value for key, value in section(wanted, "matchLabels").items()):
        return False
    return all(
        Requirement(str(one["key"]), one["operator"], tuple(one.get("values") or ())).met_by(labels)
        for one in items(wanted, "matchExpressions")
    )


def _container_requests(container: Json) -> dict[str, Decimal]:
    resources = section(container, "resources")
    # What has a limit and no request asks for its limit: the API server fills that in for pods, not for templates.
    asked = {**section(resources, "limits"), **section(resources, "requests")}
    return {name: parse_quantity(amount) for name, amount in asked.items()}


def _added(left: Mapping[str, Decimal], right: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {name: left.get(name, Decimal(0)) + right.get(name, Decimal(0)) for name in {*left, *right}}


def _largest(left: Mapping[str, Decimal], right: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {name: max(left.get(name, Decimal(0)), right.get(name, Decimal(0))) for name in {*left, *right}}


def _requirements(term: Json) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(str(one["key"]), one["operator"], tuple(one.get("values") or ()))
        for one in items(term, "matchExpressions")
    )


def _toleration(one: Json) -> Toleration:
    return Toleration(
        str(one.get("key") or ""),
        str(one.get("operator") or "Equal"),
        str(one.get("value") or ""),
        str(one.get("effect") or ""),
    )


def _keeps_off_its_kind(pod: Json, affinity: Json) -> bool:
    terms = items(affinity, "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    return any(
        term.get("topologyKey") == _HOST and selects(term.get("labelSelector"), labels_of(pod)) for term in terms
    )


def _has_local_storage(pod: Json) -> bool:
    """An emptyDir on disk or a hostPath that nobody declared safe to lose (CA `drainability/rules/localstorage`)."""
    safe = set(annotations_of(pod).get(SAFE_VOLUMES, "").split(","))
    return any(
        volume.get("name") not in safe
        and ("hostPath" in volume or ("emptyDir" in volume and text(volume, "emptyDir", "medium") != "Memory"))
        for volume in items(pod, "spec", "volumes")
    )
