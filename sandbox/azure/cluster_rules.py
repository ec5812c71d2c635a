"""What AKS asks of a managed cluster's own body, beside its pools and addresses.

Pure functions of the body's properties and of the ones stored before; each raises ArmError with AKS's code and
words, or returns nothing.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any, cast

from sandbox.azure.behaviour import Body
from sandbox.azure.container_service import invalid, listed, mapping, refusal, text, unchangeable
from sandbox.azure.kubernetes_versions import LONG_TERM

_DNS_PREFIX = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,52}[A-Za-z0-9])?")
_GROUP_NAME = re.compile(r"[\w().-]{0,79}[\w()-]")
_PRIVATE_RANGES = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
_DURATION = re.compile(r"\d+(s|m|h)")

CREATE_ONLY: Mapping[str, Any] = {
    "dnsPrefix": None,
    "fqdnSubdomain": None,
    "nodeResourceGroup": None,
    "enableRBAC": True,
    "diskEncryptionSetID": None,
    "networkProfile.networkPlugin": None,
    "networkProfile.networkPluginMode": None,
    "networkProfile.networkPolicy": None,
    "networkProfile.networkDataplane": None,
    "networkProfile.podCidr": None,
    "networkProfile.podCidrs": None,
    "networkProfile.serviceCidr": None,
    "networkProfile.serviceCidrs": None,
    "networkProfile.dnsServiceIP": None,
    "networkProfile.ipFamilies": None,
    "networkProfile.loadBalancerSku": None,
    "apiServerAccessProfile.enablePrivateCluster": False,
    "apiServerAccessProfile.privateDNSZone": None,
    "windowsProfile.adminUsername": None,
    "linuxProfile.adminUsername": None,
}
"""Paths whose value stays as it was created; one left out of a later body keeps it."""

_SCALER_NUMBERS = {
    "max-empty-bulk-delete": (0, 1000),
    "max-graceful-termination-sec": (0, 3600),
    "max-total-unready-percentage": (0, 100),
    "ok-total-unready-count": (0, 1000),
}
_SCALER_DURATIONS = (
    "max-node-provision-time",
    "new-pod-scale-up-delay",
    "scale-down-delay-after-add",
    "scale-down-delay-after-delete",
    "scale-down-delay-after-failure",
    "scale-down-unneeded-time",
    "scale-down-unready-time",
    "scan-interval",
)
_SCALER_BOOLEANS = ("balance-similar-node-groups", "skip-nodes-with-local-storage", "skip-nodes-with-system-pods")


def at(properties: Body, path: str) -> Any:
    """The value at a dotted path, None where it leads nowhere."""
    node: Any = properties
    for step in path.split("."):
        if not isinstance(node, dict):
            return None
        node = cast(Body, node).get(step)
    return node


def check_unchanged(new: Body, old: Body) -> None:
    """Create-only properties keep their value."""
    for path, default in CREATE_ONLY.items():
        given = at(new, path)
        before = at(old, path) if at(old, path) is not None else default
        if given is None:
            continue
        same = given.lower() == text(before).lower() if isinstance(given, str) else given == before
        if not same:
            raise unchangeable(path)
    outbound = at(new, "networkProfile.outboundType")
    if outbound is not None and outbound != at(old, "networkProfile.outboundType"):
        raise refusal(
            "UpdatingOutboundTypeNotAllowed",
            f"Updating outboundType from {at(old, 'networkProfile.outboundType')} to {outbound} is not allowed.",
            "networkProfile.outboundType",
        )
    if at(old, "oidcIssuerProfile.enabled") and at(new, "oidcIssuerProfile.enabled") is False:
        raise refusal(
            "OIDCIssuerCannotBeDisabled", "OIDC issuer feature cannot be disabled.", "oidcIssuerProfile.enabled"
        )
    if old.get("aadProfile") and not new.get("aadProfile"):
        raise unchangeable("aadProfile")


def check_names(resource_group: str, properties: Body) -> None:
    """DNS prefix and the name of the machines' group."""
    prefix = properties.get("dnsPrefix")
    if not prefix and not properties.get("fqdnSubdomain"):
        raise refusal("InvalidParameter", "Required parameter dnsPrefix is missing (null).", "dnsPrefix")
    if prefix and not _DNS_PREFIX.fullmatch(prefix):
        raise invalid("dnsPrefix", f"'{prefix}' must be 1 to 54 letters, digits and hyphens, no hyphen at either end.")
    group = text(properties.get("nodeResourceGroup"))
    if group.lower() == resource_group.lower():
        raise refusal(
            "NodeResourceGroupSameAsResourceGroup",
            f"The node resource group '{group}' must not be the cluster's own resource group.",
            "nodeResourceGroup",
        )
    if group and not _GROUP_NAME.fullmatch(group):
        raise invalid("nodeResourceGroup", f"'{group}' must be 1 to 80 letters, digits and _ ( ) . -, no period last.")


