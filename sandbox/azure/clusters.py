"""A managed cluster as its pools, machines and the way in see it: names, identities, versions, the machines' group.

Reads the stored document; changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from sandbox.azure.behaviour import Body, Context
from sandbox.azure.container_service import (
    CLUSTER_TYPE,
    IDENTITY_TYPE,
    POOL_TYPE,
    group_id,
    mapping,
    private,
    refusal,
    text,
)
from sandbox.azure.ids import parse
from sandbox.azure.store import Resource


@dataclass(frozen=True)
class Cluster:
    """One cluster.

    Attributes:
        version: of the control plane, in full.
        network: its network profile.
        principal_id: object id of the identity that AKS acts as.
        suffix: the eight digits in the names of its scale sets.
        kubelet: `{resourceId, clientId, objectId}` of the identity that nodes use; empty before it is known.
    """

    id: str
    name: str
    location: str
    version: str
    network: Body
    principal_id: str
    node_group_id: str
    suffix: str
    kubelet: dict[str, str]


def of(cluster: Resource) -> Cluster:
    """The cluster of a stored document."""
    properties, kept = cluster.properties, private(cluster)
    subscription = parse(cluster.id).subscription_id or ""
    return Cluster(
        cluster.id,
        cluster.name,
        cluster.body["location"],
        properties["currentKubernetesVersion"],
        properties["networkProfile"],
        kept["principalId"],
        group_id(subscription, properties["nodeResourceGroup"]),
        kept["suffix"],
        cast("dict[str, str]", mapping(properties.get("identityProfile")).get("kubeletidentity") or {}),
    )


def backed(ctx: Context) -> Resource | None:
    """The one cluster that this sandbox's control plane stands for."""
    found = ctx.store.of_type(CLUSTER_TYPE)
    return found[0] if found else None


def pools_of(ctx: Context, cluster_id: str) -> list[Resource]:
    """Its agent pools, the oldest first."""
    return sorted(ctx.store.of_type(POOL_TYPE, cluster_id), key=lambda one: (one.created_at, one.name))


def user_assigned(ctx: Context, identity: Body) -> Resource | None:
    """The identity of a body's `identity`, None for a system-assigned one.

    Raises:
        ArmError: none, several, or one that does not exist.
    """
    kind = text(identity.get("type"))
    given = mapping(identity.get("userAssignedIdentities"))
    if kind == "SystemAssigned" and not given:
        return None
    if kind != "UserAssigned" or len(given) != 1:
        raise refusal(
            "InvalidParameter",
            f"A managed cluster needs an identity of type SystemAssigned, or UserAssigned with exactly one identity; "
            f"given '{kind or 'none'}' with {len(given)}.",
            "identity",
        )
    found = ctx.store.get(next(iter(given)))
    if found is None or found.type != IDENTITY_TYPE:
        raise refusal(
            "FailedIdentityOperation",
            f"Identity operation failed with error 'Failed to perform resource identity operation. Status: "
            f"'BadRequest'. Response: the resource '{next(iter(given))}' was not found.'",
            "identity.userAssignedIdentities",
        )
    return found


def lacking(ctx: Context, principal_id: str, actions: tuple[str, ...], scope: str) -> str | None:
    """The first of these actions that a principal may not do at a scope now; None where it may do all."""
    return next((one for one in actions if not ctx.authorization.allowed(principal_id, one, scope)), None)


def not_permitted(cluster: Cluster, action: str, scope: str) -> Any:
    """AKS's error where its identity still lacks a right on something of the user's when the time is up."""
    return refusal(
        "LinkedAuthorizationFailed",
        f"Reconcile of managed cluster {cluster.name} failed: The client '{cluster.principal_id}' with object id "
        f"'{cluster.principal_id}' has permission to perform action "
        "'Microsoft.Compute/virtualMachineScaleSets/write' on scope "
        f"'{cluster.node_group_id}/providers/Microsoft.Compute/virtualMachineScaleSets'; however, it does not have "
        f"permission to perform action '{action}' on the linked scope(s) '{scope}' or the linked scope(s) are invalid.",
        status=403,
    )
