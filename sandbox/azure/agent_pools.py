"""Agent pools: `Microsoft.ContainerService/managedClusters/agentPools`, their upgrade profiles and versions."""

from __future__ import annotations

import re
from typing import ClassVar

from capacity.catalogue import VmSize
from sandbox.azure import clusters, pool_documents
from sandbox.azure.behaviour import Behaviour, Body, Context, Reference, Reply, Request, purge, register, register_route
from sandbox.azure.cluster_network import SUBNET_TYPE
from sandbox.azure.container_service import CLUSTER_PATH, POOL_TYPE, cluster_of_route, in_progress, private
from sandbox.azure.errors import ArmError
from sandbox.azure.kubernetes_versions import number, offered
from sandbox.azure.operations import Operation
from sandbox.azure.pool_checks import check_pool
from sandbox.azure.pool_operations import (
    check_not_last_system_pool,
    doom,
    finish_pools,
    live_count,
    set_state,
    shown,
    write_pool,
)
from sandbox.azure.scale_sets import DRAIN_SECONDS
from sandbox.azure.skus import offer
from sandbox.azure.store import Resource
from sandbox.azure.throttling import take_token


class AgentPools(Behaviour):
    """`…/managedClusters/agentPools`."""

    type: ClassVar[str] = POOL_TYPE
    has_location: ClassVar[bool] = False
    name_pattern: ClassVar[re.Pattern[str]] = re.compile(r"[^/]{1,64}")  # AKS judges it itself: `check_name`
    name_error: ClassVar[str] = "InvalidParameter"
    references: ClassVar[tuple[Reference, ...]] = (
        Reference("properties.vnetSubnetID", SUBNET_TYPE, "Microsoft.Network/virtualNetworks/subnets/join/action"),
    )

    def check_idle(self, ctx: Context, request: Request) -> None:
        """Neither the pool nor its cluster may be under way."""
        whole = ctx.operations.running(request.parent_id or "")
        if whole:
            raise in_progress(f"operation ({_word(ctx, request.parent_id or '')})")
        if ctx.operations.running(request.resource_id):
            raise in_progress(f"agentpool operation ({request.name} - {_word(ctx, request.resource_id)})")

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """All of AKS's rules."""
        self._check(ctx, request, body, existing)

    def _check(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> VmSize:
        take_token(ctx, request.resource_id)
        parent = ctx.store.get(request.parent_id or "")
        if parent is None:
            raise self.missing(ctx, request)
        cluster = clusters.of(parent)
        new: Body = body.setdefault("properties", {})
        old = existing.properties if existing else None
        others = [one.properties for one in clusters.pools_of(ctx, cluster.id) if one.name != request.name.lower()]
        live = live_count(ctx, cluster, request.name)
        if old and old["mode"] == "System" and new.get("mode", "User") != "System":
            check_not_last_system_pool(ctx, cluster.id, request.name)
        return check_pool(ctx, cluster, request.name, new, old, others=others, live=live)

    def put(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> Reply:
        """Create the pool, or bring it and its machines to what the body says."""
        parent = ctx.store.get(request.parent_id or "")
        found = offer(ctx, parent.body["location"], str(_vm_size(body, existing))) if parent else None
        if parent is None or found is None:
            raise self.missing(ctx, request)
        cluster = clusters.of(parent)
        pool = write_pool(ctx, cluster, request.name, body["properties"], existing, size=found.size)
        operation = ctx.operations.start(pool.id, "put", 0.3 if existing else 0.2)
        return Reply(200 if existing else 201, self.render(ctx, pool), operation)

    def render(self, ctx: Context, resource: Resource) -> Body:
        """The document with the count as it is now."""
        return shown(ctx, resource)

    def delete(self, ctx: Context, request: Request, resource: Resource) -> Reply:
        """Begin: the machines drain, then pool and scale set go."""
        take_token(ctx, resource.id)
        cluster_id = resource.id.rsplit("/", 2)[0]
        if resource.properties["mode"] == "System":
            check_not_last_system_pool(ctx, cluster_id, resource.name)
        set_state(ctx, resource, "Deleting")
        parent = ctx.store.get(cluster_id)
        if parent:
            doom(ctx, pool_documents.scale_set_id(clusters.of(parent), resource.name))
        return Reply(202, None, ctx.operations.start(resource.id, "delete", DRAIN_SECONDS + 0.5))

    def action(self, ctx: Context, request: Request, resource: Resource, name: str, body: Body) -> Reply:
        """`upgradeNodeImageVersion`."""
        if name.lower() != "upgradenodeimageversion":
            return super().action(ctx, request, resource, name, body)
        self.check_idle(ctx, request)
        set_state(ctx, resource, "UpgradingNodeImageVersion")
        operation = ctx.operations.start(resource.id, "upgradeNodeImageVersion", 0.5)
        return Reply(202, shown(ctx, resource), operation)

    def removed(self, ctx: Context, resource: Resource) -> None:
        """The scale set goes with its pool."""
        made = ctx.store.get(private(resource)["scaleSet"])
        if made:
            purge(ctx, made)

    def settle(self, ctx: Context, operation: Operation) -> None:
        """Make the machines, wait for them, and be done; or delete what was to be deleted."""
        pool = ctx.store.get(operation.resource_id)
        parent = ctx.store.get(operation.resource_id.rsplit("/", 2)[0])
        if pool is None or parent is None:
            return
        if operation.kind == "delete":
            purge(ctx, pool, operation)
            return
        cluster = clusters.of(parent)
        finish_pools(ctx, cluster, operation, [pool])


def _vm_size(body: Body, existing: Resource | None) -> object:
    return existing.properties["vmSize"] if existing else body["properties"]["vmSize"]


def _word(ctx: Context, resource_id: str) -> str:
    found = ctx.store.get(resource_id)
    return str(found.properties.get("provisioningState")) if found else "Creating"


def _upgrade_profile(ctx: Context, request: Request, _body: Body) -> Reply:
    parent = cluster_of_route(
        ctx, request, "Microsoft.ContainerService/managedClusters/agentPools/upgradeProfiles/read"
    )
    pool = ctx.store.get(f"{parent.id}/agentPools/{request.params['pool']}")
    if pool is None:
        raise ArmError(404, "NotFound", f"The agent pool '{request.params['pool']}' was not found.", flat=True)
    current, top = pool.properties["currentOrchestratorVersion"], clusters.of(parent).version
    newer = [patch for minor in offered() for patch in minor.patches if number(current) < number(patch) <= number(top)]
    return Reply(
        200,
        {
            "id": f"{pool.id}/upgradeProfiles/default",
            "name": "default",
            "type": f"{POOL_TYPE}/upgradeProfiles",
            "properties": {
                "kubernetesVersion": current,
                "osType": pool.properties["osType"],
                "upgrades": [{"kubernetesVersion": one, "isPreview": False} for one in newer],
                "latestNodeImageVersion": pool.properties["nodeImageVersion"],
            },
        },
    )


def _available_versions(ctx: Context, request: Request, _body: Body) -> Reply:
    parent = cluster_of_route(
        ctx, request, "Microsoft.ContainerService/managedClusters/availableAgentPoolVersions/read"
    )
    top = number(clusters.of(parent).version)
    fitting = [patch for minor in offered() for patch in minor.patches if number(patch) <= top]
    return Reply(
        200,
        {
            "id": f"{parent.id}/availableAgentPoolVersions",
            "name": "default",
            "type": "Microsoft.ContainerService/managedClusters/availableAgentPoolVersions",
            "properties": {
                "agentPoolVersions": [
                    {"kubernetesVersion": one, "default": number(one) == top, "isPreview": False} for one in fitting
                ]
            },
        },
    )


register(AgentPools())
register_route("GET", CLUSTER_PATH + "/agentPools/{pool}/upgradeProfiles/default", _upgrade_profile)
register_route("GET", CLUSTER_PATH + "/availableAgentPoolVersions", _available_versions)
