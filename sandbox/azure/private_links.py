"""Private endpoints: an address in our subnet for somebody else's service.

An endpoint brings its network interface and a connection on the target along. The records by which clients find
it are written by its zone group (`private_dns_zone_groups`).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import cast

from sandbox.azure.addresses import free_address, network
from sandbox.azure.behaviour import Behaviour, Body, Context, Reference, Request, register
from sandbox.azure.context import section
from sandbox.azure.errors import bad_request
from sandbox.azure.ids import key_of
from sandbox.azure.network_types import ENDPOINTS, INTERFACES, JOIN_SUBNET, SUBNETS, NetworkType
from sandbox.azure.store import Resource
from sandbox.azure.virtual_networks import prefixes_of

_GROUPS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "microsoft.storage/storageaccounts": {
        one: (f"{{name}}.{one}.core.windows.net",) for one in ("blob", "dfs", "file", "queue", "table")
    },
    "microsoft.containerregistry/registries": {
        "registry": ("{name}.azurecr.io", "{name}.{location}.data.azurecr.io"),
    },
    "microsoft.containerservice/managedclusters": {"management": ()},
}
"""Target type to its group ids, each with the names by which clients call it."""


class PrivateEndpoints(NetworkType):
    """`Microsoft.Network/privateEndpoints`."""

    type = ENDPOINTS
    name_pattern = re.compile(r"[A-Za-z0-9]([\w.-]{0,62}\w)")
    name_rule = "2 to 64 letters, digits, underscores, periods and hyphens"
    creates = 1
    changes = 0.3
    references = (Reference("properties.subnet.id", SUBNETS, JOIN_SUBNET),)

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """A subnet in this region and one connection to a target that has the group."""
        properties = section(body, "properties")
        subnet = str(section(properties, "subnet").get("id") or "")
        if not subnet:
            raise bad_request(
                "PrivateEndpointSubnetMissing", f"Private endpoint {request.name} needs properties.subnet.id."
            )
        home = ctx.store.get(subnet.rsplit("/subnets/", 1)[0])
        if home is not None and home.body["location"] != body["location"]:
            raise bad_request(
                "InvalidResourceReference",
                f"Private endpoint {request.name} is in {body['location']} but its subnet's network is in "
                f"{home.body['location']}: both must be in the same region.",
            )
        connections = connections_of(properties)
        if len(connections) != 1:
            raise bad_request(
                "PrivateEndpointConnectionCount",
                f"Private endpoint {request.name} needs one connection, not {len(connections)}.",
            )
        _check_target(ctx, request, connections[0])
        if existing:
            before = connections_of(existing.properties)[0]
            for what, old, new in (
                ("subnet", str(section(existing.properties, "subnet").get("id")), subnet),
                ("target", _target(before), _target(connections[0])),
            ):
                if key_of(old) != key_of(new):
                    raise bad_request(
                        "PrivateEndpointCannotBeUpdatedInSucceededState"
                        if what == "target"
                        else "PrivateEndpointSubnetCannotBeUpdated",
                        f"The {what} of private endpoint {request.name} cannot be changed from {old} to {new}.",
                    )

    def fill(self, ctx: Context, request: Request, document: Body, existing: Resource | None) -> None:
        """The interface's id and name, and the approved connection."""
        properties = document["properties"]
        if existing:
            properties["networkInterfaces"] = existing.properties["networkInterfaces"]
            properties["customDnsConfigs"] = existing.properties["customDnsConfigs"]
            address = address_of(ctx, existing)
        else:
            address = _free_address(ctx, str(properties["subnet"]["id"]))
            name = properties.get("customNetworkInterfaceName") or f"{document['name']}.nic.{uuid.uuid4()}"
            interface_id = f"{request.target.scope}/providers/{INTERFACES}/{name}"
            properties["networkInterfaces"] = [{"id": interface_id}]
        connection = connections_of(properties)[0]
        connection["id"] = f"{document['id']}/privateLinkServiceConnections/{connection['name']}"
        connection["properties"]["provisioningState"] = "Succeeded"
        connection["properties"]["privateLinkServiceConnectionState"] = {
            "status": "Approved",
            "description": "Auto-Approved",
            "actionsRequired": "None",
        }
        properties["customDnsConfigs"] = [{"fqdn": one, "ipAddresses": [address]} for one in names_of(ctx, connection)]
        properties.setdefault("ipConfigurations", [])
        document["_address"] = address

    def stored(self, ctx: Context, resource: Resource, existing: Resource | None) -> None:
        """Make the interface and the target's side of the connection."""
        address = resource.body.pop("_address")
        ctx.store.put(resource)
        if existing:
            return
        interface_id = str(resource.properties["networkInterfaces"][0]["id"])
        interface: Body = {
            "id": interface_id,
            "name": interface_id.rsplit("/", 1)[-1],
            "type": INTERFACES,
            "location": resource.body["location"],
            "etag": f'W/"{uuid.uuid4()}"',
            "properties": {
                "provisioningState": "Succeeded",
                "privateEndpoint": {"id": resource.id},
                "ipConfigurations": [
                    {
                        "name": "privateEndpointIpConfig",
                        "properties": {
                            "privateIPAddress": address,
                            "privateIPAllocationMethod": "Dynamic",
                            "subnet": {"id": resource.properties["subnet"]["id"]},
                            "primary": True,
                        },
                    }
                ],
            },
        }
        ctx.store.put(Resource(interface_id, INTERFACES, interface["name"], interface, ctx.now(), ctx.now()))
        target = ctx.store.get(_target(connections_of(resource.properties)[0]))
        if target is not None:
            _connect(ctx, resource, target)

    def removed(self, ctx: Context, resource: Resource) -> None:
        """The interface and the target's side go along."""
        for one in cast(list[Body], resource.properties["networkInterfaces"]):
            ctx.store.remove(str(one["id"]))
        target = ctx.store.get(_target(connections_of(resource.properties)[0]))
        if target is None:
            return
        for one in ctx.store.of_type(f"{target.type}/privateEndpointConnections", target.id):
            if key_of(str(section(one.properties, "privateEndpoint").get("id"))) == key_of(resource.id):
                ctx.store.remove(one.id)


