"""A dataset's folder on a mounted share or file system.

Owns what the steps of an upload are there: blocks written into an unfinished file under `.trainyard`, which is read
back, brought to the disk and then renamed into place; a file that is kept fresh as lock. Rename replaces without
asking, so the lock and a look just before are what keeps others' files.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Generator, Iterator
from pathlib import Path

from datasets.receiver.blocks import PRIVATE_FOLDER, FilePlan
from datasets.receiver.places import Found, PlaceError

LOCK_SECONDS = 60
"""A lock that was not prolonged for so long is nobody's."""
_CHUNK = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


class FolderPlace:
    """The files below one path of a mount.

    Args:
        mount: where the share or file system is mounted.
        dataset: the dataset's name, for manifest, lock and unfinished files.
        path: folder in it; empty: its top.
    """

    def __init__(self, mount: Path, dataset: str, path: str) -> None:
        self._mount = mount
        self._root = mount / path if path else mount
        self._private = mount / PRIVATE_FOLDER
        self._unfinished = self._private / f"{dataset}.unfinished"
        self._manifest = self._private / f"{dataset}.json"
        self._lock = self._private / f"{dataset}.lock"

    def describe(self) -> str:
        """The folder."""
        return str(self._root)

    def scan(self) -> dict[str, Found]:
        """Every file below the path, and whatever else lies there with the size -1; links are not followed."""
        found: dict[str, Found] = {}
        with _told(self._root):
            if self._root.exists():
                self._walk(self._root, "", found)
        return found

    def _walk(self, folder: Path, prefix: str, found: dict[str, Found]) -> None:
        with os.scandir(folder) as entries:
            for entry in entries:
                path = prefix + entry.name
                if folder == self._mount and entry.name == PRIVATE_FOLDER:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    found[path] = Found(-1, "")
                    self._walk(Path(entry.path), f"{path}/", found)
                elif entry.is_file(follow_symlinks=False):
                    found[path] = _found(entry.stat(follow_symlinks=False))
                else:
                    found[path] = Found(-1, "")

    def staged(self, file: FilePlan) -> set[int]:
        """By the journal beside the unfinished file, whose lines name place and content."""
        journal = self._part(file).with_suffix(".blocks")
        with _told(journal):
            if not journal.exists():
                return set()
            lines = set(journal.read_text().splitlines())
        return {index for index in range(len(file.blocks)) if file.block_id(index) in lines}

    def stage(self, file: FilePlan, index: int, data: bytes) -> None:
        """Write the block at its offset, bring it to the disk, then say so in the journal."""
        part = self._part(file)
        with _told(part):
            self._unfinished.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(part, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                _write_all(descriptor, data, file.span(index)[0])
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            with part.with_suffix(".blocks").open("a") as journal:
                journal.write(f"{file.block_id(index)}\n")
                journal.flush()
                os.fsync(journal.fileno())

    def commit(self, file: FilePlan, replaces: Found | None) -> tuple[Found, str]:
        """Read the unfinished file back, and rename it into place if it is right."""
        part = self._part(file)
        digest, size = hashlib.sha256(), 0
        for piece in self._pieces(part):
            digest.update(piece)
            size += len(piece)
        if size != file.size or (file.sha256 and digest.hexdigest() != file.sha256):
            with _told(part):
                part.unlink(missing_ok=True)
                part.with_suffix(".blocks").unlink(missing_ok=True)
            raise PlaceError(
                "corrupt",
                f"{file.path}: what was stored has {size} bytes and sha256 {digest.hexdigest()}, the source has "
                f"{file.size} and {file.sha256 or 'an unknown one'}; it was thrown away. Upload once more",
            )
        found = self._into_place(part, file.path, replaces)
        with _told(part):
            part.with_suffix(".blocks").unlink(missing_ok=True)
        return found, digest.hexdigest()

    def write(self, file: FilePlan, data: bytes, replaces: Found | None) -> tuple[Found, str]:
        """As a file of several blocks: the last step alone makes it visible."""
        part = self._part(file)
        with _told(part):
            self._unfinished.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file_object:
                file_object.write(data)
                file_object.flush()
                os.fsync(file_object.fileno())
        return self.commit(file, replaces)

    def remove(self, path: str, found: Found) -> None:
        """Delete the file, if it is still in that state."""
        target = self._root / path
        with _told(target):
            if target.exists() and _found(target.stat()) == found:
                target.unlink()

    def read(self, path: str) -> Iterator[bytes]:
        """The file's content."""
        return self._pieces(self._root / path)

    def load_manifest(self) -> str | None:
        """From `.trainyard` at the top of the mount."""
        with _told(self._manifest):
            return self._manifest.read_text() if self._manifest.exists() else None

    def save_manifest(self, text: str) -> None:
        """A new file, renamed over the old one."""
        _replace(self._manifest, text)

    def lock(self, session: str, owner: str) -> None:
        """A file with session and owner, made by one alone, whose time is brought up to date."""
        with _told(self._lock):
            self._private.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"session": session, "owner": owner})
            try:
                with self._lock.open("x") as made:
                    made.write(text)
            except FileExistsError:
                holder, age = self._holder()
            else:
                return
            if holder.get("session") != session and age < LOCK_SECONDS:
                raise PlaceError(
                    "locked",
                    f"another upload of this dataset runs: {holder.get('owner', 'somebody')}. Wait for it; should it "
                    f"have died, the lock ends {LOCK_SECONDS - age:.0f} s from now",
                )
            _replace(self._lock, text)

    def _holder(self) -> tuple[dict[str, str], float]:
        """Whose the lock is, and the seconds since it was prolonged."""
        try:
            return json.loads(self._lock.read_text()), time.time() - self._lock.stat().st_mtime
        except ValueError:  # its maker has not written it yet
            return {}, time.time() - self._lock.stat().st_mtime

    def unlock(self, session: str) -> None:
        """Delete the lock, if it is this session's."""
        with _told(self._lock):
            if self._lock.exists() and self._holder()[0].get("session") == session:
                self._lock.unlink()

    def clear_unfinished(self) -> None:
        """Delete the folder of unfinished files."""
        with _told(self._unfinished):
            if self._unfinished.exists():
                shutil.rmtree(self._unfinished)

    def _part(self, file: FilePlan) -> Path:
        """The unfinished file: another one as soon as path or content differ."""
        name = hashlib.sha256(json.dumps([file.path, file.size, file.sha256, *file.blocks]).encode()).hexdigest()
        return self._unfinished / f"{name[:32]}.part"

    def _pieces(self, path: Path) -> Iterator[bytes]:
        with _told(path), path.open("rb") as file:
            while piece := file.read(_CHUNK):
                yield piece

    def _into_place(self, part: Path, path: str, replaces: Found | None) -> Found:
        target = self._root / path
        with _told(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            present = _found(target.lstat()) if os.path.lexists(target) else None
            if present != replaces:
                raise PlaceError("changed", f"{target} was written by somebody else meanwhile")
            part.rename(target)
            _sync_folder(target.parent)
            return _found(target.stat())


def _found(status: os.stat_result) -> Found:
    return Found(status.st_size, f"{status.st_size}-{status.st_mtime_ns}")


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        offset += written
        rest = rest[written:]


def _replace(target: Path, text: str) -> None:
    with _told(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
        with partial.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(target)


def _sync_folder(folder: Path) -> None:
    """Make a rename last; SMB has no such call and says so."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _told(path: Path) -> Generator[None]:
    """Errors of the system as errors of the target, in words."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise PlaceError("full", f"{path}: no room left ({error.strerror}); raise the size in the stack") from error
        if error.errno in _DENIED:
            told = f"{path}: may not be used by user {os.getuid()} ({error.strerror}): check the volume's permissions"
            raise PlaceError("denied", told) from error
        if error.errno == errno.ENOENT:
            raise PlaceError("changed", f"{path} is not there (any more)") from error
        raise PlaceError("refused", f"{path}: {error.strerror or error}") from error
