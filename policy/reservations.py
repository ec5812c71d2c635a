"""Capacity reservations as a program declares them, and which pool draws from which.

A group is known by its name in lower case: its id may be unknown in a first preview, when its name is not.
"""

from __future__ import annotations

from capacity.quota import Reservation
from policy.model import Resource
from policy.properties import UNKNOWN
from policy.stack import RESERVATION, Pool, StackView

_GROUP = "compute:CapacityReservationGroup"


def group_key(stack: StackView, pool: Pool) -> str | None:
    """The name of the group that a pool draws from; None: it draws from none."""
    return _named(stack, pool.resource, "capacityReservationGroupID", pool.properties.raw("capacityReservationGroupID"))


def declared_reservations(stack: StackView, group: str, region: str) -> list[Reservation]:
    """What the program reserves in a group; raises `UnknownValueError`, `UnreadableError`."""
    return [
        Reservation(
            group,
            stack.facts.cores(region, str(one.properties.text("sku.name"))),
            one.properties.number("sku.capacity") or 0,
            counted=False,
        )
        for one in stack.of(RESERVATION)
        if _named(stack, one, "capacityReservationGroupName", one.properties.raw("capacityReservationGroupName"))
        == group
    ]


def _named(stack: StackView, resource: Resource, path: str, value: object) -> str | None:
    """The group's name, from an id or a name, else from the resource that the value comes from."""
    if value is None:
        return None
    if value is not UNKNOWN:
        return str(value).rsplit("/", 1)[-1].lower()
    sources = resource.depends.get(path, ())
    for one in stack.of(_GROUP):
        if one.urn in sources:
            return str(one.properties.known("capacityReservationGroupName") or one.name).lower()
    return ",".join(sources).lower() or None