def check_network(profile: Body) -> None:
    """Plug-in, mode, data plane and policy go together."""
    plugin, mode = profile.get("networkPlugin", "azure"), profile.get("networkPluginMode")
    plane, policy = profile.get("networkDataplane", "azure"), profile.get("networkPolicy")
    if mode == "overlay" and plugin != "azure":
        raise invalid("networkProfile.networkPluginMode", f"overlay needs networkPlugin azure, not {plugin}.")
    if plane == "cilium" and plugin not in {"azure", "none"}:
        raise invalid("networkProfile.networkDataplane", f"cilium needs networkPlugin azure, not {plugin}.")
    if (policy == "cilium") != (plane == "cilium") and (policy == "cilium" or policy not in {None, "none"}):
        raise invalid(
            "networkProfile.networkPolicy", f"networkPolicy {policy} cannot be used with networkDataplane {plane}."
        )
    if policy == "azure" and plugin != "azure":
        raise refusal("NetworkPolicyAzureNotSupportedForKubenet", f"networkPolicy azure cannot be used with {plugin}.")
    if text(profile.get("loadBalancerSku", "standard")).lower() != "standard":
        raise refusal(
            "InvalidLoadBalancerSku",
            "Basic load balancers were retired on 2025-09-30: set networkProfile.loadBalancerSku to 'standard'.",
            "networkProfile.loadBalancerSku",
        )
    if plugin == "azure" and mode != "overlay" and profile.get("podCidr"):
        raise invalid("networkProfile.podCidr", "podCidr can be set only with overlay networking or kubenet.")


def check_access(properties: Body) -> None:
    """Who may reach the API server, and who may sign in."""
    access = mapping(properties.get("apiServerAccessProfile"))
    ranges = listed(access.get("authorizedIPRanges"))
    private = bool(access.get("enablePrivateCluster"))
    if private and ranges:
        raise invalid(
            "apiServerAccessProfile.authorizedIPRanges",
            "Authorized IP ranges cannot be used with a private cluster.",
        )
    if len(ranges) > 200:
        raise invalid("apiServerAccessProfile.authorizedIPRanges", f"{len(ranges)} ranges: 200 are allowed.")
    for one in ranges:
        _check_range(one)
    zone = access.get("privateDNSZone")
    if zone and not private:
        raise refusal("InvalidPrivateDNSZoneMode", "privateDNSZone can be set only on a private cluster.")
    if zone == "none" and access.get("enablePrivateClusterPublicFQDN") is False:
        raise refusal(
            "NonePrivateDNSZonePublicFQDNDisabledError",
            "privateDNSZone none needs enablePrivateClusterPublicFQDN: without either there is no name.",
        )
    sign_in = mapping(properties.get("aadProfile"))
    if properties.get("enableRBAC") is False:
        raise invalid("enableRBAC", "New clusters need Kubernetes RBAC: leave enableRBAC out or set it to true.")
    if sign_in and not sign_in.get("managed"):
        raise invalid("aadProfile.managed", "Legacy Entra integration is retired: set aadProfile.managed to true.")
    for group in listed(sign_in.get("adminGroupObjectIDs")):
        try:
            uuid.UUID(group)
        except ValueError as error:
            raise refusal(
                "InvalidAdminGroupObjectID",
                f"aadProfile.adminGroupObjectIDs '{group}' is not an object id (a GUID).",
                "aadProfile.adminGroupObjectIDs",
            ) from error
    if properties.get("disableLocalAccounts") and not sign_in:
        raise invalid(
            "disableLocalAccounts", "Local accounts cannot be disabled without Entra integration: set aadProfile."
        )
    workload = at(properties, "securityProfile.workloadIdentity.enabled")
    if workload and not at(properties, "oidcIssuerProfile.enabled"):
        raise invalid(
            "securityProfile.workloadIdentity", "Workload identity needs the OIDC issuer: enable oidcIssuerProfile."
        )


