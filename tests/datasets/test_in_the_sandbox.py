"""Uploads through the whole: the command, kubectl's port-forward, the Job's pod, the private endpoint, Azurite."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from datasets.receiver.blocks import SMALLEST_BLOCK
from sandbox.home import REPOSITORY
from tests.conftest import Stack
from tests.end_to_end.whole import StackFile, delete_machines

pytestmark = pytest.mark.sandbox

BLOCKS = 16
WORKERS = 4
UNDER_WAY = 3
SECONDS = 240


@dataclass(frozen=True)
class Uploads:
    """A stack with two datasets of one folder, one in a container, one on a share.

    Attributes:
        variables: the environment of a user's shell.
        source: the folder.
        unique: ends the names of the folders in container and share, so that nothing of a former run is in the way.
    """

    stack: Stack
    variables: dict[str, str]
    source: Path
    unique: str

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The command, in the background."""
        return subprocess.Popen(
            [sys.executable, "-m", "datasets", *arguments, "--stack", self.stack.name],
            cwd=REPOSITORY,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """The command; its exit code and what it said."""
        process = self.start(*arguments)
        said, _ = process.communicate(timeout=SECONDS)
        return process.returncode, said

    def written(self, name: str) -> int:
        """How many writes of a blob the storage service has answered with success."""
        log = self.stack.sandbox.home.logs / "storage-network.log"
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        return sum(
            1
            for one in lines
            if one.get("method") == "PUT"
            and one.get("status") == 201
            and one["path"].endswith(f"/blobs-{self.unique}/{name}")
        )

    def wait_until_written(self, process: subprocess.Popen[str], name: str, count: int) -> None:
        """Wait until so many writes were answered."""
        while self.written(name) < count:
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.02)

    def new_file(self, name: str) -> None:
        """A file of many blocks that is nowhere yet."""
        with (self.source / name).open("wb") as file:
            for _ in range(BLOCKS):
                file.write(os.urandom(SMALLEST_BLOCK))

    def kept(self, volume: Path) -> dict[str, str]:
        """Files of a mounted folder and their checksums."""
        return {
            str(one.relative_to(volume)): hashlib.sha256(one.read_bytes()).hexdigest()
            for one in volume.rglob("*")
            if one.is_file()
        }


@pytest.fixture(scope="module")
def uploads(platform: Stack, tmp_path_factory: pytest.TempPathFactory) -> Generator[Uploads]:
    """The deployed stack with datasets, put back afterwards; the machine to copy on comes when a Job waits for it."""
    folder = tmp_path_factory.mktemp("datasets")
    source = folder / "source"
    (source / "übung").mkdir(parents=True)
    (source / "übung" / "a file.txt").write_text("hello")
    (source / ".empty").touch()
    copy = folder / "Pulumi.sandbox.yaml"
    copy.write_text((REPOSITORY / "stacks" / copy.name).read_text())
    changed, unique = StackFile(platform, copy), uuid.uuid4().hex[:8]
    for name, kind, target in (("blobs", "container", "raw"), ("files", "share", "code")):
        changed.set(f"datasets.{name}.source.folder", str(source))
        changed.set(f"datasets.{name}.target.{kind}", target)
        changed.set(f"datasets.{name}.target.path", f"{name}-{unique}")
    changed.up()
    variables = {**platform.sandbox.variables, "XDG_CACHE_HOME": str(folder / "cache")}
    yield Uploads(platform, variables, source, unique)
    platform.pulumi("up", "--yes", "--skip-preview")
    delete_machines(platform.sandbox, "cpu")


def test_a_folder_goes_into_a_container_and_is_verified_there(uploads: Uploads) -> None:
    code, said = uploads.run("upload", "blobs")
    assert code == 0, said
    code, said = uploads.run("verify", "blobs")
    assert (code, "blobs is whole: " in said) == (0, True), said


def test_a_folder_goes_onto_a_share_s_mount(uploads: Uploads) -> None:
    code, said = uploads.run("upload", "files")
    assert code == 0, said
    volume = uploads.stack.sandbox.home.root / "volumes" / "files-code" / f"files-{uploads.unique}"
    assert uploads.kept(volume) == uploads.kept(uploads.source)


