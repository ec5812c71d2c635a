"""Deployments of templates into a resource group, as far as templates are plain: literal resources, added or changed.

Each resource of the template goes the same way as a client's own PUT, one after the other, when the deployment is
settled. Expressions, parameters, linked templates and mode `Complete` are refused rather than half done.
"""

from __future__ import annotations

import re
from typing import Any, cast

from sandbox.azure import pipeline
from sandbox.azure.behaviour import Again, Behaviour, Body, Context, Request, register
from sandbox.azure.context import section
from sandbox.azure.errors import ArmError, bad_request
from sandbox.azure.operations import Operation
from sandbox.azure.store import Resource

_REQUIRED = ("type", "apiVersion", "name")
_NOT_IN_THE_BODY = {"type", "apiVersion", "name", "dependsOn", "comments"}
_CONFLICT = 409


class Deployments(Behaviour):
    """`Microsoft.Resources/deployments` of a resource group."""

    type = "Microsoft.Resources/deployments"
    name_pattern = re.compile(r"[\w().-]{1,64}")
    name_rule = "1 to 64 letters, digits, underscores, parentheses, hyphens and periods"
    has_location = False
    creates = 0.3
    changes = 0.3

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """The template is plain, and the caller may write everything in it."""
        properties = section(body, "properties")
        if properties.get("mode") != "Incremental" or "templateLink" in properties or properties.get("parameters"):
            raise bad_request(
                "InvalidTemplate", "The sandbox deploys inline templates without parameters, in mode Incremental, only."
            )
        template = section(properties, "template")
        missing = [key for key in ("$schema", "contentVersion", "resources") if key not in template]
        if missing:
            raise bad_request("InvalidTemplate", f"The template lacks {', '.join(missing)}.", "properties.template")
        for resource in _resources(template):
            lacking = [key for key in _REQUIRED if not isinstance(resource.get(key), str)]
            if lacking:
                raise bad_request("InvalidTemplate", f"A resource of the template lacks {', '.join(lacking)}.")
            if _has_expressions(resource):
                raise bad_request("InvalidTemplate", f"{resource['name']}: the sandbox evaluates no expressions.")
            ctx.authorization.require(ctx.caller, f"{resource['type']}/write", _id(request.resource_id, resource))

    def fill(self, ctx: Context, request: Request, document: Body, existing: Resource | None) -> None:
        """What a GET shows: not the template, as on Azure, but what came of it."""
        properties: Body = document["properties"]
        document["_sandbox"] = {"template": properties.pop("template")}
        properties["timestamp"] = ctx.timestamp()
        properties["outputResources"] = [
            {"id": _id(request.resource_id, one)} for one in _resources(document["_sandbox"]["template"])
        ]

    def render(self, ctx: Context, resource: Resource) -> Body:
        """The document without the template."""
        return {key: value for key, value in super().render(ctx, resource).items() if key != "_sandbox"}

    def settle(self, ctx: Context, operation: Operation) -> None:
        """Put the next resource; wait while one is under way; end when all are there."""
        deployment = ctx.store.get(operation.resource_id)
        if operation.kind == "put" and deployment is not None:
            for index, resource in enumerate(_resources(deployment.body["_sandbox"]["template"])):
                identifier = _id(deployment.id, resource)
                if ctx.operations.running(identifier):
                    raise Again(0.2)
                if index < operation.data.get("done", 0):
                    continue
                try:
                    pipeline.serve_resource(ctx, _put(identifier, resource), _body(resource))
                except ArmError as error:
                    if error.status == _CONFLICT:
                        raise Again(0.5) from None
                    raise ArmError(
                        400,
                        "DeploymentFailed",
                        f"The deployment of '{resource['name']}' failed: see the details.",
                        details=[error.error],
                    ) from None
                operation.data["done"] = index + 1
                raise Again(0.1)
        super().settle(ctx, operation)


def _resources(template: Body) -> list[Body]:
    return cast("list[Body]", template.get("resources") or [])


def _id(deployment_id: str, resource: Body) -> str:
    """The id of a template's resource: types and names in turn, in the deployment's own group."""
    group = deployment_id.split("/providers/", 1)[0]
    namespace, *types = str(resource["type"]).split("/")
    pairs = zip(types, str(resource["name"]).split("/"), strict=True)
    return "/".join([group, "providers", namespace, *(part for pair in pairs for part in pair)])


def _body(resource: Body) -> Body:
    return {key: value for key, value in resource.items() if key not in _NOT_IN_THE_BODY}


def _put(identifier: str, resource: Body) -> Request:
    return Request("PUT", identifier, None, str(resource["apiVersion"]), {}, {}, "")


def _has_expressions(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_expressions(one) for one in cast(Body, value).values())
    if isinstance(value, list):
        return any(_has_expressions(one) for one in cast("list[Any]", value))
    return isinstance(value, str) and value.startswith("[") and not value.startswith("[[")


register(Deployments())
