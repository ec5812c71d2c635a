"""From an ARM document to the outputs and inputs that azure-native shows of it.

azure-native lifts what ARM nests under `properties` to the level above, at every depth. Names are the same on
both sides, but for hyphens and upper case (`scan-interval`, `scanInterval`) and for the few in `renamed.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

from arm.ids import arm_type
from arm.shapes import Shape, function_shape, resource_shape

Document = dict[str, Any]

_SDK_CLASS = re.compile(r"(?:Get)?(\w+?)(?:InitArgs|Args|Response|Result)?")
_ANYTHING = Shape("scalar")


def renamed(shape: Shape) -> Mapping[str, tuple[str, ...]]:
    """The names of one object that do not lie where they say, each with its path on the wire."""
    if shape.of is None:
        return {}
    module = shape.of.__module__.split(".")[1]
    match = _SDK_CLASS.fullmatch(shape.of.__name__)
    return _renamed_names().get(f"{module}:{match[1] if match else ''}", {})


def loosely(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that is this name but for hyphens and upper case."""
    wanted = _bare(name)
    return next((one for one in candidates if _bare(one) == wanted), None)


def outputs_of(token: str, document: Mapping[str, Any]) -> Document:
    """A resource's outputs as azure-native keeps them in the state, from what a GET of it answered."""
    shape = resource_shape(token)
    outputs = _flatten(document, shape.outputs, shape.inputs)
    outputs["azureApiVersion"] = arm_type(token).api_version
    if isinstance(document.get("id"), str):
        outputs["id"] = document["id"]
    return outputs


def function_outputs(token: str, document: Mapping[str, Any]) -> Document:
    """A function's result: of `getX` the resource's outputs, of `listX` what the POST answered."""
    package, module, name = token.split(":")
    resource = f"{package}:{module}:{name.removeprefix('get')}"
    if not name.startswith("get"):
        return _flatten(document, function_shape(token), _ANYTHING)
    inputs = resource_shape(resource).inputs
    outputs = _flatten(document, function_shape(token), inputs)
    return {**outputs, "azureApiVersion": arm_type(resource).api_version}


def body_fields(token: str) -> Mapping[str, Shape]:
    """The inputs of a type that belong into the request's body: all but those that make up the id."""
    parameters = set(arm_type(token).parameters)
    return {name: shape for name, shape in resource_shape(token).inputs.fields.items() if name not in parameters}


def inputs_within(token: str, outputs: Mapping[str, Any]) -> Document:
    """The part of outputs that could have been inputs, in the inputs' form: read-only properties left out.

    So is the `id`, which some specifications wrongly let a program set.
    """
    return _project_fields(outputs, {name: shape for name, shape in body_fields(token).items() if name != "id"})


def without_empty(value: Any) -> Any:
    """The value without empty lists and maps, None when nothing is left: services answer with many of those."""
    if isinstance(value, dict):
        pairs = ((name, without_empty(inner)) for name, inner in cast(Document, value).items())
        return {name: inner for name, inner in pairs if inner is not None} or None
    if isinstance(value, list):
        return [inner for inner in map(without_empty, cast(list[Any], value)) if inner is not None] or None
    return value


def _flatten(document: Mapping[str, Any], shape: Shape, inputs: Shape) -> Document:
    inner = document.get("properties")
    nested: Mapping[str, Any] = (
        cast(Document, inner) if isinstance(inner, dict) and "properties" not in shape.fields else {}
    )
    elsewhere = renamed(shape)
    result: Document = {}
    for name, field in shape.fields.items():
        if name in elsewhere:
            value = _at(document, elsewhere[name])
        elif name in nested and (name not in document or name in inputs.fields):
            # a name on both levels, as an agent pool's `type`: the one that a program can set
            value = nested[name]
        elif name in document:
            value = document[name]
        else:
            level = nested or document
            value = level.get(loosely(name, level) or name)
        if value is not None:
            result[name] = _value(value, field, inputs.fields.get(name, _ANYTHING))
    return result


def _at(document: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = document
    for name in path:
        value = cast(Document, value).get(name) if isinstance(value, dict) else None
    return value


def _value(value: Any, shape: Shape, inputs: Shape) -> Any:
    if shape.kind == "object" and isinstance(value, dict):
        return _flatten(cast(Document, value), shape, inputs)
    if shape.kind == "list" and shape.item and isinstance(value, list):
        return [_value(one, shape.item, inputs.item or _ANYTHING) for one in cast(list[Any], value)]
    if shape.kind == "map" and shape.item and isinstance(value, dict):
        item = inputs.item if inputs.kind == "map" and inputs.item else _ANYTHING
        return {name: _value(one, shape.item, item) for name, one in cast(Document, value).items()}
    return value


def _project_fields(outputs: Mapping[str, Any], fields: Mapping[str, Shape]) -> Document:
    return {name: _project(outputs[name], shape) for name, shape in fields.items() if outputs.get(name) is not None}


def _project(value: Any, shape: Shape) -> Any:
    mapping = cast(Document, value) if isinstance(value, dict) else None
    if mapping is not None and shape.kind == "object":
        return _project_fields(mapping, shape.fields)
    if mapping is not None and shape.kind == "map" and shape.item:
        return {name: _project(one, shape.item) for name, one in mapping.items()}
    if mapping is not None and shape.kind == "list":
        # a set of texts is a map with empty values on the wire, and a list to the program
        return list(mapping)
    entries = cast(list[Any], value) if isinstance(value, list) else None
    if entries is not None and shape.kind == "list" and shape.item:
        return [_project(one, shape.item) for one in entries]
    return cast(object, value)


@cache
def _renamed_names() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    table = json.loads(Path(__file__).with_name("renamed.json").read_text())
    return {of: {name: tuple(path) for name, path in names.items()} for of, names in table.items()}


@cache
def _bare(name: str) -> str:
    return name.replace("-", "").lower()
