"""Who the cluster is: its identities, and the rights they need before the cluster can be made.

Owns two user-assigned identities: the control plane's, and the one that nodes (kubelets) use. Their rights on
things that other components own are given there.
"""

from __future__ import annotations

import pulumi
from pulumi_azure_native import managedidentity

from components.environment import Environment
from components.roles import MANAGED_IDENTITY_OPERATOR, NETWORK_CONTRIBUTOR, assign_role, role_id


class ClusterIdentity(pulumi.ComponentResource):
    """The control plane's and the nodes' identities.

    Args:
        environment: gives names, location and tags.
        resource_group: name of the group to live in.
        node_subnet_id: the control plane joins nodes and load balancers to this subnet, and to nothing else.
    """

    id: pulumi.Output[str]
    principal_id: pulumi.Output[str]
    kubelet: managedidentity.UserAssignedIdentity
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

        def identity(purpose: str) -> managedidentity.UserAssignedIdentity:
            return managedidentity.UserAssignedIdentity(
                f"{name}-{purpose}",
                resource_group_name=resource_group,
                resource_name_=f"id-trainyard-{environment.name}-{purpose}",
                location=environment.location,
                tags=environment.tags,
                opts=child,
            )

        control_plane = identity("cluster")
        self.kubelet = identity("kubelet")
        self.id = control_plane.id
        self.principal_id = control_plane.principal_id
        self.ready = [
            assign_role(
                f"{name}-hands-out-kubelet-identity",
                environment=environment,
                role=role_id(environment, MANAGED_IDENTITY_OPERATOR),
                principal_id=control_plane.principal_id,
                scope=self.kubelet.id,
                opts=child,
            ),
            assign_role(
                f"{name}-joins-node-subnet",
                environment=environment,
                role=role_id(environment, NETWORK_CONTRIBUTOR),
                principal_id=control_plane.principal_id,
                scope=node_subnet_id,
                opts=child,
            ),
        ]
        self.register_outputs({"id": self.id})
