"""What AKS gives a pool that asks for nothing: OS image, disk, pods a node."""

from __future__ import annotations

from capacity.catalogue import VmSize
from sandbox.azure.kubernetes_versions import number

IMAGE_RELEASE = "202610.28.0"
_DISK_STEPS = ((64, 1024), (16, 512), (8, 256), (0, 128))
"""Default OS disk in GB by vCPUs (azure-aks-docs concepts-storage.md, default OS disk sizing)."""


def effective_os_sku(os_sku: str, version: str) -> str:
    """The OS that an `osSKU` stands for in a Kubernetes version (azure-aks-docs upgrade-os-version.md)."""
    if os_sku == "Ubuntu":
        return "Ubuntu2404" if number(version)[1] >= 35 else "Ubuntu2204"
    return "AzureLinux3" if os_sku == "AzureLinux" else os_sku


def image_version(os_sku: str, version: str, architecture: str) -> str:
    """`AKSUbuntu-2404gen2containerd-202610.28.0`."""
    arm = "arm64" if architecture == "arm64" else ""
    effective = effective_os_sku(os_sku, version)
    if effective.startswith("Ubuntu"):
        return f"AKSUbuntu-{effective.removeprefix('Ubuntu')}gen2{arm}containerd-{IMAGE_RELEASE}"
    return f"AKSAzureLinux-V3gen2{arm}-{IMAGE_RELEASE}"


def default_disk_gib(size: VmSize) -> int:
    """The OS disk of a pool that gives none."""
    return next(disk for vcpus, disk in _DISK_STEPS if size.vcpus >= vcpus)


def default_disk_type(size: VmSize, disk_gib: int) -> str:
    """Ephemeral where the machine has room for it, else managed."""
    return "Ephemeral" if (size.os_disk_room_gib or 0) >= disk_gib else "Managed"


def default_max_pods(network_plugin: str, mode: str | None) -> int:
    """Pods a node by network plugin (azure-aks-docs concepts-network-ip-address-planning.md)."""
    if network_plugin == "kubenet":
        return 110
    return 250 if mode == "overlay" else 30
