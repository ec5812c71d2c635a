"""The commands: upload, verify, list.

Owns what they do in which order, and what becomes of errors. Everything that could refuse is asked before anything is
changed at the target.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from datasets.cluster import Cluster, KubectlError, UploadJob, kubeconfig_arguments
from datasets.declared import Declared, Deployed
from datasets.folder import Checksums, LocalFile, list_folder
from datasets.link import Link, PodGoneError, ReceiverError
from datasets.problems import BUSY, CONFLICT, FAILED, SOURCE, UNREACHABLE, CommandError, listed
from datasets.progress import Progress, amount
from datasets.receiver.blocks import PROTOCOL, FilePlan
from datasets.sending import Json, LostError, Round, wait_for_work
from datasets.session import LocalSession, cache_folder

_T = TypeVar("_T")
_CODES = {"locked": BUSY, "changed": CONFLICT, "missing": SOURCE, "unreachable": UNREACHABLE}
_MOST_EMPTY_ROUNDS = 10


@dataclass(frozen=True)
class Options:
    """How a command is to work.

    Attributes:
        source: another folder than the stack's; None: the stack's.
        context: a context of the user's own kubeconfig; None: the stack's kubeconfig.
        patience: seconds without a sign of the receiver before it is given up.
        base: what relative folders are relative to.
    """

    overwrite: bool = False
    source: Path | None = None
    context: str | None = None
    workers: int = 4
    patience: float = 600
    base: Path = Path()


def upload(deployed: Deployed, name: str, options: Options, progress: Progress) -> None:
    """Copy a dataset from its source to its target.

    Raises:
        CommandError: with the exit code.
    """
    dataset = deployed.dataset(name)
    progress.say(f"{name}: {options.source or dataset.source_text} → {dataset.target_text}")
    session = LocalSession(cache_folder() / "uploads", deployed.stack, name, dataset.target_text)
    try:
        if options.source or "folder" in dataset.source:
            files, plans = _read_source(dataset, options, progress)
        else:
            files, plans = None, []
        with _receiver(deployed, dataset, options, progress) as (job, link):
            _refuse_strangers(job, link, progress)
            link.token = session.token
            body = {"token": session.token, "owner": session.owner, "overwrite": options.overwrite}
            body["source"] = str(options.source or dataset.source_text)
            with _leaving(link):
                if files is None:
                    sums = _pull(link, dataset, body, progress)
                else:
                    sums = _push(link, body, Sources(files, plans), progress, options.workers)
            session.done()
            with contextlib.suppress(KubectlError):  # it ends by itself
                job.delete(wait=False)
    finally:
        progress.end()
        session.close()
    others = f"; {sums['others']} other files lie there, which the source does not have" if sums["others"] else ""
    sent = f" ({amount(sums['sent'])} of them sent now)" if "sent" in sums else ""
    progress.say(f"{name} is complete: {sums['files']} files, {amount(sums['bytes'])}{sent}, all verified{others}")


def verify(deployed: Deployed, name: str, options: Options, progress: Progress) -> None:
    """Read a dataset back in the cluster and compare it with its manifest.

    Raises:
        CommandError: something is not as it should be; what, is listed.
    """
    dataset = deployed.dataset(name)
    with _receiver(deployed, dataset, options, progress) as (job, link):
        result = _told(lambda: wait_for_work(link, progress, "verifying", lambda: link.post("/verify")))
        busy = link.ask("GET", "/hello")[1]["session"] is not None
        if not busy:
            with contextlib.suppress(KubectlError):
                job.delete(wait=False)
    progress.end()
    if result["faulty"]:
        faults = [f"{path}: {fault}" if path else fault for path, fault in result["faults"]]
        raise CommandError(
            FAILED,
            f"{name}: {result['faulty']} of {result['files']} files are not as they were uploaded. Upload again with "
            f"--overwrite to mend them:\n{listed(faults)}",
        )
    others = f"; {result['others']} other files lie there" if result["others"] else ""
    progress.say(f"{name} is whole: {result['files']} files, {amount(result['bytes'])} read back{others}")


def show(deployed: Deployed) -> str:
    """The datasets of a stack as lines of text."""
    if not deployed.datasets:
        return f"stack {deployed.stack} has no datasets: add them to trainyard:datasets and run pulumi up"
    wide = max(len(name) for name in deployed.datasets)
    return "\n".join(
        f"{name:<{wide}}  {one.source_text} → {one.target_text}" for name, one in sorted(deployed.datasets.items())
    )


@dataclass(frozen=True)
class Sources:
    """A folder's files by path, and their plans."""

    files: dict[str, LocalFile]
    plans: list[FilePlan]


