"""Where machines may be placed: proximity placement groups and capacity reservations, and AKS's rights on them."""

from __future__ import annotations

import re
from typing import ClassVar

from capacity.catalogue import load_catalogue
from sandbox.azure.behaviour import Behaviour, Body, Context, Request, register
from sandbox.azure.clusters import Cluster, lacking
from sandbox.azure.container_service import POOL_TYPE, listed, mapping, refusal
from sandbox.azure.errors import ArmError, bad_request
from sandbox.azure.ids import same_id
from sandbox.azure.skus import offer
from sandbox.azure.store import Resource

PROXIMITY_TYPE = "Microsoft.Compute/proximityPlacementGroups"
RESERVATION_GROUP_TYPE = "Microsoft.Compute/capacityReservationGroups"
RESERVATION_TYPE = "Microsoft.Compute/capacityReservationGroups/capacityReservations"
RESERVATION_ACTIONS = (
    "Microsoft.Compute/capacityReservationGroups/read",
    "Microsoft.Compute/capacityReservationGroups/deploy/action",
    "Microsoft.Compute/capacityReservationGroups/capacityReservations/read",
    "Microsoft.Compute/capacityReservationGroups/capacityReservations/deploy/action",
)


def check_placement(ctx: Context, cluster: Cluster, pool: Body) -> None:
    """The groups a pool names exist, lie in its region, and go together with the rest of it."""
    group_id, reservation_id = pool.get("proximityPlacementGroupID"), pool.get("capacityReservationGroupID")
    if group_id:
        group = _found(ctx, str(group_id), PROXIMITY_TYPE, "PPGNotFound")
        if group.body["location"] != cluster.location:
            raise refusal("InvalidPPGRegion", f"Proximity placement group {group_id} is not in {cluster.location}.")
        if len(listed(pool.get("availabilityZones"))) > 1:
            raise refusal(
                "PPGNotSupportMultipleZones", "A proximity placement group cannot be used with more than one zone."
            )
    if not reservation_id:
        return
    reserved = _found(ctx, str(reservation_id), RESERVATION_GROUP_TYPE, "CapacityReservationGroupNotFound")
    if reserved.body["location"] != cluster.location:
        raise refusal("InvalidParameter", f"Capacity reservation group {reservation_id} is not in {cluster.location}.")
    if pool.get("scaleSetPriority") == "Spot":
        raise refusal("CRGConflictWithSpotVM", "A capacity reservation group cannot be used with spot machines.")
    if group_id:
        raise refusal(
            "CRGConflictWithPPG", "A capacity reservation group cannot be used with a proximity placement group."
        )
    if pool.get("enableUltraSSD"):
        raise refusal("CRGConflictWithUltraSSD", "A capacity reservation group cannot be used with ultra disks.")
    sizes = [one.body["sku"]["name"].lower() for one in ctx.store.of_type(RESERVATION_TYPE, reserved.id)]
    if str(pool.get("vmSize")).lower() not in sizes:
        raise refusal(
            "InvalidParameter",
            f"Capacity reservation group {reservation_id} has no reservation for {pool.get('vmSize')}: it reserves "
            f"{', '.join(sizes) or 'nothing'}.",
            "agentPoolProfile.capacityReservationGroupID",
        )


def missing_placement_right(ctx: Context, cluster: Cluster, pool: Body) -> tuple[str, str] | None:
    """The first action on the pool's reservations, with its scope, that AKS's identity lacks now."""
    reservation_id = pool.get("capacityReservationGroupID")
    if not reservation_id:
        return None
    action = lacking(ctx, cluster.principal_id, RESERVATION_ACTIONS, str(reservation_id))
    return (action, str(reservation_id)) if action else None


def _found(ctx: Context, identifier: str, resource_type: str, code: str) -> Resource:
    found = ctx.store.get(identifier)
    if found is None or found.type != resource_type:
        raise refusal(code, f"{identifier} is no {resource_type.rsplit('/', 1)[-1]} that exists: create it first.")
    return found


def _users(ctx: Context, identifier: str, key: str) -> list[str]:
    """Names of the agent pools that name this resource."""
    return [
        pool.name
        for pool in ctx.store.of_type(POOL_TYPE)
        if pool.properties.get(key) and same_id(str(pool.properties[key]), identifier)
    ]


class ProximityPlacementGroups(Behaviour):
    """`Microsoft.Compute/proximityPlacementGroups`."""

    type: ClassVar[str] = PROXIMITY_TYPE
    name_pattern: ClassVar[re.Pattern[str]] = re.compile(r"[A-Za-z0-9_][\w.-]{0,79}")
    name_rule: ClassVar[str] = "1 to 80 letters, digits, underscores, periods and hyphens"

    def fill(self, ctx: Context, request: Request, document: Body, existing: Resource | None) -> None:
        """The default type."""
        document["properties"].setdefault("proximityPlacementGroupType", "Standard")

    def check_delete(self, ctx: Context, resource: Resource) -> None:
        """Not while machines are in it."""
        users = _users(ctx, resource.id, "proximityPlacementGroupID")
        if users:
            raise ArmError(
                409,
                "OperationNotAllowed",
                f"Proximity placement group '{resource.name}' is used by agent pools {', '.join(users)}: delete "
                "them first.",
            )


class CapacityReservationGroups(Behaviour):
    """`Microsoft.Compute/capacityReservationGroups`."""

    type: ClassVar[str] = RESERVATION_GROUP_TYPE

    def render(self, ctx: Context, resource: Resource) -> Body:
        """The group with its reservations."""
        inner = [{"id": one.id} for one in ctx.store.of_type(RESERVATION_TYPE, resource.id)]
        return {**resource.body, "properties": {**resource.properties, "capacityReservations": inner}}

    def check_delete(self, ctx: Context, resource: Resource) -> None:
        """Not while it has reservations or users."""
        users = _users(ctx, resource.id, "capacityReservationGroupID")
        if users or ctx.store.of_type(RESERVATION_TYPE, resource.id):
            raise ArmError(
                409,
                "OperationNotAllowed",
                f"Capacity reservation group '{resource.name}' still has reservations or is used by agent pools "
                f"{', '.join(users) or 'of none'}: delete them first.",
            )


class CapacityReservations(Behaviour):
    """`…/capacityReservationGroups/capacityReservations`."""

    type: ClassVar[str] = RESERVATION_TYPE
    creates: ClassVar[float] = 0.3
    changes: ClassVar[float] = 0.3

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """A size sold there, in one zone at most."""
        sku = mapping(body.get("sku"))
        size = load_catalogue().size(str(sku.get("name", "")))
        place = str(body.get("location"))
        found = offer(ctx, place, size.name) if size else None
        if found is None or found.restricted:
            raise bad_request(
                "SkuNotAvailable",
                f"The requested VM size '{sku.get('name')}' is not available in location '{place}'.",
                "sku.name",
            )
        if not isinstance(sku.get("capacity"), int) or sku["capacity"] < 0:
            raise bad_request(
                "InvalidParameter", "Required parameter 'sku.capacity' is missing (null).", "sku.capacity"
            )
        zones = listed(body.get("zones"))
        if len(zones) > 1 or any(zone not in found.zones for zone in zones):
            raise bad_request(
                "InvalidParameter", f"A reservation may name one zone of {list(found.zones)}, not {zones}.", "zones"
            )


for _behaviour in (ProximityPlacementGroups(), CapacityReservationGroups(), CapacityReservations()):
    register(_behaviour)
