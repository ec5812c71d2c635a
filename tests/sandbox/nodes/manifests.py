"""Kubernetes objects for the tests: a device plugin, an autoscaler, jobs."""

from __future__ import annotations

from typing import Any

from tests.sandbox.nodes.builders import NODE_GROUP, SUBSCRIPTION

Json = dict[str, Any]
FOLDER = "/var/lib/kubelet/device-plugins"


def device_plugin(config: str = "version: v1", **changes: Any) -> list[Json]:
    """A ConfigMap and the DaemonSet of NVIDIA's plugin that reads it; `changes` to its pod's spec."""
    spec: Json = {
        "tolerations": [{"operator": "Exists"}],
        "containers": [
            {
                "name": "plugin",
                "image": "nvcr.io/nvidia/k8s-device-plugin:v0.20.0",
                "env": [{"name": "CONFIG_FILE", "value": "/config/config.yaml"}],
                "volumeMounts": [
                    {"name": "plugins", "mountPath": FOLDER},
                    {"name": "config", "mountPath": "/config"},
                ],
            }
        ],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "trainyard/pool", "operator": "Exists"}]}]
                }
            }
        },
        "volumes": [
            {"name": "plugins", "hostPath": {"path": FOLDER}},
            {"name": "config", "configMap": {"name": "plugin"}},
        ],
        **changes,
    }
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "plugin", "namespace": "default"},
        "data": {"config.yaml": config},
    }
    return [config_map, _workload("DaemonSet", "plugin", spec, {})]


def job(name: str, *, gpus: int = 0, seconds: str | None = None) -> Json:
    """A Job of one pod that tolerates GPU nodes."""
    limits = {"nvidia.com/gpu": gpus} if gpus else {}
    template: Json = {
        "metadata": {"annotations": {"sandbox.trainyard/run-seconds": seconds} if seconds else {}},
        "spec": {
            "restartPolicy": "Never",
            "tolerations": [{"key": "sku", "operator": "Exists"}],
            "containers": [{"name": "train", "image": "busybox", "resources": {"limits": limits}}],
        },
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template}}


def deployment(name: str, spec: Json, *, replicas: int = 1, labels: Json | None = None) -> Json:
    """A Deployment of pods of that spec."""
    return _workload("Deployment", name, spec, {"replicas": replicas}, labels)


def autoscaler(*flags: str, **environment: str) -> list[Json]:
    """A cluster-autoscaler as it should be, but for more flags and other variables."""
    variables = {
        "ARM_SUBSCRIPTION_ID": SUBSCRIPTION,
        "ARM_RESOURCE_GROUP": NODE_GROUP,
        "ARM_VM_TYPE": "vmss",
        "ARM_USE_WORKLOAD_IDENTITY_EXTENSION": "true",
        **environment,
    }
    spec: Json = {
        "serviceAccountName": "autoscaler",
        "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}],
        "containers": [
            {
                "name": "cluster-autoscaler",
                "image": "registry.k8s.io/autoscaling/cluster-autoscaler:v1.36.1",
                "command": ["./cluster-autoscaler"],
                "args": [
                    "--cloud-provider=azure",
                    "--node-group-auto-discovery=label:cluster-autoscaler-enabled=true,cluster-autoscaler-name=aks",
                    *flags,
                ],
                "env": [{"name": name, "value": value} for name, value in variables.items()],
            }
        ],
    }
    account: Json = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {
            "name": "autoscaler",
            "namespace": "default",
            "annotations": {"azure.workload.identity/client-id": "an-id"},
        },
    }
    binding: Json = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "autoscaler"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "autoscaler", "namespace": "default"}],
    }
    return [account, binding, deployment("autoscaler", spec, labels={"azure.workload.identity/use": "true"})]


def _workload(kind: str, name: str, spec: Json, more: Json, labels: Json | None = None) -> Json:
    marks = {"app": name, **(labels or {})}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            **more,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": marks}, "spec": spec},
        },
    }
