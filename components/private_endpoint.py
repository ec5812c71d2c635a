"""A private endpoint: an address inside the network for one service of one storage account.

Owns the endpoint and its entry in the private DNS zone. Does not own the zone or the account.
"""

from __future__ import annotations

import pulumi
from pulumi_azure_native import network as azure_network

from components.environment import Environment
from components.network import Network


class PrivateEndpoint(pulumi.ComponentResource):
    """One private endpoint with its DNS record.

    Args:
        environment: gives location and tags.
        resource_group: name of the group to live in.
        network: its endpoint subnet and DNS zones are used.
        target_id: resource id of the storage account.
        target_name: plain name of the account; part of the endpoint's name.
        service: `file`, `blob` or `dfs`.
    """

    ready: pulumi.Resource
    """Once this is there, the account's name leads to the private address."""

    def __init__(
        self,
        name: str,
        *,
        environment: Environment,
        resource_group: pulumi.Input[str],
        network: Network,
        target_id: pulumi.Input[str],
        target_name: str,
        service: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("trainyard:components:PrivateEndpoint", name, None, opts)
        endpoint = azure_network.PrivateEndpoint(
            name,
            resource_group_name=resource_group,
            private_endpoint_name=f"pe-{target_name}-{service}",
            custom_network_interface_name=f"nic-pe-{target_name}-{service}",
            location=environment.location,
            subnet=azure_network.SubnetArgs(id=network.endpoint_subnet_id),
            private_link_service_connections=[
                azure_network.PrivateLinkServiceConnectionArgs(
                    name=service, private_link_service_id=target_id, group_ids=[service]
                )
            ],
            tags=environment.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.ready = azure_network.PrivateDnsZoneGroup(
            name,
            resource_group_name=resource_group,
            private_endpoint_name=endpoint.name,
            private_dns_zone_group_name="default",
            private_dns_zone_configs=[
                azure_network.PrivateDnsZoneConfigArgs(
                    name=service, private_dns_zone_id=network.private_dns_zones[service]
                )
            ],
            opts=pulumi.ResourceOptions(parent=self, depends_on=network.ready),
        )
        self.register_outputs({})