def _read_source(
    dataset: Declared, options: Options, progress: Progress
) -> tuple[dict[str, LocalFile], list[FilePlan]]:
    folder = (options.base / Path(options.source or dataset.source["folder"]).expanduser()).absolute()
    kind = "blob" if "container" in dataset.target else dataset.target["protocol"]
    listing = list_folder(folder, kind)
    if listing.links:
        progress.say(f"{listing.links} symbolic links are followed: what they lead to is uploaded")
    if listing.empty_folders:
        progress.say(f"{listing.empty_folders} empty folders are left out")
    progress.begin("reading the source", len(listing.files), sum(one.size for one in listing.files))
    checksums = Checksums(cache_folder() / "checksums.sqlite")
    plans: list[FilePlan] = []
    try:
        for file in listing.files:
            plans.append(checksums.plan(file, progress.add))
            progress.add(files=1)
    finally:
        checksums.close()
    return {one.path: one for one in listing.files}, plans


@contextlib.contextmanager
def _receiver(
    deployed: Deployed, dataset: Declared, options: Options, progress: Progress
) -> Generator[tuple[UploadJob, Link]]:
    """The Job, and the way to its pod; the way is closed in the end."""
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(kubeconfig_arguments(deployed.kubeconfig, options.context, folder))
        job = UploadJob(cluster, dataset, progress.say)
        job.ensure()
        link = Link(cluster, dataset.namespace, job.ready_pod, options.patience, progress.say)
        try:
            yield job, link
        finally:
            link.close()


def _refuse_strangers(job: UploadJob, link: Link, progress: Progress) -> None:
    """A Job of another version, or of a former target, goes, unless somebody uses it."""
    found = job.find()
    hello = link.ask("GET", "/hello")[1]
    if found is not None and job.is_of_this_program(found) and hello["protocol"] == PROTOCOL:
        return
    if hello["session"] is not None:
        told = f"another upload of this dataset runs, by another version of this program: {hello['session']['owner']}"
        raise CommandError(BUSY, f"{told}. Wait for it")
    progress.say("a Job of another version is replaced")
    job.delete(wait=True)
    job.ensure()


def _push(link: Link, body: Json, sources: Sources, progress: Progress, workers: int) -> Json:
    empty = sent = 0
    while True:
        _told(lambda: link.post("/session", body))
        turn = Round(link, sources.files, sources.plans, progress, workers)
        try:
            return {**_told(turn.run), "sent": sent + turn.sent_bytes}
        except LostError:
            sent += turn.sent_bytes
            empty = 0 if turn.sent_bytes else empty + 1
            if empty > _MOST_EMPTY_ROUNDS:
                raise CommandError(
                    UNREACHABLE, "the receiver forgets the upload again and again; see the Job's logs. Repeat to go on"
                ) from None
            progress.say("the receiver was started anew: going on with what is missing")


def _pull(link: Link, dataset: Declared, body: Json, progress: Progress) -> Json:
    def begin() -> None:
        if not link.post("/session", body)["working"]:
            link.post("/pull", dict(dataset.source))

    def work() -> Json:
        begin()
        return wait_for_work(link, progress, "copying in the cluster", begin)

    return _told(work)


@contextlib.contextmanager
def _leaving(link: Link) -> Generator[None]:
    """Whatever ends an upload early, the receiver is told, so that nobody waits for its lock."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(ReceiverError, PodGoneError):
            link.ask("POST", "/leave", {}, patient=False)
        raise


def _told(act: Callable[[], _T]) -> _T:
    """The receiver's errors as errors of the command."""
    try:
        return act()
    except ReceiverError as error:
        raise CommandError(_CODES.get(error.kind, FAILED), f"{error}\nWhat is complete stays.") from error
