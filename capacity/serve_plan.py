"""How many replicas of a service its pools can hold, and where it may run. Pure.

A machine's room is what AKS leaves to pods, less what AKS's own DaemonSets ask for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from capacity.catalogue import Catalogue
from capacity.file_system_plan import Toleration, tolerations_of
from capacity.pools import PoolPlan, plan_pool, size_name
from capacity.prediction import allocatable
from stacks.draft import Draft
from stacks.problems import PathParts, Problem
from stacks.workload_settings import Service

DAEMON_CPU_MILLI = 400
DAEMON_MEMORY_MIB = 600
"""What AKS's DaemonSets ask for on every node, rounded up: cloud-node-manager, kube-proxy, Cilium, CNS, ip-masq-agent
and the CSI drivers of disks, files and blobs (their requests on AKS 1.34)."""


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """Where a service runs.

    Attributes:
        node_selector: labels of its pools' machines.
        tolerations: of its pools' taints.
        gpu_resource: under which name it asks for GPUs; None: for none.
        holds: replicas that fit on its pools at their maxima, with nothing else on them.
    """

    node_selector: dict[str, str]
    tolerations: tuple[Toleration, ...]
    gpu_resource: str | None
    holds: int


def plan_service(service: Service, pools: Mapping[str, PoolPlan]) -> ServicePlan:
    """One service on a stack's serve pools; pools that hold no replica are not tolerated.

    Args:
        service: its settings.
        pools: key to plan, all of the stack's.
    """
    fitting = {key: plan for key, plan in serving(service, pools).items() if replicas_a_node(service, plan)}
    resources = {plan.gpu_resource for plan in fitting.values()} - {None} if service.gpu else set[str | None]()
    selector = {"trainyard/role": "serve"}
    return ServicePlan(
        node_selector={**selector, **({"trainyard/pool": service.pool} if service.pool else {})},
        tolerations=tolerations_of(fitting.values()),
        gpu_resource=min((one for one in resources if one), default=None, key=lambda one: one != "nvidia.com/gpu"),
        holds=sum(plan.settings.max * replicas_a_node(service, plan) for plan in fitting.values()),
    )


def serving(service: Service, pools: Mapping[str, PoolPlan]) -> dict[str, PoolPlan]:
    """The serve pools that a service may run on."""
    return {key: plan for key, plan in pools.items() if plan.settings.role == "serve" and service.pool in (None, key)}


def replicas_a_node(service: Service, plan: PoolPlan) -> int:
    """How many replicas one machine of a pool holds."""
    room = allocatable(plan.size, plan.settings.max_pods, plan.os_disk_gib)
    cpu = (room.cpu_milli - DAEMON_CPU_MILLI) // cpu_milli(service)
    memory = (room.memory_mib - DAEMON_MEMORY_MIB) // memory_mib(service)
    gpus = plan.gpus_per_node // service.gpu if service.gpu else cpu
    return max(0, min(cpu, memory, gpus, plan.settings.max_pods))


def cpu_milli(service: Service) -> int:
    """Thousandths of a CPU that a replica asks for."""
    return max(1, round(service.cpu * 1000))


def memory_mib(service: Service) -> int:
    """MiB that a replica asks for."""
    return max(1, round(service.memory_gib * 1024))


def serve_rules(draft: Draft, catalogue: Catalogue) -> Iterator[Problem]:
    """Services that their pools cannot hold at maxReplicas: their HPA would ask for machines that never come."""
    pools = {
        key: plan_pool(key, pool, catalogue)
        for key, pool in draft.pools()
        if pool.role == "serve" and draft.known("pools", key) and catalogue.size(size_name(pool)) is not None
    }
    for name, service in draft.stack.serve.items():
        if draft.present("serve", name) and serving(service, pools):
            yield from _holds(("serve", name), service, pools)


def _holds(path: PathParts, service: Service, pools: Mapping[str, PoolPlan]) -> Iterator[Problem]:
    mine = serving(service, pools)
    plan = plan_service(service, pools)
    needs = (("pools",), *((*path, key) for key in ("maxReplicas", "gpu", "cpu", "memoryGib", "pool")))
    asks = f"{service.cpu:g} CPUs, {service.memory_gib:g} GiB and {service.gpu} GPUs"
    each = "; ".join(
        f"{key}: {one.settings.max} machines of {one.size.name} with {replicas_a_node(service, one)} each"
        for key, one in mine.items()
    )
    if plan.holds == 0:
        yield Problem(
            path,
            f"a replica of {asks} fits on no machine of the serve pools ({each}); allowed: what one machine leaves to "
            f"pods. Lower cpu, memoryGib or gpu, or add a serve pool with a larger size.",
            needs=needs,
        )
    elif service.max_replicas > plan.holds:
        yield Problem(
            (*path, "maxReplicas"),
            f"{service.max_replicas} replicas of {asks}, and the serve pools hold {plan.holds} ({each}); allowed: up "
            f"to {plan.holds}. Lower it to {plan.holds}, or raise the pools' max.",
            needs=needs,
        )
