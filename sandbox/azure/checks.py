"""What Resource Manager itself checks of a request, whatever its type.

Each function raises ArmError with Azure's code, or returns nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from sandbox.azure.behaviour import REGISTRY, Behaviour, Body, Context, Reference, Request
from sandbox.azure.errors import ArmError, bad_request
from sandbox.azure.ids import RESOURCE_GROUP_TYPE, Path, parse
from sandbox.azure.locations import normalised
from sandbox.azure.store import Resource

_TAG_NAME_FORBIDDEN = set("<>%&\\?/")


def subscription(ctx: Context, subscription_id: str) -> None:
    """There is one subscription."""
    if subscription_id.lower() != ctx.config.subscription_id.lower():
        raise ArmError(404, "SubscriptionNotFound", f"The subscription '{subscription_id}' could not be found.")


def scope_exists(ctx: Context, path: Path) -> None:
    """The resource group, and for an extension the resource it lies on, must be there."""
    if path.namespace is None:
        return
    if path.resource_group is not None:
        group_id = f"/subscriptions/{path.subscription_id}/resourceGroups/{path.resource_group}"
        if not ctx.store.exists(group_id):
            raise ArmError(404, "ResourceGroupNotFound", f"Resource group '{path.resource_group}' could not be found.")
    if path.is_extension and "/providers/" in path.scope.lower() and not ctx.store.exists(path.scope):
        target = parse(path.scope)
        raise ArmError(
            404,
            "ResourceNotFound",
            f"The Resource '{target.namespace}/{target.types[0]}/{target.names[0]}' under resource group "
            f"'{target.resource_group}' was not found. For more details please go to "
            "https://aka.ms/ARMResourceNotFoundFix",
        )


def parent_exists(ctx: Context, path: Path, verb: str) -> None:
    """Everything the resource lies in must be there."""
    for parent in path.parent_ids:
        if not ctx.store.exists(parent):
            raise ArmError(
                404,
                "ParentResourceNotFound",
                f"Failed to perform '{verb}' on resource(s) of type '{'/'.join(path.types)}', because the parent "
                f"resource '{parent}' could not be found.",
            )


def group_is_alive(ctx: Context, path: Path) -> None:
    """Nothing is written into a group that is being deleted."""
    if path.resource_group is None:
        return
    group_id = f"/subscriptions/{path.subscription_id}/resourceGroups/{path.resource_group}"
    operation = ctx.operations.running(group_id)
    if operation and operation.kind == "delete" and not ctx.caller.is_platform:
        raise ArmError(
            409,
            "ResourceGroupBeingDeleted",
            f"The resource group '{path.resource_group}' is in deprovisioning state and cannot perform this operation.",
        )


def name(behaviour: Behaviour, given: str) -> None:
    """A new resource's name must follow its type's rule."""
    if not behaviour.name_pattern.fullmatch(given):
        raise bad_request(
            behaviour.name_error,
            f"The name '{given}' is not valid for {behaviour.type}: it must be {behaviour.name_rule}.",
        )


def etag(request: Request, existing: Resource | None) -> None:
    """`If-Match` and `If-None-Match` are honoured."""
    wanted = request.headers.get("if-match")
    current = str(existing.body.get("etag", "")) if existing else ""
    refused = request.headers.get("if-none-match") == "*" and existing is not None
    if refused or (wanted and (existing is None or (wanted != "*" and current and wanted != current))):
        raise ArmError(
            412,
            "PreconditionFailed",
            f"The condition of If-Match '{wanted}' or If-None-Match does not hold for '{request.resource_id}', whose "
            f"etag is '{current or 'none: it does not exist'}'. Read it again and repeat the change.",
        )


def location(behaviour: Behaviour, request: Request, body: Body, existing: Resource | None) -> None:
    """The location must be a real one that this type is sold in, and never changes; it is stored normalised."""
    given = body.get("location")
    if not behaviour.has_location:
        return
    if given is None or given == "":
        if existing and request.method == "PATCH":
            return
        raise bad_request("LocationRequired", "The location property is required for this definition.")
    if not isinstance(given, str):
        raise bad_request("InvalidRequestContent", f"The location must be a string, not {given!r}.", "location")
    body["location"] = place = normalised(given)
    allowed = behaviour.allowed_locations
    if place not in allowed:
        code = (
            "LocationNotAvailableForResourceGroup"
            if behaviour.type == RESOURCE_GROUP_TYPE
            else ("LocationNotAvailableForResourceType")
        )
        raise bad_request(
            code,
            f"The provided location '{given}' is not available for resource type '{behaviour.type}'. List of "
            f"available regions for the resource type is '{','.join(sorted(allowed))}'.",
        )
    before = normalised(str(existing.body.get("location", place))) if existing else place
    if before != place:
        if behaviour.type == RESOURCE_GROUP_TYPE:
            raise ArmError(
                409,
                "InvalidResourceGroupLocation",
                f"Invalid resource group location '{place}'. The Resource group already exists in location '{before}'.",
            )
        raise ArmError(
            409,
            "InvalidResourceLocation",
            f"The resource '{request.name}' already exists in location '{before}' in resource group "
            f"'{request.resource_group}'. A resource with the same name cannot be created in location '{place}'. "
            "Please select a new resource name.",
        )


def tags(behaviour: Behaviour, body: Body) -> None:
    """At most 50 tags (fewer for some types), names to 512 characters, values to 256, no name twice."""
    given = cast(dict[str, Any] | None, body.get("tags"))
    if not given:
        return
    if len(given) > behaviour.tag_limit:
        raise bad_request(
            "TooManyTags",
            f"The number of tags, {len(given)}, exceeds the {behaviour.tag_limit} that {behaviour.type} may have: "
            f"remove {len(given) - behaviour.tag_limit}.",
            "tags",
        )
    seen: dict[str, str] = {}
    for key, value in given.items():
        if not key.strip() or len(key) > behaviour.tag_name_limit or (_TAG_NAME_FORBIDDEN & set(key)):
            raise bad_request(
                "InvalidTagNameCharacters",
                f"The tag name '{key}' is invalid: 1 to {behaviour.tag_name_limit} characters, none of < > % & \\ ? /.",
                "tags",
            )
        if value is None or len(str(value)) > 256:
            raise bad_request(
                "InvalidTagValue", f"The value of tag '{key}' must be a string of at most 256 characters.", "tags"
            )
        if key.lower() in seen:
            raise bad_request(
                "DuplicateTagNames", f"The tag names '{seen[key.lower()]}' and '{key}' are the same.", "tags"
            )
        seen[key.lower()] = key


def references(ctx: Context, behaviour: Behaviour, request: Request, body: Body) -> None:
    """Every id in the body must name a resource that exists, of the right type, that the caller may use."""
    for reference in behaviour.references:
        for path, value in find(body, reference.path):
            if not isinstance(value, str):
                continue  # the schema has said so already, or it is left out
            _well_formed(reference, path, value)
            if reference.action:
                ctx.authorization.require_linked(
                    ctx.caller, f"{behaviour.type}/write", request.resource_id, reference.action, value
                )
            if not ctx.store.exists(value):
                raise bad_request(
                    "InvalidResourceReference",
                    f"Resource {value} referenced by resource {request.resource_id} at '{path}' was not found. Please "
                    "make sure that the referenced resource exists, and that both resources are in the same region.",
                    path,
                )


def _well_formed(reference: Reference, path: str, value: str) -> None:
    if not value.startswith("/subscriptions/") or "/providers/" not in value.lower():
        raise bad_request(
            "LinkedInvalidPropertyId",
            f"Property id '{value}' at path '{path}' is invalid. Expect fully qualified resource Id that start with "
            "'/subscriptions/{subscriptionId}' or '/providers/{resourceProviderNamespace}/'.",
            path,
        )
    target = parse(value)
    if target.type.lower() != reference.type.lower() or target.is_collection:
        raise bad_request(
            "LinkedInvalidPropertyId",
            f"Property id '{value}' at path '{path}' is invalid: it must be the id of a {reference.type}, not of a "
            f"{target.type}.",
            path,
        )


def find(node: Any, path: str, at: str = "") -> Iterator[tuple[str, Any]]:
    """The values at a path (see `Reference.path`) with where each lies; nothing where the path leads nowhere."""
    head, _, rest = path.partition(".")
    if not head:
        yield at, node
        return
    if isinstance(node, list) and head == "*":
        for index, item in enumerate(cast(list[Any], node)):
            yield from find(item, rest, f"{at}[{index}]")
    elif isinstance(node, dict):
        table = cast(dict[str, Any], node)
        if head == "{}":
            for key in table:
                yield from (find(key, rest, f"{at}['{key}']"))
        elif head in table and table[head] is not None:
            yield from find(table[head], rest, f"{at}.{head}" if at else head)


def users_of(ctx: Context, resource_id: str, *types: str) -> list[str]:
    """The ids of resources of these types whose declared references name `resource_id`."""
    wanted = resource_id.lower()
    return [
        one.id
        for resource_type in types
        for one in ctx.store.of_type(resource_type)
        for reference in REGISTRY[resource_type.lower()].references
        for _, value in find(one.body, reference.path)
        if isinstance(value, str) and value.lower() == wanted
    ]
