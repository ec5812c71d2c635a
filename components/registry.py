"""The container registry that jobs' images come from.

Owns the registry and the nodes' right to pull. Signing in by password is off: nodes use their identity.
"""

from __future__ import annotations

import pulumi
from pulumi_azure_native import containerregistry

from components.environment import Environment
from components.naming import registry_name
from components.roles import ACR_PULL, assign_role, role_id
from stacks.settings import Registry as RegistrySettings


class Registry(pulumi.ComponentResource):
    """One Azure container registry.

    Args:
        environment: gives name, location and tags.
        resource_group: name of the group to live in.
        settings: the tier.
        puller_id: object id of the identity that nodes pull images with.
    """

    login_server: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        environment: Environment,
        resource_group: pulumi.Input[str],
        settings: RegistrySettings,
        puller_id: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("trainyard:components:Registry", name, None, opts)
        registry = containerregistry.Registry(
            name,
            resource_group_name=resource_group,
            registry_name=registry_name(environment.name, environment.unique),
            location=environment.location,
            sku=containerregistry.SkuArgs(name=settings.sku),
            admin_user_enabled=False,
            anonymous_pull_enabled=False,
            tags=environment.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        assign_role(
            f"{name}-pull",
            environment=environment,
            role=role_id(environment, ACR_PULL),
            principal_id=puller_id,
            scope=registry.id,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.login_server = registry.login_server
        self.register_outputs({"loginServer": self.login_server})
