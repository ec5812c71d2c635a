"""Where an operator's pods run, for operators that cannot be told.

Owns one admission policy for one namespace, which pins its pods to the storage pool as they are made. Kadalu and
Portworx give their operators' Deployments neither a node selector nor tolerations: on a cluster whose other machines
come and go they would wait for ever, or keep a machine from scaling away, with the file system hanging on it.

`MutatingAdmissionPolicy` is part of Kubernetes from 1.36; `stacks/file_system_rules.py` asks for that.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pulumi
from pulumi_kubernetes.admissionregistration import v1 as admission
from pulumi_kubernetes.meta import v1 as meta

from capacity.file_system_plan import FileSystemPlan
from components.file_system.base import POOL_LABEL, TAKEN_OVER, specs

TAKES_EFFECT_SECONDS = 5
"""API servers look for new policies every second or so; the first pod must not slip through."""


@dataclass(frozen=True)
class Expression:
    """A piece of CEL, where a plain value would stand."""

    text: str


def placement_policy(
    name: str,
    *,
    namespace: str,
    plan: FileSystemPlan,
    owners: Sequence[str],
    more: Mapping[str, object] | None = None,
    opts: pulumi.ResourceOptions,
) -> pulumi.Resource:
    """Pin pods of some kinds of owner to the storage pool.

    Args:
        name: logical name and name in the cluster.
        namespace: whose pods.
        plan: gives pool and tolerations.
        owners: kinds of controllers, `ReplicaSet`; node plugins' `DaemonSet` must not be among them.
        more: other JSON pointers of the pod to the value put there; it may hold `Expression`s.
        opts: parent, provider and what comes first.

    Returns:
        What pods that are to be pinned must come after.
    """
    kinds = json.dumps(list(owners))
    policy = admission.MutatingAdmissionPolicy(
        name,
        metadata=meta.ObjectMetaArgs(name=name, annotations=TAKEN_OVER),
        spec=admission.MutatingAdmissionPolicySpecArgs(
            failure_policy="Fail",
            reinvocation_policy="Never",
            match_constraints=admission.MatchResourcesArgs(
                namespace_selector=meta.LabelSelectorArgs(match_labels={"kubernetes.io/metadata.name": namespace}),
                resource_rules=[
                    admission.NamedRuleWithOperationsArgs(
                        api_groups=[""], api_versions=["v1"], operations=["CREATE"], resources=["pods"]
                    )
                ],
            ),
            match_conditions=[
                admission.MatchConditionArgs(
                    name="owner",
                    expression=f"has(object.metadata.ownerReferences) && "
                    f"object.metadata.ownerReferences.exists(one, one.kind in {kinds})",
                )
            ],
            mutations=[
                admission.MutationArgs(
                    patch_type="JSONPatch",
                    json_patch=admission.JSONPatchArgs(expression=patches(plan, more or {})),
                )
            ],
        ),
        opts=opts,
    )

    async def pause(_args: pulumi.ResourceHookArgs) -> None:
        await asyncio.sleep(TAKES_EFFECT_SECONDS)

    in_effect = pulumi.ResourceHookBinding(after_create=[pulumi.ResourceHook(f"{name}-in-effect", pause)])
    return admission.MutatingAdmissionPolicyBinding(
        name,
        metadata=meta.ObjectMetaArgs(name=name, annotations=TAKEN_OVER),
        spec=admission.MutatingAdmissionPolicyBindingSpecArgs(policy_name=name),
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[policy], hooks=in_effect)),
    )


def patches(plan: FileSystemPlan, more: Mapping[str, object]) -> str:
    """The CEL list of patches: node selector set, tolerations added to those there are, and `more`."""
    changes = [_add("/spec/nodeSelector", {POOL_LABEL: plan.pool})]
    changes += [_add("/spec/tolerations/-", one) for one in specs(plan.tolerations)]
    changes += [_add(path, value) for path, value in more.items()]
    none_yet = f"has(object.spec.tolerations) ? [] : [{_add('/spec/tolerations', [])}]"
    return f"({none_yet}) +\n[{(',' + chr(10)).join(changes)}]"


def cel(value: object) -> str:
    """A plain value as a CEL literal; maps of unlike values are allowed only if each is dynamic."""
    if isinstance(value, Expression):
        return value.text
    if isinstance(value, Mapping):
        entries = cast("Mapping[str, Any]", value).items()
        return "{" + ", ".join(f"{json.dumps(key)}: dyn({cel(inner)})" for key, inner in entries) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(cel(inner) for inner in cast("Sequence[Any]", value)) + "]"
    return json.dumps(value)


def _add(path: str, value: object) -> str:
    return f'JSONPatch{{op: "add", path: {json.dumps(path)}, value: {cel(value)}}}'
