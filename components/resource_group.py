"""The resource group that everything else of one environment lives in.

Owns the group and its tags. Does not own the node resource group: AKS makes and deletes that one.
"""

from __future__ import annotations

import pulumi
from pulumi_azure_native import resources

from components.environment import Environment
from components.naming import resource_group_name


class ResourceGroup(pulumi.ComponentResource):
    """One Azure resource group.

    Args:
        environment: gives name, location and tags.
    """

    name: pulumi.Output[str]
    id: pulumi.Output[str]

    def __init__(self, name: str, *, environment: Environment, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("trainyard:components:ResourceGroup", name, None, opts)
        group = resources.ResourceGroup(
            name,
            resource_group_name=resource_group_name(environment.name, environment.location),
            location=environment.location,
            tags=environment.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.name = group.name
        self.id = group.id
        self.register_outputs({"name": self.name})
