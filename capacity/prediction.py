"""What a node of a pool will offer before there is one, and the tags that tell the autoscaler so.

Owns the arithmetic of what AKS leaves allocatable and the tags' names. The prediction never promises more than a
real node has: a promise that a node cannot keep makes the autoscaler add nodes for ever for a pod that fits none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from capacity.catalogue import VmSize
from capacity.pools import PoolPlan
from stacks.settings import Autoscaler

AZURE_TAGS = 50
"""Tags that Azure allows on a resource."""

DISCOVERY_TAG = "cluster-autoscaler-enabled"
"""The tag by which a self-hosted autoscaler finds the scale sets that it looks after."""

AKS_OWN_TAGS = 16
"""Room left for the tags that AKS itself puts on a scale set: 14 in the PUT of one of AKS 1.32.9, thirteen
`aks-managed-*` and `compute.aks.billing`, and two to spare for features that add one."""

TEMPLATE = "k8s.io_cluster-autoscaler_node-template_"
"""Prefix of the tags that describe a node (cluster-autoscaler `cloudprovider/azure/azure_template.go`)."""

_MEMORY_SHOWN = 0.925
"""Share of a size's memory that a machine shows: firmware and kernel keep some. 7.5 % is what
Azure/karpenter-provider-azure subtracts by default (`--vm-memory-overhead-percent`); of measured nodes the one that
shows least has 96.0 % (4 GiB, Azure/AKS#3525)."""

_EVICTION_MIB = 100
"""The kubelet's `memory.available` threshold on AKS since 1.29."""

_DISK_SHOWN = 0.95
"""Share of an OS disk that its root file system offers, the rest being partitions for boot and the file system's own
tables; measured nodes show 96.7 % (30 GiB, Azure/acs-engine#4236) and more."""

_DISK_KEPT_FREE = 0.10
"""The kubelet's `nodefs.available` threshold, which counts as reserved."""


class TooManyTagsError(ValueError):
    """A pool's tags are more than Azure allows on a resource."""


@dataclass(frozen=True, slots=True)
class Allocatable:
    """What pods can have of a node: thousandths of a CPU, and MiB."""

    cpu_milli: int
    memory_mib: int
    ephemeral_mib: int


def allocatable(size: VmSize, max_pods: int, os_disk_gib: int) -> Allocatable:
    """What AKS leaves to pods on a node, predicted low.

    Args:
        size: the VM size.
        max_pods: the pool's maximum of pods a node, by which AKS reserves memory.
        os_disk_gib: GiB of the OS disk, where images, logs and scratch space of pods lie.
    """
    shown = int(size.memory_mib * _MEMORY_SHOWN)
    memory = shown - reserved_memory_mib(size.memory_mib, max_pods) - _EVICTION_MIB
    disk = int(os_disk_gib * 1024 * _DISK_SHOWN * (1 - _DISK_KEPT_FREE))
    return Allocatable(
        cpu_milli=size.vcpus * 1000 - reserved_cpu_milli(size.vcpus), memory_mib=max(memory, 0), ephemeral_mib=disk
    )


def reserved_cpu_milli(vcpus: int) -> int:
    """Thousandths of a CPU that AKS reserves: its table of 60, 100, 140, 180, 260, 420, 740 for 1, 2, 4, 8, 16, 32
    and 64 cores, which is 10 a core above four; larger sizes go on so (azure-aks-docs `node-resource-reservations.md`).
    """
    if vcpus <= 2:
        return 20 + 40 * vcpus
    return 60 + 20 * vcpus if vcpus <= 4 else 100 + 10 * vcpus


def reserved_memory_mib(memory_mib: int, max_pods: int) -> int:
    """MiB that AKS reserves since 1.29: 20 MB a pod and 50 MB, at most a quarter, rounded up (the same document)."""
    return min(20 * max_pods + 50, -(-memory_mib // 4))


def pool_tags(
    plan: PoolPlan, *, location: str, autoscaler: Autoscaler, autoscaler_name: str, tags: Mapping[str, str]
) -> dict[str, str]:
    """All tags of one agent pool, which AKS hands down to the scale set.

    Args:
        plan: the pool.
        location: the region, of which the zone labels are made.
        autoscaler: the stack's settings; in `managed` mode the tags by which a self-hosted autoscaler finds its
            pools are left out, so that no pool ever has two. Pools of class storage never have them.
        autoscaler_name: value of `cluster-autoscaler-name`, one a cluster.
        tags: the stack's own; the pool's go before them.

    Raises:
        TooManyTagsError: more than Azure's 50, AKS's own counted.
    """
    found = (
        {
            DISCOVERY_TAG: "true",
            "cluster-autoscaler-name": autoscaler_name,
            "min": str(plan.settings.min),
            "max": str(plan.settings.max),
        }
        if autoscaler.mode == "deployment" and not plan.settings.is_storage
        else {}
    )
    users = {**tags, **plan.settings.tags}
    merged = {**users, **found, **template_tags(plan, location=location, autoscaler=autoscaler)}
    if len(merged) + AKS_OWN_TAGS > AZURE_TAGS:
        own = len(merged) - len(users)
        raise TooManyTagsError(
            f"{len(users)} tags of the stack and the pool, {own} for the autoscaler and {AKS_OWN_TAGS} kept for AKS "
            f"are {len(merged) + AKS_OWN_TAGS}, above Azure's {AZURE_TAGS}: "
            f"remove {len(merged) + AKS_OWN_TAGS - AZURE_TAGS} tags, labels or taints"
        )
    return merged


def template_tags(plan: PoolPlan, *, location: str, autoscaler: Autoscaler) -> dict[str, str]:
    """The tags by which the autoscaler predicts a node of an empty pool; it reads nothing else of it."""
    room = allocatable(plan.size, plan.settings.max_pods, plan.os_disk_gib)
    resources = {
        "cpu": f"{room.cpu_milli}m",
        "memory": f"{room.memory_mib}Mi",
        "ephemeral-storage": f"{room.ephemeral_mib}Mi",
        **gpu_resources(plan),
    }
    return {
        **{f"{TEMPLATE}resources_{escaped(name)}": amount for name, amount in resources.items()},
        **{f"{TEMPLATE}label_{escaped(key)}": value for key, value in predicted_labels(plan, location).items()},
        **{f"{TEMPLATE}taint_{escaped(key)}": rest for key, rest in map(_split_taint, plan.taints)},
        **{
            f"{TEMPLATE}autoscaling-options_{name}": value
            for name, value in scale_down_options(plan, autoscaler).items()
        },
    }


def gpu_resources(plan: PoolPlan) -> dict[str, str]:
    """GPUs a node will offer, by resource name.

    The autoscaler counts every GPU as NVIDIA's, so an AMD pool says that it has none of those.
    """
    if plan.gpu_resource is None:
        return {}
    counts = {plan.gpu_resource: str(plan.gpus_per_node)}
    return counts if plan.gpu_resource == "nvidia.com/gpu" else {**counts, "nvidia.com/gpu": "0"}


def predicted_labels(plan: PoolPlan, location: str) -> dict[str, str]:
    """The labels that a node of the pool will carry and that pods may select on: declared ones and AKS's own.

    A pool over several zones, or none, says nothing of zones: where its next node comes up is not known.
    """
    labels = dict(plan.labels)
    if plan.gpu_resource == "nvidia.com/gpu":
        labels["kubernetes.azure.com/accelerator"] = "nvidia"
    if len(plan.settings.zones) == 1:
        zone = f"{location}-{plan.settings.zones[0]}"
        labels["topology.kubernetes.io/zone"] = zone
        labels["topology.disk.csi.azure.com/zone"] = zone
    return labels


def scale_down_options(plan: PoolPlan, autoscaler: Autoscaler) -> dict[str, str]:
    """Scale-down settings of this pool alone, by the autoscaler's option names.

    In `batch` a GPU node goes only when no GPU of it is in use: the autoscaler's own threshold of 0.5 would drain a
    half-used machine with jobs on it.
    """
    scaling = plan.settings.scaling
    gpu_threshold = scaling.gpu_utilization_threshold
    if gpu_threshold is None and plan.gpu_resource is not None and autoscaler.profile == "batch":
        gpu_threshold = 0
    options: dict[str, str] = {}
    if scaling.utilization_threshold is not None:
        options["scaledownutilizationthreshold"] = f"{scaling.utilization_threshold:g}"
    if gpu_threshold is not None:
        options["scaledowngpuutilizationthreshold"] = f"{gpu_threshold:g}"
    if scaling.unneeded_minutes is not None:
        options["scaledownunneededtime"] = f"{scaling.unneeded_minutes}m"
    return options


def escaped(key: str) -> str:
    """A label, taint or resource name as part of a tag's name, where `/` is not allowed."""
    return key.replace("_", "~2").replace("/", "_")


def _split_taint(taint: str) -> tuple[str, str]:
    key, _, rest = taint.partition("=")
    return key, rest
