"""Azure's regions.

The names are data (`data/locations.json`); the display names are what people may write instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypedDict, cast

from sandbox.azure.errors import bad_request

ZONES = ("1", "2", "3")
_FILE = Path(__file__).parent / "data" / "locations.json"


class Location(TypedDict):
    """One region: its short name, the name people read, and whether it has availability zones."""

    name: str
    displayName: str
    zones: bool


@cache
def locations() -> tuple[Location, ...]:
    """Every region the sandbox knows."""
    return tuple(json.loads(_FILE.read_text())["locations"])


@cache
def location_names() -> frozenset[str]:
    """Their short names."""
    return frozenset(one["name"] for one in locations())


def normalised(given: str) -> str:
    """`West Europe` as `westeurope`."""
    return given.replace(" ", "").lower()


def check_zones(body: Mapping[str, Any], resource_type: str) -> list[str]:
    """The body's zones, refused where the region has none or not that one.

    Raises:
        ArmError: 400.
    """
    zones = cast(list[str], body.get("zones") or [])
    place = normalised(str(body.get("location", "")))
    if zones and not any(one["zones"] for one in locations() if one["name"] == place):
        raise bad_request(
            "LocationNotSupportAvailabilityZones",
            f"The resource type '{resource_type}' does not support availability zones at location '{place}': leave "
            "zones out or choose another region.",
            "zones",
        )
    wrong = [one for one in zones if one not in ZONES]
    if wrong or len(set(zones)) != len(zones):
        raise bad_request(
            "AvailabilityZoneNotSupported",
            f"The zone(s) '{', '.join(zones)}' for resource '{resource_type}' is not supported. The supported zones "
            f"for location '{place}' are '{', '.join(ZONES)}', each at most once.",
            "zones",
        )
    return zones
