"""Azure Managed Lustre: file systems with their sizes, subnets and the address that clients mount.

Owns `Microsoft.StorageCache/amlFilesystems`. The protocol itself is not emulated: nothing answers at the address.
"""

from __future__ import annotations

import ipaddress
import json
import re
from functools import cache
from pathlib import Path
from typing import Any, cast

from sandbox.azure.addresses import network
from sandbox.azure.behaviour import Behaviour, Body, Context, Reference, Request, register
from sandbox.azure.context import section
from sandbox.azure.errors import ArmError, bad_request, conflict
from sandbox.azure.federation import IDENTITIES
from sandbox.azure.ids import same_id
from sandbox.azure.locations import check_zones, locations
from sandbox.azure.network_types import INTERFACES, JOIN_SUBNET, SUBNETS
from sandbox.azure.operations import Operation
from sandbox.azure.storage_services import CONTAINERS
from sandbox.azure.store import Resource
from sandbox.azure.virtual_networks import prefixes_of

FILE_SYSTEMS = "Microsoft.StorageCache/amlFilesystems"
_FILE = Path(__file__).parent / "data" / "lustre_skus.json"
_TIME = re.compile(r"([01]?[0-9]|2[0-3]):[0-5][0-9]")


class FileSystems(Behaviour):
    """`Microsoft.StorageCache/amlFilesystems`."""

    type = FILE_SYSTEMS
    name_pattern = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,78}[0-9A-Za-z]")
    name_rule = "2 to 80 letters, digits, hyphens and underscores, beginning and ending with a letter or digit"
    creates = 2
    changes = 0.5
    deletes = 1
    references = (
        Reference("properties.filesystemSubnet", SUBNETS, JOIN_SUBNET),
        Reference("properties.hsm.settings.container", CONTAINERS),
        Reference("properties.hsm.settings.loggingContainer", CONTAINERS),
        Reference("identity.userAssignedIdentities.{}", IDENTITIES, f"{IDENTITIES}/assign/action"),
    )

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """A size that the SKU comes in, one zone, a subnet with room in the same region, a window for maintenance."""
        properties = section(body, "properties")
        sku = str(section(body, "sku").get("name", ""))
        _check_size(sku, properties["storageCapacityTiB"])
        _check_zone(body)
        _check_window(section(properties, "maintenanceWindow"))
        if existing:
            _check_unchanged(existing, body)
        else:
            _check_subnet(ctx, str(body["location"]), properties)

    def fill(self, ctx: Context, request: Request, document: Body, existing: Resource | None) -> None:
        """Throughput by size; the address stays once it is known."""
        properties: Body = document["properties"]
        capacity = properties["storageCapacityTiB"]
        properties["throughputProvisionedMBps"] = int(
            capacity * _table()["skus"][document["sku"]["name"]]["mbpsPerTib"]
        )
        properties["health"] = {"state": "Available" if existing else "Transitioning", "statusCode": ""}
        if existing and "clientInfo" in existing.properties:
            properties["clientInfo"] = existing.properties["clientInfo"]

    def settle(self, ctx: Context, operation: Operation) -> None:
        """Made: clients can mount it."""
        super().settle(ctx, operation)
        made = ctx.store.get(operation.resource_id)
        if made is None or "clientInfo" in made.properties:
            return
        address = _free_address(ctx, str(made.properties["filesystemSubnet"]))
        made.properties["health"] = {"state": "Available", "statusCode": "", "statusDescription": "Healthy"}
        made.properties["clientInfo"] = {
            "mgsAddress": address,
            "mountCommand": f"mount -t lustre {address}@tcp:/lustrefs /lustre-client",
            "lustreVersion": "2.15.7",
        }
        ctx.store.put(made)


@cache
def _table() -> dict[str, Any]:
    return json.loads(_FILE.read_text())


