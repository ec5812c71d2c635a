"""A file system that many pods write at once, faster than Azure Files: one interface, one module a backend.

Owns the choice of the backend. What it makes is the same for all: a read-write-many StorageClass, and a claim in
`default` that pods can mount.
"""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as kubernetes

from capacity.pools import PoolPlan
from components.cluster import Cluster
from components.data_group import DataGroup
from components.environment import Environment
from components.file_system.base import SharedFileSystem, Surroundings
from components.file_system.gluster import Gluster
from components.file_system.lustre import ManagedLustre
from components.file_system.portworx import Portworx
from components.file_system.rook import Rook
from components.network import Network
from stacks.storage_settings import Backend, FileSystem

__all__ = ["SharedFileSystem", "file_system"]

BACKENDS: Mapping[Backend, type[SharedFileSystem]] = {
    "rook": Rook,
    "gluster": Gluster,
    "portworx": Portworx,
    "lustre": ManagedLustre,
}


def file_system(
    name: str,
    *,
    environment: Environment,
    settings: FileSystem,
    pools: Mapping[str, PoolPlan],
    node_pools: Mapping[str, pulumi.Resource],
    data: DataGroup,
    cluster: Cluster,
    network: Network,
    resource_group: pulumi.Input[str],
    provider: kubernetes.Provider,
    opts: pulumi.ResourceOptions | None = None,
) -> SharedFileSystem | None:
    """The stack's file system; None where its backend is `none`.

    Args:
        name: logical name.
        environment: gives names, location and tags.
        settings: backend, size, copies.
        pools: every pool by key: the storage pool holds the data, all others may mount it.
        node_pools: the same pools as resources. The storage pool's machines come before what runs on them and go after
            it: finalizers are cleared by operators that run there.
        data: the group that disks lie in, and whether they are kept.
        cluster: the file system's identities are trusted through its issuer.
        network: the virtual network.
        resource_group: name of the group for what holds no data.
        provider: the cluster.
        opts: of the component.
    """
    if settings.backend == "none":
        return None
    surroundings = Surroundings(
        environment=environment,
        settings=settings,
        pools=pools,
        node_pools=node_pools,
        data=data,
        cluster=cluster,
        network=network,
        resource_group=resource_group,
        provider=provider,
    )
    return BACKENDS[settings.backend](name, surroundings=surroundings, opts=opts)
