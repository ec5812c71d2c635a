"""A sandbox comes up, survives the death of any part, stands beside others, and goes without a trace.

These tests do violence, so they use a sandbox of their own beside the shared one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from pathlib import Path

import pytest

from sandbox import parts
from sandbox.environment import process_environment
from sandbox.home import REPOSITORY, Home
from sandbox.processes import MARK, Processes
from tests.conftest import RunningSandbox

pytestmark = pytest.mark.sandbox


def command(
    home: Home, *arguments: str, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`python -m sandbox …` on a home."""
    return subprocess.run(
        [sys.executable, "-m", "sandbox", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "SANDBOX_HOME": str(home.root), **(variables or {})},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def succeed(home: Home, *arguments: str) -> str:
    done = command(home, *arguments)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def processes_of(home: Home) -> list[int]:
    """Every process that carries the sandbox's mark."""
    mark = f"{MARK}={home.root}".encode()
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningSandbox]:
    home = Home(tmp_path_factory.mktemp("own") / "home")
    succeed(home, "start")
    yield RunningSandbox(home, process_environment(home))
    command(home, "down", variables={"SANDBOX_FORCE": "1"})
    assert processes_of(home) == []


@pytest.mark.parametrize("name", parts.NAMES)
def test_a_part_that_was_killed_is_started_again_on_its_port_and_nothing_is_lost(
    own: RunningSandbox, name: str
) -> None:
    if name not in {state.name for state in parts.states(own.home)}:
        pytest.skip(f"{name} is not the sandbox's here: the real one is used")
    own.admin_kubectl("create", "configmap", f"before-{name}", "--from-literal=key=value")
    config = own.home.config
    pid = Processes(own.home).pid(name)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert command(own.home, "status").returncode == 1
    succeed(own.home, "start")
    assert command(own.home, "status").returncode == 0
    assert Processes(own.home).pid(name) not in {None, pid}
    assert own.home.config == config
    kept = json.loads(own.admin_kubectl("get", "configmap", f"before-{name}", "-o", "json"))
    assert kept["data"] == {"key": "value"}


def test_all_parts_killed_at_once_come_back(own: RunningSandbox) -> None:
    own.admin_kubectl("create", "configmap", "before-all")
    for pid in processes_of(own.home):
        os.kill(pid, signal.SIGKILL)
    succeed(own.home, "start")
    own.admin_kubectl("get", "configmap", "before-all")
    own.admin_kubectl("delete", "configmap", "before-all")


def test_starting_again_changes_nothing(own: RunningSandbox) -> None:
    before = {state.name: state.pid for state in parts.states(own.home)}
    succeed(own.home, "start")
    assert {state.name: state.pid for state in parts.states(own.home)} == before


def test_stopping_keeps_what_is_there(own: RunningSandbox) -> None:
    own.admin_kubectl("create", "configmap", "kept")
    succeed(own.home, "stop")
    assert processes_of(own.home) == []
    succeed(own.home, "start")
    own.admin_kubectl("delete", "configmap", "kept")


def test_two_sandboxes_stand_side_by_side(own: RunningSandbox, sandbox: RunningSandbox) -> None:
    own.admin_kubectl("create", "namespace", "only-here")
    assert "only-here" not in sandbox.admin_kubectl("get", "namespaces")
    assert not set(own.home.config.ports.values()) & set(sandbox.home.config.ports.values())
    own.admin_kubectl("delete", "namespace", "only-here", "--wait=false")


def test_the_deployer_signs_in_through_kubelogin_and_may_nothing_without_a_role(own: RunningSandbox) -> None:
    whoami = json.loads(own.kubectl("auth", "whoami", "-o", "json"))
    assert whoami["status"]["userInfo"]["username"] == own.home.config.object_id
    refused = own.run("kubectl", "get", "nodes", check=False)
    assert refused.returncode != 0
    assert "Forbidden" in refused.stderr


def test_env_prints_what_a_shell_can_evaluate_and_nothing_else(own: RunningSandbox) -> None:
    lines = succeed(own.home, "env").splitlines()
    assert all(line.startswith(("export ", "unset ")) for line in lines)
    shell = 'eval "$1" && pulumi stack ls --json && kubectl version -o json && pulumi whoami'
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(own.home.root)}
    done = subprocess.run(
        ["sh", "-ec", shell, "sh", "\n".join(lines)],
        cwd=REPOSITORY,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    stacks = json.loads(done.stdout[: done.stdout.index("]") + 1])
    assert [(stack["name"], stack["current"]) for stack in stacks] == [("sandbox", True)]


def test_a_reader_that_leaves_early_gets_no_traceback(own: RunningSandbox) -> None:
    command = [sys.executable, "-m", "sandbox", "env"]
    with subprocess.Popen(
        command, env=own.variables, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 128 + signal.SIGPIPE


def test_a_start_that_was_killed_is_finished_by_the_next(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    for seconds in (1.5, 2.5, 4.0):
        with subprocess.Popen(
            [sys.executable, "-m", "sandbox", "start"],
            cwd=REPOSITORY,
            env={**os.environ, "SANDBOX_HOME": str(home.root)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as starting:
            time.sleep(seconds)
            starting.kill()
    succeed(home, "start")
    assert not parts.dead(home)
    assert len(processes_of(home)) == len(parts.states(home)), "no part runs twice"
    succeed(home, "down")
    assert processes_of(home) == []
    assert not home.root.exists()
    assert "nothing to take down" in succeed(home, "down")


def test_a_port_that_somebody_else_took_is_an_error_that_says_so(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    config = home.create()
    taken = config.ports["azure"]
    with subprocess.Popen(
        [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(taken)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as other:
        time.sleep(1)
        done = command(home, "start")
        other.kill()
    assert done.returncode == 1
    assert f"port {taken} of 127.0.0.1 is taken" in done.stderr
    assert "Traceback" not in done.stderr
    succeed(home, "down")


def test_one_command_at_a_time_works_on_a_sandbox(own: RunningSandbox) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "sandbox", "start"],
            cwd=REPOSITORY,
            env={**os.environ, "SANDBOX_HOME": str(own.home.root)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [one.communicate(timeout=120)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], outputs
    assert any("another command is at work" in output for output in outputs)
