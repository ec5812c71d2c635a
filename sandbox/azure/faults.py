"""Faults on order: chosen requests that fail or stall, machines that cannot be had, spot machines taken back.

`PUT /sandbox/faults {"faults": […]}` replaces the list, `GET` shows what is left of it, `POST /sandbox/evictions`
takes spot machines back at once. Each fault names what it meets and how often:

    {"answer": "429", "type": "Microsoft.Compute/virtualMachineScaleSets", "method": "PUT", "name": "heavy",
     "count": 2, "retryAfter": 5, "stall": 0}

`answer` is a status (429, 409, 500, 503), `drop`, `stall`, or a code of Compute (`ALLOCATION`); the latter meet only
requests by which a scale set grows, and with `"when": "later"` the request is accepted and fails after `after` seconds,
`granted` machines come all the same, and `leave` of the others stay behind with the state Failed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from sandbox.azure.behaviour import Body, Context, Reply, Request, register_route
from sandbox.azure.container_service import INSTANCE_TYPE, SCALE_SET_TYPE, mapping, private
from sandbox.azure.errors import ArmError
from sandbox.azure.ids import Path
from sandbox.azure.store import Resource

_KEPT = "faults"
ALLOCATION = ("AllocationFailed", "ZonalAllocationFailed", "SkuNotAvailable", "QuotaExceeded")
"""Codes with which Compute says that machines cannot be had (Azure documentation, "Troubleshoot allocation failures",
"Resolve errors for SKU not available", "Resolve errors for resource quotas")."""
_STATUSES = {
    "429": "TooManyRequests",
    "409": "OperationNotAllowed",
    "500": "InternalServerError",
    "503": "ServerTimeout",
}
_ANSWERS = (*_STATUSES, "drop", "stall", *ALLOCATION)
_FIELDS: Mapping[str, tuple[type | tuple[type, ...], object]] = {
    "answer": (str, None),
    "type": (str, ""),
    "method": (str, ""),
    "name": (str, ""),
    "count": ((int, type(None)), 1),
    "retryAfter": ((int, float), 2),
    "stall": ((int, float), 0),
    "when": (str, "request"),
    "after": ((int, float), 5),
    "granted": (int, 0),
    "leave": (int, 0),
}
"""Field to its type and what it is where it is left out; a `count` of null is for ever."""
MESSAGES = {
    "AllocationFailed": "Allocation failed. We do not have sufficient capacity for the requested VM size in this "
    "region. Read more about improving likelihood of allocation success at http://aka.ms/allocation-guidance",
    "ZonalAllocationFailed": "Allocation failed. We do not have sufficient capacity for the requested VM size in this "
    "zone. Read more about improving likelihood of allocation success at http://aka.ms/allocation-guidance",
    "SkuNotAvailable": "The requested VM size for resource is currently not available in this location. Please try "
    "another size or deploy to a different location or different zone. See https://aka.ms/azureskunotavailable for "
    "details.",
    "QuotaExceeded": "Operation could not be completed as it results in exceeding approved Cores quota. Submit a "
    "request for Quota increase at https://aka.ms/ProdportalCRP.",
}


def take(ctx: Context, method: str, path: Path, body: Any, living: Callable[[str], int]) -> Body | None:
    """The first fault on order that a request meets at once, counted; None: it meets none.

    Args:
        living: gives the machines that a scale set has now, by its id.
    """
    target = path.without_last() if method == "POST" and path.is_collection else path
    for fault in _listed(ctx):
        if fault["answer"] in ALLOCATION and (fault["when"] == "later" or not _grows(method, target, body, living)):
            continue
        if _meets(fault, method, target):
            _count(ctx, fault)
            return fault
    return None


def take_later(ctx: Context, scale_set: Resource) -> Body | None:
    """The first allocation on order that is accepted for this scale set and fails afterwards, counted."""
    for fault in _listed(ctx):
        later = fault["answer"] in ALLOCATION and fault["when"] == "later"
        if later and fault["type"].lower() in ("", SCALE_SET_TYPE.lower()) and _named(fault, scale_set.name):
            _count(ctx, fault)
            return fault
    return None


def error(fault: Body) -> ArmError | None:
    """What a fault answers; None for one that only stalls or drops."""
    answer = fault["answer"]
    if answer in ALLOCATION:
        return ArmError(409, answer, MESSAGES[answer])
    if answer not in _STATUSES:
        return None
    status = int(answer)
    headers = {"Retry-After": f"{fault['retryAfter']:g}"} if status in (409, 429, 503) else None
    return ArmError(status, _STATUSES[answer], f"The sandbox was told to answer {status} here.", headers=headers)


def _listed(ctx: Context) -> list[Body]:
    return cast(list[Body], ctx.store.kv_get(_KEPT, []))


def _count(ctx: Context, fault: Body) -> None:
    """Take one off what is left of a fault; the last one takes it off the list."""
    kept = _listed(ctx)
    for place, one in enumerate(kept):
        if one == fault:
            if one["count"] is not None:
                one["count"] -= 1
                if one["count"] <= 0:
                    del kept[place]
            break
    ctx.store.kv_set(_KEPT, kept)


def _meets(fault: Body, method: str, path: Path) -> bool:
    if fault["method"] and fault["method"].upper() != method:
        return False
    if fault["type"] and fault["type"].lower() != path.type.lower():
        return False
    return not fault["name"] or (not path.is_collection and _named(fault, path.name))


def _named(fault: Body, name: str) -> bool:
    return re.search(fault["name"], name) is not None


def _grows(method: str, path: Path, body: Any, living: Callable[[str], int]) -> bool:
    if method not in ("PUT", "PATCH") or path.type.lower() != SCALE_SET_TYPE.lower() or not isinstance(body, dict):
        return False
    wanted = mapping(cast(Body, body).get("sku")).get("capacity")
    return isinstance(wanted, int) and wanted > living(path.path)


def _change(ctx: Context, _request: Request, body: Body) -> Reply:
    given = body.get("faults")
    if set(body) != {"faults"} or not isinstance(given, list):
        raise _wrong(f"{body!r}: a list `faults` is expected")
    ctx.store.kv_set(_KEPT, [_checked(one) for one in cast(list[Any], given)])
    return _show(ctx, _request, body)


def _show(ctx: Context, _request: Request, _body: Body) -> Reply:
    return Reply(200, {"faults": _listed(ctx)})


def _checked(given: Any) -> Body:
    if not isinstance(given, dict):
        raise _wrong(f"{given!r} is no fault")
    fault = cast(Body, given)
    unknown = sorted(set(fault) - set(_FIELDS))
    if unknown:
        raise _wrong(f"unknown: {', '.join(unknown)}; known: {', '.join(_FIELDS)}")
    filled = {name: fault.get(name, default) for name, (_, default) in _FIELDS.items()}
    for name, (kind, _) in _FIELDS.items():
        if not isinstance(filled[name], kind) or isinstance(filled[name], bool):
            raise _wrong(f"{name}: {filled[name]!r} is of the wrong type")
    if filled["answer"] not in _ANSWERS:
        raise _wrong(f"answer: {filled['answer']!r} is none of {', '.join(_ANSWERS)}")
    if filled["when"] not in ("request", "later"):
        raise _wrong(f"when: {filled['when']!r} is neither request nor later")
    if filled["when"] == "later" and filled["answer"] not in ALLOCATION:
        raise _wrong(f"when: only {', '.join(ALLOCATION)} can come later, not {filled['answer']}")
    try:
        re.compile(filled["name"])
    except re.error as broken:
        raise _wrong(f"name: {filled['name']!r} is no pattern: {broken}") from broken
    return filled


def _evict(ctx: Context, _request: Request, body: Body) -> Reply:
    """`POST /sandbox/evictions {pool, count}`: spot machines vanish, the oldest first, as with the policy Delete."""
    pool, count = body.get("pool", ""), body.get("count", 1)
    if not set(body) <= {"pool", "count"} or not isinstance(pool, str) or not isinstance(count, int):
        raise _wrong(f"{body!r} must be {{pool, count}}: a pattern of the scale set's name, and a number of machines")
    found = [
        one
        for one in ctx.store.of_type(INSTANCE_TYPE)
        if private(one).get("priority") == "Spot" and not private(one).get("deleting") and re.search(pool, one.id)
    ]
    found.sort(key=lambda one: (one.created_at, int(one.body["instanceId"])))
    for one in found[:count]:
        ctx.store.remove(one.id)
    return Reply(200, {"evicted": [one.id for one in found[:count]]})


def _wrong(message: str) -> ArmError:
    return ArmError(400, "InvalidRequestContent", f"The faults are not understood: {message}.")


register_route("PUT", "/sandbox/faults", _change, platform_only=True)
register_route("GET", "/sandbox/faults", _show, platform_only=True)
register_route("POST", "/sandbox/evictions", _evict, platform_only=True)
