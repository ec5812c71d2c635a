"""Managed clusters: `Microsoft.ContainerService/managedClusters`.

Owns the cluster's document, its machines' resource group and the operations on the whole. One cluster is backed
by the sandbox's control plane; deleting it empties that control plane. A PUT or PATCH of the cluster brings every
pool's scale set back to the count AKS has stored, where AKS does not scale the pool itself (FACTS 3).
"""

from __future__ import annotations

import re
import subprocess
import sys
import uuid
from collections.abc import Sequence
from typing import Any, ClassVar, cast

from sandbox.azure import cluster_documents, cluster_rules, clusters, pool_documents
from sandbox.azure import kubernetes_versions as versions
from sandbox.azure.behaviour import Again, Behaviour, Body, Context, Reference, Reply, Request, purge, register
from sandbox.azure.cluster_credentials import admin_credentials, user_credentials
from sandbox.azure.cluster_identity import check_kubelet_identity, shown_identity
from sandbox.azure.cluster_network import SUBNET_TYPE, check_ranges, subnet_of
from sandbox.azure.clusters import Cluster
from sandbox.azure.container_service import (
    CLUSTER_TYPE,
    GROUP_TYPE,
    IDENTITY_TYPE,
    group_id,
    in_progress,
    invalid,
    listed,
    mapping,
    private,
    public,
    refusal,
    text,
)
from sandbox.azure.errors import ArmError
from sandbox.azure.operations import Operation
from sandbox.azure.pool_checks import check_pool
from sandbox.azure.pool_operations import (
    ROLE_PATIENCE_SECONDS,
    doom,
    finish_pools,
    live_count,
    reconcile,
    set_state,
    shown,
    write_pool,
)
from sandbox.azure.store import Resource
from sandbox.azure.throttling import take_token

CREATE_SECONDS = 3.0
_PRIVATE_ZONE_TYPE = "Microsoft.Network/privateDnsZones"
_ZONE_ACTION = "Microsoft.Network/privateDnsZones/A/write"
_resets: dict[str, subprocess.Popen[bytes]] = {}
"""Running resets of the control plane by operation; one that a crash forgot is started again, which does no harm."""


