"""Whether the machines that an agent pool asks for can be had: size, zones, disk, GPUs, pods.

Pure; each check raises ArmError with AKS's code and words, or returns nothing.
"""

from __future__ import annotations

from capacity.catalogue import VmSize
from sandbox.azure.behaviour import Body
from sandbox.azure.container_service import invalid, listed, mapping, number_in, refusal
from sandbox.azure.skus import Offer


def check_size(name: str, properties: Body, offered: Offer | None, sellable: list[str], location: str) -> Offer:
    """The size must be offered to this subscription in this location, for AKS.

    Args:
        sellable: the sizes that are, for the message.
    """
    wanted = properties.get("vmSize")
    if not wanted:
        raise refusal(
            "InvalidParameter", "Required parameter properties.vmSize is missing (null).", "properties.vmSize"
        )
    if offered is None or not offered.for_aks:
        raise refusal(
            "BadRequest",
            f"The VM size of {wanted} is not allowed in your subscription in location '{location}'. The available VM "
            f"sizes are '{','.join(one.lower() for one in sellable)}'. For more details, please visit "
            "https://aka.ms/aks/quotas-skus-regions",
        )
    zones = [str(zone) for zone in listed(properties.get("availabilityZones"))]
    missing = [zone for zone in zones if zone not in offered.zones]
    if missing:
        raise refusal(
            "AvailabilityZoneNotSupported",
            f"Preflight validation check for resource(s) for container service failed. Message: The zone(s) "
            f"'{','.join(missing)}' for resource '{name}' is not supported. The supported zones for location "
            f"'{location}' are '{','.join(offered.zones)}'. Details: ",
        )
    if len(set(zones)) != len(zones):
        raise invalid("agentPoolProfile.availabilityZones", f"The zones {zones} name one zone twice.")
    if properties.get("scaleSetPriority") == "Spot" and offered.size.spot_capable is False:
        raise invalid("agentPoolProfile.scaleSetPriority", f"The VM size {wanted} cannot be bought as spot.")
    return offered


def check_disk(properties: Body, size: VmSize) -> None:
    """30 to 2,048 GB; an ephemeral disk must fit on the machine."""
    disk = number_in(properties, "osDiskSizeGB") or 0
    if disk and not 30 <= disk <= 2048:
        raise invalid("agentPoolProfile.osDiskSizeGB", f"osDiskSizeGB {disk} must be 30 to 2048, or 0 for the default.")
    if properties.get("enableEncryptionAtHost") and size.encryption_at_host is False:
        raise refusal(
            "VMSizeDoesNotSupportEncryptionAtHost",
            f"The Virtual Machine size {size.name} does not support EncryptionAtHost.",
        )
    if properties.get("osDiskType") != "Ephemeral":
        return
    room = size.os_disk_room_gib
    if not room:
        raise refusal(
            "VMSizeDoesNotSupportEphemeralOS",
            f"The Virtual Machine size {size.name} does not support Ephemeral OS disk.",
        )
    wanted = disk or 128
    if wanted > room:
        cached = bool(size.cache_disk_gib and size.cache_disk_gib >= (size.temp_disk_gib or 0))
        code, what = ("VMCacheSizeTooSmall", "cache") if cached else ("VMTemporaryDiskTooSmall", "temporary disk")
        raise refusal(
            code,
            f"The virtual machine size {size.name} has a {what} size of {room * 1024**3} bytes, but the OS disk "
            f"requires {wanted * 1024**3} bytes. Use a VM size with larger {what} or disable ephemeral OS.",
        )
    if properties.get("scaleDownMode") == "Deallocate":
        raise invalid("agentPoolProfile.scaleDownMode", "Deallocate cannot be used with an ephemeral OS disk.")


def check_gpu(properties: Body, size: VmSize) -> None:
    """Partitions only on GPUs that have them; AMD without AKS's driver, on Ubuntu."""
    profile = properties.get("gpuInstanceProfile")
    if profile and not size.mig_capable:
        raise refusal(
            "VMSizeDoesNotSupportMIG",
            f"The VM size {size.name} does not support multi-instance GPU: gpuInstanceProfile {profile} cannot be set.",
        )
    driver = mapping(properties.get("gpuProfile")).get("driver")
    if driver and not size.gpus:
        raise invalid("agentPoolProfile.gpuProfile", f"The VM size {size.name} has no GPU: gpuProfile cannot be set.")
    if size.gpu_vendor == "amd":
        if driver != "None":
            raise invalid(
                "agentPoolProfile.gpuProfile.driver",
                f"AKS installs no driver for the AMD GPUs of {size.name}: set gpuProfile.driver to 'None'.",
            )
        if not str(properties.get("osSKU", "Ubuntu")).startswith("Ubuntu"):
            raise invalid("agentPoolProfile.osSKU", f"{properties['osSKU']} isn't supported with AMD GPU: use Ubuntu.")


def check_pods(properties: Body) -> None:
    """10 to 250 pods a node."""
    pods = number_in(properties, "maxPods")
    if pods is not None and not 10 <= pods <= 250:
        code = "InsufficientMaxPods" if pods < 10 else "MaxPodsLimitExceeded"
        raise refusal(code, f"Invalid maxPods {pods}: a node must allow 10 to 250 pods.", "agentPoolProfile.maxPods")
