"""Files as blocks: how a file is cut, what its blocks are called, which paths may be written.

Pure. A block is named by its place and its content, so that whoever resumes an upload sees which content has arrived.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

MIB = 1 << 20
SMALLEST_BLOCK = 8 * MIB
LARGEST_BLOCK = 100 * MIB
"""A block passes through memory on both sides; Azure would take 4,000 MiB."""
MOST_BLOCKS = 50_000
"""Azure's limit for one block blob."""
LARGEST_FILE = MOST_BLOCKS * LARGEST_BLOCK
PROTOCOL = 1
"""Changes when the two sides would no longer understand each other."""
PRIVATE_FOLDER = ".trainyard"
"""At the top of every share, container and file system: manifests, locks and unfinished files."""


def block_size(size: int) -> int:
    """Bytes of each block but the last of a file of `size` bytes; the same in every run.

    Raises:
        ValueError: the file is larger than `LARGEST_FILE`.
    """
    wanted = max(SMALLEST_BLOCK, math.ceil(math.ceil(size / MOST_BLOCKS) / MIB) * MIB)
    if wanted > LARGEST_BLOCK:
        raise ValueError(f"{size} bytes are more than {LARGEST_FILE}, the largest file that can be uploaded: split it")
    return wanted


@dataclass(frozen=True)
class FilePlan:
    """One file that is to be at the target.

    Attributes:
        path: relative to the dataset's folder, `/` between its parts.
        size: bytes.
        sha256: of the whole, in hexadecimal; empty where only the copy can tell (a container as source).
        blocks: a key of each block's content, its sha256 where that is known; none for an empty file.
    """

    path: str
    size: int
    sha256: str
    blocks: tuple[str, ...]

    @property
    def single(self) -> bool:
        """Whether the file is written in one step."""
        return len(self.blocks) <= 1

    def span(self, index: int) -> tuple[int, int]:
        """Offset and length of a block."""
        each = block_size(self.size)
        return index * each, min(each, self.size - index * each)

    def block_id(self, index: int) -> str:
        """Azure's id of a block: base64, of the same length for every block of every file."""
        return base64.b64encode(f"{index:08d}-{self.blocks[index][:48]:_<48}".encode()).decode()

    def as_json(self) -> dict[str, Any]:
        """For the wire."""
        return {"path": self.path, "size": self.size, "sha256": self.sha256, "blocks": list(self.blocks)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FilePlan:
        """From the wire.

        Raises:
            ValueError: the path leads out of the dataset's folder, or the blocks are not those of such a size.
        """
        plan = cls(
            checked_path(str(value["path"])),
            int(value["size"]),
            str(value["sha256"]),
            tuple(str(one) for one in cast("Sequence[object]", value["blocks"])),
        )
        if len(plan.blocks) != block_count(plan.size):
            raise ValueError(f"{plan.path}: {len(plan.blocks)} blocks for {plan.size} bytes")
        return plan


def block_count(size: int) -> int:
    """How many blocks a file of `size` bytes has."""
    return math.ceil(size / block_size(size))


def plan_of(path: str, data: bytes) -> FilePlan:
    """The plan of a file whose content is in memory."""
    each = block_size(len(data))
    pieces = (data[start : start + each] for start in range(0, len(data), each))
    blocks = tuple(hashlib.sha256(piece).hexdigest() for piece in pieces)
    return FilePlan(path, len(data), hashlib.sha256(data).hexdigest(), blocks)


def checked_path(path: str) -> str:
    """A relative path as it is.

    Raises:
        ValueError: it is absolute, has empty parts, `.` or `..`, or a null character.
    """
    parts = path.split("/")
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{path!r} is no path inside a dataset")
    return path
