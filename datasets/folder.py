"""A folder on the user's machine as source: which files it has, whether they can be uploaded, their checksums.

Owns the walk, the rules for names, and a cache of checksums beside the user's other caches, so that an upload which is
begun again does not read everything again. Changes nothing in the folder.

Symbolic links are followed: what they lead to is uploaded as a file, or folder, of the link's name. Links that lead
nowhere, or back into a folder that they lie in, are refused, as are sockets, pipes and devices.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from datasets.problems import SOURCE, CommandError, listed
from datasets.receiver.blocks import PRIVATE_FOLDER, FilePlan, block_size

_CHUNK = 1 << 20
_FRESH_SECONDS = 2
"""A file written so short a time ago may be written again without its time telling."""
_LONGEST_BLOB_NAME = 1024
_LONGEST_PART = 254
_SMB_FORBIDDEN = set('\\:*?"<>|') | {chr(code) for code in range(32)}


@dataclass(frozen=True)
class LocalFile:
    """One file: its path in the dataset, where it lies, and its state when it was listed."""

    path: str
    place: Path
    size: int
    mtime_ns: int
    inode: int


@dataclass
class Listing:
    """A folder's files, and what was noticed.

    Attributes:
        links: how many of them are reached by a symbolic link.
        empty_folders: folders without files; they are not uploaded.
    """

    files: list[LocalFile] = field(default_factory=list[LocalFile])
    links: int = 0
    empty_folders: int = 0


def list_folder(root: Path, target_kind: str) -> Listing:
    """Everything below a folder.

    Args:
        root: the folder.
        target_kind: `blob`, `smb`, `nfs` or `posix`: which names the target can hold.

    Raises:
        CommandError: the folder is not there, or has something that cannot be uploaded; all of it is listed.
    """
    if not root.is_dir():
        told = "is a file: name its folder" if root.exists() else "is not there"
        raise CommandError(SOURCE, f"the source {root} {told}; nothing was changed")
    listing, faults = Listing(), list[str]()
    _walk(root, "", (root.stat().st_ino,), listing, faults)
    faults += [f"{one.path!r}: {fault}" for one in listing.files if (fault := name_fault(one.path, target_kind))]
    faults += _clashes(listing, target_kind)
    if faults:
        raise CommandError(
            SOURCE,
            f"{len(faults)} things in {root} cannot be uploaded; nothing was changed. Rename or remove them:\n"
            f"{listed(faults)}",
        )
    if not listing.files:
        raise CommandError(SOURCE, f"the source {root} has no files; nothing was changed")
    return listing


def _walk(folder: Path, prefix: str, above: tuple[int, ...], listing: Listing, faults: list[str]) -> None:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        faults.append(f"{prefix or '.'}: {error.strerror}")
        return
    if not entries:
        listing.empty_folders += 1
    for entry in entries:
        path = prefix + entry.name
        try:
            status = entry.stat()
        except OSError as error:
            told = "a link that leads nowhere" if entry.is_symlink() else error.strerror
            faults.append(f"{path!r}: {told}")
            continue
        listing.links += entry.is_symlink()
        if stat.S_ISDIR(status.st_mode):
            if status.st_ino in above:
                faults.append(f"{path!r}: a link that leads back into a folder that it lies in")
            else:
                _walk(Path(entry.path), f"{path}/", (*above, status.st_ino), listing, faults)
        elif not stat.S_ISREG(status.st_mode):
            faults.append(f"{path!r}: neither a file nor a folder")
        elif not os.access(entry.path, os.R_OK):
            faults.append(f"{path!r}: may not be read")
        else:
            file = LocalFile(path, Path(entry.path), status.st_size, status.st_mtime_ns, status.st_ino)
            listing.files.append(file)


def name_fault(path: str, target_kind: str) -> str:
    """Why a target cannot hold a name; empty where it can."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "the name is not UTF-8"
    parts = path.split("/")
    forbidden = "".join(sorted(set(path) & _SMB_FORBIDDEN))
    rules = (
        (parts[0] == PRIVATE_FOLDER, "", f"{PRIVATE_FOLDER} is where manifests lie"),
        (len(path) > _LONGEST_BLOB_NAME, "blob", f"{len(path)} characters; Blob Storage takes {_LONGEST_BLOB_NAME}"),
        ("\\" in path, "blob", "a backslash, which Blob Storage takes for a slash"),
        (any(one.endswith(".") for one in parts), "blob", "a dot at the end of a part, which Blob Storage drops"),
        (any(len(one.encode()) > _LONGEST_PART for one in parts), "", f"a part of more than {_LONGEST_PART} bytes"),
        (bool(forbidden), "smb", f"SMB takes no {forbidden!r}"),
        (any(one.endswith((".", " ")) for one in parts), "smb", "a dot or space at a part's end, which SMB drops"),
    )
    return next((fault for broken, kind, fault in rules if broken and kind in ("", target_kind)), "")