class ManagedClusters(Behaviour):
    """`Microsoft.ContainerService/managedClusters`."""

    type: ClassVar[str] = CLUSTER_TYPE
    name_pattern: ClassVar[re.Pattern[str]] = re.compile(r"[A-Za-z0-9]([-_A-Za-z0-9]{0,61}[A-Za-z0-9])?")
    name_rule: ClassVar[str] = "1 to 63 letters, digits, underscores and hyphens, a letter or digit at both ends"
    name_error: ClassVar[str] = "InvalidParameter"
    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "identity.userAssignedIdentities.{}",
            IDENTITY_TYPE,
            "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
        ),
        Reference(
            "properties.agentPoolProfiles.*.vnetSubnetID",
            SUBNET_TYPE,
            "Microsoft.Network/virtualNetworks/subnets/join/action",
        ),
    )

    def check_idle(self, ctx: Context, request: Request) -> None:
        """Neither the cluster nor one of its pools may be under way; a delete ends what is."""
        if request.method == "DELETE":
            return
        if ctx.operations.running(request.resource_id):
            found = ctx.store.get(request.resource_id)
            word = found.properties.get("provisioningState") if found else "Creating"
            raise in_progress(f"operation ({word})")
        for operation in ctx.operations.running_under(request.resource_id):
            pool = ctx.store.get(operation.resource_id)
            if pool:
                raise in_progress(f"agentpool operation ({pool.name} - {pool.properties.get('provisioningState')})")

    def patched(self, ctx: Context, request: Request, body: Body, existing: Resource) -> Body:
        """A PATCH changes tags and nothing else."""
        if set(body) - {"tags"}:
            raise invalid("tags", f"A PATCH may change tags only, not {', '.join(sorted(set(body) - {'tags'}))}.")
        return {"location": existing.body["location"], "tags": mapping(body.get("tags"))}

    def put(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> Reply:
        """Create, or bring everything to what the body says."""
        take_token(ctx, request.resource_id)
        if existing and request.method == "PATCH":
            existing.body["tags"] = body["tags"]
            existing.updated_at = ctx.now()
            return self._updated(ctx, existing, inline_changed=False)
        backed = clusters.backed(ctx)
        if existing is None and backed is not None:
            raise refusal(
                "ManagedClusterCountExceedsQuotaLimit",
                f"This sandbox's one control plane belongs to {backed.id}: delete that cluster first, or start another "
                "sandbox (SANDBOX_HOME).",
            )
        return self._create(ctx, request, body) if existing is None else self._update(ctx, request, body, existing)

    def _create(self, ctx: Context, request: Request, body: Body) -> Reply:
        given = mapping(body.get("properties"))
        group, location = text(request.resource_group), text(body["location"])
        properties = cluster_documents.merged(given, None)
        properties.setdefault("nodeResourceGroup", cluster_documents.default_node_group(group, request.name, location))
        own = clusters.user_assigned(ctx, mapping(body.get("identity")))
        principal = own.properties["principalId"] if own else str(uuid.uuid4())
        kept = cluster_documents.new_state(request.resource_id, principal, ctx.now())
        cluster = self._checked(ctx, request, body, properties, None, kept=kept)
        nodes_group = group_id(request.subscription_id, properties["nodeResourceGroup"])
        if ctx.store.exists(nodes_group):
            raise refusal(
                "NodeResourceGroupAlreadyExists",
                f"The node resource group '{properties['nodeResourceGroup']}' already exists: AKS makes it, name "
                "another.",
                "nodeResourceGroup",
            )
        self._make_node_group(ctx, cluster, nodes_group)
        kubelet = cast(Body, mapping(given.get("identityProfile")).get("kubeletidentity") or {})
        if kubelet:
            identity = check_kubelet_identity(ctx, mapping(body.get("identity")), kubelet)
        else:
            made = cluster_documents.kubelet_identity(
                cluster.id, cluster.name, nodes_group, location, tenant=ctx.config.tenant_id, now=ctx.now()
            )
            ctx.store.put(made)
            ids = made.properties
            identity = {"resourceId": made.id, "clientId": ids["clientId"], "objectId": ids["principalId"]}
        cluster.properties["identityProfile"] = {"kubeletidentity": identity}
        cluster.body["identity"] = shown_identity(mapping(body.get("identity")), own, principal, ctx.config.tenant_id)
        cluster.properties["provisioningState"] = "Creating"
        ctx.store.put(cluster)
        self._write_inline(ctx, cluster, listed(given.get("agentPoolProfiles")))
        operation = ctx.operations.start(cluster.id, "put", 0.5)
        return Reply(201, self.render(ctx, cluster), operation)

    def _make_node_group(self, ctx: Context, cluster: Resource, identifier: str) -> None:
        name = identifier.rsplit("/", 1)[-1]
        group: Body = {
            "id": identifier,
            "name": name,
            "type": GROUP_TYPE,
            "location": cluster.body["location"],
            "tags": {
                **mapping(cluster.body.get("tags")),
                "aks-managed-cluster-name": cluster.name,
                "aks-managed-cluster-rg": text(cluster.id.split("/")[4]),
            },
            "managedBy": cluster.id,
            "properties": {"provisioningState": "Succeeded"},
        }
        ctx.store.put(Resource(identifier, GROUP_TYPE, name, group, ctx.now(), ctx.now()))

    def _update(self, ctx: Context, request: Request, body: Body, existing: Resource) -> Reply:
        given = mapping(body.get("properties"))
        old = existing.properties
        cluster_rules.check_unchanged(given, old)
        properties = cluster_documents.merged(given, old)
        own = clusters.user_assigned(ctx, cast(Body, body.get("identity") or existing.body["identity"]))
        kept = private(existing)
        if own:
            kept["principalId"] = own.properties["principalId"]
        kubelet = cast(Body, mapping(given.get("identityProfile")).get("kubeletidentity") or {})
        if kubelet and kubelet.get("resourceId") != old["identityProfile"]["kubeletidentity"]["resourceId"]:
            properties["identityProfile"] = {
                "kubeletidentity": check_kubelet_identity(
                    ctx, cast(Body, body.get("identity") or existing.body["identity"]), kubelet
                )
            }
        else:
            properties["identityProfile"] = old["identityProfile"]
        cluster = self._checked(ctx, request, body, properties, existing, kept=kept)
        cluster.body["identity"] = (
            shown_identity(body["identity"], own, kept["principalId"], ctx.config.tenant_id)
            if body.get("identity")
            else existing.body["identity"]
        )
        inline = listed(given.get("agentPoolProfiles"))
        self._check_upgrade(ctx, cluster, old, inline)
        before = {one.name: _comparable(one.properties) for one in clusters.pools_of(ctx, cluster.id)}
        ctx.store.put(cluster)
        self._write_inline(ctx, cluster, inline)
        after = {one.name: _comparable(one.properties) for one in clusters.pools_of(ctx, cluster.id)}
        return self._updated(ctx, cluster, inline_changed=before != after)

    def _updated(self, ctx: Context, cluster: Resource, *, inline_changed: bool) -> Reply:
        """Every pool goes back to its stored count; a changed inline pool puts all of them into Scaling."""
        cluster.properties["provisioningState"] = "Updating"
        ctx.store.put(cluster)
        view = clusters.of(cluster)
        for pool in clusters.pools_of(ctx, cluster.id):
            moved = int(pool.properties["count"]) != live_count(ctx, view, pool.name)
            reconcile(ctx, view, pool)
            scaling = inline_changed or (moved and not pool.properties.get("enableAutoScaling"))
            set_state(ctx, pool, "Scaling" if scaling else "Updating")
        operation = ctx.operations.start(cluster.id, "put", 0.5)
        return Reply(200, self.render(ctx, cluster), operation)

    def _checked(
        self, ctx: Context, request: Request, body: Body, properties: Body, existing: Resource | None, *, kept: Body
    ) -> Resource:
        """The cluster's new document, after AKS's rules; its pools are judged as they are written."""
        sku = cast(Body, {"name": "Base", "tier": "Free", **mapping(body.get("sku"))})
        network = mapping(properties.get("networkProfile"))
        cluster_rules.check_names(text(request.resource_group), properties)
        cluster_rules.check_network(network)
        cluster_rules.check_access(properties)
        cluster_rules.check_plan(sku, properties)
        cluster_rules.check_upgrades(mapping(properties.get("autoUpgradeProfile")))
        cluster_rules.check_scaler(mapping(properties.get("autoScalerProfile")))
        old = existing.properties if existing else None
        name = existing.name if existing else request.name
        whole = cluster_documents.completed(ctx, properties, old, kept, location=body["location"], name=name)
        whole = {key: value for key, value in whole.items() if value is not None}
        inline = listed(properties.get("agentPoolProfiles"))
        subnets = [subnet_of(ctx, one["vnetSubnetID"]) for one in inline if one.get("vnetSubnetID")]
        check_ranges(whole["networkProfile"], subnets)
        if existing is None and not any(one.get("mode") == "System" for one in inline):
            raise refusal("MustDefineAtLeastOneSystemPool", "Must define at least one system pool.")
        zone = mapping(whole.get("apiServerAccessProfile")).get("privateDNSZone")
        if zone and zone not in {"system", "none"}:
            found = ctx.store.get(zone)
            if found is None or found.type.lower() != _PRIVATE_ZONE_TYPE.lower():
                raise refusal("PrivateDNSZoneResourceNotFoundError", f"The private DNS zone '{zone}' was not found.")
        document: Body = {
            "id": existing.id if existing else request.resource_id,
            "name": name,
            "type": CLUSTER_TYPE,
            "location": body["location"],
            "tags": mapping(body.get("tags")),
            "sku": sku,
            "kind": "Base",
            "eTag": str(uuid.uuid4()),
            "properties": whole,
            "_sandbox": kept,
        }
        created = existing.created_at if existing else ctx.now()
        return Resource(document["id"], CLUSTER_TYPE, name, document, created, ctx.now())

    def _check_upgrade(self, ctx: Context, cluster: Resource, old: Body, inline: Sequence[Body]) -> None:
        current, wanted = old["currentKubernetesVersion"], cluster.properties["currentKubernetesVersion"]
        if wanted == current:
            return
        versions.check_upgrade(current, wanted)
        all_at_once = any(not one.get("orchestratorVersion") for one in inline)
        spot = [one for one in clusters.pools_of(ctx, cluster.id) if one.properties.get("scaleSetPriority") == "Spot"]
        if all_at_once and spot:
            raise refusal(
                "SpotPoolUpgradeNotAllowedDuringClusterUpgradeAll",
                "The control plane and node pools cannot be upgraded at the same time with spot pools "
                f"({', '.join(one.name for one in spot)}): give each inline pool its orchestratorVersion, then "
                "upgrade the pools by themselves.",
            )

    def _write_inline(self, ctx: Context, cluster: Resource, inline: Sequence[Body]) -> None:
        """Judge and store the pools of the cluster's own body."""
        view = clusters.of(cluster)
        present = {one.name: one for one in clusters.pools_of(ctx, cluster.id)}
        is_new = not present
        names = [text(one.get("name")).lower() for one in inline]
        repeated = next((one for one in names if names.count(one) > 1), None)
        if repeated is not None:
            raise invalid("agentPoolProfiles.name", f"The agent pool name '{repeated}' is given twice.")
        for profile in inline:
            name = text(profile.get("name"))
            old = present.get(name)
            if old is None and not is_new:
                raise refusal(
                    "OperationNotAllowed",
                    "A new agent pool was introduced. Adding agent pools to an existing cluster is not allowed through "
                    "managed cluster operations. For agent pool specific change, please use per agent pool operations: "
                    f"https://aka.ms/agent-pool-rest-api. Agent pool: '{name}'.",
                    "agentPoolProfiles",
                )
            new = {key: value for key, value in profile.items() if key != "name" and value is not None}
            others = [one.properties for one in clusters.pools_of(ctx, cluster.id) if one.name != name]
            size = check_pool(
                ctx, view, name, new, old.properties if old else None, others=others, live=live_count(ctx, view, name)
            )
            write_pool(ctx, view, name, new, old, size=size)

    def render(self, ctx: Context, resource: Resource) -> Body:
        """The document with all pools, inline or not."""
        document = public(resource)
        pools: list[Body] = []
        for one in clusters.pools_of(ctx, resource.id):
            pool = shown(ctx, one)
            pools.append({"name": pool["name"], **pool["properties"]})
        properties = {**document["properties"], "agentPoolProfiles": pools}
        if properties.get("autoScalerProfile") or any(one.get("enableAutoScaling") for one in pools):
            given = mapping(properties.get("autoScalerProfile"))
            properties["autoScalerProfile"] = {**cluster_documents.SCALER_DEFAULTS, **given}
        return {**document, "properties": properties}

    def delete(self, ctx: Context, request: Request, resource: Resource) -> Reply:
        """Begin: the machines drain, then everything of the cluster goes and the control plane is emptied."""
        ctx.operations.cancel(resource.id)
        resource.properties["provisioningState"] = "Deleting"
        ctx.store.put(resource)
        view = clusters.of(resource)
        for pool in clusters.pools_of(ctx, resource.id):
            set_state(ctx, pool, "Deleting")
            doom(ctx, pool_documents.scale_set_id(view, pool.name))
        return Reply(202, None, ctx.operations.start(resource.id, "delete", 1.5))

    def removed(self, ctx: Context, resource: Resource) -> None:
        """The machines' group goes with the cluster."""
        group = ctx.store.get(clusters.of(resource).node_group_id)
        if group:
            purge(ctx, group)

    def action(self, ctx: Context, request: Request, resource: Resource, name: str, body: Body) -> Reply:
        """`listClusterUserCredential`, `listClusterAdminCredential`."""
        if name.lower() == "listclusterusercredential":
            return Reply(200, user_credentials(ctx, resource, request.query.get("format")))
        if name.lower() == "listclusteradmincredential":
            return Reply(200, admin_credentials(ctx, resource))
        return super().action(ctx, request, resource, name, body)

    def settle(self, ctx: Context, operation: Operation) -> None:
        """The steps of a create, update or delete."""
        cluster = ctx.store.get(operation.resource_id)
        if cluster is None:
            return
        if operation.kind == "delete":
            _reset_control_plane(ctx, operation)
            purge(ctx, cluster, operation)
            return
        view = clusters.of(cluster)
        _wait_for_zone(ctx, view, cluster, operation)
        finish_pools(ctx, view, operation, clusters.pools_of(ctx, cluster.id))
        left = operation.started_at + CREATE_SECONDS - ctx.now()
        if cluster.properties["provisioningState"] == "Creating" and left > 0:
            raise Again(left)
        cluster.properties["provisioningState"] = "Succeeded"
        ctx.store.put(cluster)


def _comparable(properties: Body) -> Body:
    return {key: value for key, value in properties.items() if key not in {"eTag", "provisioningState"}}


def _wait_for_zone(ctx: Context, view: Cluster, cluster: Resource, operation: Operation) -> None:
    """A private cluster writes its address into the user's own zone, and needs the right to."""
    zone: Any = mapping(cluster.properties.get("apiServerAccessProfile")).get("privateDNSZone")
    if not zone or zone in {"system", "none"} or ctx.authorization.allowed(view.principal_id, _ZONE_ACTION, zone):
        return
    if ctx.now() - operation.started_at < ROLE_PATIENCE_SECONDS:
        raise Again(0.5)
    raise refusal(
        "CustomPrivateDNSZoneMissingPermissionError",
        f"The cluster identity {view.principal_id} needs 'Private DNS Zone Contributor' on {zone}.",
    )


def _reset_control_plane(ctx: Context, operation: Operation) -> None:
    """Empty the control plane that stood for the cluster.

    Raises:
        Again: it is still going on.
        ArmError: it failed.
    """
    running = _resets.get(operation.id)
    if running is None and not ctx.home.etcd_data.exists():
        return
    if running is None:
        command = [sys.executable, "-m", "sandbox.control_plane", "reset", "--home", str(ctx.home.root)]
        _resets[operation.id] = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        raise Again(0.3)
    status = running.poll()
    if status is None:
        raise Again(0.3)
    del _resets[operation.id]
    if status:
        raise ArmError(
            500,
            "ControlPlaneInternalError",
            f"Emptying the control plane ended with status {status}: see the sandbox's logs in {ctx.home.logs}.",
        )


register(ManagedClusters())