def _check_range(given: str) -> None:
    try:
        found = IPv4Network(given, strict=False)
    except ValueError as error:
        raise refusal(
            "InvalidIPRangeCIDR",
            f"apiServerAccessProfile.authorizedIPRanges '{given}' is no address or CIDR range.",
            "apiServerAccessProfile.authorizedIPRanges",
        ) from error
    if any(found.subnet_of(one) for one in _PRIVATE_RANGES):
        raise invalid("apiServerAccessProfile.authorizedIPRanges", f"'{given}' is not a public address range.")


def check_plan(sku: Body, properties: Body) -> None:
    """Tier and support plan."""
    if properties.get("supportPlan") == LONG_TERM and sku.get("tier") != "Premium":
        raise invalid("supportPlan", f"{LONG_TERM} needs the Premium tier, not {sku.get('tier', 'Free')}.")


def check_upgrades(profile: Body) -> None:
    """The two channels of automatic upgrades go together."""
    cluster, nodes = profile.get("upgradeChannel"), profile.get("nodeOSUpgradeChannel")
    if cluster == "node-image" and nodes not in {None, "NodeImage"}:
        raise invalid(
            "autoUpgradeProfile.nodeOSUpgradeChannel",
            f"nodeOSUpgradeChannel {nodes} cannot be used with upgradeChannel node-image: set NodeImage.",
        )


def check_scaler(profile: Body) -> None:
    """AKS's autoscaler settings are strings, each within its bounds."""
    where = "autoScalerProfile"
    for key, (low, high) in _SCALER_NUMBERS.items():
        value = profile.get(key)
        if value is not None and not (str(value).isdecimal() and low <= int(value) <= high):
            raise invalid(f"{where}.{key}", f"'{value}' must be a whole number, {low} to {high}.")
    for key in _SCALER_DURATIONS:
        value = profile.get(key)
        if value is not None and not _DURATION.fullmatch(str(value)):
            raise invalid(f"{where}.{key}", f"'{value}' must be a duration such as '10m'.")
    unit = profile.get("max-node-provision-time")
    if unit is not None and not str(unit).endswith("m"):
        raise invalid(f"{where}.max-node-provision-time", f"'{unit}' must be in minutes, such as '15m'.")
    for key in _SCALER_BOOLEANS:
        value = profile.get(key)
        if value is not None and value not in {"true", "false"}:
            raise invalid(f"{where}.{key}", f"'{value}' must be 'true' or 'false'.")
    threshold = profile.get("scale-down-utilization-threshold")
    if threshold is not None:
        try:
            fits = 0 <= float(threshold) <= 1
        except ValueError:
            fits = False
        if not fits:
            raise invalid(f"{where}.scale-down-utilization-threshold", f"'{threshold}' must be a number, 0 to 1.")
