"""The machines of the simulated Azure, as `GET /sandbox/machines` tells them.

Owns the reading of that document. What becomes of a machine in Kubernetes is decided in `node_objects`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

MachineState = Literal["booting", "running", "failed", "deleting"]


@dataclass(frozen=True)
class Resources:
    """What a machine has, or leaves to pods: CPU in thousandths, memory and local disk in KiB."""

    cpu_milli: int
    memory_kib: int
    ephemeral_kib: int


@dataclass(frozen=True)
class Gpus:
    """The GPUs of a machine.

    Attributes:
        vendor: `nvidia` or `amd`.
        driver: `Install` where AKS installs the driver, `None` where it does not.
        instance_profile: AKS's GPU instance profile, `MIG1g` and the like, for partitioned GPUs.
    """

    vendor: str
    count: int
    driver: str
    instance_profile: str | None

    @property
    def has_driver(self) -> bool:
        """Whether the GPUs can be used. AKS sets `None` for AMD's sizes, whose image brings the driver."""
        return self.driver == "Install" or self.vendor == "amd"


@dataclass(frozen=True)
class Taint:
    """A taint, `key=value:effect`."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True)
class Machine:
    """One instance of an agent pool's scale set; `node_name` is its computer name."""

    node_name: str
    provider_id: str
    pool: str
    vm_size: str
    zone: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    max_pods: int
    capacity: Resources
    allocatable: Resources
    gpus: Gpus | None
    state: MachineState


@dataclass(frozen=True)
class Addons:
    """Which of AKS's own parts a cluster runs."""

    disk_csi: bool
    file_csi: bool
    blob_csi: bool
    workload_identity: bool


@dataclass(frozen=True)
class Cluster:
    """The managed cluster the machines belong to; principals are object ids."""

    id: str
    name: str
    kubernetes_version: str
    node_resource_group: str
    location: str
    cluster_principal: str
    kubelet_principal: str
    addons: Addons


@dataclass(frozen=True)
class Fleet:
    """All there is at one moment: a cluster, or none, and its machines by node name."""

    cluster: Cluster | None
    machines: Mapping[str, Machine]


def read_fleet(text: bytes | str) -> Fleet:
    """Read the answer of `GET /sandbox/machines`.

    Raises:
        KeyError, ValueError: it has not the agreed shape.
    """
    document = cast(dict[str, Any], json.loads(text))
    cluster = document["cluster"]
    machines = [_machine(item) for item in document["machines"]]
    return Fleet(
        cluster=None if cluster is None else _cluster(cluster),
        machines={machine.node_name: machine for machine in machines},
    )


def _cluster(item: Mapping[str, Any]) -> Cluster:
    addons = item["addons"]
    return Cluster(
        id=item["id"],
        name=item["name"],
        kubernetes_version=item["kubernetesVersion"],
        node_resource_group=item["nodeResourceGroup"],
        location=item["location"],
        cluster_principal=item["identity"]["clusterPrincipalId"],
        kubelet_principal=item["identity"]["kubeletPrincipalId"],
        addons=Addons(
            disk_csi=addons["diskCsi"],
            file_csi=addons["fileCsi"],
            blob_csi=addons["blobCsi"],
            workload_identity=addons["workloadIdentity"],
        ),
    )


def _machine(item: Mapping[str, Any]) -> Machine:
    gpu = cast(dict[str, Any], item["gpu"] or {})
    return Machine(
        node_name=item["nodeName"],
        provider_id=item["providerId"],
        pool=item["pool"],
        vm_size=item["vmSize"],
        zone=item["zone"] or "0",
        labels=item["labels"],
        taints=tuple(Taint(one["key"], one.get("value") or "", one["effect"]) for one in item["taints"]),
        max_pods=item["maxPods"],
        capacity=_resources(item["capacity"]),
        allocatable=_resources(item["allocatable"]),
        gpus=Gpus(gpu["vendor"], gpu["count"], gpu["driver"], gpu["instanceProfile"]) if gpu.get("count") else None,
        state=item["state"],
    )


def _resources(item: Mapping[str, int]) -> Resources:
    return Resources(item["cpuMilli"], item["memoryKib"], item["ephemeralKib"])
