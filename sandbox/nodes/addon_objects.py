"""The objects that AKS keeps in a cluster: pure, from what the cluster has switched on to manifests.

What there is, is data (`data/addons.yaml`); here is the shape that AKS gives it: tolerations, affinity,
priority, labels of its addon manager.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from sandbox.nodes.machines import Addons
from sandbox.nodes.objects import Json, items

MODE_LABEL = "addonmanager.kubernetes.io/mode"
"""`Reconcile`: put back whenever changed; `EnsureExists`: made where missing, then the user's."""
ADDON_LABEL = "sandbox.trainyard/addon"
_FILE = Path(__file__).parent / "data" / "addons.yaml"
_NAMESPACE = "kube-system"

_TOLERATE_ALL: list[Json] = [
    {"key": "CriticalAddonsOnly", "operator": "Exists"},
    {"operator": "Exists", "effect": "NoExecute"},
    {"operator": "Exists", "effect": "NoSchedule"},
]
_TOLERATE_SYSTEM: list[Json] = [
    {"key": "CriticalAddonsOnly", "operator": "Exists"},
    {"key": "node-role.kubernetes.io/master", "operator": "Exists", "effect": "NoSchedule"},
    {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30},
    {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30},
]
_AKS_NODES: Json = {
    "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [
            {
                "matchExpressions": [
                    {"key": "kubernetes.azure.com/cluster", "operator": "Exists"},
                    {"key": "type", "operator": "NotIn", "values": ["virtual-kubelet"]},
                    {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
                ]
            }
        ]
    }
}
_SYSTEM_NODES_FIRST: list[Json] = [
    {
        "weight": 100,
        "preference": {
            "matchExpressions": [{"key": "kubernetes.azure.com/mode", "operator": "In", "values": ["system"]}]
        },
    }
]


def addon_objects(addons: Addons, *, cilium: bool, several_zones: bool) -> list[Json]:
    """All that AKS keeps in a cluster.

    Args:
        addons: what the cluster has switched on.
        cilium: whether Cilium is the data plane, instead of kube-proxy.
        several_zones: whether its nodes are spread over zones.
    """
    present = {
        "always": True,
        "cilium": cilium,
        "kube-proxy": not cilium,
        "diskCsi": addons.disk_csi,
        "fileCsi": addons.file_csi,
        "blobCsi": addons.blob_csi,
        "workloadIdentity": addons.workload_identity,
    }
    made: list[Json] = []
    for item in _chosen("daemonSets", present):
        made += [_service_account(item), _daemon_set(item)]
    for item in _chosen("deployments", present):
        made += [_service_account(item), _deployment(item)]
        if "disruptionBudget" in item:
            made.append(_disruption_budget(item))
    made += [_csi_driver(item) for item in _chosen("csiDrivers", present)]
    made += [_storage_class(item, several_zones) for item in _chosen("storageClasses", present)]
    made.append(_dns_service())
    return made


@functools.cache
def _data() -> Json:
    return cast(Json, yaml.safe_load(_FILE.read_text()))


def _chosen(kind: str, present: Mapping[str, bool]) -> list[Json]:
    return [item for item in items(_data(), kind) if present[item["when"]]]


def _object(api_version: str, kind: str, name: str, *, mode: str = "Reconcile", **rest: Any) -> Json:
    namespaced = kind not in ("CSIDriver", "StorageClass")
    labels = {MODE_LABEL: mode, ADDON_LABEL: "true", "kubernetes.io/cluster-service": "true"}
    metadata: Json = {"name": name, "labels": labels}
    if namespaced:
        metadata["namespace"] = _NAMESPACE
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


def _service_account(item: Json) -> Json:
    return _object("v1", "ServiceAccount", item["name"])


def _daemon_set(item: Json) -> Json:
    template = _template(item, {"nodeAffinity": _AKS_NODES}, _TOLERATE_ALL, "system-node-critical")
    template["spec"]["hostNetwork"] = True
    spec = {
        "selector": {"matchLabels": item["labels"]},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "50%"}},
        "template": template,
    }
    return _object("apps/v1", "DaemonSet", item["name"], spec=spec)


def _deployment(item: Json) -> Json:
    apart: Json = {
        "weight": 100,
        "podAffinityTerm": {
            "labelSelector": {"matchLabels": item["labels"]},
            "topologyKey": "kubernetes.io/hostname",
        },
    }
    affinity: Json = {
        "nodeAffinity": {**_AKS_NODES, "preferredDuringSchedulingIgnoredDuringExecution": _SYSTEM_NODES_FIRST},
        "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [apart]},
    }
    spec = {
        "replicas": item["replicas"],
        "selector": {"matchLabels": item["labels"]},
        "template": _template(item, affinity, _TOLERATE_SYSTEM, item["priority"]),
    }
    return _object("apps/v1", "Deployment", item["name"], spec=spec)


def _template(item: Json, affinity: Json, tolerations: list[Json], priority: str) -> Json:
    return {
        "metadata": {"labels": {**item["labels"], "kubernetes.azure.com/managedby": "aks"}},
        "spec": {
            "serviceAccountName": item["name"],
            "priorityClassName": priority,
            "affinity": affinity,
            "tolerations": tolerations,
            "containers": [
                {
                    "name": one["name"],
                    "image": one["image"],
                    "resources": {"requests": {key: one[key] for key in ("cpu", "memory") if key in one}},
                }
                for one in items(item, "containers")
            ],
        },
    }


def _disruption_budget(item: Json) -> Json:
    spec = {"minAvailable": 1, "selector": {"matchLabels": item["labels"]}}
    return _object("policy/v1", "PodDisruptionBudget", item["disruptionBudget"], spec=spec)


def _csi_driver(item: Json) -> Json:
    return _object("storage.k8s.io/v1", "CSIDriver", item["name"], spec=item["spec"])


def _storage_class(item: Json, several_zones: bool) -> Json:
    parameters = dict(item["parameters"])
    if several_zones and item.get("zoned"):
        parameters["skuname"] = parameters["skuname"].replace("_LRS", "_ZRS")
    made = _object(
        "storage.k8s.io/v1",
        "StorageClass",
        item["name"],
        mode="EnsureExists",
        provisioner=item["provisioner"],
        parameters=parameters,
        reclaimPolicy="Delete",
        allowVolumeExpansion=True,
        volumeBindingMode=item["binding"],
    )
    if item.get("mountOptions"):
        made["mountOptions"] = item["mountOptions"]
    if item.get("default"):
        made["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": "true"}
    return made


def _dns_service() -> Json:
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
    ]
    return _object("v1", "Service", "kube-dns", spec={"selector": {"k8s-app": "kube-dns"}, "ports": ports})
