"""What charts have in common: a release, Helm's merging of values, and small pieces of objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from sandbox.nodes.objects import Json


@dataclass(frozen=True)
class Release:
    """One release of a chart; `values` are the user's own, without the chart's defaults."""

    name: str
    namespace: str
    chart: str
    version: str
    values: Mapping[str, Any]


def merged(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> Json:
    """Values over defaults as Helm merges them: mappings key by key, null takes a default away."""
    result: Json = dict(defaults)
    for key, value in given.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(cast("Json", result[key]), cast("Mapping[str, Any]", value))
        else:
            result[key] = value
    return result


def image(values: Json, default_tag: str) -> str:
    """`repository:tag` of an image's values."""
    return f"{values['repository']}:{values.get('tag') or default_tag}"


def some(**fields: Any) -> Json:
    """Those fields that say something, as a template's `with` leaves empty ones out."""
    return {key: value for key, value in fields.items() if value not in (None, "", {}, [])}


def named(api_version: str, kind: str, namespace: str, name: str, labels: Mapping[str, str] | None = None) -> Json:
    """The head of an object."""
    metadata: Json = {"name": name, "namespace": namespace, "labels": dict(labels or {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}
