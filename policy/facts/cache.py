"""Facts kept on this machine for some minutes, so that a second preview asks Azure nothing.

A kept answer serves for ten minutes; a failure that rests on one is judged again on fresh facts when it is older than
half a minute, so that a quota that was just granted is seen at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

RECENT_SECONDS = 30.0


class Reader(Protocol):
    """Whatever answers questions."""

    @property
    def described(self) -> str:
        """Where its answers come from."""
        ...

    def read(self, asked: str) -> Any:
        """The answer to a question (`policy/facts/azure.py`); raises `UnreadableError`."""
        ...


class CachedFacts:
    """Answers from files, asking another reader what they do not have.

    Args:
        behind: who is asked.
        folder: for one sign-in, subscription and Resource Manager; see `folder_for`.
        seconds: how long an answer serves.
    """

    def __init__(self, behind: Reader, folder: Path, seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._behind = behind
        self._folder = folder
        self._seconds = seconds
        self._clock = clock
        self.oldest = 0.0

    @property
    def described(self) -> str:
        """Where its answers come from."""
        return f"Azure, {self.oldest:.0f} s ago" if self.oldest else self._behind.described

    def read(self, asked: str) -> Any:
        """The kept answer where it is young enough, else a new one; raises `UnreadableError`."""
        file = self._folder / f"{hashlib.sha256(asked.encode()).hexdigest()[:24]}.json"
        kept = self._kept(file, asked)
        if kept is not None:
            return kept[0]
        answer = self._behind.read(asked)
        self._keep(file, asked, answer)
        return answer

    def recent(self) -> CachedFacts:
        """The same with answers of the last half minute only."""
        return CachedFacts(self._behind, self._folder, min(self._seconds, RECENT_SECONDS), self._clock)

    def _kept(self, file: Path, asked: str) -> tuple[Any] | None:
        try:
            found = json.loads(file.read_text())
            age = self._clock() - float(found["at"])
            if found["asked"] != asked or not 0 <= age <= self._seconds:
                return None
            self.oldest = max(self.oldest, age)
            return (found["answer"],)
        except (OSError, ValueError, KeyError, TypeError):
            return None  # absent, half written by another version, or not ours: ask again

    def _keep(self, file: Path, asked: str, answer: Any) -> None:
        """Whole or not at all; where nothing can be written, the next run asks again."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, partial = tempfile.mkstemp(dir=self._folder)
            with os.fdopen(handle, "w") as out:
                json.dump({"asked": asked, "at": self._clock(), "answer": answer}, out)
            Path(partial).replace(file)
        except OSError:
            return


def folder_for(environment: Mapping[str, str], subscription: str) -> Path:
    """The folder of one sign-in's facts: what one may read is not shown to another."""
    names = ("ARM_ENDPOINT", "ARM_ENVIRONMENT", "AZURE_AUTHORITY_HOST", "AZURE_TENANT_ID", "AZURE_CLIENT_ID")
    names += ("ARM_TENANT_ID", "ARM_CLIENT_ID", "AZURE_CONFIG_DIR")
    who = json.dumps([subscription, *(environment.get(name, "") for name in names)])
    root = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME") or Path.home()) / ".cache")
    return Path(root) / "trainyard" / "facts" / hashlib.sha256(who.encode()).hexdigest()[:24]
