"""The engine's side of a connection: where messages about a resource go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Literal, cast

import grpc
import grpc.aio
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

Severity = Literal["info", "warning", "error"]
_SEVERITIES = {"info": engine_pb2.INFO, "warning": engine_pb2.WARNING, "error": engine_pb2.ERROR}
_log = logging.getLogger(__name__)


class Host:
    """One engine.

    Args:
        address: `host:port` of its gRPC server; empty: messages go to the log only.
    """

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address) if address else None
        self._stub = engine_pb2_grpc.EngineStub(self._channel) if self._channel else None
        self._sending: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Close the connection to the engine."""
        for task in self._sending:
            task.cancel()
        if self._channel is not None:
            await self._channel.close()

    def log(self, severity: Severity, urn: str, message: str, *, status: bool = False) -> None:
        """Tell the user about a resource; as a status, it is shown until the next one."""
        if not status:
            _log.info("%s: %s: %s", severity, urn, message)
        if self._stub is None:
            return
        request = engine_pb2.LogRequest(severity=_SEVERITIES[severity], urn=urn, message=message, ephemeral=status)
        send = cast("Callable[..., Awaitable[object]]", self._stub.Log)  # pyright: ignore[reportUnknownMemberType]
        task = asyncio.create_task(_quietly(send(request, timeout=5)))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)


async def _quietly(call: Awaitable[object]) -> None:
    """Messages are a courtesy: an engine that is gone takes none."""
    try:
        await call
    except grpc.RpcError as error:
        _log.debug("the engine took no message: %s", error)
