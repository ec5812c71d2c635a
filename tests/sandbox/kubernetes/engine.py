"""A stand-in for the engine's side of the provider protocol, for tests: what `pulumi up` would ask, in its order."""

from __future__ import annotations

import itertools
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any, cast

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
    status_pb2,
)

from sandbox.providers.kubernetes.properties import Secret, decode, encode, plain

Json = dict[str, Any]


class RefusedError(Exception):
    """The provider answered with an error."""


class UnhealthyError(Exception):
    """The provider says that the object is there and not as it should be."""

    def __init__(self, message: str, detail: provider_pb2.ErrorResourceInitFailed) -> None:
        super().__init__(message)
        self.id = detail.id
        self.reasons = list(detail.reasons)
        self.state = decode(detail.properties)


@dataclass
class Resource:
    """One resource as the engine's state keeps it."""

    urn: str
    id: str
    inputs: Json
    outputs: Json

    @property
    def live(self) -> Json:
        """Its outputs without secret marks."""
        return plain(self.outputs)

    @property
    def name(self) -> str:
        return self.live["metadata"]["name"]


@dataclass
class Diff:
    changed: bool
    replaces: list[str]
    deletes_first: bool
    detail: dict[str, str]


class _Messages(engine_pb2_grpc.EngineServicer):
    def __init__(self) -> None:
        self.said: list[str] = []

    def Log(self, request: engine_pb2.LogRequest, context: Any) -> empty_pb2.Empty:  # noqa: N802, ARG002
        self.said.append(request.message)
        return empty_pb2.Empty()


