"""The life of one resource: created, read, updated, deleted, as the engine asks.

Works on plain values; the protocol's messages are the servicer's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from arm.documents import body_fields, inputs_within, outputs_of, without_empty
from arm.ids import ArmType, arm_type
from arm.shapes import Shape, resource_shape
from sandbox.providers.azure_native import bodies
from sandbox.providers.azure_native.arm_client import ArmClient, ArmRequestError, UnfinishedError
from sandbox.providers.azure_native.differences import carry_over
from sandbox.providers.azure_native.values import UNKNOWN, Properties, is_unknown

DEFAULT_TIMEOUT = 7200.0
"""Seconds that a write may take where the program sets no `customTimeouts`; the real provider's two hours."""

SINGLETONS = frozenset({"azure-native:storage:FileServiceProperties", "azure-native:storage:BlobServiceProperties"})
"""Made with their parent and never deleted: creating one configures it, deleting one resets it."""

_STABLE_OUTPUTS = ("name", "location")


class PartialFailureError(Exception):
    """A write that went half way: the resource is there, the engine has to keep it in its state.

    Attributes:
        resource_id, outputs: of what is there now.
    """

    def __init__(self, resource_id: str, outputs: Properties, reason: str) -> None:
        super().__init__(reason)
        self.resource_id = resource_id
        self.outputs = outputs


@dataclass(frozen=True)
class Live:
    """A resource as Azure has it: its canonical id and its outputs."""

    resource_id: str
    outputs: Properties
    inputs: Properties


async def create(arm: ArmClient, token: str, inputs: Properties, subscription: str, timeout: float) -> Live:
    """Create a resource that must not be there yet.

    Raises:
        FileExistsError: it is there; `cannot create already existing resource '<id>'`, the real one's words.
        ArmRequestError: refused.
        PartialFailureError: accepted and failed later.
    """
    kind = arm_type(token)
    resource_id = kind.resource_id(inputs, subscription)
    there = await arm.get(resource_id, kind.api_version)
    if there and kind.token not in SINGLETONS:
        raise FileExistsError(f"cannot create already existing resource '{resource_id}'")
    body = bodies.with_empty_lists(kind.token, bodies.body_of(kind.token, inputs))
    return await _write(arm, kind, resource_id, body, inputs=inputs, timeout=timeout)


async def update(arm: ArmClient, token: str, resource_id: str, inputs: Properties, timeout: float) -> Live:
    """Send all inputs for a resource that is there.

    Raises:
        ArmRequestError: refused.
        PartialFailureError: accepted and failed later.
    """
    kind = arm_type(token)
    body = bodies.body_of(kind.token, inputs)
    if kind.token in bodies.KEPT_WHEN_UNSET:
        live = await arm.get(resource_id, kind.api_version)
        body = bodies.with_live_lists(kind.token, body, live or {})
    return await _write(arm, kind, resource_id, body, inputs=inputs, timeout=timeout)


async def read(
    arm: ArmClient, token: str, resource_id: str, outputs: Properties, inputs: Properties | None
) -> Live | None:
    """A resource as it is now, None when it is gone.

    Args:
        outputs, inputs: of the state; inputs None when a resource is imported, whose inputs are then made up
            from what Azure answers.
    """
    kind = arm_type(token)
    document = await arm.get(resource_id, kind.api_version)
    if not document:
        return None
    now = outputs_of(kind.token, document)
    if inputs is None:
        return Live(resource_id, now, _imported(kind, resource_id, now))
    unset = {name for name in bodies.KEPT_WHEN_UNSET.get(kind.token, ()) if name not in inputs}
    seen = {name: value for name, value in now.items() if name not in unset}
    before = {name: value for name, value in outputs.items() if name not in unset}
    return Live(
        resource_id, now, carry_over(inputs, inputs_within(kind.token, before), inputs_within(kind.token, seen))
    )


async def delete(arm: ArmClient, token: str, resource_id: str, timeout: float) -> None:
    """Delete a resource, or reset one that cannot be deleted.

    Raises:
        ArmRequestError: refused or failed.
    """
    kind = arm_type(token)
    if kind.token not in SINGLETONS:
        await arm.delete(resource_id, kind.api_version, timeout)
        return
    try:
        await arm.put(resource_id, kind.api_version, {}, timeout)
    except ArmRequestError as refused:
        if refused.status != 404:
            raise


def preview(token: str, inputs: Properties, state: Mapping[str, Any] | None = None) -> Properties:
    """What a creation, or with a state an update, will put out as far as it is known before.

    Outputs that are no inputs are unknown, within nested objects too, as with the real provider.
    """
    outputs = _preview(inputs, resource_shape(token).outputs)
    outputs["azureApiVersion"] = arm_type(token).api_version
    for name in _STABLE_OUTPUTS if state else ():
        if state and name in state:
            outputs[name] = state[name]
    return outputs


async def _write(
    arm: ArmClient, kind: ArmType, resource_id: str, body: Properties, *, inputs: Properties, timeout: float
) -> Live:
    try:
        answered = await arm.put(resource_id, kind.api_version, body, timeout)
    except UnfinishedError as unfinished:
        there = await arm.get(resource_id, kind.api_version)
        if not there:
            raise ArmRequestError(0, "", str(unfinished)) from unfinished
        found = outputs_of(kind.token, there)
        raise PartialFailureError(str(there.get("id", resource_id)), found, str(unfinished)) from unfinished
    document = await arm.get(resource_id, kind.api_version) or answered
    outputs = outputs_of(kind.token, document)
    return Live(str(document.get("id", resource_id)), outputs, inputs)


def _imported(kind: ArmType, resource_id: str, outputs: Properties) -> Properties:
    named = kind.parse_id(resource_id)
    found = inputs_within(kind.token, outputs)
    body = {name: without_empty(found[name]) for name in body_fields(kind.token) if name in found}
    return {**named, **{name: value for name, value in body.items() if value is not None}}


def _preview(inputs: Mapping[str, Any], shape: Shape) -> Properties:
    return {name: _preview_value(inputs.get(name, UNKNOWN), field) for name, field in shape.fields.items()}


def _preview_value(value: Any, shape: Shape) -> Any:
    if is_unknown(value):
        return UNKNOWN
    if shape.kind == "scalar":
        return value
    mapping = cast(Properties, value) if isinstance(value, dict) else None
    if mapping is not None and shape.kind == "object":
        return _preview(mapping, shape)
    if mapping is not None and shape.item:
        return {name: _preview_value(one, shape.item) for name, one in mapping.items()}
    entries = cast(list[Any], value) if isinstance(value, list) else None
    if entries is not None and shape.kind == "list" and shape.item:
        return [_preview_value(one, shape.item) for one in entries]
    # another form on the way out, as a set of texts that comes back as a map
    return UNKNOWN
