"""`python -m sandbox.operators --home DIR`: runs until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
from pathlib import Path

from sandbox.home import Home
from sandbox.operators.controller import Operators

log = logging.getLogger(__name__)

_STOP_WITHIN = 3.0
"""Seconds for the parts to end. There is nothing to save, so whatever has not ended then is left behind."""


async def _run(home: Home) -> None:
    stopped = asyncio.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, stopped.set)
    running = asyncio.ensure_future(Operators(home).run())
    await asyncio.wait((running, asyncio.ensure_future(stopped.wait())), return_when=asyncio.FIRST_COMPLETED)
    running.cancel()
    await asyncio.wait((running,), timeout=_STOP_WITHIN)
    log.info("stopped")
    if not running.done():
        os._exit(0)
    if not running.cancelled():
        running.result()


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.operators", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the sandbox's folder")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(_run(Home(arguments.home)))


if __name__ == "__main__":
    main()
