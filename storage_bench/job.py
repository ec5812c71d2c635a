"""The Kubernetes Job of one run: an indexed Job, one pod a node, all of them on the claim.

Owns the object. Pods tolerate what GPU, spot and other pools' classes put on their nodes, and are never evicted to
save a node; they hold no token of the cluster and no rights beyond the files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from capacity.classes import GPU_TAINT
from capacity.pools import SPOT_TAINT
from storage_bench.script import pod_script
from storage_bench.settings import RunSettings

LABEL = "trainyard/job"
RUN_LABEL = "trainyard/storage-bench"
UID_LABEL = "batch.kubernetes.io/controller-uid"
"""The Job controller's own label on its pods: another one for each Job, also of the same name."""

KEPT_SECONDS = 3600
"""How long the Job of an interrupted call stays after its end: its pods keep the claim from being deleted."""


def job(settings: RunSettings, tolerations: Sequence[str] = ()) -> dict[str, Any]:
    """The Job.

    Args:
        settings: of the run.
        tolerations: further taints to tolerate, `key=value:Effect`.

    Raises:
        ValueError: a taint is not of that form.
    """
    labels = {LABEL: "storage-bench", RUN_LABEL: settings.name}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": settings.name,
            "namespace": settings.namespace,
            "labels": labels,
        },
        "spec": {
            "completionMode": "Indexed",
            "completions": settings.pods,
            "parallelism": settings.pods,
            # A pod that fails takes its share of the load away: the run is void, not repeated.
            "backoffLimit": 0,
            "activeDeadlineSeconds": settings.deadline_seconds,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
                },
                "spec": _pod(settings, [GPU_TAINT, SPOT_TAINT, *tolerations], labels),
            },
        },
    }


def _pod(settings: RunSettings, taints: Sequence[str], labels: dict[str, str]) -> dict[str, Any]:
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "nodeSelector": {"trainyard/pool": settings.pool, "kubernetes.io/os": "linux"},
        "tolerations": [_toleration(taint) for taint in taints],
        "affinity": {
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}
                ]
            }
        },
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "fio",
                "image": settings.image,
                "command": ["/bin/sh", "-c", pod_script(settings)],
                "env": [
                    {"name": "DATA", "value": "/data"},
                    {"name": "RUN", "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{UID_LABEL}']"}}},
                    {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                ],
                "workingDir": "/work",
                "resources": {"requests": {"cpu": "1", "memory": "1Gi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "work", "mountPath": "/work"}],
            }
        ],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": settings.claim}},
            {"name": "work", "emptyDir": {}},
        ],
    }


def _toleration(taint: str) -> dict[str, str]:
    """A toleration of exactly one taint."""
    rest, colon, effect = taint.rpartition(":")
    key, equals, value = rest.partition("=")
    if not (colon and equals and key) or effect not in ("NoSchedule", "NoExecute", "PreferNoSchedule"):
        raise ValueError(f"toleration {taint!r}: give key=value:Effect, as in team=vision:NoSchedule")
    return {"key": key, "operator": "Equal", "value": value, "effect": effect}
