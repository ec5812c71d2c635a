"""Azure's built-in roles that the platform gives, and one way to give any.

Role ids: Azure's "built-in roles" page, read 2026-11-23.
"""

from __future__ import annotations

import pulumi
from pulumi_azure_native import authorization

from components.environment import Environment

ACR_PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
AKS_RBAC_CLUSTER_ADMIN = "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b"
NETWORK_CONTRIBUTOR = "4d97b98b-1d4f-4787-a291-c67834d212e7"
STORAGE_ACCOUNT_CONTRIBUTOR = "17d1049b-9a84-46fb-8f53-869881c3d3ab"
STORAGE_ACCOUNT_KEY_OPERATOR = "81a9662b-bebf-436f-a333-f67b29880f12"
STORAGE_BLOB_DATA_CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
STORAGE_FILE_SMB_ADMIN = "a235d3ee-5935-4cfb-8cc5-a3303ad5995e"


def role_id(environment: Environment, role: str) -> str:
    """The resource id of a role definition, from its GUID."""
    return f"/subscriptions/{environment.subscription_id}/providers/Microsoft.Authorization/roleDefinitions/{role}"


def assign_role(
    name: str,
    *,
    environment: Environment,
    role: pulumi.Input[str],
    principal_id: pulumi.Input[str],
    scope: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
    principal_type: str = "ServicePrincipal",
) -> authorization.RoleAssignment:
    """Give a role to a principal on a scope.

    The assignment's GUID is stable, so an interrupted run finds what it had made. It is replaced the old one
    first, as Azure lets no assignment of one GUID change its principal.

    Args:
        name: logical name, unique in the stack; the GUID derives from it.
        environment: of the stack.
        role: a role definition's resource id, see `role_id`.
        principal_id: object id of an identity.
        scope: resource id; the narrowest that serves.
        opts: parent and dependencies.
        principal_type: Azure refuses any but the right one, takes `User` where none is given, and is spared a
            look-up that fails for identities just made.
    """
    return authorization.RoleAssignment(
        name,
        role_assignment_name=environment.stable_uuid("role-assignment", name),
        principal_id=principal_id,
        principal_type=principal_type,
        role_definition_id=role,
        scope=scope,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(delete_before_replace=True)),
    )
