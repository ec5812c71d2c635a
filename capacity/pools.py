"""From a pool's settings to the pool that AKS is asked for: class defaults applied, everything a plain value.

Owns what a pool's labels, taints, GPU count and create-only values are. Does not judge the settings: a stack that
`capacity.checks.load` returned can be planned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from capacity.catalogue import Catalogue, VmSize
from capacity.classes import CLASSES
from stacks.settings import Gpu, MigProfile, OsDisk, Pool, Spot, Stack
from stacks.storage_settings import Backend

GpuResource = Literal["nvidia.com/gpu", "amd.com/gpu"]
OsDiskType = Literal["Ephemeral", "Managed"]
GpuDriver = Literal["Install", "None"]

MIG_INSTANCES: Mapping[MigProfile, int] = {"MIG1g": 7, "MIG2g": 3, "MIG3g": 2, "MIG4g": 1, "MIG7g": 1}
"""Instances a GPU is cut into (azure-aks-docs `gpu-multi-instance.md`)."""

SPOT_KEY = "kubernetes.azure.com/scalesetpriority"
SPOT_TAINT = f"{SPOT_KEY}=spot:NoSchedule"
"""AKS puts this taint and the label of that name on spot pools; a pool that does not declare them itself cannot be
updated later (pulumi-azure-native #959)."""

DEVICE_PLUGIN_CONFIG = "nvidia.com/device-plugin.config"
"""The label by which the NVIDIA device plugin finds a node's entry in its configuration."""

PORTWORX_NODE_TYPE = "portworx.io/node-type"
"""The label by which Portworx knows the nodes that get disks (libopenstorage/operator `pkg/util/util.go`)."""


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """One pool as AKS is asked for it.

    Attributes:
        key: the pool's key in the stack file; its physical name begins with it.
        settings: what the stack file says.
        size: the VM size, the class's default applied.
        labels: everything for the pool's nodeLabels: ours, the user's, and spot's own.
        taints: everything for nodeTaints, `key=value:Effect`: the class's, the user's, and spot's own.
        gpu_resource: the name under which pods ask for a GPU, None without GPUs.
        gpus_per_node: how many of it a node offers, after time-slicing or partitioning.
        gpu_instance_profile: AKS's MIG profile, None without.
        device_plugin_config: the pool's entry in the NVIDIA device plugin's configuration: `whole`, `mig` or
            `time-slicing-<replicas>`; None where that plugin does not run.
        os_disk_type, os_disk_gib: as AKS is asked for it, never `auto`.
        driver: who installs the GPU driver; None without GPUs.
        surge: AKS's maxSurge, None on spot.
        surge_nodes: machines that an upgrade may add to a pool at its maximum.
        spot: price and eviction policy, None on demand.
        create_only: every value that AKS refuses to change on a pool, by AKS's own property name.
    """

    key: str
    settings: Pool
    size: VmSize
    labels: dict[str, str]
    taints: tuple[str, ...]
    gpu_resource: GpuResource | None
    gpus_per_node: int
    gpu_instance_profile: MigProfile | None
    device_plugin_config: str | None
    os_disk_type: OsDiskType
    os_disk_gib: int
    driver: GpuDriver | None
    surge: str | None
    surge_nodes: int
    spot: Spot | None
    create_only: dict[str, object]

    @property
    def peak_nodes(self) -> int:
        """Machines at most: the maximum and the surge of an upgrade at it."""
        return self.settings.max + self.surge_nodes


def plan_pools(stack: Stack, catalogue: Catalogue) -> dict[str, PoolPlan]:
    """Every pool of the stack, by key, in the stack file's order.

    Raises:
        LookupError: a pool's size is not in the catalogue.
    """
    backend = stack.storage.file_system.backend
    return {key: plan_pool(key, pool, catalogue, backend) for key, pool in stack.pools.items()}


def size_name(pool: Pool) -> str:
    """The size a pool names, else its class's."""
    return pool.vm_size or CLASSES[pool.pool_class].vm_size


def plan_pool(key: str, pool: Pool, catalogue: Catalogue, backend: Backend = "none") -> PoolPlan:
    """One pool.

    Args:
        key: its key in the stack file.
        pool: its settings.
        catalogue: the sizes.
        backend: of the stack's file system; Portworx asks for a label.

    Raises:
        LookupError: the size is not in the catalogue.
    """
    size = catalogue.size(size_name(pool))
    if size is None:
        raise LookupError(f"pool {key}: size {size_name(pool)!r} is not in the catalogue")
    spot = pool.spot
    resource = gpu_resource(size) if pool.is_gpu else None
    plugin_config = _device_plugin_config(pool.gpu) if resource == "nvidia.com/gpu" else None
    labels = {
        "trainyard/pool": key,
        "trainyard/class": pool.pool_class,
        "trainyard/role": pool.role,
        **({DEVICE_PLUGIN_CONFIG: plugin_config} if plugin_config else {}),
        **({SPOT_KEY: "spot"} if spot else {}),
        **({PORTWORX_NODE_TYPE: "storage" if pool.is_storage else "storageless"} if backend == "portworx" else {}),
        **pool.labels,
    }
    disk = os_disk_type(pool.os_disk, size, spot)
    driver = _driver(pool, size) if resource else None
    profile = pool.gpu.mig_profile if resource == "nvidia.com/gpu" and pool.gpu.sharing == "mig" else None
    return PoolPlan(
        key=key,
        settings=pool,
        size=size,
        labels=labels,
        taints=(*CLASSES[pool.pool_class].taints, *((SPOT_TAINT,) if spot else ()), *pool.taints),
        gpu_resource=resource,
        gpus_per_node=_gpus(size, pool.gpu) if resource else 0,
        gpu_instance_profile=profile,
        device_plugin_config=plugin_config,
        os_disk_type=disk,
        os_disk_gib=pool.os_disk.size_gib,
        driver=driver,
        surge=pool.max_surge,
        surge_nodes=pool.surge_nodes,
        spot=spot,
        create_only={
            "vmSize": size.name,
            "maxPods": pool.max_pods,
            "osDiskType": disk,
            "osDiskSizeGB": pool.os_disk.size_gib,
            "gpuInstanceProfile": profile,
            "gpuProfile": {"driver": driver} if driver else None,
            "scaleSetPriority": "Spot" if spot else "Regular",
            "scaleSetEvictionPolicy": spot.eviction_policy if spot else None,
            "spotMaxPrice": spot.max_price if spot else None,
            "availabilityZones": list(pool.zones),
            "proximityPlacementGroup": pool.proximity_group,
            "capacityReservationGroupID": pool.capacity_reservation_group,
            "enableEncryptionAtHost": pool.encryption_at_host,
        },
    )


def gpu_resource(size: VmSize) -> GpuResource | None:
    """The name under which Kubernetes hands out the size's GPUs, None without GPUs."""
    if not size.gpus or size.gpu_vendor is None:
        return None
    return "amd.com/gpu" if size.gpu_vendor == "amd" else "nvidia.com/gpu"


def os_disk_type(disk: OsDisk, size: VmSize, spot: Spot | None) -> OsDiskType:
    """Where the OS disk lies: `auto` takes the machine's own disk if it is known to have room.

    A machine that an eviction deallocates keeps its disk, which an ephemeral one cannot be.
    """
    if disk.type != "auto":
        return disk.type
    kept = spot is not None and spot.eviction_policy == "Deallocate"
    has_room = size.os_disk_room_gib is not None and size.os_disk_room_gib >= disk.size_gib
    return "Ephemeral" if has_room and not kept else "Managed"


def _gpus(size: VmSize, gpu: Gpu) -> int:
    if gpu.sharing == "time-slicing":
        return size.gpus * (gpu.replicas or 1)
    if gpu.sharing == "mig" and gpu.mig_profile is not None:
        return size.gpus * MIG_INSTANCES[gpu.mig_profile]
    return size.gpus


def _device_plugin_config(gpu: Gpu) -> str:
    return f"time-slicing-{gpu.replicas}" if gpu.sharing == "time-slicing" else gpu.sharing


def _driver(pool: Pool, size: VmSize) -> GpuDriver:
    """AKS installs NVIDIA drivers by default and enforces `None` on AMD sizes (azure-aks-docs `use-amd-gpus.md`)."""
    return "None" if size.gpu_vendor == "amd" else pool.gpu.driver or "Install"
