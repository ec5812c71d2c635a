"""A simulated Azure, the provider's stand-in and the real engine, with a small program: a deployment one can kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from sandbox import certificates, environment
from sandbox.home import REPOSITORY, Home
from sandbox.processes import accepts
from sandbox.tools import Found

STACK = "dev"
PROJECT = "trial"
PATIENCE = 400.0
"""Seconds; many tests share few cores."""
_HEAD = """
import pulumi
from pulumi_azure_native import resources, network, managedidentity, containerservice, authorization
TAGS = {"trainyard-project": pulumi.get_project(), "trainyard-stack": pulumi.get_stack()}
"""


@dataclass
class Workbench:
    """One sandbox of two processes, and a project in a folder.

    Attributes:
        tools: `pulumi` and `kubectl`, as `environment.prepare` takes them.
    """

    folder: Path
    tools: dict[str, Found]
    home: Home = field(init=False)
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict[str, "subprocess.Popen[bytes]"])

    def __post_init__(self) -> None:
        self.home = Home(self.folder / "home")
        self.home.create(boot_delay=0.5, role_delay=0.5)
        certificates.ensure(self.home)
        environment.prepare(self.home, self.tools)
        self.project = self.folder / "project"
        self.project.mkdir()
        (self.project / "Pulumi.yaml").write_text(
            f"name: {PROJECT}\nruntime:\n  name: python\n  options: {{virtualenv: {REPOSITORY / '.venv'}}}\n"
        )

    def start(self, *names: str) -> None:
        """Start `azure`, `provider`, or both, and wait until they serve."""
        modules = {
            "azure": ("sandbox.azure", "azure"),
            "provider": ("sandbox.providers.azure_native", "azure_native"),
        }
        for name in names or ("azure", "provider"):
            module, port = modules[name]
            log = (self.home.logs / f"{name}.log").open("ab")
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", module, "--home", str(self.home.root)],
                cwd=REPOSITORY,
                stdout=log,
                stderr=log,
            )
            self._wait_for_port(name, self.home.config.ports[port])

    def kill(self, name: str) -> None:
        """End a part as a crash would."""
        process = self._processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    @contextmanager
    def held(self, name: str) -> Generator[None]:
        """A part that does nothing for a while, so that what it was at does not end meanwhile."""
        process = self._processes[name]
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End every part."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait(timeout=PATIENCE)
        self._processes.clear()

    def program(self, text: str) -> None:
        """Write the program: `TAGS` and the SDK's modules are there."""
        (self.project / "__main__.py").write_text(_HEAD + text)

    def create_stack(self) -> None:
        """An empty stack, selected."""
        subprocess.run(
            ["pulumi", "stack", "init", STACK], cwd=self.project, env=self.environment, check=True, capture_output=True
        )

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a `pulumi` command on the stack."""
        return subprocess.Popen(
            ["pulumi", *arguments, "--stack", STACK, "--non-interactive"],
            cwd=self.project,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def pulumi(self, *arguments: str, fails: bool = False) -> str:
        """Run a `pulumi` command on the stack, and return what it said."""
        process = self.begin(*arguments)
        said, _ = process.communicate(timeout=PATIENCE)
        assert (process.returncode != 0) == fails, said
        return said

    def recover(self, *arguments: str, **changed: str) -> tuple[int, str]:
        """Run the recovery command, with these environment variables: exit status and what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "recovery", "--stack", STACK, *arguments],
            cwd=self.project,
            env={**self.environment, "PYTHONPATH": str(REPOSITORY), **changed},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        return done.returncode, done.stdout + done.stderr

    @property
    def environment(self) -> dict[str, str]:
        """What `make env` exports."""
        return environment.process_environment(self.home)

    def state(self) -> dict[str, Any]:
        """The exported deployment."""
        process = subprocess.run(
            ["pulumi", "stack", "export", "--stack", STACK],
            cwd=self.project,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(process.stdout)["deployment"]

    def arm(self, method: str, path: str, api_version: str = "2024-05-01", body: Any = None) -> requests.Response:
        """A request to the simulated Azure as the platform itself; `path` under the subscription."""
        config = self.home.config
        return requests.request(
            method,
            f"{self.home.azure_url}/subscriptions/{config.subscription_id}{path}?api-version={api_version}",
            json=body,
            headers={"Authorization": f"Bearer {config.internal_token}"},
            verify=str(self.home.ca_bundle),
            timeout=20,
        )

    def wait_until_there(self, path: str, api_version: str = "2024-05-01") -> None:
        """Wait for a resource to be known to Azure, done or not."""
        deadline = time.monotonic() + PATIENCE
        while self.arm("GET", path, api_version).status_code != 200:
            assert time.monotonic() < deadline, f"{path} never appeared"
            time.sleep(0.05)

    def _wait_for_port(self, name: str, port: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while not accepts(port):
            assert time.monotonic() < deadline, (self.home.logs / f"{name}.log").read_text()[-2000:]
            assert self._processes[name].poll() is None, (self.home.logs / f"{name}.log").read_text()[-2000:]
            time.sleep(0.05)


def kill_engine(process: subprocess.Popen[str]) -> None:
    """`kill -9` of an engine: of itself alone, its children end on their own."""
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
