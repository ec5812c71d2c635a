"""Virtual networks and their subnets.

A subnet is a resource of its own and is shown in its network, too. A network has one operation at a time: a
subnet's PUT during another's is refused and sent again by the client, as on Azure.
"""

from __future__ import annotations

import re
import uuid
from ipaddress import IPv4Network
from typing import Any, cast

from sandbox.azure import checks
from sandbox.azure.addresses import network
from sandbox.azure.behaviour import Body, Context, Reference, Request, purge, register
from sandbox.azure.context import section
from sandbox.azure.errors import bad_request
from sandbox.azure.ids import key_of
from sandbox.azure.network_types import (
    ENDPOINTS,
    INTERFACES,
    NAT_GATEWAYS,
    NETWORKS,
    SECURITY_GROUPS,
    SUBNETS,
    NetworkType,
    in_progress,
    same_region,
    users,
)
from sandbox.azure.store import Resource

_SUBNET_USERS = (
    (ENDPOINTS, "properties.subnet.id"),
    (INTERFACES, "properties.ipConfigurations.*.properties.subnet.id"),
    ("Microsoft.ContainerService/managedClusters/agentPools", "properties.vnetSubnetID"),
    (
        "Microsoft.Compute/virtualMachineScaleSets",
        "properties.virtualMachineProfile.networkProfile.networkInterfaceConfigurations.*.properties.ipConfigurations.*"
        ".properties.subnet.id",
    ),
    ("Microsoft.StorageCache/amlFilesystems", "properties.filesystemSubnet"),
)
_KEEPS_SUBNETS_SINCE = "2023-09-01"
"""From this api-version on a PUT without `subnets` leaves them; before, it deleted them."""


class _InNetwork(NetworkType):
    """A virtual network or something in it: one operation at a time on the whole network."""

    def check_idle(self, ctx: Context, request: Request) -> None:
        """Refuse while anything in the network is under way."""
        root = request.parent_id or request.resource_id
        running = ctx.operations.running(root)
        for operation in [*([running] if running else []), *ctx.operations.running_under(root)]:
            raise in_progress(operation)


