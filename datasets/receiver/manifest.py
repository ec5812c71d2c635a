"""The manifest that stays beside the data: which files are there, verified, with which checksums.

Owns its form. `.trainyard/<dataset>.json` at the top of the share, container or file system; `complete` says whether
everything of the source is there. An entry is made only for a file that was read back and had the right checksum.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

VERSION = 1


class ManifestError(Exception):
    """A manifest cannot be read."""


@dataclass(frozen=True)
class Entry:
    """One verified file.

    Attributes:
        size: bytes.
        sha256: of what was read back.
        version: what the storage called this state of the file (an ETag, or time and size); another one means that
            somebody wrote it since.
        origin: what the source called the state that was copied, where it has such a name; else empty.
    """

    size: int
    sha256: str
    version: str
    origin: str = ""


@dataclass
class Manifest:
    """What is known of a dataset at its target.

    Attributes:
        dataset, path, source: as the stack declares them.
        files: path relative to `path` to its entry.
        complete: whether the last upload came to its end.
    """

    dataset: str
    path: str
    source: str = ""
    files: dict[str, Entry] = field(default_factory=dict[str, Entry])
    complete: bool = False

    def text(self, now: str) -> str:
        """As it is stored; `now` in ISO 8601."""
        files = {
            path: [entry.size, entry.sha256, entry.version, *([entry.origin] if entry.origin else [])]
            for path, entry in sorted(self.files.items())
        }
        head = {
            "version": VERSION,
            "dataset": self.dataset,
            "path": self.path,
            "source": self.source,
            "complete": self.complete,
            "written": now,
            "columns": ["size", "sha256", "version", "origin"],
        }
        # A line a file: a person can read it, and grep it.
        lines = ",\n".join(f"  {json.dumps(path)}: {json.dumps(values)}" for path, values in files.items())
        return f'{json.dumps(head, indent=1)[:-2]},\n "files": {{\n{lines}\n }}\n}}\n'

    @classmethod
    def parse(cls, text: str) -> Manifest:
        """From what is stored.

        Raises:
            ManifestError: it is no manifest, or one of a later version.
        """
        try:
            value = cast("Mapping[str, Any]", json.loads(text))
            if value["version"] != VERSION:
                raise ManifestError(f"is of version {value['version']}, this program knows {VERSION}: use a newer one")
            return cls(
                dataset=str(value["dataset"]),
                path=str(value["path"]),
                source=str(value["source"]),
                files={
                    str(path): Entry(int(row[0]), str(row[1]), str(row[2]), str(row[3]) if len(row) > 3 else "")
                    for path, row in cast("Mapping[str, list[Any]]", value["files"]).items()
                },
                complete=bool(value["complete"]),
            )
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise ManifestError(f"cannot be read ({error}): move it away, and the next upload writes it anew") from None
