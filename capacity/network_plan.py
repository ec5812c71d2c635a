"""Address ranges of a stack: what is asked for, or what its pools need.

Owns the arithmetic and the rules AKS and Azure have for ranges. Defaults do not depend on the pools where the
virtual network has room for AKS's own limit of 5,000 nodes: a pod CIDR cannot change without a new cluster, and a
subnet in use cannot shrink.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from capacity.file_system_plan import plan_lustre
from stacks.settings import Stack

AKS_NODES = 5000
"""Nodes of one cluster at most."""

AZURE_RESERVED = 5
"""Addresses of every subnet that Azure keeps: the first four and the last."""

POD_PREFIX = 24
"""Each node gets a /24 of the pod CIDR with CNI overlay; the size is fixed."""

FORBIDDEN = tuple(IPv4Network(one) for one in ("169.254.0.0/16", "172.30.0.0/16", "172.31.0.0/16", "192.0.2.0/24"))
"""Ranges that AKS refuses for pods, services and the network (azure-aks-docs `concepts-network-cni-overview.md`)."""

PRIVATE = tuple(IPv4Network(one) for one in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))
"""RFC 1918 and RFC 6598: outside of them Microsoft gives no support."""

SMALLEST_PRIVATE_ENDPOINTS = 28
"""Eleven endpoints: the five accounts of shares, the three of containers, two of which have a second one, and one to
come."""

LUSTRE_PREFIX = 23
"""A managed Lustre's network, at least: a file system cannot move to another subnet, and the one that replaces it
needs addresses beside it."""


RangeField = Literal["vnet_cidr", "node_subnet_cidr", "private_endpoint_cidr", "pod_cidr", "service_cidr"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with the ranges.

    Attributes:
        field: the setting it is said of, a field of `Network`.
        message: value, what is allowed, the remedy.
        needs: other settings that it rests on.
    """

    field: RangeField
    message: str
    needs: tuple[RangeField, ...] = ()


