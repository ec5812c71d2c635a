"""The cluster's network, its way out, and who gets in."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

from policy.model import Finding, Resource, Rule, Setting, Settings, each, required
from policy.properties import Properties
from policy.stack import CLUSTER, Cluster, StackView

_GROUP = "network:NetworkSecurityGroup"
_RULE = "network:SecurityRule"
_VNET = "network:VirtualNetwork"
_SUBNET = "network:Subnet"
_ANYWHERE = {"*", "internet", "any"}
_WIDEST = {4: 8, 6: 16}
"""IP version to the shortest prefix that still is somebody's network: two halves are the whole internet, too."""

_SIGN_IN = (22, 3389)
_BARE_SUBNETS = {"azurebastionsubnet", "azurefirewallsubnet", "azurefirewallmanagementsubnet", "gatewaysubnet"}
"""Subnets that Azure's own services want without a security group of the user's."""


def _open_sign_in(resource: Resource, _settings: Settings) -> Iterator[str]:
    rules = [resource.properties] if resource.kind == _RULE else resource.properties.sections("securityRules")
    for rule in rules:
        # Azure compares without care for case.
        if (rule.text("access") or "").lower() != "allow" or (rule.text("direction") or "").lower() != "inbound":
            continue
        anybody = any(is_anywhere(one) for one in _values(rule, "sourceAddressPrefix"))
        ports = _values(rule, "destinationPortRange")
        if anybody and (rule.text("protocol") or "*").lower() in {"*", "tcp"}:
            hit = [str(port) for port in _SIGN_IN if any(_holds(one, port) for one in ports)]
            if hit:
                yield (
                    f"{rule.known('name') or resource.name}: everybody on the internet reaches port "
                    f"{' and '.join(hit)}. Name the networks that may, or remove the rule."
                )


def is_anywhere(network: str) -> bool:
    """Whether a network or a service tag is the internet, or so much of it that it is nobody's own."""
    try:
        found = ip_network(network, strict=False)
    except ValueError:
        return network.lower() in _ANYWHERE
    return found.prefixlen < _WIDEST[found.version]


def _values(rule: Properties, path: str) -> list[str]:
    """A property and its plural: `…Prefix` and `…Prefixes`, `…Range` and `…Ranges`."""
    one = rule.text(path)
    plural = path + ("es" if path.endswith("x") else "s")
    return [*([one] if one else []), *rule.texts(plural)]


def _holds(ports: str, port: int) -> bool:
    """Whether `22`, `20-30` or `*` has a port."""
    if ports == "*":
        return True
    low, _, high = ports.partition("-")
    return low.isdigit() and int(low) <= port <= int(high or low)


def _subnet_groups(resource: Resource, _settings: Settings) -> Iterator[str]:
    subnets = [resource.properties] if resource.kind == _SUBNET else resource.properties.sections("subnets")
    for subnet in subnets:
        name = str(subnet.known("name" if resource.kind == _VNET else "subnetName") or resource.name)
        if name.lower() in _BARE_SUBNETS:
            continue
        # An id that is not known yet is there all the same.
        group = subnet.raw("networkSecurityGroup")
        if group is None:
            yield f"{name}: the subnet has no security group. Set networkSecurityGroup."


def _ranges(cluster: Resource, _settings: Settings) -> Iterator[str]:
    profile = cluster.properties.section("networkProfile")
    if profile.text("networkPlugin") == "none":
        return
    pods, services = profile.network("podCidr"), profile.network("serviceCidr")
    if pods and services and pods.overlaps(services):
        yield (
            f"networkProfile: podCidr {pods} and serviceCidr {services} overlap, and pods cannot reach services. Use "
            "ranges apart; a change replaces the cluster."
        )


def _outbound(stack: StackView, settings: Settings) -> Iterator[Finding]:
    """A load balancer's addresses are shared out: 64,000 ports over all machines (azure-aks-docs, NAT gateway)."""

    def judge(cluster: Cluster) -> Iterator[Finding]:
        properties = cluster.resource.properties if cluster.resource else None
        if properties is None or (properties.text("networkProfile.outboundType") or "loadBalancer") != "loadBalancer":
            return
        nodes = sum(pool.maximum for pool in stack.pools if pool.cluster.key == cluster.key)
        if nodes > int(settings["nodes"]):
            yield Finding(
                f"{cluster.name}: up to {nodes} machines go out through the load balancer, more than "
                f"{settings['nodes']}: connections fail when its ports are used up, as when all pull images at once. "
                "Set networkProfile.outboundType to managedNATGateway or userAssignedNATGateway.",
                cluster.key,
            )

    return each(stack.clusters, judge)


