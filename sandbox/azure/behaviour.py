"""What a resource type does: the base class that serves a plain one, and the registry of all.

`pipeline` has already checked what all types share (path, api-version, permission, group and parent, name,
schema, location, tags, references) when a behaviour is asked. Everything here runs within one transaction of
the store: an exception undoes it.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, cast

from sandbox.azure.context import PLATFORM, Body, Context, Principal, Reply, Request
from sandbox.azure.errors import ArmError, conflict
from sandbox.azure.locations import location_names
from sandbox.azure.operations import Operation
from sandbox.azure.store import Resource

__all__ = [
    "PLATFORM",
    "REGISTRY",
    "ROUTES",
    "Again",
    "Behaviour",
    "Body",
    "Context",
    "Principal",
    "Reference",
    "Reply",
    "Request",
    "merged",
    "purge",
    "register",
    "register_route",
    "types_of",
]


class Again(Exception):  # noqa: N818 - not an error: it says when
    """Raised by `settle`: what the operation waits for is not there yet.

    Args:
        seconds: until it is tried again. What `settle` wrote before, in `operation.data` too, is kept.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"again in {seconds} s")
        self.seconds = seconds


@dataclass(frozen=True)
class Reference:
    """A property that holds another resource's id.

    Attributes:
        path: from the body's root; `*` steps into every item of a list, `{}` into every key of an object.
        type: the type it must be of.
        action: what the caller must be allowed to do to it, `Microsoft.Network/virtualNetworks/subnets/join/action`.
    """

    path: str
    type: str
    action: str | None = None


