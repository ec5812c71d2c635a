"""`python -m sandbox.autoscaler --home DIR`: scales while the declared autoscaler runs, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from pathlib import Path

from sandbox.autoscaler.controller import Controller
from sandbox.home import Home

log = logging.getLogger(__name__)


async def _run(home: Home) -> None:
    stopped = asyncio.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, stopped.set)
    running = asyncio.ensure_future(Controller(home).run())
    await asyncio.wait((running, asyncio.ensure_future(stopped.wait())), return_when=asyncio.FIRST_COMPLETED)
    running.cancel()
    await asyncio.wait((running,))
    log.info("stopped")
    if not running.cancelled():
        running.result()


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.autoscaler", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the sandbox's folder")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(_run(Home(arguments.home)))


if __name__ == "__main__":
    main()
