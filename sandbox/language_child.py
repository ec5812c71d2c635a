"""Runs one Pulumi program or one plugin, as a child of the language host, in the project's own virtualenv.

`language_child.py program ENGINE` reads a `RunRequest` from standard input and runs the program it names.
`language_child.py plugin KIND FOLDER ARGUMENTS…` runs the plugin in a folder; a policy pack by way of `pulumi.policy`.
Ends when the host that started it is gone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import runpy
import signal
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pulumi
import pulumi.runtime
from pulumi.runtime.proto import language_pb2

# Kept even where the shell says PYTHONDONTWRITEBYTECODE: compiling the SDKs anew costs every run seconds.
sys.dont_write_bytecode = False

MESSAGE_SHOWN = 32
"""Exit code of a program whose error has been shown to the user: the engine adds nothing."""


def run_program(engine: str) -> int:
    """Run the program of the request on standard input; gives the exit code."""
    request = language_pb2.RunRequest.FromString(sys.stdin.buffer.read())
    pulumi.runtime.set_all_config(dict(request.config), list(request.configSecretKeys))
    pulumi.runtime.configure(
        pulumi.runtime.Settings(
            project=request.project,
            stack=request.stack,
            monitor=request.monitor_address,
            engine=engine,
            parallel=request.parallel,
            dry_run=request.dryRun,
            organization=request.organization or "organization",
            root_directory=request.info.root_directory,
        )
    )
    program = _program(request)
    sys.argv = [str(program)]
    # Pulumi's futures are left unobserved when a deployment fails; asyncio would complain about each.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    executor = ThreadPoolExecutor(max_workers=max(request.parallel, 1) * 4)
    loop.set_default_executor(executor)
    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(lambda: _run_path(program)))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return MESSAGE_SHOWN
    except Exception:  # noqa: BLE001  a program may raise anything: it is shown, as the official host does
        pulumi.log.error(f"Program failed with an unhandled exception:\n{_own_traceback(program)}")
        return MESSAGE_SHOWN
    finally:
        executor.shutdown(wait=True)
        loop.close()
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def run_plugin(kind: str, folder: str, arguments: list[str]) -> None:
    """Run a plugin's code as the main module: a policy pack (`analyzer`) or any other kind."""
    if kind == "analyzer":
        sys.argv = ["pulumi.policy", *arguments, folder]
        runpy.run_module("pulumi.policy", run_name="__main__", alter_sys=True)
    else:
        sys.argv = [folder, *arguments]
        runpy.run_path(folder, run_name="__main__")


def _program(request: language_pb2.RunRequest) -> Path:
    """The folder or file to run."""
    folder = Path(request.info.program_directory or request.pwd)
    return (folder / (request.info.entry_point or request.program or ".")).resolve()


def _run_path(program: Path) -> None:
    if program.is_dir() and not (program / "__main__.py").exists():
        raise pulumi.RunError(f"unable to find main python program `__main__.py` in `{program}`")
    runpy.run_path(str(program), run_name="__main__")


def _own_traceback(program: Path) -> str:
    """The traceback from the program's first frame on: what is above it is Pulumi's and this module's."""
    kind, error, trace = sys.exc_info()
    frames = traceback.extract_tb(trace)
    for index, frame in enumerate(frames):
        path = Path(frame.filename).resolve()
        if path.exists() and (path == program or program in path.parents):
            return "".join(traceback.format_exception(kind, error, trace, limit=index - len(frames)))
    return traceback.format_exc()


def _end_with(parent: int) -> None:
    """Leave as soon as the language host is gone, and take along what was started: this process leads its group."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.killpg(os.getpid(), signal.SIGKILL)


def main() -> None:
    """The command line: see the module's docstring."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    mode, *rest = sys.argv[1:]
    if mode == "program":
        raise SystemExit(run_program(rest[0] if rest else ""))
    run_plugin(rest[0], rest[1], rest[2:])


if __name__ == "__main__":
    main()
