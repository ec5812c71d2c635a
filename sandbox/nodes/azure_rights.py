"""What an identity may do on Azure, read from Resource Manager: its role assignments and their roles."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, cast

from sandbox.nodes.azure_client import AzureClient
from sandbox.nodes.objects import Json, items, section, text

_API = "2022-04-01"


async def missing_action(
    azure: AzureClient, principal: str, actions: Iterable[str], scope: str, delay: float
) -> str | None:
    """The first of some actions that a principal may not do at a scope now, None where it may do them all.

    Args:
        delay: seconds until a role assignment takes effect.

    Raises:
        AzureError: Azure cannot be asked.
    """
    where = f"{scope}/providers/Microsoft.Authorization/roleAssignments"
    answer = await azure.arm("GET", where, _API, params={"$filter": f"principalId eq '{principal}'"})
    permissions: list[Json] = []
    for assignment in items(answer, "value"):
        if in_effect(section(assignment, "properties"), scope, delay, datetime.now(UTC)):
            role = await azure.arm("GET", text(assignment, "properties", "roleDefinitionId"), _API)
            permissions += items(role, "properties", "permissions")
    return next((action for action in actions if not allows(permissions, action)), None)


def in_effect(assignment: Json, scope: str, delay: float, now: datetime) -> bool:
    """Whether an assignment's properties cover a scope, and have for long enough."""
    theirs = text(assignment, "scope").rstrip("/").lower()
    covers = f"{scope.lower()}/".startswith(f"{theirs}/")
    made = text(assignment, "createdOn")
    age = (now - datetime.fromisoformat(made)).total_seconds() if made else float("inf")
    return covers and age >= delay


def allows(permissions: Iterable[Json], action: str) -> bool:
    """Whether one of a role's permissions grants an action and does not take it back."""
    return any(
        _matches(permission.get("actions"), action) and not _matches(permission.get("notActions"), action)
        for permission in permissions
    )


def _matches(patterns: Any, action: str) -> bool:
    return any(
        re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), action, re.IGNORECASE)
        for pattern in cast(list[str], patterns or [])
    )
