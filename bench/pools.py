"""Stacks of many pools, for measuring: the stack file, and what a preview of it registers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

_SHAPES: tuple[dict[str, Any], ...] = (
    {"class": "cpu", "max": 10},
    {"class": "light-gpu", "max": 8},
    {"class": "heavy-gpu", "max": 4, "spot": True},
    {"class": "light-gpu", "min": 1, "max": 4, "role": "serve"},
)


def values(pools: int) -> dict[str, Any]:
    """The settings of a stack with that many pools, the four shapes of the sandbox's own in turn."""
    return {
        "location": "westeurope",
        "cluster": {"protect": False},
        "pools": {f"p{index}": _SHAPES[index % len(_SHAPES)] for index in range(pools)},
        "storage": {"files": {"shares": {"code": {"sizeGib": 100}, "data": {"sizeGib": 1024, "tier": "premium"}}}},
    }


def write_stack_file(path: Path, pools: int, salt: str) -> None:
    """A stack file as Pulumi reads it."""
    config = {f"trainyard:{key}": value for key, value in values(pools).items()}
    path.write_text(yaml.safe_dump({"encryptionsalt": salt, "config": config}, sort_keys=False))
