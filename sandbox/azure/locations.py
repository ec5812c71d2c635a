"""Azure's regions.

The names are data (`data/locations.json`); the display names are what people may write instead.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TypedDict

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
