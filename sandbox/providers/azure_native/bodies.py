"""From a resource's inputs to the document that Resource Manager takes.

A name that the ARM model does not hold at its level but under `properties` goes there, at every depth. A name
that it holds nowhere is sent too, where it would most likely lie: Resource Manager's refusal says what is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from arm.documents import loosely, renamed
from arm.ids import arm_type
from arm.shapes import Shape, resource_shape
from sandbox.azure.schemas import Field, Model, model_for

Document = dict[str, Any]

KEPT_WHEN_UNSET: Mapping[str, tuple[str, ...]] = {
    "azure-native:network:VirtualNetwork": ("subnets", "virtualNetworkPeerings"),
    "azure-native:network:NetworkSecurityGroup": ("securityRules",),
}
"""Lists that are resources of their own as well: left out by the program, they keep what Azure has."""

_NOT_SENT = frozenset({"azureApiVersion", "expand"})
"""Inputs that say how to ask, not what to have."""


def body_of(token: str, inputs: Mapping[str, Any]) -> Document:
    """The body of the PUT that creates or updates a resource with these inputs."""
    parameters = set(arm_type(token).parameters)
    values = {
        name: value
        for name, value in inputs.items()
        if name not in parameters and name not in _NOT_SENT and not name.startswith("__")
    }
    return _object(values, resource_shape(token).inputs, model_for(arm_type(token).type))


def with_empty_lists(token: str, body: Document) -> Document:
    """The body for a creation: lists that Azure keeps when unset are empty at first."""
    missing: Document = {name: [] for name in KEPT_WHEN_UNSET.get(token, ()) if name not in body.get("properties", {})}
    return _merge(body, {"properties": missing}) if missing else body


def with_live_lists(token: str, body: Document, live: Mapping[str, Any]) -> Document:
    """The body for an update: lists that the program leaves out as Azure has them now."""
    there = cast(Document, live.get("properties") or {})
    kept = {
        name: there[name]
        for name in KEPT_WHEN_UNSET.get(token, ())
        if name in there and name not in body.get("properties", {})
    }
    return _merge(body, {"properties": kept}) if kept else body


def _object(values: Mapping[str, Any], shape: Shape, model: Model) -> Document:
    body: Document = {}
    elsewhere = renamed(shape)
    for name, value in values.items():
        path = elsewhere.get(name) or _path(name, shape, model)
        field = _field(model, path)
        level = body
        for step in path[:-1]:
            level = cast(Document, level.setdefault(step, {}))
        level[path[-1]] = _value(value, shape.fields.get(name, Shape("scalar")), field)
    return body


def _path(name: str, shape: Shape, model: Model) -> tuple[str, ...]:
    """Where a name lies in an ARM object: at its level or under `properties`."""
    inner = _properties(model) if "properties" not in shape.fields else None
    outer_name = name if name in model.fields else loosely(name, model.fields)
    inner_name = (name if name in inner.fields else loosely(name, inner.fields)) if inner else None
    if outer_name and not (model.fields[outer_name].read_only and inner_name):
        return (outer_name,)
    if inner_name or inner:
        return ("properties", inner_name or name)
    return (name,)


def _field(model: Model, path: tuple[str, ...]) -> Field | None:
    field = model.fields.get(path[0])
    if len(path) == 1:
        return field
    return _field(field.model, path[1:]) if field and field.model else None


def _properties(model: Model) -> Model | None:
    field = model.fields.get("properties")
    return field.model if field and field.kind == "model" else None


def _value(value: Any, shape: Shape, field: Field | None) -> Any:
    model = field.model if field else None
    if isinstance(value, dict):
        mapping = cast(Document, value)
        if shape.kind == "object" and model is not None:
            return _object(mapping, shape, model)
        if shape.kind == "map" and shape.item and model is not None:
            return {name: _item(one, shape.item, model) for name, one in mapping.items()}
    if isinstance(value, list):
        entries = cast(list[Any], value)
        if field is not None and field.kind == "dict":
            # a set of texts is a list to the program, and a map with empty values on the wire
            return {str(one): dict[str, Any]() for one in entries}
        if shape.item and model is not None:
            return [_item(one, shape.item, model) for one in entries]
    return cast(Any, value)


def _item(value: Any, shape: Shape, model: Model) -> Any:
    return _object(cast(Document, value), shape, model) if isinstance(value, dict) else value


def _merge(one: Document, other: Document) -> Document:
    """Both documents, `properties` joined, the second's values where both have one."""
    merged = {**one, **other}
    if "properties" in one and "properties" in other:
        merged["properties"] = {**one["properties"], **other["properties"]}
    return merged
