"""Mistakes in the settings of the file system, each with the error it must become."""

from __future__ import annotations

from typing import Any

STORE: dict[str, Any] = {"class": "storage", "min": 3, "max": 3}
ROOK: dict[str, Any] = {"backend": "rook", "sizeGib": 4096}


def _wanted(machines: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    """A stack's changes: a storage pool, and a file system of rook with some settings changed."""
    store = {**STORE, **(machines or {})}
    return {"pools__store": store, "storage__fileSystem": {**ROOK, **settings}}


def _lustre(size: int, **lustre: Any) -> dict[str, Any]:
    return {"storage__fileSystem": {"backend": "lustre", "sizeGib": size, "lustre": lustre}}


FILE_SYSTEM_CASES: list[tuple[str, dict[str, Any], str, list[str]]] = [
    (
        "a file system without size",
        {"pools__store": STORE, "storage__fileSystem": {"backend": "rook"}},
        "storage.fileSystem.sizeGib",
        ["is missing", "Add it"],
    ),
    (
        "a file system without storage pool",
        {"storage__fileSystem": ROOK},
        "storage.fileSystem.backend",
        ["no pool has class storage", "Add it"],
    ),
    (
        "two storage pools",
        {**_wanted(), "pools__more": STORE},
        "storage.fileSystem.backend",
        ["2 pools", "store, more", "Set pool"],
    ),
    (
        "a pool that is none",
        _wanted(pool="stor"),
        "storage.fileSystem.pool",
        ['"stor" names no pool', "Did you mean store"],
    ),
    (
        "a pool of another class",
        _wanted(pool="cpu"),
        "storage.fileSystem.pool",
        ['"cpu" is of another class', "store"],
    ),
    (
        "too few machines for the monitors",
        _wanted(machines={"min": 2, "max": 2}, replicas=2),
        "pools.store.max",
        ["2 for the file system", "3 or more", "three monitors", "to 3"],
    ),
    (
        "too few machines for the copies",
        _wanted(machines={"min": 2, "max": 2}, backend="gluster"),
        "pools.store.max",
        ["3 copies on different machines", "replicas to 2"],
    ),
    (
        "a size in no whole disks",
        _wanted(sizeGib=4000),
        "storage.fileSystem.sizeGib",
        ["4000 is not divisible", "1024 GiB", "Use 3072 or 4096"],
    ),
    (
        "a size below one disk",
        _wanted(sizeGib=512),
        "storage.fileSystem.sizeGib",
        ["512 is not divisible", "Use 1024."],
    ),
    (
        "a managed Lustre between two steps",
        _lustre(20480),
        "storage.fileSystem.sizeGib",
        ["16 TiB (16384 GiB) of AMLFS-Durable-Premium-125", "Use 16384 or 32768"],
    ),
    (
        "a managed Lustre of a slow SKU",
        _lustre(16384, sku="AMLFS-Durable-Premium-40"),
        "storage.fileSystem.sizeGib",
        ["48 TiB", "Use 49152"],
    ),
    (
        "a managed Lustre with AzureLinux",
        {**_lustre(16384), "cluster__osSku": "AzureLinux"},
        "cluster.osSku",
        ["AzureLinux with storage.fileSystem.backend lustre", "Use Ubuntu"],
    ),
    (
        "a pool with a managed Lustre",
        {"pools__store": STORE, "storage__fileSystem": {"backend": "lustre", "sizeGib": 16384, "pool": "store"}},
        "storage.fileSystem.pool",
        ['"store" with backend lustre', "Remove it"],
    ),
    (
        "settings of lustre with another backend",
        _wanted(lustre={"zone": "2"}),
        "storage.fileSystem.lustre",
        ["with backend rook", "Remove it"],
    ),
    (
        "a dashboard with another backend",
        _wanted(backend="gluster", dashboard=True),
        "storage.fileSystem.dashboard",
        ["true with backend gluster", "rook alone"],
    ),
    (
        "a toolbox without a file system",
        {"storage__fileSystem": {"backend": "none", "toolbox": True}},
        "storage.fileSystem.toolbox",
        ["true with backend none"],
    ),
    (
        "local disks with another backend",
        _wanted(backend="portworx", localNvme={"acceptDataLoss": True}),
        "storage.fileSystem.localNvme",
        ["with backend portworx", "rook alone"],
    ),
    (
        "local disks without the risk accepted",
        _wanted(machines={"vmSize": "Standard_L16s_v3"}, sizeGib=2048, localNvme={}),
        "storage.fileSystem.localNvme.acceptDataLoss",
        ["dies with the machine", "Set it to true"],
    ),
    (
        "local disks of a size without",
        _wanted(localNvme={"acceptDataLoss": True}),
        "storage.fileSystem.localNvme",
        ["Standard_D16ds_v5, which has no NVMe disk", "as Standard_"],
    ),
    (
        "more than local disks hold",
        _wanted(machines={"vmSize": "Standard_L8s_v3"}, localNvme={"acceptDataLoss": True}),
        "storage.fileSystem.sizeGib",
        ["4096 on the NVMe disks of 3 machines", "allowed: 1519"],
    ),
    (
        "the OS on the local disk",
        _wanted(
            machines={"vmSize": "Standard_D32ds_v6", "osDisk": {"type": "auto"}},
            sizeGib=1024,
            localNvme={"acceptDataLoss": True},
        ),
        "pools.store.osDisk.type",
        ["auto puts the OS disk", "Managed. Set it"],
    ),
    (
        "more disks than a machine takes",
        _wanted(backend="gluster", sizeGib=64 * 1024),
        "storage.fileSystem.diskGib",
        ["76 disks on a machine of pool store", "allowed: 32"],
    ),
    (
        "more OSDs than a machine runs",
        _wanted(sizeGib=16 * 1024),
        "storage.fileSystem.diskGib",
        ["19 OSDs on a machine of pool store", "allowed: 12"],
    ),
    (
        "gluster on an older Kubernetes",
        {**_wanted(backend="gluster"), "cluster__kubernetesVersion": "1.35"},
        "cluster.kubernetesVersion",
        ['"1.35" with storage.fileSystem.backend gluster', "Use 1.36"],
    ),
]
