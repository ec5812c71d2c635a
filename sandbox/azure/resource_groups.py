"""Resource groups, subscriptions, and what Resource Manager tells of itself: tenants, locations, providers.

Owns the cascade of a group's deletion: everything in it is deleted in whatever order its users allow, as
Azure does, and the group goes last.
"""

from __future__ import annotations

import re

from sandbox.azure.behaviour import (
    REGISTRY,
    Again,
    Behaviour,
    Body,
    Context,
    Reply,
    Request,
    purge,
    register,
    register_route,
    types_of,
)
from sandbox.azure.errors import ArmError
from sandbox.azure.ids import RESOURCE_GROUP_TYPE, parse
from sandbox.azure.locations import Location, locations
from sandbox.azure.operations import Operation
from sandbox.azure.pipeline import paged
from sandbox.azure.registrations import change, state_of
from sandbox.azure.store import Resource

_PATIENCE = 900
"""Seconds after which a deletion that still waits for something is given up."""


class ResourceGroups(Behaviour):
    """`Microsoft.Resources/resourceGroups`."""

    type = RESOURCE_GROUP_TYPE
    name_pattern = re.compile(r"[\w().-]{0,89}[\w()-]")
    name_rule = "1 to 90 letters, digits, underscores, parentheses, hyphens and periods, no period at the end"
    name_error = "InvalidResourceGroup"
    deletes = 0.3

    @property
    def permission_type(self) -> str:
        """Groups are written as part of their subscription."""
        return "Microsoft.Resources/subscriptions/resourceGroups"

    def missing(self, ctx: Context, request: Request) -> ArmError:
        """Azure's words for a group that is not there."""
        return ArmError(404, "ResourceGroupNotFound", f"Resource group '{request.name}' could not be found.")

    def delete(self, ctx: Context, request: Request, resource: Resource) -> Reply:
        """Begin the cascade."""
        reply = super().delete(ctx, request, resource)
        return Reply(202, None, reply.operation)

    def settle(self, ctx: Context, operation: Operation) -> None:
        """Delete what can be deleted now; wait for what is under way; the group goes when it is empty."""
        group = ctx.store.get(operation.resource_id)
        if group is None:
            return
        refusals: list[ArmError] = []
        progress = False
        for resource in ctx.store.under(group.id):
            path = parse(resource.id)
            if path.is_extension or len(path.names) > 1 or not ctx.store.exists(resource.id):
                continue
            running = ctx.operations.running(resource.id)
            if running:
                progress = True
                continue
            request = Request("DELETE", resource.id, path, "2024-01-01", {}, {}, "")
            try:
                with ctx.store.savepoint():
                    REGISTRY[resource.type.lower()].delete(ctx, request, resource)
                progress = True
            except ArmError as error:
                refusals.append(error)
        if not [one for one in ctx.store.under(group.id) if not parse(one.id).is_extension]:
            purge(ctx, group, operation)
            return
        if progress and ctx.now() - operation.started_at < _PATIENCE:
            raise Again(0.2)
        raise ArmError(
            409,
            "ResourceGroupDeletionBlocked",
            f"Deletion of resource group '{group.name}' failed as resources in it could not be deleted: "
            + " ".join(error.message for error in refusals),
            details=[error.error for error in refusals],
        )


register(ResourceGroups())


def _groups(ctx: Context, request: Request, _body: Body) -> Reply:
    return paged(request, [one.body for one in ctx.store.of_type(RESOURCE_GROUP_TYPE)])


def _resources(ctx: Context, request: Request, _body: Body) -> Reply:
    """Top-level resources of a group or of the subscription, without their properties; `$filter` by type only."""
    group = request.params.get("group")
    within = f"{ctx.subscription}/resourceGroups/{group}" if group else ctx.subscription
    if group and not ctx.store.exists(within):
        raise ArmError(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")
    wanted = re.fullmatch(r"\s*resourceType\s+eq\s+'([^']+)'\s*", request.query.get("$filter", ""), re.IGNORECASE)
    if request.query.get("$filter") and not wanted:
        raise ArmError(400, "InvalidFilterInQueryString", "The sandbox filters by \"resourceType eq '…'\" only.")
    values: list[Body] = []
    for one in ctx.store.under(within):
        path = parse(one.id)
        if path.namespace is None or path.is_extension or len(path.names) > 1:
            continue
        if wanted and one.type.lower() != wanted.group(1).lower():
            continue
        keys = ("id", "name", "type", "location", "tags", "kind", "sku", "identity", "zones", "managedBy")
        values.append({key: one.body[key] for key in keys if key in one.body})
    return paged(request, values)


def _subscription(ctx: Context) -> Body:
    return {
        "id": ctx.subscription,
        "subscriptionId": ctx.config.subscription_id,
        "tenantId": ctx.config.tenant_id,
        "displayName": "Trainyard sandbox",
        "state": "Enabled",
        "authorizationSource": "RoleBased",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "Sandbox",
            "spendingLimit": "Off",
        },
    }