class NetworkError(ValueError):
    """One or more address ranges cannot be used; `faults` has all of it."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"{fault.field}: {fault.message}" for fault in faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """The ranges of one stack; none overlaps another, both subnets lie in the virtual network.

    `lustre` is a network apart, None without a managed Lustre: that is kept when the virtual network goes.
    """

    vnet: IPv4Network
    node_subnet: IPv4Network
    private_endpoints: IPv4Network
    pods: IPv4Network
    services: IPv4Network
    dns_service_ip: IPv4Address
    lustre: IPv4Network | None


def peak_nodes(stack: Stack) -> int:
    """Machines at most: every pool at its maximum with its upgrade surge, and the system pool with its own."""
    system = stack.cluster.system_pool
    pools = sum(pool.max + pool.surge_nodes for pool in stack.pools.values())
    return system.count + system.surge_nodes + pools


def plan_network(stack: Stack) -> NetworkPlan:
    """The stack's address ranges.

    Raises:
        NetworkError: with everything that is wrong, each with the prefix length that would do.
    """
    asked = stack.network
    vnet, services = IPv4Network(asked.vnet_cidr), IPv4Network(asked.service_cidr)
    nodes = peak_nodes(stack)
    addresses = nodes + AZURE_RESERVED + (1 if stack.cluster.private else 0)
    faults: list[Fault] = []

    endpoints = IPv4Network(asked.private_endpoint_cidr) if asked.private_endpoint_cidr else None
    node_subnet = IPv4Network(asked.node_subnet_cidr) if asked.node_subnet_cidr else None
    if endpoints is None:
        endpoints = _endpoint_subnet(vnet, node_subnet)
    if node_subnet is None:
        node_subnet = _node_subnet(vnet, endpoints)
    pods = IPv4Network(asked.pod_cidr) if asked.pod_cidr else _pod_range((vnet, services))

    ranges: dict[RangeField, IPv4Network] = {"vnet_cidr": vnet, "service_cidr": services}
    if pods is None:
        room = f"/{pod_prefix_for(AKS_NODES)}"
        told = f"nothing set, and no private {room} is left beside vnetCidr {vnet} and serviceCidr {services}"
        faults.append(
            Fault("pod_cidr", f"{told}; allowed: a free private range. Set it.", ("vnet_cidr", "service_cidr"))
        )
    else:
        ranges["pod_cidr"] = pods
        faults += _pod_faults(pods, nodes)
    if endpoints is None or node_subnet is None:
        faults.append(_no_room(vnet, asked.node_subnet_cidr, asked.private_endpoint_cidr, addresses))
    else:
        faults += _subnet_faults(vnet, node_subnet, endpoints)
        faults += _room_faults(vnet, node_subnet, addresses, nodes, explicit=bool(asked.node_subnet_cidr))
    lustre = _lustre_range(stack, tuple(ranges.values()))
    faults += _service_faults(services)
    faults += _range_faults(ranges)
    if faults or pods is None or endpoints is None or node_subnet is None:
        raise NetworkError(faults)
    return NetworkPlan(
        vnet=vnet,
        node_subnet=node_subnet,
        private_endpoints=endpoints,
        pods=pods,
        services=services,
        dns_service_ip=services.network_address + 10,
        lustre=lustre,
    )


def subnet_prefix_for(addresses: int) -> int:
    """The longest prefix whose range has that many addresses."""
    return 32 - (addresses - 1).bit_length()


def pod_prefix_for(nodes: int) -> int:
    """The longest prefix of a pod CIDR with a /24 for each node."""
    return POD_PREFIX - (nodes - 1).bit_length()


def _vnet_prefix(addresses: int) -> int:
    """A network in which the node subnet takes one half and the endpoints a part of the other."""
    return max(min(subnet_prefix_for(addresses), 27) - 1, 8)


def _endpoint_subnet(vnet: IPv4Network, taken: IPv4Network | None) -> IPv4Network | None:
    """The last /24 of the network, in small ones the last sixteenth, that the node subnet leaves free."""
    prefix = min(max(24, vnet.prefixlen + 4), SMALLEST_PRIVATE_ENDPOINTS)
    if prefix <= vnet.prefixlen:
        return None
    last = int(vnet.broadcast_address) + 1
    step = 1 << (32 - prefix)
    for start in range(last - step, int(vnet.network_address) - 1, -step):
        subnet = IPv4Network((start, prefix))
        if taken is None or not subnet.overlaps(taken):
            return subnet
    return None


def _node_subnet(vnet: IPv4Network, endpoints: IPv4Network | None) -> IPv4Network | None:
    """The first range with room for 5,000 nodes, in smaller networks the largest there is."""
    shortest = max(subnet_prefix_for(AKS_NODES + AZURE_RESERVED + 1), vnet.prefixlen)
    for prefix in range(shortest, 30):
        for subnet in vnet.subnets(new_prefix=prefix):
            if endpoints is None or not subnet.overlaps(endpoints):
                return subnet
    return None


def _pod_range(taken: tuple[IPv4Network, ...]) -> IPv4Network | None:
    """The last private range with room for 5,000 nodes that is free."""
    return _free_range(pod_prefix_for(AKS_NODES), taken)


def _lustre_range(stack: Stack, taken: tuple[IPv4Network, ...]) -> IPv4Network | None:
    """A network for the stack's managed Lustre, if it has one: small enough to be free beside any others."""
    settings = stack.storage.file_system
    if settings.backend != "lustre" or settings.size_gib is None:
        return None
    return _free_range(min(plan_lustre(settings.size_gib).subnet_prefix, LUSTRE_PREFIX), taken)


def _free_range(prefix: int, taken: tuple[IPv4Network, ...]) -> IPv4Network | None:
    """The last private range of that size that is free; the end of 10/8 first, which is used least."""
    for private in PRIVATE:
        if private.prefixlen > prefix:
            continue
        step = 1 << (32 - prefix)
        for start in range(int(private.broadcast_address) + 1 - step, int(private.network_address) - 1, -step):
            candidate = IPv4Network((start, prefix))
            if not any(candidate.overlaps(other) for other in (*taken, *FORBIDDEN)):
                return candidate
    return None


