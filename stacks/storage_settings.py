"""What a stack file says of data: shares, containers, the file system inside the cluster, datasets.

Owns the models and the bounds of single values, as `stacks/settings.py` does for the rest.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field

from stacks.base import Settings
from stacks.value_types import NUMBER, Flag

Backend = Literal["rook", "gluster", "portworx", "lustre", "none"]


class Share(Settings):
    """One Azure Files share, mounted by many pods."""

    size_gib: Annotated[int, Field(ge=1, le=102400, description="GiB; premium shares from 100."), NUMBER]
    tier: Annotated[Literal["standard", "premium"], Field(description="HDD, or SSD billed by provisioned size.")] = (
        "standard"
    )
    protocol: Annotated[Literal["smb", "nfs"], Field(description="NFS needs the premium tier.")] = "smb"
    provisioned_iops: Annotated[
        int | None,
        Field(
            ge=3000,
            le=102400,
            description="IOPS of a premium share, apart from its size. With it or provisionedMibps the share lives in "
            "another account: adding the first or removing the last moves it, and its data stays behind.",
        ),
        NUMBER,
    ] = None
    provisioned_mibps: Annotated[
        int | None,
        Field(
            ge=100,
            le=10340,
            description="MiB/s of a premium share, apart from its size. What is left out of the two is what Azure "
            "recommends for the size.",
        ),
        NUMBER,
    ] = None

    @property
    def has_performance(self) -> bool:
        """Whether IOPS or throughput are bought apart from the size (Azure's "provisioned v2")."""
        return self.provisioned_iops is not None or self.provisioned_mibps is not None


class Files(Settings):
    """Azure Files."""

    shares: Annotated[dict[str, Share], Field(description="Share name to its settings.")] = {}
    dynamic: Annotated[Flag, Field(description="StorageClasses for claims that jobs make themselves.")] = True


class Container(Settings):
    """One blob container, mounted by many pods."""

    protocol: Annotated[
        Literal["fuse2", "nfs"], Field(description="blobfuse2, or NFSv3, whose account is hierarchical for ever.")
    ] = "fuse2"
    hierarchical: Annotated[
        Flag, Field(description="A hierarchical namespace (Data Lake): fast renames; NFS has it anyway.")
    ] = False


def _containers(value: Any) -> Any:
    """A list of names is a mapping of names to nothing special."""
    if not isinstance(value, list | tuple):
        return value
    names = cast("list[object]", value)
    return dict.fromkeys(names, cast("dict[str, object]", {})) if all(isinstance(one, str) for one in names) else names


class Blob(Settings):
    """Azure Blob Storage."""

    containers: Annotated[
        dict[str, Container],
        BeforeValidator(_containers, json_schema_input_type=dict[str, Container] | list[str]),
        Field(description="Container name to its settings, or a list of names.", examples=[["raw"]]),
    ] = {}
    dynamic: Annotated[Flag, Field(description="StorageClasses for claims that jobs make themselves.")] = False


class LocalNvme(Settings):
    """Data on the storage nodes' own disks: fast, and gone with the node."""

    accept_data_loss: Annotated[Flag, Field(description="Must be true: data dies with its node.")] = False


class Lustre(Settings):
    """Azure Managed Lustre."""

    sku: Annotated[
        Literal[
            "AMLFS-Durable-Premium-40",
            "AMLFS-Durable-Premium-125",
            "AMLFS-Durable-Premium-250",
            "AMLFS-Durable-Premium-500",
        ],
        Field(description="MB/s for each TiB; larger ones come in smaller steps of size."),
    ] = "AMLFS-Durable-Premium-125"
    zone: Annotated[Literal["1", "2", "3"], Field(description="Availability zone; the pools' own is fastest.")] = "1"
    maintenance_day: Annotated[
        Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
        Field(description="When Azure may patch the servers."),
    ] = "Sunday"
    maintenance_time: Annotated[
        str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", examples=["02:00"], description="UTC.")
    ] = "02:00"


class FileSystem(Settings):
    """A distributed file system, inside the cluster but for `lustre`."""

    backend: Annotated[Backend, Field(description="Which one; `none`: no file system.")]
    size_gib: Annotated[
        int | None, Field(ge=64, le=4_194_304, description="Usable GiB, replicas not counted."), NUMBER
    ] = None
    replicas: Annotated[
        int, Field(ge=1, le=3, description="Copies of each piece of data, on different nodes."), NUMBER
    ] = 3
    pool: Annotated[
        str | None, Field(description="The pool that holds the data; default: the one pool of class storage.")
    ] = None
    disk_gib: Annotated[int, Field(ge=64, le=32767, description="GiB of each managed disk."), NUMBER] = 1024
    local_nvme: Annotated[
        LocalNvme | None, Field(description="Use the nodes' own NVMe disks in place of managed ones; rook only.")
    ] = None
    dashboard: Annotated[Flag, Field(description="Ceph's dashboard; rook only.")] = False
    toolbox: Annotated[Flag, Field(description="A pod with Ceph's tools; rook only.")] = False
    lustre: Annotated[Lustre, Field(description="Managed Lustre's own settings; lustre only.")] = Lustre()


NO_FILE_SYSTEM = FileSystem(backend="none")


class Pachyderm(Settings):
    """Pachyderm: versioned data and pipelines, on a container and a PostgreSQL of its own."""

    container: Annotated[str, Field(description="A container of storage.blob that holds its data.")]
    database_gib: Annotated[int, Field(ge=8, le=4096, description="GiB of the PostgreSQL's disk."), NUMBER] = 64
    license_secret: Annotated[
        str | None,
        Field(
            pattern=r"^[a-z0-9]([a-z0-9-]{0,251}[a-z0-9])?$",
            examples=["pachyderm-license"],
            description="A Kubernetes Secret of yours in the namespace pachyderm with the key enterprise-license-key: "
            "Pachyderm 2.11 has users and passwords with a licence only.",
        ),
    ] = None


class Storage(Settings):
    """Where training data lives."""

    files: Annotated[Files, Field(description="Azure Files: shares that many pods mount.")] = Files()
    blob: Annotated[Blob, Field(description="Blob containers: object storage.")] = Blob()
    file_system: Annotated[FileSystem, Field(description="A distributed file system for hot data.")] = NO_FILE_SYSTEM
    pachyderm: Annotated[Pachyderm | None, Field(description="Pachyderm on top of a container.")] = None
    delete_data: Annotated[
        Flag, Field(description="Whether removing a share, a container, a disk or the stack deletes its data.")
    ] = False


class Source(Settings):
    """Where a dataset comes from; one of the three."""

    folder: Annotated[str | None, Field(description="A folder on the machine that uploads.")] = None
    container: Annotated[
        str | None,
        Field(
            pattern=r"^az://[a-z0-9]{3,24}/[a-z0-9-]{3,63}(/.*)?$",
            examples=["az://account/container/path"],
            description="A container that the cluster may read.",
        ),
    ] = None
    url: Annotated[
        str | None, Field(pattern=r"^https://.+", examples=["https://example.org/set.tar"], description="One file.")
    ] = None
    sha256: Annotated[
        str | None, Field(pattern=r"^[0-9a-f]{64}$", description="Checksum of the file at `url`; needed with it.")
    ] = None

    @property
    def kinds(self) -> list[str]:
        """Which of the three are given; a valid source has one."""
        return [kind for kind in ("folder", "container", "url") if getattr(self, kind) is not None]


def _source(value: Any) -> Any:
    """A text says its kind by its beginning."""
    if isinstance(value, str):
        kinds = {"az://": "container", "https://": "url"}
        kind = next((kind for start, kind in kinds.items() if value.startswith(start)), "folder")
        return {kind: value}
    return value


class Target(Settings):
    """Where a dataset lives; one of share, container and fileSystem."""

    share: Annotated[str | None, Field(description="A share of storage.files.")] = None
    container: Annotated[str | None, Field(description="A container of storage.blob.")] = None
    file_system: Annotated[Flag, Field(description="The file system of storage.fileSystem.")] = False
    path: Annotated[
        str | None,
        Field(max_length=200, description="Folder in it; default: the dataset's name. An empty text: its top."),
    ] = None

    @property
    def kinds(self) -> list[str]:
        """Which of the three are given, as the file spells them; a valid target has one."""
        given = {"share": self.share is not None, "container": self.container is not None}
        return [kind for kind, is_given in (*given.items(), ("fileSystem", self.file_system)) if is_given]


class Dataset(Settings):
    """One dataset: `make data-upload NAME=…` copies it from its source to its target."""

    source: Annotated[
        Source,
        BeforeValidator(_source, json_schema_input_type=Source | str),
        Field(description="A folder, `az://account/container/path`, or a mapping with url and sha256."),
    ]
    target: Annotated[Target, Field(description="A share, a container, or the file system.")]

    def folder(self, name: str) -> str:
        """Where in the target the dataset called `name` lies; empty: at its top."""
        return name if self.target.path is None else self.target.path
