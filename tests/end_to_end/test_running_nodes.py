"""No update removes a running node: seven machines with jobs on them, updates that would end them, and the remedy."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Generator
from typing import Any

import pytest

from sandbox.home import REPOSITORY
from tests.conftest import Stack
from tests.end_to_end.whole import StackFile, delete_machines

pytestmark = pytest.mark.sandbox

JOBS = 7
NAME = "keeps-running"
_WITHIN = 240.0


def manifest() -> str:
    """One job of seven pods with a GPU each, on the pool `light`, that runs until it is taken away."""
    container = {
        "name": "train",
        "image": "nvcr.io/nvidia/cuda:12.9.1-base-ubuntu24.04",
        "resources": {"limits": {"nvidia.com/gpu": "1", "cpu": "1", "memory": "1Gi"}},
    }
    pod = {
        "restartPolicy": "Never",
        "nodeSelector": {"trainyard/pool": "light"},
        "tolerations": [{"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}],
        "containers": [container],
    }
    metadata = {"annotations": {"sandbox.trainyard/run-seconds": "86400"}}
    spec = {"completions": JOBS, "parallelism": JOBS, "template": {"metadata": metadata, "spec": pod}}
    return json.dumps({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": NAME}, "spec": spec})


def machines(platform: Stack) -> set[str]:
    """Names of the pool's nodes."""
    found = platform.sandbox.kubectl("get", "nodes", "--selector", "trainyard/pool=light", "--output", "name")
    return set(found.split())


def running(platform: Stack) -> dict[str, str]:
    """The job's running pods: uid to node."""
    pods: list[dict[str, Any]] = json.loads(
        platform.sandbox.kubectl("get", "pods", "--selector", f"job-name={NAME}", "--output", "json")
    )["items"]
    return {one["metadata"]["uid"]: one["spec"]["nodeName"] for one in pods if one["status"]["phase"] == "Running"}


@pytest.fixture
def jobs(platform: Stack) -> Generator[dict[str, str]]:
    """Seven pods that run, on machines that the autoscaler added for them.

    The refresh before takes every pool into the cluster's own inputs, as it was then: with no machine.
    """
    platform.pulumi("refresh", "--yes", "--skip-preview")
    platform.sandbox.run("kubectl", "create", "--filename", "-", stdin=manifest())
    try:
        deadline = time.monotonic() + _WITHIN
        while len(found := running(platform)) < JOBS:
            assert time.monotonic() < deadline, f"{len(found)} of {JOBS} pods run after {_WITHIN:.0f} s"
            time.sleep(2)
        yield found
    finally:
        platform.sandbox.kubectl("delete", "job", NAME, "--wait", "--cascade=foreground")
        delete_machines(platform.sandbox, "light")
        platform.pulumi("up", "--yes", "--skip-preview", "--refresh")


def test_updates_that_would_end_running_machines_are_refused_and_the_remedy_keeps_them(
    platform: Stack, stack_file: StackFile, jobs: dict[str, str]
) -> None:
    before = machines(platform)
    assert len(before) >= JOBS

    stack_file.set("pools.light.labels.team", "vision")
    said = stack_file.refusal()
    assert "it carries the count 0" in said
    assert "python -m scaling update --stack sandbox" in said

    stack_file.pulumi("config", "rm", "--path", "trainyard:pools.light.labels")
    stack_file.set("tags.owner", "research")
    assert "This update of cluster" in stack_file.refusal()

    stack_file.set("pools.light.labels.team", "vision")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "scaling", "update", "--stack", "sandbox"),
            *("--", "--yes", "--skip-preview", "--config-file", str(stack_file.path)),
        ],
        cwd=REPOSITORY,
        env={**platform.sandbox.variables},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "scaling goes on" in done.stdout
    assert "taken out of what the cluster carries" in done.stdout

    assert running(platform) == jobs, "the same pods on the same machines"
    assert before <= machines(platform)
    labels = platform.sandbox.kubectl(
        "get", "nodes", "--selector", "trainyard/pool=light,team=vision", "--output", "name"
    )
    assert set(labels.split()) >= before

    stack_file.pulumi("preview", "--refresh", "--expect-no-changes")
    assert stack_file.preview() == []
