"""Stacks of many pools, for measuring: the stack file, and what a preview of it registers."""

from __future__ import annotations

from typing import Any

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


def stack_file(pools: int, salt: str) -> dict[str, object]:
    """The same as a stack file says it."""
    config = {f"trainyard:{key}": value for key, value in values(pools).items()}
    return {"encryptionsalt": salt, "config": config}
