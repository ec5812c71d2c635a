"""What cluster-autoscaler may do, in Kubernetes and on Azure, and nothing more.

Kubernetes rules follow the calls of the program and its chart (kubernetes/autoscaler
`charts/cluster-autoscaler/templates`), with the API groups it reads since 1.34; Azure actions follow
`cluster-autoscaler/cloudprovider/azure`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

STATUS_CONFIG_MAP = "cluster-autoscaler-status"
PRIORITY_CONFIG_MAP = "cluster-autoscaler-priority-expander"
_READ = ("get", "list", "watch")


@dataclass(frozen=True)
class Rule:
    """One rule of a Role or ClusterRole."""

    group: str
    resources: Sequence[str]
    verbs: Sequence[str]
    names: Sequence[str] = ()


CLUSTER_RULES = (
    Rule("", ("events",), ("create", "patch")),
    Rule("", ("nodes",), (*_READ, "update", "patch", "delete")),
    Rule("", ("pods/eviction",), ("create",)),
    Rule("", ("pods/status",), ("update",)),
    Rule(
        "",
        (
            "configmaps",
            "namespaces",
            "persistentvolumeclaims",
            "persistentvolumes",
            "pods",
            "podtemplates",
            "replicationcontrollers",
            "services",
        ),
        _READ,
    ),
    Rule("apps", ("daemonsets", "deployments", "replicasets", "statefulsets"), _READ),
    Rule("batch", ("jobs", "cronjobs"), _READ),
    Rule("policy", ("poddisruptionbudgets",), _READ),
    Rule(
        "storage.k8s.io",
        ("csidrivers", "csinodes", "csistoragecapacities", "storageclasses", "volumeattachments"),
        _READ,
    ),
    Rule("resource.k8s.io", ("deviceclasses", "resourceclaims", "resourceslices"), _READ),
    Rule("autoscaling.x-k8s.io", ("capacitybuffers", "capacityquotas", "provisioningrequests"), _READ),
    # It clears away requests a week after they were answered (`processors/provreq`).
    Rule("autoscaling.x-k8s.io", ("provisioningrequests",), ("delete",)),
    Rule("autoscaling.x-k8s.io", ("capacitybuffers/status", "provisioningrequests/status"), ("update", "patch")),
)
NAMESPACE_RULES = (
    Rule("", ("configmaps",), ("create",)),
    Rule("", ("configmaps",), (*_READ, "update", "delete"), (STATUS_CONFIG_MAP, PRIORITY_CONFIG_MAP)),
    Rule("coordination.k8s.io", ("leases",), ("create",)),
    Rule("coordination.k8s.io", ("leases",), ("get", "update"), ("cluster-autoscaler",)),
)
NODE_GROUP_ACTIONS = (
    "Microsoft.Compute/virtualMachineScaleSets/read",
    "Microsoft.Compute/virtualMachineScaleSets/write",
    "Microsoft.Compute/virtualMachineScaleSets/delete/action",
    "Microsoft.Compute/virtualMachineScaleSets/virtualMachines/read",
    "Microsoft.Compute/virtualMachineScaleSets/virtualMachines/instanceView/read",
    "Microsoft.Compute/virtualMachines/read",
)
"""On the node resource group."""
SUBNET_ACTIONS = ("Microsoft.Network/virtualNetworks/subnets/join/action",)
"""On the node subnet, which lies outside it: a grown scale set joins machines to it."""