class VirtualNetworks(_InNetwork):
    """`Microsoft.Network/virtualNetworks`."""

    type = NETWORKS
    name_pattern = re.compile(r"[A-Za-z0-9][\w.-]{0,62}\w")
    name_rule = "2 to 64 letters, digits, underscores, periods and hyphens"
    changes = 0.3

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """Address space, and the subnets named inline."""
        prefixes = _space(body)
        if not prefixes:
            raise bad_request(
                "InvalidAddressSpace",
                f"Virtual network {request.name} must have at least one prefix in its addressSpace.addressPrefixes.",
                "properties.addressSpace.addressPrefixes",
            )
        ranges = [network(prefix, request.resource_id) for prefix in prefixes]
        _no_overlap(
            [(str(one), one) for one in ranges], "NetcfgAddressSpacesOverlap", f"the address space of {request.name}"
        )
        inline = _inline(request, body, existing)
        if inline is None:
            kept = ctx.store.of_type(SUBNETS, existing.id) if existing else []
            for subnet in kept:
                _check_subnet(request.name, ranges, subnet.name, subnet.properties, [])
            return
        done: list[tuple[str, IPv4Network]] = []
        for subnet in inline:
            name = str(subnet.get("name", ""))
            checks.name(SUBNET, name)
            subnet_id = f"{request.resource_id}/subnets/{name}"
            nested = Request("PUT", subnet_id, None, request.api_version, {}, {}, request.base_url)
            nested.path = checks.parse(subnet_id)
            checks.references(ctx, SUBNET, nested, subnet)
            same_region(ctx, SUBNET.references, str(body["location"]), subnet, nested)
            done += _check_subnet(request.name, ranges, name, subnet.get("properties") or {}, done)
        wanted = {str(subnet.get("name", "")).lower() for subnet in inline}
        for subnet in ctx.store.of_type(SUBNETS, request.resource_id):
            if subnet.name.lower() not in wanted:
                SUBNET.check_delete(ctx, subnet)

    def fill(self, ctx: Context, request: Request, document: Body, existing: Resource | None) -> None:
        """Computed values; the inline subnets become resources in `stored`."""
        properties = document["properties"]
        inline = _inline(request, document, existing)
        properties.pop("subnets", None)
        if inline is not None:
            properties["subnets"] = inline
        properties["resourceGuid"] = existing.properties["resourceGuid"] if existing else str(uuid.uuid4())
        properties.setdefault("enableDdosProtection", False)

    def stored(self, ctx: Context, resource: Resource, existing: Resource | None) -> None:
        """Bring the subnets in line with the body's, where it names any."""
        inline = cast(list[Body] | None, resource.properties.pop("subnets", None))
        ctx.store.put(resource)
        if inline is None:
            return
        wanted = {str(one["name"]).lower(): one for one in inline}
        for subnet in ctx.store.of_type(SUBNETS, resource.id):
            if subnet.name.lower() not in wanted:
                purge(ctx, subnet)
        for one in wanted.values():
            subnet_id = f"{resource.id}/subnets/{one['name']}"
            old = ctx.store.get(subnet_id)
            properties = _with_defaults(one.get("properties") or {})
            document: Body = {
                "id": old.id if old else subnet_id,
                "name": one["name"],
                "type": SUBNETS,
                "etag": f'W/"{uuid.uuid4()}"',
                "properties": {**properties, "provisioningState": "Succeeded"},
            }
            ctx.store.put(
                Resource(
                    document["id"], SUBNETS, one["name"], document, old.created_at if old else ctx.now(), ctx.now()
                )
            )

    def check_delete(self, ctx: Context, resource: Resource) -> None:
        """No subnet of it may be in use."""
        for subnet in ctx.store.of_type(SUBNETS, resource.id):
            SUBNET.check_delete(ctx, subnet)

    def render(self, ctx: Context, resource: Resource) -> Body:
        """With its subnets."""
        subnets = [SUBNET.render(ctx, subnet) for subnet in ctx.store.of_type(SUBNETS, resource.id)]
        return {**resource.body, "properties": {**resource.properties, "subnets": subnets}}


class Subnets(_InNetwork):
    """`Microsoft.Network/virtualNetworks/subnets`."""

    type = SUBNETS
    has_location = False
    changes = 0.3
    references = (
        Reference("properties.networkSecurityGroup.id", SECURITY_GROUPS, f"{SECURITY_GROUPS}/join/action"),
        Reference("properties.natGateway.id", NAT_GATEWAYS, f"{NAT_GATEWAYS}/join/action"),
        Reference(
            "properties.routeTable.id", "Microsoft.Network/routeTables", "Microsoft.Network/routeTables/join/action"
        ),
    )

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """Inside its network, beside the other subnets, and not moved while in use."""
        parent = ctx.store.get(request.parent_id or "")
        if parent is None:
            raise self.missing(ctx, request)
        same_region(ctx, self.references, str(parent.body["location"]), body, request)
        ranges = [network(prefix, parent.id) for prefix in _space(parent.body)]
        others: list[tuple[str, IPv4Network]] = []
        for other in ctx.store.of_type(SUBNETS, parent.id):
            if key_of(other.id) != key_of(request.resource_id):
                others += [(other.name, network(prefix, other.id)) for prefix in prefixes_of(other.properties)]
        properties = body.setdefault("properties", {})
        _check_subnet(parent.name, ranges, request.name, properties, others)
        if existing and prefixes_of(existing.properties) != prefixes_of(properties):
            found = users(ctx, existing.id, _SUBNET_USERS)
            if found:
                raise bad_request(
                    "InUseSubnetCannotBeUpdated",
                    f"Subnet {request.name} is in use by {found[0]} and its address prefix cannot be updated from "
                    f"{prefixes_of(existing.properties)} to {prefixes_of(properties)}.",
                )

    def fill(self, ctx: Context, request: Request, document: Body, existing: Resource | None) -> None:
        """Azure's defaults."""
        document["properties"].update(_with_defaults(document["properties"]))

    def check_delete(self, ctx: Context, resource: Resource) -> None:
        """Nothing may have an address in it."""
        found = users(ctx, resource.id, _SUBNET_USERS)
        if found:
            raise bad_request(
                "InUseSubnetCannotBeDeleted",
                f"Subnet {resource.name} is in use by {found[0]} and cannot be deleted. In order to delete the subnet, "
                "delete all the resources within the subnet. See aka.ms/deletesubnet.",
            )

    def render(self, ctx: Context, resource: Resource) -> Body:
        """With the endpoints that have an address in it."""
        endpoints = users(ctx, resource.id, _SUBNET_USERS[:1])
        shown = {"privateEndpoints": [{"id": one} for one in endpoints]} if endpoints else {}
        return {**resource.body, "properties": {**resource.properties, **shown}}


