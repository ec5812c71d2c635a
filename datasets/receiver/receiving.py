"""One upload as the receiver sees it: what is there, what is to come, what has become of each file.

Owns the session, the manifest and the decisions. Does not own how bytes come (`server.py`, `pulling.py`) nor where
they go (`places.py`).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Literal

from datasets.receiver.blocks import FilePlan
from datasets.receiver.manifest import Entry, Manifest, ManifestError
from datasets.receiver.places import Found, Place, PlaceError

State = Literal["complete", "send", "compare", "conflict"]
SESSION_SECONDS = 60
"""A session whose user is not heard of for so long is over, unless it works by itself."""
_PROLONG_SECONDS = 15
_SAVE_SECONDS = 10
_SAVE_SHARE = 20
"""Saving takes at most a twentieth of the time, however long the manifest is."""


def decide(plan: FilePlan, found: Found | None, entry: Entry | None, *, overwrite: bool) -> State:
    """What is to be done about one file.

    Args:
        plan: what is to be at the target.
        found: what is there.
        entry: what the manifest says of it.
        overwrite: whether other content may go.
    """
    if found is None:
        return "send"
    if found.size < 0:  # a folder where the file should be: nothing that a file may replace
        return "conflict"
    same = found.size == plan.size
    if entry is not None and entry.version == found.version:
        same = same and entry.sha256 == plan.sha256
        return "complete" if same else ("send" if overwrite else "conflict")
    if same:
        return "compare"
    return "send" if overwrite else "conflict"


@dataclass
class Incoming:
    """A file of the present upload.

    Attributes:
        replaces: what it may overwrite.
        missing: blocks that have not arrived.
        there: in words, what is at the target in a conflict.
    """

    plan: FilePlan
    state: State
    replaces: Found | None
    missing: set[int] = field(default_factory=set[int])
    there: str = ""

    def as_json(self) -> dict[str, object]:
        """For the wire."""
        return {
            "path": self.plan.path,
            "state": self.state,
            "missing": sorted(self.missing),
            "there": self.there,
        }


@dataclass
class Session:
    """Who uploads.

    Attributes:
        token: known to the one user; the lock's id, too.
        owner: person and machine, for messages.
    """

    token: str
    owner: str
    overwrite: bool
    heard: float
    working: bool = False


class Receiving:
    """One dataset's uploads, one at a time.

    Every method but `open` raises `PlaceError` of kind `lost` where the session is over.
    """

    def __init__(self, place: Place, dataset: str, path: str) -> None:
        self.place = place
        self.session: Session | None = None
        self.manifest = Manifest(dataset, path)
        self.incoming: dict[str, Incoming] = {}
        self._scan: dict[str, Found] = {}
        self._lock = threading.RLock()
        self._dirty = False
        self._prolonged = self._saved = self._idle_since = time.monotonic()
        self._save_took = 0.0

    def open(self, token: str, owner: str, source: str, *, overwrite: bool) -> None:
        """Begin a session, or go on with it, and look at the target.

        Raises:
            PlaceError: `locked`, another one's session lives.
        """
        with self._lock:
            now = time.monotonic()
            current = self.session
            if current is not None and current.token != token and self._alive(current):
                raise PlaceError("locked", f"another upload of this dataset runs: {current.owner}. Wait for it")
            self.place.lock(token, owner)
            self.session = Session(token, owner, overwrite, now)
            self._prolonged = now
            self.incoming = {}
            self._load(source)
            self._scan = self.place.scan()

    def read_manifest(self) -> Manifest | None:
        """What is stored, None where nothing is."""
        text = self.place.load_manifest()
        if text is None:
            return None
        try:
            return Manifest.parse(text)
        except ManifestError as error:
            raise PlaceError("refused", f"the manifest of {self.manifest.dataset} {error}") from error

    def _load(self, source: str) -> None:
        stored = self.read_manifest()
        kept = stored.files if stored is not None and stored.path == self.manifest.path else {}
        self.manifest = Manifest(self.manifest.dataset, self.manifest.path, source, dict(kept))

    def heard(self, token: str) -> Session:
        """A sign of life from the user of a session."""
        with self._lock:
            if self.session is None or self.session.token != token:
                raise PlaceError("lost", "this session is over: begin again")
            self.session.heard = time.monotonic()
            return self.session

    def plan(self, plan: FilePlan) -> Incoming:
        """Decide on one file."""
        with self._lock:
            found, entry = self._scan.get(plan.path), self.manifest.files.get(plan.path)
            overwrite = self.session is not None and self.session.overwrite
            state = decide(plan, found, entry, overwrite=overwrite)
            there = "" if found is None else ("a folder" if found.size < 0 else f"{found.size} bytes")
            above = next((one for one in _parents(plan.path) if self._scan.get(one, Found(-1, "")).size >= 0), None)
            if above is not None:
                state, there = "conflict", f"a file at {above}, where a folder is needed"
            incoming = Incoming(plan, state, found, there=there)
            self.incoming[plan.path] = incoming
        if state == "send":
            self._expect_blocks(incoming)
        return incoming

    def _expect_blocks(self, incoming: Incoming) -> None:
        blocks = set(range(len(incoming.plan.blocks)))
        incoming.missing = blocks if incoming.plan.single else blocks - self.place.staged(incoming.plan)

    def compare(self, path: str) -> Incoming:
        """Read what is there, where only its content can tell."""
        incoming = self._of(path)
        if incoming.state != "compare" or incoming.replaces is None:
            return incoming
        digest = sha256()
        for piece in self.place.read(path):
            digest.update(piece)
        found = incoming.replaces
        if digest.hexdigest() == incoming.plan.sha256:
            self.settle(incoming, found, digest.hexdigest())
        elif self.session is not None and self.session.overwrite:
            incoming.state = "send"
            self._expect_blocks(incoming)
        else:
            incoming.state, incoming.there = "conflict", f"{found.size} bytes with sha256 {digest.hexdigest()}"
        return incoming

    def block(self, path: str, index: int, data: bytes) -> Incoming:
        """Take one block; a file of one block is whole with it.

        Raises:
            PlaceError: `changed`, the data are not those that were planned.
        """
        incoming = self._of(path)
        plan = incoming.plan
        if incoming.state == "complete" or (index not in incoming.missing and not plan.single):
            return incoming  # a repeated request, whose first answer was lost
        if incoming.state != "send":
            raise PlaceError("refused", f"{path} is not to be sent: {incoming.state}")
        expected = plan.blocks[index] if plan.blocks else plan.sha256
        if sha256(data).hexdigest() != expected:
            told = f"{path}: block {index} is not what was planned; the source changed, or the connection did it harm"
            raise PlaceError("changed", told)
        if plan.single:
            self.settle(incoming, *self.place.write(plan, data, incoming.replaces))
        else:
            self.place.stage(plan, index, data)
            with self._lock:
                incoming.missing.discard(index)
        return incoming

    def commit(self, path: str) -> Incoming:
        """Make a file of its blocks, if they are all there."""
        incoming = self._of(path)
        if incoming.state == "send" and not incoming.missing and not incoming.plan.single:
            try:
                found, digest = self.place.commit(incoming.plan, incoming.replaces)
            except PlaceError as error:
                if error.kind == "corrupt":
                    self._expect_blocks(incoming)
                raise
            self.settle(incoming, found, digest)
        return incoming

    def settle(self, incoming: Incoming, found: Found, digest: str, origin: str = "") -> None:
        """Take a file for good: it was read back and is right."""
        with self._lock:
            self.manifest.files[incoming.plan.path] = Entry(found.size, digest, found.version, origin)
            incoming.state, incoming.missing = "complete", set()
            self._scan[incoming.plan.path] = found
            self._dirty = True

    def finish(self) -> dict[str, int]:
        """Write the manifest as complete, and let others in.

        Raises:
            PlaceError: `refused`, a file is not complete.
        """
        with self._lock:
            rest = [path for path, one in self.incoming.items() if one.state != "complete"]
            if rest:
                raise PlaceError("refused", f"{len(rest)} files are not complete, as {rest[0]}")
            files = {path: self.manifest.files[path] for path in self.incoming}
            gone = sum(1 for path, one in self._scan.items() if path not in files and one.size >= 0)
            self.manifest.files = files
            self.manifest.complete = True
            self.place.save_manifest(self.manifest.text(_now()))
            self.place.clear_unfinished()
            self._dirty = False
            self._end()
            return {"files": len(files), "bytes": sum(one.size for one in files.values()), "others": gone}

    def leave(self) -> None:
        """Keep what was reached, and let others in."""
        with self._lock:
            self._save()
            self._end()

    def _end(self) -> None:
        if self.session is not None:
            self.place.unlock(self.session.token)
        self.session = None
        self._idle_since = time.monotonic()

    def tick(self) -> None:
        """To be called every second or so: prolongs the lock, saves the manifest, ends dead sessions."""
        with self._lock:
            session = self.session
            if session is None:
                return
            now = time.monotonic()
            if not self._alive(session):
                with contextlib.suppress(PlaceError):
                    self.leave()
                self.session = None
                return
            if now - self._prolonged > _PROLONG_SECONDS:
                try:
                    self.place.lock(session.token, session.owner)
                    self._prolonged = now
                except PlaceError as error:
                    if error.kind == "locked":  # somebody took over: nothing more may be written
                        self.session = None
                        return
            if self._dirty and now - self._saved > max(_SAVE_SECONDS, _SAVE_SHARE * self._save_took):
                with contextlib.suppress(PlaceError):  # the next one will do
                    self._save()

    def idle_seconds(self) -> float:
        """For how long there has been no session."""
        with self._lock:
            return 0.0 if self.session is not None else time.monotonic() - self._idle_since

    def verify(self, done: Callable[[str, int], None]) -> Iterator[tuple[str, str]]:
        """Read everything that the manifest names; gives path and fault of what is not as it should be.

        Args:
            done: called with each path and its bytes.

        Raises:
            PlaceError: `missing`, there is no manifest.
        """
        manifest = self.read_manifest()
        if manifest is None:
            raise PlaceError("missing", f"{self.place.describe()} has no manifest of this dataset: upload it first")
        if not manifest.complete:
            yield "", "the last upload did not come to its end: upload again"
        for path, entry in manifest.files.items():
            fault = self._fault(path, entry)
            if fault:
                yield path, fault
            done(path, entry.size)

    def _fault(self, path: str, entry: Entry) -> str:
        digest, size = sha256(), 0
        try:
            for piece in self.place.read(path):
                digest.update(piece)
                size += len(piece)
        except PlaceError as error:
            if error.kind in ("changed", "missing"):
                return "is not there"
            raise
        if digest.hexdigest() == entry.sha256:
            return ""
        return f"has {size} bytes and sha256 {digest.hexdigest()}, expected {entry.size} and {entry.sha256}"

    def _save(self) -> None:
        if self._dirty:
            start = time.monotonic()
            self.place.save_manifest(self.manifest.text(_now()))
            self._saved = time.monotonic()
            self._save_took = self._saved - start
            self._dirty = False

    def _of(self, path: str) -> Incoming:
        with self._lock:
            if path not in self.incoming:
                raise PlaceError("lost", f"{path} was not planned in this session: begin again")
            return self.incoming[path]

    def _alive(self, session: Session) -> bool:
        return session.working or time.monotonic() - session.heard < SESSION_SECONDS


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
