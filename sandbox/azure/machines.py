"""`GET /sandbox/machines`: every machine of the cluster, as the sandbox builds Kubernetes nodes from it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from capacity.catalogue import VmSize
from sandbox.azure import clusters, node_capacity, node_labels
from sandbox.azure.behaviour import Body, Context, Reply, Request, register_route
from sandbox.azure.cluster_rules import at
from sandbox.azure.clusters import Cluster
from sandbox.azure.container_service import mapping, private
from sandbox.azure.scale_sets import instances, size_of, state
from sandbox.azure.store import Resource, Store


@dataclass(frozen=True)
class _Told:
    """What was told last, and for how long it holds: until something is written, or the next machine has booted."""

    tag: str
    writes: int
    until: float


_TOLD: WeakKeyDictionary[Store, _Told] = WeakKeyDictionary()


def fleet(ctx: Context) -> Body:
    """The cluster, None where there is none, and its machines by pool and instance."""
    stored = clusters.backed(ctx)
    if stored is None:
        return {"cluster": None, "machines": []}
    cluster = clusters.of(stored)
    machines: list[Body] = []
    for pool in clusters.pools_of(ctx, stored.id):
        scale_set = ctx.store.get(private(pool)["scaleSet"])
        if scale_set is None:
            continue
        size = size_of(scale_set)
        machines += [
            _machine(ctx, cluster, pool, size, instance)
            for instance in instances(ctx, scale_set.id)
            if state(ctx, instance) != "stopped"
        ]
    return {"cluster": _cluster(cluster, stored), "machines": machines}


def _cluster(cluster: Cluster, stored: Resource) -> Body:
    properties = stored.properties

    def enabled(path: str) -> bool:
        return bool(at(properties, f"{path}.enabled"))

    return {
        "id": cluster.id,
        "name": cluster.name,
        "kubernetesVersion": cluster.version,
        "nodeResourceGroup": cluster.node_group_id.rsplit("/", 1)[-1],
        "location": cluster.location,
        "identity": {
            "clusterPrincipalId": cluster.principal_id,
            "kubeletPrincipalId": cluster.kubelet["objectId"],
            "kubeletClientId": cluster.kubelet["clientId"],
        },
        "addons": {
            "diskCsi": enabled("storageProfile.diskCSIDriver"),
            "fileCsi": enabled("storageProfile.fileCSIDriver"),
            "blobCsi": enabled("storageProfile.blobCSIDriver"),
            "workloadIdentity": enabled("securityProfile.workloadIdentity"),
        },
    }


def provider_id(instance: Resource) -> str:
    """As the cloud provider writes it: the machines' group in lower case, everything else as it is."""
    parts = instance.id.split("/")
    parts[4] = parts[4].lower()
    return "azure://" + "/".join(parts)


def _machine(ctx: Context, cluster: Cluster, pool: Resource, size: VmSize, instance: Resource) -> Body:
    properties = pool.properties
    node = instance.properties["osProfile"]["computerName"]
    zone: str | None = (instance.body.get("zones") or [None])[0]
    disk, pods = int(properties["osDiskSizeGB"]), int(properties["maxPods"])
    gpu: dict[str, Any] | None = None
    if size.gpus:
        gpu = {
            "vendor": size.gpu_vendor,
            "count": size.gpus,
            "driver": mapping(properties.get("gpuProfile")).get("driver", "Install"),
            "instanceProfile": properties.get("gpuInstanceProfile"),
        }
    return {
        "nodeName": node,
        "providerId": provider_id(instance),
        "pool": pool.name,
        "mode": properties["mode"],
        "vmSize": size.name,
        "zone": node_labels.zone_of(cluster.location, zone),
        "labels": node_labels.labels(cluster, pool.name, properties, size, node=node, zone=zone),
        "taints": node_labels.taints(properties),
        "maxPods": pods,
        "capacity": node_capacity.capacity(size, disk).document(),
        "allocatable": node_capacity.allocatable(size, disk, pods).document(),
        "gpu": gpu,
        "state": state(ctx, instance),
        "readyAt": private(instance)["readyAt"],
    }


def _list_machines(ctx: Context, request: Request, _body: Body) -> Reply:
    """All machines; 304 to who has them already, as it is asked every second and a thousand machines are long."""
    told, now = _TOLD.get(ctx.store), ctx.now()
    if told is not None and (told.writes != ctx.store.writes or now >= told.until):
        told = None
    if told is not None and request.headers.get("if-none-match") == told.tag:
        return Reply(304)
    body = fleet(ctx)
    if told is None:
        until = min((one["readyAt"] for one in body["machines"] if one["readyAt"] > now), default=float("inf"))
        told = _TOLD[ctx.store] = _Told(f'"{uuid.uuid4()}"', ctx.store.writes, until)
    return Reply(200, body, headers={"ETag": told.tag})


register_route("GET", "/sandbox/machines", _list_machines, platform_only=True)
