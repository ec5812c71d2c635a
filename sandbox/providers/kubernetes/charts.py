"""Which custom resource definitions a chart brings: its own schemas where they are at hand, else permissive ones.

The table is data (`data/charts.yaml`). Own schemas are read from Go's module cache, as controller-runtime's tests do.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from sandbox.providers.kubernetes.objects import Json, Kind, as_map, pluck, remove, table, text

Source = Literal["schema", "permissive"]
SOURCE = "sandbox.trainyard/crd"
"""Annotation on each definition: whether its schema is the chart's own."""


@dataclass(frozen=True)
class Definitions:
    """What a chart brings.

    Attributes:
        crds: the definitions, marked with their source.
        source: `schema` if they are the chart's own.
    """

    crds: list[Json]
    source: Source


def definitions(chart: str) -> Definitions | None:
    """What the chart of this name brings; None if nothing is known of it."""
    entry = as_map(table("charts.yaml").get(chart))
    if not entry:
        return None
    folder = _module_folder(text(entry.get("module"))) / text(entry.get("folder"))
    own = _read(folder) if entry.get("module") and folder.is_dir() else []
    if own:
        return Definitions([_marked(one, "schema") for one in own], "schema")
    permissive = [
        _permissive(group, version, kind, text(plural))
        for group_version, kinds in as_map(entry.get("kinds")).items()
        for group, _, version in [group_version.partition("/")]
        for kind, plural in as_map(kinds).items()
    ]
    return Definitions([_marked(one, "permissive") for one in permissive], "permissive")


def _module_folder(module: str) -> Path:
    cache = os.environ.get("GOMODCACHE")
    if cache:
        return Path(cache) / module
    return Path(os.environ.get("GOPATH") or Path.home() / "go") / "pkg" / "mod" / module


def _read(folder: Path) -> list[Json]:
    documents = [one for path in sorted(folder.glob("*.yaml")) for one in yaml.safe_load_all(path.read_text())]
    crds = [as_map(one) for one in documents if Kind.of(as_map(one)).is_crd]
    for crd in crds:
        crd.pop("status", None)
        remove(crd, "metadata", "creationTimestamp")
        remove(crd, "spec", "conversion")  # its webhook's pod does not answer in the sandbox
    return crds


def _permissive(group: str, version: str, kind: str, plural: str) -> Json:
    """A definition that takes any field."""
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    name = plural.removeprefix("=")
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{name}.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": name, "singular": kind.lower()},
            "scope": "Cluster" if plural.startswith("=") else "Namespaced",
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": free, "status": free}}},
                    "subresources": {"status": {}},
                }
            ],
        },
    }


def _marked(crd: Json, source: Source) -> Json:
    annotations = as_map(pluck(crd, "metadata", "annotations"))
    crd["metadata"]["annotations"] = {**annotations, SOURCE: source}
    return crd
