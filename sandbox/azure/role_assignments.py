"""Role assignments: who has which role where. They take effect after the sandbox's `role_delay`."""

from __future__ import annotations

import re
from typing import cast

from sandbox.azure import directory
from sandbox.azure.authorization import ASSIGNMENTS, definition_id
from sandbox.azure.behaviour import Behaviour, Body, Context, Reply, Request, register
from sandbox.azure.context import section
from sandbox.azure.errors import ArmError, bad_request, conflict
from sandbox.azure.ids import is_within, key_of
from sandbox.azure.role_definitions import GUID
from sandbox.azure.store import Resource

_FILTER = re.compile(r"\s*(?:atScope\(\)|(principalId|assignedTo)(?:\s+eq\s+|\()'([^']+)'\)?)\s*", re.IGNORECASE)


class RoleAssignments(Behaviour):
    """`Microsoft.Authorization/roleAssignments`, on any scope."""

    type = ASSIGNMENTS
    has_location = False
    name_pattern = GUID
    name_rule = "a GUID"
    name_error = "InvalidRoleAssignmentId"

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """The role and the principal exist, the pair is not there yet, and nothing of an existing one changes."""
        properties = section(body, "properties")
        role = ctx.authorization.role(str(properties["roleDefinitionId"]))
        if role is None or not re.search(
            r"/roleDefinitions/[^/]+$", str(properties["roleDefinitionId"]), re.IGNORECASE
        ):
            raise bad_request(
                "RoleDefinitionDoesNotExist",
                f"The specified role definition with ID '{properties['roleDefinitionId']}' does not exist.",
            )
        principal = str(properties["principalId"])
        kind = directory.kind_of(ctx.store, ctx.config, principal) if GUID.fullmatch(principal) else None
        if kind is None:
            raise bad_request(
                "PrincipalNotFound",
                f"Principal {principal.replace('-', '')} does not exist in the directory {ctx.config.tenant_id}. Check "
                "that you have the correct principal ID. If you are creating this principal and then immediately "
                "assigning a role, this error might be related to a replication delay. In this case, set the role "
                "assignment principalType property to a value, such as ServicePrincipal, User, or Group.",
            )
        given = properties.get("principalType")
        if given and given != kind:
            raise bad_request(
                "UnmatchedPrincipalType",
                f"The PrincipalId '{principal.replace('-', '')}' has type '{kind}' , which is different from specified "
                f"PrinciaplType '{given}'.",
            )
        properties["principalType"] = kind
        properties["roleDefinitionId"] = definition_id(ctx.config.subscription_id, role.role_id)
        scope = request.target.scope
        if existing:
            _unchanged(existing, properties)
            return
        _check_scope(ctx, role.role_id, role.name, scope)
        for other in ctx.store.of_type(ASSIGNMENTS):
            theirs = other.properties
            if (
                key_of(str(theirs["scope"])) == key_of(scope)
                and str(theirs["principalId"]).lower() == principal.lower()
                and str(theirs["roleDefinitionId"]).lower() == properties["roleDefinitionId"].lower()
            ):
                raise conflict(
                    "RoleAssignmentExists",
                    "The role assignment already exists. The ID of the conflicting role assignment is "
                    f"{other.name.replace('-', '')}.",
                )
            if other.name.lower() == request.name.lower():
                raise conflict(
                    "RoleAssignmentUpdateNotPermitted",
                    "Tenant ID, application ID, principal ID, and scope are not allowed to be updated: the name "
                    f"'{request.name}' is that of an assignment at '{theirs['scope']}'.",
                )

    def put(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> Reply:
        """Kept with its scope; a new one answers 201, an equal one 201 as well, as Azure does."""
        now = ctx.now()
        properties: Body = {**section(body, "properties"), "scope": request.target.scope}
        properties["createdOn"] = existing.properties["createdOn"] if existing else ctx.timestamp()
        properties["updatedOn"] = ctx.timestamp()
        properties["createdBy"] = existing.properties.get("createdBy") if existing else ctx.caller.object_id
        properties["updatedBy"] = ctx.caller.object_id
        document: Body = {
            "id": existing.id if existing else request.resource_id,
            "name": existing.name if existing else request.name,
            "type": ASSIGNMENTS,
            "properties": properties,
        }
        ctx.store.put(
            Resource(
                document["id"], ASSIGNMENTS, document["name"], document, existing.created_at if existing else now, now
            )
        )
        return Reply(201, document)

    def missing(self, ctx: Context, request: Request) -> ArmError:
        """Azure's words."""
        return ArmError(404, "RoleAssignmentNotFound", f"The role assignment '{request.name}' is not found.")

    def list_all(self, ctx: Context, request: Request) -> list[Body]:
        """At the scope, above it and below it; `$filter=atScope()` leaves out what lies below."""
        given = request.query.get("$filter", "")
        scope = request.target.scope
        wanted: str | None = None
        at_scope = False
        for part in re.split(r"\s+and\s+", given, flags=re.IGNORECASE) if given.strip() else []:
            match = _FILTER.fullmatch(part)
            if not match:
                raise bad_request(
                    "UnsupportedQuery", f'The sandbox filters by atScope() and principalId, not by "{part}".'
                )
            at_scope = at_scope or match.group(2) is None
            wanted = match.group(2) or wanted
        shown: list[Body] = []
        for one in ctx.store.of_type(ASSIGNMENTS):
            theirs = str(one.properties["scope"])
            near = is_within(scope, theirs) or (not at_scope and is_within(theirs, scope))
            if near and (wanted is None or str(one.properties["principalId"]).lower() == wanted.lower()):
                shown.append(one.body)
        return shown

    def delete(self, ctx: Context, request: Request, resource: Resource) -> Reply:
        """Gone at once; the answer is what it was."""
        ctx.store.remove(resource.id)
        return Reply(200, resource.body)


def _unchanged(existing: Resource, properties: Body) -> None:
    for key in ("principalId", "roleDefinitionId"):
        if str(existing.properties[key]).lower() != str(properties[key]).lower():
            raise conflict(
                "RoleAssignmentUpdateNotPermitted",
                "Tenant ID, application ID, principal ID, and scope are not allowed to be updated: the assignment "
                f"'{existing.name}' has {key} '{existing.properties[key]}'. Use a new name.",
            )


def _check_scope(ctx: Context, role_id: str, name: str, scope: str) -> None:
    """A custom role can be assigned only within its assignable scopes."""
    custom = ctx.store.get(definition_id(ctx.config.subscription_id, role_id))
    if custom is None:
        return
    assignable = cast(list[str], custom.properties["assignableScopes"])
    if not any(is_within(scope, one) for one in assignable):
        raise bad_request(
            "InvalidRoleDefinitionScope",
            f"The role '{name}' cannot be assigned at '{scope}': its assignable scopes are {', '.join(assignable)}.",
        )


register(RoleAssignments())
