"""What needs neither storage nor cluster: blocks, manifests, decisions, the walk of a folder, the Job's shape."""

from __future__ import annotations

import ast
import hashlib
import os
import socket
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.declared import Declared
from datasets.folder import Checksums, list_folder, name_fault, read_block
from datasets.job import job, receiver_files
from datasets.problems import BUSY, SOURCE, CommandError
from datasets.receiver.blocks import (
    LARGEST_BLOCK,
    LARGEST_FILE,
    MOST_BLOCKS,
    SMALLEST_BLOCK,
    FilePlan,
    block_count,
    block_size,
    checked_path,
    plan_of,
)
from datasets.receiver.manifest import Entry, Manifest, ManifestError
from datasets.receiver.places import Found
from datasets.receiver.receiving import decide
from datasets.session import LocalSession

PLAN = plan_of("a", b"content")
THERE = Found(7, "v1")
ENTRY = Entry(7, PLAN.sha256, "v1")


@given(st.integers(min_value=0, max_value=LARGEST_FILE))
def test_blocks_cover_a_file_exactly_within_azure_s_limits(size: int) -> None:
    plan = FilePlan("a", size, "", ("x",) * block_count(size))
    assert len(plan.blocks) <= MOST_BLOCKS
    assert SMALLEST_BLOCK <= block_size(size) <= LARGEST_BLOCK
    if plan.blocks:
        offset, length = plan.span(len(plan.blocks) - 1)
        assert offset + length == size
        assert 0 < length <= block_size(size)


def test_a_file_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="split it"):
        block_size(LARGEST_FILE + 1)


def test_block_ids_have_one_length_and_tell_place_and_content() -> None:
    plan = FilePlan("a", 3 * SMALLEST_BLOCK, "", ("a" * 64, "b" * 64, "a" * 64))
    ids = [plan.block_id(index) for index in range(3)]
    assert len({len(one) for one in ids}) == 1
    assert len(ids[0]) <= 88  # Azure: 64 bytes before base64
    assert len(set(ids)) == 3


@pytest.mark.parametrize("path", ["../x", "a/../b", "/a", "a//b", "", "a/", "./a", "a\0b"])
def test_paths_that_lead_out_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="no path inside"):
        checked_path(path)


@given(st.dictionaries(st.text(min_size=1), st.integers(0, 2**50), max_size=5))
def test_a_manifest_survives_being_written_and_read(sizes: dict[str, int]) -> None:
    files = {path: Entry(size, "a" * 64, "v", "o" if size % 2 else "") for path, size in sizes.items()}
    manifest = Manifest("set", "a/b", "here", files, complete=True)
    assert Manifest.parse(manifest.text("now")) == manifest


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 1}', '{"version": 1, "dataset": "a", "files": {"a": []}}']
)
def test_a_manifest_that_is_none_says_what_to_do(text: str) -> None:
    with pytest.raises(ManifestError, match="move it away"):
        Manifest.parse(text)


def test_a_manifest_of_a_later_program_is_not_guessed_at() -> None:
    with pytest.raises(ManifestError, match="newer"):
        Manifest.parse('{"version": 2}')


@pytest.mark.parametrize(
    ("found", "entry", "overwrite", "expected"),
    [
        (None, None, False, "send"),
        (None, ENTRY, False, "send"),  # deleted since
        (THERE, ENTRY, False, "complete"),
        (THERE, None, False, "compare"),
        (Found(7, "v2"), ENTRY, False, "compare"),  # written since
        (Found(8, "v2"), ENTRY, False, "conflict"),
        (Found(8, "v2"), ENTRY, True, "send"),
        (THERE, Entry(7, "f" * 64, "v1"), False, "conflict"),
        (THERE, Entry(7, "f" * 64, "v1"), True, "send"),
        (Found(-1, ""), None, True, "conflict"),  # a folder
    ],
)
def test_what_is_done_about_a_file(found: Found | None, entry: Entry | None, overwrite: bool, expected: str) -> None:
    assert decide(PLAN, found, entry, overwrite=overwrite) == expected


