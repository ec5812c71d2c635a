"""Who may do what: role assignments, evaluated as Azure does.

Owns the built-in roles (data), the evaluation and the refusals' words. Assignments and custom roles are
resources like any other; `role_assignments` and `role_definitions` serve them.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

from sandbox.azure.errors import ArmError
from sandbox.azure.ids import is_within
from sandbox.azure.store import Resource, Store
from sandbox.home import Config

if TYPE_CHECKING:
    from sandbox.azure.behaviour import Principal

ASSIGNMENTS = "Microsoft.Authorization/roleAssignments"
DEFINITIONS = "Microsoft.Authorization/roleDefinitions"
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
_FILE = Path(__file__).parent / "data" / "built_in_roles.json"


@dataclass(frozen=True)
class Role:
    """A role: four lists of actions, with `*` for any characters.

    Attributes:
        role_id: the GUID.
    """

    role_id: str
    name: str
    description: str
    actions: tuple[str, ...]
    not_actions: tuple[str, ...]
    data_actions: tuple[str, ...]
    not_data_actions: tuple[str, ...]

    def allows(self, action: str, *, data_action: bool) -> bool:
        """Whether the role grants an action."""
        granted, withheld = (
            (self.data_actions, self.not_data_actions) if data_action else (self.actions, self.not_actions)
        )
        return _any_matches(granted, action) and not _any_matches(withheld, action)

    @property
    def permissions(self) -> list[dict[str, list[str]]]:
        """As ARM shows them."""
        return [
            {
                "actions": list(self.actions),
                "notActions": list(self.not_actions),
                "dataActions": list(self.data_actions),
                "notDataActions": list(self.not_data_actions),
            }
        ]


@cache
def built_in_roles() -> Mapping[str, Role]:
    """GUID to role, of the built-in roles the sandbox knows."""
    roles: dict[str, Role] = {}
    for entry in json.loads(_FILE.read_text())["roles"]:
        lists = (tuple(entry.get(key, ())) for key in ("actions", "notActions", "dataActions", "notDataActions"))
        roles[entry["id"]] = Role(entry["id"], entry["name"], entry["description"], *lists)
    return roles


def role_from(role_id: str, properties: Mapping[str, Any]) -> Role:
    """A custom role from its document's properties."""
    merged: dict[str, list[str]] = {"actions": [], "notActions": [], "dataActions": [], "notDataActions": []}
    for permission in properties.get("permissions") or ():
        for key, values in merged.items():
            values.extend(permission.get(key) or ())
    return Role(
        role_id,
        str(properties.get("roleName", "")),
        str(properties.get("description", "")),
        *(tuple(merged[key]) for key in ("actions", "notActions", "dataActions", "notDataActions")),
    )


class Authorization:
    """Evaluates role assignments.

    Args:
        store: where assignments and custom roles lie.
        config: `role_delay` seconds pass until an assignment takes effect.
    """

    def __init__(self, store: Store, config: Config) -> None:
        self._store = store
        self._config = config

    def seed(self) -> None:
        """Make the deployer Owner of the subscription, once, as whoever creates a subscription is."""
        if self._store.kv_get("seeded"):
            return
        scope = f"/subscriptions/{self._config.subscription_id}"
        name = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{scope}/owner/{self._config.object_id}"))
        body: dict[str, Any] = {
            "id": f"{scope}/providers/{ASSIGNMENTS}/{name}",
            "name": name,
            "type": ASSIGNMENTS,
            "properties": {
                "roleDefinitionId": definition_id(self._config.subscription_id, OWNER),
                "principalId": self._config.object_id,
                "principalType": "ServicePrincipal",
                "scope": scope,
            },
        }
        self._store.put(Resource(body["id"], ASSIGNMENTS, name, body, 0, 0))
        self._store.kv_set("seeded", True)

    def role(self, definition_id: str) -> Role | None:
        """The built-in or custom role of a definition's id (its last segment, a GUID, decides)."""
        role_id = definition_id.rstrip("/").rsplit("/", 1)[-1].lower()
        built_in = built_in_roles().get(role_id)
        if built_in:
            return built_in
        custom = self._store.get(f"/subscriptions/{self._config.subscription_id}/providers/{DEFINITIONS}/{role_id}")
        return role_from(role_id, custom.properties) if custom else None

    def roles_at(self, principal_ids: Iterable[str], scope: str) -> list[Role]:
        """The roles that these principals have, effective now, at `scope` or above it."""
        now = time()
        wanted = {one.lower() for one in principal_ids}
        found: list[Role] = []
        for assignment in self._store.of_type(ASSIGNMENTS):
            properties = assignment.properties
            if (
                str(properties["principalId"]).lower() in wanted
                and assignment.created_at + self._config.role_delay <= now
                and is_within(scope, str(properties["scope"]))
            ):
                role = self.role(str(properties["roleDefinitionId"]))
                if role:
                    found.append(role)
        return found

    def allowed(self, principal_id: str, action: str, scope: str, *, data_action: bool = False) -> bool:
        """Whether a principal may do an action at a scope, effective now.

        Args:
            principal_id: object id of an identity, user or group; memberships are not followed.
            action: `Microsoft.Compute/virtualMachineScaleSets/write`.
            scope: a resource id.
            data_action: the action is one on data, which Owner does not bring.
        """
        return self.allows((principal_id,), action, scope, data_action=data_action)

    def allows(self, principal_ids: Iterable[str], action: str, scope: str, *, data_action: bool = False) -> bool:
        """The same for a principal together with its groups."""
        roles = self.roles_at(principal_ids, scope)
        return any(role.allows(action, data_action=data_action) for role in roles)

    def may(self, caller: Principal, action: str, scope: str) -> bool:
        """Whether the caller of a request may do an action."""
        return caller.is_platform or self.allows((caller.object_id, *caller.groups), action, scope)

    def require(self, caller: Principal, action: str, scope: str) -> None:
        """Refuse the caller that may not.

        Raises:
            ArmError: 403 `AuthorizationFailed`.
        """
        if not self.may(caller, action, scope):
            raise ArmError(
                403,
                "AuthorizationFailed",
                f"The client '{caller.client_id}' with object id '{caller.object_id}' does not have authorization to "
                f"perform action '{action}' over scope '{scope or '/'}' or the scope is invalid. If access was "
                "recently granted, please refresh your credentials.",
            )

    def require_linked(self, caller: Principal, action: str, scope: str, linked_action: str, linked: str) -> None:
        """Refuse the caller that may not use the resource that a body refers to.

        Raises:
            ArmError: 403 `LinkedAuthorizationFailed`.
        """
        if not self.may(caller, linked_action, linked):
            raise ArmError(
                403,
                "LinkedAuthorizationFailed",
                f"The client '{caller.client_id}' with object id '{caller.object_id}' has permission to perform action "
                f"'{action}' on scope '{scope}'; however, it does not have permission to perform action(s) "
                f"'{linked_action}' on the linked scope(s) '{linked}' (respectively) or the linked scope(s) are "
                "invalid.",
            )


def definition_id(subscription_id: str, role_id: str) -> str:
    """A role definition's id as ARM writes it."""
    return f"/subscriptions/{subscription_id}/providers/{DEFINITIONS}/{role_id}"


def _any_matches(patterns: tuple[str, ...], action: str) -> bool:
    return any(_matcher(pattern).fullmatch(action) for pattern in patterns)


@lru_cache(maxsize=4096)
def _matcher(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.IGNORECASE)
