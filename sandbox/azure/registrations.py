"""What a subscription has registered, features and resource providers, and what a sign-in may do in it.

A fresh sandbox has everything registered that it serves; `PUT /sandbox/registrations` takes one away, as a fresh
subscription lacks it. Registering it again is a POST, as on Azure.
"""

from __future__ import annotations

from sandbox.azure.behaviour import Body, Context, Reply, Request, register_route
from sandbox.azure.errors import ArmError

_STATES = ("Registered", "NotRegistered", "Registering", "Pending", "Unregistered")
_CHANGED = "registrations"
_SUBSCRIPTION = "/subscriptions/{subscription}"
_FEATURE = _SUBSCRIPTION + "/providers/Microsoft.Features/providers/{namespace}/features/{feature}"


def state_of(ctx: Context, name: str) -> str:
    """The registration of a provider, `Microsoft.Compute`, or of a feature, `Microsoft.Compute/EncryptionAtHost`."""
    return str(ctx.store.kv_get(_CHANGED, {}).get(name.lower(), "Registered"))


def change(ctx: Context, name: str, state: str) -> None:
    """From now on it is in that state."""
    changed = ctx.store.kv_get(_CHANGED, {})
    changed[name.lower()] = state
    ctx.store.kv_set(_CHANGED, changed)


def _shown(ctx: Context, request: Request) -> Body:
    namespace, feature = request.params["namespace"], request.params["feature"]
    name = f"{namespace}/{feature}"
    return {
        "id": f"{ctx.subscription}/providers/Microsoft.Features/providers/{namespace}/features/{feature}",
        "name": name,
        "type": "Microsoft.Features/providers/features",
        "properties": {"state": state_of(ctx, name)},
    }


def _feature(ctx: Context, request: Request, _body: Body) -> Reply:
    return Reply(200, _shown(ctx, request))


def _register_feature(ctx: Context, request: Request, _body: Body) -> Reply:
    change(ctx, f"{request.params['namespace']}/{request.params['feature']}", "Registered")
    return Reply(200, _shown(ctx, request))


def _permissions(ctx: Context, _request: Request, _body: Body) -> Reply:
    """What the caller's roles on the subscription grant; anybody may ask."""
    roles = ctx.authorization.roles_at((ctx.caller.object_id, *ctx.caller.groups), ctx.subscription)
    return Reply(200, {"value": [one for role in roles for one in role.permissions]})


def _change(ctx: Context, _request: Request, body: Body) -> Reply:
    """`PUT /sandbox/registrations {name, state}`."""
    name, state = body.get("name"), body.get("state")
    if set(body) != {"name", "state"} or not isinstance(name, str) or not name or state not in _STATES:
        raise ArmError(
            400,
            "InvalidRequestContent",
            f"{body!r} must be {{name, state}}: a provider's namespace, or namespace/feature, and one of "
            f"{', '.join(_STATES)}.",
        )
    change(ctx, name, str(state))
    return Reply(200, {"name": name, "state": state})


register_route("GET", _FEATURE, _feature, action="Microsoft.Features/providers/features/read")
register_route(
    "POST", _FEATURE + "/register", _register_feature, action="Microsoft.Features/providers/features/register/action"
)
register_route("GET", _SUBSCRIPTION + "/providers/Microsoft.Authorization/permissions", _permissions)
register_route("PUT", "/sandbox/registrations", _change, platform_only=True)
