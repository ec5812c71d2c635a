"""What was broken or killed is whole again after the next `up`, with nothing doubled and nothing lost."""

from __future__ import annotations

import json
import os
import random
import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sandbox import parts
from sandbox.home import Home
from sandbox.processes import Processes
from tests.conftest import Stack
from tests.end_to_end import kill_trials
from tests.end_to_end.whole import NVIDIA, eventually, inventory, settles

pytestmark = pytest.mark.sandbox

PLUGIN = ("daemonset", "nvidia-device-plugin-whole", "--namespace", "kube-system")
AZURE_S_SIDE = ("azure", "azure-native", "nodes")
KUBERNETES_SIDE = tuple(name for name in parts.NAMES if name not in AZURE_S_SIDE)
KILLED_WITHIN = 12.0
"""Seconds in which a deployment from nothing is never done."""


def _gpus(stack: Stack) -> int:
    """GPUs that the `serve` nodes offer now."""
    selected = ("nodes", "--selector", "trainyard/pool=serve", "--output", "json")
    nodes: list[dict[str, Any]] = json.loads(stack.sandbox.kubectl("get", *selected))["items"]
    return sum(int(node["status"]["allocatable"].get(NVIDIA, "0")) for node in nodes)


def test_gpus_go_with_the_plugin_s_pod_and_a_deployment_brings_them_back(platform: Stack) -> None:
    before = _gpus(platform)
    assert before > 0
    without = json.dumps([{"op": "remove", "path": "/spec/template/spec/tolerations"}])
    platform.sandbox.kubectl("patch", *PLUGIN, "--type", "json", "--patch", without)
    try:
        eventually(lambda: _gpus(platform), lambda gpus: gpus == 0, "no GPU without the plugin's pod")
    finally:
        platform.pulumi("up", "--yes", "--skip-preview", "--refresh")
    eventually(lambda: _gpus(platform), lambda gpus: gpus == before, "the GPUs are back")


@pytest.mark.parametrize("names", [AZURE_S_SIDE, KUBERNETES_SIDE], ids=["azure", "kubernetes"])
def test_killed_parts_are_started_by_the_next_up_which_changes_nothing(platform: Stack, names: Sequence[str]) -> None:
    sandbox = platform.sandbox
    before = inventory(sandbox)
    running = {state.name: state.pid for state in parts.states(sandbox.home)}
    for name in names:
        pid = running.get(name)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    said = sandbox.sandbox_command("up").stdout

    assert re.search(r"^Resources:\n +\d+ unchanged$", said, re.MULTILINE), said
    assert not parts.dead(sandbox.home)
    assert all(Processes(sandbox.home).pid(name) != running[name] for name in names if name in running)
    settles(sandbox, before)


def test_a_deployment_that_was_killed_twice_is_finished_by_the_next(platform: Stack, tmp_path: Path) -> None:
    """From nothing, in a sandbox of its own: once the deployment alone is killed, once all that runs with it."""
    seed = int(os.environ.get("KILL_SEED") or random.SystemRandom().randrange(1_000_000))
    chance = random.Random(seed)
    home = Home(tmp_path / "home")
    try:
        for spare_parts in (True, False):
            seconds = chance.uniform(0, KILLED_WITHIN)
            death = kill_trials.killed_up(home, seconds, spare_parts=spare_parts, after="deploying stack")
            print(f"KILL_SEED={seed}: {seconds:.1f} s into it killed {death.processes} processes, at `{death.said}`")
            assert death.processes > 0, "it was done before it was killed"
        kill_trials.made(home, "up")
        settles(kill_trials.running(home), inventory(platform.sandbox))
        kill_trials.check_unchanged(home)
        kill_trials.made(home, "down")
        kill_trials.check_gone(home)
    finally:
        kill_trials.kill(home, spare_parts=False)
