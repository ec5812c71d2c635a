"""`python -m sandbox.autoscaler --home DIR`: scales while the declared autoscaler runs, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import shutil
import signal
from pathlib import Path

from sandbox.autoscaler.controller import Controller
from sandbox.autoscaler.real import PROGRAM, VARIABLE
from sandbox.home import Home

log = logging.getLogger(__name__)


async def _run(home: Home, real: Path | None) -> None:
    stopped = asyncio.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, stopped.set)
    running = asyncio.ensure_future(Controller(home, real).run())
    await asyncio.wait((running, asyncio.ensure_future(stopped.wait())), return_when=asyncio.FIRST_COMPLETED)
    running.cancel()
    await asyncio.wait((running,))
    log.info("stopped")
    if not running.cancelled():
        running.result()


def _real() -> Path | None:
    """The real program where `SANDBOX_AUTOSCALER=real` asks for it; None: ours.

    Raises:
        SystemExit: it is asked for and not on PATH, or something else is.
    """
    wanted = os.environ.get(VARIABLE, "ours")
    if wanted == "ours":
        return None
    if wanted != "real":
        raise SystemExit(f"{VARIABLE}={wanted}: it is `real` or `ours`")
    found = shutil.which(PROGRAM)
    if found is None:
        raise SystemExit(f"{VARIABLE}=real: there is no {PROGRAM} on PATH")
    return Path(found)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.autoscaler", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the sandbox's folder")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(_run(Home(arguments.home), _real()))


if __name__ == "__main__":
    main()
