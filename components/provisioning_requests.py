"""The definition of ProvisioningRequest, by which a gang asks the autoscaler for all of its machines at once.

Owns the CustomResourceDefinition where the autoscaler is ours; in managed mode it is AKS's. Versions v1 (stored) and
v1beta1 have the same fields (kubernetes/autoscaler 1.36 `cluster-autoscaler/apis/provisioningrequest`).
"""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_UNCHANGED = [{"rule": "self == oldSelf", "message": "Value is immutable"}]


def provisioning_requests(
    name: str, *, provider: kubernetes.Provider, opts: pulumi.ResourceOptions
) -> kubernetes.apiextensions.v1.CustomResourceDefinition:
    """The definition as a resource.

    Args:
        provider: the cluster.
    """
    group, plural = "autoscaling.x-k8s.io", "provisioningrequests"
    status: dict[str, Any] = {"status": {}}
    spec: Any = {
        "group": group,
        "scope": "Namespaced",
        "names": {
            "kind": "ProvisioningRequest",
            "listKind": "ProvisioningRequestList",
            "plural": plural,
            "singular": "provisioningrequest",
            "shortNames": ["provreq", "provreqs"],
        },
        "versions": [
            {
                "name": version,
                "served": True,
                "storage": version == "v1",
                "subresources": status,
                "schema": {"openAPIV3Schema": _schema()},
            }
            for version in ("v1", "v1beta1")
        ],
    }
    return kubernetes.apiextensions.v1.CustomResourceDefinition(
        name,
        metadata={"name": f"{plural}.{group}"},
        spec=spec,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(provider=provider)),
    )


def _schema() -> dict[str, Any]:
    texts: dict[str, Any] = {"type": "object", "maxProperties": 100}
    named = {"type": "string", "maxLength": 253, "pattern": _NAME}
    pod_set = {
        "type": "object",
        "required": ["count", "podTemplateRef"],
        "properties": {
            "count": {"type": "integer", "format": "int32", "minimum": 1},
            "podTemplateRef": {"type": "object", "required": ["name"], "properties": {"name": named}},
        },
    }
    spec = {
        "type": "object",
        "required": ["podSets", "provisioningClassName"],
        "properties": {
            "provisioningClassName": {**named, "x-kubernetes-validations": _UNCHANGED},
            "parameters": {
                **texts,
                "additionalProperties": {"type": "string", "maxLength": 255},
                "x-kubernetes-validations": _UNCHANGED,
            },
            "podSets": {
                "type": "array",
                "minItems": 1,
                "maxItems": 32,
                "items": pod_set,
                "x-kubernetes-validations": _UNCHANGED,
            },
        },
    }
    condition = {
        "type": "object",
        "required": ["lastTransitionTime", "message", "reason", "status", "type"],
        "properties": {
            "type": {"type": "string", "maxLength": 316},
            "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
            "reason": {"type": "string", "minLength": 1, "maxLength": 1024},
            "message": {"type": "string", "maxLength": 32768},
            "lastTransitionTime": {"type": "string", "format": "date-time"},
            "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
        },
    }
    status = {
        "type": "object",
        "properties": {
            "conditions": {
                "type": "array",
                "items": condition,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
            },
            "provisioningClassDetails": {
                **texts,
                "additionalProperties": {"type": "string", "maxLength": 32768},
            },
        },
    }
    head = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    return {"type": "object", "properties": {**head, "spec": spec, "status": status}}
