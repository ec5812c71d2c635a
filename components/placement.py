"""The cluster's rights on where machines may be placed: capacity reservations and proximity groups.

Owns a custom role with the few actions that AKS needs, and its assignments; nothing where no pool asks for either.
"""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
from pulumi_azure_native import authorization

from capacity.pools import PoolPlan
from components.environment import Environment
from components.roles import assign_role

RESERVATION_ACTIONS = (
    "Microsoft.Compute/capacityReservationGroups/read",
    "Microsoft.Compute/capacityReservationGroups/deploy/action",
    "Microsoft.Compute/capacityReservationGroups/capacityReservations/read",
    "Microsoft.Compute/capacityReservationGroups/capacityReservations/deploy/action",
)


class PlacementRights(pulumi.ComponentResource):
    """What lets AKS draw machines from capacity reservations.

    Args:
        environment: of the stack.
        pools: key to plan; those with a capacity reservation group count.
        principal_id: the control plane's identity.
    """

    ready: list[pulumi.Resource]
    """Assignments that must be there before the pools; empty where no pool needs one."""

    def __init__(
        self,
        name: str,
        *,
        environment: Environment,
        pools: Mapping[str, PoolPlan],
        principal_id: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("trainyard:components:PlacementRights", name, None, opts)
        groups = sorted({group for plan in pools.values() if (group := plan.settings.capacity_reservation_group)})
        self.ready = []
        if groups:
            subscription = f"/subscriptions/{environment.subscription_id}"
            role = authorization.RoleDefinition(
                f"{name}-reservations",
                role_definition_id=environment.stable_uuid("role-definition", name, "reservations"),
                role_name=f"Trainyard {environment.name} {environment.unique} capacity reservations",
                description="Machines are placed in capacity reservations.",
                role_type="CustomRole",
                scope=subscription,
                assignable_scopes=[subscription],
                permissions=[authorization.PermissionArgs(actions=list(RESERVATION_ACTIONS))],
                opts=pulumi.ResourceOptions(parent=self),
            )
            self.ready = [
                assign_role(
                    f"{name}-{group.rsplit('/', 1)[-1]}",
                    environment=environment,
                    role=role.id,
                    principal_id=principal_id,
                    scope=group,
                    opts=pulumi.ResourceOptions(parent=self),
                )
                for group in groups
            ]
        self.register_outputs({})
