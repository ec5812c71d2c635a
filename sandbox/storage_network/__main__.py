"""`python -m sandbox.storage_network --home DIR`: the blob service and the way to it, until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from sandbox.azure import resource_types
from sandbox.azure.json_lines import JsonLines
from sandbox.azure.store import Store
from sandbox.home import Home
from sandbox.storage_network.front import Front
from sandbox.storage_network.proxy import Proxy


async def _serve(home: Home) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    resource_types.load()
    store = Store(home.azure_db)
    front = Front(home, store)
    proxy = Proxy(home, store, front)
    await front.start()
    await proxy.start()
    logging.getLogger("sandbox.storage_network").info("listening")
    await stopped.wait()
    await proxy.stop()
    await front.stop()
    store.close()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="sandbox.storage_network", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the sandbox's folder")
    home = Home(parser.parse_args().home)
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        asyncio.run(_serve(home))
    except OSError as error:
        ports = home.config.ports
        sys.exit(f"the blob service cannot serve on ports {ports['blob']} and {ports['network']}: {error}")


if __name__ == "__main__":
    main()
