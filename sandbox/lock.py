"""`python -m sandbox.lock`: lock the dependencies; `--check`: see that `uv.lock` fits `pyproject.toml`.

The committed lock names no package index: every address is put under `index.invalid`, and upload times, which not
every index gives, are left out. So whichever index somebody has configured serves, as the hashes decide. The check
needs no network. `--upgrade` takes the newest versions that `pyproject.toml` allows.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sandbox.home import REPOSITORY
from sandbox.setup import SetupError, uv, uv_settings

INDEX = "https://index.invalid"
_REGISTRY = re.compile(r'registry = "[^"]*"')
_ADDRESS = re.compile(r'url = "[^"]*/([^/"]+)"')
_UPLOAD_TIME = re.compile(r', upload-time = "[^"]*"')


def without_addresses(lock: str) -> str:
    """A lock's text with every address under `index.invalid` and no upload times."""
    lock = _REGISTRY.sub(f'registry = "{INDEX}/simple"', lock)
    lock = _ADDRESS.sub(lambda match: f'url = "{INDEX}/{match[1]}"', lock)
    return _UPLOAD_TIME.sub("", lock)


def check() -> list[str]:
    """What is wrong with the committed lock; nothing where it is fresh."""
    text = (REPOSITORY / "uv.lock").read_text()
    problems = [] if text == without_addresses(text) else ["uv.lock has addresses of an index in it: run `make lock`"]
    done = subprocess.run(
        [uv(), "lock", "--check", "--quiet", "--offline", "--no-config", "--default-index", f"{INDEX}/simple"],
        cwd=REPOSITORY,
        env=_without_indexes(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        problems.append(f"uv.lock does not fit pyproject.toml: run `make lock`\n{done.stderr.strip()}")
    return problems


def lock(*arguments: str) -> None:
    """Resolve with the user's index, in a copy, and write the lock without its addresses.

    Raises:
        SetupError: no version fits, or the index does not answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name in ("pyproject.toml", "uv.lock"):
            shutil.copy(REPOSITORY / name, folder)
        done = subprocess.run(
            [uv(), "lock", "--python", sys.executable, *arguments],
            cwd=folder,
            env={**os.environ, **uv_settings()},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise SetupError(f"`uv lock` failed:\n{done.stderr.strip()}")
        text = without_addresses(Path(folder, "uv.lock").read_text())
    (REPOSITORY / "uv.lock").write_text(text)


def _without_indexes() -> dict[str, str]:
    """The environment without the user's indexes: the lock is judged by itself."""
    return {name: value for name, value in os.environ.items() if "INDEX" not in name and "FIND_LINKS" not in name}


def main() -> int:
    """The command line; gives the exit code."""
    arguments = sys.argv[1:]
    try:
        if arguments == ["--check"]:
            problems = check()
            print("\n".join(problems), file=sys.stderr, end="\n" if problems else "")
            return 1 if problems else 0
        lock(*arguments)
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
