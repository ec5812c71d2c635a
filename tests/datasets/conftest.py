"""What the tests of datasets share: a storage service, and receivers that run as their pods would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from azure.storage.blob import ContainerClient

from datasets.cluster import Cluster
from datasets.link import Link
from datasets.progress import Progress
from sandbox.home import REPOSITORY
from tests.datasets.storage import ACCOUNTS, Storage, running_storage


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Generator[Storage]:
    """One storage service for all tests."""
    with running_storage(tmp_path_factory.mktemp("azurite")) as found:
        yield found


@pytest.fixture
def container(storage: Storage) -> ContainerClient:
    """An empty container of the target account."""
    made = storage.container(f"c{uuid.uuid4().hex[:12]}")
    made.create_container()
    return made


class Pod:
    """A receiver in a process of its own, as its pod would run it."""

    def __init__(self, storage: Storage, target: str, log: Path, dataset: str = "set", path: str = "set") -> None:
        self._command = [sys.executable, "-m", "datasets.receiver", f"--dataset={dataset}", f"--target={target}"]
        self._command += [f"--path={path}", "--port=0"]
        self._environment = {**os.environ, **storage.environment, "PYTHONPATH": str(REPOSITORY)}
        self._log = log
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """A pod in the place of one that died."""
        with self._log.open("ab") as output:
            start = output.tell()
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=output, stderr=output)
        while self._process.poll() is None:
            found = re.search(r"on port (\d+)", self._log.read_text()[start:])
            if found:
                self.port = int(found[1])
                return
        raise AssertionError(self._log.read_text())

    def kill(self) -> None:
        """As `kill -9`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def terminate(self) -> int:
        """As the kubelet ends it; gives the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(30)

    def wait(self) -> int:
        """Until it ends by itself."""
        assert self._process is not None
        return self._process.wait(30)


@pytest.fixture
def pods(storage: Storage, tmp_path: Path) -> Generator[Callable[..., Pod]]:
    """Starts receivers; ends them after the test."""
    started: list[Pod] = []

    def start(target: str, **more: str) -> Pod:
        started.append(Pod(storage, target, tmp_path / f"pod-{len(started)}.log", **more))
        return started[-1]

    yield start
    for pod in started:
        pod.kill()


class DirectLink(Link):
    """A link without a cluster between: the port is the pod's own."""

    def __init__(self, pod: Pod, patience: float = 30) -> None:
        super().__init__(Cluster(()), "default", lambda: "pod", patience, lambda _line: None)
        self.pod = pod

    def _port(self) -> int:
        return self.pod.port


@pytest.fixture
def quiet() -> Progress:
    """A progress that shows nothing."""
    return Progress(quiet=True)


def address(container: ContainerClient) -> str:
    """A container's address as Azure has it."""
    return f"https://{ACCOUNTS[0]}.blob.core.windows.net/{container.container_name}"
