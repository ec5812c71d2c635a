"""Uploads onto a mounted folder, as a share or the file system is to the receiver."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets.receiver import folder_place
from datasets.receiver.blocks import SMALLEST_BLOCK, plan_of
from datasets.receiver.folder_place import FolderPlace
from datasets.receiver.places import Found, PlaceError
from tests.datasets.conftest import Pod
from tests.datasets.test_blob_uploads import Upload, local

Pods = Callable[..., Pod]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "ü b").write_text("hello")
    (folder / "empty").touch()
    (folder / "large").write_bytes(os.urandom(2 * SMALLEST_BLOCK + 7))
    return folder


def test_files_arrive_and_nothing_unfinished_is_left(pods: Pods, source: Path, tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    Upload(pods(str(mount)), source, tmp_path).run(kind="nfs")
    assert local(mount / "set") == local(source)
    assert [one.name for one in (mount / ".trainyard").iterdir()] == ["set.json"]
    assert json.loads((mount / ".trainyard" / "set.json").read_text())["complete"] is True


def test_a_killed_pod_goes_on_with_the_blocks_that_arrived(pods: Pods, source: Path, tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    pod = pods(str(mount))
    upload = Upload(pod, source, tmp_path)
    upload.open()
    [plan] = [one for one in upload.round(kind="nfs")._plans if one.path == "large"]  # pyright: ignore[reportPrivateUsage]
    upload.link.post("/plan", {"files": [plan.as_json()]})
    data = (source / "large").read_bytes()
    upload.link.ask("PUT", "/block?path=large&index=1", data[SMALLEST_BLOCK : 2 * SMALLEST_BLOCK])
    pod.kill()
    assert not (mount / "set" / "large").exists(), "half a file has no name"
    pod.start()
    upload.open()
    turn = upload.round(kind="nfs")
    turn.run()
    assert local(mount / "set") == local(source)
    assert turn.sent_bytes == sum(len(one) for one in local(source).values()) - SMALLEST_BLOCK


def test_a_block_that_rotted_on_the_disk_is_found_before_the_file_gets_its_name(tmp_path: Path) -> None:
    place = FolderPlace(tmp_path, "set", "set")
    data = os.urandom(2 * SMALLEST_BLOCK)
    plan = plan_of("file", data)
    place.stage(plan, 0, data[:SMALLEST_BLOCK])
    place.stage(plan, 1, data[SMALLEST_BLOCK:])
    [part] = (tmp_path / ".trainyard" / "set.unfinished").glob("*.part")
    with part.open("r+b") as file:
        file.write(b"rot")
    with pytest.raises(PlaceError) as told:
        place.commit(plan, None)
    assert told.value.kind == "corrupt"
    assert not (tmp_path / "set" / "file").exists()
    assert place.staged(plan) == set(), "nothing of it is trusted"


def test_a_full_disk_says_so_and_keeps_what_arrived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = FolderPlace(tmp_path, "set", "set")
    data = os.urandom(2 * SMALLEST_BLOCK)
    plan = plan_of("file", data)
    place.stage(plan, 0, data[:SMALLEST_BLOCK])

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(folder_place.os, "pwrite", full)
        with pytest.raises(PlaceError, match="no room left") as told:
            place.stage(plan, 1, data[SMALLEST_BLOCK:])
    assert told.value.kind == "full"
    assert place.staged(plan) == {0}
    place.stage(plan, 1, data[SMALLEST_BLOCK:])
    assert place.commit(plan, None)[0].size == len(data)


def test_a_file_that_appeared_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    place = FolderPlace(tmp_path, "set", "set")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "file").write_text("theirs")
    with pytest.raises(PlaceError, match="written by somebody else"):
        place.write(plan_of("file", b"ours"), b"ours", None)
    assert (tmp_path / "set" / "file").read_text() == "theirs"


def test_a_lock_is_one_session_s_until_it_is_stale(tmp_path: Path) -> None:
    place = FolderPlace(tmp_path, "set", "set")
    place.lock("one", "first")
    place.lock("one", "first")
    with pytest.raises(PlaceError, match="first"):
        place.lock("two", "second")
    lock = tmp_path / ".trainyard" / "set.lock"
    old = lock.stat().st_mtime - 2 * folder_place.LOCK_SECONDS
    os.utime(lock, (old, old))
    place.lock("two", "second")
    place.unlock("one")
    assert lock.exists(), "another's lock is not taken away"
    place.unlock("two")
    assert not lock.exists()


def test_links_at_the_target_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "set" / "link").symlink_to(tmp_path / "outside")
    place = FolderPlace(tmp_path, "set", "set")
    assert place.scan() == {"link": Found(-1, "")}
