"""Sends a folder's files to the receiver: plans, blocks, commits, in several threads.

Owns the order of one round. A round ends complete, with a reason that ends the command, or with `LostError` where the
receiver forgot the session; then another round goes on where this one was.
"""

from __future__ import annotations

import contextlib
import threading
import time
import urllib.parse
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from datasets.folder import LocalFile, read_block
from datasets.link import Json, Link, ReceiverError
from datasets.problems import CONFLICT, SOURCE, CommandError, listed
from datasets.progress import Progress
from datasets.receiver.blocks import FilePlan

_T = TypeVar("_T")
_BATCH_FILES = 500
_BATCH_BLOCKS = 20_000
_HEARTBEAT_SECONDS = 15


class LostError(Exception):
    """The receiver does not know the session (any more): its pod was replaced."""


@dataclass
class Waiting:
    """One file that has to be sent.

    Attributes:
        missing: blocks to send; `[0]` for a file of one block or none.
        left: how many of them are still to come.
    """

    plan: FilePlan
    missing: list[int]
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.left = len(self.missing)


class Round:
    """One round over one session.

    Args:
        link: to the receiver, its session open.
        files, plans: by path.
        workers: threads that send.
    """

    def __init__(
        self,
        link: Link,
        files: Mapping[str, LocalFile],
        plans: Sequence[FilePlan],
        progress: Progress,
        workers: int,
    ) -> None:
        self._link = link
        self._files = files
        self._plans = plans
        self._progress = progress
        self._workers = workers
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._errors: list[Exception] = []
        self._changed: list[str] = []
        self.sent_bytes = 0
        self.there_bytes = 0

    def run(self) -> Json:
        """Send what is missing; gives the receiver's sums.

        Raises:
            CommandError: conflicts (before anything is sent), a changed source, a target that does not take it.
            LostError: begin another round.
        """
        with self._heartbeat():
            waiting = self._decide()
            size = sum(plan.size for plan in self._plans)
            to_send = sum(self._bytes(one, one.missing) for one in waiting)
            self.there_bytes = size - to_send
            self._progress.begin("uploading", len(self._plans), size)
            self._progress.reach(self.there_bytes, len(self._plans) - len(waiting))
            self._send(waiting)
            if self._changed:
                raise CommandError(
                    SOURCE,
                    f"{len(self._changed)} files changed while they were uploaded; they were not written, all others "
                    f"are complete. Repeat the command when nobody writes to the source:\n{listed(self._changed)}",
                )
            return _asked(lambda: self._link.post("/finish"))

    def _bytes(self, one: Waiting, indexes: Iterable[int]) -> int:
        return sum(one.plan.span(index)[1] for index in indexes) if one.plan.blocks else 0

    def _decide(self) -> list[Waiting]:
        """Ask about every file before anything is changed."""
        self._progress.begin("comparing", len(self._plans), sum(plan.size for plan in self._plans))
        waiting, conflicts, compare = list[Waiting](), list[str](), list[FilePlan]()
        for batch in _batches(self._plans):
            body = {"files": [plan.as_json() for plan in batch]}
            answers = _asked(lambda body=body: self._link.post("/plan", body))["files"]
            for plan, answer in zip(batch, cast("list[Json]", answers), strict=True):
                if answer["state"] == "compare":
                    compare.append(plan)
                else:
                    self._sort(plan, answer, waiting, conflicts)
        self._each(compare, lambda plan: self._sort(plan, self._lasting("/compare", plan), waiting, conflicts))
        if conflicts:
            raise CommandError(
                CONFLICT,
                f"{len(conflicts)} files are at the target with other content; nothing was changed. To replace them "
                f"use --overwrite; else move them away, or give the dataset another path:\n{listed(sorted(conflicts))}",
            )
        return waiting

    def _sort(self, plan: FilePlan, answer: Json, waiting: list[Waiting], conflicts: list[str]) -> None:
        with self._lock:
            if answer["state"] == "send":
                waiting.append(Waiting(plan, [0] if plan.single else [int(one) for one in answer["missing"]]))
            elif answer["state"] == "conflict":
                conflicts.append(f"{plan.path}: there {answer['there']}; here {plan.size} bytes, sha256 {plan.sha256}")
        if answer["state"] != "send":
            self._progress.add(plan.size, 1)

    def _lasting(self, where: str, plan: FilePlan) -> Json:
        """Ask for what may take long, until it is done."""
        while True:
            status, answer = _asked(lambda: self._link.ask("POST", where, {"path": plan.path}))
            if status != 202:
                return answer
            if self._stop.is_set():
                raise LostError

    def _send(self, waiting: list[Waiting]) -> None:
        # Files whose blocks have all arrived lack their last step only.
        whole = [one for one in waiting if not one.missing]
        self._each(whole, self._commit)
        units = ((one, index) for one in waiting for index in one.missing)
        self._each(units, lambda unit: self._unit(*unit))

    def _unit(self, one: Waiting, index: int) -> None:
        plan = one.plan
        if plan.path in self._changed:
            return
        try:
            data = read_block(self._files[plan.path], plan, index)
        except CommandError as error:
            with self._lock:
                self._changed.append(plan.path)
            self._progress.say(str(error))
            return
        query = urllib.parse.urlencode({"path": plan.path, "index": index})
        _asked(lambda: self._link.ask("PUT", f"/block?{query}", data))
        with self._lock:
            self.sent_bytes += len(data)
            one.left -= 1
            last = one.left == 0
        self._progress.add(len(data))
        if last and plan.single:
            self._progress.add(files=1)
        elif last:
            self._commit(one)

    def _commit(self, one: Waiting) -> None:
        answer = self._lasting("/commit", one.plan)
        if answer["state"] != "complete":
            raise LostError  # blocks were lost with the pod
        self._progress.add(files=1)

    def _each(self, units: Iterable[_T], act: Callable[[_T], None]) -> None:
        """Do something about each of many, in several threads; the first error ends them all."""
        source: Iterator[_T] = iter(units)

        def work() -> None:
            while not self._stop.is_set():
                with self._lock:
                    unit = next(source, _END)
                if unit is _END:
                    return
                try:
                    act(cast(_T, unit))
                except Exception as error:  # noqa: BLE001  (told by the caller's thread)
                    self._errors.append(error)
                    self._stop.set()

        threads = [threading.Thread(target=work, daemon=True) for _ in range(self._workers)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.2)  # in steps, so that Ctrl-C is heard
        except BaseException:
            self._stop.set()
            raise
        if self._errors:
            raise self._errors[0]

    @contextlib.contextmanager
    def _heartbeat(self) -> Generator[None]:
        """Sign of life while single requests take long."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(_HEARTBEAT_SECONDS):
                with contextlib.suppress(Exception):  # the requests that matter will tell
                    self._link.ask("POST", "/heard", {}, patient=False)

        threading.Thread(target=beat, daemon=True).start()
        try:
            yield
        finally:
            over.set()


_END = object()


def _asked(ask: Callable[[], _T]) -> _T:
    try:
        return ask()
    except ReceiverError as error:
        if error.kind == "lost":
            raise LostError from error
        raise


def _batches(plans: Sequence[FilePlan]) -> Iterator[list[FilePlan]]:
    batch, blocks = list[FilePlan](), 0
    for plan in plans:
        batch.append(plan)
        blocks += len(plan.blocks)
        if len(batch) >= _BATCH_FILES or blocks >= _BATCH_BLOCKS:
            yield batch
            batch, blocks = [], 0
    if batch:
        yield batch


def wait_for_work(link: Link, progress: Progress, what: str, begin: Callable[[], Any]) -> Json:
    """Watch what the receiver does by itself, until it ends.

    Args:
        begin: called again where the receiver forgot it.

    Returns:
        The result.

    Raises:
        ReceiverError: it failed.
        CommandError: files are there with other content.
    """
    while True:
        status = link.ask("GET", "/status")[1]
        done = status["progress"]
        match status["state"]:
            case "working":
                progress.begin(f"{what}, {done['phase']}", done["files"], done["bytes"])
                progress.reach(done["bytes_done"], done["files_done"])
                time.sleep(1)
            case "done":
                return cast(Json, status["result"])
            case "failed":
                raise ReceiverError(str(status["kind"]), str(status["error"]))
            case "conflict":
                files = [f"{one['path']}: there {one['there']}" for one in status["files"]]
                raise CommandError(
                    CONFLICT,
                    f"{status['count']} files are at the target with other content; nothing was changed. To replace "
                    f"them use --overwrite; else move them away:\n{listed(files)}",
                )
            case _:
                begin()