class NetworkInterfaces(NetworkType):
    """`Microsoft.Network/networkInterfaces`: made by endpoints, read by clients."""

    type = INTERFACES
    put_only_by_platform = True

    def check_delete(self, ctx: Context, resource: Resource) -> None:
        """It goes with its endpoint, not before."""
        owner = str(section(resource.properties, "privateEndpoint").get("id") or "")
        if owner and ctx.store.exists(owner):
            raise bad_request(
                "NetworkInterfaceInUseByPrivateEndpoint",
                f"Network interface {resource.id} is used by private endpoint {owner} and cannot be deleted.",
            )


class Connections(Behaviour):
    """`…/privateEndpointConnections` of a target: made and removed with the endpoint."""

    has_location = False
    put_only_by_platform = True

    def __init__(self, target: str) -> None:
        self.type = f"{target}/privateEndpointConnections"  # pyright: ignore[reportAttributeAccessIssue]

    def removed(self, ctx: Context, resource: Resource) -> None:
        """The endpoint stays and says that it is disconnected."""
        endpoint = ctx.store.get(str(section(resource.properties, "privateEndpoint").get("id")))
        if endpoint is not None:
            state = connections_of(endpoint.properties)[0]["properties"]["privateLinkServiceConnectionState"]
            state.update(status="Disconnected", description="The target was deleted or removed the connection.")
            ctx.store.put(endpoint)


def connections_of(properties: Body) -> list[Body]:
    """An endpoint's connections, approved at once or by hand."""
    found: list[Body] = []
    for key in ("privateLinkServiceConnections", "manualPrivateLinkServiceConnections"):
        found += cast(list[Body], properties.get(key) or [])
    return found


