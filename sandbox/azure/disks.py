"""Managed disks: kinds, sizes and zones, growth, and which machine each is attached to.

Owns `Microsoft.Compute/disks` and the sandbox's own way to attach one (`POST /sandbox/disks/attach` and `…/detach`,
for what plays the CSI driver's part: on Azure it changes the machine's model). What is on a disk is not emulated.
"""

from __future__ import annotations

import re
import uuid
from typing import cast

from sandbox.azure.behaviour import Behaviour, Body, Context, Reply, Request, register, register_route
from sandbox.azure.container_service import INSTANCE_TYPE
from sandbox.azure.context import section
from sandbox.azure.disk_skus import DiskSku, disk_skus
from sandbox.azure.errors import ArmError, bad_request, conflict
from sandbox.azure.ids import same_id
from sandbox.azure.locations import check_zones, locations
from sandbox.azure.store import Resource

DISKS = "Microsoft.Compute/disks"
_GIB = 2**30
_CHANGEABLE = frozenset({"Standard_LRS", "StandardSSD_LRS", "Premium_LRS"})
"""Kinds that a detached disk may be changed between."""
_MOST_SHARES = 15


class Disks(Behaviour):
    """`Microsoft.Compute/disks`."""

    type = DISKS
    name_pattern = re.compile(r"[A-Za-z0-9_]([\w.-]{0,78}\w)?")
    name_rule = "1 to 80 letters, digits, underscores, periods and hyphens, ending with a letter, digit or underscore"
    creates = 0.3
    changes = 0.3

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """A kind sold there, a size it comes in, the zone it needs; no property changed that Azure cannot change."""
        sku = _sku_of(body)
        properties = body.setdefault("properties", {})
        _check_source(ctx, properties, existing)
        _check_zone(sku, body)
        if existing:
            _check_change(existing, body, sku)
        size = _size(ctx, properties, existing)
        if not sku.smallest <= size <= sku.largest:
            raise bad_request(
                "InvalidParameter",
                f"The value '{size}' of parameter 'disk.diskSizeGB' is out of range. The value must be between "
                f"'{sku.smallest}' and '{sku.largest}', inclusive, for {sku.name}.",
                "disk.diskSizeGB",
            )
        _check_performance(sku, size, properties, existing)
        shares = properties.get("maxShares", 1)
        if not 1 <= shares <= (1 if sku.name == "Standard_LRS" else _MOST_SHARES):
            raise bad_request(
                "InvalidParameter",
                f"The value '{shares}' of parameter 'disk.maxShares' is out of range for {sku.name}.",
                "disk.maxShares",
            )

    def fill(self, ctx: Context, request: Request, document: Body, existing: Resource | None) -> None:
        """Size, IOPS and MB/s; what a machine holds stays attached."""
        sku = _sku_of(document)
        document["sku"] = {"name": sku.name, "tier": sku.name.partition("_")[0]}
        properties: Body = document["properties"]
        size = properties["diskSizeGB"] = _size(ctx, properties, existing)
        properties["diskSizeBytes"] = size * _GIB
        if sku.is_adjustable:
            iops = properties.setdefault("diskIOPSReadWrite", sku.iops[0])
            properties.setdefault("diskMBpsReadWrite", min(sku.mbps[0], sku.most_mbps(iops)))
        else:
            tier = sku.tier(size)
            properties.update(diskIOPSReadWrite=tier.iops, diskMBpsReadWrite=tier.mbps)
            if sku.name.startswith("Premium"):
                properties["tier"] = tier.name
        properties.setdefault("encryption", {"type": "EncryptionAtRestWithPlatformKey"})
        properties.setdefault("networkAccessPolicy", "AllowAll")
        properties.setdefault("publicNetworkAccess", "Enabled")
        before = existing.properties if existing else {}
        properties["timeCreated"] = before.get("timeCreated") or ctx.timestamp()
        properties["uniqueId"] = before.get("uniqueId") or str(uuid.uuid4())
        _show_machines(document, machines_of(existing) if existing else [])

    def put(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> Reply:
        """Compute answers 202 for disks, new or not."""
        reply = super().put(ctx, request, body, existing)
        return Reply(202, reply.body, reply.operation)

    def check_delete(self, ctx: Context, resource: Resource) -> None:
        """Not while a machine has it."""
        machines = machines_of(resource)
        if machines:
            raise conflict(
                "OperationNotAllowed", f"Disk {resource.name} is attached to VM {machines[0]}: detach it first."
            )


def machines_of(disk: Resource) -> list[str]:
    """The ids of the machines that a disk is attached to."""
    return list(disk.body.get("managedByExtended") or filter(None, [disk.body.get("managedBy")]))


def _show_machines(document: Body, machines: list[str]) -> None:
    document.pop("managedBy", None)
    document.pop("managedByExtended", None)
    if machines:
        document["managedBy"] = machines[0]
    if int(document["properties"].get("maxShares", 1)) > 1 and machines:
        document["managedByExtended"] = machines
    document["properties"]["diskState"] = "Attached" if machines else "Unattached"


def _sku_of(body: Body) -> DiskSku:
    """The kind that a body names; Azure takes the cheapest where it names none."""
    return disk_skus()[section(body, "sku").get("name", "Standard_LRS")]


def _size(ctx: Context, properties: Body, existing: Resource | None) -> int:
    """GiB: as given, as it is, or as its source has it."""
    source = ctx.store.get(str(section(properties, "creationData").get("sourceResourceId", "")))
    for candidate in (properties, existing.properties if existing else {}, source.properties if source else {}):
        if isinstance(candidate.get("diskSizeGB"), int):
            return int(candidate["diskSizeGB"])
    raise bad_request("InvalidParameter", "Required parameter 'disk.diskSizeGB' is missing (null).", "disk.diskSizeGB")


def _check_source(ctx: Context, properties: Body, existing: Resource | None) -> None:
    creation = section(properties, "creationData")
    option = creation.get("createOption")
    if existing:
        if option != existing.properties["creationData"]["createOption"]:
            raise _not_changeable("creationData.createOption")
        return
    if option == "Copy":
        source = ctx.store.get(str(creation.get("sourceResourceId", "")))
        if source is None or source.type != DISKS:
            raise bad_request(
                "InvalidParameter",
                f"The source '{creation.get('sourceResourceId')}' of the copy is no disk that exists.",
                "disk.creationData.sourceResourceId",
            )
    elif option != "Empty":
        raise bad_request(
            "InvalidParameter",
            f"The sandbox makes disks with createOption Empty, or Copy of a disk, not {option}.",
            "disk.creationData.createOption",
        )


def _check_zone(sku: DiskSku, body: Body) -> None:
    zones = check_zones(body, DISKS)
    place = str(body["location"])
    has_zones = any(one["zones"] for one in locations() if one["name"] == place)
    fault = ""
    if len(zones) > 1:
        fault = f"A disk lies in one zone, not in {', '.join(zones)}."
    elif sku.zones == "never" and zones:
        fault = f"A disk of {sku.name} lies in all zones of its region: leave zones out."
    elif sku.zones == "never" and not has_zones:
        fault = f"{sku.name} is not sold in {place}, which has no availability zones."
    elif sku.zones == "required" and has_zones and not zones:
        fault = f"A disk of {sku.name} in {place} must name its availability zone."
    if fault:
        raise bad_request("InvalidParameter", fault, "zones")


def _check_change(existing: Resource, body: Body, sku: DiskSku) -> None:
    if (body.get("zones") or []) != (existing.body.get("zones") or []):
        raise _not_changeable("zones")
    before = str(existing.body["sku"]["name"])
    if sku.name != before:
        if not {sku.name, before} <= _CHANGEABLE:
            raise conflict("OperationNotAllowed", f"A disk's SKU cannot be changed from {before} to {sku.name}.")
        machines = machines_of(existing)
        if machines:
            raise conflict(
                "OperationNotAllowed",
                f"The SKU of disk {existing.name} cannot be changed while it is attached to {machines[0]}.",
            )
    old, new = existing.properties["diskSizeGB"], body["properties"].get("diskSizeGB")
    if new is not None and new < old:
        raise conflict(
            "OperationNotAllowed",
            f"Disk {existing.name} of {old} GB cannot be resized to {new} GB: a disk can only grow.",
        )


def _check_performance(sku: DiskSku, size: int, properties: Body, existing: Resource | None) -> None:
    """IOPS and MB/s are chosen for some kinds alone, within bounds."""
    if not sku.is_adjustable:
        before = existing.properties if existing else {}
        for key in ("diskIOPSReadWrite", "diskMBpsReadWrite"):
            given = properties.pop(key, None)
            if given is not None and given != before.get(key):
                raise bad_request(
                    "InvalidParameter",
                    f"The property '{key}' is settable only for UltraSSD_LRS and PremiumV2_LRS.",
                    key,
                )
        return
    iops = properties.get("diskIOPSReadWrite", sku.iops[0])
    mbps = properties.get("diskMBpsReadWrite", sku.mbps[0])
    for key, given, least, most in (
        ("diskIOPSReadWrite", iops, sku.iops[0], sku.most_iops(size)),
        ("diskMBpsReadWrite", mbps, sku.mbps[0], sku.most_mbps(iops)),
    ):
        if not least <= given <= most:
            raise bad_request(
                "InvalidParameter",
                f"The value '{given}' of parameter 'disk.{key}' is out of range. The value must be between '{least}' "
                f"and '{most}', inclusive, for {sku.name} of {size} GB.",
                f"disk.{key}",
            )


def _not_changeable(name: str) -> ArmError:
    return conflict("PropertyChangeNotAllowed", f"Changing property '{name}' of a disk is not allowed.")


def _attach(ctx: Context, _request: Request, body: Body) -> Reply:
    """`{"disk": id, "machine": id}`; a disk in a zone goes to machines of that zone."""
    disk, machine = _pair(ctx, body)
    machines = machines_of(disk)
    if any(same_id(one, machine.id) for one in machines):
        return Reply(200, disk.body)
    if len(machines) >= int(disk.properties.get("maxShares", 1)):
        raise conflict(
            "OperationNotAllowed",
            f"Disk {disk.name} is attached to {', '.join(machines)} and may not be attached to {machine.id} as well.",
        )
    zones, place = cast(list[str], disk.body.get("zones") or []), cast(list[str], machine.body.get("zones") or [])
    if zones and zones != place:
        raise bad_request(
            "BadRequest",
            f"Disk {disk.id} cannot be attached to the VM because it is in zone {zones[0]} and the VM in "
            f"{place[0] if place else 'none'}.",
        )
    return _with_machines(ctx, disk, [*machines, machine.id])


def _detach(ctx: Context, _request: Request, body: Body) -> Reply:
    """The same body; nothing happens where it is not attached, or the machine is gone."""
    disk = ctx.store.get(str(body.get("disk", "")))
    if disk is None:
        return Reply(204)
    return _with_machines(ctx, disk, [one for one in machines_of(disk) if not same_id(one, str(body.get("machine")))])


def _with_machines(ctx: Context, disk: Resource, machines: list[str]) -> Reply:
    _show_machines(disk.body, machines)
    ctx.store.put(disk)
    return Reply(200, disk.body)


def _pair(ctx: Context, body: Body) -> tuple[Resource, Resource]:
    disk, machine = (ctx.store.get(str(body.get(key, ""))) for key in ("disk", "machine"))
    if disk is None or disk.type != DISKS or machine is None or machine.type != INSTANCE_TYPE:
        raise ArmError(404, "ResourceNotFound", f"No such disk, or no such machine: {body}.")
    return disk, machine


register(Disks())
register_route("POST", "/sandbox/disks/attach", _attach, platform_only=True)
register_route("POST", "/sandbox/disks/detach", _detach, platform_only=True)
