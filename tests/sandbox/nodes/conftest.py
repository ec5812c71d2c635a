"""A real control plane with kwok and our controller, above an Azure that says what the test wants."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, cast

import pytest

from sandbox import certificates, control_plane, tools
from sandbox.home import REPOSITORY, Home
from sandbox.processes import Processes
from sandbox.progress import Progress
from tests.sandbox.nodes.fake_azure import FakeAzure

Json = dict[str, Any]
_PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "kubectl")


class Cluster:
    """The cluster under test, spoken to with kubectl."""

    def __init__(self, home: Home, kubectl: str, azure: FakeAzure) -> None:
        self.home = home
        self.azure = azure
        self._kubectl = kubectl
        self._controller: subprocess.Popen[bytes] | None = None

    @property
    def tools(self) -> Path:
        """Where the controller looks for programs that were built; a cache of its own."""
        return self.home.root / "cache" / "trainyard" / "tools"

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """Run kubectl; fails the test where it fails."""
        command = [self._kubectl, "--kubeconfig", str(self.home.admin_kubeconfig), *arguments]
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def apply(self, *objects: Json) -> None:
        """Apply objects."""
        self.kubectl("apply", "-f", "-", given="\n---\n".join(json.dumps(one) for one in objects))

    def get(self, *arguments: str) -> Json:
        """`kubectl get … -o json`; empty where there is no such object."""
        return cast(Json, json.loads(self.kubectl("get", *arguments, "--ignore-not-found", "-o", "json") or "{}"))

    def list(self, *arguments: str) -> list[Json]:
        """The items of `get`."""
        return cast(list[Json], self.get(*arguments).get("items", []))

    def start_controller(self) -> None:
        """Start `python -m sandbox.nodes`."""
        log = (self.home.logs / "nodes.log").open("ab")
        environment = {**os.environ, "XDG_CACHE_HOME": str(self.home.root / "cache")}
        self._controller = subprocess.Popen(
            [sys.executable, "-m", "sandbox.nodes", "--home", str(self.home.root)],
            cwd=REPOSITORY,
            env=environment,
            stdout=log,
            stderr=log,
        )

    def stop_controller(self, within: float) -> int:
        """SIGTERM; gives the exit code, fails the test where it does not end in time."""
        assert self._controller is not None
        self._controller.terminate()
        return self._controller.wait(within)

    def kill_controller(self) -> None:
        """`kill -9` it."""
        if self._controller is not None:
            self._controller.kill()
            self._controller.wait()


def eventually(what: Callable[[], Any], within: float = 120) -> None:
    """Wait until `what` is true; fails with what it said last."""
    until = time.monotonic() + within
    last: Any = None
    while time.monotonic() < until:
        last = what()
        if last:
            return
        time.sleep(0.3)
    raise AssertionError(f"not within {within} s; last: {last!r}")


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Generator[Cluster]:
    home = Home(tmp_path_factory.mktemp("nodes"))
    home.create()
    certificates.ensure(home)
    wanted = [tool for tool in tools.TOOLS if tool.name in _PROGRAMS]
    found = {name: str(one.path) for name, one in tools.ensure(Progress(), wanted).items()}
    home.tools_file.write_text(json.dumps(found))
    pair = certificates.pair(home, "azure")
    azure = FakeAzure(home.config.ports["azure"], pair.cert, pair.key)
    cluster = Cluster(home, found["kubectl"], azure)
    try:
        control_plane.start(home)
        cluster.start_controller()
        yield cluster
    finally:
        cluster.kill_controller()
        control_plane.stop(home)
        Processes(home).end_strays()
        azure.close()
        keep = os.environ.get("KEEP_NODES_LOGS")
        if keep:
            shutil.copytree(home.logs, Path(keep), dirs_exist_ok=True)


@pytest.fixture
def cluster(running: Cluster) -> Generator[Cluster]:
    """The running cluster, empty of machines and of what a former test left."""
    yield running
    running.azure.machines = []
    running.azure.federated = running.azure.may_read = True
    running.azure.arm.clear()
    running.kubectl("delete", "jobs,deployments,daemonsets,pods", "--all", "--ignore-not-found", "--wait=false")
    eventually(lambda: not running.list("nodes"))
