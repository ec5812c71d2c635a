"""The addresses of a cluster: its ranges, its subnets, and whether nodes and pods fit into them.

Each check raises ArmError with AKS's code and words, or returns nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from sandbox.azure.behaviour import Body, Context
from sandbox.azure.container_service import INSTANCE_TYPE, SCALE_SET_TYPE, listed, mapping, refusal, text
from sandbox.azure.errors import ArmError
from sandbox.azure.ids import key_of
from sandbox.azure.pool_rules import surge_nodes, top_count
from sandbox.azure.store import Resource

SUBNET_TYPE = "Microsoft.Network/virtualNetworks/subnets"
_RESERVED_ADDRESSES = 5
"""Azure keeps five addresses of every subnet."""
_POD_BLOCK = 256
"""Overlay networking gives each node a /24 of the pod range."""


def network(value: Any, parameter: str) -> IPv4Network:
    """A CIDR range of the body.

    Raises:
        ArmError: it is none, or its address has bits beyond its prefix.
    """
    try:
        return IPv4Network(str(value))
    except ValueError as error:
        raise refusal(
            "CidrStringParseError", f"The {parameter} '{value}' is not a valid CIDR range: {error}.", parameter
        ) from error


def prefix_of(subnet: Resource) -> IPv4Network:
    """A subnet's range; AKS takes subnets with one range only."""
    prefixes = listed(subnet.properties.get("addressPrefixes"))
    given = subnet.properties.get("addressPrefix") or (prefixes[0] if prefixes else None)
    if len(prefixes) > 1:
        raise refusal(
            "MultipleAddressPrefixesSubnetNotSupported",
            f"Subnet {subnet.id} has {len(prefixes)} address prefixes: AKS supports one.",
        )
    return network(given, "addressPrefix")


def subnet_of(ctx: Context, subnet_id: str) -> Resource:
    """The subnet that a pool names.

    Raises:
        ArmError: there is none, or another service has it.
    """
    found = ctx.store.get(subnet_id)
    if found is None or found.type != SUBNET_TYPE:
        raise refusal(
            "SubnetNotFound",
            f"Subnet {subnet_id} could not be found: create it first.",
            "agentPoolProfile.vnetSubnetID",
        )
    if found.properties.get("delegations"):
        raise refusal("SubnetIsDelegated", f"Subnet {subnet_id} is delegated to another service and cannot hold nodes.")
    return found


def check_ranges(profile: Body, subnets: Sequence[Resource]) -> None:
    """Pod and service ranges lie apart from each other and from the subnets; the DNS address lies in the services'."""
    services = network(profile["serviceCidr"], "networkProfile.serviceCidr")
    if services.prefixlen < 12:
        raise refusal(
            "InvalidNetworkingConfig",
            f"The service CIDR {services} must be smaller than /12.",
            "networkProfile.serviceCidr",
        )
    dns = _address(profile["dnsServiceIP"])
    if dns not in services:
        raise refusal(
            "DnsServiceIpOutOfServiceCidr",
            f"The specified DNS service IP {dns} is not in the range of service CIDR {services}.",
            "networkProfile.dnsServiceIP",
        )
    if dns == services.network_address + 1:
        raise refusal(
            "DnsServiceIpConflicting",
            f"The specified DNS service IP {dns} is the API server's: take another address of {services}.",
            "networkProfile.dnsServiceIP",
        )
    if dns in (services.broadcast_address, services.network_address):
        raise refusal(
            "DnsBroadcastAddressConflicting", f"The specified DNS service IP {dns} is no host address of {services}."
        )
    pods = network(profile["podCidr"], "networkProfile.podCidr") if profile.get("podCidr") else None
    if pods and pods.overlaps(services):
        raise refusal(
            "PodCidrOverlapServiceCidr",
            f"The specified pod CIDR {pods} is conflicted with the service CIDR {services}.",
            "networkProfile.podCidr",
        )
    for subnet in subnets:
        taken = prefix_of(subnet)
        if services.overlaps(taken):
            raise refusal(
                "ServiceCidrOverlapExistingSubnetsCidr",
                f"The specified service CIDR {services} is conflicted with an existing subnet CIDR {taken}",
                "networkProfile.serviceCIDR",
            )
        if pods and pods.overlaps(taken):
            raise refusal(
                "PodCidrOverlapExistingSubnetsCidr",
                f"The specified pod CIDR {pods} is conflicted with an existing subnet CIDR {taken}",
                "networkProfile.podCIDR",
            )


