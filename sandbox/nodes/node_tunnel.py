"""The API server's way to the nodes: what AKS has konnectivity for, as an HTTP proxy on a loopback port.

Every kubelet's port leads to kwok, which plays them all; so `kubectl logs` and `kubectl port-forward` work while nodes
keep the addresses that Azure would give them. A service's address leads to a ready pod of it whose process runs on this
machine; so webhooks are called. Only holders of a certificate of this sandbox get in.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl

from sandbox.certificates import pair
from sandbox.home import Home
from sandbox.nodes.services import Services

log = logging.getLogger(__name__)

KUBELET_PORT = "10250"
_CHUNK = 64 * 1024
_HEAD_WITHIN = 30


class NodeTunnel:
    """CONNECT for the API server.

    Args:
        home: the sandbox.
        services: where services lead to.
    """

    def __init__(self, home: Home, services: Services) -> None:
        self._home = home
        self._services = services

    async def run(self) -> None:
        """Serve until cancelled."""
        server_pair = pair(self._home, "api-server")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self._home.ca_cert))
        context.load_cert_chain(server_pair.cert, server_pair.key)
        context.verify_mode = ssl.CERT_REQUIRED
        port = self._home.config.ports["node_tunnel"]
        server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=context)
        async with server:
            await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_HEAD_WITHIN):
                head = await reader.readuntil(b"\r\n\r\n")
            method, target, *_ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
            host, _, port = target.rpartition(":")
            if method != "CONNECT" or not port.isdecimal():
                writer.write(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
                return
            place = self._place(host, port)
            if place is None:
                writer.write(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
                return
            far_reader, far_writer = await asyncio.open_connection(*place)
            try:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await _both_ways((reader, writer), (far_reader, far_writer))
            finally:
                far_writer.close()
        except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            log.info("connection ended: %s", error)
        finally:
            writer.close()

    def _place(self, host: str, port: str) -> tuple[str, int] | None:
        """Where a target is on this machine; None where it is a service that nobody answers for."""
        if port == KUBELET_PORT:
            return "127.0.0.1", self._home.config.ports["kwok"]
        if not self._services.knows(host):
            return host, int(port)
        local = self._services.local_port(host, int(port))
        return None if local is None else ("127.0.0.1", local)


async def _both_ways(
    near: tuple[asyncio.StreamReader, asyncio.StreamWriter], far: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    """Pass on until either side ends."""
    ways = [asyncio.create_task(_copy(near[0], far[1])), asyncio.create_task(_copy(far[0], near[1]))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
