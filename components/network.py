"""The network: where nodes, private endpoints and the way out live.

Owns the virtual network with its two subnets, their security groups, the NAT gateway with its addresses, and
the private DNS zones through which storage accounts are found. Does not own private endpoints: each belongs to
what it leads to.
"""

from __future__ import annotations

import pulumi
from pulumi_azure_native import network, privatedns

from capacity.network_plan import NetworkPlan
from components.environment import Environment

STORAGE_SERVICES = ("file", "blob", "dfs")
_STORAGE_PORTS = ["443", "445", "2049"]
"""HTTPS (blob, dfs, REST), SMB and NFS."""


class Network(pulumi.ComponentResource):
    """One virtual network, sized for the stack's pools.

    Subnets are part of the network's own body: as resources of their own, a later update of the network would
    race with them (Azure allows one change at a time) and could drop them.

    Args:
        environment: gives location and tags.
        resource_group: name of the group to live in.
        plan: address ranges.
        outbound_ips: public addresses of the NAT gateway, 1 to 16; each brings 64,512 ports.
    """

    plan: NetworkPlan
    vnet_id: pulumi.Output[str]
    vnet_name: pulumi.Output[str]
    node_subnet_id: pulumi.Output[str]
    endpoint_subnet_id: pulumi.Output[str]
    private_dns_zones: dict[str, pulumi.Output[str]]
    """Storage service (`file`, `blob`, `dfs`) to its zone's resource id."""
    outbound_addresses: list[pulumi.Output[str]]
    """The NAT gateway's public addresses: nodes and pods leave the network under these."""
    ready: list[pulumi.Resource]
    """What must be there before a name in the zones resolves inside the network."""

    def __init__(
        self,
        name: str,
        *,
        environment: Environment,
        resource_group: pulumi.Input[str],
        plan: NetworkPlan,
        outbound_ips: int,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("trainyard:components:Network", name, None, opts)
        self._environment = environment
        self._resource_group = resource_group
        child = pulumi.ResourceOptions(parent=self)
        gateway = self._nat_gateway(name, outbound_ips, child)
        nodes = self._security_group(f"{name}-nodes", [_no_remote_login()], child)
        endpoints = self._security_group(f"{name}-endpoints", _only_from(str(plan.node_subnet)), child)
        vnet = network.VirtualNetwork(
            name,
            resource_group_name=resource_group,
            virtual_network_name=f"vnet-trainyard-{environment.name}",
            location=environment.location,
            address_space=network.AddressSpaceArgs(address_prefixes=[str(plan.vnet)]),
            subnets=[
                network.SubnetArgs(
                    name="nodes",
                    address_prefix=str(plan.node_subnet),
                    nat_gateway=network.SubResourceArgs(id=gateway.id),
                    network_security_group=network.NetworkSecurityGroupArgs(id=nodes.id),
                    default_outbound_access=False,
                ),
                network.SubnetArgs(
                    name="endpoints",
                    address_prefix=str(plan.private_endpoints),
                    network_security_group=network.NetworkSecurityGroupArgs(id=endpoints.id),
                    private_endpoint_network_policies="Enabled",
                    default_outbound_access=False,
                ),
            ],
            tags=environment.tags,
            # Azure shows here what a peering says of its networks.
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(ignore_changes=["virtualNetworkPeerings"])),
        )
        self.plan = plan
        self.vnet_id, self.vnet_name = vnet.id, vnet.name
        self.node_subnet_id = pulumi.Output.concat(vnet.id, "/subnets/nodes")
        self.endpoint_subnet_id = pulumi.Output.concat(vnet.id, "/subnets/endpoints")
        self.private_dns_zones = {}
        self.ready = []
        for service in STORAGE_SERVICES:
            self._private_zone(name, service, vnet.id)
        self.register_outputs({"vnetId": self.vnet_id, "nodeSubnetId": self.node_subnet_id})

    def _nat_gateway(self, name: str, outbound_ips: int, opts: pulumi.ResourceOptions) -> network.NatGateway:
        addresses = [
            network.PublicIPAddress(
                f"{name}-outbound-{index}",
                resource_group_name=self._resource_group,
                public_ip_address_name=f"pip-trainyard-{self._environment.name}-outbound-{index}",
                location=self._environment.location,
                sku=network.PublicIPAddressSkuArgs(name="Standard"),
                public_ip_allocation_method="Static",
                tags=self._environment.tags,
                # Azure shows here what the gateway below says of its addresses.
                opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(ignore_changes=["natGateway"])),
            )
            for index in range(outbound_ips)
        ]
        self.outbound_addresses = [address.ip_address.apply(lambda found: found or "") for address in addresses]
        return network.NatGateway(
            f"{name}-outbound",
            resource_group_name=self._resource_group,
            nat_gateway_name=f"ng-trainyard-{self._environment.name}",
            location=self._environment.location,
            sku=network.NatGatewaySkuArgs(name="Standard"),
            public_ip_addresses=[network.SubResourceArgs(id=address.id) for address in addresses],
            idle_timeout_in_minutes=10,
            tags=self._environment.tags,
            opts=opts,
        )

    def _security_group(
        self, name: str, rules: list[network.SecurityRuleArgs], opts: pulumi.ResourceOptions
    ) -> network.NetworkSecurityGroup:
        return network.NetworkSecurityGroup(
            name,
            resource_group_name=self._resource_group,
            network_security_group_name=f"nsg-trainyard-{self._environment.name}-{name.rsplit('-', 1)[-1]}",
            location=self._environment.location,
            security_rules=rules,
            tags=self._environment.tags,
            opts=opts,
        )

    def _private_zone(self, name: str, service: str, vnet_id: pulumi.Output[str]) -> None:
        zone = privatedns.PrivateZone(
            f"{name}-{service}",
            resource_group_name=self._resource_group,
            private_zone_name=f"privatelink.{service}.core.windows.net",
            location="global",
            tags=self._environment.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        link = privatedns.VirtualNetworkLink(
            f"{name}-{service}",
            resource_group_name=self._resource_group,
            private_zone_name=zone.name,
            virtual_network_link_name=f"vnet-trainyard-{self._environment.name}",
            location="global",
            registration_enabled=False,
            virtual_network=privatedns.SubResourceArgs(id=vnet_id),
            tags=self._environment.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.private_dns_zones[service] = zone.id
        self.ready.append(link)


def _no_remote_login() -> network.SecurityRuleArgs:
    """Azure's own rules deny the internet, but rules that AKS adds for load balancers come before those."""
    return network.SecurityRuleArgs(
        name="no-remote-login",
        description="Nobody signs in to a node from the internet.",
        priority=4000,
        direction="Inbound",
        access="Deny",
        protocol="Tcp",
        source_address_prefix="Internet",
        source_port_range="*",
        destination_address_prefix="*",
        destination_port_ranges=["22", "3389"],
    )


def _only_from(nodes: str) -> list[network.SecurityRuleArgs]:
    """Storage is reached from nodes alone; pods leave their node under its address (overlay networking)."""
    return [
        network.SecurityRuleArgs(
            name="storage-from-nodes",
            priority=100,
            direction="Inbound",
            access="Allow",
            protocol="Tcp",
            source_address_prefix=nodes,
            source_port_range="*",
            destination_address_prefix="*",
            destination_port_ranges=_STORAGE_PORTS,
        ),
        network.SecurityRuleArgs(
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