def test_links_are_followed_and_empty_folders_counted(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("x")
    (tmp_path / "source" / "nothing").mkdir(parents=True)
    (tmp_path / "source" / "folder").symlink_to(tmp_path / "real")
    (tmp_path / "source" / "link").symlink_to(tmp_path / "real" / "file")
    listing = list_folder(tmp_path / "source", "blob")
    assert [one.path for one in listing.files] == ["folder/file", "link"]
    assert (listing.links, listing.empty_folders) == (2, 1)


def test_everything_that_cannot_be_uploaded_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "good").write_text("x")
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop" / "up").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as one, monkeypatch.context() as here:
        here.chdir(tmp_path)  # a socket's address has room for 107 bytes: pytest's folders are longer
        one.bind("socket")
    (tmp_path / "dot.").write_text("x")
    with open(os.fsencode(tmp_path) + b"/\xff", "w") as file:
        file.write("x")
    with pytest.raises(CommandError) as told:
        list_folder(tmp_path, "blob")
    assert told.value.code == SOURCE
    assert "6 things" in str(told.value)
    for part in (
        "'broken': a link that leads nowhere",
        "'loop/up': a link that leads back",
        "'pipe': neither",
        "'dot.'",
    ):
        assert part in str(told.value)
    assert "not UTF-8" in str(told.value)


@pytest.mark.parametrize("what", ["missing", "file", "empty"])
def test_a_source_without_files_is_refused(tmp_path: Path, what: str) -> None:
    place = tmp_path / what
    if what == "file":
        place.write_text("x")
    elif what == "empty":
        place.mkdir()
    with pytest.raises(CommandError, match="nothing was changed") as told:
        list_folder(place, "nfs")
    assert told.value.code == SOURCE


@pytest.mark.parametrize(
    ("path", "kind", "fault"),
    [
        ("a:b", "smb", "SMB takes no ':'"),
        ("a:b", "nfs", ""),
        ("a ", "smb", "dot or space"),
        ("a\\b", "blob", "backslash"),
        ("x" * 1025, "blob", "1025 characters"),
        ("x" * 255, "posix", "254 bytes"),
        (".trainyard/a", "posix", "manifests"),
        ("sub/.trainyard", "blob", ""),
    ],
)
def test_names_that_a_target_cannot_hold(path: str, kind: str, fault: str) -> None:
    found = name_fault(path, kind)
    assert fault in found
    assert bool(fault) == bool(found)


def test_names_that_differ_in_case_are_one_on_smb_alone(tmp_path: Path) -> None:
    (tmp_path / "A").write_text("x")
    (tmp_path / "a").write_text("y")
    assert len(list_folder(tmp_path, "nfs").files) == 2
    with pytest.raises(CommandError, match="knows no case"):
        list_folder(tmp_path, "smb")


def test_checksums_are_kept_until_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "source" / "file"
    file.parent.mkdir()
    file.write_bytes(b"one")
    old = time.time() - 100
    os.utime(file, (old, old))
    sums = Checksums(tmp_path / "sums.sqlite")
    [listed] = list_folder(file.parent, "blob").files
    first = sums.plan(listed, lambda _size: None)
    assert first.sha256 == hashlib.sha256(b"one").hexdigest()
    file.write_bytes(b"two")
    os.utime(file, (old, old))  # the same size and time: only the inode's change time could tell, and it is not asked
    assert sums.plan(listed, lambda _size: None) == first
    os.utime(file, (old + 1, old + 1))
    [listed] = list_folder(file.parent, "blob").files
    assert sums.plan(listed, lambda _size: None).sha256 == hashlib.sha256(b"two").hexdigest()
    with pytest.raises(CommandError, match="changed since the upload began"):
        read_block(listed, first, 0)


def test_one_run_at_a_time_on_a_machine_and_the_next_is_the_same_session_until_it_is_done(tmp_path: Path) -> None:
    first = LocalSession(tmp_path, "stack", "set")
    with pytest.raises(CommandError) as told:
        LocalSession(tmp_path, "stack", "set")
    assert told.value.code == BUSY
    assert str(os.getpid()) in str(told.value)
    LocalSession(tmp_path, "stack", "other").close()
    first.close()
    again = LocalSession(tmp_path, "stack", "set")
    assert again.token == first.token
    again.done()
    again.close()
    third = LocalSession(tmp_path, "stack", "set")
    assert third.token != first.token
    third.close()


def test_the_job_s_pod_has_no_rights_it_does_not_need() -> None:
    dataset = Declared(
        "set", {"folder": "x"}, {"claim": "code", "protocol": "smb", "path": "p"}, "default", "data-upload"
    )
    pod = job(dataset, receiver_files())["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert "tolerations" not in pod
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container["resources"]) == {"requests", "limits"}
    assert "@" in container["image"] or container["image"].rpartition(":")[2][0].isdigit()


def test_the_receiver_needs_nothing_but_the_standard_library_and_itself() -> None:
    for name, text in receiver_files().items():
        for node in ast.walk(ast.parse(text)):
            modules = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for module in modules:
                ours = module.startswith("datasets.receiver")
                assert ours or module.split(".")[0] in sys.stdlib_module_names, f"{name}: {module}"
    assert sum(len(text.encode()) for text in receiver_files().values()) < 900_000, "a ConfigMap holds 1 MiB"
