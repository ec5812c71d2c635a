"""Where clients ask how a long operation goes: the `Azure-AsyncOperation` and `Location` of an answer."""

from __future__ import annotations

from datetime import UTC, datetime

from sandbox.azure.behaviour import REGISTRY, Body, Context, Reply, Request, register_route
from sandbox.azure.errors import ArmError
from sandbox.azure.operations import Operation


def _found(ctx: Context, request: Request) -> Operation:
    operation = ctx.operations.get(request.params["operation"])
    if operation is None:
        raise ArmError(404, "OperationNotFound", f"There is no operation '{request.params['operation']}'.")
    return operation


def _status(ctx: Context, request: Request, _body: Body) -> Reply:
    operation = _found(ctx, request)
    body: Body = {
        "id": request.raw_path,
        "name": operation.id,
        "status": operation.status,
        "startTime": _written(operation.started_at),
    }
    if operation.ended_at is not None:
        body["endTime"] = _written(operation.ended_at)
    if operation.error:
        body["error"] = operation.error
    if operation.status == "Succeeded" and "result" in operation.data:
        body["properties"] = operation.data["result"]
    return Reply(200, body, headers={"Retry-After": "1"} if operation.status == "InProgress" else {})


def _result(ctx: Context, request: Request, _body: Body) -> Reply:
    """202 while it runs, then what the operation made: a result, the resource, or nothing."""
    operation = _found(ctx, request)
    if operation.status == "InProgress":
        return Reply(202, None, operation, {"Location": f"{request.base_url}{request.raw_path}?{_query(request)}"})
    if operation.error:
        raise ArmError(409, operation.error["code"], operation.error["message"])
    if "result" in operation.data:
        return Reply(200, operation.data["result"])
    resource = ctx.store.get(operation.resource_id)
    if resource is None or operation.kind != "put":
        return Reply(204)
    return Reply(200, REGISTRY[resource.type.lower()].render(ctx, resource))


def _query(request: Request) -> str:
    return f"api-version={request.api_version}"


def _written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


_BASE = "/subscriptions/{subscription}/providers/{namespace}/locations/{location}"
register_route("GET", _BASE + "/operations/{operation}", _status)
register_route("GET", _BASE + "/operationResults/{operation}", _result)
