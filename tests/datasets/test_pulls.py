"""Sources that the cluster reads itself: containers and addresses."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import ContainerClient

from datasets.link import Json
from datasets.receiver.blocks import SMALLEST_BLOCK
from tests.datasets.conftest import DirectLink, Pod, address
from tests.datasets.storage import ACCOUNTS, Storage
from tests.datasets.test_blob_uploads import contents, manifest

Pods = Callable[..., Pod]
CONTENT = os.urandom(2 * SMALLEST_BLOCK + 99)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def source(storage: Storage) -> ContainerClient:
    """A container of another account, with files below a folder and beside it."""
    made = storage.container(f"s{uuid.uuid4().hex[:12]}", ACCOUNTS[1])
    made.create_container()
    made.upload_blob("data/large", CONTENT)
    made.upload_blob("data/sub/ü b#1", b"small")
    made.upload_blob("data/empty", b"")
    made.upload_blob("other/file", b"not asked for")
    return made


class Pull:
    """One user's pull."""

    def __init__(self, pod: Pod, source: Json) -> None:
        self.link = DirectLink(pod)
        self.link.token = str(uuid.uuid4())
        self.source = source

    def begin(self, *, overwrite: bool = False) -> None:
        body = {"token": self.link.token, "owner": "tester", "source": "there", "overwrite": overwrite}
        if not self.link.post("/session", body)["working"]:
            self.link.post("/pull", self.source)

    def run(self, *, overwrite: bool = False) -> Json:
        """What the receiver says in the end."""
        self.begin(overwrite=overwrite)
        while (status := self.link.ask("GET", "/status")[1])["state"] == "working":
            time.sleep(0.05)
        return status


def of_container(source: ContainerClient, path: str = "data") -> dict[str, Any]:
    return {"container": f"https://{ACCOUNTS[1]}.blob.core.windows.net/{source.container_name}", "path": path}


def of_address(storage: Storage, content: bytes = CONTENT, sha256: str = SHA256) -> dict[str, Any]:
    path = f"/{uuid.uuid4().hex}/set.tar"
    storage.files[path] = content
    return {"url": f"https://data.example{path}", "sha256": sha256}


def test_a_container_s_folder_is_copied_and_its_checksums_are_known(
    pods: Pods, container: ContainerClient, source: ContainerClient
) -> None:
    status = Pull(pods(address(container)), of_container(source)).run()
    assert status["state"] == "done", status
    assert contents(container) == {"large": CONTENT, "sub/ü b#1": b"small", "empty": b""}
    assert manifest(container)["files"]["large"][1] == SHA256


def test_a_second_pull_copies_nothing_and_a_changed_source_is_a_conflict(
    pods: Pods, storage: Storage, container: ContainerClient, source: ContainerClient
) -> None:
    pod = pods(address(container))
    Pull(pod, of_container(source)).run()
    before = storage.requests()
    assert Pull(pod, of_container(source)).run()["state"] == "done"
    assert storage.requests() == before
    source.upload_blob("data/sub/ü b#1", b"other", overwrite=True)
    status = Pull(pod, of_container(source)).run()
    assert (status["state"], [one["path"] for one in status["files"]]) == ("conflict", ["sub/ü b#1"])
    pod.kill()  # the session of a conflict stays with its user; here another one goes on
    pod.start()
    other = Pull(pod, of_container(source))
    other.link.token = str(uuid.uuid4())
    assert contents(container)["sub/ü b#1"] == b"small"


def test_a_killed_pod_copies_only_the_rest_of_a_container(
    pods: Pods, storage: Storage, container: ContainerClient, source: ContainerClient
) -> None:
    source.upload_blob("data/larger", os.urandom(8 * SMALLEST_BLOCK))
    pod = pods(address(container))
    pull = Pull(pod, of_container(source))
    before = storage.requests()["block"]
    pull.begin()
    while storage.requests()["block"] < before + 3:
        time.sleep(0.01)
    pod.kill()
    pod.start()
    assert pull.run()["state"] == "done"
    assert storage.requests()["block"] - before <= 11 + 1
    assert contents(container)["large"] == CONTENT


def test_a_source_that_is_not_there_changes_nothing(
    pods: Pods, container: ContainerClient, source: ContainerClient
) -> None:
    status = Pull(pods(address(container)), of_container(source, "nothing/here")).run()
    assert (status["state"], status["kind"]) == ("failed", "missing")
    assert "check the dataset's source" in status["error"]
    assert contents(container) == {}


def test_an_address_is_copied_and_checked(pods: Pods, storage: Storage, container: ContainerClient) -> None:
    status = Pull(pods(address(container)), of_address(storage)).run()
    assert status["state"] == "done", status
    assert contents(container) == {"set.tar": CONTENT}


@pytest.mark.parametrize("content", [CONTENT, b"small"])
def test_a_wrong_checksum_leaves_nothing(
    pods: Pods, storage: Storage, container: ContainerClient, content: bytes
) -> None:
    status = Pull(pods(address(container)), of_address(storage, content, "0" * 64)).run()
    assert (status["state"], status["kind"]) == ("failed", "corrupt")
    assert "nothing was taken" in status["error"]
    assert contents(container) == {}


def test_a_killed_pod_reads_only_the_rest_of_an_address(
    pods: Pods, storage: Storage, container: ContainerClient
) -> None:
    content = os.urandom(8 * SMALLEST_BLOCK)
    source = of_address(storage, content, hashlib.sha256(content).hexdigest())
    pod = pods(address(container))
    pull = Pull(pod, source)
    before = storage.requests()["block"]
    pull.begin()
    while storage.requests()["block"] < before + 3:
        time.sleep(0.01)
    pod.kill()
    pod.start()
    assert pull.run()["state"] == "done"
    ranges = [span for asked, span in storage.asked if asked.startswith("GET") and asked.endswith(source["url"][20:])]
    assert len(ranges) <= 8 + 1
    assert contents(container) == {"set.tar": content}


def test_a_rotten_block_of_a_former_run_is_found_when_the_whole_is_read_back(
    pods: Pods, storage: Storage, container: ContainerClient
) -> None:
    source = of_address(storage)
    pod = pods(address(container))
    storage.files[source["url"].removeprefix("https://data.example")] = b"x" * len(CONTENT)
    pull = Pull(pod, source)
    before = storage.requests()["block"]
    pull.begin()
    while storage.requests()["block"] < before + 1:
        time.sleep(0.005)
    pod.kill()
    storage.files[source["url"].removeprefix("https://data.example")] = CONTENT
    pod.start()
    status = pull.run()
    assert (status["state"], status["kind"]) == ("failed", "corrupt")
    assert contents(container) == {}
    assert pull.run()["state"] == "done", "the next run begins anew"


def test_a_pull_onto_a_folder(pods: Pods, storage: Storage, source: ContainerClient, tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    assert Pull(pods(str(mount)), of_container(source)).run()["state"] == "done"
    assert (mount / "set" / "large").read_bytes() == CONTENT
    assert Pull(pods(str(mount), dataset="two", path="two"), of_address(storage)).run()["state"] == "done"
    assert (mount / "two" / "set.tar").read_bytes() == CONTENT
