"""Which rules a wait follows: an object's annotations first, else its kind's."""

from __future__ import annotations

import json

from sandbox.providers.kubernetes.objects import (
    Json,
    Kind,
    annotation,
    as_list,
    as_map,
    generation_of,
    pluck,
    text,
    whole,
)
from sandbox.providers.kubernetes.waits.base import Wait
from sandbox.providers.kubernetes.waits.jsonpath import Expression
from sandbox.providers.kubernetes.waits.network import IngressWait, ServiceWait
from sandbox.providers.kubernetes.waits.others import (
    CustomResourceDefinitionWait,
    PersistentVolumeClaimWait,
    PersistentVolumeWait,
    ResourceQuotaWait,
    SecretWait,
)
from sandbox.providers.kubernetes.waits.pods import PodWait
from sandbox.providers.kubernetes.waits.workloads import (
    DaemonSetWait,
    DeploymentWait,
    JobWait,
    ReplicationControllerWait,
    StatefulSetWait,
)

SKIP_AWAIT = "pulumi.com/skipAwait"
WAIT_FOR = "pulumi.com/waitFor"
TIMEOUT = "pulumi.com/timeoutSeconds"
PROPAGATION = "pulumi.com/deletionPropagationPolicy"

_BY_KIND: dict[str, type[Wait]] = {
    "apiextensions.k8s.io/v1/CustomResourceDefinition": CustomResourceDefinitionWait,
    "apps/v1/DaemonSet": DaemonSetWait,
    "apps/v1/Deployment": DeploymentWait,
    "apps/v1/StatefulSet": StatefulSetWait,
    "batch/v1/Job": JobWait,
    "networking.k8s.io/v1/Ingress": IngressWait,
    "v1/PersistentVolume": PersistentVolumeWait,
    "v1/PersistentVolumeClaim": PersistentVolumeClaimWait,
    "v1/Pod": PodWait,
    "v1/ReplicationController": ReplicationControllerWait,
    "v1/ResourceQuota": ResourceQuotaWait,
    "v1/Secret": SecretWait,
    "v1/Service": ServiceWait,
}
_SKIPPABLE_DELETES = frozenset(
    {
        "apps/v1/DaemonSet",
        "apps/v1/Deployment",
        "apps/v1/StatefulSet",
        "batch/v1/Job",
        "v1/Namespace",
        "v1/Pod",
        "v1/ReplicationController",
    }
)


def skips(inputs: Json) -> bool:
    """Whether the object's author wants no waiting."""
    return annotation(inputs, SKIP_AWAIT) == "true"


def skips_deletion(inputs: Json) -> bool:
    """Whether nobody waits until the object is gone: only some kinds may be skipped so."""
    return skips(inputs) and str(Kind.of(inputs)) in _SKIPPABLE_DELETES


def timeout_of(resource_timeout: float, inputs: Json) -> float | None:
    """Seconds that the resource's options or its annotation allow; None: the kind's own."""
    if resource_timeout:
        return resource_timeout
    written = annotation(inputs, TIMEOUT)
    return float(written) if written.isdigit() else None


def propagation_of(inputs: Json) -> str:
    """What happens to an object's dependents when it is deleted: they go first, unless its annotation says else."""
    policies = {"orphan": "Orphan", "background": "Background"}
    return policies.get(annotation(inputs, PROPAGATION).lower(), "Foreground")


def rules_for(inputs: Json, outputs: Json, before: Json | None = None) -> Wait | None:
    """The rules by which an object is ready; None: it is so at once.

    Raises:
        ValueError: its `waitFor` annotation cannot be read.
    """
    if skips(inputs):
        return None
    if written := annotation(outputs, WAIT_FOR):
        return AnnotatedWait(inputs, outputs, before, written)
    kind = _BY_KIND.get(str(Kind.of(outputs)))
    return kind(inputs, outputs, before) if kind else None


class AnnotatedWait(Wait):
    """An object is ready once it meets every condition that its `waitFor` annotation names."""

    def __init__(self, inputs: Json, outputs: Json, before: Json | None, written: str) -> None:
        super().__init__(inputs, outputs, before)
        self._conditions: list[Expression | tuple[str, str]] = [_parse(one) for one in _split(written)]

    def done(self) -> bool:
        """See `Wait`."""
        return not self.reasons()

    def reasons(self) -> list[str]:
        """See `Wait`."""
        return [
            f"Waiting for {one if isinstance(one, Expression) else '='.join(one)}"
            for one in self._conditions
            if not self._meets(one)
        ]

    def progress(self) -> str:
        """See `Wait`."""
        return next(iter(self.reasons()), "")

    def _meets(self, condition: Expression | tuple[str, str]) -> bool:
        if isinstance(condition, Expression):
            return not self._is_stale(pluck(self.object, "status", "observedGeneration")) and condition.matches(
                self.object
            )
        name, wanted = condition
        for one in map(as_map, as_list(pluck(self.object, "status", "conditions"))):
            if text(one.get("type")).lower() == name.lower():
                seen = one.get("observedGeneration") or pluck(self.object, "status", "observedGeneration")
                return not self._is_stale(seen) and text(one.get("status")).lower() == wanted.lower()
        return False

    def _is_stale(self, observed: object) -> bool:
        return observed is not None and whole(observed) < generation_of(self.object)


def _split(written: str) -> list[str]:
    try:
        values = [str(one) for one in as_list(json.loads(written))]
    except ValueError:
        return [written]
    if not values:
        raise ValueError(f"{WAIT_FOR}: {written!r} names no condition: at least one must be specified")
    return values


def _parse(written: str) -> Expression | tuple[str, str]:
    if written.startswith("jsonpath="):
        return Expression.parse(written)
    if written.startswith("condition="):
        name, _, status = written.removeprefix("condition=").partition("=")
        return name, status or "True"
    raise ValueError(f'{WAIT_FOR}: expected a "jsonpath=" or "condition=" prefix, got {written!r}')
