"""Whether this sign-in may do what the program declares, and the subscription has registered what it needs.

Rights are read for the subscription as a whole, as a program that makes resource groups needs them there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from capacity.catalogue import load_catalogue
from policy.facts.azure import question
from policy.model import Finding, Rule, Setting, Settings
from policy.stack import StackView

_NAMESPACES: Mapping[str, str] = {
    "compute": "Microsoft.Compute",
    "containerregistry": "Microsoft.ContainerRegistry",
    "containerservice": "Microsoft.ContainerService",
    "managedidentity": "Microsoft.ManagedIdentity",
    "network": "Microsoft.Network",
    "privatedns": "Microsoft.Network",
    "storage": "Microsoft.Storage",
    "storagecache": "Microsoft.StorageCache",
}
"""azure-native's modules to Azure's resource providers; authorization and resources need no registration."""

_WRITES: Mapping[str, str] = {
    "authorization:RoleAssignment": "Microsoft.Authorization/roleAssignments/write",
    "authorization:RoleDefinition": "Microsoft.Authorization/roleDefinitions/write",
    "compute:CapacityReservationGroup": "Microsoft.Compute/capacityReservationGroups/write",
    "compute:ProximityPlacementGroup": "Microsoft.Compute/proximityPlacementGroups/write",
    "containerregistry:Registry": "Microsoft.ContainerRegistry/registries/write",
    "containerservice:AgentPool": "Microsoft.ContainerService/managedClusters/agentPools/write",
    "containerservice:ManagedCluster": "Microsoft.ContainerService/managedClusters/write",
    "managedidentity:FederatedIdentityCredential": (
        "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write"
    ),
    "managedidentity:UserAssignedIdentity": "Microsoft.ManagedIdentity/userAssignedIdentities/write",
    "network:NatGateway": "Microsoft.Network/natGateways/write",
    "network:NetworkSecurityGroup": "Microsoft.Network/networkSecurityGroups/write",
    "network:PrivateEndpoint": "Microsoft.Network/privateEndpoints/write",
    "network:VirtualNetwork": "Microsoft.Network/virtualNetworks/write",
    "privatedns:PrivateZone": "Microsoft.Network/privateDnsZones/write",
    "resources:ResourceGroup": "Microsoft.Resources/subscriptions/resourceGroups/write",
    "storage:StorageAccount": "Microsoft.Storage/storageAccounts/write",
}

_READS = (
    "Microsoft.Compute/locations/usages/read",
    "Microsoft.Compute/skus/read",
    "Microsoft.Compute/virtualMachineScaleSets/read",
    "Microsoft.ContainerService/managedClusters/read",
    "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action",
)
"""What a preview reads: facts, the live cluster, and the way into it (FACTS 6)."""

_NOT_FOR_PREVIEWS = (
    "Microsoft.ContainerService/managedClusters/write",
    "Microsoft.Authorization/roleAssignments/write",
    "Microsoft.Storage/storageAccounts/listKeys/action",
)
_INFINIBAND_GPUS = 8


def _rights(stack: StackView, settings: Settings) -> Iterator[Finding]:
    granted = stack.facts.permissions()
    if settings["who"] == "deployer":
        wanted = sorted({_WRITES[one.kind] for one in stack.resources if one.kind in _WRITES})
        missing = [action for action in wanted if not granted.allows(action)]
        if missing:
            yield Finding(
                f"this sign-in may not {_listed(missing)} on the subscription, and the program declares it. Give the "
                "deployer Owner, or Contributor with Role Based Access Control Administrator."
            )
        return
    missing = [action for action in _READS if not granted.allows(action)]
    if missing:
        yield Finding(
            f"the preview's identity may not {_listed(missing)}: the preview cannot see it. Give it Reader and Azure "
            "Kubernetes Service Cluster User Role."
        )
    beyond = [action for action in _NOT_FOR_PREVIEWS if granted.allows(action)]
    if beyond:
        yield Finding(
            f"the preview's identity may {_listed(beyond)}: whoever opens a pull request could. Give it Reader, Azure "
            "Kubernetes Service Cluster User Role and RBAC Reader, and nothing else."
        )


def _providers(stack: StackView, _settings: Settings) -> Iterator[Finding]:
    modules = {one.kind.split(":")[0] for one in stack.resources if ":" in one.kind}
    wanted = sorted({_NAMESPACES[module] for module in modules if module in _NAMESPACES})
    if not wanted:
        return
    registered = stack.facts.providers()
    for namespace in wanted:
        state = registered.get(namespace.lower(), "NotRegistered")
        if state != "Registered":
            yield Finding(
                f"{namespace} is {state} in this subscription, and the program declares its resources. Run `az "
                f"provider register --namespace {namespace}`; it takes minutes."
            )


def _features(stack: StackView, _settings: Settings) -> Iterator[Finding]:
    wanted = dict(_wanted_features(stack))
    stack.facts.prepare(question("feature", *name.split("/")) for name in wanted)
    for name, label in wanted.items():
        namespace, _, feature = name.partition("/")
        state = stack.facts.feature(namespace, feature)
        if state != "Registered":
            yield Finding(
                f"the feature {name} is {state}, and {label} needs it. Run `az feature register --namespace "
                f"{namespace} --name {feature}`, wait, then `az provider register --namespace {namespace}`."
            )


def _wanted_features(stack: StackView) -> Iterator[tuple[str, str]]:
    for pool in stack.pools:
        if pool.properties.known("enableEncryptionAtHost") is True:
            yield "Microsoft.Compute/EncryptionAtHost", pool.label
        size = load_catalogue().size(str(pool.properties.known("vmSize")))
        if size is not None and size.rdma and size.gpus >= _INFINIBAND_GPUS:
            yield "Microsoft.ContainerService/AKSInfinibandSupport", pool.label


def _listed(actions: list[str]) -> str:
    return ", ".join(actions)


RULES = (
    Rule(
        name="rights-suffice",
        title="This sign-in may do what it is for, and no more than a preview should.",
        why="A missing right ends a deployment half way; a preview's identity with rights to spare is a way in.",
        fix="Give the roles that the message names.",
        severity="high",
        level="advisory",
        check=_rights,
        settings=(
            Setting(
                "who",
                {
                    "type": "string",
                    "enum": ["deployer", "preview"],
                    "default": "deployer",
                    "description": "Whose rights: those of who deploys, or of previews in pull requests.",
                },
            ),
        ),
    ),
    Rule(
        name="providers-registered",
        title="The subscription has registered the resource providers that the program needs.",
        why="A fresh subscription refuses with MissingSubscriptionRegistration.",
        fix="Register what the message names.",
        severity="high",
        check=_providers,
    ),
    Rule(
        name="features-registered",
        title="The subscription has registered the features that pools need.",
        why="Host encryption and InfiniBand are refused, or missing in silence, without their feature.",
        fix="Register what the message names.",
        severity="high",
        check=_features,
    ),
)
