"""What a component registers, without an engine: every request as the engine would get it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pulumi
from pulumi.runtime import mocks, rpc
from pulumi.runtime.proto import resource_pb2

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
DEPLOYER = "99999999-8888-7777-6666-555555555555"
KUBECONFIG = "apiVersion: v1\nkind: Config\nclusters: []\nusers: []\n"


@dataclass(frozen=True)
class Made:
    """One registered resource: inputs with the wire's names, and the options that matter."""

    type: str
    name: str
    inputs: dict[str, Any]
    parent: str
    protect: bool
    ignore_changes: list[str]
    aliases: int
    delete_before_replace: bool | None
    provider: str
    dependencies: list[str]
    retain_on_delete: bool
    deleted_with: str


@dataclass
class Recorder(pulumi.runtime.Mocks):
    """Answers as Azure would, as far as components look at the answers, and keeps what was asked.

    Attributes:
        live_cluster: what `getManagedCluster` returns; None: there is none.
    """

    live_cluster: dict[str, Any] | None = None
    made: list[Made] = field(default_factory=list[Made])

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        inputs = cast(dict[str, Any], args.inputs)  # pyright: ignore[reportUnknownMemberType]
        outputs = dict(inputs)
        outputs.setdefault("name", next((str(v) for k, v in inputs.items() if k in _NAMES), args.name))
        match args.typ:
            case "azure-native:managedidentity:UserAssignedIdentity":
                outputs |= {"principalId": f"principal-{args.name}", "clientId": f"client-{args.name}"}
            case "azure-native:containerservice:ManagedCluster":
                # Azure takes a list of identities and answers with a map.
                outputs["identity"] = {"type": "UserAssigned", "userAssignedIdentities": {}}
                outputs["identityProfile"] = {
                    "kubeletidentity": {"objectId": "principal-kubelet", "clientId": "client-kubelet"}
                }
                outputs["oidcIssuerProfile"] = {"enabled": True, "issuerURL": "https://issuer.example/"}
            case "azure-native:network:PublicIPAddress":
                outputs["ipAddress"] = "198.51.100.7"
            case "azure-native:storagecache:AmlFilesystem":
                outputs["clientInfo"] = {"mgsAddress": "10.251.254.4"}
            case "azure-native:containerregistry:Registry":
                outputs["loginServer"] = "registry.azurecr.io"
            case _:
                pass
        return f"/id/{args.name}", outputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        match args.token:
            case "azure-native:authorization:getClientConfig":
                found = {"subscriptionId": SUBSCRIPTION, "tenantId": "tenant", "objectId": DEPLOYER, "clientId": "app"}
                return found, []
            case "azure-native:containerservice:getManagedCluster":
                if self.live_cluster is None:
                    return {}, [("", 'Status=404 Code="ResourceNotFound"')]
                return self.live_cluster, []
            case "azure-native:containerservice:listManagedClusterUserCredentials":
                encoded = base64.b64encode(KUBECONFIG.encode()).decode()
                return {"kubeconfigs": [{"name": "clusterUser", "value": encoded}]}, []
            case _:
                return {}, []

    def of_type(self, token: str) -> list[Made]:
        return [made for made in self.made if made.type == token]

    def one(self, token: str, name: str) -> Made:
        [made] = [made for made in self.of_type(token) if made.name == name]
        return made


_NAMES = (
    "resourceName",
    "agentPoolName",
    "accountName",
    "shareName",
    "containerName",
    "privateEndpointName",
    "privateZoneName",
    "resourceGroupName",
    "registryName",
)


class RecordingMonitor(mocks.MockMonitor):
    """The SDK's mock monitor, which also keeps each request whole."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._recorder = recorder

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> Any:  # noqa: N802
        inputs = rpc.deserialize_properties(request.object)
        self._recorder.made.append(
            Made(
                type=request.type,
                name=request.name,
                inputs={} if inputs is None else dict(inputs),
                parent=request.parent,
                protect=request.protect,
                ignore_changes=list(request.ignoreChanges),
                aliases=len(cast(list[object], request.aliases)),  # pyright: ignore[reportUnknownMemberType]
                delete_before_replace=request.deleteBeforeReplace if request.deleteBeforeReplaceDefined else None,
                provider=request.provider,
                dependencies=list(request.dependencies),
                retain_on_delete=request.retainOnDelete,
                deleted_with=request.deletedWith,
            )
        )
        register = cast(Callable[[Any], Any], super().RegisterResource)  # pyright: ignore[reportUnknownMemberType]
        return register(request)


run_to_the_end = cast(Callable[[Callable[[], None]], Callable[[], None]], pulumi.runtime.test)  # pyright: ignore[reportUnknownMemberType]


def record(build: Callable[[], object], recorder: Recorder | None = None, *, preview: bool = False) -> Recorder:
    """Run a program against the mock monitor until everything it began has ended.

    Raises:
        Exception: whatever the program raised.
    """
    kept = recorder or Recorder()
    asyncio.set_event_loop(asyncio.new_event_loop())  # an `asyncio.run` of another test leaves none behind
    mocks.set_mocks(kept, project="trainyard", stack="test", preview=preview, monitor=RecordingMonitor(kept))

    @run_to_the_end
    def program() -> None:
        build()

    program()
    return kept
