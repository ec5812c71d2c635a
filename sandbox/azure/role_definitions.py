"""Role definitions: the built-in ones, read only, and custom ones."""

from __future__ import annotations

import re
from typing import cast

from sandbox.azure.authorization import ASSIGNMENTS, DEFINITIONS, Role, built_in_roles, definition_id
from sandbox.azure.behaviour import REGISTRY, Behaviour, Body, Context, Reply, Request, register
from sandbox.azure.context import section
from sandbox.azure.errors import ArmError, bad_request, conflict
from sandbox.azure.ids import key_of
from sandbox.azure.store import Resource

GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ACTION = re.compile(r"\*|\*/[\w*-]+(/[\w*-]+)*|[A-Z][A-Za-z0-9]*\.[A-Za-z0-9.]+(/[\w.*-]+)+")
_VERBS = ("read", "write", "delete", "action", "*")


class RoleDefinitions(Behaviour):
    """`Microsoft.Authorization/roleDefinitions`.

    A custom role is one resource of the tenant, seen from every scope; it is kept under the subscription.
    """

    type = DEFINITIONS
    has_location = False
    name_pattern = GUID
    name_rule = "a GUID"
    name_error = "InvalidRoleDefinitionId"

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """Name, actions that look like actions, scopes that exist."""
        if request.name.lower() in built_in_roles():
            raise ArmError(
                403, "RoleDefinitionUpdateNotAllowed", f"The role '{request.name}' is built in and stays as it is."
            )
        properties = section(body, "properties")
        role_name = str(properties.get("roleName") or "")
        if not role_name or len(role_name) > 128:
            raise bad_request(
                "RoleDefinitionNameInvalid", f"The role name '{role_name}' must have 1 to 128 characters."
            )
        taken = [one.name for one in built_in_roles().values()] + [
            str(one.properties["roleName"])
            for one in ctx.store.of_type(DEFINITIONS)
            if one.name.lower() != request.name.lower()
        ]
        if role_name.lower() in {one.lower() for one in taken}:
            raise conflict(
                "RoleDefinitionWithSameNameExists",
                f"A custom role with the same name '{role_name}' already exists in this directory. Use a different "
                "name.",
            )
        _check_permissions(cast(list[Body], properties.get("permissions") or []))
        _check_scopes(ctx, request, cast(list[str], properties.get("assignableScopes") or []))

    def put(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> Reply:
        """Kept under the subscription, whatever scope the path names."""
        role_id = definition_id(ctx.config.subscription_id, request.name.lower())
        now = ctx.now()
        old = ctx.store.get(role_id)
        properties: Body = {**section(body, "properties"), "type": "CustomRole"}
        for permission in cast(list[Body], properties["permissions"]):
            for key in ("actions", "notActions", "dataActions", "notDataActions"):
                permission.setdefault(key, [])
        properties.setdefault("description", "")
        properties["createdOn"] = old.properties["createdOn"] if old else ctx.timestamp()
        properties["updatedOn"] = ctx.timestamp()
        properties["createdBy"] = old.properties["createdBy"] if old else ctx.caller.object_id
        properties["updatedBy"] = ctx.caller.object_id
        document: Body = {"id": role_id, "name": request.name, "type": DEFINITIONS, "properties": properties}
        ctx.store.put(Resource(role_id, DEFINITIONS, request.name, document, old.created_at if old else now, now))
        return Reply(201, document)

    def missing(self, ctx: Context, request: Request) -> ArmError:
        """Azure's words."""
        return ArmError(
            404, "RoleDefinitionDoesNotExist", f"The specified role definition with ID '{request.name}' does not exist."
        )

    def find(self, ctx: Context, resource_id: str) -> Resource | None:
        """A definition is the same at every scope."""
        name = resource_id.rstrip("/").rsplit("/", 1)[-1].lower()
        role = built_in_roles().get(name)
        if role:
            return _built_in(ctx, role)
        return ctx.store.get(definition_id(ctx.config.subscription_id, name))

    def list_all(self, ctx: Context, request: Request) -> list[Body]:
        """All of them; `$filter` by `roleName eq '…'` or `type eq 'CustomRole'`."""
        shown = [_built_in(ctx, role).body for role in built_in_roles().values()]
        shown += [one.body for one in ctx.store.of_type(DEFINITIONS)]
        given = request.query.get("$filter", "")
        if not given or "atscope" in given.lower():
            return shown
        match = re.fullmatch(r"\s*(roleName|type)\s+eq\s+'([^']*)'\s*", given, re.IGNORECASE)
        if not match:
            raise bad_request("UnsupportedQuery", f'The sandbox filters by roleName or type, not by "{given}".')
        key = "roleName" if match.group(1).lower() == "rolename" else "type"
        return [one for one in shown if str(one["properties"][key]).lower() == match.group(2).lower()]

    def delete(self, ctx: Context, request: Request, resource: Resource) -> Reply:
        """Not a built-in one, nor one that is assigned."""
        role_id = resource.name.lower()
        if role_id in built_in_roles():
            raise ArmError(403, "RoleDefinitionDeleteNotAllowed", f"The role '{resource.name}' is built in.")
        for one in ctx.store.of_type(ASSIGNMENTS):
            if str(one.properties["roleDefinitionId"]).lower().endswith(role_id):
                raise bad_request(
                    "RoleDefinitionHasAssignments",
                    f"There are existing role assignments referencing role '{resource.name}': '{one.id}'.",
                )
        ctx.store.remove(resource.id)
        return Reply(200, resource.body)


def _built_in(ctx: Context, role: Role) -> Resource:
    body: Body = {
        "id": definition_id(ctx.config.subscription_id, role.role_id),
        "name": role.role_id,
        "type": DEFINITIONS,
        "properties": {
            "roleName": role.name,
            "type": "BuiltInRole",
            "description": role.description,
            "assignableScopes": ["/"],
            "permissions": role.permissions,
        },
    }
    return Resource(str(body["id"]), DEFINITIONS, role.role_id, body, 0, 0)


def _check_permissions(permissions: list[Body]) -> None:
    actions = [
        (key, action)
        for permission in permissions
        for key in ("actions", "notActions", "dataActions", "notDataActions")
        for action in cast(list[str], permission.get(key) or [])
    ]
    if not [one for one in actions if one[0] in ("actions", "dataActions")]:
        raise bad_request("RoleDefinitionPermissionsRequired", "A role must allow at least one action or data action.")
    known = {one.type.split("/")[0].lower() for one in REGISTRY.values()}
    for key, action in actions:
        namespace = action.split("/")[0].lower()
        if key == "dataActions" and action == "*":
            raise bad_request(
                "InvalidActionOrNotAction", "'*' is not a data action of a custom role: name the provider."
            )
        ends_well = action.rsplit("/", 1)[-1].lower() in _VERBS
        plausible = "*" in namespace or namespace in known or namespace in _FURTHER
        if not _ACTION.fullmatch(action) or not ends_well or not plausible:
            raise bad_request(
                "InvalidActionOrNotAction",
                f"'{action}' does not match any of the actions supported by the providers: write "
                "'Microsoft.Provider/type/read', '…/write', '…/delete', '…/action' or a wildcard.",
            )


_FURTHER = frozenset({"microsoft.insights", "microsoft.support", "microsoft.resourcehealth", "microsoft.quota"})
"""Providers that custom roles may name although the sandbox has none of their resources."""


def _check_scopes(ctx: Context, request: Request, scopes: list[str]) -> None:
    if not scopes:
        raise bad_request("InvalidAssignableScopes", f"The role '{request.name}' needs assignableScopes.")
    for scope in scopes:
        ours = key_of(scope) == key_of(ctx.subscription)
        if not ours and not (key_of(scope).startswith(key_of(ctx.subscription) + "/") and ctx.store.exists(scope)):
            raise bad_request(
                "LinkedInvalidPropertyId" if not scope.startswith("/") else "InvalidAssignableScopes",
                f"The assignable scope '{scope}' is not the subscription '{ctx.subscription}' nor anything in it.",
            )


register(RoleDefinitions())
