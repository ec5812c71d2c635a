"""Who a cluster acts as, and who its nodes are: the identities of its body, and the rights they must have."""

from __future__ import annotations

from typing import cast

from sandbox.azure.behaviour import Body, Context
from sandbox.azure.clusters import user_assigned
from sandbox.azure.container_service import IDENTITY_TYPE, refusal, text
from sandbox.azure.store import Resource

_ASSIGN = (
    "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
    "Microsoft.ManagedIdentity/userAssignedIdentities/any/assign/action",
)
"""The right to hand an identity out; Managed Identity Operator spells it with a wildcard between."""


def shown_identity(identity: Body, found: Resource | None, principal_id: str, tenant: str) -> Body:
    """The cluster's `identity` as ARM shows it."""
    if found is None:
        return {"type": "SystemAssigned", "principalId": principal_id, "tenantId": tenant}
    ids = {"clientId": found.properties["clientId"], "principalId": found.properties["principalId"]}
    given = next(iter(cast("dict[str, object]", identity["userAssignedIdentities"])))
    return {"type": "UserAssigned", "userAssignedIdentities": {given: ids}}


def check_kubelet_identity(ctx: Context, identity: Body, given: Body) -> dict[str, str]:
    """The nodes' identity that a body brings: it exists, and the cluster's own may hand it out, now.

    AKS judges this at once, without waiting for a role that was given a moment ago.

    Args:
        identity: the cluster's `identity`.
        given: `identityProfile.kubeletidentity` of the body.

    Returns:
        `{resourceId, clientId, objectId}`.
    """
    own = user_assigned(ctx, identity)
    if own is None:
        raise refusal(
            "CustomKubeletIdentityOnlySupportedOnUserAssignedMSICluster",
            "Custom kubelet identity is only supported on a cluster with a user-assigned identity.",
            "identityProfile.kubeletidentity",
        )
    found = ctx.store.get(text(given.get("resourceId")))
    if found is None or found.type != IDENTITY_TYPE:
        raise refusal(
            "CustomKubeletIdentityPropertyError",
            f"The kubelet identity '{given.get('resourceId')}' was not found.",
            "identityProfile.kubeletidentity.resourceId",
        )
    for key, value in (("clientId", found.properties["clientId"]), ("objectId", found.properties["principalId"])):
        if given.get(key) and text(given[key]).lower() != value.lower():
            raise refusal(
                "CustomKubeletIdentityPropertyError",
                f"identityProfile.kubeletidentity.{key} '{given[key]}' is not that of {found.id}, '{value}'.",
                f"identityProfile.kubeletidentity.{key}",
            )
    _require_assign(ctx, own.properties["principalId"], found.id)
    return {
        "resourceId": found.id,
        "clientId": found.properties["clientId"],
        "objectId": found.properties["principalId"],
    }


def _require_assign(ctx: Context, principal: str, scope: str) -> None:
    if not any(ctx.authorization.allowed(principal, action, scope) for action in _ASSIGN):
        raise refusal(
            "CustomKubeletIdentityMissingPermissionError",
            "The cluster using user-assigned managed identity must be granted 'Managed Identity Operator' role to "
            f"assign kubelet identity. You can run 'az role assignment create --assignee {principal} --scope {scope} "
            '--role "Managed Identity Operator"\' to add the permission. See '
            "https://docs.microsoft.com/en-us/azure/aks/use-managed-identity#add-role-assignment",
        )
