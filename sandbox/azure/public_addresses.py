"""Public IP addresses and the NAT gateways that send a network's traffic out through them."""

from __future__ import annotations

import uuid
from ipaddress import IPv4Address
from typing import cast

from sandbox.azure.behaviour import Body, Context, Reference, Request, register
from sandbox.azure.context import section
from sandbox.azure.errors import bad_request
from sandbox.azure.locations import check_zones
from sandbox.azure.network_types import (
    NAT_GATEWAYS,
    PUBLIC_ADDRESSES,
    SUBNETS,
    NetworkType,
    refuse_use,
    same_region,
    users,
)
from sandbox.azure.store import Resource

_ADDRESS_USERS = (
    (NAT_GATEWAYS, "properties.publicIpAddresses.*.id"),
    ("Microsoft.Network/loadBalancers", "properties.frontendIPConfigurations.*.properties.publicIPAddress.id"),
)
_GATEWAY_USERS = ((SUBNETS, "properties.natGateway.id"),)
_FIRST_ADDRESS = int(IPv4Address("20.61.0.4"))


class PublicIpAddresses(NetworkType):
    """`Microsoft.Network/publicIPAddresses`."""

    type = PUBLIC_ADDRESSES

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """Standard and static; zones that the region has; nothing that a made address cannot change."""
        properties = body.setdefault("properties", {})
        sku = str(section(body, "sku").get("name", "Basic"))
        if sku == "Basic":
            raise bad_request(
                "IPv4BasicSkuPublicIpCountLimitReached",
                "Cannot create more than 0 IPv4 Basic SKU public IP addresses for this subscription in this region: "
                'Basic is retired, give sku {"name": "Standard"}.',
            )
        if properties.get("publicIPAllocationMethod", "Dynamic") != "Static":
            raise bad_request(
                "PublicIPAddressWithStandardSkuMustBeStatic",
                f"Standard sku publicIp {request.resource_id} must have AllocationMethod set to Static.",
            )
        timeout = properties.get("idleTimeoutInMinutes", 4)
        if not 4 <= timeout <= 30:
            raise bad_request(
                "InvalidIdleTimeout", f"The idle timeout of {request.name}, {timeout}, must be 4 to 30 minutes."
            )
        check_zones(body, PUBLIC_ADDRESSES)
        if existing and sorted(existing.body.get("zones") or []) != sorted(body.get("zones") or []):
            raise bad_request(
                "ResourceAvailabilityZonesCannotBeModified",
                f"Resource {request.resource_id} has an existing availability zone constraint "
                f"{', '.join(existing.body.get('zones') or []) or 'none'} and the request has availability zone "
                f"constraint {', '.join(body.get('zones') or []) or 'none'}, which do not match. Zones cannot be "
                "added/updated/removed once the resource is created.",
            )

    def fill(self, ctx: Context, request: Request, document: Body, existing: Resource | None) -> None:
        """The address itself, the same for its whole life."""
        properties = document["properties"]
        document["sku"].setdefault("tier", "Regional")
        if existing:
            properties["ipAddress"] = existing.properties["ipAddress"]
            properties["resourceGuid"] = existing.properties["resourceGuid"]
        else:
            properties["ipAddress"] = str(IPv4Address(_FIRST_ADDRESS + ctx.store.next_number("public addresses")))
            properties["resourceGuid"] = str(uuid.uuid4())
        properties.setdefault("publicIPAddressVersion", "IPv4")
        properties.setdefault("idleTimeoutInMinutes", 4)

    def check_delete(self, ctx: Context, resource: Resource) -> None:
        """No gateway may use it."""
        found = users(ctx, resource.id, _ADDRESS_USERS)
        refuse_use("PublicIPAddressCannotBeDeleted", "Public IP address", resource, found)

    def render(self, ctx: Context, resource: Resource) -> Body:
        """With the gateway that uses it."""
        gateways = users(ctx, resource.id, _ADDRESS_USERS[:1])
        shown = {"natGateway": {"id": gateways[0]}} if gateways else {}
        return {**resource.body, "properties": {**resource.properties, **shown}}


class NatGateways(NetworkType):
    """`Microsoft.Network/natGateways`."""

    type = NAT_GATEWAYS
    references = (
        Reference("properties.publicIpAddresses.*.id", PUBLIC_ADDRESSES, f"{PUBLIC_ADDRESSES}/join/action"),
        Reference("properties.publicIpPrefixes.*.id", "Microsoft.Network/publicIPPrefixes"),
    )

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """Standard, in one zone or none, with addresses of its own."""
        properties = body.setdefault("properties", {})
        sku = section(body, "sku").get("name")
        if sku is None:
            raise bad_request(
                "NatGatewaySkuRequired", f"NAT gateway {request.name} needs a sku: give {{'name': 'Standard'}}.", "sku"
            )
        zones = check_zones(body, NAT_GATEWAYS)
        if len(zones) > 1 and sku == "Standard":
            raise bad_request(
                "NatGatewayMultipleZonesNotSupported",
                f"NAT gateway {request.name} of sku Standard can be in one zone or none, not in {', '.join(zones)}.",
                "zones",
            )
        timeout = properties.get("idleTimeoutInMinutes", 4)
        if not 4 <= timeout <= 120:
            raise bad_request(
                "InvalidIdleTimeout", f"The idle timeout of {request.name}, {timeout}, must be 4 to 120 minutes."
            )
        if existing and sorted(existing.body.get("zones") or []) != sorted(zones):
            raise bad_request(
                "ResourceAvailabilityZonesCannotBeModified",
                f"The zones of {request.resource_id} cannot be added/updated/removed once the resource is created.",
            )
        same_region(ctx, self.references, str(body["location"]), body, request)
        given = cast(list[Body], properties.get("publicIpAddresses") or [])
        if len(given) > 16:
            raise bad_request(
                "NatGatewayPublicIpLimit", f"NAT gateway {request.name} can have 16 addresses, not {len(given)}."
            )
        for address in given:
            others = [
                one for one in users(ctx, address["id"], _ADDRESS_USERS) if one.lower() != request.resource_id.lower()
            ]
            if others:
                raise bad_request(
                    "PublicIPAddressInUse",
                    f"Resource {request.resource_id} is referencing public IP address {address['id']} that is already "
                    f"allocated to resource {others[0]}.",
                )

    def fill(self, ctx: Context, request: Request, document: Body, existing: Resource | None) -> None:
        """Azure's defaults."""
        properties = document["properties"]
        properties["resourceGuid"] = existing.properties["resourceGuid"] if existing else str(uuid.uuid4())
        properties.setdefault("idleTimeoutInMinutes", 4)
        document["sku"].setdefault("tier", "Regional")

    def check_delete(self, ctx: Context, resource: Resource) -> None:
        """No subnet may use it."""
        found = users(ctx, resource.id, _GATEWAY_USERS)
        refuse_use("InUseNatGatewayCannotBeDeleted", "NAT gateway", resource, found)

    def render(self, ctx: Context, resource: Resource) -> Body:
        """With the subnets that use it."""
        subnets = users(ctx, resource.id, _GATEWAY_USERS)
        shown = {"subnets": [{"id": one} for one in subnets]} if subnets else {}
        return {**resource.body, "properties": {**resource.properties, **shown}}


register(PublicIpAddresses())
register(NatGateways())
