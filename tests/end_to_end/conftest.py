"""What the end-to-end tests share: the deployed platform, its stack file to copy, and the plan behind it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from azure.identity import EnvironmentCredential

from capacity.catalogue import load_catalogue
from capacity.checks import load_file
from capacity.pools import PoolPlan, plan_pools
from sandbox.environment import exports
from sandbox.home import REPOSITORY
from stacks.settings import Stack as Settings
from tests.conftest import RunningSandbox, Stack
from tests.end_to_end.whole import StackFile

STACKS = REPOSITORY / "stacks"
SHELL_SECONDS = 120


@pytest.fixture(scope="session")
def settings() -> Settings:
    """What the deployed stack's file says."""
    return load_file(STACKS / "Pulumi.sandbox.yaml")


@pytest.fixture(scope="session")
def plans(settings: Settings) -> dict[str, PoolPlan]:
    """The pools of the deployed stack."""
    return plan_pools(settings, load_catalogue())


@pytest.fixture
def stack_file(platform: Stack, tmp_path: Path) -> StackFile:
    """A copy of the deployed stack's file."""
    copy = tmp_path / "Pulumi.sandbox.yaml"
    shutil.copy(STACKS / copy.name, copy)
    return StackFile(platform, copy)


@dataclass(frozen=True)
class Azure:
    """Azure's own clients, signed in by the environment alone.

    Attributes:
        variables: what `eval "$(make -s env)"` leaves in a shell.
        credential: azure-identity's, made from these.
    """

    variables: Mapping[str, str]
    credential: EnvironmentCredential

    def client(self, kind: Any) -> Any:
        """A client of one of the `azure-mgmt-*` packages."""
        endpoint = self.variables["ARM_ENDPOINT"]
        return kind(
            self.credential,
            self.variables["AZURE_SUBSCRIPTION_ID"],
            base_url=endpoint,
            credential_scopes=[f"{endpoint}/.default"],
        )


@pytest.fixture(scope="session")
def shell_variables(shell: Shell) -> dict[str, str]:
    """What `eval "$(make -s env)"` leaves in a fresh shell."""
    pairs = shell('eval "$(make -s env)"; env -0').rstrip("\0").split("\0")
    return dict(pair.split("=", 1) for pair in pairs)


@pytest.fixture
def azure(shell_variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Azure:
    """Azure's clients in the environment of such a shell."""
    for name in _read_by_azure(shell_variables):
        monkeypatch.setenv(name, shell_variables[name])
    return Azure(shell_variables, EnvironmentCredential())


def _read_by_azure(variables: Mapping[str, str]) -> list[str]:
    """The variables that Azure's clients read."""
    read_too = {"REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "NO_PROXY"}
    return [name for name in variables if name.startswith("AZURE_") or name in read_too]


@pytest.fixture(scope="session")
def shell(sandbox: RunningSandbox) -> Shell:
    """A fresh shell, as a user opens it."""
    return Shell(sandbox)


class Shell:
    """Runs scripts in a shell that knows nothing of the sandbox but where it is."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        ours = {*exports(sandbox.home), "TRAINYARD_SANDBOX_PROCESS_OF"}
        kept = {name: value for name, value in os.environ.items() if name not in ours}
        folders = {str(sandbox.home.bin), str(REPOSITORY / ".venv" / "bin")}
        path = [folder for folder in os.environ["PATH"].split(os.pathsep) if folder not in folders]
        self._variables = {**kept, "PATH": os.pathsep.join(path), "SANDBOX_HOME": str(sandbox.home.root)}

    def __call__(self, script: str) -> str:
        """The script's standard output.

        Raises:
            AssertionError: it failed; with all that it said.
        """
        done = subprocess.run(
            ["bash", "-euc", script],
            cwd=REPOSITORY,
            env=self._variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SHELL_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"`{script}` ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout
