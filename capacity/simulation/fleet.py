"""The pools of a stack as the simulation's node groups.

Owns what a node of a pool will offer and which pools a job may run in. A pool of `role: serve` or of class `storage`
takes no jobs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from capacity.autoscaling.amounts import Amounts
from capacity.autoscaling.expanders import Priorities
from capacity.autoscaling.options import Options
from capacity.autoscaling.profiles import options
from capacity.autoscaling.scale_up import Group
from capacity.autoscaling.scheduling import Requirement, Shape, Taint, Template, Toleration, fits_empty
from capacity.catalogue import Catalogue
from capacity.pools import PoolPlan, plan_pools
from capacity.prediction import allocatable, scale_down_options
from capacity.simulation.jobs import Demand
from stacks.settings import Stack

DAEMONS = Amounts(cpu_milli=300, memory_kib=700 * 1024, pods=8)
"""What AKS's own DaemonSets ask for on every node: cloud-node-manager, cilium, azure-cns, ip-masq-agent and three CSI
drivers, by kubectl of AKS 1.3x clusters (2025-2026), rounded up."""
GPU_DAEMONS = Amounts(cpu_milli=100, memory_kib=400 * 1024, pods=2)
"""The device plugin and the DCGM exporter on top, on GPU nodes."""

BOOT_SECONDS = {"cpu": 120.0, "light-gpu": 240.0, "heavy-gpu": 300.0}
"""From the request to a ready node, assumed: minutes on Azure, longer where a GPU driver is installed first."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Everything of a stack that the simulation needs.

    Attributes:
        groups: the pools that take jobs, by key.
        plans: the same pools as AKS is asked for them.
        boot: seconds from request to ready, by key.
        options: the autoscaler's flags.
        priorities: the priority expander's list.
        tolerations: what every job tolerates: the taints of all these pools.
    """

    groups: Mapping[str, Group]
    plans: Mapping[str, PoolPlan]
    boot: Mapping[str, float]
    options: Options
    priorities: Priorities
    tolerations: frozenset[Toleration]

    def shape(self, demand: Demand) -> Shape:
        """What a job's pod is to the scheduler; it may run in any pool that gives what it asks for."""
        keys = tuple(key for key in self.groups if self._takes(key, demand))
        amd = bool(keys) and all(self.plans[key].gpu_resource == "amd.com/gpu" for key in keys)
        asked = Amounts(
            cpu_milli=demand.cpu_milli,
            memory_kib=demand.memory_kib,
            nvidia=0 if amd else demand.gpus,
            amd=demand.gpus if amd else 0,
            pods=1,
        )
        return Shape(
            asked,
            affinity=((Requirement("trainyard/pool", "In", keys),),),
            tolerations=self.tolerations,
            priority=demand.priority,
        )

    def why_never(self, demand: Demand, pods: int) -> str:
        """Why a job can never run in this stack; empty: it can."""
        named = [key for key in self.groups if self._takes(key, demand)]
        if not named:
            return f"no pool takes {demand}: {self._lacking(demand)}"
        shape = self.shape(demand)
        fitting = [key for key in named if fits_empty(self.groups[key].template, shape)]
        if not fitting:
            largest = max((self.groups[key].template.allocatable for key in named), key=lambda one: one[:2])
            return (
                f"{demand} is more than any machine of {', '.join(named)} offers: the largest leaves "
                f"{largest.cpu_milli / 1000:g} cores, {largest.memory_kib / 2**20:.0f} GiB and {largest.gpus} GPUs"
            )
        room = {
            key: self.groups[key].template.allocatable.times(shape.requests) * self.groups[key].max for key in fitting
        }
        if pods > max(room.values()):
            best = max(room, key=lambda key: room[key])
            return f"a gang of {pods} pods of {demand} is more than any pool has room for: {best} ends at {room[best]}"
        return ""

    def _takes(self, key: str, demand: Demand) -> bool:
        plan = self.plans[key]
        if demand.pool_class and plan.settings.pool_class != demand.pool_class:
            return False
        if not demand.wants_model(plan.size.gpu_model or ""):
            return False
        return bool(plan.gpus_per_node) == bool(demand.gpus)

    def _lacking(self, demand: Demand) -> str:
        classes = sorted({plan.settings.pool_class for plan in self.plans.values()})
        models = sorted({plan.size.gpu_model for plan in self.plans.values() if plan.size.gpu_model})
        if demand.pool_class and demand.pool_class not in classes:
            return f"the stack's pools for jobs are of class {', '.join(classes) or 'none'}"
        if demand.gpu_model:
            return f"the stack's GPUs are {', '.join(models) or 'none'}"
        return "no pool for jobs has GPUs" if demand.gpus else "every pool for jobs has GPUs, which CPU jobs keep off"


def fleet(stack: Stack, catalogue: Catalogue, boot: Mapping[str, float] | None = None) -> Fleet:
    """The pools of a stack that take jobs.

    Args:
        boot: seconds from request to ready by pool key, in the place of `BOOT_SECONDS` of its class.

    Raises:
        ValueError: no pool takes jobs.
        LookupError: a pool's size is not in the catalogue.
    """
    plans = {
        key: plan
        for key, plan in plan_pools(stack, catalogue).items()
        if plan.settings.role == "train" and not plan.settings.is_storage
    }
    if not plans:
        raise ValueError("no pool takes jobs: every pool is of role serve or class storage; add one of role train")
    flags = options(stack.autoscaler)
    groups = {key: _group(plan, stack, catalogue, flags) for key, plan in plans.items()}
    listed: dict[int, list[str]] = {}
    for key, plan in plans.items():
        listed.setdefault(plan.settings.priority, []).append(f"^{key}$")
    taints = {Taint.parse(taint) for plan in plans.values() for taint in plan.taints}
    return Fleet(
        groups=groups,
        plans=plans,
        boot={key: (boot or {}).get(key, BOOT_SECONDS[plan.settings.pool_class]) for key, plan in plans.items()},
        options=flags,
        priorities=Priorities.of(listed),
        tolerations=frozenset(Toleration(taint.key, "Equal", taint.value, taint.effect) for taint in taints),
    )


def _group(plan: PoolPlan, stack: Stack, catalogue: Catalogue, flags: Options) -> Group:
    room = allocatable(plan.size, plan.settings.max_pods, plan.os_disk_gib)
    nvidia = plan.gpus_per_node if plan.gpu_resource == "nvidia.com/gpu" else 0
    amd = plan.gpus_per_node if plan.gpu_resource == "amd.com/gpu" else 0
    offered = Amounts(
        room.cpu_milli, room.memory_mib * 1024, room.ephemeral_mib * 1024, nvidia, amd, plan.settings.max_pods
    ).minus(DAEMONS)
    offered = offered.minus(GPU_DAEMONS) if plan.gpus_per_node else offered
    whole = Amounts(plan.size.vcpus * 1000, plan.size.memory_mib * 1024, 0, nvidia, amd, plan.settings.max_pods)
    own = scale_down_options(plan, stack.autoscaler)
    return Group(
        id=plan.key,
        template=Template(offered, plan.labels, tuple(Taint.parse(taint) for taint in plan.taints), whole),
        min=plan.settings.min,
        max=plan.settings.max,
        options=flags.for_options(own),
        price=catalogue.price(stack.location, plan.size.name),
    )
