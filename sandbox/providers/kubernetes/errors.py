"""How the engine is told that something failed: as a sentence, or with the state of an object that is there."""

from __future__ import annotations

from typing import NoReturn

import grpc
import grpc.aio
from google.protobuf import any_pb2
from pulumi.runtime.proto import provider_pb2, status_pb2

from sandbox.providers.kubernetes.objects import Json
from sandbox.providers.kubernetes.properties import encode


class ProviderError(Exception):
    """An operation that failed without leaving anything: the message is for the user."""


class PartialFailure(ProviderError):  # noqa: N818  the engine's own word for it
    """An operation that left an object which is not as it should be; the engine keeps its state.

    Attributes:
        id: the object's.
        state: its outputs.
        reasons: what is wrong; the first is the message itself.
        inputs: what a refresh found its inputs to be; None elsewhere.
    """

    def __init__(
        self, message: str, identifier: str, state: Json, reasons: list[str], inputs: Json | None = None
    ) -> None:
        super().__init__(message)
        self.id = identifier
        self.state = state
        self.reasons = [message, *reasons]
        self.inputs = inputs


async def abort(context: grpc.aio.ServicerContext[object, object], error: Exception) -> NoReturn:
    """End a call with an error in the engine's form."""
    message = str(error)
    if isinstance(error, PartialFailure):
        detail = provider_pb2.ErrorResourceInitFailed(
            id=error.id,
            properties=encode(error.state),
            reasons=error.reasons,
            inputs=None if error.inputs is None else encode(error.inputs),
        )
        packed = any_pb2.Any()
        packed.Pack(detail)
        status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=message, details=[packed])
        trailing = (("grpc-status-details-bin", status.SerializeToString()),)
        await context.abort(grpc.StatusCode.UNKNOWN, message, trailing)
    await context.abort(grpc.StatusCode.UNKNOWN, message)
