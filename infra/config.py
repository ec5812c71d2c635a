"""The stack file's keys, as the engine hands them to the program."""

from __future__ import annotations

import json
from typing import Any

import pulumi

PREFIX = "trainyard:"


def secret_keys() -> frozenset[str]:
    """The `trainyard:` keys that the engine holds encrypted, without their prefix: errors must not show them."""
    config = pulumi.runtime.config
    keys = [key for key in config.CONFIG.get() if key.startswith(PREFIX)]
    return frozenset(key.removeprefix(PREFIX) for key in keys if config.is_config_secret(key))


def stack_values() -> dict[str, Any]:
    """All `trainyard:` keys without their prefix, mappings and lists parsed.

    The engine hands every value over as text, a mapping as JSON; scalars stay text, and the settings' models
    turn them into what they are.
    """
    values = pulumi.runtime.config.CONFIG.get()
    return {
        key.removeprefix(PREFIX): _parsed(str(text)) for key, text in sorted(values.items()) if key.startswith(PREFIX)
    }


def _parsed(text: str) -> Any:
    if text[:1] in "{[":
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text
