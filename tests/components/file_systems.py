"""Platforms with a file system, for tests of its backends."""

from __future__ import annotations

from functools import cache
from typing import Any

from infra.platform import Platform
from tests.components.recorder import Made, Recorder, record
from tests.components.stacks import POOLS, environment, stack

STORE: dict[str, Any] = {"class": "storage", "min": 3, "max": 3, "zones": ["1", "2", "3"]}
ROOK: dict[str, Any] = {"backend": "rook", "sizeGib": 4096}
SIZES: dict[str, int] = {"rook": 4096, "gluster": 4096, "portworx": 4096, "lustre": 16384}


def settings(file_system: dict[str, Any], *, delete_data: bool = False, **pools: Any) -> dict[str, Any]:
    """Top-level keys of a stack with a storage pool and a file system; `pools` replace or join the usual ones."""
    return {
        "pools": {**POOLS, "store": STORE, **pools},
        "storage": {"files": {"dynamic": False}, "fileSystem": file_system, "deleteData": delete_data},
    }


def platform(file_system: dict[str, Any], *, delete_data: bool = False, **pools: Any) -> Recorder:
    """What a platform with that file system registers."""
    changes = settings(file_system, delete_data=delete_data, **pools)
    return record(lambda: Platform("trainyard", environment=environment(), settings=stack(**changes)))


@cache
def usual(backend: str, *, delete_data: bool = False) -> Recorder:
    """A platform with a backend as its defaults make it, recorded once."""
    return platform({"backend": backend, "sizeGib": SIZES[backend]}, delete_data=delete_data)


def after(recorder: Recorder, made: Made) -> set[str]:
    """Names of everything that a resource comes after, directly or not, and so goes before."""
    by_urn = {f"{one.type}::{one.name}": one for one in recorder.made}
    found: set[str] = set()
    waiting = [made]
    while waiting:
        for urn in waiting.pop().dependencies:
            kind, _, name = urn.split("::", 2)[2].rpartition("::")
            key = f"{kind.rsplit('$', 1)[-1]}::{name}"
            if key not in found:
                found.add(key)
                if key in by_urn:
                    waiting.append(by_urn[key])
    return found


def tolerated(tolerations: list[dict[str, str]]) -> set[str]:
    """Tolerations as taints: `key=value:Effect`."""
    return {f"{one['key']}={one['value']}:{one['effect']}" for one in tolerations}
