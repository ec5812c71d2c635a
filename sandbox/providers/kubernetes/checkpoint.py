"""What the engine's state keeps of an object: the live object, and beside it the inputs it was made from."""

from __future__ import annotations

from typing import Any

from sandbox.providers.kubernetes.objects import Json, annotation, clone, text, unique
from sandbox.providers.kubernetes.properties import Secret, mark_secrets, plain, underscored

FIELD_MANAGER = "__fieldManager"
API_VERSION = "__initialApiVersion"
INPUTS = "__inputs"
CREATOR = "pulumi-kubernetes"
"""Field manager of objects just created; the first update hands its fields to the manager that the state names."""


def checkpoint(inputs: Json, live: Json, given: Any, *, api_version: str, manager: str) -> Json:
    """The outputs of a resource.

    Args:
        inputs: what was sent to the API server.
        live: what it keeps.
        given: the engine's inputs with their secret marks.
        api_version: the one the object was first made with.
        manager: the field manager that owns the program's fields.
    """
    outputs: Json = underscored(clone(live))
    kept: Json = underscored(clone(inputs))
    mark_secrets(outputs, given)
    mark_secrets(kept, given)
    return {**outputs, INPUTS: kept, API_VERSION: api_version, FIELD_MANAGER: manager}


def parse_checkpoint(state: Json) -> tuple[Json, Json]:
    """The inputs an object was made from and its last known live state, both without secret marks."""
    live: Json = plain(state)
    inputs: Json = live.pop(INPUTS, {})
    return inputs, {key: value for key, value in live.items() if key not in (FIELD_MANAGER, API_VERSION)}


def initial_api_version(state: Json, inputs: Json) -> str:
    """The API version that the object was first made with."""
    return text(state.get(API_VERSION)) or text(inputs.get("apiVersion"))


def field_manager(state: Json, inputs: Json) -> str:
    """The field manager of an object: its annotation's, else the state's, else a new one."""
    kept = state.get(FIELD_MANAGER)
    return (
        annotation(inputs, "pulumi.com/patchFieldManager")
        or text(kept.value if isinstance(kept, Secret) else kept)
        or unique(f"{CREATOR}-")
    )
