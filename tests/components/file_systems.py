"""Platforms with a file system, for tests of its backends."""

from __future__ import annotations

from functools import cache
from typing import Any

from infra.platform import Platform
from tests.components.recorder import Recorder, record
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
