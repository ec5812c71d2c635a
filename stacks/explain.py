"""What pydantic found wrong with a value, in the words of a stack file: value, what is allowed, the remedy.

Owns the wording. What is allowed is read from the schema, so that it is written down once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, cast

from pydantic_core import ErrorDetails

from stacks.problems import PathParts, Problem, nearest, shown
from stacks.settings import Stack

Node = Mapping[str, Any]

_COMPLAINTS: Mapping[str, str] = {
    "int_type": "is not a whole number",
    "int_parsing": "is not a whole number",
    "int_parsing_size": "is not a number of a size that means anything here",
    "int_from_float": "is not a whole number",
    "float_type": "is not a number",
    "float_parsing": "is not a number",
    "finite_number": "is not a finite number",
    "string_type": "is not text",
    "literal_error": "is not one of the allowed words",
    "string_pattern_mismatch": "does not have the right form",
    "greater_than_equal": "is too small",
    "less_than_equal": "is too large",
    "too_long": "has too many entries",
    "too_short": "is empty",
    "tuple_type": "is not a list",
    "dict_type": "is not a mapping",
    "model_type": "is not a mapping",
}


def explained(path: PathParts, error: ErrorDetails, secret_keys: Collection[str]) -> Problem:
    """The problem behind one pydantic error other than an unknown key."""
    node = schema_at(path)
    allowed = described(node)
    if error["type"] == "missing":
        return Problem(path, f"is missing; allowed: {allowed}. Add it.")
    value = error["input"]
    complaint = _COMPLAINTS.get(error["type"], error["msg"])
    if value is None:
        complaint = "(no value) cannot stand here"
    if path and path[-1] == "migStrategy":
        complaint += " (with `mixed` the autoscaler takes a busy node for an empty one)"
    return Problem(
        path, f"{shown(value, path, secret_keys)} {complaint}; allowed: {allowed}. {_remedy(value, node, error)}"
    )


def unknown_key(path: PathParts, value: object, secret_keys: Collection[str]) -> tuple[Problem, PathParts | None]:
    """The problem of a key that no setting has, and the key that was probably meant."""
    word = str(path[-1])
    known = keys_at(path[:-1])
    if len(path) == 1 and ("." in word or "[" in word) and nearest(word.partition(".")[0], known):
        advice = f"To set a value inside a key: pulumi config set --path 'trainyard:{word}' VALUE; remove this one."
        return Problem(path, f"no such key (value: {shown(value, path, secret_keys)}). {advice}"), None
    near = nearest(word, known)
    hint = f"did you mean `{near}`? " if near else ""
    elsewhere = None if near else _elsewhere(word, path)
    if elsewhere:
        hint = f"it belongs to {elsewhere}. "
    message = f"no such key (value: {shown(value, path, secret_keys)}); {hint}allowed: {', '.join(known)}. "
    return Problem(path, message + ("Rename it." if near else "Remove it.")), (*path[:-1], near) if near else None


def described(node: Node) -> str:
    """What a schema node allows, in words."""
    options = [one for one in _options(node) if one.get("type") != "null"]
    told = {"examples": node["examples"]} if "examples" in node else {}
    words = " or ".join(dict.fromkeys(_one({**told, **option}) for option in options))
    description = node.get("description")
    return f"{words} ({description.rstrip('.')})" if description else words


def schema_at(path: PathParts) -> Node:
    """The schema of the value at a key, its references followed; what has no schema of its own is anything."""
    node = _followed(_schema())
    for part in path:
        found: Node | None = None
        for option in (node, *_options(node)):
            option = _followed(option)  # noqa: PLW2901  (the same option, its reference followed)
            properties = cast("Mapping[str, Node]", option.get("properties", {}))
            inner = option.get("items") if isinstance(part, int) else properties.get(part)
            if inner is None and not isinstance(part, int):
                inner = _free(option)
            if inner is not None:
                found = inner
                break
        if found is None:
            return {}
        node = _followed(found)
    return node


def keys_at(path: PathParts) -> list[str]:
    """The keys that the mapping at a key may have; none where they are the user's own words."""
    return [key for option in _options(schema_at(path)) for key in cast("Node", option.get("properties", {}))]


def _free(option: Node) -> Node | None:
    """The schema of a mapping's values whose keys are the user's own words."""
    extra = option.get("additionalProperties")
    return cast("Node", extra) if isinstance(extra, dict) else None


def _followed(node: Node) -> Node:
    reference = node.get("$ref")
    if reference is None:
        return node
    target = cast("Node", _schema()["$defs"][str(reference).rpartition("/")[2]])
    return {**target, **{key: value for key, value in node.items() if key != "$ref"}}


def _options(node: Node) -> list[Node]:
    return [_followed(one) for one in cast("list[Node]", node.get("anyOf", [node]))]


def _one(node: Node) -> str:
    if "enum" in node or "const" in node:
        return ", ".join(str(one) for one in node.get("enum", [node.get("const")]))
    kind = str(node.get("type"))
    if kind in {"integer", "number"}:
        noun = "a whole number" if kind == "integer" else "a number"
        low, high = node.get("minimum"), node.get("maximum")
        return noun if low is None or high is None else f"{noun} from {low:g} to {high:g}"
    if kind == "array":
        entry = _followed(cast("Node", node.get("items", {})))
        most = f", {node['maxItems']} at most" if "maxItems" in node else ""
        return f"a list of {' or '.join(dict.fromkeys(_one(one) for one in _options(entry)))}{most}"
    if kind == "object":
        keys = ", ".join(cast("Node", node.get("properties", {})))
        return f"a mapping with {keys}" if keys else "a mapping"
    text = f"text like {' or '.join(map(str, node['examples']))}" if "examples" in node else "text"
    return {"string": text, "boolean": "true or false"}.get(kind, "any value")


def _remedy(value: object, node: Node, error: ErrorDetails) -> str:
    default = node.get("default")
    leave_out = f", or leave it out for the default {shown(default)}" if default not in (None, [], {}) else ""
    if error["type"] == "string_type" and isinstance(value, bool | int | float):
        return f'Put it in quotes: "{value}"{leave_out}.'
    if error["type"] == "literal_error" and isinstance(value, str):
        near = nearest(value, [str(one) for option in _options(node) for one in option.get("enum", [])])
        if near:
            return f"Did you mean {near}?"
    if isinstance(value, dict) and "secure" in value:
        return "Set it again without --secret: it is no secret."
    return f"Change it{leave_out}."


def _elsewhere(word: str, path: PathParts) -> str | None:
    """The section in which a key of exactly that name is known, if it is in another one than written."""
    for section, model in cast("Mapping[str, Node]", _schema()["properties"]).items():
        inner = cast("Node", _followed(model).get("properties", {}))
        if word in inner and section != path[0]:
            return f"`trainyard:{section}`"
    return None


@lru_cache(maxsize=1)
def _schema() -> dict[str, Any]:
    return Stack.model_json_schema(by_alias=True, mode="serialization")
