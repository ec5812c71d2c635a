"""`python -m sandbox up|down|start|stop|env|status|logs`: one sandbox, from nothing to the deployed platform and back.

The folder is `$SANDBOX_HOME`, else `.sandbox`; the stack is `$SANDBOX_STACK`, else `sandbox`.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from types import FrameType

from sandbox import environment, parts
from sandbox.engine import Engine, EngineError
from sandbox.home import Home
from sandbox.processes import ProcessError, Processes
from sandbox.progress import Progress, elapsed
from sandbox.setup import SetupError, cache_folder, locked
from sandbox.summary import aligned, kept_things, summary
from sandbox.tool_builds import BuildError

_LOG_LINES = 40


def up(home: Home, stack: str) -> int:
    """Start what does not run, deploy the stack, and say what is there now."""
    began = time.monotonic()
    with alone(home):
        engine = _started(home, stack)
        print(f"deploying stack {stack}", flush=True)
        engine.deploy()
        died = parts.dead(home)
        print(f"\n{summary(home, stack, engine.outputs())}")
        print(f"\nTook {elapsed(time.monotonic() - began)}.")
    if died:
        print(f"warning: died meanwhile: {', '.join(died)}; `make up` starts them again", file=sys.stderr)
    return 1 if died else 0


def start(home: Home, stack: str) -> int:
    """Start what does not run, and select the stack, without deploying anything."""
    with alone(home):
        _started(home, stack)
    return 0


def down(home: Home, stack: str) -> int:
    """Destroy the stack, stop every process and remove the folder; `SANDBOX_FORCE=1` does without the first."""
    if not home.root.exists():
        print("nothing to take down: there is no sandbox in", home.root)
        return 0
    with alone(home):
        if home.config_file.exists() and not os.environ.get("SANDBOX_FORCE"):
            engine = Engine(home, stack)
            engine.end_running()
            if engine.holds_anything:
                _started(home, stack, look_for_tools=False)
                print(f"destroying stack {stack}", flush=True)
                kept = kept_things(engine.outputs())
                engine.destroy()
                if kept:
                    print("\n".join(["kept on Azure, as storage.deleteData is false:", *(f"  {one}" for one in kept)]))
                    print("here the simulated Azure goes too, with what was kept; `make stop` keeps it")
        stopped = _stop(home)
        parts.remove(home)
    print(f"the sandbox is gone ({len(stopped)} processes stopped)")
    return 0


def stop(home: Home, stack: str) -> int:  # noqa: ARG001  every command has one signature
    """Stop every process; what is deployed stays and is there again after `start` or `up`."""
    if home.root.exists():
        with alone(home):
            _stop(home)
    return 0


def env(home: Home, stack: str) -> int:  # noqa: ARG001
    """Print the shell's lines; nothing else goes to standard output."""
    if not home.config_file.exists():
        print("there is no sandbox yet: run `make up` first", file=sys.stderr)
        return 1
    print(environment.shell_lines(home))
    return 0


def status(home: Home, stack: str) -> int:
    """Print how every part is; the exit code is 1 where one is dead."""
    if not home.config_file.exists():
        print("there is no sandbox in", home.root)
        return 1
    states = parts.states(home)
    rows = [("PART", "STATE", "LOG")]
    rows += [(one.name, f"running, {one.pid}" if one.pid else "dead", one.log) for one in states]
    print("\n".join(aligned(rows)))
    resources = len(Engine(home, stack).resources)
    print(f"stack {stack}: {resources} resources in the state")
    return 1 if any(one.pid is None for one in states) else 0


def logs(home: Home, stack: str, names: list[str]) -> int:  # noqa: ARG001
    """Print the end of the logs, all or the named ones."""
    processes = Processes(home)
    known = sorted(file.stem for file in home.logs.glob("*.log"))
    for name in names or known:
        if name not in known:
            print(f"no log of {name!r}; there are: {', '.join(known) or 'none'}", file=sys.stderr)
            return 1
        print(f"== {processes.log(name)}")
        print("\n".join(processes.log(name).read_text(errors="replace").splitlines()[-_LOG_LINES:]))
    return 0


@contextlib.contextmanager
def alone(home: Home) -> Generator[None]:
    """Let one command at a time change a sandbox; others wait. A killed one does not hold anybody up."""
    name = hashlib.sha256(str(home.root).encode()).hexdigest()[:16]
    file = cache_folder() / "locks" / name
    file.parent.mkdir(exist_ok=True)
    with file.open("w") as probe:
        try:
            fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another command is at work on {home.root}: waiting for it", file=sys.stderr, flush=True)
    with locked(file):
        yield


def _started(home: Home, stack: str, *, look_for_tools: bool = True) -> Engine:
    """Start the parts and select the stack."""
    engine = Engine(home, stack)
    if home.config_file.exists():
        engine.end_running()
    print(f"starting the sandbox in {home.root}", flush=True)
    parts.start(home, Progress(), look_for_tools=look_for_tools)
    engine.select()
    return engine


def _stop(home: Home) -> list[str]:
    return parts.stop(home) if home.run.exists() else []


def _interrupt(_sign: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """The command line; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    commands: dict[str, Callable[..., int]] = {
        "up": up,
        "down": down,
        "start": start,
        "stop": stop,
        "env": env,
        "status": status,
        "logs": logs,
    }
    parser.add_argument("command", choices=list(commands))
    parser.add_argument("names", nargs="*", help="with `logs`: which ones")
    arguments = parser.parse_args()
    home, stack = Home(), os.environ.get("SANDBOX_STACK", "sandbox")
    for sign in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, _interrupt)
    more = (arguments.names,) if arguments.command == "logs" else ()
    try:
        code = commands[arguments.command](home, stack, *more)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has left, as `| head` does. What Python would still write at its end must go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except (BuildError, EngineError, ProcessError, SetupError) as error:
        print(f"error: {error}", file=sys.stderr)
    except subprocess.CalledProcessError as error:
        print(f"error: {error}: {error.stderr or ''}\nlogs: {home.logs}", file=sys.stderr)
    else:
        return code
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
