"""`python -m sandbox.nodes --home DIR`: runs until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from pathlib import Path

from sandbox.home import Home
from sandbox.nodes.controller import Controller


async def _run(home: Home) -> None:
    running = asyncio.ensure_future(Controller(home).run())
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        logging.getLogger(__name__).info("stopped")


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.nodes", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the sandbox's folder")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(_run(Home(arguments.home)))


if __name__ == "__main__":
    main()
