"""What a target is to the receiver, whether a container or a mounted folder, and the errors both have in common.

Owns the interface. `blob_place.py` and `folder_place.py` are the two kinds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from datasets.receiver.blocks import FilePlan


class PlaceError(Exception):
    """The target does not do what is asked; the message says what to do about it.

    Attributes:
        kind: `denied`, `full`, `missing`, `changed`, `locked`, `corrupt`, `unreachable` or `refused`.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Found:
    """A file that is at the target.

    Attributes:
        size: bytes; -1 for a folder that is in the way.
        version: changes whenever the file is written.
    """

    size: int
    version: str


class Place(Protocol):
    """The folder of one dataset. Paths are relative to it; every method raises `PlaceError`."""

    def describe(self) -> str:
        """Where it is, for messages."""
        ...

    def scan(self) -> dict[str, Found]:
        """Every file below the folder."""
        ...

    def staged(self, file: FilePlan) -> set[int]:
        """The blocks of an unfinished file that have arrived."""
        ...

    def stage(self, file: FilePlan, index: int, data: bytes) -> None:
        """Keep one block of a file that has several."""
        ...

    def commit(self, file: FilePlan, replaces: Found | None) -> tuple[Found, str]:
        """Make a file of all its staged blocks, at once or not at all.

        Args:
            file: the plan; where it has a checksum, nothing else is taken for good.
            replaces: the state that may be overwritten; None: there must be none.

        Returns:
            The file, and the sha256 of what was read back from the storage.
        """
        ...

    def write(self, file: FilePlan, data: bytes, replaces: Found | None) -> tuple[Found, str]:
        """Make a file of one block or none, as `commit` does."""
        ...

    def remove(self, path: str, found: Found) -> None:
        """Take away a file, if it is still in that state."""
        ...

    def read(self, path: str) -> Iterator[bytes]:
        """The content of a file."""
        ...

    def load_manifest(self) -> str | None:
        """The manifest's text, None where there is none."""
        ...

    def save_manifest(self, text: str) -> None:
        """Write the manifest, at once or not at all."""
        ...

    def lock(self, session: str, owner: str) -> None:
        """Keep other uploads of this dataset out; again by the same session: prolong it.

        Raises:
            PlaceError: `locked`, with the owner, where another session has it.
        """
        ...

    def unlock(self, session: str) -> None:
        """Let others in."""
        ...

    def clear_unfinished(self) -> None:
        """Throw away what unfinished files have left, once an upload is complete."""
        ...
