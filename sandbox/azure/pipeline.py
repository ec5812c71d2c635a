"""One request's way through Resource Manager: what is checked for every type before its behaviour is asked.

Order, as on Azure: path and api-version, permission, group and parent, name, body against the schema,
location, tags, referenced resources, operations under way; then the behaviour. All of one request is one
transaction. Settling the long operations whose time has come is done here, too.
"""

from __future__ import annotations

import logging
import re
from typing import Any, cast
from urllib.parse import quote

from sandbox.azure import checks, faults, schemas
from sandbox.azure.authorization import Authorization
from sandbox.azure.behaviour import (
    PLATFORM,
    REGISTRY,
    ROUTES,
    Again,
    Behaviour,
    Body,
    Context,
    Principal,
    Reply,
    Request,
    types_of,
)
from sandbox.azure.errors import ArmError
from sandbox.azure.ids import RESOURCE_GROUP_TYPE, parse
from sandbox.azure.operations import Operation, Operations
from sandbox.azure.scale_sets import living
from sandbox.azure.store import Resource, Store
from sandbox.home import Home

log = logging.getLogger("sandbox.azure")
_API_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-preview|-alpha|-beta|-privatepreview)?")
_PAGE = 500


class ResourceManager:
    """The simulated Resource Manager of one sandbox.

    Args:
        home: the sandbox's folder; its `azure.db` holds all state.
    """

    def __init__(self, home: Home) -> None:
        self.home = home
        self.config = home.config
        self.store = Store(home.azure_db)
        self.operations = Operations(self.store)
        self.authorization = Authorization(self.store, self.config)
        with self.store.transaction():
            self.authorization.seed()

    def context(self, caller: Principal = PLATFORM) -> Context:
        """What behaviours work with, on behalf of `caller`."""
        return Context(self.store, self.operations, self.config, self.home, self.authorization, caller)

    def handle(self, request: Request, body: Any, caller: Principal) -> Reply:
        """Answer one request.

        Raises:
            ArmError: it is refused; nothing of it was kept.
        """
        self.settle_due()
        with self.store.transaction():
            ctx = self.context(caller)
            reply = _route(ctx, request, body)
            return reply if reply is not None else serve_resource(ctx, request, body)

    def fault(self, method: str, raw_path: str, body: Any) -> Body | None:
        """The fault on order that a request meets (`faults`), counted; None: it meets none."""
        try:
            path = parse(raw_path)
        except ArmError:
            return None
        with self.store.transaction():
            ctx = self.context()
            return faults.take(ctx, method, path, body, lambda scale_set_id: len(living(ctx, scale_set_id)))

    def settle_due(self) -> None:
        """End every long operation whose time has come."""
        for operation in self.operations.due():
            with self.store.transaction():
                current = self.operations.get(operation.id)
                if current and current.status == "InProgress":
                    self._settle(current)

    def _settle(self, operation: Operation) -> None:
        later: Again | None = None
        try:
            with self.store.savepoint():
                try:
                    _behaviour(parse(operation.resource_id).type).settle(self.context(), operation)
                except Again as again:
                    later = again
        except ArmError as error:
            self._fail(operation, error)
        except Exception:
            log.exception("settling failed", extra={"fields": {"id": operation.resource_id, "kind": operation.kind}})
            self._fail(operation, ArmError(500, "InternalServerError", "The sandbox failed: see its azure.log."))
        else:
            if later is not None:
                self.operations.postpone(operation, later.seconds)
            else:
                self.operations.end(operation, "Succeeded")

    def _fail(self, operation: Operation, error: ArmError) -> None:
        resource = self.store.get(operation.resource_id)
        if resource is not None:
            resource.properties["provisioningState"] = "Failed"
            self.store.put(resource)
        self.operations.end(operation, "Failed", error.error)
        log.warning("operation failed", extra={"fields": {"id": operation.resource_id, "code": error.code}})


def _route(ctx: Context, request: Request, body: Any) -> Reply | None:
    """Answer a path that is no resource; None where no route has it."""
    for route in ROUTES:
        match = route.pattern.fullmatch(request.raw_path)
        if not match or route.method != request.method:
            continue
        request.params = match.groupdict()
        subscription = request.params.get("subscription")
        if route.platform_only:
            if not ctx.caller.is_platform:
                raise ArmError(403, "Forbidden", f"'{request.raw_path}' is for the sandbox's own parts.")
        elif route.versioned:
            _check_version(request)
        if subscription is not None:
            checks.subscription(ctx, subscription)
        if route.action:
            ctx.authorization.require(ctx.caller, route.action, f"/subscriptions/{subscription}")
        return route.handler(ctx, request, cast(Body, body if isinstance(body, dict) else {}))
    return None


def serve_resource(ctx: Context, request: Request, body: Any) -> Reply:
    """Answer a path that is a resource, a collection, or an action."""
    path = request.path = parse(request.raw_path)
    _check_version(request)
    if path.subscription_id is not None:
        checks.subscription(ctx, path.subscription_id)
    if path.is_collection and request.method == "POST" and path.names:
        return _action(ctx, request, body)
    behaviour = _behaviour(path.type)
    if path.is_collection:
        if request.method != "GET":
            raise _not_allowed(request)
        return _list(ctx, request, behaviour)
    checks.scope_exists(ctx, path)
    existing = behaviour.find(ctx, request.resource_id)
    verb = {"GET": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}.get(request.method)
    if verb is None:
        raise _not_allowed(request)
    at = path.scope if path.is_extension else request.resource_id
    ctx.authorization.require(ctx.caller, f"{behaviour.permission_type}/{verb}", at)
    checks.parent_exists(ctx, path, verb)
    if request.method == "GET":
        if existing is None:
            raise behaviour.missing(ctx, request)
        return behaviour.get(ctx, request, existing)
    if request.method == "DELETE":
        return _delete(ctx, request, behaviour, existing)
    return _write(ctx, request, behaviour, body, existing)


