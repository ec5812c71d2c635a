"""The network of a managed Lustre: one of its own, in the group of the data, beside the platform's and joined to it.

Owns the virtual network with its subnet and security group, and both ends of the peering. A managed Lustre cannot leave
its subnet, and no network can be deleted around it: in the platform's network, one that is kept would keep the stack
from being destroyed.
"""

from __future__ import annotations

from ipaddress import IPv4Network

import pulumi
from pulumi_azure_native import network as azure_network

from components.data_group import DataGroup
from components.environment import Environment
from components.network import Network


class LustreNetwork(pulumi.ComponentResource):
    """One virtual network for managed Lustre.

    Args:
        environment: gives names, location and tags.
        resource_group: name of the platform's group.
        network: the platform's network, whose nodes are the clients.
        data: the group to live in; the network is kept as the data are.
        addresses: of the network, and of its one subnet.
    """

    subnet_id: pulumi.Output[str]
    ready: list[pulumi.Resource]
    """What must be there before a node reaches the file system."""

    def __init__(
        self,
        name: str,
        *,
        environment: Environment,
        resource_group: pulumi.Input[str],
        network: Network,
        data: DataGroup,
        addresses: IPv4Network,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("trainyard:components:LustreNetwork", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        group = azure_network.NetworkSecurityGroup(
            name,
            resource_group_name=data.name,
            network_security_group_name=f"nsg-trainyard-{environment.name}-lustre",
            location=environment.location,
            security_rules=_rules(str(network.plan.node_subnet), str(addresses)),
            tags=environment.tags,
            opts=data.kept(child),
        )
        vnet = azure_network.VirtualNetwork(
            name,
            resource_group_name=data.name,
            virtual_network_name=f"vnet-trainyard-{environment.name}-lustre",
            location=environment.location,
            address_space=azure_network.AddressSpaceArgs(address_prefixes=[str(addresses)]),
            subnets=[
                azure_network.SubnetArgs(
                    name="lustre",
                    address_prefix=str(addresses),
                    network_security_group=azure_network.NetworkSecurityGroupArgs(id=group.id),
                    # Its servers report to Azure's own services; nothing reaches them from outside.
                    default_outbound_access=True,
                )
            ],
            tags=environment.tags,
            # Azure shows here what the peering below says of its networks.
            opts=data.kept(
                pulumi.ResourceOptions(parent=self, ignore_changes=["virtualNetworkPeerings"]),
            ),
        )
        self.subnet_id = pulumi.Output.concat(vnet.id, "/subnets/lustre")
        ends = {
            "to-platform": (data.name, vnet.name, network.vnet_id),
            "from-platform": (resource_group, network.vnet_name, vnet.id),
        }
        self.ready = [
            azure_network.VirtualNetworkPeering(
                f"{name}-{end}",
                resource_group_name=end_group,
                virtual_network_name=here,
                virtual_network_peering_name=f"lustre-{end}",
                remote_virtual_network=azure_network.SubResourceArgs(id=there),
                allow_virtual_network_access=True,
                allow_forwarded_traffic=False,
                allow_gateway_transit=False,
                use_remote_gateways=False,
                opts=child,
            )
            for end, (end_group, here, there) in ends.items()
        ]
        self.register_outputs({"subnetId": self.subnet_id})


def _rules(nodes: str, lustre: str) -> list[azure_network.SecurityRuleArgs]:
    """What a managed Lustre asks for: its clients on Lustre's ports, and everything among its own servers.

    Source: Azure's page "Configure network security group rules for Azure Managed Lustre".
    """
    return [
        azure_network.SecurityRuleArgs(
            name="lustre-from-nodes",
            priority=100,
            direction="Inbound",
            access="Allow",
            protocol="Tcp",
            source_address_prefix=nodes,
            source_port_range="*",
            destination_address_prefix=lustre,
            destination_port_ranges=["988", "1019-1023"],
        ),
        azure_network.SecurityRuleArgs(
            name="among-servers",
            priority=110,
            direction="Inbound",
            access="Allow",
            protocol="*",
            source_address_prefix=lustre,
            source_port_range="*",
            destination_address_prefix=lustre,
            destination_port_range="*",
        ),
        azure_network.SecurityRuleArgs(
            name="nothing-else",
            priority=4096,
            direction="Inbound",
            access="Deny",
            protocol="*",
            source_address_prefix="*",
            source_port_range="*",
            destination_address_prefix="*",
            destination_port_range="*",
        ),
    ]