@dataclass
class Engine:
    """One engine connection to a provider."""

    port: int
    messages: _Messages = field(default_factory=_Messages)

    def __post_init__(self) -> None:
        self._server = grpc.server(futures.ThreadPoolExecutor(2))
        engine_pb2_grpc.add_EngineServicer_to_server(self.messages, self._server)
        address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        # Without its own pool, grpc would let all channels of this process share one connection, hence one peer.
        self._channel = grpc.insecure_channel(f"127.0.0.1:{self.port}", options=[("grpc.use_local_subchannel_pool", 1)])
        self.stub: Any = provider_pb2_grpc.ResourceProviderStub(self._channel)
        self.call("Attach", plugin_pb2.PluginAttach(address=address))

    def close(self) -> None:
        self._channel.close()
        self._server.stop(0)

    def call(self, method: str, request: Any, timeout: float = 120) -> Any:
        try:
            return getattr(self.stub, method)(request, timeout=timeout)
        except grpc.RpcError as error:
            failed = cast("Any", error)
            for key, value in failed.trailing_metadata() or ():
                if key == "grpc-status-details-bin":
                    detail = provider_pb2.ErrorResourceInitFailed()
                    status = status_pb2.Status.FromString(value)
                    if status.details[0].Unpack(detail):
                        raise UnhealthyError(failed.details(), detail) from error
            raise RefusedError(failed.details()) from error

    def configure(self, **variables: str) -> None:
        named = {f"kubernetes:config:{key}": value for key, value in variables.items()}
        answer = self.call("Configure", provider_pb2.ConfigureRequest(variables=named, acceptSecrets=True))
        assert answer.acceptSecrets
        assert answer.supportsPreview

    def check(self, urn: str, inputs: Json, old: Json | None = None) -> Json:
        request = provider_pb2.CheckRequest(urn=urn, news=encode(inputs), olds=encode(old or {}), randomSeed=b"")
        answer = self.call("Check", request)
        if answer.failures:
            raise RefusedError("; ".join(f"{one.property}: {one.reason}" for one in answer.failures))
        return decode(answer.inputs)

    def create(self, urn: str, inputs: Json, *, timeout: float = 0) -> Resource:
        """Check and create."""
        checked = self.check(urn, inputs)
        answer = self.call("Create", provider_pb2.CreateRequest(urn=urn, properties=encode(checked), timeout=timeout))
        return Resource(urn, answer.id, checked, decode(answer.properties))

    def preview_create(self, urn: str, inputs: Json) -> Json:
        """Check, and create in preview; gives the outputs."""
        checked = self.check(urn, inputs)
        answer = self.call("Create", provider_pb2.CreateRequest(urn=urn, properties=encode(checked), preview=True))
        assert answer.id == ""
        return decode(answer.properties)

    def diff(self, resource: Resource, inputs: Json, ignore: tuple[str, ...] = ()) -> Diff:
        """Check new inputs and compare."""
        checked = self.check(resource.urn, inputs, resource.inputs)
        return self.compare(resource, checked, ignore)

    def compare(self, resource: Resource, checked: Json, ignore: tuple[str, ...] = ()) -> Diff:
        answer = self.call(
            "Diff",
            provider_pb2.DiffRequest(
                id=resource.id,
                urn=resource.urn,
                olds=encode(resource.outputs),
                old_inputs=encode(resource.inputs),
                news=encode(checked),
                ignoreChanges=ignore,
            ),
        )
        names = provider_pb2.PropertyDiff.Kind
        return Diff(
            answer.changes == provider_pb2.DiffResponse.DIFF_SOME,
            list(answer.replaces),
            answer.deleteBeforeReplace,
            {key: names.Name(value.kind) for key, value in answer.detailedDiff.items()},
        )

    def update(
        self,
        resource: Resource,
        inputs: Json,
        *,
        preview: bool = False,
        timeout: float = 0,
        ignore: tuple[str, ...] = (),
    ) -> Resource:
        """Check and update."""
        checked = self.check(resource.urn, inputs, resource.inputs)
        answer = self.call(
            "Update",
            provider_pb2.UpdateRequest(
                id=resource.id,
                urn=resource.urn,
                olds=encode(resource.outputs),
                old_inputs=encode(resource.inputs),
                news=encode(checked),
                preview=preview,
                timeout=timeout,
                ignoreChanges=ignore,
            ),
        )
        return Resource(resource.urn, resource.id, checked, decode(answer.properties))

    def read(self, resource: Resource) -> Resource | None:
        answer = self.call(
            "Read",
            provider_pb2.ReadRequest(
                id=resource.id,
                urn=resource.urn,
                properties=encode(resource.outputs),
                inputs=encode(resource.inputs),
            ),
        )
        if not answer.id:
            return None
        return Resource(resource.urn, answer.id, decode(answer.inputs), decode(answer.properties))

    def refresh(self, resource: Resource) -> tuple[Resource | None, Diff | None]:
        """Read, and compare as `pulumi refresh` does: what would change if the program were run again."""
        found = self.read(resource)
        return found, None if found is None else self.compare(found, resource.inputs)

    def delete(self, resource: Resource, *, timeout: float = 0) -> None:
        request = provider_pb2.DeleteRequest(
            id=resource.id, urn=resource.urn, properties=encode(resource.outputs), timeout=timeout
        )
        self.call("Delete", request)


_numbers = itertools.count()


def urn(token: str, name: str = "it") -> str:
    return f"urn:pulumi:test::project::kubernetes:{token}::{name}"


def fresh(prefix: str) -> str:
    """A name that no other test uses."""
    return f"{prefix}-{next(_numbers)}"


def secret(value: Any) -> Secret:
    return Secret(value)


def config_map(name: str | None, data: Json, **metadata: Any) -> Json:
    named = {"name": name, **metadata} if name else dict(metadata)
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": named, "data": data}


def pod_template(labels: dict[str, str], image: str = "nginx", **spec: Any) -> Json:
    container = {"name": "main", "image": image}
    return {"metadata": {"labels": labels}, "spec": {"containers": [container], **spec}}


def deployment(name: str, image: str = "nginx", replicas: int = 1, **metadata: Any) -> Json:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, **metadata},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": pod_template(labels, image),
        },
    }


CONFIG_MAP = urn("core/v1:ConfigMap")
DEPLOYMENT = urn("apps/v1:Deployment")
