"""Makes `.venv` what `uv.lock` says, and nothing when it is that already.

Runs before anything is installed, on the Python that `make` found, so it needs the standard library alone. Owns the
virtualenv, the pinned uv in the per-user cache, and the `.pth` file through which the program in `infra/` imports
its sibling packages under any language host. Everything it prints goes to standard error.

The lock holds no index addresses: whichever index the user has given uv, else pip, serves.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
VENV = REPOSITORY / ".venv"
PINS = REPOSITORY / "sandbox" / "tools" / "python"
OLDEST, NEWEST = (3, 11), (3, 13)
_STAMP = VENV / "trainyard.json"


class SetupError(Exception):
    """The Python side could not be set up; the message says why and what to do."""


def cache_folder() -> Path:
    """The per-user cache, `${XDG_CACHE_HOME:-~/.cache}/trainyard`, made if need be.

    Raises:
        SetupError: it cannot be written.
    """
    home = os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path(home) / ".cache") / "trainyard"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"cannot write the cache {folder}: {error.strerror}; set XDG_CACHE_HOME elsewhere") from error
    return folder


@contextmanager
def locked(path: Path) -> Generator[int]:
    """Hold an exclusive lock on the file `path` (made if need be); gives its descriptor. A dead holder's is free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def install_pinned(name: str) -> Path:
    """Install the one package that `sandbox/tools/python/<name>.txt` pins, with its hashes, into the cache.

    Returns:
        The folder it is in; complete, as it is renamed into place at the end.
    """
    pins = PINS / f"{name}.txt"
    text = pins.read_bytes()
    requirement = text.split(maxsplit=1)[0].decode()
    folder = cache_folder() / "python" / f"{requirement.replace('==', '-')}-{hashlib.sha256(text).hexdigest()[:12]}"
    with locked(folder.parent / f".lock-{name}"):
        if not folder.is_dir():
            partial = folder.parent / f".partial-{name}"
            shutil.rmtree(partial, ignore_errors=True)
            _run([*_installer(name), "--require-hashes", "--no-deps", "--target", str(partial), "-r", str(pins)])
            partial.rename(folder)
    return folder


def uv() -> str:
    """The pinned uv: the one on PATH where it is that version, else installed into the cache."""
    pinned = (PINS / "uv.txt").read_text().split(maxsplit=1)[0].partition("==")[2]
    found = shutil.which("uv")
    if found:
        says = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout.split()
        if says[1:2] == [pinned]:
            return found
    return str(install_pinned("uv") / "bin" / "uv")


def index_settings(environment: Mapping[str, str], pip_config: str) -> dict[str, str]:
    """What to tell uv about indexes: nothing where it is told already, else what pip is told.

    Args:
        environment: environment variables.
        pip_config: the output of `pip config list`, which knows pip's files and variables.
    """
    if any(environment.get(name) for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_CONFIG_FILE")):
        return {}
    told: dict[str, str] = {}
    for line in pip_config.splitlines():
        key, _, value = line.partition("=")
        option = key.rpartition(".")[2]
        value = value.strip().strip("'\"").replace("\\n", " ")
        target = {
            "index-url": "UV_DEFAULT_INDEX",
            "extra-index-url": "UV_INDEX",
            "find-links": "UV_FIND_LINKS",
            "cert": "SSL_CERT_FILE",
        }.get(option)
        if target and value and not environment.get(target):
            told[target] = value
    return told


def set_up(*, force: bool = False) -> bool:
    """Make `.venv` what the lock says.

    Returns:
        Whether anything had to be done.

    Raises:
        SetupError: this Python is too old or too new, or a step failed.
    """
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        have = ".".join(str(part) for part in sys.version_info[:3])
        raise SetupError(f"Python {have} at {sys.executable} does not fit: 3.11, 3.12 or 3.13 is needed")
    wanted = _fingerprint()
    with locked(REPOSITORY / "uv.lock"):
        if not force and _stamp() == wanted and (VENV / "bin" / "python").exists():
            return False
        _say("setting up .venv from uv.lock")
        _STAMP.unlink(missing_ok=True)
        uv_command = uv()
        environment = {**os.environ, **uv_settings()}
        if not _usable():
            _make_venv(uv_command, environment)
        requirements = VENV / "requirements.txt"
        lock = _run([uv_command, "export", "--frozen", "--quiet", "--no-emit-project", "--no-header"], environment)
        requirements.write_text(lock)
        _run(
            [uv_command, "pip", "sync", "--quiet", "--require-hashes", "--python", str(VENV), str(requirements)],
            environment,
        )
        for packages in (VENV / "lib").glob("python3.*/site-packages"):
            (packages / "trainyard.pth").write_text(f"{REPOSITORY}\n")
        _STAMP.write_text(json.dumps(wanted))
    return True


def _make_venv(uv_command: str, environment: Mapping[str, str]) -> None:
    """A virtualenv with pip in it, which the official language host asks what is installed; without where Python has
    none to give."""
    try:
        _run([sys.executable, "-m", "venv", "--clear", str(VENV)])
    except SetupError:
        _run([uv_command, "venv", "--quiet", "--clear", "--python", sys.executable, str(VENV)], environment)


def _installer(name: str) -> list[str]:
    """The command that installs packages: uv, but for uv itself, which only pip can bring."""
    if name != "uv":
        return [uv(), "pip", "install", "--quiet", "--python", sys.executable]
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode != 0:
        own = cache_folder() / "python" / "pip"
        _run([sys.executable, "-m", "venv", "--clear", str(own)])
        pip = [str(own / "bin" / "python"), "-m", "pip"]
    return [*pip, "install", "--quiet", "--disable-pip-version-check"]


def uv_settings() -> dict[str, str]:
    """The user's indexes, and that uv brings no Python of its own."""
    pip = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    return {"UV_PYTHON_DOWNLOADS": "never", **index_settings(os.environ, pip.stdout)}


def _fingerprint() -> dict[str, str]:
    """What the virtualenv depends on: the lock, where it lies, and this file."""
    content = (REPOSITORY / "uv.lock").read_bytes() + Path(__file__).read_bytes()
    return {"lock": hashlib.sha256(content).hexdigest(), "repository": str(REPOSITORY)}


def _stamp() -> object:
    try:
        return json.loads(_STAMP.read_text())
    except (OSError, ValueError):
        return None


def _usable() -> bool:
    """Whether `.venv` was made in this place, and holds a Python that starts and is of a version we support."""
    python = VENV / "bin" / "python"
    check = f"import sys; raise SystemExit(not ({OLDEST} <= sys.version_info[:2] <= {NEWEST}))"
    try:
        if str(VENV) not in (VENV / "bin" / "activate").read_text():
            return False
        fits = subprocess.run([str(python), "-c", check], capture_output=True, check=False).returncode == 0
    except OSError:
        return False
    return fits


def _run(command: list[str], environment: Mapping[str, str] | None = None) -> str:
    """Run one step; gives its standard output.

    Raises:
        SetupError: it could not be started or failed; with what it printed.
    """
    try:
        done = subprocess.run(
            command,
            env=environment,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )
    except OSError as error:
        raise SetupError(f"cannot run {command[0]}: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        output = f"{error.stdout}{error.stderr}".strip()
        raise SetupError(
            f"`{' '.join(command)}` failed with exit code {error.returncode}:\n{output}\n"
            "if a package could not be fetched: is an index reachable, and told to pip (index-url) or uv?"
        ) from error
    return done.stdout


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        set_up(force="--force" in sys.argv[1:])
    except SetupError as problem:
        _say(f"error: {problem}")
        raise SystemExit(1) from None
