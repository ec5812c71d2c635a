"""The cluster's virtual network, as an HTTP proxy: what is connected through it comes from inside.

Names of the storage service are resolved as the network does it (`resolving`); other names are dialled as they are,
as through the network's NAT gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable

from sandbox.azure.store import Store
from sandbox.home import Home
from sandbox.storage_network.front import Front
from sandbox.storage_network.resolving import Unreachable, cluster_network, is_storage_name, resolve

log = logging.getLogger("sandbox.storage_network")
_CHUNK = 64 * 1024
_HEAD_WITHIN = 30


class Proxy:
    """CONNECT on a loopback port.

    Args:
        home: the sandbox's folder.
        store: Resource Manager's file.
        front: the blob service; it is told which connections come from inside.
    """

    def __init__(self, home: Home, store: Store, front: Front) -> None:
        self._home = home
        self._store = store
        self._front = front
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen on the sandbox's port on 127.0.0.1.

        Raises:
            OSError: the port is taken.
        """
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._home.config.ports["network"])

    async def stop(self) -> None:
        """Take no more connections, and end those that there are."""
        if self._server is not None:
            self._server.close()
        for one in self._connections:
            one.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_HEAD_WITHIN):
                head = await reader.readuntil(b"\r\n\r\n")
            method, target, *_ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
            await self._connect(method, target, reader, writer)
        except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            log.info("connection ended: %s", error)
        finally:
            writer.close()

    async def _connect(
        self, method: str, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        host, _, port = target.rpartition(":")
        if method != "CONNECT" or not port.isdecimal():
            _refuse(writer, "405 Method Not Allowed", f"this proxy takes CONNECT host:port, not {method} {target}")
            return
        try:
            if is_storage_name(host):
                far_reader, far_writer, done = await self._to_storage(host, int(port))
            else:
                far_reader, far_writer = await asyncio.open_connection(host, int(port))
                done = _nothing
        except (Unreachable, OSError) as error:
            log.info("refused", extra={"fields": {"host": host, "reason": str(error)}})
            _refuse(writer, "502 Bad Gateway", str(error))
            return
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        finally:
            far_writer.close()
            done()

    async def _to_storage(
        self, host: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, Callable[[], None]]:
        origin = resolve(self._store, host, cluster_network(self._store))
        if port != 443:
            raise Unreachable(f"{host} does not answer on port {port}: the service's port is 443")
        if ".blob." not in host.lower():
            raise Unreachable(f"{host} resolves, but of the storage services the sandbox emulates blob alone")
        near = socket.socket()
        near.setblocking(False)
        near.bind(("127.0.0.1", 0))
        own_port = near.getsockname()[1]
        self._front.expect(own_port, origin)
        try:
            await asyncio.get_running_loop().sock_connect(near, ("127.0.0.1", self._home.config.ports["blob"]))
            reader, writer = await asyncio.open_connection(sock=near)
        except BaseException:
            self._front.forget(own_port)
            near.close()
            raise
        return reader, writer, lambda: self._front.forget(own_port)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on until the one side ends, then tell the other."""
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        if writer.can_write_eof():
            writer.write_eof()


def _refuse(writer: asyncio.StreamWriter, status: str, reason: str) -> None:
    """The reason is in the status line, too: most clients show nothing else of a refused CONNECT."""
    body = f"{reason}\n".encode()
    writer.write(
        f"HTTP/1.1 {status}: {reason}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode("latin-1", "replace")
    )
    writer.write(body)


def _nothing() -> None:
    """Nobody was told of the connection."""