def _address(value: Any) -> IPv4Address:
    try:
        return IPv4Address(str(value))
    except ValueError as error:
        raise refusal(
            "DnsServiceIpParseError",
            f"The dnsServiceIP '{value}' is not an IPv4 address.",
            "networkProfile.dnsServiceIP",
        ) from error


def check_capacity(ctx: Context, profile: Body, pools: Iterable[Body]) -> None:
    """Every pool at its largest, surge included, has addresses for its nodes and for their pods.

    Args:
        profile: the cluster's network profile.
        pools: the properties of all pools, the new or changed one in its new form.
    """
    overlay = profile.get("networkPluginMode") == "overlay" or profile.get("networkPlugin") == "kubenet"
    nodes = 0
    by_subnet: dict[str, int] = {}
    for properties in pools:
        count = top_count(properties) + surge_nodes(properties)
        nodes += count
        subnet = properties.get("vnetSubnetID")
        if subnet:
            each = 1 if overlay else 1 + int(properties.get("maxPods") or 30)
            by_subnet[key_of(subnet)] = by_subnet.get(key_of(subnet), 0) + count * each
    advice = (
        "If Autoscaler is enabled, the max-count from each nodepool is counted towards this total (which means that "
        "pre-allocated IPs count represents a theoretical max value, not the actual number of IPs requested). "
        "http://aka.ms/aks/insufficientsubnetsize"
    )
    if overlay and profile.get("podCidr"):
        pods = network(profile["podCidr"], "networkProfile.podCidr")
        if nodes * _POD_BLOCK > pods.num_addresses:
            raise refusal(
                "InsufficientSubnetSize",
                f"Pre-allocated IPs {nodes * _POD_BLOCK} exceeds IPs available {pods.num_addresses} in Subnet "
                f"Cidr {pods}, Subnet Name networkProfile.podCIDR. {advice}",
                "networkProfile.podCIDR",
            )
    for subnet_id, wanted in by_subnet.items():
        subnet = subnet_of(ctx, subnet_id)
        taken = prefix_of(subnet)
        free = taken.num_addresses - _RESERVED_ADDRESSES
        if wanted > free:
            raise refusal(
                "InsufficientSubnetSize",
                f"Pre-allocated IPs {wanted} exceeds IPs available {free} in Subnet Cidr {taken}, Subnet Name "
                f"{subnet.name}. {advice}",
                "agentPoolProfile.count",
            )


def check_egress(ctx: Context, outbound: str, subnet_ids: Iterable[str | None]) -> None:
    """A cluster that leaves through a NAT gateway of the user's needs one, with an address, on its subnets."""
    if outbound != "userAssignedNATGateway":
        return
    for subnet_id in subnet_ids:
        if not subnet_id:
            raise refusal(
                "UserAssignedNATGatewayWithManagedVNetNotAllowed",
                "OutboundType 'userAssignedNATGateway' needs agent pools in a custom VNet: set vnetSubnetID.",
                "networkProfile.outboundType",
            )
        subnet = subnet_of(ctx, subnet_id)
        gateway_id = mapping(subnet.properties.get("natGateway")).get("id")
        if not gateway_id:
            raise refusal(
                "SubnetNotAssociatedWithNATGateway",
                f"Subnet '{subnet_id}' must have a NAT gateway associated for outbound connection",
            )
        gateway = ctx.store.get(gateway_id)
        if gateway is None:
            raise refusal("NATGatewayNotFound", f"NAT gateway '{gateway_id}' could not be found.")
        if not gateway.properties.get("publicIpAddresses") and not gateway.properties.get("publicIpPrefixes"):
            raise refusal(
                "NATGatewayNotAssociatedWithPublicIPOrIPPrefix",
                f"NAT gateway '{gateway_id}' must have at least one public IP or IP prefix associated",
            )


def check_room_for_machines(ctx: Context, subnet_id: str | None, more: int) -> None:
    """Compute gives each new machine an address of its subnet.

    Raises:
        ArmError: 400 `SubnetIsFull`.
    """
    subnet = ctx.store.get(subnet_id) if subnet_id else None
    if subnet is None or subnet_id is None:
        return
    used = 0
    for scale_set in ctx.store.of_type(SCALE_SET_TYPE):
        if subnet_id.lower() in text(scale_set.properties["virtualMachineProfile"]["networkProfile"]).lower():
            used += len(ctx.store.of_type(INSTANCE_TYPE, scale_set.id))
    taken = prefix_of(subnet)
    if used + more > taken.num_addresses - _RESERVED_ADDRESSES:
        raise ArmError(
            400,
            "SubnetIsFull",
            f"Subnet {subnet.name} with address prefix {taken} does not have enough capacity for {more} IP addresses.",
        )
