"""What AKS asks of an agent pool: names, counts, modes, spot, and what may change afterwards.

Pure functions of the body's properties, of the ones stored before, and of the size; each raises ArmError with
AKS's code and words, or returns nothing. Sources of the words: reports of users quoted in public issues and
documents, named where a rule is not in AKS's own documentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from capacity.catalogue import VmSize, is_burstable
from sandbox.azure.behaviour import Body
from sandbox.azure.container_service import invalid, listed, mapping, number_in, refusal, unchangeable
from sandbox.azure.pool_labels import SPOT_LABEL, SPOT_TAINT, parsed_taint

MAX_NODES = 1000
MAX_POOLS = 100
MAX_CLUSTER_NODES = 5000

CREATE_ONLY: Mapping[str, Any] = {
    "availabilityZones": None,
    "capacityReservationGroupID": None,
    "creationData": None,
    "enableEncryptionAtHost": False,
    "enableFIPS": False,
    "enableNodePublicIP": False,
    "enableUltraSSD": False,
    "gpuInstanceProfile": None,
    "gpuProfile": None,
    "hostGroupID": None,
    "kubeletConfig": None,
    "kubeletDiskType": "OS",
    "linuxOSConfig": None,
    "maxPods": None,
    "messageOfTheDay": None,
    "networkProfile": None,
    "nodePublicIPPrefixID": None,
    "osDiskSizeGB": None,
    "osDiskType": None,
    "osType": "Linux",
    "podSubnetID": None,
    "proximityPlacementGroupID": None,
    "scaleSetEvictionPolicy": None,
    "scaleSetPriority": "Regular",
    "spotMaxPrice": None,
    "type": "VirtualMachineScaleSets",
    "vmSize": None,
    "vnetSubnetID": None,
    "workloadRuntime": "OCIContainer",
}
"""Properties that stay as they were created, with what a pool that never set one has."""
_MUST_BE_REPEATED = {
    "availabilityZones",
    "capacityReservationGroupID",
    "enableEncryptionAtHost",
    "gpuInstanceProfile",
    "proximityPlacementGroupID",
    "scaleSetPriority",
}
"""Of these, leaving out a value that was set is a change; every other keeps its value."""

_NAME = re.compile(r"[a-z][a-z0-9]{0,11}")
_PERCENT = re.compile(r"(\d{1,3})%")
_LABEL_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_LABEL_PREFIX = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_LABEL_KEY = re.compile(rf"({_LABEL_PREFIX}/)?{_LABEL_NAME}")
_LABEL_VALUE = re.compile(rf"({_LABEL_NAME})?")
_TAINT = re.compile(rf"(?P<key>({_LABEL_PREFIX}/)?{_LABEL_NAME})(=(?P<value>({_LABEL_NAME})?))?:(?P<effect>\w+)")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_OWN_LABELS = {"agentpool", "storageprofile", "storagetier", "accelerator"}
"""Short labels that AKS sets itself (azure-aks-docs use-labels.md)."""


def surge_nodes(properties: Body) -> int:
    """Extra machines that an upgrade of the pool brings, of `maxSurge` or AKS's default of 10 % (at least one)."""
    if properties.get("scaleSetPriority") == "Spot":
        return 0
    nodes = top_count(properties)
    given = mapping(properties.get("upgradeSettings")).get("maxSurge") or "10%"
    percent = _PERCENT.fullmatch(given)
    return -(-nodes * int(percent[1]) // 100) if percent else int(given)


def top_count(properties: Body) -> int:
    """Nodes that the pool may have: its maximum where AKS scales it, else its count."""
    if properties.get("enableAutoScaling"):
        return int(properties.get("maxCount") or 0)
    return int(properties.get("count") or 0)


def check_name(name: str) -> None:
    """1 to 12 lower-case letters and digits, a letter first."""
    if not _NAME.fullmatch(name):
        raise invalid(
            "agentPoolProfile.name",
            f"The agent pool name '{name}' must match '^[a-z][a-z0-9]{{0,11}}$': lower-case letters and digits, "
            "a letter first, 12 at most.",
        )


def check_counts(name: str, properties: Body) -> None:
    """Count given, within the mode's bounds; minimum and maximum with autoscaling, and only with it."""
    count, low, high = (number_in(properties, key) for key in ("count", "minCount", "maxCount"))
    if count is None:
        raise refusal("InvalidParameter", "Required parameter properties.count is missing (null).", "properties.count")
    floor = 1 if properties.get("mode") == "System" else 0
    if not floor <= count <= MAX_NODES:
        raise invalid(
            "agentPoolProfile.count",
            f"Agent pool '{name}' has count {count}: it must be {floor} to {MAX_NODES} in mode "
            f"{properties.get('mode', 'User')}.",
        )
    if not properties.get("enableAutoScaling"):
        for key, value in (("minCount", low), ("maxCount", high)):
            if value is not None:
                raise invalid(
                    f"agentPoolProfile.{key}", f"Agent pool '{name}' sets {key} {value} without enableAutoScaling."
                )
        return
    for key, value in (("minCount", low), ("maxCount", high)):
        if value is None or not floor <= value <= MAX_NODES:
            raise invalid(
                f"agentPoolProfile.{key}",
                f"Agent pool '{name}' has enableAutoScaling and {key} {value}: it must be {floor} to {MAX_NODES}.",
            )
    if low is not None and high is not None and (high < max(low, 1) or not low <= count <= high):
        raise invalid(
            "agentPoolProfile.minCount",
            f"Agent pool '{name}' needs minCount {low} <= count {count} <= maxCount {high}, and a maxCount of "
            "at least 1.",
        )


def check_system(name: str, properties: Body, size: VmSize) -> None:
    """A system pool is Linux, regular, neither small nor of the B series, and carries no taint of its own."""
    if properties.get("mode") != "System":
        return
    if properties.get("osType", "Linux") != "Linux":
        raise refusal("SystemPoolMustBeLinux", f"System node pool must be Linux. Nodepool name: {name}.")
    if properties.get("scaleSetPriority") == "Spot":
        raise refusal("SystemPoolMustBeRegular", f"System node pool must be regular. Nodepool name: {name}.")
    if size.vcpus < 2 or size.memory_mib < 4096 or is_burstable(size.name):
        # Observed: 2 cores with 4 GB pass. The B series is unsupported here (azure-aks-docs use-system-pools.md).
        raise refusal(
            "SystemPoolSkuTooLow",
            f"System node pool must use VM sku with more than 2 cores and 4GB memory. Nodepool name: {name}.",
        )
    if (number_in(properties, "maxPods") or 30) < 30:
        raise refusal(
            "InsufficientMaxPods",
            f"System node pool must support at least 30 pods. Nodepool name: {name}, maxPods: {properties['maxPods']}.",
            "agentPoolProfile.maxPods",
        )
    for taint in listed(properties.get("nodeTaints")):
        parts = parsed_taint(taint)
        if parts and parts["key"] != "CriticalAddonsOnly" and parts["effect"] != "PreferNoSchedule":
            raise refusal(
                "SystemPoolHasRestrictedTaint",
                "Placing custom taints on system pool is not supported (except 'CriticalAddonsOnly' taint or taint "
                f"effect is 'PreferNoSchedule'). Nodepool name: {name}, taint: {taint}.",
            )


def check_spot(properties: Body) -> None:
    """Eviction and price belong to spot, surge does not."""
    spot = properties.get("scaleSetPriority") == "Spot"
    settings = mapping(properties.get("upgradeSettings"))
    if spot:
        for key, words in (("maxSurge", "max surge"), ("maxUnavailable", "max unavailable")):
            if settings.get(key) is not None:
                raise invalid(f"agentPoolProfile.upgradeSettings.{key}", f"Spot pools can't set {words}.")
        price = properties.get("spotMaxPrice")
        if price is not None and price != -1 and (price <= 0 or round(price, 5) != price):
            raise invalid(
                "agentPoolProfile.spotMaxPrice",
                f"spotMaxPrice {price} must be -1 or a positive value with up to five decimal places.",
            )
        return
    for key in ("spotMaxPrice", "scaleSetEvictionPolicy"):
        if properties.get(key) is not None:
            raise invalid(
                f"agentPoolProfile.{key}", f"{key} {properties[key]} can be set only with scaleSetPriority 'Spot'."
            )


def check_surge(properties: Body) -> None:
    """A number or a percentage; size and surge together stay within a pool's limit."""
    settings = mapping(properties.get("upgradeSettings"))
    for key in ("maxSurge", "maxUnavailable"):
        given = settings.get(key)
        if given is None:
            continue
        percent = _PERCENT.fullmatch(given)
        if not percent and not given.isdecimal():
            raise invalid(
                f"agentPoolProfile.upgradeSettings.{key}",
                f"'{given}' must be a whole number or a percentage such as '10%'.",
            )
        if percent and int(percent[1]) > 100:
            raise invalid(f"agentPoolProfile.upgradeSettings.{key}", f"'{given}' is more than 100%.")
    nodes, surge = top_count(properties), surge_nodes(properties)
    if settings.get("maxSurge") and nodes + surge > MAX_NODES:
        raise invalid(
            "agentPoolProfile.upgradeSettings.maxSurge",
            f"{nodes} nodes and a surge of {surge} exceed the {MAX_NODES} nodes an agent pool may have.",
        )


def check_unchanged(new: Body, old: Body, *, prefix: str = "properties") -> None:
    """Create-only properties keep their value; spot's own taint and label stay where they were."""
    for key, default in CREATE_ONLY.items():
        before = old[key] if old.get(key) is not None else default
        given = new.get(key)
        if given is None:
            given = default if key in _MUST_BE_REPEATED else before
        if not _same(given, before):
            raise unchangeable(f"{prefix}.{key}")
    if old.get("scaleSetPriority") == "Spot":
        # pulumi-azure-native#959: a body without spot's own taint is refused.
        if SPOT_TAINT not in (listed(new.get("nodeTaints"))):
            raise unchangeable(f"{prefix}.nodeTaints")
        if mapping(new.get("nodeLabels")).get(SPOT_LABEL) != "spot":
            raise unchangeable(f"{prefix}.nodeLabels")


def _same(one: Any, other: Any) -> bool:
    """Whether two values of a property mean the same: ids and names in any case, lists in any order."""
    if isinstance(one, str) and isinstance(other, str):
        return one.lower() == other.lower()
    if isinstance(one, list) or isinstance(other, list):
        return sorted(map(str, cast(list[Any], one or []))) == sorted(map(str, cast(list[Any], other or [])))
    return bool((one or None) == (other or None))


def check_scaling(name: str, new: Body, old: Body, live: int) -> None:
    """Who scales: AKS or the caller, never both in one request.

    Args:
        live: machines the pool has now.
    """
    count = number_in(new, "count")
    if not new.get("enableAutoScaling"):
        return
    if old.get("enableAutoScaling") and count != live:
        # hashicorp/terraform-provider-azurerm#4543, 2019.
        raise refusal(
            "InvalidParameter",
            f"Cannot manually scale AgentPool '{name}' with cluster autoscaler enabled.",
            "properties.count",
        )
    if not old.get("enableAutoScaling") and count != number_in(old, "count"):
        # Azure/AKS#1248.
        raise refusal(
            "InvalidParameter",
            f"Cannot manually scale and enable cluster autoscaler in the same update operation on VMSS "
            f"Agentpool '{name}'.",
            "properties.count",
        )