def test_killing_the_command_and_repeating_it_sends_nothing_twice(uploads: Uploads) -> None:
    name = "killed-command.bin"
    uploads.new_file(name)
    process = uploads.start("upload", "blobs")
    uploads.wait_until_written(process, name, UNDER_WAY)
    process.kill()
    process.wait()
    code, said = uploads.run("upload", "blobs")
    assert code == 0, said
    assert uploads.written(name) <= BLOCKS + 1 + WORKERS, "more than what was on its way was sent a second time"
    sent = re.search(r"\(([\d.]+) MiB of them sent now\)", said)
    assert sent is not None, said
    assert float(sent[1]) <= (BLOCKS - UNDER_WAY) * SMALLEST_BLOCK / (1 << 20)
    assert uploads.run("verify", "blobs")[0] == 0


def _kill_pod(uploads: Uploads) -> None:
    """As a machine that goes: the container's process dies without a word."""
    log = (uploads.stack.sandbox.home.logs / "nodes.log").read_text()
    pids = re.findall(r"pod default/data-upload-blobs-\w+ runs as process (\d+)", log)
    os.kill(int(pids[-1]), signal.SIGKILL)


def _delete_pod(uploads: Uploads) -> None:
    uploads.stack.sandbox.kubectl("delete", "pods", "-l", "job-name=data-upload-blobs", "--wait=false")


def _cut_the_connection(uploads: Uploads) -> None:
    found = subprocess.run(
        ["pgrep", "-f", "port-forward.*data-upload-blobs"], capture_output=True, text=True, check=True
    )
    for pid in found.stdout.split():
        os.kill(int(pid), signal.SIGKILL)


@pytest.mark.parametrize("fault", [_kill_pod, _delete_pod, _cut_the_connection])
def test_a_fault_in_the_middle_is_mended_by_the_command_itself(
    uploads: Uploads, fault: Callable[[Uploads], None]
) -> None:
    name = f"{fault.__name__.strip('_')}.bin"
    uploads.new_file(name)
    process = uploads.start("upload", "blobs")
    uploads.wait_until_written(process, name, UNDER_WAY)
    fault(uploads)
    said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said
    assert uploads.written(name) <= BLOCKS + 1 + WORKERS, "more than what was on its way was sent a second time"
    assert uploads.run("verify", "blobs")[0] == 0


def test_a_command_that_is_asked_to_end_says_how_to_go_on_and_leaves_no_job_behind(uploads: Uploads) -> None:
    name = "interrupted.bin"
    uploads.new_file(name)
    process = uploads.start("upload", "blobs")
    uploads.wait_until_written(process, name, UNDER_WAY)
    process.terminate()  # handled as Ctrl-C, which a test in the background would not hear
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Repeat the command to go on" in said
    uploads.stack.sandbox.kubectl("wait", "job/data-upload-blobs", "--for=condition=Complete", "--timeout=60s")
    assert uploads.run("upload", "blobs")[0] == 0


def test_other_content_at_the_target_ends_with_3_and_a_list(uploads: Uploads) -> None:
    (uploads.source / "übung" / "a file.txt").write_text("other")
    code, said = uploads.run("upload", "blobs")
    assert code == 3, said
    assert "übung/a file.txt: there 5 bytes" in said
    code, said = uploads.run("upload", "blobs", "--overwrite")
    assert code == 0, said


def test_a_missing_source_ends_with_5_and_starts_nothing(uploads: Uploads) -> None:
    jobs = uploads.stack.sandbox.kubectl("get", "jobs", "-o", "name")
    code, said = uploads.run("upload", "blobs", "--source", "/nowhere/at/all")
    assert (code, "is not there; nothing was changed" in said) == (5, True), said
    assert uploads.stack.sandbox.kubectl("get", "jobs", "-o", "name") in (jobs, "")


def test_a_dataset_that_is_none_ends_with_2_and_names_the_nearest(uploads: Uploads) -> None:
    code, said = uploads.run("upload", "blob")
    assert (code, "Did you mean blobs?" in said) == (2, True), said
