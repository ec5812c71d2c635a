"""The engine's provider protocol: messages in, plain values to the other modules, messages out."""

# ruff: noqa: N802, ARG002 - names and signatures are the protocol's

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from typing import Any, NoReturn, cast

import grpc
from google.protobuf import any_pb2, empty_pb2, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from arm.ids import IncompleteInputsError, UnknownTypeError, arm_type, arm_types
from sandbox.providers.azure_native import checks, functions, resources
from sandbox.providers.azure_native.arm_client import ArmRequestError
from sandbox.providers.azure_native.differences import CREATE_BEFORE_DELETE, Change, changes
from sandbox.providers.azure_native.sessions import NotConfiguredError, Session, Sessions, unknown_keys
from sandbox.providers.azure_native.values import (
    UNKNOWN,
    Properties,
    from_struct,
    has_unknowns,
    is_unknown,
    to_struct,
)

_status_pb2: Any = importlib.import_module("google.rpc.status_pb2")  # it comes without types

VERSION = "3.29.0"
"""Of the real provider that this one stands in for; the SDK's."""

_GROUP_API_VERSION = "2020-10-01"
_EXPECTED = (
    ArmRequestError,
    FileExistsError,
    IncompleteInputsError,
    NotConfiguredError,
    UnknownTypeError,
    functions.FunctionError,
)
_KINDS: Mapping[tuple[str, bool], provider_pb2.PropertyDiff.Kind.ValueType] = {
    ("add", False): provider_pb2.PropertyDiff.ADD,
    ("add", True): provider_pb2.PropertyDiff.ADD_REPLACE,
    ("delete", False): provider_pb2.PropertyDiff.DELETE,
    ("delete", True): provider_pb2.PropertyDiff.DELETE_REPLACE,
    ("update", False): provider_pb2.PropertyDiff.UPDATE,
    ("update", True): provider_pb2.PropertyDiff.UPDATE_REPLACE,
}
_MODES: Mapping[int, checks.NamingMode] = {
    provider_pb2.CheckRequest.AutonamingOptions.PROPOSE: "propose",
    provider_pb2.CheckRequest.AutonamingOptions.ENFORCE: "enforce",
    provider_pb2.CheckRequest.AutonamingOptions.DISABLE: "disable",
}

Context = Any
"""`grpc.aio.ServicerContext`, which comes without types."""


