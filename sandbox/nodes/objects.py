"""Reading Kubernetes objects as they come: parts that are absent read as empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

Json = dict[str, Any]
Key = tuple[str, str]
"""Namespace (empty for what has none) and name."""


def section(node: Mapping[str, Any], *keys: str) -> Json:
    """The mapping at a path, empty where there is none."""
    found: Any = node
    for key in keys:
        found = cast(Json, found).get(key) or {}
    return cast(Json, found)


def items(node: Mapping[str, Any], *keys: str) -> list[Json]:
    """The list at a path, empty where there is none."""
    return cast(list[Json], section(node, *keys[:-1]).get(keys[-1]) or [])


def text(node: Mapping[str, Any], *keys: str) -> str:
    """The value at a path as text, empty where there is none."""
    value = section(node, *keys[:-1]).get(keys[-1])
    return "" if value is None else str(value)


def key_of(node: Mapping[str, Any]) -> Key:
    """An object's namespace and name."""
    return text(node, "metadata", "namespace"), text(node, "metadata", "name")


def labels_of(node: Mapping[str, Any]) -> dict[str, str]:
    """An object's labels."""
    return section(node, "metadata", "labels")


def annotations_of(node: Mapping[str, Any]) -> dict[str, str]:
    """An object's annotations."""
    return section(node, "metadata", "annotations")


def finalizers_of(node: Mapping[str, Any]) -> list[str]:
    """An object's finalizers."""
    return cast(list[str], section(node, "metadata").get("finalizers") or [])


def condition(node: Mapping[str, Any], kind: str) -> Json:
    """The condition of a type, empty where there is none."""
    return next((one for one in items(node, "status", "conditions") if one.get("type") == kind), Json())


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod is running, ready and not on its way out."""
    return condition(pod, "Ready").get("status") == "True" and not text(pod, "metadata", "deletionTimestamp")


def owner_kind(node: Mapping[str, Any]) -> str:
    """The kind of the controller that made an object, empty where none did."""
    return next((str(one["kind"]) for one in items(node, "metadata", "ownerReferences") if one.get("controller")), "")


def words_of(container: Mapping[str, Any], field: str) -> list[str]:
    """A container's `command` or `args`."""
    return [str(word) for word in cast(list[Any], container.get(field) or [])]


def program_of(container: Mapping[str, Any]) -> str:
    """The program that a container's command names, without its folder; empty where the image's own runs."""
    command = words_of(container, "command")
    return command[0].rpartition("/")[2] if command else ""
