"""Uploads into a container: Azurite stores, Azure's own client judges."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import ContainerClient

from datasets.folder import Checksums, LocalFile, list_folder
from datasets.link import ReceiverError
from datasets.problems import CONFLICT, SOURCE, CommandError
from datasets.progress import Progress
from datasets.receiver.blocks import SMALLEST_BLOCK
from datasets.sending import LostError, Round
from tests.datasets.conftest import DirectLink, Pod, address
from tests.datasets.storage import Storage

Pods = Callable[..., Pod]
NAMES = [
    "a.txt",
    "empty",
    ".hidden",
    "with space.bin",
    "übung/日本語 ✓.txt",
    "deep/er/file",
    "per%20cent&+#?=.x",
    "e\u0301",
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Small files with odd names, and one of three blocks."""
    folder = tmp_path / "source"
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"" if name == "empty" else name.encode() * 100)
    (folder / "large.bin").write_bytes(os.urandom(2 * SMALLEST_BLOCK + 12345))
    return folder


class Upload:
    """One user's upload over a direct link."""

    def __init__(self, pod: Pod, source: Path, cache: Path) -> None:
        self.link = DirectLink(pod)
        self.link.token = str(uuid.uuid4())
        self.source = source
        self._cache = cache

    def open(self, *, overwrite: bool = False) -> None:
        self.link.post(
            "/session", {"token": self.link.token, "owner": "tester", "source": "here", "overwrite": overwrite}
        )

    def round(self, *, kind: str = "blob") -> Round:
        listing = list_folder(self.source, kind)
        checksums = Checksums(self._cache / "sums.sqlite")
        plans = [checksums.plan(one, lambda _size: None) for one in listing.files]
        checksums.close()
        files: dict[str, LocalFile] = {one.path: one for one in listing.files}
        return Round(self.link, files, plans, Progress(quiet=True), 3)

    def run(self, *, overwrite: bool = False, kind: str = "blob") -> dict[str, Any]:
        self.open(overwrite=overwrite)
        return self.round(kind=kind).run()


def contents(container: ContainerClient) -> dict[str, bytes]:
    """Everything of the dataset that is there."""
    names = [blob.name for blob in container.list_blobs(name_starts_with="set/")]
    return {name.removeprefix("set/"): container.download_blob(name).readall() for name in names}


def local(source: Path) -> dict[str, bytes]:
    """The same of the source."""
    return {str(one.relative_to(source)): one.read_bytes() for one in source.rglob("*") if one.is_file()}


def manifest(container: ContainerClient) -> dict[str, Any]:
    """What is kept beside the data."""
    return json.loads(container.download_blob(".trainyard/set.json").readall())


def test_every_file_arrives_whatever_its_name_and_the_manifest_has_its_checksum(
    pods: Pods, container: ContainerClient, source: Path, tmp_path: Path
) -> None:
    sums = Upload(pods(address(container)), source, tmp_path).run()
    assert contents(container) == local(source)
    kept = manifest(container)
    assert kept["complete"] is True
    assert {path: row[1] for path, row in kept["files"].items()} == {
        path: hashlib.sha256(data).hexdigest() for path, data in local(source).items()
    }
    assert sums["files"] == len(NAMES) + 1


def test_a_second_upload_sends_nothing(
    pods: Pods, storage: Storage, container: ContainerClient, source: Path, tmp_path: Path
) -> None:
    pod = pods(address(container))
    Upload(pod, source, tmp_path).run()
    before = storage.requests()
    again = Upload(pod, source, tmp_path)
    again.open()
    turn = again.round()
    turn.run()
    assert storage.requests() == before
    assert turn.sent_bytes == 0


@pytest.mark.parametrize("arrived", [1, 4, 8])
def test_a_killed_pod_costs_nothing_that_had_arrived(
    pods: Pods, storage: Storage, container: ContainerClient, source: Path, tmp_path: Path, *, arrived: int
) -> None:
    (source / "larger.bin").write_bytes(os.urandom(6 * SMALLEST_BLOCK))
    pod = pods(address(container))
    upload = Upload(pod, source, tmp_path)
    upload.open()
    before = storage.requests()
    first = upload.round()

    def kill() -> None:
        while storage.requests()["block"] < before["block"] + arrived:
            time.sleep(0.01)
        pod.kill()
        pod.start()

    killer = threading.Thread(target=kill)
    killer.start()
    with contextlib.suppress(LostError):  # the last kill may come after the last block
        first.run()
    killer.join()
    upload.open()
    second = upload.round()
    second.run()
    assert contents(container) == local(source)
    blocks = storage.requests()["block"] - before["block"]
    # What was on its way when the pod died, one block a thread, may have been stored unheard.
    assert 9 <= blocks <= 9 + 3
    assert second.sent_bytes <= sum(len(data) for data in local(source).values()) - (arrived - 3) * SMALLEST_BLOCK


def test_other_content_is_refused_listed_and_untouched_unless_it_may_go(
    pods: Pods, container: ContainerClient, source: Path, tmp_path: Path
) -> None:
    container.upload_blob("set/a.txt", b"mine")
    container.upload_blob("set/deep/er/file", b"x" * 1200)
    pod = pods(address(container))
    with pytest.raises(CommandError) as refused:
        Upload(pod, source, tmp_path).run()
    assert refused.value.code == CONFLICT
    assert "a.txt: there 4 bytes" in str(refused.value)
    assert "deep/er/file: there 1200 bytes with sha256" in str(refused.value)
    assert set(contents(container)) == {"a.txt", "deep/er/file"}, "nothing is sent while there is a conflict"
    pod.kill()
    pod.start()
    other = Upload(pod, source, tmp_path)
    with pytest.raises(ReceiverError, match="another upload of this dataset runs"):
        other.open()


