"""Sources that the cluster reads itself: a container of Blob Storage, a file behind an https address.

Owns the listing of the source, the copying and the comparison of both ends. Works without the user's machine.
A source's name for a file's state (its ETag) tells a resumed copy that it is still the same file.
"""

from __future__ import annotations

import hashlib
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass

from datasets.receiver.blob_client import Blob, Container
from datasets.receiver.blob_place import BlobPlace
from datasets.receiver.blocks import FilePlan, block_count
from datasets.receiver.places import PlaceError
from datasets.receiver.receiving import Incoming, Receiving
from datasets.receiver.web import Web


@dataclass
class Progress:
    """How far a pull is.

    Attributes:
        by_server: whether the storage copies by itself; None: not tried yet.
    """

    phase: str = "looking at the source"
    files: int = 0
    files_done: int = 0
    bytes: int = 0
    bytes_done: int = 0
    by_server: bool | None = None


class Conflicts(Exception):  # noqa: N818  (it is several)
    """Files are there with other content; nothing was changed.

    Attributes:
        files: path and what is there.
    """

    def __init__(self, files: list[tuple[str, str]]) -> None:
        super().__init__(f"{len(files)} files are there with other content")
        self.files = files


_TRIES = 6
_MOST_REDIRECTS = 10


class ContainerPull:
    """A copy from a container.

    Args:
        receiving: an opened session.
        source: the container.
        path: folder in it, or one blob; empty: all of it.
        stopped: set when the copy is to end.
    """

    def __init__(
        self, receiving: Receiving, source: Container, path: str, progress: Progress, stopped: threading.Event
    ) -> None:
        self._receiving = receiving
        self._source = source
        self._path = path.strip("/")
        self._progress = progress
        self._stopped = stopped

    def run(self) -> None:
        """Copy everything.

        Raises:
            PlaceError: source or target does not do it.
            Conflicts: before anything was changed.
        """
        blobs = dict(self._blobs())
        if not blobs:
            raise PlaceError(
                "missing", f"{self._source.url}/{self._path}: nothing is there; check the dataset's source"
            )
        self._progress.files, self._progress.bytes = len(blobs), sum(one.size for one in blobs.values())
        waiting = [self._planned(path, blob) for path, blob in blobs.items()]
        conflicts = [(one.plan.path, one.there) for one in waiting if one.state == "conflict"]
        if conflicts:
            raise Conflicts(conflicts)
        self._progress.phase = "copying"
        for incoming in waiting:
            if self._stopped.is_set():
                raise PlaceError("lost", "the session is over")
            if incoming.state == "send":
                self._copy(incoming, blobs[incoming.plan.path])
            else:
                self._progress.bytes_done += incoming.plan.size
            self._progress.files_done += 1

    def _blobs(self) -> Iterator[tuple[str, Blob]]:
        single = self._source.head(self._path) if self._path else None
        if single is not None and single.size:
            yield self._path.rpartition("/")[2], single
            return
        prefix = f"{self._path}/" if self._path else ""
        for blob in self._source.list(prefix):
            relative = blob.name.removeprefix(prefix)
            if not blob.folder and relative and not relative.startswith(".trainyard/"):
                yield relative, blob

    def _planned(self, path: str, blob: Blob) -> Incoming:
        """Decide on one blob: by the manifest where both ends are as it knows them, else by reading both."""
        entry = self._receiving.manifest.files.get(path)
        known = entry.sha256 if entry is not None and entry.origin == blob.etag else ""
        incoming = self._receiving.plan(_plan(path, blob, known))
        if incoming.state == "conflict" and not known and incoming.replaces and incoming.replaces.size == blob.size:
            incoming.state = "compare"  # the manifest knows the target's checksum, but not the source's
        if incoming.state == "compare":
            self._progress.phase = "comparing what is there"
            digest = _digest(self._source.read(blob.name, blob.etag))
            incoming.plan = _plan(path, blob, digest)
            incoming = self._receiving.compare(path)
            if incoming.state == "complete" and incoming.replaces is not None:
                self._receiving.settle(incoming, incoming.replaces, digest, blob.etag)
        return incoming

    def _copy(self, incoming: Incoming, blob: Blob) -> None:
        plan = incoming.plan
        if plan.single:
            data = b"".join(self._source.read(blob.name, blob.etag))
            found, digest = self._receiving.place.write(plan, data, incoming.replaces)
            expected = hashlib.sha256(data).hexdigest()
            self._progress.bytes_done += len(data)
        else:
            for index in range(len(plan.blocks)):
                if self._stopped.is_set():
                    raise PlaceError("lost", "the session is over")
                if index in incoming.missing:
                    self._block(incoming, blob, index)
                self._progress.bytes_done += plan.span(index)[1]
            found, digest = self._receiving.place.commit(plan, incoming.replaces)
            expected = _digest(self._source.read(blob.name, blob.etag))
        if digest != expected:
            self._receiving.place.remove(plan.path, found)
            raise PlaceError(
                "corrupt", f"{plan.path}: the copy has sha256 {digest}, the source {expected}; it was deleted"
            )
        self._receiving.settle(incoming, found, digest, blob.etag)

    def _block(self, incoming: Incoming, blob: Blob, index: int) -> None:
        place, plan = self._receiving.place, incoming.plan
        if isinstance(place, BlobPlace) and self._progress.by_server is not False:
            try:
                address = f"{self._source.url}/{urllib.parse.quote(blob.name, safe='/')}"
                place.stage_from(plan, index, address, blob.etag)
                self._progress.by_server = True
            except PlaceError as error:
                # The storage may not reach the source as the pod does, or not have the request at all.
                if error.kind in ("changed", "full") or self._progress.by_server:
                    raise
                self._progress.by_server = False
            else:
                return
        offset, length = plan.span(index)
        place.stage(plan, index, b"".join(self._source.read(blob.name, blob.etag, offset, length)))