def prefixes_of(properties: Body) -> list[str]:
    """A subnet's ranges, however they were given."""
    many = cast(list[str], properties.get("addressPrefixes") or [])
    single = cast(str | None, properties.get("addressPrefix"))
    return many or ([single] if single else [])


def _space(body: Body) -> list[str]:
    return cast(list[str], section(body, "properties", "addressSpace").get("addressPrefixes") or [])


def _inline(request: Request, body: Body, existing: Resource | None) -> list[Body] | None:
    """The subnets the body asks for; None: leave them as they are."""
    given = cast(list[Body] | None, section(body, "properties").get("subnets"))
    if given is not None or existing is None:
        return given or []
    keeps = request.method == "PATCH" or request.api_version[:10] >= _KEEPS_SUBNETS_SINCE
    return None if keeps else []


def _check_subnet(
    vnet: str, space: list[IPv4Network], name: str, properties: Any, others: list[tuple[str, IPv4Network]]
) -> list[tuple[str, IPv4Network]]:
    prefixes = prefixes_of(properties)
    if not prefixes:
        raise bad_request(
            "NetcfgInvalidSubnet",
            f"Subnet '{name}' is not valid in virtual network '{vnet}': it has no properties.addressPrefix.",
        )
    ranges = [network(prefix, name) for prefix in prefixes]
    for one in ranges:
        if one.prefixlen > 29:
            raise bad_request(
                "NetcfgInvalidSubnet",
                f"Subnet '{name}' is not valid in virtual network '{vnet}': {one} is smaller than a /29.",
            )
        if not any(one.subnet_of(outer) for outer in space):
            raise bad_request(
                "NetcfgSubnetRangeOutsideVnet",
                f"Subnet '{name}' is not valid because its IP address range {one} is outside the IP address range of "
                f"virtual network '{vnet}', {', '.join(map(str, space))}.",
            )
        for other_name, other in others:
            if one.overlaps(other):
                raise bad_request(
                    "NetcfgSubnetRangesOverlap",
                    f"Subnet '{name}' is not valid because its IP address range {one} overlaps with that of an "
                    f"existing subnet in virtual network '{vnet}': '{other_name}' has {other}.",
                )
    return [(name, one) for one in ranges]


def _no_overlap(ranges: list[tuple[str, IPv4Network]], code: str, where: str) -> None:
    for index, (name, one) in enumerate(ranges):
        for other_name, other in ranges[index + 1 :]:
            if one.overlaps(other):
                raise bad_request(code, f"The prefixes {name} and {other_name} of {where} overlap.")


def _with_defaults(properties: Body) -> Body:
    return {
        "delegations": [],
        "privateEndpointNetworkPolicies": "Disabled",
        "privateLinkServiceNetworkPolicies": "Enabled",
        **properties,
    }


SUBNET = Subnets()
register(VirtualNetworks())
register(SUBNET)