def _location(ctx: Context, one: Location) -> Body:
    shown: Body = {
        "id": f"{ctx.subscription}/locations/{one['name']}",
        "name": one["name"],
        "type": "Region",
        "displayName": one["displayName"],
        "regionalDisplayName": one["displayName"],
        "metadata": {"regionType": "Physical", "regionCategory": "Recommended"},
    }
    if one["zones"]:
        shown["availabilityZoneMappings"] = [
            {"logicalZone": zone, "physicalZone": f"{one['name']}-az{zone}"} for zone in "123"
        ]
    return shown


def _locations(ctx: Context, _request: Request, _body: Body) -> Reply:
    return Reply(200, {"value": [_location(ctx, one) for one in locations()]})


def _provider(ctx: Context, namespace: str) -> Body:
    shown = next(one.type.split("/")[0] for key, one in REGISTRY.items() if key.startswith(namespace.lower() + "/"))
    return {
        "id": f"{ctx.subscription}/providers/{shown}",
        "namespace": shown,
        "registrationState": state_of(ctx, shown),
        "registrationPolicy": "RegistrationRequired",
        "resourceTypes": [
            {
                "resourceType": one,
                "locations": sorted(REGISTRY[f"{namespace}/{one}".lower()].allowed_locations),
                "apiVersions": ["2024-01-01"],
            }
            for one in sorted(types_of(namespace))
        ],
    }


def _providers(ctx: Context, _request: Request, _body: Body) -> Reply:
    namespaces = sorted({key.split("/")[0] for key in REGISTRY})
    return Reply(200, {"value": [_provider(ctx, one) for one in namespaces]})


def _one_provider(ctx: Context, request: Request, _body: Body) -> Reply:
    namespace = request.params["namespace"]
    if not types_of(namespace):
        raise ArmError(404, "InvalidResourceNamespace", f"The resource namespace '{namespace}' is invalid.")
    return Reply(200, _provider(ctx, namespace))


def _register_provider(ctx: Context, request: Request, body: Body) -> Reply:
    answer = _one_provider(ctx, request, body)
    change(ctx, request.params["namespace"], "Registered")
    return Reply(200, {**answer.body, "registrationState": "Registered"})


def _tenants(ctx: Context, _request: Request, _body: Body) -> Reply:
    tenant = ctx.config.tenant_id
    return Reply(200, {"value": [{"id": f"/tenants/{tenant}", "tenantId": tenant, "displayName": "Trainyard sandbox"}]})


def _subscriptions(ctx: Context, request: Request, _body: Body) -> Reply:
    return paged(request, [_subscription(ctx)])


def _one_subscription(ctx: Context, _request: Request, _body: Body) -> Reply:
    return Reply(200, _subscription(ctx))


_ONE = "/subscriptions/{subscription}"
_READ = "Microsoft.Resources/subscriptions"
register_route("GET", "/tenants", _tenants)
register_route("GET", "/subscriptions", _subscriptions)
register_route("GET", _ONE, _one_subscription, action=f"{_READ}/read")
register_route("GET", _ONE + "/locations", _locations, action=f"{_READ}/locations/read")
register_route("GET", _ONE + "/resourceGroups", _groups, action=f"{_READ}/resourceGroups/read")
register_route("GET", _ONE + "/resources", _resources, action=f"{_READ}/resources/read")
register_route("GET", _ONE + "/resourceGroups/{group}/resources", _resources, action=f"{_READ}/resources/read")
register_route("GET", _ONE + "/providers", _providers, action=f"{_READ}/providers/read")
register_route("GET", _ONE + "/providers/{namespace}", _one_provider, action=f"{_READ}/providers/read")
register_route("POST", _ONE + "/providers/{namespace}/register", _register_provider, action=f"{_READ}/providers/read")