class Behaviour:
    """A plain resource type: documents that are put, read, listed, changed and deleted.

    Attributes:
        type: `Microsoft.Network/natGateways`.
        name_pattern, name_rule: what a name must match as a whole, and the same in words.
        has_location: the body must name a location; `locations` are the allowed ones, None for all regions.
        creates, changes, deletes: seconds each takes; 0 ends it within the request.
        references: ids in the body that must exist.
        has_etag: answers carry `etag`; `If-Match` is honoured.
        patches_tags_only: PATCH may change tags and nothing else.
        tag_limit, tag_name_limit: tags a resource may have, characters a tag's name may have.
        name_error: the code that refuses a bad name.
        shows_state: answers carry `properties.provisioningState`.
        put_only_by_platform: Azure makes these itself; a client's PUT is refused.
    """

    type: ClassVar[str]
    name_pattern: ClassVar[re.Pattern[str]] = re.compile(r"[^<>%&\\?/]{1,260}")
    name_rule: ClassVar[str] = "1 to 260 characters, none of < > % & \\ ? /"
    has_location: ClassVar[bool] = True
    locations: ClassVar[frozenset[str] | None] = None
    creates: ClassVar[float] = 0
    changes: ClassVar[float] = 0
    deletes: ClassVar[float] = 0
    references: ClassVar[tuple[Reference, ...]] = ()
    has_etag: ClassVar[bool] = False
    patches_tags_only: ClassVar[bool] = False
    tag_limit: ClassVar[int] = 50
    tag_name_limit: ClassVar[int] = 512
    name_error: ClassVar[str] = "InvalidResourceName"
    put_only_by_platform: ClassVar[bool] = False
    shows_state: ClassVar[bool] = True

    # What subclasses refine most: checks, computed values, what belongs together.

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """Refuse what this type refuses, by raising ArmError; `body` holds what the client may set."""

    def fill(self, ctx: Context, request: Request, document: Body, existing: Resource | None) -> None:
        """Add what Azure computes and defaults to the new document, before it is stored."""

    def stored(self, ctx: Context, resource: Resource, existing: Resource | None) -> None:
        """The document was written: bring what belongs to it along."""

    def check_delete(self, ctx: Context, resource: Resource) -> None:
        """Refuse a delete, by raising ArmError, where something still uses the resource."""

    def find(self, ctx: Context, resource_id: str) -> Resource | None:
        """The resource of that id."""
        return ctx.store.get(resource_id)

    def removed(self, ctx: Context, resource: Resource) -> None:
        """The resource and what lies in it is gone: clean up what belonged to it elsewhere."""

    def render(self, ctx: Context, resource: Resource) -> Body:
        """What GET shows."""
        return resource.body

    def check_idle(self, ctx: Context, request: Request) -> None:
        """Refuse a PUT, PATCH or DELETE, by raising ArmError, while another operation is in the way."""
        operation = ctx.operations.running(request.resource_id)
        if operation:
            raise conflict(
                "AnotherOperationInProgress",
                f"Another operation on this or dependent resource is in progress: '{operation.kind}' of "
                f"'{operation.resource_id}', operation {operation.id}. Try again when it has ended.",
                retry_after=1,
            )

    def missing(self, ctx: Context, request: Request) -> ArmError:
        """The answer to a GET of a resource that is not there."""
        path = request.target
        local = "/".join(part for pair in zip(path.types, path.names, strict=False) for part in pair)
        return ArmError(
            404,
            "ResourceNotFound",
            f"The Resource '{path.namespace}/{local}' under resource group '{path.resource_group or '<null>'}' was "
            "not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
        )

    @property
    def permission_type(self) -> str:
        """The type as permissions write it, `<permission_type>/write`."""
        return self.type

    @property
    def allowed_locations(self) -> frozenset[str]:
        """Where it is sold."""
        return self.locations if self.locations is not None else location_names()

    # The verbs.

    def patched(self, ctx: Context, request: Request, body: Body, existing: Resource) -> Body:
        """The whole body that a PATCH asks for: objects are merged, everything else is replaced."""
        if self.patches_tags_only and set(body) - {"tags"}:
            raise ArmError(
                400,
                "InvalidRequestContent",
                f"A PATCH of {self.type} may change tags only, not {', '.join(sorted(set(body) - {'tags'}))}: use PUT.",
            )
        whole = merged(existing.body, {key: value for key, value in body.items() if key != "tags"})
        return {**whole, "tags": body["tags"]} if "tags" in body else whole

    def put(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> Reply:
        """Create or replace; computed values of an existing one are kept by `fill`."""
        now = ctx.now()
        document: Body = {
            **body,
            "id": existing.id if existing else request.resource_id,
            "name": existing.name if existing else request.name,
            "type": self.type,
        }
        document.setdefault("properties", {})
        if self.has_etag:
            document["etag"] = f'W/"{uuid.uuid4()}"'
        seconds = self.changes if existing else self.creates
        self.fill(ctx, request, document, existing)
        if self.shows_state:
            state = "Succeeded" if not seconds else "Updating" if existing else "Creating"
            document["properties"]["provisioningState"] = state
        resource = Resource(
            document["id"], self.type, document["name"], document, existing.created_at if existing else now, now
        )
        ctx.store.put(resource)
        self.stored(ctx, resource, existing)
        operation = ctx.operations.start(resource.id, "put", seconds) if seconds else None
        stored = ctx.store.get(resource.id) or resource
        return Reply(200 if existing else 201, self.render(ctx, stored), operation)

    def get(self, ctx: Context, request: Request, resource: Resource) -> Reply:
        """Read one."""
        return Reply(200, self.render(ctx, resource))

    def list_all(self, ctx: Context, request: Request) -> list[Body]:
        """All of this type in the parent, the group or the subscription that the path names."""
        within = request.parent_id or request.target.scope
        return [self.render(ctx, resource) for resource in ctx.store.of_type(self.type, within)]

    def delete(self, ctx: Context, request: Request, resource: Resource) -> Reply:
        """Delete, at once or by an operation."""
        self.check_delete(ctx, resource)
        if not self.deletes:
            purge(ctx, resource)
            return Reply(200)
        resource.properties["provisioningState"] = "Deleting"
        ctx.store.put(resource)
        return Reply(202, None, ctx.operations.start(resource.id, "delete", self.deletes))

    def action(self, ctx: Context, request: Request, resource: Resource, name: str, body: Body) -> Reply:
        """POST …/{name}."""
        raise ArmError(
            404, "InvalidResourceType", f"The resource type '{self.type}' has no action '{name}': check the path."
        )

    def settle(self, ctx: Context, operation: Operation) -> None:
        """The operation's time has come: make it so.

        Raises:
            ArmError: it failed; the operation says why, and the resource's state is `Failed`.
            Again: it is not ready.
        """
        resource = ctx.store.get(operation.resource_id)
        if resource is None:
            return
        if operation.kind == "delete":
            purge(ctx, resource, operation)
        elif operation.kind == "put":
            resource.properties["provisioningState"] = "Succeeded"
            ctx.store.put(resource)


def merged(base: Body, change: Body) -> Body:
    """`base` with `change` laid over it: objects are merged key by key, null removes (RFC 7386)."""
    result = dict(base)
    for key, value in change.items():
        below = result.get(key)
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = merged(cast(Body, below) if isinstance(below, dict) else {}, cast(Body, value))
        else:
            result[key] = value
    return result


def purge(ctx: Context, resource: Resource, operation: Operation | None = None) -> None:
    """Remove a resource with all that lies in it, innermost first, and run each type's `removed`.

    Args:
        operation: the delete that does it; every other operation on these resources is cancelled.
    """
    inner = sorted(ctx.store.under(resource.id), key=lambda one: one.id.count("/"), reverse=True)
    ctx.operations.cancel(resource.id, but=operation.id if operation else None)
    for one in (*inner, resource):
        ctx.store.remove(one.id)
        behaviour = REGISTRY.get(one.type.lower())
        if behaviour:
            behaviour.removed(ctx, one)


REGISTRY: dict[str, Behaviour] = {}
"""Resource type in lower case to what it does."""


def register(behaviour: Behaviour) -> Behaviour:
    """Serve a resource type.

    Raises:
        ValueError: the type is served already.
    """
    key = behaviour.type.lower()
    if key in REGISTRY:
        raise ValueError(f"two behaviours for {behaviour.type}: register each type once")
    REGISTRY[key] = behaviour
    return behaviour


Handler = Callable[[Context, Request, Body], Reply]


@dataclass(frozen=True)
class Route:
    """A path that is no resource, `/subscriptions/{subscription}/providers/Microsoft.Compute/skus`.

    Attributes:
        action: what the caller must be allowed to do on the subscription, None where any caller may.
        platform_only: for the sandbox's own parts.
        versioned: `api-version` must be given.
    """

    method: str
    pattern: re.Pattern[str]
    handler: Handler
    action: str | None
    platform_only: bool
    versioned: bool


ROUTES: list[Route] = []


def register_route(
    method: str,
    pattern: str,
    handler: Handler,
    *,
    action: str | None = None,
    platform_only: bool = False,
    versioned: bool = True,
) -> None:
    """Serve a path that is no resource; `{name}` in the pattern matches one segment, given as `request.params`."""
    parts = re.split(r"\{(\w+)\}", pattern)
    regex = "".join(re.escape(part) if i % 2 == 0 else f"(?P<{part}>[^/]+)" for i, part in enumerate(parts))
    ROUTES.append(
        Route(method, re.compile(regex, re.IGNORECASE), handler, action, platform_only, versioned and not platform_only)
    )


def types_of(namespace: str) -> Iterable[str]:
    """The types served for a provider, as `virtualNetworks/subnets`."""
    prefix = namespace.lower() + "/"
    return [one.type.split("/", 1)[1] for key, one in REGISTRY.items() if key.startswith(prefix)]
