"""Who the cluster is: its control plane's identity, and the rights it needs before the cluster can be made.

Owns one user-assigned identity. Its rights on things that other components own are given there. The nodes' identity is
AKS's to make: one of our own needs a right on it that AKS checks at once, minutes before a new role works.
"""

from __future__ import annotations

import pulumi
from pulumi_azure_native import managedidentity

from components.environment import Environment
from components.roles import NETWORK_CONTRIBUTOR, assign_role, role_id


class ClusterIdentity(pulumi.ComponentResource):
    """The control plane's identity.

    Args:
        environment: gives names, location and tags.
        resource_group: name of the group to live in.
        node_subnet_id: the control plane joins nodes and load balancers to this subnet, and to nothing else.
    """

    id: pulumi.Output[str]
    principal_id: pulumi.Output[str]
    ready: list[pulumi.Resource]
    """Role assignments that must be there before the cluster is asked for."""

    def __init__(
        self,
        name: str,
        *,
        environment: Environment,
        resource_group: pulumi.Input[str],
        node_subnet_id: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("trainyard:components:ClusterIdentity", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        identity = managedidentity.UserAssignedIdentity(
            name,
            resource_group_name=resource_group,
            resource_name_=f"id-trainyard-{environment.name}-cluster",
            location=environment.location,
            tags=environment.tags,
            opts=child,
        )
        self.id = identity.id
        self.principal_id = identity.principal_id
        self.ready = [
            assign_role(
                f"{name}-joins-node-subnet",
                environment=environment,
                role=role_id(environment, NETWORK_CONTRIBUTOR),
                principal_id=identity.principal_id,
                scope=node_subnet_id,
                opts=child,
            )
        ]
        self.register_outputs({"id": self.id})
