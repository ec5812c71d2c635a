"""Peerings: two virtual networks whose machines reach each other.

Owns `Microsoft.Network/virtualNetworks/virtualNetworkPeerings`. Each end is made in its own network; they are connected
once both are there.
"""

from __future__ import annotations

from typing import cast

from sandbox.azure.addresses import network
from sandbox.azure.behaviour import Body, Context, Reference, Request, register
from sandbox.azure.context import section
from sandbox.azure.errors import bad_request
from sandbox.azure.ids import key_of
from sandbox.azure.network_types import NETWORKS, NetworkType
from sandbox.azure.store import Resource

PEERINGS = f"{NETWORKS}/virtualNetworkPeerings"


class Peerings(NetworkType):
    """`Microsoft.Network/virtualNetworks/virtualNetworkPeerings`."""

    type = PEERINGS
    has_location = False
    references = (Reference("properties.remoteVirtualNetwork.id", NETWORKS, f"{NETWORKS}/peer/action"),)

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """Another network, which does not change, and whose addresses are its own."""
        here = ctx.store.get(request.parent_id or "")
        if here is None:
            raise self.missing(ctx, request)
        remote = _remote(section(body, "properties"))
        there = ctx.store.get(remote)
        if not remote or there is None or key_of(remote) == key_of(here.id):
            raise bad_request(
                "InvalidRequestFormat",
                f"The peering {request.name} needs another network as properties.remoteVirtualNetwork.id.",
                "properties.remoteVirtualNetwork",
            )
        if existing and key_of(_remote(existing.properties)) != key_of(remote):
            raise bad_request(
                "ChangingRemoteVirtualNetworkNotAllowed",
                f"The remote network of peering {request.name} cannot be changed from {_remote(existing.properties)}.",
                "properties.remoteVirtualNetwork",
            )
        for own in _ranges(here):
            for other in _ranges(there):
                if network(own, here.id).overlaps(network(other, there.id)):
                    raise bad_request(
                        "VnetAddressSpacesOverlap",
                        f"Cannot create or update peering {request.resource_id}. Virtual networks {here.id} and "
                        f"{there.id} cannot be peered because their address spaces overlap: {own}, {other}.",
                    )

    def render(self, ctx: Context, resource: Resource) -> Body:
        """With the state of both ends."""
        here = resource.id.rsplit("/", 2)[0]
        remote = _remote(resource.properties)
        back = [one for one in ctx.store.of_type(PEERINGS, remote) if key_of(_remote(one.properties)) == key_of(here)]
        there = ctx.store.get(remote)
        state = "Connected" if back else "Initiated" if there else "Disconnected"
        shown = {"addressPrefixes": _ranges(there)} if there else {}
        level = "FullyInSync" if back else "RemoteNotInSync"
        properties = {
            **resource.properties,
            "peeringState": state,
            "peeringSyncLevel": level,
            "remoteAddressSpace": shown,
        }
        return {**resource.body, "properties": properties}


def _remote(properties: Body) -> str:
    return str(section(properties, "remoteVirtualNetwork").get("id") or "")


def _ranges(resource: Resource) -> list[str]:
    return cast("list[str]", section(resource.properties, "addressSpace").get("addressPrefixes") or [])


register(Peerings())
