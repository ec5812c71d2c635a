"""For each rule: what fails it, and what it says where something is absent or unknown. Valid is the world itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from tests.policy.world import (
    A100,
    T4,
    Change,
    World,
    absent,
    answered,
    both,
    configured,
    given,
    gone,
    unknown,
    unread,
    usages,
)

Outcome = Literal["passes", "fails", "unverified"]


@dataclass(frozen=True)
class Cases:
    """Changes to the valid world.

    Attributes:
        fails: each makes the rule fail.
        absent: the thing that is checked is not there, and the outcome.
        unknown: it, or a fact, cannot be known, and the outcome.
    """

    fails: tuple[Change, ...]
    absent: tuple[Change, Outcome]
    unknown: tuple[Change, Outcome]


def one_size(size: str, **changed: Any) -> Change:
    """A size that Azure offers otherwise in West Europe."""

    def change(world: World) -> None:
        offer = world.answers["sizes/westeurope"][size.lower()]
        offer["can"].update(changed.pop("can", {}))
        offer.update(changed)

    return change


def without_capability(size: str, name: str) -> Change:
    def change(world: World) -> None:
        del world.answers["sizes/westeurope"][size.lower()]["can"][name]

    return change


def many_pools(count: int) -> Change:
    def change(world: World) -> None:
        kind, inputs = world.resources["light"]
        for index in range(count):
            world.resources[f"p{index}"] = (kind, {**inputs, "agentPoolName": f"p{index}"})

    return change


def each_pool(path: str, value: Any) -> Change:
    return both(
        given("light", path, value), given("heavy", path, value), given("cluster", f"agentPoolProfiles.0.{path}", value)
    )


CONTAINER = "spec.template.spec.containers.0"
PROFILE = "agentPoolProfiles.0"
BUDGET = {"monthlyUsd": 10}

CASES: dict[str, Cases] = {
    "vcpu-quota": Cases(
        (
            answered(usages(t4=(4, 35)), "usages", "westeurope"),
            answered(usages(cores=(16, 51)), "usages", "westeurope"),
            answered(usages(spot=(0, 95)), "usages", "westeurope"),
        ),
        (absent("light", "vmSize"), "unverified"),
        (unread("usages", "westeurope"), "unverified"),
    ),
    "region-allowed": Cases(
        (configured(allowed=["northeurope"]),),
        (both(configured(allowed=["westeurope"]), absent("cluster", "location")), "passes"),
        (both(configured(allowed=["westeurope"]), unknown("cluster", "location")), "unverified"),
    ),
    "size-sold": Cases(
        (one_size(T4, closed="NotAvailableForSubscription"), given("light", "vmSize", "Standard_NC6s_v3")),
        (absent("light", "vmSize"), "unverified"),
        (unread("sizes", "westeurope"), "unverified"),
    ),
    "size-in-zones": Cases(
        (one_size(T4, zones=["2"]),),
        (absent("light", "availabilityZones"), "passes"),
        (unknown("light", "availabilityZones"), "unverified"),
    ),
    "size-accepted-by-aks": Cases(
        (answered([A100.lower()], "aks-sizes", "westeurope"),),
        (absent("light", "vmSize"), "unverified"),
        (unread("aks-sizes", "westeurope"), "unverified"),
    ),
    "spot-capable": Cases(
        (one_size(A100, can={"LowPriorityCapable": "False"}),),
        (absent("heavy", "scaleSetPriority"), "passes"),
        (without_capability(A100, "LowPriorityCapable"), "unverified"),
    ),
    "ephemeral-disk-fits": Cases(
        (
            given("light", "osDiskSizeGB", 1024),
            one_size(T4, can={"EphemeralOSDiskSupported": "False"}),
        ),
        (absent("light", "osDiskType"), "passes"),
        (without_capability(T4, "EphemeralOSDiskSupported"), "unverified"),
    ),
    "host-encryption-capable": Cases(
        (one_size(T4, can={"EncryptionAtHostSupported": "False"}),),
        (absent("light", "enableEncryptionAtHost"), "passes"),
        (unknown("light", "enableEncryptionAtHost"), "unverified"),
    ),
    "accelerated-networking": Cases(
        (one_size(T4, can={"AcceleratedNetworkingEnabled": "False"}),),
        (absent("light", "vmSize"), "unverified"),
        (without_capability(T4, "AcceleratedNetworkingEnabled"), "unverified"),
    ),
    "rdma-where-used": Cases(
        (
            both(
                given("light", "vmSize", "Standard_ND96amsr_A100_v4"),
                given("light", "proximityPlacementGroupID", "/ppg"),
                one_size("Standard_ND96amsr_A100_v4", can={"RdmaEnabled": "False"}),
            ),
        ),
        (given("light", "vmSize", "Standard_ND96amsr_A100_v4"), "passes"),
        (
            both(
                given("light", "vmSize", "Standard_ND96amsr_A100_v4"),
                unknown("light", "proximityPlacementGroupID"),
                without_capability("Standard_ND96amsr_A100_v4", "RdmaEnabled"),
            ),
            "unverified",
        ),
    ),
    "aks-pool-count": Cases((many_pools(98),), (gone("light"), "passes"), (unknown("light", "resourceName"), "passes")),
    "aks-pool-nodes": Cases(
        (
            given("light", "tags.max", "1000"),
            both(given("heavy", "maxCount", 1001)),
        ),
        (absent("heavy", "maxCount"), "unverified"),
        (unknown("light", "tags.max"), "unverified"),
    ),
    "aks-cluster-nodes": Cases(
        (both(given("light", "tags.max", "999"), *(many_pools(5),)),),
        (absent("heavy", "maxCount"), "unverified"),
        (unknown("light", "tags"), "unverified"),
    ),
    "aks-pool-name": Cases(
        (
            given("light", "agentPoolName", "Light"),
            given("light", "agentPoolName", "abcdefghijklm"),
            given("cluster", f"{PROFILE}.name", "my-pool"),
        ),
        (absent("light", "agentPoolName"), "passes"),
        (unknown("light", "agentPoolName"), "unverified"),
    ),
    "aks-reserved-labels": Cases(
        (given("light", "nodeLabels", {"kubernetes.azure.com/accelerator": "nvidia"}),),
        (absent("light", "nodeLabels"), "passes"),
        (unknown("light", "nodeLabels"), "unverified"),
    ),
    "aks-spot-pools": Cases(
        (
            given("heavy", "upgradeSettings", {"maxSurge": "1"}),
            absent("heavy", "nodeTaints"),
            given("heavy", "nodeLabels", {}),
            given("heavy", "mode", "System"),
        ),
        (absent("heavy", "scaleSetPriority"), "passes"),
        (unknown("heavy", "nodeTaints"), "unverified"),
    ),
    "azure-tag-count": Cases(
        (given("light", "tags", {f"t{index}": "x" for index in range(51)}),),
        (absent("light", "tags"), "passes"),
        (unknown("light", "tags"), "unverified"),
    ),
    "aks-pod-room": Cases(
        (
            given("cluster", "networkProfile.podCidr", "10.64.0.0/21"),
            both(absent("cluster", "networkProfile.podCidr"), given("light", "tags.max", "300")),
        ),
        (absent("cluster", "networkProfile"), "passes"),
        (unknown("cluster", "networkProfile.podCidr"), "unverified"),
    ),
    "aks-subnet-room": Cases(
        (given("vnet", "subnets.0.addressPrefix", "10.0.0.0/28"),),
        (absent("light", "vnetSubnetID"), "passes"),
        (both(unknown("light", "vnetSubnetID"), given("vnet", "subnets.0.addressPrefix", "10.0.0.0/28")), "unverified"),
    ),
    "aks-pool-declared-once": Cases(
        (given("heavy", "agentPoolName", "light"),),
        (absent("light", "agentPoolName"), "passes"),
        (unknown("light", "agentPoolName"), "passes"),
    ),
    "aks-system-pool": Cases(
        (
            given("cluster", f"{PROFILE}.count", 1),
            given("cluster", f"{PROFILE}.mode", "User"),
            given("cluster", f"{PROFILE}.vmSize", "Standard_B4ms"),
        ),
        (absent("cluster", "agentPoolProfiles"), "fails"),
        (unknown("cluster", f"{PROFILE}.count"), "unverified"),
    ),
    "aks-system-pool-isolated": Cases(
        (given("cluster", f"{PROFILE}.nodeTaints", ["a=b:NoSchedule"]),),
        (absent("cluster", f"{PROFILE}.nodeTaints"), "fails"),
        (unknown("cluster", f"{PROFILE}.nodeTaints"), "unverified"),
    ),
    "aks-one-autoscaler": Cases(
        (given("light", "enableAutoScaling", True),),
        (absent("light", "tags"), "passes"),
        (unknown("light", "enableAutoScaling"), "unverified"),
    ),
    "aks-unattended-upgrades": Cases(
        (
            given("cluster", "autoUpgradeProfile.upgradeChannel", "patch"),
            given("cluster", "autoUpgradeProfile.nodeOSUpgradeChannel", "NodeImage"),
        ),
        (absent("cluster", "autoUpgradeProfile"), "fails"),
        (unknown("cluster", "autoUpgradeProfile"), "unverified"),
    ),
    "aks-maintenance-window": Cases(
        (given("cluster", "autoUpgradeProfile.upgradeChannel", "patch"),),
        (absent("cluster", "autoUpgradeProfile"), "passes"),
        (unknown("cluster", "autoUpgradeProfile"), "unverified"),
    ),
    "aks-paid-tier": Cases(
        (given("cluster", "sku.tier", "Free"),),
        (absent("cluster", "sku"), "fails"),
        (unknown("cluster", "sku"), "unverified"),
    ),
    "aks-network-policy": Cases(
        (given("cluster", "networkProfile.networkPolicy", "none"),),
        (absent("cluster", "networkProfile"), "fails"),
        (unknown("cluster", "networkProfile.networkPolicy"), "unverified"),
    ),
    "aks-azure-cni": Cases(
        (given("cluster", "networkProfile.networkPlugin", "kubenet"),),
        (absent("cluster", "networkProfile"), "passes"),
        (unknown("cluster", "networkProfile"), "unverified"),
    ),
    "aks-standard-load-balancer": Cases(
        (given("cluster", "networkProfile.loadBalancerSku", "basic"),),
        (absent("cluster", "networkProfile.loadBalancerSku"), "passes"),
        (unknown("cluster", "networkProfile.loadBalancerSku"), "unverified"),
    ),
    "aks-address-ranges": Cases(
        (given("cluster", "networkProfile.serviceCidr", "10.64.0.0/16"),),
        (absent("cluster", "networkProfile"), "passes"),
        (unknown("cluster", "networkProfile.serviceCidr"), "unverified"),
    ),
    "aks-outbound-room": Cases(
        (both(given("cluster", "networkProfile.outboundType", "loadBalancer"), given("light", "tags.max", "200")),),
        (both(absent("cluster", "networkProfile.outboundType"), given("light", "tags.max", "200")), "fails"),
        (unknown("cluster", "networkProfile.outboundType"), "unverified"),
    ),
    "nsg-no-open-sign-in": Cases(
        (
            given("nsg", "securityRules.0.sourceAddressPrefix", "*"),
            given("nsg", "securityRules.0.sourceAddressPrefix", "Internet"),
            both(
                given("nsg", "securityRules.0.sourceAddressPrefix", "0.0.0.0/0"),
                given("nsg", "securityRules.0.destinationPortRange", "20-30"),
            ),
            both(
                absent("nsg", "securityRules.0.sourceAddressPrefix"),
                given("nsg", "securityRules.0.sourceAddressPrefixes", ["10.0.0.0/8", "0.0.0.0/0"]),
                absent("nsg", "securityRules.0.destinationPortRange"),
                given("nsg", "securityRules.0.destinationPortRanges", ["443", "3389"]),
            ),
        ),
        (absent("nsg", "securityRules"), "passes"),
        (unknown("nsg", "securityRules.0.sourceAddressPrefix"), "unverified"),
    ),
    "subnet-has-security-group": Cases(
        (given("vnet", "subnets.0.networkSecurityGroup", None),),
        (absent("vnet", "subnets.0.networkSecurityGroup"), "fails"),
        (unknown("vnet", "subnets"), "unverified"),
    ),
    "aks-no-local-accounts": Cases(
        (given("cluster", "disableLocalAccounts", False),),
        (absent("cluster", "disableLocalAccounts"), "fails"),
        (unknown("cluster", "disableLocalAccounts"), "unverified"),
    ),
    "aks-entra-rbac": Cases(
        (given("cluster", "aadProfile.managed", False), given("cluster", "aadProfile.enableAzureRBAC", False)),
        (absent("cluster", "aadProfile"), "fails"),
        (unknown("cluster", "aadProfile"), "unverified"),
    ),
    "aks-kubernetes-rbac": Cases(
        (given("cluster", "enableRBAC", False),),
        (absent("cluster", "enableRBAC"), "passes"),
        (unknown("cluster", "enableRBAC"), "unverified"),
    ),
    "aks-managed-identity": Cases(
        (given("cluster", "identity.type", "None"), given("cluster", "servicePrincipalProfile", {"clientId": "app"})),
        (absent("cluster", "identity"), "fails"),
        (unknown("cluster", "identity"), "unverified"),
    ),
    "aks-api-server-restricted": Cases(
        (given("cluster", "apiServerAccessProfile.authorizedIPRanges", ["0.0.0.0/0"]),),
        (absent("cluster", "apiServerAccessProfile"), "fails"),
        (unknown("cluster", "apiServerAccessProfile.authorizedIPRanges"), "unverified"),
    ),
    "aks-workload-identity": Cases(
        (
            given("cluster", "podIdentityProfile", {"enabled": True}),
            given("cluster", "securityProfile.workloadIdentity.enabled", False),
        ),
        (absent("cluster", "oidcIssuerProfile"), "fails"),
        (unknown("cluster", "securityProfile"), "unverified"),
    ),
    "aks-no-risky-add-ons": Cases(
        (
            given("cluster", "addonProfiles.httpApplicationRouting.enabled", True),
            given("cluster", "addonProfiles", {"kubeDashboard": {"enabled": True}}),
        ),
        (absent("cluster", "addonProfiles"), "passes"),
        (unknown("cluster", "addonProfiles"), "unverified"),
    ),
    "aks-encryption-at-host": Cases(
        (given("light", "enableEncryptionAtHost", False),),
        (absent("cluster", f"{PROFILE}.enableEncryptionAtHost"), "fails"),
        (unknown("light", "enableEncryptionAtHost"), "unverified"),
    ),
    "aks-no-node-public-ip": Cases(
        (given("light", "enableNodePublicIP", True), given("cluster", f"{PROFILE}.enableNodePublicIP", True)),
        (absent("light", "enableNodePublicIP"), "passes"),
        (unknown("light", "enableNodePublicIP"), "unverified"),
    ),
    "acr-no-admin-user": Cases(
        (given("registry", "adminUserEnabled", True),),
        (absent("registry", "adminUserEnabled"), "passes"),
        (unknown("registry", "adminUserEnabled"), "unverified"),
    ),
    "acr-no-anonymous-pull": Cases(
        (given("registry", "anonymousPullEnabled", True),),
        (absent("registry", "anonymousPullEnabled"), "passes"),
        (unknown("registry", "anonymousPullEnabled"), "unverified"),
    ),
    "storage-secure-transfer": Cases(
        (
            given("account", "enableHttpsTrafficOnly", False),
            both(
                given("account", "enableHttpsTrafficOnly", False),
                given("account", "kind", "FileStorage"),
                given("account", "publicNetworkAccess", "Enabled"),
                given("account", "networkRuleSet", None),
            ),
        ),
        (absent("account", "enableHttpsTrafficOnly"), "passes"),
        (unknown("account", "enableHttpsTrafficOnly"), "unverified"),
    ),
    "storage-tls": Cases(
        (given("account", "minimumTlsVersion", "TLS1_1"),),
        (absent("account", "minimumTlsVersion"), "fails"),
        (unknown("account", "minimumTlsVersion"), "unverified"),
    ),
    "storage-no-public-blobs": Cases(
        (given("account", "allowBlobPublicAccess", True),),
        (absent("account", "allowBlobPublicAccess"), "passes"),
        (unknown("account", "allowBlobPublicAccess"), "unverified"),
    ),
    "storage-private-containers": Cases(
        (given("container", "publicAccess", "Blob"),),
        (absent("container", "publicAccess"), "passes"),
        (unknown("container", "publicAccess"), "unverified"),
    ),
    "storage-firewall": Cases(
        (
            both(
                given("account", "publicNetworkAccess", "Enabled"),
                given("account", "networkRuleSet.defaultAction", "Allow"),
            ),
        ),
        (both(absent("account", "publicNetworkAccess"), absent("account", "networkRuleSet")), "fails"),
        (unknown("account", "publicNetworkAccess"), "unverified"),
    ),
    "storage-no-shared-keys": Cases(
        (given("account", "allowSharedKeyAccess", True),),
        (absent("account", "allowSharedKeyAccess"), "fails"),
        (unknown("account", "allowSharedKeyAccess"), "unverified"),
    ),
    "storage-shares-kept": Cases(
        (
            given("shares", "shareDeleteRetentionPolicy.enabled", False),
            given("shares", "shareDeleteRetentionPolicy.days", 6),
            gone("shares"),
            given("shares", "accountName", "another"),
        ),
        (absent("shares", "shareDeleteRetentionPolicy"), "fails"),
        (unknown("shares", "shareDeleteRetentionPolicy"), "unverified"),
    ),
    "storage-containers-kept": Cases(
        (given("blobs", "containerDeleteRetentionPolicy.days", 1), gone("blobs")),
        (absent("blobs", "containerDeleteRetentionPolicy"), "fails"),
        (unknown("blobs", "containerDeleteRetentionPolicy.days"), "unverified"),
    ),
    "k8s-images-pinned": Cases(
        (
            given("job", f"{CONTAINER}.image", "nginx"),
            given("job", f"{CONTAINER}.image", "localhost:5000/nginx"),
            given("job", f"{CONTAINER}.image", "nginx:latest"),
            configured(digestsFrom=["registry.k8s.io/"]),
        ),
        (absent("job", f"{CONTAINER}.image"), "fails"),
        (unknown("job", f"{CONTAINER}.image"), "unverified"),
    ),
    "k8s-not-privileged": Cases(
        (
            given("job", f"{CONTAINER}.securityContext.privileged", True),
            given("job", f"{CONTAINER}.securityContext.capabilities", {"add": ["SYS_ADMIN"]}),
        ),
        (absent("job", f"{CONTAINER}.securityContext"), "passes"),
        (unknown("job", f"{CONTAINER}.securityContext"), "unverified"),
    ),
    "k8s-no-privilege-escalation": Cases(
        (given("job", f"{CONTAINER}.securityContext.allowPrivilegeEscalation", True),),
        (absent("job", f"{CONTAINER}.securityContext"), "fails"),
        (unknown("job", f"{CONTAINER}.securityContext"), "unverified"),
    ),
    "k8s-no-host-namespaces": Cases(
        tuple(given("job", f"spec.template.spec.{one}", True) for one in ("hostNetwork", "hostPID", "hostIPC")),
        (absent("job", "spec.template.spec.hostNetwork"), "passes"),
        (unknown("job", "spec.template.spec.hostNetwork"), "unverified"),
    ),
    "k8s-requests-and-limits": Cases(
        (
            absent("job", f"{CONTAINER}.resources.limits"),
            absent("job", f"{CONTAINER}.resources.requests.cpu"),
            configured(cpuLimits=True),
        ),
        (absent("job", f"{CONTAINER}.resources"), "fails"),
        (unknown("job", f"{CONTAINER}.resources"), "unverified"),
    ),
    "k8s-no-wildcard-rbac": Cases(
        tuple(given("role", f"rules.0.{one}", ["*"]) for one in ("verbs", "resources", "apiGroups")),
        (absent("role", "rules"), "passes"),
        (unknown("role", "rules"), "unverified"),
    ),
    "k8s-no-cluster-admin": Cases(
        (given("binding", "roleRef.name", "cluster-admin"),),
        (absent("binding", "roleRef"), "passes"),
        # A name that is made in the same deployment is not that of AKS's own role.
        (unknown("binding", "roleRef.name"), "passes"),
    ),
    "k8s-charts-pinned": Cases(
        (given("chart", "version", ""),),
        (absent("chart", "version"), "fails"),
        (unknown("chart", "version"), "unverified"),
    ),
    "rights-suffice": Cases(
        (
            answered([{"actions": ["*/read"], "notActions": []}], "permissions"),
            answered([{"actions": ["*"], "notActions": ["Microsoft.ContainerService/*/write"]}], "permissions"),
            configured(who="preview"),
            both(
                configured(who="preview"),
                answered([{"actions": ["Microsoft.Storage/*"]} | {"notActions": []}], "permissions"),
            ),
        ),
        (gone("cluster"), "passes"),
        (unread("permissions"), "unverified"),
    ),
    "providers-registered": Cases(
        (answered({"microsoft.compute": "Registered"}, "providers"),),
        (gone("registry"), "passes"),
        (unread("providers"), "unverified"),
    ),
    "features-registered": Cases(
        (answered("NotRegistered", "feature", "Microsoft.Compute", "EncryptionAtHost"),),
        (each_pool("enableEncryptionAtHost", None), "passes"),
        (unread("feature", "Microsoft.Compute", "EncryptionAtHost"), "unverified"),
    ),
    "budget": Cases(
        (configured(monthlyUsd=10), lambda world: world.config.update({"trainyard:budget": json.dumps(BUDGET)})),
        (configured(), "passes"),
        (both(configured(monthlyUsd=1_000_000), given("light", "vmSize", "Standard_Unheard_Of")), "unverified"),
    ),
    "azure-facts": Cases(
        (configured(source="snapshot", snapshot="tests/policy/old-snapshot.json"),),
        (configured(source="snapshot", snapshot="no/such/file.json"), "unverified"),
        (configured(source="snapshot", snapshot="tests/policy/cases.py"), "unverified"),
    ),
}