def _no_room(vnet: IPv4Network, nodes: str | None, endpoints: str | None, addresses: int) -> Fault:
    """Why one of the subnets found no default: the one asked for fills the network, or the network is tiny."""
    asked: tuple[tuple[RangeField, str | None, str], ...] = (
        ("node_subnet_cidr", nodes, "private endpoints"),
        ("private_endpoint_cidr", endpoints, "the nodes"),
    )
    for field, subnet, others in asked:
        if subnet is not None:
            told = (
                f"{subnet} leaves no room for {others} in vnetCidr {vnet}; allowed: a part of it. Use a smaller range."
            )
            return Fault(field, told, ("vnet_cidr",))
    told = f"{vnet} has no room for both subnets; allowed: a /{_vnet_prefix(addresses)} or larger. Use a /16."
    return Fault("vnet_cidr", told, ("node_subnet_cidr", "private_endpoint_cidr"))


def _subnet_faults(vnet: IPv4Network, node_subnet: IPv4Network, endpoints: IPv4Network) -> Iterator[Fault]:
    named: tuple[tuple[RangeField, IPv4Network], ...] = (
        ("node_subnet_cidr", node_subnet),
        ("private_endpoint_cidr", endpoints),
    )
    for field, subnet in named:
        if not subnet.subnet_of(vnet):
            told = f"{subnet} does not lie in vnetCidr {vnet}; allowed: a part of it. Move it, or widen vnetCidr."
            yield Fault(field, told, ("vnet_cidr",))
    if node_subnet.overlaps(endpoints):
        told = f"{endpoints} overlaps the node subnet {node_subnet}; allowed: ranges apart. Move one of them."
        yield Fault("private_endpoint_cidr", told, ("node_subnet_cidr",))
    if endpoints.prefixlen > SMALLEST_PRIVATE_ENDPOINTS:
        told = f"{endpoints} is too small; allowed: a /{SMALLEST_PRIVATE_ENDPOINTS} or larger. Use one."
        yield Fault("private_endpoint_cidr", told)


def _room_faults(
    vnet: IPv4Network, node_subnet: IPv4Network, addresses: int, nodes: int, *, explicit: bool
) -> Iterator[Fault]:
    if node_subnet.num_addresses >= addresses:
        return
    field: RangeField = "node_subnet_cidr" if explicit else "vnet_cidr"
    prefix = subnet_prefix_for(addresses) if explicit else _vnet_prefix(addresses)
    yield Fault(
        field,
        f"{node_subnet if explicit else vnet} is too small: {nodes} machines (every pool at its max with its surge) "
        f"need {addresses} addresses, Azure's own {AZURE_RESERVED} among them, and the node subnet {node_subnet} has "
        f"{node_subnet.num_addresses}; allowed: a /{prefix} or larger. Use one, or lower the pools' max.",
    )


def _pod_faults(pods: IPv4Network, nodes: int) -> Iterator[Fault]:
    room = 1 << (POD_PREFIX - pods.prefixlen) if pods.prefixlen <= POD_PREFIX else 0
    if room < nodes:
        yield Fault(
            "pod_cidr",
            f"{pods} is too small: {nodes} machines (every pool at its max with its surge) take a /{POD_PREFIX} each, "
            f"it has {room}; allowed: a /{pod_prefix_for(nodes)} or larger. Use a /{pod_prefix_for(AKS_NODES)}, which "
            f"has room for {AKS_NODES} nodes: a later change replaces the cluster.",
        )


def _service_faults(services: IPv4Network) -> Iterator[Fault]:
    if not 13 <= services.prefixlen <= 27:
        size = "large" if services.prefixlen < 13 else "small"
        told = f"{services} is too {size}; allowed: a /13 to a /27. Use 172.16.0.0/16, or a /24."
        yield Fault("service_cidr", told)


def _range_faults(ranges: dict[RangeField, IPv4Network]) -> Iterator[Fault]:
    names = {"vnet_cidr": "vnetCidr", "service_cidr": "serviceCidr", "pod_cidr": "podCidr"}
    before: list[RangeField] = []
    for field, network in ranges.items():
        for bad in FORBIDDEN:
            if network.overlaps(bad):
                told = f"{network} overlaps {bad}, which AKS refuses; allowed: other private ranges. Choose one."
                yield Fault(field, told)
        for other in before:
            if network.overlaps(ranges[other]):
                told = f"{network} overlaps {names[other]} {ranges[other]}; allowed: ranges apart. Move one of them."
                yield Fault(field, told, (other,))
        before.append(field)
