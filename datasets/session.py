"""What this machine remembers of an upload between two runs: its token, and that one runs at a time.

The token makes a run that follows a killed one the same session for the receiver and for the target's lock, so that it
need not wait until these notice the death. The lock on the file goes with its process, however that ends.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import os
import re
import socket
import uuid
from pathlib import Path

from datasets.problems import BUSY, CommandError


def cache_folder() -> Path:
    """Where caches of this user lie."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trainyard"


class LocalSession:
    """The one run on this machine for a dataset of a stack.

    Args:
        folder: where it is remembered.
        key: what tells this upload from others: stack, dataset, target.

    Raises:
        CommandError: one runs already.
    """

    def __init__(self, folder: Path, *key: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256("\0".join(key).encode()).hexdigest()[:16]
        self._file = (folder / f"{digest}.session").open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            told = self._file.read().strip().split(" ")[-1]
            raise CommandError(BUSY, f"this machine uploads it already, in process {told}: wait for it") from None
        self._file.seek(0)
        kept = re.match(r"[0-9a-f-]{36}", self._file.read())
        self.token = kept[0] if kept else str(uuid.uuid4())
        self._write(f"{self.token} {os.getpid()}")

    @property
    def owner(self) -> str:
        """Who uploads, for others' messages."""
        return f"{getpass.getuser()} on {socket.gethostname()}"

    def done(self) -> None:
        """The upload is complete: the next one is another session."""
        self._write("")

    def close(self) -> None:
        """Let others begin."""
        self._file.close()

    def _write(self, text: str) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._file.write(text)
        self._file.flush()
