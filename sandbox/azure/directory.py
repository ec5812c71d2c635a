"""The tenant's directory, as far as Azure's role assignments need it: which principals exist, and groups.

Identities are resources; the deployer is in `sandbox.json`; groups and further principals are registered at
`PUT /sandbox/principals/{objectId}` by tests and by people who try a stack file with administrators.
"""

from __future__ import annotations

from typing import Any, Literal, cast

from sandbox.azure.behaviour import Body, Context, Reply, Request, register_route
from sandbox.azure.errors import bad_request
from sandbox.azure.federation import IDENTITIES
from sandbox.azure.store import Store
from sandbox.home import Config

Kind = Literal["User", "Group", "ServicePrincipal"]


def _registered(store: Store) -> dict[str, dict[str, Any]]:
    return store.kv_get("principals", {})


def groups_of(store: Store, object_id: str) -> tuple[str, ...]:
    """Object ids of the groups that have this principal as a member."""
    wanted = object_id.lower()
    return tuple(key for key, entry in _registered(store).items() if wanted in entry["members"])


def kind_of(store: Store, config: Config, object_id: str) -> Kind | None:
    """What kind of principal an object id is; None: there is none."""
    wanted = object_id.lower()
    if wanted == config.object_id.lower():
        return "ServicePrincipal"
    entry = _registered(store).get(wanted)
    if entry:
        return entry["kind"]
    if any(str(one.properties.get("principalId")).lower() == wanted for one in store.of_type(IDENTITIES)):
        return "ServicePrincipal"
    return None


def _register(ctx: Context, request: Request, body: Body) -> Reply:
    """`{"kind": "Group", "members": [object id, …]}`."""
    kind, members = body.get("kind"), body.get("members", [])
    if kind not in ("User", "Group", "ServicePrincipal") or not isinstance(members, list):
        raise bad_request(
            "InvalidPrincipal", f"A principal is kind User, Group or ServicePrincipal and members, not {body}."
        )
    entry = {"kind": kind, "members": [str(one).lower() for one in cast(list[Any], members)]}
    ctx.store.kv_set("principals", {**_registered(ctx.store), request.params["object_id"].lower(): entry})
    return Reply(200, entry)


register_route("PUT", "/sandbox/principals/{object_id}", _register, platform_only=True)