RULES = (
    Rule(
        name="aks-network-policy",
        title="Traffic between pods can be restricted.",
        why="Without a network policy engine NetworkPolicy objects are accepted and do nothing.",
        fix="Set networkProfile.networkPolicy to cilium, azure or calico; on an existing cluster it replaces it.",
        severity="medium",
        kinds=(CLUSTER,),
        follows=("Azure.AKS.NetworkPolicy", "CKV_AZURE_7", "CIS AKS 5.4.4"),
        check=required(
            "networkProfile.networkPolicy",
            lambda value: value not in {None, "none"},
            "there is no network policy engine: set cilium, azure or calico",
        ),
    ),
    Rule(
        name="aks-azure-cni",
        title="Pods get their addresses from Azure CNI, not from kubenet.",
        why="kubenet ends at 400 machines and is retired in 2028; a change replaces the cluster.",
        fix="Set networkProfile.networkPlugin to azure, with networkPluginMode overlay.",
        severity="medium",
        kinds=(CLUSTER,),
        follows=("Azure.AKS.AzureCNI", "CKV2_AZURE_29", "APRL c22db132-399b-4e7c-995d-577a60881be8"),
        check=required(
            "networkProfile.networkPlugin",
            lambda value: value in {"azure", "none"},
            "pods get addresses from kubenet: set azure",
            absent="azure",
        ),
    ),
    Rule(
        name="aks-standard-load-balancer",
        title="The cluster uses a standard load balancer.",
        why="The basic one is retired, has no zones, and takes a single pool.",
        fix="Set networkProfile.loadBalancerSku to standard, AKS's default.",
        severity="medium",
        kinds=(CLUSTER,),
        follows=("Azure.AKS.StandardLB",),
        check=required(
            "networkProfile.loadBalancerSku",
            lambda value: str(value).lower() == "standard",
            "the load balancer is not standard: set standard",
            absent="standard",
        ),
    ),
    Rule(
        name="aks-address-ranges",
        title="Pods and services have ranges apart.",
        why="Overlapping ranges deploy, and then some services cannot be reached from some pods.",
        fix="Use a podCidr and a serviceCidr that do not overlap.",
        severity="high",
        kinds=(CLUSTER,),
        check=_ranges,
    ),
    Rule(
        name="aks-outbound-room",
        title="Many machines do not go out through a load balancer.",
        why="Its ports are shared out over all machines; when a pool grows, pulls and storage fail at random.",
        fix="Use a NAT gateway: outboundType managedNATGateway or userAssignedNATGateway.",
        severity="medium",
        level="advisory",
        check=_outbound,
        settings=(
            Setting(
                "nodes",
                {
                    "type": "integer",
                    "minimum": 1,
                    "default": 100,
                    "description": "Machines that may go out through a load balancer.",
                },
            ),
        ),
    ),
    Rule(
        name="nsg-no-open-sign-in",
        title="Nobody reaches SSH or RDP from the whole internet.",
        why="Open sign-in ports are tried within minutes of being opened.",
        fix="Name the networks that may, or use Bastion or `kubectl debug`.",
        severity="critical",
        kinds=(_GROUP, _RULE),
        follows=("Azure.NSG.AnyInboundSource", "CKV_AZURE_9", "CKV_AZURE_10"),
        check=_open_sign_in,
    ),
    Rule(
        name="subnet-has-security-group",
        title="Every subnet has a security group.",
        why="Without one nothing stands between a machine and whoever else is on the network.",
        fix="Set the subnet's networkSecurityGroup.",
        severity="medium",
        kinds=(_VNET, _SUBNET),
        follows=("Azure.VNET.UseNSGs", "CKV2_AZURE_31", "APRL f0bf9ae6-25a5-974d-87d5-025abec73539"),
        check=_subnet_groups,
    ),
)