class AddressPull:
    """A copy of one file behind an https address, whose checksum the stack names.

    Args:
        receiving: an opened session.
        stopped: set when the copy is to end.
        url, sha256: the file.
    """

    def __init__(
        self,
        receiving: Receiving,
        web: Web,
        progress: Progress,
        stopped: threading.Event,
        *,
        url: str,
        sha256: str,
    ) -> None:
        self._receiving = receiving
        self._url = url
        self._sha256 = sha256
        self._web = web
        self._progress = progress
        self._stopped = stopped

    def run(self) -> None:
        """Copy the file.

        Raises:
            PlaceError: source or target does not do it; `corrupt` where the checksum is another.
            Conflicts: before anything was changed.
        """
        name = urllib.parse.unquote(urllib.parse.urlsplit(self._url).path).rpartition("/")[2]
        size, state = self._look()
        self._progress.files, self._progress.bytes = 1, size
        # The blocks' contents are known by the whole's checksum and their place in it.
        blocks = tuple(f"{self._sha256[:40]}{index:08d}" for index in range(block_count(size)))
        incoming = self._receiving.plan(FilePlan(name, size, self._sha256, blocks))
        if incoming.state == "compare":
            self._progress.phase = "comparing what is there"
            incoming = self._receiving.compare(name)
        if incoming.state == "conflict":
            raise Conflicts([(name, incoming.there)])
        self._progress.phase = "copying"
        if incoming.state == "send":
            self._copy(incoming, state)
        self._progress.files_done, self._progress.bytes_done = 1, size

    def _look(self) -> tuple[int, str]:
        """Size and state of the file; its server must say the one, and the other lets a copy be resumed."""
        answer = self._web.request("HEAD", self._url, {})
        for _ in range(_MOST_REDIRECTS):
            if answer.status not in (301, 302, 303, 307, 308):
                break
            self._url = urllib.parse.urljoin(self._url, answer.headers.get("location", ""))
            if not self._url.startswith("https://"):
                raise PlaceError("refused", f"the source leads on to {self._shown}, which is no https address")
            answer = self._web.request("HEAD", self._url, {})
        if answer.status != 200:
            raise PlaceError("missing", f"{self._shown} answers {answer.status}: check the dataset's source")
        if not answer.headers.get("content-length", "").isdigit():
            raise PlaceError("refused", f"{self._shown} does not tell its size, so it cannot be resumed")
        return int(answer.headers["content-length"]), answer.headers.get("etag", "")

    def _copy(self, incoming: Incoming, state: str) -> None:
        plan = incoming.plan
        if plan.single:
            data = b"".join(self._range(0, plan.size, state)) if plan.size else b""
            digest = hashlib.sha256(data).hexdigest()
            if digest != self._sha256:
                raise self._mismatch(digest)
            self._receiving.settle(incoming, *self._receiving.place.write(plan, data, incoming.replaces))
            return
        whole, fresh = hashlib.sha256(), True
        for index in range(len(plan.blocks)):
            if self._stopped.is_set():
                raise PlaceError("lost", "the session is over")
            offset, length = plan.span(index)
            if index in incoming.missing:
                data = b"".join(self._range(offset, length, state))
                if len(data) != length:
                    raise PlaceError("changed", f"{self._shown} gave {len(data)} bytes for {length}")
                whole.update(data)
                self._receiving.place.stage(plan, index, data)
            else:
                fresh = False  # what a former run staged is judged with the whole, when it is read back
            self._progress.bytes_done += length
        if fresh and whole.hexdigest() != self._sha256:
            raise self._mismatch(whole.hexdigest())
        self._receiving.settle(incoming, *self._receiving.place.commit(plan, incoming.replaces))

    def _range(self, offset: int, length: int, state: str) -> Iterator[bytes]:
        """A part of the file, gone on with where the connection breaks."""
        end, failures = offset + length, 0
        while offset < end:
            try:
                for piece in self._pieces(offset, end, state):
                    offset += len(piece)
                    failures = 0
                    yield piece
            except PlaceError as error:
                failures += 1
                if error.kind != "unreachable" or failures >= _TRIES:
                    raise

    def _pieces(self, offset: int, end: int, state: str) -> Iterator[bytes]:
        headers = {"Range": f"bytes={offset}-{end - 1}", "Accept-Encoding": "identity"}
        if state and not state.startswith("W/"):
            headers["If-Match"] = state
        with self._web.stream(self._url, headers) as (answer, pieces):
            if answer.status not in (200, 206):
                kind = "changed" if answer.status == 412 else "missing"
                raise PlaceError(kind, f"{self._shown} answers {answer.status}")
            skip = offset if answer.status == 200 else 0  # a server without ranges sends all of it
            for piece in pieces:
                wanted = piece[min(skip, len(piece)) :][: end - offset]
                skip -= min(skip, len(piece))
                offset += len(wanted)
                if wanted:
                    yield wanted
                if offset >= end:
                    return
        raise PlaceError("changed", f"{self._shown} is shorter than it said")

    @property
    def _shown(self) -> str:
        """The address without its query, which may hold a signature."""
        return self._url.split("?")[0]

    def _mismatch(self, digest: str) -> PlaceError:
        return PlaceError(
            "corrupt",
            f"{self._shown} has sha256 {digest}, the stack says {self._sha256}: nothing was taken. Check "
            f"the address, and correct sha256 if the new file is meant",
        )


def _plan(path: str, blob: Blob, digest: str) -> FilePlan:
    """A blob's plan: its blocks are known by the blob's state and their place in it."""
    state = hashlib.sha256(f"{blob.name}\0{blob.etag}".encode()).hexdigest()[:40]
    count = block_count(blob.size)
    return FilePlan(path, blob.size, digest, tuple(f"{state}{index:08d}" for index in range(count)))


def _digest(pieces: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