class AzureNativeServicer(provider_pb2_grpc.ResourceProviderServicer):
    """The azure-native provider of one sandbox.

    Args:
        sessions: the connections' configurations.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def Handshake(self, request: provider_pb2.ProviderHandshakeRequest, context: Context) -> Any:
        """Say that the project's own autonaming settings are honoured, and secrets are not accepted."""
        return provider_pb2.ProviderHandshakeResponse(supports_autonaming_configuration=True)

    async def Attach(self, request: plugin_pb2.PluginAttach, context: Context) -> Any:
        """Take note of nothing: what the engine's own log service would get goes to the log file."""
        return empty_pb2.Empty()

    async def GetPluginInfo(self, request: empty_pb2.Empty, context: Context) -> Any:
        """The version that the SDK was made for."""
        return plugin_pb2.PluginInfo(version=VERSION)

    async def GetSchema(self, request: provider_pb2.GetSchemaRequest, context: Context) -> Any:
        """The names only: the engine asks for it to tell packages apart, programs bring the SDK."""
        schema: dict[str, Any] = {
            "name": "azure-native",
            "version": VERSION,
            "resources": {token: {} for token in arm_types()},
            "functions": {token: {} for token in (functions.CLIENT_CONFIG, functions.CLIENT_TOKEN, *functions.ACTIONS)},
        }
        return provider_pb2.GetSchemaResponse(schema=json.dumps(schema))

    async def GetMapping(self, request: provider_pb2.GetMappingRequest, context: Context) -> Any:
        """No names of Terraform's are known here."""
        return provider_pb2.GetMappingResponse()

    async def CheckConfig(self, request: provider_pb2.CheckRequest, context: Context) -> Any:
        """Refuse configuration keys that azure-native does not have."""
        failures = [provider_pb2.CheckFailure(reason=text) for text in unknown_keys(from_struct(request.news))]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    async def DiffConfig(self, request: provider_pb2.DiffRequest, context: Context) -> Any:
        """A changed configuration never replaces the provider, hence no resource."""
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_UNKNOWN)

    async def Configure(self, request: provider_pb2.ConfigureRequest, context: Context) -> Any:
        """Keep the configuration for this connection."""
        settings = {key.removeprefix("azure-native:config:"): value for key, value in request.variables.items()}
        if messages := unknown_keys(settings):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "\n".join(messages))
        self._sessions.configure(context.peer(), settings)
        return provider_pb2.ConfigureResponse(supportsPreview=True, supports_autonaming_configuration=True)

    async def Cancel(self, request: empty_pb2.Empty, context: Context) -> Any:
        """End this connection's requests; writes under way report what is there so far."""
        self._sessions.cancel(context.peer())
        return empty_pb2.Empty()

    async def Check(self, request: provider_pb2.CheckRequest, context: Context) -> Any:
        """Fill in name, location and API version; refuse what lacks a required input."""
        olds, news = from_struct(request.olds), from_struct(request.news)
        token, logical_name = _type_and_name(request.urn)
        proposal = None
        if request.HasField("autonaming"):
            proposal = (_MODES[request.autonaming.mode], request.autonaming.proposed_name)
        try:
            inputs = checks.with_name(token, logical_name, news, olds, seed=request.randomSeed, proposal=proposal)
            if checks.takes_location(token) and inputs.get("location") is None:
                location = await self._default_location(self._sessions.of(context.peer()), inputs, olds)
                inputs = {**inputs, **({"location": location} if location else {})}
            inputs = {"azureApiVersion": arm_type(token).api_version, **inputs}
            failures = checks.missing_inputs(token, inputs)
        except _EXPECTED as failure:
            await _fail(context, failure)
        return provider_pb2.CheckResponse(
            inputs=to_struct(inputs), failures=[provider_pb2.CheckFailure(reason=text) for text in failures]
        )

    async def Diff(self, request: provider_pb2.DiffRequest, context: Context) -> Any:
        """Compare the inputs of last time with those of now."""
        token, _ = _type_and_name(request.urn)
        old, new, state = from_struct(request.old_inputs), from_struct(request.news), from_struct(request.olds)
        # a state of before 3.0 keeps its API version among the outputs
        old.setdefault("azureApiVersion", state.get("azureApiVersion", new.get("azureApiVersion")))
        try:
            found = changes(token, old, new, request.ignoreChanges)
        except _EXPECTED as failure:
            await _fail(context, failure)
        found = [_unless_already_so(change, old, new, state) for change in found]
        replaces = [change.key for change in found if change.replaces]
        named_anew = old.get(CREATE_BEFORE_DELETE)
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if found else provider_pb2.DiffResponse.DIFF_NONE,
            replaces=replaces,
            deleteBeforeReplace=not named_anew if isinstance(named_anew, bool) else bool(replaces),
            diffs=sorted({str(change.path[0]) for change in found}),
            detailedDiff={
                change.key: provider_pb2.PropertyDiff(kind=_KINDS[change.kind, change.replaces], inputDiff=True)
                for change in found
            },
            hasDetailedDiff=True,
        )

    async def Create(self, request: provider_pb2.CreateRequest, context: Context) -> Any:
        """Create, or in a preview say what would come out."""
        token, _ = _type_and_name(request.urn)
        inputs = from_struct(request.properties)
        try:
            if request.preview:
                return provider_pb2.CreateResponse(properties=to_struct(resources.preview(token, inputs)))
            session = self._sessions.of(context.peer())
            async with session.request():
                live = await resources.create(
                    session.arm, token, inputs, session.subscription, _timeout(request.timeout)
                )
        except resources.PartialFailureError as failure:
            await _fail_half_way(context, failure, request.properties)
        except _EXPECTED as failure:
            await _fail(context, failure)
        return provider_pb2.CreateResponse(id=live.resource_id, properties=to_struct(live.outputs))

    async def Read(self, request: provider_pb2.ReadRequest, context: Context) -> Any:
        """The resource as it is now, for an import or a refresh."""
        token, _ = _type_and_name(request.urn)
        inputs = from_struct(request.inputs) if request.HasField("inputs") else None
        try:
            session = self._sessions.of(context.peer())
            async with session.request():
                live = await resources.read(
                    session.arm, token, request.id, from_struct(request.properties), inputs or None
                )
        except _EXPECTED as failure:
            await _fail(context, failure)
        if live is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=live.resource_id, properties=to_struct(live.outputs), inputs=to_struct(live.inputs)
        )

    async def Update(self, request: provider_pb2.UpdateRequest, context: Context) -> Any:
        """Update, or in a preview say what would come out."""
        token, _ = _type_and_name(request.urn)
        inputs = from_struct(request.news)
        try:
            if request.preview:
                outputs = resources.preview(token, inputs, from_struct(request.olds))
                return provider_pb2.UpdateResponse(properties=to_struct(outputs))
            session = self._sessions.of(context.peer())
            async with session.request():
                live = await resources.update(session.arm, token, request.id, inputs, _timeout(request.timeout))
        except resources.PartialFailureError as failure:
            await _fail_half_way(context, failure, request.news)
        except _EXPECTED as failure:
            await _fail(context, failure)
        return provider_pb2.UpdateResponse(properties=to_struct(live.outputs))

    async def Delete(self, request: provider_pb2.DeleteRequest, context: Context) -> Any:
        """Delete; what is gone already is fine."""
        token, _ = _type_and_name(request.urn)
        try:
            session = self._sessions.of(context.peer())
            async with session.request():
                await resources.delete(session.arm, token, request.id, _timeout(request.timeout))
        except _EXPECTED as failure:
            await _fail(context, failure)
        return empty_pb2.Empty()

    async def Invoke(self, request: provider_pb2.InvokeRequest, context: Context) -> Any:
        """Call a function."""
        try:
            session = self._sessions.of(context.peer())
            async with session.request():
                result = await functions.call(session.arm, request.tok, from_struct(request.args), session.subscription)
        except _EXPECTED as failure:
            await _fail(context, failure)
        answer: dict[str, Any] = {"return": to_struct(result)}
        return provider_pb2.InvokeResponse(**answer)

    async def _default_location(self, session: Session, news: Properties, olds: Properties) -> str | None:
        """Of last time, else the configured one, else that of the resource's group, as the real provider does."""
        if found := olds.get("location") or session.location:
            return str(found)
        group = news.get("resourceGroupName")
        if group is None or is_unknown(group):
            return UNKNOWN if group else None
        if group not in session.groups:
            group_id = f"/subscriptions/{session.subscription}/resourceGroups/{group}"
            document = await session.arm.get(group_id, _GROUP_API_VERSION)
            if not document:
                return None
            session.groups[group] = str(document["location"])
        return session.groups[group]