def _write(ctx: Context, request: Request, behaviour: Behaviour, body: Any, existing: Resource | None) -> Reply:
    if behaviour.put_only_by_platform and not ctx.caller.is_platform:
        raise _not_allowed(request)
    checks.group_is_alive(ctx, request.target)
    if not isinstance(body, dict):
        raise ArmError(
            400,
            "InvalidRequestContent",
            "The request content was invalid: the body must be a JSON object, not "
            f"{'nothing' if body is None else type(body).__name__}.",
        )
    given = cast(Body, body)
    if request.method == "PATCH":
        if existing is None:
            raise behaviour.missing(ctx, request)
        given = behaviour.patched(ctx, request, given, existing)
    elif existing is None:
        checks.name(behaviour, request.name)
    checks.etag(request, existing)
    cleaned = schemas.cleaned(behaviour.type, given)
    checks.location(behaviour, request, cleaned, existing)
    checks.tags(behaviour, cleaned)
    checks.references(ctx, behaviour, request, cleaned)
    behaviour.check_idle(ctx, request)
    behaviour.validate(ctx, request, cleaned, existing)
    return behaviour.put(ctx, request, cleaned, existing)


def _delete(ctx: Context, request: Request, behaviour: Behaviour, existing: Resource | None) -> Reply:
    if existing is None:
        return Reply(204)
    operation = ctx.operations.running(request.resource_id)
    if operation and operation.kind == "delete":
        return Reply(202, None, operation)
    checks.etag(request, existing)
    behaviour.check_idle(ctx, request)
    return behaviour.delete(ctx, request, existing)


def _list(ctx: Context, request: Request, behaviour: Behaviour) -> Reply:
    path = request.target
    checks.scope_exists(ctx, path)
    if len(path.types) > 1 and path.parent_id is None:
        raise _not_allowed(request)
    at = path.scope if path.is_extension else path.parent_id or path.scope
    ctx.authorization.require(ctx.caller, f"{behaviour.permission_type}/read", at)
    checks.parent_exists(ctx, path, "read")
    return paged(request, behaviour.list_all(ctx, request))


def _action(ctx: Context, request: Request, body: Any) -> Reply:
    """POST …/{name}/{action}: the last segment is an action of the resource before it."""
    name = request.target.types[-1]
    path = request.path = request.target.without_last()
    behaviour = _behaviour(path.type)
    checks.scope_exists(ctx, path)
    ctx.authorization.require(ctx.caller, f"{behaviour.permission_type}/{name}/action", request.resource_id)
    checks.parent_exists(ctx, path, "action")
    existing = behaviour.find(ctx, request.resource_id)
    if existing is None:
        raise behaviour.missing(ctx, request)
    return behaviour.action(ctx, request, existing, name, cast(Body, body if isinstance(body, dict) else {}))


def paged(request: Request, values: list[Body]) -> Reply:
    """A list's answer: 500 at a time (or `$top`), the rest behind `nextLink`."""
    start = _number(request, "$skiptoken", 0)
    size = min(max(_number(request, "$top", _PAGE), 1), _PAGE)
    page: Body = {"value": values[start : start + size]}
    if start + size < len(values):
        kept = {key: value for key, value in request.query.items() if key != "$skiptoken"}
        query = "&".join(
            f"{quote(key)}={quote(value)}" for key, value in {**kept, "$skiptoken": str(start + size)}.items()
        )
        page["nextLink"] = f"{request.base_url}{quote(request.raw_path)}?{query}"
    return Reply(200, page)


def _number(request: Request, key: str, default: int) -> int:
    value = request.query.get(key)
    if value is None:
        return default
    if not value.isdecimal():
        raise ArmError(400, "InvalidQueryParameter", f"The query parameter '{key}={value}' must be a whole number.")
    return int(value)


def _behaviour(resource_type: str) -> Behaviour:
    found = REGISTRY.get(resource_type.lower())
    if found:
        return found
    namespace, _, rest = resource_type.partition("/")
    if resource_type == RESOURCE_GROUP_TYPE or not types_of(namespace):
        raise ArmError(
            404,
            "InvalidResourceNamespace",
            f"The resource namespace '{namespace}' is invalid: the sandbox serves "
            f"{', '.join(sorted({one.type.split('/')[0] for one in REGISTRY.values()}))}.",
        )
    raise ArmError(
        404,
        "InvalidResourceType",
        f"The resource type '{rest}' could not be found in the namespace '{namespace}'. The supported types are "
        f"'{','.join(sorted(types_of(namespace)))}'.",
    )


def _check_version(request: Request) -> None:
    if not request.api_version:
        raise ArmError(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    if not _API_VERSION.fullmatch(request.api_version):
        raise ArmError(
            400,
            "InvalidApiVersionParameter",
            f"The api-version '{request.api_version}' is invalid: write it as '2024-01-01' or '2024-01-01-preview'.",
        )


def _not_allowed(request: Request) -> ArmError:
    return ArmError(
        405, "HttpMethodNotAllowed", f"The method {request.method} is not supported on '{request.raw_path}'."
    )
