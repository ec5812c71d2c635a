"""Mistakes that one can make with queues and services, each with the error it must become."""

from __future__ import annotations

from typing import Any

_SERVICE = {"image": "registry/model:1", "maxReplicas": 4, "targetCpu": 70}
_SERVE = {"class": "light-gpu", "max": 4, "role": "serve"}


def _serves(**changes: Any) -> dict[str, Any]:
    return {"pools__serve": _SERVE, "serve": {"chat": {**_SERVICE, **changes}}}


CASES: list[tuple[str, dict[str, Any], str, list[str]]] = [
    ("a queue's unknown key", {"queues": {"on": True}}, "queues.on", ["allowed"]),
    (
        "queues that cannot start gangs whole",
        {"queues__enabled": True, "cluster__kubernetesVersion": "1.33"},
        "queues.enabled",
        ["1.33", "1.34", "Raise"],
    ),
    (
        "queues without a pool for jobs",
        {"queues__enabled": True, "pools": {"serve": _SERVE}},
        "queues.enabled",
        ["without a pool for training", "Add one"],
    ),
    (
        "queues in a namespace of Kubernetes",
        {"queues": {"enabled": True, "namespaces": ["kube-system"]}},
        "queues.namespaces[0]",
        ['"kube-system"', "Use another"],
    ),
    (
        "a namespace with queues twice",
        {"queues": {"enabled": True, "namespaces": ["a", "a"]}},
        "queues.namespaces[1]",
        ["twice"],
    ),
    ("queues in no namespace", {"queues": {"enabled": True, "namespaces": []}}, "queues.namespaces", ["at least one"]),
    (
        "a namespace that is none",
        {"queues": {"enabled": True, "namespaces": ["Team_A"]}},
        "queues.namespaces[0]",
        ["Team_A"],
    ),
    ("a service without an image", _serves(image=None), "serve.chat.image", ["allowed"]),
    (
        "a service that cannot be named so",
        {"pools__serve": _SERVE, "serve": {"Chat": _SERVICE}},
        "serve.Chat",
        ["name"],
    ),
    ("more replicas than may be", _serves(minReplicas=5), "serve.chat.minReplicas", ["5", "4", "Lower"]),
    ("a service that scales by nothing", _serves(targetCpu=None), "serve.chat", ["by nothing", "targetCpu"]),
    (
        "GPU load without a GPU",
        {**_serves(targetGpu=70), "gpuMetrics__prometheusUrl": "http://prometheus"},
        "serve.chat.targetGpu",
        ["without GPUs", "Set gpu"],
    ),
    (
        "GPU load that nobody measures",
        _serves(targetGpu=70, gpu=1),
        "serve.chat.targetGpu",
        ["gpuMetrics", "prometheusUrl"],
    ),
    ("a service beside no serve pool", {"serve": {"chat": _SERVICE}}, "serve.chat", ["no pool has role serve"]),
    ("a service on a training pool", _serves(pool="heavy"), "serve.chat.pool", ['"heavy"', "serve"]),
    (
        "more replicas than the pools hold",
        _serves(gpu=1, maxReplicas=6),
        "serve.chat.maxReplicas",
        ["6 replicas", "hold 4", "serve: 4 machines of Standard_NC4as_T4_v3 with 1 each", "Lower it to 4"],
    ),
    (
        "a replica larger than any machine",
        _serves(gpu=2),
        "serve.chat",
        ["2 GPUs fits on no machine", "Standard_NC4as_T4_v3", "larger size"],
    ),
    (
        "a service in a namespace of the platform",
        _serves(namespace="kueue-system"),
        "serve.chat.namespace",
        ["platform"],
    ),
]
