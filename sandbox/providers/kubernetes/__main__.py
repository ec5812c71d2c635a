"""`python -m sandbox.providers.kubernetes --home DIR`: serve the provider until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
from pathlib import Path

import grpc.aio
from pulumi.runtime.proto import provider_pb2_grpc

from sandbox.environment import exports
from sandbox.home import Home
from sandbox.providers.kubernetes.provider import KubernetesProvider

_MESSAGE_BYTES = 400 * 1024 * 1024
"""The engine's own bound on a message."""


async def serve(port: int) -> None:
    """Serve on a loopback port until SIGTERM or SIGINT; what is under way then has 5 s to end."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    provider = KubernetesProvider()
    options = [("grpc.max_receive_message_length", _MESSAGE_BYTES), ("grpc.max_send_message_length", _MESSAGE_BYTES)]
    server = grpc.aio.server(options=options)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    logging.getLogger(__name__).info("the Kubernetes provider listens on 127.0.0.1:%d", port)
    await ended.wait()
    await server.stop(5)
    await provider.close()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.providers.kubernetes", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the sandbox's folder")
    home = Home(parser.parse_args().home)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # An engine that attaches does not hand down its environment, as it would to a provider that it starts: a
    # kubeconfig's sign-in plugin is to find the sandbox's around it all the same.
    os.environ.update(exports(home))
    asyncio.run(serve(home.config.ports["kubernetes"]))


if __name__ == "__main__":
    main()
