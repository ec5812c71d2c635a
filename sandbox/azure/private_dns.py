"""Private DNS zones, their links to networks, and their A records."""

from __future__ import annotations

import re
from typing import cast

from sandbox.azure.behaviour import Behaviour, Body, Context, Reference, Request, register
from sandbox.azure.context import section
from sandbox.azure.errors import bad_request, conflict
from sandbox.azure.ids import key_of
from sandbox.azure.network_types import NETWORKS
from sandbox.azure.store import Resource

ZONES = "Microsoft.Network/privateDnsZones"
LINKS = f"{ZONES}/virtualNetworkLinks"
RECORDS = f"{ZONES}/A"
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"


class PrivateDnsZones(Behaviour):
    """`Microsoft.Network/privateDnsZones`, always in `global`."""

    type = ZONES
    locations = frozenset({"global"})
    name_pattern = re.compile(rf"{_LABEL}(\.{_LABEL}){{1,33}}")
    name_rule = "a domain name of 2 to 34 labels, as 'privatelink.file.core.windows.net'"
    has_etag = True
    tag_limit = 15
    creates = 0.3
    deletes = 0.3

    def fill(self, ctx: Context, request: Request, document: Body, existing: Resource | None) -> None:
        """Azure's limits."""
        document["properties"].update(
            maxNumberOfRecordSets=25000,
            maxNumberOfVirtualNetworkLinks=1000,
            maxNumberOfVirtualNetworkLinksWithRegistration=100,
        )

    def check_delete(self, ctx: Context, resource: Resource) -> None:
        """No network may be linked to it."""
        links = ctx.store.of_type(LINKS, resource.id)
        if links:
            raise conflict(
                "CannotDeleteResource",
                "Cannot delete resource while nested resources exist. Some existing nested resource IDs include: "
                f"'{links[0].id}'. Please delete all nested resources before deleting this resource.",
            )

    def render(self, ctx: Context, resource: Resource) -> Body:
        """With the counts of what is in it; the SOA record is one."""
        links = ctx.store.of_type(LINKS, resource.id)
        counts = {
            "numberOfRecordSets": 1 + len(ctx.store.of_type(RECORDS, resource.id)),
            "numberOfVirtualNetworkLinks": len(links),
            "numberOfVirtualNetworkLinksWithRegistration": len(
                [one for one in links if one.properties.get("registrationEnabled")]
            ),
        }
        return {**resource.body, "properties": {**resource.properties, **counts}}


class VirtualNetworkLinks(Behaviour):
    """`…/virtualNetworkLinks`: a network whose machines see the zone."""

    type = LINKS
    locations = frozenset({"global"})
    name_pattern = re.compile(r"[A-Za-z0-9]([\w.-]{0,78}\w)?")
    name_rule = "1 to 80 letters, digits, underscores, periods and hyphens"
    has_etag = True
    creates = 0.3
    changes = 0.3
    deletes = 0.3
    references = (Reference("properties.virtualNetwork.id", NETWORKS, f"{NETWORKS}/join/action"),)

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """One link a network and zone, and its network never changes."""
        properties = section(body, "properties")
        network = str(section(properties, "virtualNetwork").get("id") or "")
        if not network:
            raise bad_request(
                "BadRequest",
                f"The link '{request.name}' needs properties.virtualNetwork.id.",
                "properties.virtualNetwork",
            )
        if existing and key_of(_network_of(existing)) != key_of(network):
            raise conflict(
                "Conflict",
                f"A virtual network link's network cannot be changed: '{request.name}' links {_network_of(existing)}.",
            )
        for other in ctx.store.of_type(LINKS):
            if key_of(other.id) == key_of(request.resource_id) or key_of(_network_of(other)) != key_of(network):
                continue
            other_zone = other.id.split("/")[-3].lower()
            if other_zone == cast(str, request.parent_id).rsplit("/", 1)[-1].lower():
                raise conflict(
                    "Conflict",
                    "A virtual network cannot be linked to multiple zones with overlapping namespaces. You tried to "
                    f"link virtual network with '{request.parent_id}', which '{other.id}' does already.",
                )

    def fill(self, ctx: Context, request: Request, document: Body, existing: Resource | None) -> None:
        """Azure's defaults and state."""
        properties = document["properties"]
        properties.setdefault("registrationEnabled", False)
        properties["virtualNetworkLinkState"] = "Completed"


class ARecords(Behaviour):
    """`…/A`: address records."""

    type = RECORDS
    has_location = False
    name_pattern = re.compile(rf"@|\*|{_LABEL}(\.{_LABEL})*")
    name_rule = "a relative domain name, '@' or '*'"
    has_etag = True

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """A lifetime and at least one address."""
        properties = section(body, "properties")
        if not properties.get("aRecords") or not isinstance(properties.get("ttl"), int):
            raise bad_request(
                "BadRequest", f"The record set '{request.name}' needs a ttl and at least one of aRecords."
            )

    def fill(self, ctx: Context, request: Request, document: Body, existing: Resource | None) -> None:
        """Its full name."""
        zone = cast(str, request.parent_id).rsplit("/", 1)[-1]
        document["properties"].update(fqdn=f"{document['name']}.{zone}.", isAutoRegistered=False)


def _network_of(link: Resource) -> str:
    return str(section(link.properties, "virtualNetwork").get("id"))


register(PrivateDnsZones())
register(VirtualNetworkLinks())
register(ARecords())
