"""The resource group that data lives in, apart from the platform's, so that it can outlive the stack.

Owns the group and the cluster's right to make disks in it. Does not own what lies in it: accounts and their shares and
containers belong to their components, disks to the claims of the file system's daemons.

Data is kept unless the stack file says otherwise: what is declared with `kept` stays on Azure when it is taken out of
the settings or the stack is destroyed, and the next deployment takes it over again (`recovery/`). The engine reads this
from the state, so a changed `storage.deleteData` counts once it was deployed.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
from pulumi_azure_native import authorization, resources

from components.environment import Environment
from components.naming import data_group_name
from components.roles import assign_role

DISK_ACTIONS = ("Microsoft.Compute/disks/read", "Microsoft.Compute/disks/write", "Microsoft.Compute/disks/delete")
"""What the disk CSI controller calls on a disk, attaching it to a node included: the part about disks of Azure's
built-in role "Azure Red Hat OpenShift Disk Storage Operator". AKS gives its identity the rest on the node group."""


class DataGroup(pulumi.ComponentResource):
    """One resource group for accounts and disks.

    Args:
        environment: gives names, location and tags.
        delete_data: whether data goes with what declares it.
        cluster_principal_id: the control plane's identity, which the disk CSI controller acts as.
    """

    group_name: str
    """The group's name as text, for places that take no output: volume handles, StorageClasses."""
    name: pulumi.Output[str]
    id: pulumi.Output[str]
    delete_data: bool
    disks_ready: list[pulumi.Resource]
    """What must be there before a disk is claimed in the group."""

    def __init__(
        self,
        name: str,
        *,
        environment: Environment,
        delete_data: bool,
        cluster_principal_id: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("trainyard:components:DataGroup", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.delete_data = delete_data
        self.group_name = data_group_name(environment.name, environment.location)
        group = resources.ResourceGroup(
            name,
            resource_group_name=self.group_name,
            location=environment.location,
            tags=environment.tags,
            opts=self.kept(child),
        )
        self.name, self.id = group.name, group.id
        subscription = f"/subscriptions/{environment.subscription_id}"
        role = authorization.RoleDefinition(
            f"{name}-disks",
            role_definition_id=environment.stable_uuid("role-definition", name, "disks"),
            # A custom role's name is unique in the whole directory.
            role_name=f"Trainyard {environment.name} {environment.unique} disks of the file system",
            description="The cluster makes, attaches and deletes disks in the group of its data.",
            role_type="CustomRole",
            scope=subscription,
            assignable_scopes=[subscription],
            permissions=[authorization.PermissionArgs(actions=list(DISK_ACTIONS))],
            opts=child,
        )
        self.disks_ready = [
            assign_role(
                f"{name}-disks",
                environment=environment,
                role=role.id,
                principal_id=cluster_principal_id,
                scope=group.id,
                opts=child,
            )
        ]
        self.register_outputs({"name": self.name})

    def kept(self, opts: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
        """Options for something that holds data: those given, and that it stays on Azure where data is kept."""
        return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(retain_on_delete=not self.delete_data))

    def kept_things(self, things: Sequence[str]) -> list[str]:
        """What a destroy leaves on Azure, in words: the group and these; empty where data is deleted."""
        return [] if self.delete_data else [f"resource group {self.group_name}", *things]

    @property
    def reclaim_policy(self) -> str:
        """What becomes of a volume without a claim, in Kubernetes' word."""
        return "Delete" if self.delete_data else "Retain"
