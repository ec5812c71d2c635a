"""Mistakes with containers, Pachyderm, and shares with IOPS of their own."""

from __future__ import annotations

from typing import Any

SHARES = "storage__files__shares"
CONTAINERS = "storage__blob"


def _fast(**changes: Any) -> dict[str, Any]:
    return {"sizeGib": 1024, "tier": "premium", "protocol": "nfs", **changes}


CASES: list[tuple[str, dict[str, Any], str, list[str]]] = [
    (
        "a container's name with a capital letter",
        {CONTAINERS: {"containers": ["Raw"]}},
        "storage.blob.containers.Raw",
        ['"Raw"', "3 to 63", "Rename"],
    ),
    ("a short container's name", {CONTAINERS: {"containers": ["ab"]}}, "storage.blob.containers.ab", ["3 to 63"]),
    (
        "two hyphens in a container's name",
        {CONTAINERS: {"containers": {"a--b": {}}}},
        "storage.blob.containers.a--b",
        ["single hyphens"],
    ),
    (
        "a hyphen last in a container's name",
        {CONTAINERS: {"containers": {"raw-": {}}}},
        "storage.blob.containers.raw-",
        ["first and last"],
    ),
    (
        "NFS on a flat account",
        {CONTAINERS: {"containers": {"raw": {"protocol": "nfs", "hierarchical": False}}}},
        "storage.blob.containers.raw.hierarchical",
        ["false with nfs", "true", "Remove hierarchical"],
    ),
    (
        "Pachyderm on a container that is not there",
        {CONTAINERS: {"containers": ["pachyderm"]}, "storage__pachyderm": {"container": "pachydern"}},
        "storage.pachyderm.container",
        ['"pachydern"', "Did you mean pachyderm"],
    ),
    (
        "Pachyderm without containers",
        {"storage__pachyderm": {"container": "raw"}},
        "storage.pachyderm.container",
        ["none yet", "Add raw to storage.blob.containers"],
    ),
    (
        "Pachyderm over NFS",
        {CONTAINERS: {"containers": {"raw": {"protocol": "nfs"}}}, "storage__pachyderm": {"container": "raw"}},
        "storage.pachyderm.container",
        ["an NFS container", "a flat container"],
    ),
    (
        "Pachyderm on folders",
        {CONTAINERS: {"containers": {"raw": {"hierarchical": True}}}, "storage__pachyderm": {"container": "raw"}},
        "storage.pachyderm.container",
        ["a hierarchical one", "a flat container"],
    ),
    (
        "Pachyderm without machines",
        {
            "pools": {"heavy": {"class": "heavy-gpu", "max": 1}},
            CONTAINERS: {"containers": ["raw"]},
            "storage__pachyderm": {"container": "raw"},
        },
        "storage.pachyderm",
        ["heavy-gpu", "a pool of class cpu"],
    ),
    (
        "IOPS of an HDD share",
        {SHARES: {"code": {"sizeGib": 100, "provisionedIops": 4000}}},
        "storage.files.shares.code.provisionedIops",
        ["4000 on the standard tier", "premium"],
    ),
    (
        "throughput of an HDD share",
        {SHARES: {"code": {"sizeGib": 100, "provisionedMibps": 400}}},
        "storage.files.shares.code.provisionedMibps",
        ["400 on the standard tier", "remove provisionedMibps"],
    ),
    (
        "more IOPS than a share can have",
        {SHARES: {"data": _fast(provisionedIops=102401)}},
        "storage.files.shares.data.provisionedIops",
        ["102401", "102400"],
    ),
    (
        "a share with IOPS that is too small",
        {SHARES: {"data": _fast(sizeGib=16, provisionedIops=4000)}},
        "storage.files.shares.data.sizeGib",
        ["16 on the premium tier", "32 to 102400"],
    ),
    (
        "more IOPS than an account can have",
        {SHARES: {"one": _fast(provisionedIops=100000), "two": _fast(provisionedMibps=500)}},
        "storage.files.shares",
        ["one, two", "104024 IOPS together", "102400"],
    ),
    (
        "more throughput than an account can have",
        {SHARES: {"one": _fast(provisionedMibps=10000), "two": _fast(provisionedMibps=500)}},
        "storage.files.shares",
        ["10500 MiB/s together", "10340"],
    ),
]
