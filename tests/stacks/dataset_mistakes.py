"""Mistakes with datasets, each with the error it must become."""

from __future__ import annotations

from typing import Any

SHA256 = "0" * 64


def _set(source: Any = "./data", target: Any = None, name: str = "set", **more: Any) -> dict[str, Any]:
    return {"datasets": {name: {"source": source, "target": target or {"share": "code"}}, **more}}


CASES: list[tuple[str, dict[str, Any], str, list[str]]] = [
    ("a dataset's name with a capital letter", _set(name="Set"), "datasets.Set", ['"Set"', "1 to 40", "Rename"]),
    ("a dataset without a target", {"datasets": {"set": {"source": "x"}}}, "datasets.set.target", ["is missing"]),
    (
        "a source of two kinds",
        _set({"folder": "x", "container": "az://acc/con"}),
        "datasets.set.source",
        ["and", "one of"],
    ),
    ("a source of no kind", _set({}), "datasets.set.source", ["no place", "one of", "Keep"]),
    (
        "a url without checksum",
        _set({"url": "https://x.org/a"}),
        "datasets.set.source.sha256",
        ["is missing", "sha256sum"],
    ),
    ("a url as text without checksum", _set("https://x.org/a"), "datasets.set.source.sha256", ["is missing", "Add"]),
    ("a checksum without url", _set({"folder": "x", "sha256": SHA256}), "datasets.set.source.sha256", ["Remove"]),
    ("a short checksum", _set({"url": "https://x.org/a", "sha256": "ab"}), "datasets.set.source.sha256", ['"ab"']),
    (
        "a container in a mapping that is no address",
        _set({"container": "az://acc"}),
        "datasets.set.source.container",
        ["az://acc"],
    ),
    ("an http address", _set({"url": "http://x.org/a", "sha256": SHA256}), "datasets.set.source.url", ["http://x"]),
    ("a container that is no address", _set("az://Acc/con"), "datasets.set.source.container", ["az://Acc"]),
    ("an empty folder", _set({"folder": ""}), "datasets.set.source.folder", ["is empty", "Name one"]),
    (
        "a target of two kinds",
        _set(target={"share": "code", "fileSystem": True}),
        "datasets.set.target",
        ["and", "one of"],
    ),
    ("a target of no kind", _set(target={"path": "x"}), "datasets.set.target", ["no place", "share, container"]),
    (
        "a share that is none",
        _set(target={"share": "coed"}),
        "datasets.set.target.share",
        ['"coed"', "Did you mean code"],
    ),
    (
        "a container that is none",
        _set(target={"container": "raw"}),
        "datasets.set.target.container",
        ["none yet", "Add"],
    ),
    (
        "no file system",
        _set(target={"fileSystem": True}),
        "datasets.set.target.fileSystem",
        ["no file system", "backend"],
    ),
    ("a path that leads out", _set(target={"share": "code", "path": "a/../b"}), "datasets.set.target.path", ["a/../b"]),
    ("an absolute path", _set(target={"share": "code", "path": "/a"}), "datasets.set.target.path", ["no / first"]),
    (
        "a path of manifests",
        _set(target={"share": "code", "path": ".trainyard/x"}),
        "datasets.set.target.path",
        ["manifests"],
    ),
    (
        "two datasets in one place",
        _set(target={"share": "code", "path": "a"}, other={"source": "y", "target": {"share": "code", "path": "a/b"}}),
        "datasets.other.target.path",
        ["share code", "dataset set", "apart"],
    ),
    (
        "a dataset around another",
        _set(other={"source": "y", "target": {"share": "code", "path": ""}}),
        "datasets.other.target.path",
        ["around it", "Change one"],
    ),
]