def _check_size(sku: str, capacity: float) -> None:
    skus = _table()["skus"]
    if sku not in skus:
        raise bad_request("InvalidParameter", f"The SKU '{sku}' is none of {', '.join(skus)}.", "sku.name")
    step, most = skus[sku]["stepTib"], skus[sku]["mostTib"]
    if capacity % step or not step <= capacity <= most:
        raise bad_request(
            "InvalidParameter",
            f"A file system of {sku} has {step} to {most} TiB in steps of {step}, not {capacity:g}.",
            "properties.storageCapacityTiB",
        )


def _check_zone(body: Body) -> None:
    has_zones = any(one["zones"] for one in locations() if one["name"] == body["location"])
    zones = check_zones(body, FILE_SYSTEMS)
    if has_zones and len(zones) != 1:
        raise bad_request(
            "InvalidParameter",
            f"A file system in {body['location']} lies in exactly one zone, not in {zones}.",
            "zones",
        )


def _check_window(window: Body) -> None:
    if not window.get("dayOfWeek") or not _TIME.fullmatch(str(window.get("timeOfDayUTC", ""))):
        raise bad_request(
            "InvalidParameter",
            f"The maintenance window needs dayOfWeek and timeOfDayUTC as HH:MM, not {window}.",
            "properties.maintenanceWindow",
        )


def _check_unchanged(existing: Resource, body: Body) -> None:
    """What the specification marks as for creation alone."""
    before, after = existing.properties, body["properties"]
    changed: dict[str, bool] = {
        "sku": existing.body["sku"]["name"] != body["sku"]["name"],
        "zones": (existing.body.get("zones") or []) != (body.get("zones") or []),
        "storageCapacityTiB": before["storageCapacityTiB"] != after["storageCapacityTiB"],
        "filesystemSubnet": not same_id(str(before["filesystemSubnet"]), str(after["filesystemSubnet"])),
        "hsm": section(before, "hsm", "settings") != section(after, "hsm", "settings"),
    }
    for name, is_changed in changed.items():
        if is_changed:
            raise conflict("PropertyChangeNotAllowed", f"'{name}' of file system {existing.name} cannot be changed.")


def _check_subnet(ctx: Context, place: str, properties: Body) -> None:
    identifier = str(properties["filesystemSubnet"])
    home = ctx.store.get(identifier.rsplit("/subnets/", 1)[0])
    if home is not None and home.body["location"] != place:
        raise bad_request(
            "InvalidParameter",
            f"The subnet {identifier} is in {home.body['location']}, the file system in {place}.",
            "properties.filesystemSubnet",
        )
    capacity = properties["storageCapacityTiB"]
    widest = next(row["prefix"] for row in _table()["subnets"] if capacity <= row["upToTib"])
    if all(one.prefixlen > widest for one in _ranges(ctx, identifier)):
        raise bad_request(
            "InvalidParameter",
            f"The subnet {identifier} is too small: a file system of {capacity:g} TiB needs a /{widest} or larger.",
            "properties.filesystemSubnet",
        )


def _ranges(ctx: Context, subnet_id: str) -> list[ipaddress.IPv4Network]:
    subnet = ctx.store.get(subnet_id)
    return [network(one, subnet_id) for one in prefixes_of(subnet.properties)] if subnet else []


def _free_address(ctx: Context, subnet_id: str) -> str:
    """The highest address of the subnet that nobody has: private endpoints are given the lowest."""
    taken = {str(section(one.properties, "clientInfo").get("mgsAddress")) for one in ctx.store.of_type(FILE_SYSTEMS)}
    for one in ctx.store.of_type(INTERFACES):
        configs = cast(list[Body], one.properties["ipConfigurations"])
        taken |= {str(config["properties"]["privateIPAddress"]) for config in configs}
    for one in _ranges(ctx, subnet_id):
        for number in range(int(one.broadcast_address) - 1, int(one.network_address), -1):
            address = str(ipaddress.IPv4Address(number))
            if address not in taken:
                return address
    raise ArmError(400, "SubnetIsFull", f"Subnet {subnet_id} has no free address for a file system.")


register(FileSystems())
