"""The bare program that Trainyard's preview is measured against.

It declares the same resources with the same inputs, directly: no components, no settings, no checks, as a user would
write it by hand. What to declare is recorded once from Trainyard's own program; references between resources are the
resources' own outputs, so the engine has the same dependencies to follow.

Run by the engine; `BENCH_DECLARATIONS` names the recorded file.
"""

from __future__ import annotations

import importlib
import json
import os
import re
from pathlib import Path
from typing import Any, cast

import pulumi

_REFERENCE = re.compile(r"^ref:(?P<key>[^:]+:[^:]+:[^:]+::[^#]+)#(?P<output>\w+)(?P<rest>.*)$")
_SNAKE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def declare(path: Path) -> None:
    """Declare everything in the recorded file."""
    made: dict[str, pulumi.CustomResource] = {}
    for one in json.loads(path.read_text()):
        resource = _class(one["type"])
        inputs = {_argument(key): _resolved(value, made) for key, value in one["inputs"].items()}
        options = pulumi.ResourceOptions(
            ignore_changes=one["ignoreChanges"] or None,
            delete_before_replace=one["deleteBeforeReplace"] or None,
            provider=cast(Any, made[one["provider"]]) if one["provider"] else None,
            depends_on=[made[key] for key in one["dependsOn"]] or None,
        )
        made[f"{one['type']}::{one['name']}"] = resource(one["name"], **inputs, opts=options)


def _class(token: str) -> Any:
    if token == "pulumi:providers:kubernetes":  # noqa: S105 -- a type, not a secret
        return importlib.import_module("pulumi_kubernetes").Provider
    package, module, name = token.split(":")
    base = "pulumi_" + package.replace("-", "_")
    if package == "kubernetes":
        group, _, version = module.partition("/")
        module = f"{group.split('.')[0]}.{version}"
    return getattr(importlib.import_module(f"{base}.{module}"), name)


def _argument(key: str) -> str:
    """The Python argument for an input: `osDiskSizeGB` is `os_disk_size_gb`."""
    return "resource_name_" if key == "resourceName" else _SNAKE.sub("_", key).lower()


def _resolved(value: Any, made: dict[str, pulumi.CustomResource]) -> Any:
    if isinstance(value, dict):
        return {key: _resolved(item, made) for key, item in cast(dict[str, Any], value).items()}
    if isinstance(value, list):
        return [_resolved(item, made) for item in cast(list[Any], value)]
    found = _REFERENCE.match(value) if isinstance(value, str) else None
    if found is None:
        return value
    output = getattr(made[found["key"]], found["output"])
    return pulumi.Output.concat(output, found["rest"]) if found["rest"] else output


if path := os.environ.get("BENCH_DECLARATIONS"):
    declare(Path(path))
