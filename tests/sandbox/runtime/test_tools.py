"""Tools come from PATH in a version that fits, else are built whole into the cache; never half of one is used.

`go` here is a script that does what the test says, so nothing is compiled.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox import tool_builds
from sandbox.progress import Progress
from sandbox.setup import SetupError
from sandbox.tool_builds import Build, Builder, BuildError
from sandbox.tools import QUEUE_TOOLS, TOOLS, Tool, ensure, search

FAKE_GO = """#!/bin/sh
if [ "$1" = env ]; then echo "${FAKE_GO_VERSION:-go1.26.3}"; exit 0; fi
if [ "$1" = list ]; then echo "$FAKE_GO_MODULE"; exit 0; fi
echo "$PWD $*" >> "$FAKE_GO_CALLS"
echo "some/package"
out=; for argument; do [ "$previous" = -o ] && out=$argument; previous=$argument; done
for package; do case $package in example.com/*) echo "built" > "$out/${package##*/}.partial";; esac; done
eval "${FAKE_GO_DOES:-true}" || exit 1
for package; do case $package in example.com/*) mv "$out/${package##*/}.partial" "$out/${package##*/}";; esac; done
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fake `go` first on PATH; gives the file in which it notes its builds."""
    folder = tmp_path / "go"
    folder.mkdir()
    (folder / "go").write_text(FAKE_GO)
    (folder / "go").chmod(0o755)
    calls = tmp_path / "calls"
    calls.touch()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_GO_CALLS", str(calls))
    return calls


@pytest.fixture
def module(tmp_path: Path) -> Path:
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "go.mod").write_text("module example.com/tools\n")
    (folder / "go.sum").write_text("")
    return folder


def build_of(module: Path, name: str = "tool", flags: str = "-s -w") -> Build:
    return Build(name, "1.2.3", f"example.com/{name}", module, flags)


def builder(tmp_path: Path) -> Builder:
    return Builder(Progress(io.StringIO()), tmp_path / "cache")


def test_a_program_is_built_once(tmp_path: Path, module: Path, calls: Path) -> None:
    build = build_of(module)
    first = builder(tmp_path).build([build])
    assert first["tool"].read_text() == "built\n"
    assert builder(tmp_path).build([build]) == first
    assert len(calls.read_text().splitlines()) == 1


def test_programs_of_one_module_are_built_together(tmp_path: Path, module: Path, calls: Path) -> None:
    paths = builder(tmp_path).build([build_of(module, "one"), build_of(module, "two")])
    assert all(path.exists() for path in paths.values())
    [call] = calls.read_text().splitlines()
    assert call.endswith("example.com/one example.com/two")
    assert "-mod=readonly" in call


@pytest.mark.parametrize("changed", ["go.mod", "go.sum", "flags"])
def test_what_goes_into_a_build_makes_its_place_in_the_cache(module: Path, changed: str) -> None:
    before = build_of(module).key
    if changed != "flags":
        (module / changed).write_text("changed")
    assert build_of(module, flags="-s" if changed == "flags" else "-s -w").key != before


def test_a_failed_build_shows_the_end_of_its_log_and_where_it_is(
    tmp_path: Path, module: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_GO_DOES", "echo 'undefined: frobnicate'; false")
    with pytest.raises(BuildError, match="undefined: frobnicate") as caught:
        builder(tmp_path).build([build_of(module)])
    assert str(tmp_path / "cache" / "module.log") in str(caught.value)
    assert builder(tmp_path).cached(build_of(module)) is None
    monkeypatch.delenv("FAKE_GO_DOES")
    assert builder(tmp_path).build([build_of(module)])["tool"].exists(), "the next run builds it"


def test_programs_of_different_versions_are_shown_each_with_its_own(tmp_path: Path, module: Path, calls: Path) -> None:
    shown = io.StringIO()
    builds = [build_of(module, "one"), replace(build_of(module, "two"), version="4.5.6")]
    Builder(Progress(shown), tmp_path / "cache").build(builds)
    assert "one 1.2.3, two 4.5.6" in shown.getvalue()


def test_a_folder_of_the_program_s_module_comes_with_it(
    tmp_path: Path, module: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "cached" / "charts"
    (source / "one").mkdir(parents=True)
    (source / "one" / "Chart.yaml").write_text("name: one")
    (source / "one").chmod(0o555)
    monkeypatch.setenv("FAKE_GO_MODULE", str(source.parent))
    plain = build_of(module)
    build = replace(plain, brings=("example.com/tool", "charts"))
    program = builder(tmp_path).build([build])["tool"]
    copied = program.parent / "charts" / "one" / "Chart.yaml"
    assert copied.read_text() == "name: one"
    assert os.access(copied.parent, os.W_OK), "Go's cache is read-only, ours must be removable"
    assert build.key != plain.key


def test_a_tool_that_is_always_built_is_not_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = on_path(tmp_path, "1.36.3")
    monkeypatch.setenv("PATH", f"{file.parent}:/usr/bin:/bin")
    looked = search([replace(gadget(tmp_path), fits=None)])
    assert not looked.found
    assert not looked.passed_over


def test_a_build_that_is_stopped_is_redone(
    tmp_path: Path, module: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_GO_DOES", "exec sleep 60")
    stopped = builder(tmp_path)
    problems: list[BuildError] = []

    def run() -> None:
        try:
            stopped.build([build_of(module)])
        except BuildError as error:
            problems.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_for(calls)
    stopped.stop()
    thread.join(10)
    assert problems, "a stopped build is an error"
    assert stopped.cached(build_of(module)) is None
    with pytest.raises(BuildError, match="interrupted"):
        stopped.build([build_of(module)])
    monkeypatch.delenv("FAKE_GO_DOES")
    assert builder(tmp_path).build([build_of(module)])["tool"].read_text() == "built\n"


def test_the_leavings_of_a_killed_build_are_not_used(tmp_path: Path, module: Path, calls: Path) -> None:
    leavings = tmp_path / "cache" / ".partial-module" / "out"
    leavings.mkdir(parents=True)
    (leavings / "tool").write_text("half")
    assert builder(tmp_path).build([build_of(module)])["tool"].read_text() == "built\n"
    assert not leavings.exists()


def test_two_runs_at_once_build_once(
    tmp_path: Path, module: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_GO_DOES", "sleep 0.5")
    threads = [threading.Thread(target=builder(tmp_path).build, args=([build_of(module)],)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls.read_text().splitlines()) == 1


def test_a_compiler_that_outlived_its_starter_is_waited_for(tmp_path: Path, module: Path, calls: Path) -> None:
    """The compiler inherits the lock: whoever started it may be killed."""
    lock = tmp_path / "cache" / ".lock-module"
    lock.parent.mkdir()
    done = tmp_path / "done"
    code = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print(flush=True); time.sleep(1); "
    code += "open(sys.argv[2], 'w').close()"
    with subprocess.Popen([sys.executable, "-c", code, str(lock), str(done)], stdout=subprocess.PIPE) as orphan:
        assert orphan.stdout is not None
        orphan.stdout.readline()
        builder(tmp_path).build([build_of(module)])
        assert done.exists(), "the build began while another held the lock"


def test_the_compiler_itself_holds_the_lock(
    tmp_path: Path, module: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = tmp_path / "held"
    monkeypatch.setenv("FAKE_GO_DOES", f"ls -l /proc/$$/fd > {held}")
    builder(tmp_path).build([build_of(module)])
    assert ".lock-module" in held.read_text()


def test_a_go_that_is_too_old_is_replaced_by_one_from_the_index(
    tmp_path: Path, module: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_GO_VERSION", "go1.25.9")

    def refused(name: str) -> Path:
        raise SetupError(f"no index for {name}")

    monkeypatch.setattr(tool_builds, "install_pinned", refused)
    with pytest.raises(BuildError, match=r"no Go 1\.26 or newer on PATH.*no index for go"):
        builder(tmp_path).build([build_of(module)])
    installed = tmp_path / "installed"
    (installed / "go" / "bin").mkdir(parents=True)
    (installed / "go" / "bin" / "go").write_text(FAKE_GO)
    (installed / "go" / "bin" / "go").chmod(0o755)

    def install(name: str) -> Path:
        return installed if name == "go" else refused(name)

    monkeypatch.setattr(tool_builds, "install_pinned", install)
    assert builder(tmp_path).build([build_of(module)])["tool"].exists()


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + 10
    while not file.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert file.read_text(), "the build did not begin"


def on_path(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "gadget"
    file.write_text(f"#!/bin/sh\necho 'gadget {version}'\n")
    file.chmod(0o755)
    return file


def gadget(tmp_path: Path) -> Tool:
    return Tool("gadget", "module", "example.com/gadget", "1.36.3", fits=((1, 36), (1, 37)))


def test_a_tool_on_path_is_taken_where_its_version_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = on_path(tmp_path / "a", "v1.36.1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'a'}:/usr/bin:/bin")
    found = ensure(Progress(io.StringIO()), [gadget(tmp_path)])["gadget"]
    assert (found.path, found.version, found.on_path) == (file, "1.36.1", True)


@pytest.mark.parametrize("version", ["1.35.9", "1.37.0", "unknown"])
def test_one_of_the_wrong_version_is_passed_over_for_a_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    wrong = on_path(tmp_path / "a", version)
    right = on_path(tmp_path / "b", "1.36.3")
    monkeypatch.setenv("PATH", f"{wrong.parent}:{right.parent}:/usr/bin:/bin")
    looked = search([gadget(tmp_path)])
    assert looked.found["gadget"].path == right
    [note] = looked.passed_over
    assert str(wrong) in note
    assert "1.36 to below 1.37 is needed" in note


def test_what_a_sandbox_put_on_path_is_not_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = on_path(tmp_path / "home" / "bin", "1.36.3")
    (tmp_path / "home" / "sandbox.json").touch()
    monkeypatch.setenv("PATH", f"{file.parent}:/usr/bin:/bin")
    assert not search([gadget(tmp_path)]).found


def test_every_tool_is_pinned_in_a_module_with_sums(tmp_path: Path) -> None:
    modules = Path(__file__).parents[3] / "sandbox" / "tools"
    for tool in (*TOOLS, *QUEUE_TOOLS):
        text = (modules / tool.module / "go.mod").read_text()
        assert f"v{tool.version}" in text, f"{tool.name} is not the version its go.mod pins"
        assert tool.package in text, f"{tool.name} is no tool of its go.mod"
        assert (modules / tool.module / "go.sum").stat().st_size > 1000
        if tool.fits is None:
            continue
        oldest, first_too_new = tool.fits
        pinned = tuple(int(number) for number in tool.version.split("."))
        assert oldest <= pinned < first_too_new
