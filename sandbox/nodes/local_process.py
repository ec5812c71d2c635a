"""A container's process on this machine: started, logged and ended as the kubelet does it.

It carries the sandbox's mark, so that one whose starter was killed is found and ended (`sandbox.processes`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

_ENDS_WITHIN = 10.0
_CHUNK = 64 * 1024


class LocalProcess:
    """One process and its log.

    Args:
        process: the process, with its output piped.
        log_file: where its lines are kept.
    """

    def __init__(self, process: asyncio.subprocess.Process, log_file: Path) -> None:
        self._process = process
        self._writing = asyncio.create_task(_write_log(process, log_file))

    @staticmethod
    async def start(command: Sequence[str], variables: Mapping[str, str], folder: Path, log_file: Path) -> LocalProcess:
        """Start a program with these variables alone, in a folder and a process group of its own."""
        process = await asyncio.create_subprocess_exec(
            *command,
            env=variables,
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            process_group=0,
        )
        return LocalProcess(process, log_file)

    @property
    def pid(self) -> int:
        """Its id."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """How it ended, as a container runtime counts: 128 and the signal for one that was killed; None: it runs."""
        code = self._process.returncode
        return 128 - code if code is not None and code < 0 else code

    async def ended(self, within: float) -> bool:
        """Wait for its end, no longer than these seconds; whether it ended."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), within)
        return self._process.returncode is not None

    async def end(self) -> None:
        """Ask it to end, then make it; its log is complete afterwards. Goes on where the caller is cancelled."""
        await asyncio.shield(self._end())

    async def _end(self) -> None:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, sign)
                await self.ended(_ENDS_WITHIN)
        await self._writing


def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def _write_log(process: asyncio.subprocess.Process, file: Path) -> None:
    """Keep what a container prints in the form in which container runtimes keep it."""
    if process.stdout is None:
        raise ValueError("the process has no output to log")
    with file.open("ab") as output:
        async for line in _lines(process.stdout):
            stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
            output.write(f"{stamp} stdout F ".encode() + line + b"\n")
            output.flush()


async def _lines(stream: asyncio.StreamReader) -> AsyncGenerator[bytes]:
    """Lines of any length; a stream's own `readline` knows a longest one."""
    rest = b""
    while chunk := await stream.read(_CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
    if rest:
        yield rest
