"""The gRPC service that the engine speaks to: finds the connection, asks the part that knows, answers.

Owns nothing but the answers' form. What belongs to one object is in `judging` and `lifecycle`, what to a
chart's release in `releases`.
"""

from __future__ import annotations

import importlib.metadata
import logging
from types import TracebackType
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from sandbox.kubernetes_client import ApiError
from sandbox.providers.kubernetes import judging, lifecycle, releases, settings
from sandbox.providers.kubernetes.connection import Connections
from sandbox.providers.kubernetes.errors import ProviderError, abort
from sandbox.providers.kubernetes.objects import Json, Urn
from sandbox.providers.kubernetes.properties import decode, encode, plain
from sandbox.providers.kubernetes.settings import Settings, SettingsError

_log = logging.getLogger(__name__)
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class _Answering:
    """Turns errors of a call that are for the user into the engine's form; logs what nobody foresaw."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ProviderError | SettingsError | ApiError | ValueError):
            _log.info("refused: %s", error)
            await abort(self._context, error)
        elif isinstance(error, Exception) and not isinstance(error, grpc.aio.AbortError):
            _log.exception("a call failed", exc_info=error)
            await abort(self._context, ProviderError(f"the sandbox's Kubernetes provider failed: {error!r}"))


class KubernetesProvider(provider_pb2_grpc.ResourceProviderServicer):
    """The provider. One serves every engine that attaches to its port."""

    def __init__(self) -> None:
        self._connections = Connections()

    async def close(self) -> None:
        """Close all connections."""
        await self._connections.close()

    async def GetPluginInfo(self, request: empty_pb2.Empty, context: Context) -> plugin_pb2.PluginInfo:  # noqa: ARG002, N802
        """Which version of pulumi-kubernetes this stands in for."""
        async with _Answering(context):
            return plugin_pb2.PluginInfo(version=importlib.metadata.version("pulumi-kubernetes"))

    async def Attach(self, request: plugin_pb2.PluginAttach, context: Context) -> empty_pb2.Empty:  # noqa: N802
        """An engine says where it takes messages."""
        async with _Answering(context):
            await self._connections.attach(context.peer(), request.address)
            return empty_pb2.Empty()

    async def CheckConfig(  # noqa: N802
        self,
        request: provider_pb2.CheckRequest,
        context: Context,
    ) -> provider_pb2.CheckResponse:
        """Judge a provider's configuration."""
        async with _Answering(context):
            news = decode(request.news)
            return _checked(news, settings.check(news))

    async def DiffConfig(  # noqa: N802
        self,
        request: provider_pb2.DiffRequest,
        context: Context,
    ) -> provider_pb2.DiffResponse:
        """Whether a changed configuration replaces the provider, and so every object under it."""
        async with _Answering(context):
            found = settings.diff(plain(decode(request.olds)), plain(decode(request.news)))
            kinds = provider_pb2.DiffResponse
            return provider_pb2.DiffResponse(
                changes=kinds.DIFF_SOME if found.changed else kinds.DIFF_NONE,
                diffs=found.changed,
                replaces=found.replaces,
            )

    async def Configure(  # noqa: N802
        self, request: provider_pb2.ConfigureRequest, context: Context
    ) -> provider_pb2.ConfigureResponse:
        """Take a connection's configuration."""
        async with _Answering(context):
            await self._connections.configure(context.peer(), Settings.read(request.variables))
            return provider_pb2.ConfigureResponse(
                acceptSecrets=True, supportsPreview=True, supports_autonaming_configuration=True
            )

    async def Check(  # noqa: N802
        self, request: provider_pb2.CheckRequest, context: Context
    ) -> provider_pb2.CheckResponse:
        """Complete and judge inputs."""
        async with _Answering(context):
            connection, urn = self._connections.of(context.peer()), Urn.parse(request.urn)
            if connection.cluster is None and connection.settings.skip_update_unreachable:
                connection.log("warning", urn.urn, "Cluster is unreachable: the resource stays as it is")
                return provider_pb2.CheckResponse(inputs=request.olds)
            part = releases if urn.is_release else judging
            return _checked(*await part.check(connection, urn, request))

    async def Diff(  # noqa: N802
        self, request: provider_pb2.DiffRequest, context: Context
    ) -> provider_pb2.DiffResponse:
        """Compare a resource's state with new inputs."""
        async with _Answering(context):
            urn = Urn.parse(request.urn)
            part = releases if urn.is_release else judging
            return await part.diff(self._connections.of(context.peer()), urn, request)

    async def Create(  # noqa: N802
        self, request: provider_pb2.CreateRequest, context: Context
    ) -> provider_pb2.CreateResponse:
        """Create a resource."""
        async with _Answering(context):
            urn = Urn.parse(request.urn)
            part = releases if urn.is_release else lifecycle
            identifier, outputs = await part.create(self._connections.of(context.peer()), urn, request)
            return provider_pb2.CreateResponse(id=identifier, properties=encode(outputs))

    async def Read(  # noqa: N802
        self, request: provider_pb2.ReadRequest, context: Context
    ) -> provider_pb2.ReadResponse:
        """Read a resource as it is; an empty id says that it is gone."""
        async with _Answering(context):
            urn = Urn.parse(request.urn)
            part = releases if urn.is_release else lifecycle
            found = await part.read(self._connections.of(context.peer()), urn, request)
            if found is None:
                return provider_pb2.ReadResponse()
            identifier, outputs, inputs = found
            return provider_pb2.ReadResponse(id=identifier, properties=encode(outputs), inputs=encode(inputs))

    async def Update(  # noqa: N802
        self, request: provider_pb2.UpdateRequest, context: Context
    ) -> provider_pb2.UpdateResponse:
        """Bring a resource to new inputs."""
        async with _Answering(context):
            urn = Urn.parse(request.urn)
            part = releases if urn.is_release else lifecycle
            outputs = await part.update(self._connections.of(context.peer()), urn, request)
            return provider_pb2.UpdateResponse(properties=encode(outputs))

    async def Delete(self, request: provider_pb2.DeleteRequest, context: Context) -> empty_pb2.Empty:  # noqa: N802
        """Delete a resource."""
        async with _Answering(context):
            urn = Urn.parse(request.urn)
            part = releases if urn.is_release else lifecycle
            await part.delete(self._connections.of(context.peer()), urn, request)
            return empty_pb2.Empty()

    async def Invoke(  # noqa: N802
        self,
        request: provider_pb2.InvokeRequest,
        context: Context,
    ) -> provider_pb2.InvokeResponse:
        """Refuse: what these functions render, the sandbox cannot."""
        async with _Answering(context):
            raise ProviderError(
                f"{request.tok}: the sandbox's Kubernetes provider renders no YAML, Kustomize folders or charts. "
                "Declare the objects as typed resources, or put the real pulumi-resource-kubernetes on PATH"
            )

    async def Construct(  # noqa: N802
        self,
        request: provider_pb2.ConstructRequest,
        context: Context,
    ) -> provider_pb2.ConstructResponse:
        """Refuse: components such as ConfigGroup and Chart are rendered by the real provider only."""
        async with _Answering(context):
            raise ProviderError(
                f"{request.type}: the sandbox's Kubernetes provider has no components. Declare the objects as typed "
                "resources, use helm.sh/v3:Release, or put the real pulumi-resource-kubernetes on PATH"
            )

    async def Cancel(self, request: empty_pb2.Empty, context: Context) -> empty_pb2.Empty:  # noqa: ARG002, N802
        """End this connection's waits; what was begun stays, and its state is told."""
        async with _Answering(context):
            self._connections.of(context.peer()).cancelled.set()
            return empty_pb2.Empty()


def _checked(inputs: Json, failures: list[tuple[str, str]]) -> provider_pb2.CheckResponse:
    return provider_pb2.CheckResponse(
        inputs=encode(inputs),
        failures=[provider_pb2.CheckFailure(property=key, reason=reason) for key, reason in failures],
    )
