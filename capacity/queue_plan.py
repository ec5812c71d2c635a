"""Which queues a stack's pools make, and how much each may hand out. Pure.

A queue stands for a pool class: its quota is what the class's pools offer at their maxima, so a job is let in exactly
as far as machines can be had. A pool with taints of its own is left out, as only its owners know who may run there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from capacity.classes import CLASSES
from capacity.file_system_plan import Toleration, tolerations_of
from capacity.pools import PoolPlan
from capacity.prediction import allocatable
from stacks.settings import PoolClass


@dataclass(frozen=True, slots=True)
class QueuePlan:
    """One pool class as jobs queue for it.

    Attributes:
        name: the class; the queue's name, too.
        pools: keys of the pools behind it.
        node_labels: what its machines carry, and jobs of the queue select on.
        tolerations: what jobs of the queue tolerate: the class's taints, and spot's where a pool of it is spot.
        quota: resource to quantity, of all pools at their maxima.
    """

    name: PoolClass
    pools: tuple[str, ...]
    node_labels: dict[str, str]
    tolerations: tuple[Toleration, ...]
    quota: dict[str, str]


def plan_queues(pools: Mapping[str, PoolPlan]) -> tuple[QueuePlan, ...]:
    """The queues of a stack, in the classes' order; none for classes without a pool for training.

    Args:
        pools: key to plan.
    """
    return tuple(_queue(name, members) for name in CLASSES if name != "storage" if (members := _members(name, pools)))


def left_out(pools: Mapping[str, PoolPlan]) -> tuple[str, ...]:
    """Keys of pools for training that no queue hands out."""
    return tuple(key for key, plan in pools.items() if _trains(plan) and plan.settings.taints)


def _trains(plan: PoolPlan) -> bool:
    return plan.settings.role == "train" and not plan.settings.is_storage


def _members(name: PoolClass, pools: Mapping[str, PoolPlan]) -> dict[str, PoolPlan]:
    return {
        key: plan
        for key, plan in pools.items()
        if plan.settings.pool_class == name and _trains(plan) and not plan.settings.taints
    }


def _queue(name: PoolClass, members: Mapping[str, PoolPlan]) -> QueuePlan:
    return QueuePlan(
        name=name,
        pools=tuple(members),
        node_labels={"trainyard/class": name, "trainyard/role": "train"},
        tolerations=tolerations_of(members.values()),
        quota=_quota(members),
    )


def _quota(members: Mapping[str, PoolPlan]) -> dict[str, str]:
    cpu = memory = disk = pods = 0
    gpus: dict[str, int] = {}
    for plan in members.values():
        room, machines = allocatable(plan.size, plan.settings.max_pods, plan.os_disk_gib), plan.settings.max
        cpu += room.cpu_milli * machines
        memory += room.memory_mib * machines
        disk += room.ephemeral_mib * machines
        pods += plan.settings.max_pods * machines
        if plan.gpu_resource is not None:
            gpus[plan.gpu_resource] = gpus.get(plan.gpu_resource, 0) + plan.gpus_per_node * machines
    return {
        "cpu": f"{cpu}m",
        "memory": f"{memory}Mi",
        "ephemeral-storage": f"{disk}Mi",
        "pods": str(pods),
        **{resource: str(count) for resource, count in gpus.items()},
    }
