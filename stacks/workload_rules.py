"""Rules between the values of queues and services, that need no knowledge of Azure's sizes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stacks.draft import Draft
from stacks.problems import PathParts, Problem, nearest
from stacks.workload_settings import DNS_LABEL, Service

OLDEST_ATOMIC = 34
"""cluster-autoscaler grows Azure's scale sets for a gang as one from 1.34.5 on."""
_RESERVED = ("kube-system", "kube-public", "kube-node-lease", "kueue-system", "gatekeeper-system", "gpu-metrics")


def workload_rules(draft: Draft) -> Iterator[Problem]:
    """Everything wrong with queues and services."""
    yield from _queues(draft)
    for name, service in draft.stack.serve.items():
        if draft.present("serve", name):
            yield from _service(draft, name, service)


def _queues(draft: Draft) -> Iterator[Problem]:
    stack, queues = draft.stack, draft.stack.queues
    for index, namespace in enumerate(queues.namespaces):
        yield from _namespace(draft, ("queues", "namespaces", index), namespace)
        if namespace in queues.namespaces[:index]:
            yield Problem(
                ("queues", "namespaces", index),
                f"{draft.shown(namespace)} stands twice; allowed: each once. Remove one.",
            )
    if not queues.enabled:
        return
    if not queues.namespaces:
        yield Problem(
            ("queues", "namespaces"),
            "empty with queues.enabled true; allowed: at least one namespace. Add one, or set queues.enabled to false.",
            needs=(("queues", "enabled"),),
        )
    minor = int(stack.cluster.kubernetes_version.split(".")[1])
    if stack.autoscaler.mode == "deployment" and minor < OLDEST_ATOMIC:
        yield Problem(
            ("queues", "enabled"),
            f"true with Kubernetes {stack.cluster.kubernetes_version}, whose cluster-autoscaler may start a part of a "
            f"gang; allowed in deployment mode: 1.{OLDEST_ATOMIC} or newer. Raise "
            f"trainyard:cluster.kubernetesVersion, or set queues.enabled to false.",
            needs=(("cluster", "kubernetesVersion"), ("autoscaler", "mode")),
        )
    if not any(pool.role == "train" and not pool.is_storage for _, pool in draft.pools()):
        yield Problem(
            ("queues", "enabled"),
            "true without a pool for training; allowed: at least one pool with role train. Add one, or set "
            "queues.enabled to false.",
            needs=(("pools",),),
        )


def _service(draft: Draft, name: str, service: Service) -> Iterator[Problem]:
    path: PathParts = ("serve", name)
    if not re.fullmatch(DNS_LABEL, name) or len(name) > 40:
        yield Problem(
            path,
            f"{draft.shown(name)} cannot name a service; allowed: 1 to 40 lower-case letters, digits and hyphens, a "
            f"letter or digit first and last. Rename it.",
        )
    yield from _namespace(draft, (*path, "namespace"), service.namespace)
    if service.min_replicas > service.max_replicas:
        yield Problem(
            (*path, "minReplicas"),
            f"{service.min_replicas} is above maxReplicas {service.max_replicas}; allowed: up to maxReplicas. "
            f"Lower it, or raise maxReplicas.",
            needs=((*path, "maxReplicas"),),
        )
    if service.min_replicas < service.max_replicas and service.target_cpu is None and service.target_gpu is None:
        yield Problem(
            path,
            f"scales from {service.min_replicas} to {service.max_replicas} replicas by nothing; allowed: targetCpu, "
            f"targetGpu, or both. Set one, or minReplicas to {service.max_replicas}.",
            needs=tuple((*path, key) for key in ("minReplicas", "maxReplicas", "targetCpu", "targetGpu")),
        )
    if service.target_gpu is not None:
        if service.gpu == 0:
            yield Problem(
                (*path, "targetGpu"),
                f"{service.target_gpu} for a service without GPUs; allowed: none. Set gpu, or use targetCpu.",
                needs=((*path, "gpu"),),
            )
        if draft.stack.gpu_metrics is None:
            yield Problem(
                (*path, "targetGpu"),
                f"{service.target_gpu} without trainyard:gpuMetrics, which says where utilisation is found; allowed: "
                f"none. Set gpuMetrics.prometheusUrl, or use targetCpu.",
                needs=(("gpuMetrics",),),
            )
    yield from _pool(draft, path, service)


def _pool(draft: Draft, path: PathParts, service: Service) -> Iterator[Problem]:
    serving = [key for key, pool in draft.stack.pools.items() if pool.role == "serve"]
    if not serving:
        yield Problem(
            path,
            "no pool has role serve; allowed: services beside at least one. Add a pool with role serve, or remove "
            "the service.",
            needs=(("pools",),),
        )
    elif service.pool is not None and service.pool not in serving:
        near = nearest(service.pool, serving)
        yield Problem(
            (*path, "pool"),
            f"{draft.shown(service.pool)} is no serve pool; allowed: {', '.join(serving)}. "
            f"{f'Did you mean {near}?' if near else 'Use one of these, or leave it out.'}",
            needs=(("pools",),),
        )


def _namespace(draft: Draft, path: PathParts, namespace: str) -> Iterator[Problem]:
    if namespace in _RESERVED:
        yield Problem(
            path,
            f"{draft.shown(namespace)} is a namespace of the platform; allowed: any but {', '.join(_RESERVED)}. "
            f"Use another.",
        )
