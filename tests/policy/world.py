"""One valid deployment with what Azure says of it, to be changed by one thing a test, and a way to have it judged."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from policy.facts.azure import UnreadableError, described, question
from policy.facts.facts import Facts
from policy.model import Answer, Resource, kind_of, of_resource, of_stack
from policy.properties import UNKNOWN, Properties
from policy.rules import RULES
from policy.stack import StackView

BY_NAME = {rule.name: rule for rule in RULES}
T4, A100, D8, D4 = "Standard_NC4as_T4_v3", "Standard_NC24ads_A100_v4", "Standard_D8ds_v5", "Standard_D4ds_v5"
SUBNET = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v/subnets/nodes"
SPOT_KEY = "kubernetes.azure.com/scalesetpriority"

_CAPABILITIES = {
    "LowPriorityCapable": "True",
    "EncryptionAtHostSupported": "True",
    "EphemeralOSDiskSupported": "True",
    "MaxResourceVolumeMB": "307200",
    "AcceleratedNetworkingEnabled": "True",
    "RdmaEnabled": "True",
}


def _size(name: str, family: str, vcpus: int, gpus: int = 0) -> dict[str, Any]:
    can = {**_CAPABILITIES, "vCPUs": str(vcpus), "GPUs": str(gpus)}
    return {"name": name, "family": family, "zones": ["1", "2", "3"], "closed": None, "can": can}


_SIZES = (
    _size(T4, "Standard NCASv3_T4 Family", 4, 1),
    _size("Standard_NC8as_T4_v3", "Standard NCASv3_T4 Family", 8, 1),
    _size(A100, "StandardNCADSA100v4Family", 24, 1),
    _size(D8, "StandardDdsv5Family", 8),
    _size(D4, "StandardDdsv5Family", 4),
    _size("Standard_ND96amsr_A100_v4", "standard NDAMSv4_A100Family", 96, 8),
    _size("Standard_NV36ads_A10_v5", "StandardNVADSA10v5Family", 36, 1),
)


def usages(**changed: tuple[int, int]) -> dict[str, Any]:
    """Quota of a region: 1,000 vCPUs of each family, of which none are used; `t4=(used, limit)` changes one."""
    keys = {
        "t4": ("standardncasv3_t4family", "Standard NCASv3_T4 Family"),
        "a100": ("standardncadsa100v4family", "StandardNCADSA100v4Family"),
        "d": ("standardddsv5family", "StandardDdsv5Family"),
        "nd": ("standardndamsv4_a100family", "standard NDAMSv4_A100Family"),
        "a10": ("standardnvadsa10v5family", "StandardNVADSA10v5Family"),
        "cores": ("cores", "cores"),
        "spot": ("lowprioritycores", "lowPriorityCores"),
    }
    return {key: [name, *changed.get(short, (0, 1000))] for short, (key, name) in keys.items()}


def _answers() -> dict[str, Any]:
    sizes = {one["name"].lower(): one for one in _SIZES}
    return {
        **{question("usages", region): usages() for region in ("westeurope", "eastus", "eastus2", "northeurope")},
        **{question("sizes", region): sizes for region in ("westeurope", "eastus", "eastus2", "northeurope")},
        question("aks-sizes", "westeurope"): sorted(sizes),
        question("cluster", "rg", "aks"): {"location": "westeurope", "nodeGroup": "rg-nodes"},
        question("scale-sets", "rg-nodes"): [
            {"pool": "system", "size": D4, "count": 3, "spot": False, "group": None},
            {"pool": "light", "size": T4, "count": 1, "spot": False, "group": None},
        ],
        question("providers"): {
            f"microsoft.{name}": "Registered"
            for name in ("compute", "containerregistry", "containerservice", "network", "storage")
        },
        question("permissions"): [{"actions": ["*"], "notActions": []}],
        question("feature", "Microsoft.Compute", "EncryptionAtHost"): "Registered",
        question("feature", "Microsoft.ContainerService", "AKSInfinibandSupport"): "Registered",
    }


def _container(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "image": f"registry.k8s.io/{name}:v1.2.3",
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {"allowPrivilegeEscalation": False},
    }


def _pool(name: str, size: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceGroupName": "rg",
        "resourceName": "aks",
        "agentPoolName": name,
        "mode": "User",
        "vmSize": size,
        "vnetSubnetID": SUBNET,
        "availabilityZones": ["1"],
        "osDiskType": "Ephemeral",
        "osDiskSizeGB": 128,
        "enableEncryptionAtHost": True,
        "enableNodePublicIP": False,
        "nodeLabels": {"team": "vision"},
        "upgradeSettings": {"maxSurge": "1"},
        **more,
    }


def _resources() -> dict[str, tuple[str, dict[str, Any]]]:
    """Name to type and inputs. `light` is scaled by the stack's own autoscaler, `heavy` by AKS's."""
    native, kubernetes = "azure-native", "kubernetes"
    return {
        "vnet": (
            f"{native}:network:VirtualNetwork",
            {
                "subnets": [
                    {"name": "nodes", "addressPrefix": "10.0.0.0/24", "networkSecurityGroup": {"id": "nsg"}},
                ]
            },
        ),
        "nsg": (
            f"{native}:network:NetworkSecurityGroup",
            {
                "securityRules": [
                    {
                        "name": "from-office",
                        "access": "Allow",
                        "direction": "Inbound",
                        "protocol": "Tcp",
                        "sourceAddressPrefix": "203.0.113.0/24",
                        "destinationPortRange": "22",
                    }
                ]
            },
        ),
        "cluster": (
            f"{native}:containerservice/v20250501:ManagedCluster",
            {
                "resourceGroupName": "rg",
                "resourceName": "aks",
                "location": "West Europe",
                "nodeResourceGroup": "rg-nodes",
                "sku": {"name": "Base", "tier": "Standard"},
                "identity": {"type": "UserAssigned"},
                "enableRBAC": True,
                "disableLocalAccounts": True,
                "aadProfile": {"managed": True, "enableAzureRBAC": True},
                "apiServerAccessProfile": {"authorizedIPRanges": ["203.0.113.0/24"]},
                "oidcIssuerProfile": {"enabled": True},
                "securityProfile": {"workloadIdentity": {"enabled": True}},
                "addonProfiles": {"httpApplicationRouting": {"enabled": False}},
                "networkProfile": {
                    "networkPlugin": "azure",
                    "networkPluginMode": "overlay",
                    "networkPolicy": "cilium",
                    "podCidr": "10.64.0.0/12",
                    "serviceCidr": "172.16.0.0/16",
                    "outboundType": "userAssignedNATGateway",
                    "loadBalancerSku": "standard",
                },
                "autoUpgradeProfile": {"upgradeChannel": "none", "nodeOSUpgradeChannel": "None"},
                "agentPoolProfiles": [
                    {
                        "name": "system",
                        "mode": "System",
                        "vmSize": D4,
                        "count": 3,
                        "enableEncryptionAtHost": True,
                        "nodeTaints": ["CriticalAddonsOnly=true:NoSchedule"],
                        "upgradeSettings": {"maxSurge": "1"},
                        "tags": {"team": "platform"},
                    }
                ],
            },
        ),
        "light": (
            f"{native}:containerservice:AgentPool",
            _pool(
                "light",
                T4,
                count=0,
                enableAutoScaling=False,
                tags={"cluster-autoscaler-enabled": "true", "min": "0", "max": "8"},
            ),
        ),
        "heavy": (
            f"{native}:containerservice:AgentPool",
            {
                **_pool("heavy", A100, count=0, enableAutoScaling=True, minCount=0, maxCount=4, tags={"team": "nlp"}),
                "scaleSetPriority": "Spot",
                "nodeLabels": {SPOT_KEY: "spot"},
                "nodeTaints": [f"{SPOT_KEY}=spot:NoSchedule"],
                "upgradeSettings": None,
            },
        ),
        "registry": (
            f"{native}:containerregistry:Registry",
            {"adminUserEnabled": False, "anonymousPullEnabled": False},
        ),
        "account": (
            f"{native}:storage:StorageAccount",
            {
                "kind": "StorageV2",
                "enableHttpsTrafficOnly": True,
                "minimumTlsVersion": "TLS1_2",
                "allowBlobPublicAccess": False,
                "allowSharedKeyAccess": False,
                "publicNetworkAccess": "Disabled",
                "networkRuleSet": {"defaultAction": "Deny"},
            },
        ),
        "container": (f"{native}:storage:BlobContainer", {"accountName": "data", "publicAccess": "None"}),
        "share": (f"{native}:storage:FileShare", {"accountName": "data", "shareName": "code", "shareQuota": 100}),
        "shares": (
            f"{native}:storage:FileServiceProperties",
            {"accountName": "data", "shareDeleteRetentionPolicy": {"enabled": True, "days": 7}},
        ),
        "blobs": (
            f"{native}:storage:BlobServiceProperties",
            {"accountName": "Data", "containerDeleteRetentionPolicy": {"enabled": True, "days": 7}},
        ),
        "job": (
            f"{kubernetes}:apps/v1:Deployment",
            {
                "metadata": {"name": "job", "namespace": "team"},
                "spec": {"template": {"spec": {"containers": [_container("job")], "hostNetwork": False}}},
            },
        ),
        "role": (
            f"{kubernetes}:rbac.authorization.k8s.io/v1:ClusterRole",
            {
                "metadata": {"name": "reads"},
                "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
            },
        ),
        "binding": (
            f"{kubernetes}:rbac.authorization.k8s.io/v1:ClusterRoleBinding",
            {"metadata": {"name": "reads"}, "roleRef": {"kind": "ClusterRole", "name": "reads"}},
        ),
        "chart": (f"{kubernetes}:helm.sh/v3:Release", {"chart": "rook-ceph", "version": "v1.20.6"}),
    }


@dataclass
class World:
    """A deployment and what Azure says; every change to it is its own."""

    resources: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=_resources)
    answers: dict[str, Any] = field(default_factory=_answers)
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    config: dict[str, str] = field(default_factory=dict[str, str])
    ignored: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    depends: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict[str, dict[str, tuple[str, ...]]])

    def __post_init__(self) -> None:
        self.resources, self.answers = copy.deepcopy(self.resources), copy.deepcopy(self.answers)

    def set(self, name: str, path: str, value: Any) -> None:
        """Change one input; numbers in the path step into lists."""
        parts = path.split(".")
        found: Any = self.resources[name][1]
        for part in parts[:-1]:
            found = found[int(part)] if part.isdigit() else found.setdefault(part, {})
        last = parts[-1]
        if value is DROP:
            found.pop(last, None)
        elif last.isdigit():
            found[int(last)] = value
        else:
            found[last] = value

    def judged(self, rule: str) -> list[Answer]:
        """What one rule answers."""
        found = BY_NAME[rule]
        settings = {**found.defaults, **self.settings}
        resources = [self._resource(name) for name in self.resources]
        if not found.kinds:
            return list(of_stack(found, StackView(resources, self.facts, self.config), settings))
        return [
            answer
            for resource in resources
            if resource.kind in found.kinds
            for answer in of_resource(found, resource, settings)
        ]

    @property
    def facts(self) -> Facts:
        """Azure, as far as this world knows it."""
        return Facts(Answers(self.answers))

    def _resource(self, name: str) -> Resource:
        token, inputs = self.resources[name]
        kind, api = kind_of(token)
        return Resource(
            urn=urn(name),
            type=token,
            name=name,
            kind=kind,
            api=api,
            properties=Properties(inputs),
            ignore_changes=self.ignored.get(name, frozenset()),
            depends=self.depends.get(name, {}),
        )


@dataclass
class Answers:
    """A reader of prepared answers; what it lacks it cannot read."""

    answers: Mapping[str, Any]
    asked: list[str] = field(default_factory=list[str])

    @property
    def described(self) -> str:
        return "prepared answers"

    def read(self, asked: str) -> Any:
        self.asked.append(asked)
        if asked not in self.answers:
            raise UnreadableError(f"{described(asked)} could not be read: refused")
        return self.answers[asked]


def urn(name: str) -> str:
    return f"urn:{name}"


DROP = object()
"""As a value: the input is absent."""

Change = Callable[[World], None]


def given(name: str, path: str, value: Any) -> Change:
    """The change of one input."""
    return lambda world: world.set(name, path, value)


def absent(name: str, path: str) -> Change:
    """An input that is not there."""
    return given(name, path, DROP)


def unknown(name: str, path: str) -> Change:
    """An input that is not known in a preview."""
    return given(name, path, UNKNOWN)


def unread(kind: str, *arguments: str) -> Change:
    """A question that Azure does not answer."""

    def change(world: World) -> None:
        del world.answers[question(kind, *arguments)]

    return change


def answered(answer: Any, kind: str, *arguments: str) -> Change:
    """A question that Azure answers so."""

    def change(world: World) -> None:
        world.answers[question(kind, *arguments)] = answer

    return change


def configured(**settings: Any) -> Change:
    """Settings of the rule."""
    return lambda world: world.settings.update(settings)


def gone(name: str) -> Change:
    """A resource that is not declared."""

    def change(world: World) -> None:
        del world.resources[name]

    return change


def both(*changes: Change) -> Change:
    """Several changes."""

    def change(world: World) -> None:
        for one in changes:
            one(world)

    return change
