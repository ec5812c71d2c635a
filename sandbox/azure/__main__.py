"""`python -m sandbox.azure --home DIR`: the simulated Azure as a process, until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from sandbox.azure.json_lines import JsonLines
from sandbox.azure.server import Server
from sandbox.home import Home


async def _serve(home: Home) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = Server(home)
    await server.start()
    logging.getLogger("sandbox.azure").info("listening", extra={"fields": {"url": home.azure_url}})
    await stopped.wait()
    await server.stop()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="sandbox.azure", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the sandbox's folder")
    home = Home(parser.parse_args().home)
    home.logs.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(home.logs / "azure.log")
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        asyncio.run(_serve(home))
    except OSError as error:
        logging.getLogger("sandbox.azure").exception("cannot serve")
        sys.exit(
            f"the simulated Azure cannot serve {home.azure_url}: {error}. "
            f"Is the port taken, or are the certificates in {home.tls} missing?"
        )


if __name__ == "__main__":
    main()
