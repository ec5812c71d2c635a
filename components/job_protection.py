"""What keeps running jobs from being moved by the autoscaler, without their authors doing anything.

Owns the mark on jobs' pods. The batch profile already leaves machines alone on which anything asks for CPU, memory or
GPUs (`capacity/autoscaling/profiles.py`); the mark covers the rest: pods that ask for nothing, pods without GPUs on GPU
machines, of which the autoscaler looks at GPUs only, and pools with thresholds of their own.

From Kubernetes 1.36 on the API server itself puts `safe-to-evict: "false"` on each pod of a Job
(MutatingAdmissionPolicy, `admissionregistration.k8s.io/v1`; in 1.34 and 1.35 it is a beta that AKS does not serve).
Before that a PodDisruptionBudget a namespace does it, as the autoscaler keeps to those, too. That one also holds up
whoever drains a machine through evictions, AKS's upgrades among them, until the jobs on it have ended.

Neither helps against Azure taking back a spot machine, a machine that fails, or `kubectl delete`: jobs write
checkpoints for that. The mark alone does not stop an upgrade's drain either.

An author's own annotation stands. Services are Deployments and are not marked; nor is what names role `serve`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.admissionregistration import v1 as admission
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.policy import v1 as policy

NAME = "trainyard-running-jobs-stay"
SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
JOB_LABEL = "batch.kubernetes.io/job-name"
"""On every pod of a Job, put there by the Job controller."""
_FIRST_WITH_POLICIES = 36
_MORE_THAN_THERE_ARE = 2**31 - 1
_LABELS = {"app.kubernetes.io/part-of": "trainyard"}


class JobProtection(pulumi.ComponentResource):
    """The mark on jobs' pods.

    Args:
        kubernetes_version: the cluster's; decides which way is there.
        namespaces: where jobs run; only these are covered before 1.36.
        provider: the cluster.
    """

    def __init__(
        self,
        name: str,
        *,
        kubernetes_version: str,
        namespaces: Sequence[str],
        provider: kubernetes.Provider,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("trainyard:components:JobProtection", name, None, opts)
        objects = pulumi.ResourceOptions(parent=self, provider=provider)
        if int(kubernetes_version.split(".")[1]) >= _FIRST_WITH_POLICIES:
            made = admission.MutatingAdmissionPolicy(
                name,
                metadata=meta.ObjectMetaArgs(name=NAME, labels=_LABELS),
                spec=cast(Any, policy_spec()),
                opts=objects,
            )
            admission.MutatingAdmissionPolicyBinding(
                name,
                metadata=meta.ObjectMetaArgs(name=NAME, labels=_LABELS),
                spec=admission.MutatingAdmissionPolicyBindingSpecArgs(policy_name=NAME),
                opts=pulumi.ResourceOptions.merge(objects, pulumi.ResourceOptions(depends_on=[made])),
            )
        else:
            for namespace in namespaces:
                policy.PodDisruptionBudget(
                    f"{name}-{namespace}",
                    metadata=meta.ObjectMetaArgs(name=NAME, namespace=namespace, labels=_LABELS),
                    spec=policy.PodDisruptionBudgetSpecArgs(
                        # A Job has no scale, so a share or a number of pods that may go cannot be reckoned; a number
                        # that must stay can.
                        min_available=_MORE_THAN_THERE_ARE,
                        selector=meta.LabelSelectorArgs(
                            match_expressions=[
                                meta.LabelSelectorRequirementArgs(key=JOB_LABEL, operator="Exists"),
                            ]
                        ),
                        unhealthy_pod_eviction_policy="AlwaysAllow",
                    ),
                    opts=objects,
                )
        self.register_outputs({})


def policy_spec() -> dict[str, Any]:
    """Which pods are marked, and how."""
    return {
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "matchConstraints": {
            "matchPolicy": "Equivalent",
            "objectSelector": {},
            "namespaceSelector": {
                "matchExpressions": [
                    {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"]}
                ]
            },
            "resourceRules": [
                {
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE"],
                    "resources": ["pods"],
                    "scope": "Namespaced",
                }
            ],
        },
        "matchConditions": [
            {
                "name": "is-of-a-job",
                "expression": f"has(object.metadata.labels) && '{JOB_LABEL}' in object.metadata.labels",
            },
            {
                "name": "author-says-nothing",
                "expression": "!has(object.metadata.annotations) || "
                f"!('{SAFE_TO_EVICT}' in object.metadata.annotations)",
            },
            {
                "name": "is-no-service",
                "expression": "!has(object.spec.nodeSelector) || !('trainyard/role' in object.spec.nodeSelector) || "
                "object.spec.nodeSelector['trainyard/role'] != 'serve'",
            },
        ],
        "mutations": [
            {
                "patchType": "ApplyConfiguration",
                "applyConfiguration": {
                    "expression": f"Object{{metadata: Object.metadata{{annotations: {{'{SAFE_TO_EVICT}': 'false'}}}}}}"
                },
            }
        ],
    }
