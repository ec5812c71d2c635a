"""What is filled in and refused before a resource is compared or created: names, location, missing inputs."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Mapping
from typing import Any, Literal

from arm.ids import ArmType, arm_type
from arm.shapes import resource_shape
from sandbox.providers.azure_native.differences import CREATE_BEFORE_DELETE
from sandbox.providers.azure_native.values import Properties

NamingMode = Literal["propose", "enforce", "disable"]

_HEX_DIGITS = 8


def with_name(
    token: str,
    logical_name: str,
    news: Properties,
    olds: Mapping[str, Any],
    *,
    seed: bytes,
    proposal: tuple[NamingMode, str] | None,
) -> Properties:
    """The inputs with a name, if they have none: that of last time, or one made up as azure-native makes it.

    Args:
        seed: the engine's, so that the same preview and deployment make the same name; empty: at random.
        proposal: what the project's own autonaming settings say.
    """
    kind = arm_type(token)
    key = kind.name_parameter
    if news.get(key) is not None or kind.auto_name is None:
        return news
    if key in olds:
        kept = {CREATE_BEFORE_DELETE: olds[CREATE_BEFORE_DELETE]} if CREATE_BEFORE_DELETE in olds else {}
        return {**news, key: olds[key], **kept}
    if proposal and proposal[0] == "disable":
        return news
    if proposal and (proposal[0] == "enforce" or kind.auto_name != "uuid"):
        return {**news, key: proposal[1], CREATE_BEFORE_DELETE: True}
    name, is_random = _made_up(kind, logical_name, seed)
    return {**news, key: name, **({CREATE_BEFORE_DELETE: True} if is_random else {})}


def takes_location(token: str) -> bool:
    """Whether the type has a location that is filled in when the program gives none."""
    return "location" in resource_shape(token).inputs.fields


def missing_inputs(token: str, inputs: Mapping[str, Any]) -> list[str]:
    """One message for each input that is required and not there."""
    kind = arm_type(token)
    required = {*resource_shape(token).required, *kind.parameters}
    return [f"missing required property '{name}'" for name in sorted(required) if inputs.get(name) is None]


def _made_up(kind: ArmType, logical_name: str, seed: bytes) -> tuple[str, bool]:
    digits = hashlib.sha256(seed).hexdigest() if seed else secrets.token_hex(32)
    match kind.auto_name:
        case "uuid":
            return str(uuid.UUID(digits[:32])), True
        case "random":
            return logical_name + digits[:_HEX_DIGITS], True
        case _:
            return logical_name, False
