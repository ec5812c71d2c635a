"""Kubernetes objects, scale sets, and an Azure and API server that remember what was asked of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from capacity.autoscaling.options import Options
from sandbox.autoscaler.api_writes import Pace, Writes
from sandbox.autoscaler.cluster import Cluster, Memory
from sandbox.autoscaler.declared import Declared
from sandbox.autoscaler.fleet import Fleet
from sandbox.autoscaler.groups import ACCELERATOR, PREFIX
from sandbox.autoscaler.loop import Autoscaler
from sandbox.autoscaler.machines import Caching
from sandbox.autoscaler.resource_manager import ArmFailedError, ResourceManager
from sandbox.kubernetes_client import KubernetesClient
from sandbox.nodes.watched import Watched

Json = dict[str, Any]
GROUP = "/subscriptions/s/resourceGroups/MC_rg"
_MADE = "2026-01-01T00:00:00Z"
GPU_TAINT = {"key": "sku", "value": "gpu", "effect": "NoSchedule"}
TOLERATIONS = [{"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}]


def pod(name: str, *, node: str = "", gpus: int = 1, pool: str = "", owner: str = "Job", **spec: Any) -> Json:
    """A pod that waits, or runs on a node."""
    limits = {"nvidia.com/gpu": gpus} if gpus else {}
    conditions = [] if node else [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "creationTimestamp": _MADE,
            "ownerReferences": [{"kind": owner, "controller": True}] if owner else [],
        },
        "spec": {
            "nodeName": node,
            "nodeSelector": {"trainyard/pool": pool} if pool else {},
            "tolerations": TOLERATIONS,
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": limits}}],
            **spec,
        },
        "status": {"phase": "Running" if node else "Pending", "conditions": conditions},
    }


def scale_set(
    pool: str, *, low: int = 0, high: int = 10, capacity: int = 0, size: str = "Standard_NC4as_T4_v3"
) -> Json:
    """A scale set as Resource Manager lists it."""
    tags = {
        "cluster-autoscaler-enabled": "true",
        "cluster-autoscaler-name": "yard",
        "min": str(low),
        "max": str(high),
        f"{PREFIX}resources_cpu": "3800m",
        f"{PREFIX}resources_memory": "24000Mi",
        f"{PREFIX}resources_ephemeral-storage": "100000Mi",
        f"{PREFIX}resources_nvidia.com_gpu": "1",
        f"{PREFIX}label_trainyard_pool": pool,
        f"{PREFIX}label_kubernetes.azure.com_accelerator": "nvidia",
        f"{PREFIX}taint_sku": "gpu:NoSchedule",
    }
    name = f"aks-{pool}-1-vmss"
    return {
        "id": f"{GROUP}/providers/Microsoft.Compute/virtualMachineScaleSets/{name}",
        "name": name,
        "location": "westeurope",
        "sku": {"name": size, "tier": "Standard", "capacity": capacity},
        "tags": tags,
        "properties": {"virtualMachineProfile": {}},
    }


def node(name: str, provider_id: str, pool: str, *, gpus: int = 1, ready: bool = True, **metadata: Any) -> Json:
    """A node of a GPU pool."""
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "creationTimestamp": _MADE,
            "labels": {"trainyard/pool": pool, ACCELERATOR: "nvidia", "kubernetes.io/hostname": name},
            **metadata,
        },
        "spec": {"providerID": provider_id, "taints": [GPU_TAINT]},
        "status": {
            "allocatable": {
                "cpu": "3860m",
                "memory": "25000Mi",
                "ephemeral-storage": "110000Mi",
                "nvidia.com/gpu": str(gpus),
                "pods": "110",
            },
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


class FakeAzure:
    """Scale sets that grow and shrink at once, and refuse or fail where a test says so."""

    def __init__(self, *sets: Json) -> None:
        self.sets = {one["name"]: one for one in sets}
        self.machines: dict[str, list[Json]] = {one["name"]: [] for one in sets}
        self.asked: list[tuple[str, int]] = []
        self.deleted: list[str] = []
        self.refuse: dict[str, ArmFailedError] = {}
        self.fail: dict[str, tuple[ArmFailedError, int]] = {}
        self._next = 0
        for one in sets:
            self.add(one["name"], one["sku"]["capacity"])

    def add(self, name: str, count: int, state: str = "Succeeded") -> None:
        """Machines that are there."""
        for _ in range(count):
            power = "PowerState/stopped" if state == "Failed" else "PowerState/running"
            document = {
                "id": f"{self.sets[name]['id']}/virtualMachines/{self._next}",
                "instanceId": str(self._next),
                "properties": {"provisioningState": state, "instanceView": {"statuses": [{"code": power}]}},
            }
            self.machines[name].append(document)
            self._next += 1

    def provider_ids(self, name: str) -> list[str]:
        """As nodes name the machines."""
        return ["azure://" + one["id"].replace("MC_rg", "mc_rg") for one in self.machines[name]]

    async def scale_sets(self, group_id: str) -> list[Json]:
        assert group_id == GROUP
        for name, one in self.sets.items():
            one["sku"]["capacity"] = len(self.machines[name])
        return [{**one, "sku": dict(one["sku"])} for one in self.sets.values()]

    async def instances(self, scale_set_id: str) -> list[Json]:
        return list(self.machines[scale_set_id.rsplit("/", 1)[-1]])

    async def resize(self, scale_set_id: str, location: str, size: str, capacity: int) -> str | None:
        name = scale_set_id.rsplit("/", 1)[-1]
        assert (location, size) == ("westeurope", self.sets[name]["sku"]["name"])
        self.asked.append((name, capacity))
        if name in self.refuse:
            raise self.refuse[name]
        if name not in self.fail:
            self.add(name, capacity - len(self.machines[name]))
        return name

    async def delete(self, scale_set_id: str, instance_ids: Sequence[str]) -> str | None:
        name = scale_set_id.rsplit("/", 1)[-1]
        self.deleted += instance_ids
        self.machines[name] = [one for one in self.machines[name] if one["instanceId"] not in instance_ids]
        return None

    async def follow(self, operation: str) -> None:
        if operation in self.fail:
            error, left = self.fail[operation]
            self.add(operation, left, "Failed")
            raise error


class FakeClient:
    """An API server of nodes, in which only taints change."""

    def __init__(self, nodes: Callable[[], Iterable[Json]]) -> None:
        self._nodes = nodes
        self.events: list[Json] = []

    async def find(self, where: str) -> Json | None:
        return next((one for one in self._nodes() if where.endswith(f"/{one['metadata']['name']}")), None)

    async def patch(self, where: str, body: Json) -> Json:
        found = await self.find(where)
        assert found is not None
        found["spec"]["taints"] = body["spec"]["taints"]
        return found

    async def create(self, where: str, body: Json) -> Json:
        assert where.endswith("/events")
        self.events.append(body)
        return body


class FakeWatched:
    """A collection that a test fills."""

    def __init__(self, *objects: Json) -> None:
        self.objects: dict[tuple[str, str], Json] = {}
        self.put(*objects)

    def put(self, *objects: Json) -> None:
        for one in objects:
            self.objects[one["metadata"].get("namespace", ""), one["metadata"]["name"]] = one

    def grouped(self, group: str) -> list[Json]:
        return [one for one in self.objects.values() if one["spec"].get("nodeName", "") == group]


@dataclass
class Yard:
    """An autoscaler over fakes, turned by hand."""

    azure: FakeAzure
    pods: FakeWatched
    nodes: FakeWatched = field(default_factory=FakeWatched)
    daemons: FakeWatched = field(default_factory=FakeWatched)
    budgets: FakeWatched = field(default_factory=FakeWatched)
    flags: Mapping[str, str] = field(default_factory=dict[str, str])
    now: float = 1_800_000_000.0
    fast_delete: bool = True

    def __post_init__(self) -> None:
        self.client = FakeClient(self.nodes.objects.values)
        self.begin()

    def begin(self) -> None:
        """A new process: it remembers nothing."""
        self.memory = Memory()
        client = cast(KubernetesClient, self.client)
        self.fleet = Fleet(cast(ResourceManager, self.azure), self.memory.backoff, lambda: self.now)
        parts = (self.nodes, self.pods, self.daemons, self.budgets)
        self.scaler = Autoscaler(
            client,
            cluster=Cluster(*(cast(Watched, one) for one in parts)),
            fleet=self.fleet,
            writes=Writes(client, Pace(10_000, 10_000)),
            memory=self.memory,
        )

    @property
    def told(self) -> Declared:
        """What the Deployment says."""
        flags = {"expander": "least-waste", "node-delete-delay-after-taint": "0s", **self.flags}
        return Declared(
            arguments=(),
            flags={
                "node-group-auto-discovery": ["label:cluster-autoscaler-enabled=true,cluster-autoscaler-name=yard"],
                **{flag: [value] for flag, value in flags.items()},
            },
            options=Options.from_flags(flags),
            caching=Caching(sets=60, machines=60, fast_delete=self.fast_delete),
            group_id=GROUP,
            namespace="kube-system",
            account="cluster-autoscaler",
            client_id="",
            environment={},
        )

    async def turn(self, seconds: float = 10) -> None:
        """One turn, and what it began, some time after the last one."""
        self.now += seconds
        await self.scaler.turn(self.told)
        for _ in range(20):
            await asyncio.sleep(0)

    def join(self, pool: str, *, gpus: int = 1) -> None:
        """All machines of a pool become nodes."""
        name = f"aks-{pool}-1-vmss"
        for number, provider_id in enumerate(self.azure.provider_ids(name)):
            self.nodes.put(node(f"{pool}-{number}", provider_id, pool, gpus=gpus))

    def said(self, reason: str) -> list[str]:
        """Messages of the events for a reason."""
        return [one["message"] for one in self.client.events if one["reason"] == reason]
