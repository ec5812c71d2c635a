"""Which custom resource definitions a chart brings: its own schemas where they are at hand, else permissive ones.

The table is data (`data/charts.yaml`). Schemas are read from the folder that `$SANDBOX_CRDS` names (YAML files, at any
depth), then from Go's module cache, as controller-runtime's tests do; kinds found in neither take any field.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from sandbox.providers.kubernetes.objects import Json, Kind, as_list, as_map, clone, pluck, remove, table, text

Source = Literal["schema", "permissive"]
SOURCE = "sandbox.trainyard/crd"
"""Annotation on each definition: whether its schema is the chart's own."""
FOLDER = "SANDBOX_CRDS"
"""Environment variable: a folder with the user's own copies of definitions."""
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Rook's file has 17,000 lines: the loader in C takes a second, the other one twenty."""


@dataclass(frozen=True)
class Definitions:
    """What a chart brings.

    Attributes:
        crds: the definitions, marked with their source.
        source: `schema` if they are the chart's own, `permissive` if none is, else how many are; `none` if there are
            no definitions.
    """

    crds: list[Json]
    source: str


def definitions(chart: str) -> Definitions | None:
    """What the chart of this name brings; None if nothing is known of it.

    Raises:
        ValueError: `$SANDBOX_CRDS` names no folder, or one of its files is no YAML.
    """
    entry = as_map(table("charts.yaml").get(chart))
    if not entry:
        return None
    given, module = _given(), _of_module(entry)
    permissive = {f"{kind[3].removeprefix('=')}.{kind[0]}": kind for kind in _kinds(entry)}
    crds: list[Json] = []
    for name in sorted(module or permissive):
        own = given.get(name) or module.get(name)
        crds.append(_marked(clone(own), "schema") if own else _marked(_permissive(*permissive[name]), "permissive"))
    return Definitions(crds, _source(crds))


def own_name(archive: str) -> str:
    """The name of the chart in an archive of this name, where its project calls archives otherwise than the chart."""
    named = (name for name, entry in table("charts.yaml").items() if as_map(entry).get("archive") == archive)
    return next(named, archive)


def _kinds(entry: Json) -> list[tuple[str, str, str, str]]:
    """Group, version, kind and plural of all kinds in the table's entry."""
    return [
        (group, version, kind, text(plural))
        for group_version, kinds in as_map(entry.get("kinds")).items()
        for group, _, version in [group_version.partition("/")]
        for kind, plural in as_map(kinds).items()
    ]


def _source(crds: list[Json]) -> str:
    own = sum(pluck(one, "metadata", "annotations", SOURCE) == "schema" for one in crds)
    if not crds:
        return "none"
    if own == len(crds):
        return "schema"
    return f"schema for {own} of {len(crds)} kinds" if own else "permissive"


def _given() -> dict[str, Json]:
    """The definitions in the user's folder, by name; none where no folder is named."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return {}
    if not Path(folder).is_dir():
        raise ValueError(f"{FOLDER}={folder}: there is no such folder; name one with YAML files, or unset {FOLDER}")
    files = sorted(one for ending in ("yaml", "yml") for one in Path(folder).rglob(f"*.{ending}"))
    return _read(tuple((str(one), one.stat().st_mtime_ns) for one in files))


def _of_module(entry: Json) -> dict[str, Json]:
    """The definitions that a chart's module holds, by name; none where it is not in Go's cache."""
    if not entry.get("module"):
        return {}
    folder = _module_folder(text(entry.get("module"))) / text(entry.get("folder"))
    named = [folder / text(one) for one in as_list(entry.get("files"))] or sorted(folder.glob("*.yaml"))
    return _read(tuple((str(one), one.stat().st_mtime_ns) for one in named if one.is_file()))


def _module_folder(module: str) -> Path:
    cache = os.environ.get("GOMODCACHE")
    if cache:
        return Path(cache) / module
    return Path(os.environ.get("GOPATH") or Path.home() / "go") / "pkg" / "mod" / module


@functools.lru_cache(maxsize=8)
def _read(files: tuple[tuple[str, int], ...]) -> dict[str, Json]:
    """The definitions in files, each given with its time of change, by name."""
    found: dict[str, Json] = {}
    for file, _ in files:
        for crd in _documents(Path(file)):
            if not Kind.of(crd).is_crd:
                continue
            crd.pop("status", None)
            remove(crd, "metadata", "creationTimestamp")
            remove(crd, "spec", "conversion")  # its webhook's pod does not answer in the sandbox
            found[text(pluck(crd, "metadata", "name"))] = crd
    return found


def _documents(file: Path) -> Iterable[Json]:
    try:
        return [as_map(one) for one in yaml.load_all(file.read_text(), Loader=_LOADER)]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} cannot be read as YAML: {error}") from error


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