def _target(connection: Body) -> str:
    return str(section(connection, "properties").get("privateLinkServiceId") or "")


def _check_target(ctx: Context, request: Request, connection: Body) -> None:
    target_id = _target(connection)
    target = ctx.store.get(target_id) if target_id.startswith("/subscriptions/") else None
    if target is None:
        raise bad_request(
            "InvalidResourceReference",
            f"Resource {target_id or '(none)'} referenced by resource {request.resource_id} at properties."
            "privateLinkServiceConnections[0].properties.privateLinkServiceId was not found.",
        )
    allowed = _GROUPS.get(target.type.lower())
    if allowed is None:
        raise bad_request(
            "PrivateLinkServiceNotSupported", f"{target.type} cannot be the target of a private endpoint here."
        )
    if target.type.lower() == "microsoft.storage/storageaccounts":
        allowed = {
            one: names for one, names in allowed.items() if one in section(target.properties, "primaryEndpoints")
        }
    groups = cast(list[str], section(connection, "properties").get("groupIds") or [])
    if len(groups) != 1 or groups[0] not in allowed:
        raise bad_request(
            "PrivateEndpointInvalidGroupId",
            f"Private endpoint {request.name} needs exactly one of the group ids {', '.join(allowed)} for "
            f"{target.type}, not {groups}.",
        )
    if (
        target.type.lower() == "microsoft.containerregistry/registries"
        and section(target.body, "sku").get("name") != "Premium"
    ):
        raise bad_request(
            "PrivateEndpointFeatureNotSupportedOnSku",
            f"The registry {target.name} is {section(target.body, 'sku').get('name')}: private endpoints need Premium.",
        )


def names_of(ctx: Context, connection: Body) -> list[str]:
    """The public names of the target's group."""
    target = ctx.store.get(_target(connection))
    if target is None:
        return []
    group = str(cast(list[str], section(connection, "properties")["groupIds"])[0])
    patterns = _GROUPS[target.type.lower()][group]
    return [one.format(name=target.name.lower(), location=target.body.get("location", "")) for one in patterns]


def address_of(ctx: Context, endpoint: Resource) -> str:
    """The endpoint's address in its subnet."""
    interface = ctx.store.get(str(endpoint.properties["networkInterfaces"][0]["id"]))
    if interface is None:
        return ""
    return str(interface.properties["ipConfigurations"][0]["properties"]["privateIPAddress"])


def _free_address(ctx: Context, subnet_id: str) -> str:
    subnet = ctx.store.get(subnet_id)
    ranges = [network(one, subnet_id) for one in prefixes_of(subnet.properties)] if subnet else []
    taken = [
        str(config["properties"]["privateIPAddress"])
        for one in ctx.store.of_type(INTERFACES)
        for config in cast(list[Body], one.properties["ipConfigurations"])
        if key_of(str(config["properties"]["subnet"]["id"])) == key_of(subnet_id)
    ]
    return free_address(ranges, taken, subnet_id)


def _connect(ctx: Context, endpoint: Resource, target: Resource) -> None:
    connection_type = f"{target.type}/privateEndpointConnections"
    name = f"{endpoint.name}.{uuid.uuid4()}"
    document: Body = {
        "id": f"{target.id}/privateEndpointConnections/{name}",
        "name": name,
        "type": connection_type,
        "properties": {
            "provisioningState": "Succeeded",
            "privateEndpoint": {"id": endpoint.id},
            "privateLinkServiceConnectionState": {
                "status": "Approved",
                "description": "Auto-Approved",
                "actionRequired": "None",
            },
        },
    }
    ctx.store.put(Resource(document["id"], connection_type, name, document, ctx.now(), ctx.now()))


register(PrivateEndpoints())
register(NetworkInterfaces())
register(Connections("Microsoft.Storage/storageAccounts"))
register(Connections("Microsoft.ContainerRegistry/registries"))
