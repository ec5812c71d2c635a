"""A real control plane and the provider's own process, once a test run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import certificates, control_plane, environment, tools
from sandbox.home import REPOSITORY, Home
from sandbox.processes import accepts
from sandbox.progress import Progress
from tests.sandbox.kubernetes.engine import Engine

Kubectl = Callable[..., Any]
_NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "machine", "annotations": {"kwok.x-k8s.io/node": "fake"}},
    "status": {
        "allocatable": {"cpu": "64", "memory": "256Gi", "pods": "200"},
        "capacity": {"cpu": "64", "memory": "256Gi", "pods": "200"},
    },
}


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """etcd, API server, controller manager, scheduler and kwok, with one node."""
    home = Home(tmp_path_factory.mktemp("kubernetes"))
    home.create()
    certificates.ensure(home)
    found = tools.ensure(Progress(quiet=True))
    home.tools_file.write_text(json.dumps({name: str(one.path) for name, one in found.items()}))
    environment.prepare(home, found)
    control_plane.start(home)
    try:
        kubectl = _kubectl(home)
        kubectl("apply", "-f", "-", stdin=json.dumps(_NODE))
        kubectl("patch", "node", "machine", "--subresource=status", "-p", json.dumps({"status": _NODE["status"]}))
        kubectl("wait", "--for=condition=Ready", "node/machine", "--timeout=180s")
        yield home
    finally:
        control_plane.stop(home)


def _kubectl(home: Home) -> Kubectl:
    program = json.loads(home.tools_file.read_text())["kubectl"]

    def run(*arguments: str, stdin: str | None = None) -> Any:
        """Run kubectl as administrator; the output of `-o json` comes parsed."""
        done = subprocess.run(
            [program, "--kubeconfig", str(home.admin_kubeconfig), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return json.loads(done.stdout) if "json" in arguments else done.stdout

    return run


@pytest.fixture(scope="session")
def kubectl(plane: Home) -> Kubectl:
    return _kubectl(plane)


@pytest.fixture(scope="session")
def provider_pid(provider_process: subprocess.Popen[bytes]) -> int:
    return provider_process.pid


@pytest.fixture(scope="session")
def provider(plane: Home, provider_process: subprocess.Popen[bytes]) -> int:
    """The provider's port."""
    return plane.config.ports["kubernetes"]


@pytest.fixture(scope="session")
def provider_process(plane: Home) -> Iterator[subprocess.Popen[bytes]]:
    """The provider's process, listening."""
    port = plane.config.ports["kubernetes"]
    log = (plane.logs / "kubernetes.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox.providers.kubernetes", "--home", str(plane.root)],
        cwd=REPOSITORY,
        # What Go's cache happens to hold must not decide whose definitions are installed.
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "GOMODCACHE": str(plane.root / "no-modules")},
        stdout=log,
        stderr=log,
    )
    deadline = time.monotonic() + 30
    while not accepts(port):
        assert process.poll() is None, Path(log.name).read_text()
        assert time.monotonic() < deadline, "the provider does not listen"
        time.sleep(0.05)
    yield process
    process.terminate()
    assert process.wait(15) == 0
    log.close()


@pytest.fixture
def attach(provider: int) -> Iterator[Callable[[], Engine]]:
    """Makes engine connections that are not configured yet."""
    made: list[Engine] = []

    def new() -> Engine:
        made.append(Engine(provider))
        return made[-1]

    yield new
    for engine in made:
        engine.close()


@pytest.fixture
def engine(attach: Callable[[], Engine], plane: Home) -> Engine:
    """An engine connection as administrator."""
    engine = attach()
    engine.configure(kubeconfig=plane.admin_kubeconfig.read_text())
    return engine
