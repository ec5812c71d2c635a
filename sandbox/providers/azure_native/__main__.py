"""`python -m sandbox.providers.azure_native --home DIR`: serve the engine until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from pathlib import Path
from typing import Any

import grpc.aio
from pulumi.runtime.proto import provider_pb2_grpc

from sandbox.home import Home
from sandbox.providers.azure_native.servicer import AzureNativeServicer
from sandbox.providers.azure_native.sessions import Sessions

_GRACE = 2.0
_LONGEST_MESSAGE = 400 * 1024 * 1024
"""Bytes; what the engine itself allows."""

log = logging.getLogger("azure-native")


async def serve(home: Home, stop: asyncio.Event) -> None:
    """Serve one sandbox's engines until `stop` is set."""
    sessions = Sessions(home)
    grpc_aio: Any = grpc.aio
    server = grpc_aio.server(
        options=[
            ("grpc.max_receive_message_length", _LONGEST_MESSAGE),
            ("grpc.max_send_message_length", _LONGEST_MESSAGE),
            ("grpc.so_reuseport", 0),
        ]
    )
    add: Any = provider_pb2_grpc.add_ResourceProviderServicer_to_server
    add(AzureNativeServicer(sessions), server)
    address = f"127.0.0.1:{home.config.ports['azure_native']}"
    server.add_insecure_port(address)
    await server.start()
    log.info("serving the azure-native provider on %s for %s", address, home.azure_url)
    await stop.wait()
    await server.stop(_GRACE)
    await sessions.close()


async def _main(home: Home) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(home, stop)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    parser = argparse.ArgumentParser(prog="sandbox.providers.azure_native", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the sandbox's folder")
    asyncio.run(_main(Home(parser.parse_args().home)))
