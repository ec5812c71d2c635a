"""What end-to-end tests hold on to: stack files to change, what the engine did with them, and what there is then.

Owns no expectation. Says what is there in plain values, so that a test compares once and shows the difference.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, TypeVar

from sandbox.home import Home
from sandbox.orders import ask
from tests.conftest import RunningSandbox, Stack

AGENT_POOL = "azure-native:containerservice:AgentPool"
AGENT_POOL_LABEL = "kubernetes.azure.com/agentpool"
NVIDIA = "nvidia.com/gpu"
_POLL = 0.5
_T = TypeVar("_T")


@dataclass(frozen=True, order=True)
class Step:
    """One thing the engine does to a resource; `name` is the resource's in the program."""

    op: str
    type: str
    name: str


@dataclass(frozen=True)
class StackFile:
    """A copy of a stack file, changed as a user changes the real one, and the stack it stands for.

    Attributes:
        stack: the deployed stack.
        path: the copy.
    """

    stack: Stack
    path: Path

    def set(self, key: str, value: str) -> None:
        """`pulumi config set --path trainyard:KEY VALUE` on the copy."""
        self.pulumi("config", "set", "--path", f"trainyard:{key}", value)

    def pulumi(self, *arguments: str, check: bool = True) -> CompletedProcess[str]:
        """Run a command of Pulumi with the copy as the stack's file."""
        return self.stack.pulumi(*arguments, "--config-file", str(self.path), check=check)

    def preview(self) -> list[Step]:
        """Everything that a preview would change."""
        return changes(json.loads(self.pulumi("preview", "--json").stdout)["steps"])

    def refusal(self) -> str:
        """What a preview says that must fail."""
        return refused(self.pulumi("preview", check=False))

    def up(self) -> list[Step]:
        """Deploy the copy; everything that was changed, each step where it ended."""
        lines = self.pulumi("up", "--yes", "--skip-preview", "--json").stdout.splitlines()
        events: list[dict[str, Any]] = [json.loads(line) for line in lines if line.startswith("{")]
        return changes([event["resOutputsEvent"]["metadata"] for event in events if "resOutputsEvent" in event])


def changes(steps: Sequence[dict[str, Any]]) -> list[Step]:
    """The engine's steps without those that leave a resource as it is."""
    parsed = [Step(step["op"], *_type_and_name(step["urn"])) for step in steps]
    return [step for step in parsed if step.op != "same"]


def refused(done: CompletedProcess[str]) -> str:
    """The output of a command that must fail, and with words instead of a traceback."""
    said = done.stdout + done.stderr
    assert done.returncode != 0, f"nothing was refused:\n{said}"
    assert "Traceback" not in said
    assert 'File "' not in said
    return said


def _type_and_name(urn: str) -> tuple[str, str]:
    """`urn:pulumi:STACK::PROJECT::PARENTS$TYPE::NAME`."""
    _, _, types, name = urn.split("::", 3)
    return types.rpartition("$")[2], name


@dataclass(frozen=True)
class Inventory:
    """What a deployed sandbox holds. Two deployments of one stack file hold the same.

    Attributes:
        resources: ARM type to the number of resources.
        nodes: agent pool to the number of nodes that are ready.
        unready: nodes that are not ready.
    """

    resources: Counter[str]
    nodes: Counter[str]
    unready: Counter[str]

    def __str__(self) -> str:
        unready = f", {self.unready.total()} not ready" if self.unready else ""
        return f"{self.resources.total()} ARM resources, {self.nodes.total()} nodes{unready}"

    def differences(self, expected: Inventory) -> list[str]:
        """Each count that is not as expected."""
        pairs = ((self.resources, expected.resources), (self.nodes, expected.nodes), (self.unready, expected.unready))
        return [
            f"{key}: {have[key]} instead of {want[key]}"
            for have, want in pairs
            for key in sorted({*have, *want})
            if have[key] != want[key]
        ]


def inventory(sandbox: RunningSandbox) -> Inventory:
    """What there is on Azure (its own file says) and in Kubernetes now."""
    nodes: list[dict[str, Any]] = json.loads(sandbox.admin_kubectl("get", "nodes", "-o", "json"))["items"]
    ready = Counter(agent_pool(node) for node in nodes if is_ready(node))
    return Inventory(arm_resources(sandbox.home), ready, Counter(map(agent_pool, nodes)) - ready)


def arm_resources(home: Home) -> Counter[str]:
    """ARM type to the number of resources on the simulated Azure, read beside it."""
    with closing(sqlite3.connect(f"file:{home.azure_db}?mode=ro", uri=True)) as store:
        return Counter({str(kind): int(count) for kind, count in store.execute(_BY_TYPE)})


_BY_TYPE = "SELECT type, count(*) FROM resources GROUP BY type"


def settles(sandbox: RunningSandbox, expected: Inventory, seconds: float = 240) -> Inventory:
    """Wait until what is there is as expected: nodes whose kubelet was away take a while to be ready again.

    Raises:
        AssertionError: it is not; with every count that differs.
    """
    deadline = time.monotonic() + seconds
    while (have := inventory(sandbox)) != expected:
        assert time.monotonic() < deadline, f"after {seconds:.0f} s: {have.differences(expected)}"
        time.sleep(_POLL)
    return have


def machines_of(sandbox: RunningSandbox) -> Counter[str]:
    """Machines by the pool's name in the stack file, whatever their state."""
    found = ask(sandbox.home, "GET", "/sandbox/machines")["machines"]
    return Counter(str(one["labels"].get("trainyard/pool", "")) for one in found)


def delete_machines(sandbox: RunningSandbox, *pools: str) -> None:
    """Delete what pools have, as a person would by hand, and wait until it is gone.

    A pool that has machines refuses updates, and idle ones go only after minutes.
    """
    numbers: dict[str, list[str]] = {}
    for one in ask(sandbox.home, "GET", "/sandbox/machines")["machines"]:
        if one["labels"].get("trainyard/pool") in pools and one["state"] != "deleting":
            scale_set, _, number = one["providerId"].removeprefix("azure://").partition("/virtualMachines/")
            numbers.setdefault(scale_set, []).append(number)
    for scale_set, ids in numbers.items():
        ask(sandbox.home, "POST", f"{scale_set}/delete?api-version=2024-07-01", {"instanceIds": ids})
    eventually(
        lambda: machines_of(sandbox), lambda left: not any(left[pool] for pool in pools), f"no machine in {pools}"
    )


def agent_pool(node: dict[str, Any]) -> str:
    """The name of the agent pool that a node is of."""
    return str(node["metadata"]["labels"][AGENT_POOL_LABEL])


def is_ready(node: dict[str, Any]) -> bool:
    """Whether its kubelet says that it is."""
    conditions: list[dict[str, str]] = node["status"]["conditions"]
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def eventually(read: Callable[[], _T], holds: Callable[[_T], bool], what: str, seconds: float = 180) -> _T:
    """Read until it holds.

    Raises:
        AssertionError: it does not within `seconds`; with the last value.
    """
    deadline = time.monotonic() + seconds
    while not holds(value := read()):
        assert time.monotonic() < deadline, f"{what}, not after {seconds:.0f} s: {value}"
        time.sleep(_POLL)
    return value