def _type_and_name(urn: str) -> tuple[str, str]:
    """`azure-native:network:Subnet` and the logical name, of a URN whose type may carry its parents' in front."""
    parts = urn.split("::")
    return parts[2].rsplit("$", 1)[-1], "::".join(parts[3:])


def _timeout(seconds: float) -> float:
    return seconds if seconds > 0 else resources.DEFAULT_TIMEOUT


def _unless_already_so(change: Change, old: Properties, new: Properties, state: Properties) -> Change:
    """A property written out for the first time with the value that the resource has anyway replaces nothing."""
    name = change.path[0]
    first_time = change.kind == "add" and len(change.path) == 1 and name not in old
    if change.replaces and first_time and not has_unknowns(new[str(name)]) and state.get(str(name)) == new[str(name)]:
        return Change(change.path, change.kind, replaces=False)
    return change


async def _fail(context: Context, failure: Exception) -> NoReturn:
    await context.abort(grpc.StatusCode.UNKNOWN, str(failure))
    raise AssertionError("abort does not return")


async def _fail_half_way(
    context: Context, failure: resources.PartialFailureError, inputs: struct_pb2.Struct
) -> NoReturn:
    """Tell the engine that the resource exists though its creation failed: it keeps it, with the reason."""
    detail = any_pb2.Any()
    detail.Pack(
        provider_pb2.ErrorResourceInitFailed(
            id=failure.resource_id, properties=to_struct(failure.outputs), reasons=[str(failure)], inputs=inputs
        )
    )
    code = cast(int, grpc.StatusCode.UNKNOWN.value[0])
    status = _status_pb2.Status(code=code, message=str(failure), details=[detail])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    await _fail(context, failure)
