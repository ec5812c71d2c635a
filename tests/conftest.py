"""What tests of the whole share: one running sandbox, and ways to use it.

A test that needs it is marked `sandbox`; files with such tests run one after the other on one worker, first. They use
the sandbox of `make up` where it runs (`$SANDBOX_HOME`, else `.sandbox`), else one that is started for them and ended
after them. Tests that start a control plane of their own are marked `control_plane`: they too run one file after the
other, on the next worker.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # pyright: ignore[reportMissingTypeStubs]  it has none

from sandbox import parts
from sandbox.environment import process_environment
from sandbox.home import REPOSITORY, Home

SANDBOX_MARK, CONTROL_PLANE_MARK = "sandbox", "control_plane"
_LONGEST_FIRST = (SANDBOX_MARK, CONTROL_PLANE_MARK)
COMMAND_SECONDS = 600


class Folders(LoadScopeScheduling):
    """Gives each worker whole folders, as a folder's tests share what their `conftest.py` starts; and all files of one
    mark to one worker."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return _mark_of(file) or file.rpartition("/")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Folders:
    """xdist's own groups are unknown to this version of pytest."""
    return Folders(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with sandbox tests go first, then those with a control plane of their own: they take longest."""
    order = {mark: place for place, mark in enumerate(_LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(_mark_of(item.nodeid.partition("::")[0]), len(order)))


@cache
def _mark_of(file: str) -> str:
    """The mark by which a file's tests are kept together; empty: their folder keeps them."""
    content = (REPOSITORY / file).read_text()
    return next((mark for mark in _LONGEST_FIRST if f"pytest.mark.{mark}" in content), "")


@dataclass(frozen=True)
class Stack:
    """A stack of a project in `folder`, on a running sandbox."""

    sandbox: RunningSandbox
    folder: Path
    name: str

    def pulumi(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `pulumi … --stack NAME` in the project's folder."""
        return self.sandbox.run("pulumi", *arguments, "--stack", self.name, folder=self.folder, check=check)

    def export(self) -> dict[str, Any]:
        """The state."""
        return json.loads(self.pulumi("stack", "export").stdout)["deployment"]

    def outputs(self) -> dict[str, Any]:
        """The outputs, secrets shown."""
        return json.loads(self.pulumi("stack", "output", "--json", "--show-secrets").stdout)


@dataclass(frozen=True)
class RunningSandbox:
    """A sandbox whose every part runs."""

    home: Home
    variables: Mapping[str, str]

    def run(
        self,
        *command: str,
        folder: Path = REPOSITORY,
        check: bool = True,
        stdin: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as in a shell after `eval "$(make -s env)"`; its output is in the error where it fails."""
        done = subprocess.run(
            command,
            cwd=folder,
            env={**self.variables, **(variables or {})},
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"`{' '.join(command)}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def kubectl(self, *arguments: str, check: bool = True, stdin: str | None = None) -> str:
        """Run kubectl as the user that `make env` signs in."""
        return self.run("kubectl", *arguments, check=check, stdin=stdin).stdout

    def admin_kubectl(self, *arguments: str, check: bool = True, stdin: str | None = None) -> str:
        """Run kubectl as the sandbox's own administrator, who needs no role."""
        admin = ("--kubeconfig", str(self.home.admin_kubeconfig))
        return self.run("kubectl", *admin, *arguments, check=check, stdin=stdin).stdout

    @contextmanager
    def scratch_stack(self, folder: Path, program: str, *, name: str = "scratch") -> Generator[Stack]:
        """A stack of a project of its own, destroyed and removed at the end.

        Args:
            folder: an empty folder for the project; its name makes the project's name.
            program: the text of `__main__.py`.
            name: the stack's name.
        """
        project = f"name: {folder.name}\nruntime: {{name: python, options: {{virtualenv: {REPOSITORY / '.venv'}}}}}\n"
        (folder / "Pulumi.yaml").write_text(project)
        (folder / "__main__.py").write_text(program)
        self.run("pulumi", "stack", "init", name, folder=folder)
        stack = Stack(self, folder, name)
        try:
            yield stack
        finally:
            stack.pulumi("destroy", "--yes", "--skip-preview", check=False)
            self.run("pulumi", "stack", "rm", name, "--yes", "--force", folder=folder)

    def sandbox_command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `python -m sandbox …` on this sandbox."""
        return self.run(sys.executable, "-m", "sandbox", *arguments, check=check)


@pytest.fixture(autouse=True)
def same_folder() -> Generator[None]:
    """Each test leaves its worker in the folder it found: the next ones read files from there."""
    found = Path.cwd()
    yield
    if Path.cwd() != found:
        os.chdir(found)
        pytest.fail(f"the test left its worker in another folder than {found}: use monkeypatch.chdir")


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningSandbox]:
    """The running sandbox: that of `make up`, else one of these tests' own."""
    home = Home()
    if home.config_file.exists() and not parts.dead(home):
        yield RunningSandbox(home, process_environment(home))
        return
    own = Home(tmp_path_factory.mktemp("sandbox") / "home")
    _sandbox(own, "start")
    try:
        yield RunningSandbox(own, process_environment(own))
    finally:
        _sandbox(own, "down")


@pytest.fixture(scope="session")
def platform(sandbox: RunningSandbox) -> Stack:
    """The stack `sandbox`, deployed."""
    stack = Stack(sandbox, REPOSITORY, "sandbox")
    checkpoint = sandbox.home.pulumi_state / ".pulumi" / "stacks" / "trainyard" / "sandbox.json"
    if not checkpoint.exists() or not stack.export().get("resources"):
        sandbox.sandbox_command("up")
    return stack


def _sandbox(home: Home, *arguments: str) -> None:
    """Run `python -m sandbox …` on a home, its output shown where it fails."""
    command: Sequence[str] = (sys.executable, "-m", "sandbox", *arguments)
    variables = {**os.environ, "SANDBOX_HOME": str(home.root)}
    done = subprocess.run(command, cwd=REPOSITORY, env=variables, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"`{' '.join(command)}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