def test_overwrite_replaces_what_differs_and_leaves_what_is_equal(
    pods: Pods, storage: Storage, container: ContainerClient, source: Path, tmp_path: Path
) -> None:
    container.upload_blob("set/a.txt", b"mine")
    container.upload_blob("set/.hidden", (source / ".hidden").read_bytes())
    equal = container.get_blob_client("set/.hidden").get_blob_properties().etag
    container.upload_blob("set/extra", b"of somebody")
    sums = Upload(pods(address(container)), source, tmp_path).run(overwrite=True)
    assert contents(container) == {**local(source), "extra": b"of somebody"}
    assert container.get_blob_client("set/.hidden").get_blob_properties().etag == equal
    assert sums["others"] == 1


def test_a_file_written_by_somebody_else_meanwhile_is_not_overwritten(
    pods: Pods, container: ContainerClient, source: Path, tmp_path: Path
) -> None:
    upload = Upload(pods(address(container)), source, tmp_path)
    upload.open()
    container.upload_blob("set/a.txt", b"just now")
    with pytest.raises(ReceiverError) as told:
        upload.round().run()
    assert told.value.kind == "changed"
    assert contents(container)["a.txt"] == b"just now"


def test_a_source_that_changes_is_told_and_the_rest_is_kept(
    pods: Pods, container: ContainerClient, source: Path, tmp_path: Path
) -> None:
    upload = Upload(pods(address(container)), source, tmp_path)
    upload.open()
    turn = upload.round()
    (source / "a.txt").write_bytes(b"another")
    with (source / "large.bin").open("r+b") as file:
        file.seek(SMALLEST_BLOCK + 5)
        file.write(b"changed")
    with pytest.raises(CommandError) as told:
        turn.run()
    assert told.value.code == SOURCE
    assert "2 files changed" in str(told.value)
    there = contents(container)
    assert "a.txt" not in there
    assert "large.bin" not in there
    assert "deep/er/file" in there


def test_bytes_harmed_on_the_way_are_not_taken(pods: Pods, container: ContainerClient, tmp_path: Path) -> None:
    source = tmp_path / "one"
    source.mkdir()
    (source / "file").write_bytes(b"right")
    upload = Upload(pods(address(container)), source, tmp_path)
    upload.open()
    digest = hashlib.sha256(b"right").hexdigest()
    file = {"path": "file", "size": 5, "sha256": digest, "blocks": [digest]}
    upload.link.post("/plan", {"files": [file]})
    with pytest.raises(ReceiverError) as told:
        upload.link.ask("PUT", "/block?path=file&index=0", b"wrong")
    assert told.value.kind == "changed"
    assert contents(container) == {}


def test_two_uploads_of_one_dataset_exclude_each_other_over_clusters_too(
    pods: Pods, container: ContainerClient, source: Path, tmp_path: Path
) -> None:
    first = Upload(pods(address(container)), source, tmp_path)
    first.open()
    second = Upload(pods(address(container)), source, tmp_path)
    with pytest.raises(ReceiverError, match="another upload of this dataset runs: tester") as told:
        second.open()
    assert told.value.kind == "locked"
    first.round().run()
    second.open()


def test_the_same_user_goes_on_at_once_after_a_kill(
    pods: Pods, container: ContainerClient, source: Path, tmp_path: Path
) -> None:
    first_pod = pods(address(container))
    upload = Upload(first_pod, source, tmp_path)
    upload.open()
    first_pod.kill()
    upload.link.pod = pods(address(container))
    assert upload.run()["files"] == len(NAMES) + 1


def test_a_pod_that_is_told_to_end_saves_what_it_knows_and_frees_the_lock(
    pods: Pods, container: ContainerClient, source: Path, tmp_path: Path
) -> None:
    pod = pods(address(container))
    upload = Upload(pod, source, tmp_path)
    upload.open()
    digest = hashlib.sha256((source / "a.txt").read_bytes()).hexdigest()
    file = {"path": "a.txt", "size": (source / "a.txt").stat().st_size, "sha256": digest, "blocks": [digest]}
    upload.link.post("/plan", {"files": [file]})
    upload.link.ask("PUT", "/block?path=a.txt&index=0", (source / "a.txt").read_bytes())
    assert pod.terminate() == 0
    kept = manifest(container)
    assert (kept["complete"], list(kept["files"])) == (False, ["a.txt"])
    Upload(pods(address(container)), source, tmp_path).open()


def test_verify_finds_what_was_changed_and_what_is_gone(
    pods: Pods, container: ContainerClient, source: Path, tmp_path: Path
) -> None:
    upload = Upload(pods(address(container)), source, tmp_path)
    upload.run()
    assert verified(upload)["faulty"] == 0
    container.upload_blob("set/a.txt", b"rotten", overwrite=True)
    container.delete_blob("set/.hidden")
    result = verified(upload)
    assert result["faulty"] == 2
    assert {path for path, _ in result["faults"]} == {"a.txt", ".hidden"}


def verified(upload: Upload) -> dict[str, Any]:
    """The result of reading everything back."""
    upload.link.post("/verify")
    while (status := upload.link.ask("GET", "/status")[1])["state"] == "working":
        time.sleep(0.05)
    return status["result"]


def test_a_file_where_a_folder_is_needed_is_a_conflict(
    pods: Pods, container: ContainerClient, source: Path, tmp_path: Path
) -> None:
    container.upload_blob("set/deep", b"a file")
    with pytest.raises(CommandError, match="a file at deep, where a folder is needed"):
        Upload(pods(address(container)), source, tmp_path).run(overwrite=True)
