"""Private DNS zone groups: the A records by which clients find a private endpoint."""

from __future__ import annotations

import uuid
from typing import cast

from sandbox.azure.behaviour import Body, Context, Reference, Request, register
from sandbox.azure.context import section
from sandbox.azure.errors import bad_request
from sandbox.azure.ids import key_of, parse
from sandbox.azure.network_types import ENDPOINTS, NetworkType, in_progress
from sandbox.azure.private_dns import RECORDS, ZONES
from sandbox.azure.private_links import address_of, connections_of, names_of
from sandbox.azure.store import Resource

ZONE_GROUPS = f"{ENDPOINTS}/privateDnsZoneGroups"


class PrivateDnsZoneGroups(NetworkType):
    """`…/privateDnsZoneGroups`: the zones that get an endpoint's records."""

    type = ZONE_GROUPS
    has_location = False
    changes = 0.3
    references = (
        Reference("properties.privateDnsZoneConfigs.*.properties.privateDnsZoneId", ZONES, f"{ZONES}/join/action"),
    )

    def check_idle(self, ctx: Context, request: Request) -> None:
        """Not while its endpoint is being made."""
        super().check_idle(ctx, request)
        operation = ctx.operations.running(request.parent_id or "")
        if operation:
            raise in_progress(operation)

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """At least one zone, one group an endpoint."""
        if not section(body, "properties").get("privateDnsZoneConfigs"):
            raise bad_request("MissingPrivateDnsZoneConfigs", f"The zone group {request.name} names no zone.")
        for other in ctx.store.of_type(ZONE_GROUPS, request.parent_id):
            if key_of(other.id) != key_of(request.resource_id):
                raise bad_request(
                    "MultiplePrivateDnsZoneGroupsNotSupported",
                    f"Private endpoint {request.parent_id} has the zone group {other.name} already; it can have one.",
                )

    def fill(self, ctx: Context, request: Request, document: Body, existing: Resource | None) -> None:
        """The records that each zone gets: of the names that lie in it."""
        endpoint = ctx.store.get(cast(str, request.parent_id))
        names = names_of(ctx, connections_of(endpoint.properties)[0]) if endpoint else []
        address = address_of(ctx, endpoint) if endpoint else ""
        for config in cast(list[Body], document["properties"]["privateDnsZoneConfigs"]):
            zone = str(config["properties"]["privateDnsZoneId"]).rsplit("/", 1)[-1].lower()
            config["id"] = f"{document['id']}/privateDnsZoneConfigs/{config.get('name', zone)}"
            config["properties"]["recordSets"] = [
                {
                    "recordType": "A",
                    "recordSetName": record,
                    "fqdn": f"{record}.{zone}",
                    "ttl": 10,
                    "provisioningState": "Succeeded",
                    "ipAddresses": [address],
                }
                for record in (_record(name, zone) for name in names)
                if record
            ]

    def stored(self, ctx: Context, resource: Resource, existing: Resource | None) -> None:
        """Write the records, and drop those of before."""
        if existing:
            self.removed(ctx, existing)
        for zone_id, record in _records(resource):
            record_id = f"{zone_id}/A/{record['recordSetName']}"
            document: Body = {
                "id": record_id,
                "name": record["recordSetName"],
                "type": RECORDS,
                "etag": str(uuid.uuid4()),
                "properties": {
                    "ttl": 10,
                    "fqdn": f"{record['fqdn']}.",
                    "isAutoRegistered": False,
                    "aRecords": [{"ipv4Address": one} for one in record["ipAddresses"]],
                    "metadata": {"creator": f"created by private endpoint {parse(resource.id).parent_id}"},
                },
            }
            ctx.store.put(Resource(record_id, RECORDS, record["recordSetName"], document, ctx.now(), ctx.now()))

    def removed(self, ctx: Context, resource: Resource) -> None:
        """Its records go along."""
        for zone_id, record in _records(resource):
            ctx.store.remove(f"{zone_id}/A/{record['recordSetName']}")


def _record(name: str, zone: str) -> str | None:
    """The record's name in its `privatelink.` zone; None where the name does not belong there."""
    public = zone.removeprefix("privatelink.")
    return name[: -len(public) - 1] if name.endswith("." + public) and zone.startswith("privatelink.") else None


def _records(group: Resource) -> list[tuple[str, Body]]:
    return [
        (str(config["properties"]["privateDnsZoneId"]), record)
        for config in cast(list[Body], group.properties["privateDnsZoneConfigs"])
        for record in cast(list[Body], config["properties"].get("recordSets") or [])
    ]


register(PrivateDnsZoneGroups())
