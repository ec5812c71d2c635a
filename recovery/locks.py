"""The locks that a deployment puts on a stack, and whether whoever set them still lives."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Lock:
    """One lock of a file backend.

    Attributes:
        pid, host, user, since: of the engine that set it.
    """

    path: Path
    pid: int
    host: str
    user: str
    since: str

    def __str__(self) -> str:
        """For people."""
        return f"process {self.pid} of {self.user} on {self.host}, since {self.since}"


def read_locks(backend_url: str, organization: str, project: str, stack: str) -> list[Lock]:
    """The locks on a stack; none for a backend that is not of files, whose locks cannot be looked at from here."""
    parts = urlsplit(backend_url)
    if parts.scheme != "file":
        return []
    root = Path(unquote(parts.netloc + parts.path)).expanduser()
    folder = root / ".pulumi" / "locks" / organization / project / stack
    return [_read(path) for path in sorted(folder.glob("*.json"))]


def living(
    locks: Iterable[Lock], host: str | None = None, is_engine: Callable[[int], bool] | None = None
) -> list[Lock]:
    """The locks that must not be broken: of an engine that runs here, or of another machine, where it may run.

    Args:
        host: this machine's name.
        is_engine: whether a process of this machine is a Pulumi engine.
    """
    here = host or socket.gethostname()
    runs = is_engine or _is_engine
    return [lock for lock in locks if lock.host != here or runs(lock.pid)]


def _read(path: Path) -> Lock:
    content: dict[str, Any] = json.loads(path.read_text())
    return Lock(path, int(content["pid"]), content["hostname"], content["username"], content["timestamp"])


def _is_engine(pid: int) -> bool:
    """Whether the process runs and is a `pulumi`: process ids are handed out again after a restart."""
    if Path("/proc/self/stat").exists():
        try:
            name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
        except OSError:
            return False
        return "pulumi" in name and rest.split()[0] != "Z"
    command = ["ps", "-o", "comm=", "-p", str(pid)]
    return "pulumi" in subprocess.run(command, capture_output=True, text=True, check=False).stdout
