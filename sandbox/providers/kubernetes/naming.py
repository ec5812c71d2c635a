"""What an object is called where the program names none, and marks that Pulumi leaves on it."""

from __future__ import annotations

from pulumi.runtime.proto import provider_pb2

from sandbox.providers.kubernetes.objects import UNKNOWN, Json, annotation, as_map, is_map, name_of, pluck, text, unique

AUTONAMED = "pulumi.com/autonamed"


class NamingError(ValueError):
    """An object that cannot be named."""


def is_named(obj: Json) -> bool:
    """Whether the object has a name, be it one that is not known yet."""
    return pluck(obj, "metadata", "name") is UNKNOWN or name_of(obj) != ""


def is_autonamed(obj: Json) -> bool:
    """Whether Pulumi chose the object's name."""
    return annotation(obj, AUTONAMED) == "true"


def adopt_name(obj: Json, old: Json) -> None:
    """Give an unnamed object the name that Pulumi chose for it before."""
    if not is_named(obj) and is_autonamed(old):
        _set_name(obj, name_of(old))


def assign_name(obj: Json, name: str, request: provider_pb2.CheckRequest) -> None:
    """Give an unnamed object a name: the engine's proposal, else the resource's name and 8 hexadecimal digits.

    Raises:
        NamingError: the stack's configuration forbids chosen names.
    """
    if is_named(obj) or pluck(obj, "metadata", "generateName") is not None:
        return
    chosen = unique(f"{name}-", request.randomSeed)
    if request.HasField("autonaming"):
        options = provider_pb2.CheckRequest.AutonamingOptions
        if request.autonaming.mode == options.DISABLE:
            raise NamingError("autonaming is disabled, resource requires the .metadata.name field to be set")
        chosen = text(request.autonaming.proposed_name) or chosen
    _set_name(obj, chosen)


def _set_name(obj: Json, name: str) -> None:
    metadata = obj.setdefault("metadata", {})
    if not is_map(metadata):
        return  # not known yet as a whole
    as_map(metadata)["name"] = name
    annotations = as_map(metadata).setdefault("annotations", {})
    if is_map(annotations):
        annotations[AUTONAMED] = "true"
