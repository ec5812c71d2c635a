"""The Job that receives an upload, as plain Kubernetes objects.

Owns their shape. The receiver's files travel in a ConfigMap that belongs to the Job; the Job's name is the
dataset's, so there is one at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets.declared import Declared

Json = dict[str, Any]
IMAGE = "docker.io/library/python:3.12.11-slim-bookworm"
PORT = 8470
LABEL = "trainyard/job"
LABEL_VALUE = "data-upload"
DATASET_LABEL = "trainyard/dataset"
CODE_LABEL = "trainyard/receiver"
CODE_PATH = "/opt/trainyard"
MOUNT_PATH = "/target"
_USER = 10001
_RECEIVER = Path(__file__).parent / "receiver"
_RETRIES = 30
_KEPT_SECONDS = 600


def receiver_files() -> dict[str, str]:
    """The receiver's modules: file name to text."""
    return {file.name: file.read_text(encoding="utf-8") for file in sorted(_RECEIVER.glob("*.py"))}


def code_version(files: Mapping[str, str]) -> str:
    """Ten characters that stand for the receiver's files."""
    digest = hashlib.sha256()
    for name, text in sorted(files.items()):
        digest.update(f"{name}\0{text}\0".encode())
    return digest.hexdigest()[:10]


def job_name(dataset: str) -> str:
    """The Job's name."""
    return f"data-upload-{dataset}"


def config_map(dataset: Declared, files: Mapping[str, str], job_uid: str) -> Json:
    """The receiver's files; they go with their Job."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": job_name(dataset.name),
            "namespace": dataset.namespace,
            "labels": {LABEL: LABEL_VALUE, "app.kubernetes.io/part-of": "trainyard"},
            "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": job_name(dataset.name), "uid": job_uid}
            ],
        },
        "data": dict(files),
    }


def job(dataset: Declared, files: Mapping[str, str]) -> Json:
    """The Job: one pod at a time, started anew where it dies."""
    version = code_version(files)
    labels = {
        LABEL: LABEL_VALUE,
        DATASET_LABEL: dataset.name,
        CODE_LABEL: version,
        "app.kubernetes.io/part-of": "trainyard",
    }
    claim = dataset.target.get("claim")
    volumes: list[Json] = [
        {
            "name": "receiver",
            "configMap": {
                "name": job_name(dataset.name),
                "items": [{"key": name, "path": f"datasets/receiver/{name}"} for name in sorted(files)],
            },
        }
    ]
    mounts: list[Json] = [{"name": "receiver", "mountPath": CODE_PATH, "readOnly": True}]
    if claim:
        volumes.append({"name": "target", "persistentVolumeClaim": {"claimName": claim}})
        mounts.append({"name": "target", "mountPath": MOUNT_PATH})
    container: Json = {
        "name": "receiver",
        "image": IMAGE,
        "command": ["python", "-m", "datasets.receiver"],
        "args": [
            f"--dataset={dataset.name}",
            f"--target={MOUNT_PATH if claim else dataset.target['container']}",
            f"--path={dataset.target.get('path', '')}",
        ],
        "env": [
            {"name": "PYTHONPATH", "value": CODE_PATH},
            {"name": "TRAINYARD_RECEIVER_PORT", "value": str(PORT)},
            {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
            {"name": "PYTHONUNBUFFERED", "value": "1"},
        ],
        "ports": [{"name": "upload", "containerPort": PORT}],
        "resources": {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"cpu": "4", "memory": "2Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }
    pod: Json = {
        "serviceAccountName": dataset.service_account,
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 60,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            # A file system of millions of files is not walked for each upload.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "affinity": {
            "nodeAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 100,
                        "preference": {
                            "matchExpressions": [{"key": "trainyard/class", "operator": "In", "values": ["cpu"]}]
                        },
                    }
                ]
            }
        },
        "containers": [container],
        "volumes": volumes,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job_name(dataset.name), "namespace": dataset.namespace, "labels": labels},
        "spec": {
            "backoffLimit": _RETRIES,
            # A second pod only once the first has really ended: there is one writer at a time.
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
            "ttlSecondsAfterFinished": _KEPT_SECONDS,
            "template": {
                "metadata": {
                    "labels": {**labels, "azure.workload.identity/use": "true"},
                    "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
                },
                "spec": pod,
            },
        },
    }
