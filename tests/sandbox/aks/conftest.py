"""A simulated Azure without a server: requests go straight to Resource Manager, time moves when a test says so."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sandbox.azure import authorization, context, resource_types
from sandbox.azure.behaviour import PLATFORM, Principal, Reply, Request
from sandbox.azure.errors import ArmError
from sandbox.azure.pipeline import ResourceManager
from sandbox.home import Home

resource_types.load()

BOOT, ROLES = 3.0, 5.0
NETWORK_CONTRIBUTOR = "4d97b98b-1d4f-4787-a291-c67834d212e7"
MANAGED_IDENTITY_OPERATOR = "f1a07417-d97a-45cb-824c-7a7467783830"
SYSTEM = {
    "name": "system",
    "mode": "System",
    "count": 2,
    "vmSize": "Standard_D4ds_v5",
    "osDiskSizeGB": 128,
    "maxPods": 110,
    "nodeTaints": ["CriticalAddonsOnly=true:NoSchedule"],
    "upgradeSettings": {"maxSurge": "1"},
}


@dataclass
class Clock:
    """Seconds that pass only when told to."""

    now: float = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Cloud:
    """One simulated Azure with what a cluster needs around it."""

    manager: ResourceManager
    clock: Clock
    home: Home
    role_count: int = 0
    caller: Principal = field(default=PLATFORM)

    @property
    def subscription(self) -> str:
        return f"/subscriptions/{self.home.config.subscription_id}"

    @property
    def group(self) -> str:
        return f"{self.subscription}/resourceGroups/rg"

    @property
    def cluster(self) -> str:
        return f"{self.group}/providers/Microsoft.ContainerService/managedClusters/yard"

    @property
    def nodes(self) -> str:
        return f"{self.subscription}/resourceGroups/rg-nodes"

    @property
    def subnet(self) -> str:
        return f"{self.group}/providers/Microsoft.Network/virtualNetworks/vnet/subnets/nodes"

    def identity(self, name: str) -> str:
        return f"{self.group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"

    def pool_id(self, name: str) -> str:
        return f"{self.cluster}/agentPools/{name}"

    def send(self, method: str, path: str, body: Any = None, **query: str) -> Reply:
        plain = {key.replace("_", "$", 1) if key.startswith("_") else key: value for key, value in query.items()}
        request = Request(method, path, None, "2026-01-01", plain, {}, self.home.azure_url)
        return self.manager.handle(request, copy.deepcopy(body), self.caller)

    def get(self, path: str, **query: str) -> Any:
        return self.send("GET", path, **query).body

    def put(self, path: str, body: Any) -> Reply:
        return self.send("PUT", path, body)

    def pass_time(self, seconds: float) -> None:
        """Let time pass in the steps the server looks at it."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.now = min(end, self.clock.now + 0.2)
            self.manager.settle_due()

    def finish(self, reply: Reply, limit: float = 120) -> str:
        """Let time pass until the reply's operation has ended; its last state."""
        if reply.operation is None:
            return "Succeeded"
        end = self.clock.now + limit
        while self.clock.now < end:
            found = self.manager.operations.get(reply.operation.id)
            assert found is not None
            if found.status != "InProgress":
                reply.operation = found
                return found.status
            self.pass_time(0.2)
        raise AssertionError(f"operation {reply.operation.kind} of {reply.operation.resource_id} does not end")

    def make(self, path: str, body: Any) -> Any:
        reply = self.put(path, body)
        state = self.finish(reply)
        assert state == "Succeeded", reply.operation and reply.operation.error
        return self.get(path)

    def refusal(self, action: Callable[[], Any]) -> ArmError:
        with pytest.raises(ArmError) as caught:
            action()
        return caught.value

    def assign(self, identity: str, role: str, scope: str) -> None:
        self.role_count += 1
        name = f"00000000-0000-0000-0000-{self.role_count:012d}"
        principal = self.get(self.identity(identity))["properties"]["principalId"]
        self.put(
            f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}",
            {
                "properties": {
                    "roleDefinitionId": f"{self.subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}",
                    "principalId": principal,
                    "principalType": "ServicePrincipal",
                }
            },
        )

    def cluster_body(self, **properties: Any) -> dict[str, Any]:
        """A cluster as the platform asks for it, some properties changed; None leaves one out."""
        pools = [{**SYSTEM, "vnetSubnetID": self.subnet}]
        whole = {
            "kubernetesVersion": "1.36",
            "dnsPrefix": "yard",
            "nodeResourceGroup": "rg-nodes",
            "enableRBAC": True,
            "disableLocalAccounts": True,
            "aadProfile": {"managed": True, "enableAzureRBAC": True},
            "oidcIssuerProfile": {"enabled": True},
            "securityProfile": {"workloadIdentity": {"enabled": True}},
            "networkProfile": {
                "networkPlugin": "azure",
                "networkPluginMode": "overlay",
                "networkDataplane": "cilium",
                "networkPolicy": "cilium",
                "podCidr": "10.128.0.0/14",
                "serviceCidr": "172.16.0.0/16",
                "dnsServiceIP": "172.16.0.10",
                "outboundType": "userAssignedNATGateway",
            },
            "agentPoolProfiles": pools,
            **properties,
        }
        return {
            "location": "westeurope",
            "tags": {"env": "test"},
            "sku": {"name": "Base", "tier": "Standard"},
            "identity": {"type": "UserAssigned", "userAssignedIdentities": {self.identity("cluster"): {}}},
            "properties": {key: value for key, value in whole.items() if value is not None},
        }

    def pool_body(self, **properties: Any) -> dict[str, Any]:
        whole = {
            "count": 1,
            "vmSize": "Standard_NC4as_T4_v3",
            "mode": "User",
            "maxPods": 110,
            "vnetSubnetID": self.subnet,
            **properties,
        }
        return {"properties": {key: value for key, value in whole.items() if value is not None}}

    def make_pool(self, name: str = "light", **properties: Any) -> Any:
        return self.make(self.pool_id(name), self.pool_body(**properties))

    def scale_set(self, pool: str) -> Any:
        sets = self.get(f"{self.nodes}/providers/Microsoft.Compute/virtualMachineScaleSets")["value"]
        return next(one for one in sets if one["name"].startswith(f"aks-{pool}-"))

    def machines(self, pool: str | None = None) -> list[Any]:
        found = self.get("/sandbox/machines")["machines"]
        return [one for one in found if pool in (None, one["pool"])]


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """Everything around a cluster: group, network with a NAT gateway, identities with effective roles."""
    home = Home(tmp_path / "home")
    home.create(role_delay=ROLES, boot_delay=BOOT)
    clock = Clock()
    monkeypatch.setattr(context.time, "time", clock)
    monkeypatch.setattr(authorization, "time", clock)
    manager = ResourceManager(home)
    monkeypatch.setattr(manager.operations, "_clock", clock)
    made = Cloud(manager, clock, home)
    made.make(made.group, {"location": "westeurope"})
    network = f"{made.group}/providers/Microsoft.Network"
    made.make(
        f"{network}/publicIPAddresses/out",
        {"location": "westeurope", "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}},
    )
    made.make(
        f"{network}/natGateways/nat",
        {
            "location": "westeurope",
            "sku": {"name": "Standard"},
            "properties": {"publicIpAddresses": [{"id": f"{network}/publicIPAddresses/out"}]},
        },
    )
    made.make(
        f"{network}/virtualNetworks/vnet",
        {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}},
    )
    made.make(
        made.subnet,
        {"properties": {"addressPrefix": "10.0.0.0/22", "natGateway": {"id": f"{network}/natGateways/nat"}}},
    )
    for name in ("cluster", "kubelet"):
        made.make(made.identity(name), {"location": "westeurope"})
    made.assign("cluster", NETWORK_CONTRIBUTOR, made.subnet)
    made.pass_time(ROLES + 1)
    return made


@pytest.fixture
def yard(cloud: Cloud) -> Cloud:
    """The same with a cluster that is up."""
    cloud.make(cloud.cluster, cloud.cluster_body())
    return cloud