def _clashes(listing: Listing, target_kind: str) -> Iterator[str]:
    """Names that are one name for SMB."""
    if target_kind != "smb":
        return
    seen: dict[str, str] = {}
    for file in listing.files:
        other = seen.setdefault(file.path.casefold(), file.path)
        if other != file.path:
            yield f"{file.path!r} and {other!r}: one name on an SMB share, which knows no case"


class Checksums:
    """Checksums of local files, kept for the next time.

    Args:
        place: a SQLite file; made where it is not there.
    """

    def __init__(self, place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        self._base = sqlite3.connect(place, timeout=30)
        self._base.execute(
            "create table if not exists sums (place text primary key, size int, mtime int, inode int, sha256 text,"
            " blocks text)"
        )
        self._base.commit()

    def plan(self, file: LocalFile, read: Callable[[int], None]) -> FilePlan:
        """A file's plan, read anew only where the file changed since.

        Args:
            file: as listed.
            read: called with every number of bytes that was dealt with.

        Raises:
            CommandError: the file changed while it was read, or is too large.
        """
        key = str(file.place.absolute())
        row = self._base.execute(
            "select size, mtime, inode, sha256, blocks from sums where place = ?", (key,)
        ).fetchone()
        if row is not None and tuple(row[:3]) == (file.size, file.mtime_ns, file.inode):
            read(file.size)
            return FilePlan(file.path, file.size, str(row[3]), tuple(str(row[4]).split()))
        try:
            plan = _read_plan(file, read)
        except ValueError as error:
            raise CommandError(SOURCE, f"{file.path}: {error}; nothing was changed") from None
        except OSError as error:
            raise CommandError(SOURCE, f"{file.place} cannot be read: {error.strerror}; nothing was changed") from None
        if time.time() - file.mtime_ns / 1e9 > _FRESH_SECONDS:
            self._base.execute(
                "insert or replace into sums values (?, ?, ?, ?, ?, ?)",
                (key, file.size, file.mtime_ns, file.inode, plan.sha256, " ".join(plan.blocks)),
            )
            self._base.commit()
        return plan

    def close(self) -> None:
        """Close the file."""
        self._base.close()


def _read_plan(file: LocalFile, read: Callable[[int], None]) -> FilePlan:
    whole, blocks = hashlib.sha256(), list[str]()
    each, size = block_size(file.size), 0
    with file.place.open("rb") as content:
        while True:
            block, rest = hashlib.sha256(), each
            while rest and (piece := content.read(min(_CHUNK, rest))):
                whole.update(piece)
                block.update(piece)
                rest -= len(piece)
                read(len(piece))
            if rest == each:
                break
            size += each - rest
            blocks.append(block.hexdigest())
        status = os.fstat(content.fileno())
    if (size, status.st_size, status.st_mtime_ns) != (file.size, file.size, file.mtime_ns):
        raise CommandError(SOURCE, f"{file.place} changed while it was read: wait until nobody writes it, then repeat")
    return FilePlan(file.path, size, whole.hexdigest(), tuple(blocks))


def read_block(file: LocalFile, plan: FilePlan, index: int) -> bytes:
    """One block's bytes, as they were planned.

    Raises:
        CommandError: the file changed since.
    """
    offset, length = plan.span(index) if plan.blocks else (0, 0)
    try:
        with file.place.open("rb") as content:
            status = os.fstat(content.fileno())
            content.seek(offset)
            data = content.read(length)
    except OSError as error:
        raise CommandError(SOURCE, f"{file.place} cannot be read (any more): {error.strerror}") from None
    expected = plan.blocks[index] if plan.blocks else plan.sha256
    if status.st_size != plan.size or hashlib.sha256(data).hexdigest() != expected:
        raise CommandError(
            SOURCE,
            f"{file.place} changed since the upload began; what is complete stays, this file was not written. Repeat "
            f"the command when nobody writes to the source",
        )
    return data
