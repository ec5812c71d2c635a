"""`python -m scaling update|pause|resume|status --stack N`: update a stack whose pools its own autoscaler scales.

`update` pauses the autoscaler, has AKS store the counts that run, takes them into the stack's state, runs `pulumi up`
with whatever stands behind `--`, and resumes the autoscaler in any case. Killed in between, `resume` ends the pause.

Exit status: that of `pulumi up`; 1 where something stood in the way before it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, cast

from capacity.settled import SETTLED
from scaling.autoscaler import Autoscaler, KubectlError
from scaling.pools import Pools, PoolsError

SUBSCRIPTION_VARIABLES = ("ARM_SUBSCRIPTION_ID", "AZURE_SUBSCRIPTION_ID")
_COUNTED = ("azure-native:containerservice:AgentPool", "azure-native:containerservice:ManagedCluster")
"""What carries counts: pools, and the cluster, whose inputs hold all pools once it was refreshed."""


class ScalingError(Exception):
    """What stands in the way, and what to do."""


@dataclass(frozen=True)
class Stack:
    """One deployed stack.

    Attributes:
        name: as the engine knows it.
        outputs: its outputs, secrets included.
    """

    name: str
    outputs: dict[str, Any]

    @property
    def scales_itself(self) -> bool:
        """Whether the autoscaler is the stack's own Deployment, and not AKS's."""
        return self.outputs.get("autoscaler") == "deployment"


def main(arguments: list[str] | None = None) -> int:
    """One command on one stack; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scaling", description=__doc__)
    parser.add_argument("command", choices=["update", "pause", "resume", "status"])
    parser.add_argument("--stack", help="default: the selected one")
    parser.epilog = "what stands behind `--` goes to `pulumi up`, as in `update --stack dev -- --yes`"
    given, for_pulumi = _split(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(given)
    for sign in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, _interrupt)
    try:
        stack = _self_scaling(_stack(options.stack))
        with _autoscaler(stack) as autoscaler:
            return _run(options.command, stack, autoscaler, for_pulumi)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (KubectlError, PoolsError, ScalingError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """What stands before the first `--`, and what behind it."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:at], arguments[at + 1 :]


def _run(command: str, stack: Stack, autoscaler: Autoscaler, pulumi_arguments: list[str]) -> int:
    if command == "update":
        return _update(stack, autoscaler, pulumi_arguments)
    if command == "pause":
        autoscaler.pause()
        print("scaling is paused: no pool grows or shrinks until `python -m scaling resume`")
    elif command == "resume":
        print(f"scaling goes on, with {autoscaler.resume()} replicas")
    else:
        paused = autoscaler.paused_with()
        print("scaling goes on" if paused is None else f"scaling is paused; it had {paused} replicas")
    return 0


def _update(stack: Stack, autoscaler: Autoscaler, pulumi_arguments: list[str]) -> int:
    """Pause, settle, take over, update; scaling goes on in any case."""
    print(f"pausing the autoscaler of {stack.outputs['clusterName']}", flush=True)
    try:
        autoscaler.pause()
        settled = Pools(
            os.environ,
            subscription=_subscription(),
            resource_group=str(stack.outputs["resourceGroup"]),
            cluster=str(stack.outputs["clusterName"]),
        ).settle()
        print(f"settled: {', '.join(f'{pool} {count}' for pool, count in settled.items())}", flush=True)
        targets = [part for urn in _counted_urns(stack) for part in ("--target", urn)]
        _pulumi("refresh", "--yes", "--skip-preview", "--stack", stack.name, *targets)
        environment = {**os.environ, SETTLED: json.dumps(settled)}
        return subprocess.run(
            ["pulumi", "up", "--stack", stack.name, *pulumi_arguments], env=environment, check=False
        ).returncode
    finally:
        print(f"scaling goes on, with {autoscaler.resume()} replicas", flush=True)


def _stack(name: str | None) -> Stack:
    chosen = name or _pulumi("stack", "--show-name").strip()
    outputs = cast(
        dict[str, Any], json.loads(_pulumi("stack", "output", "--json", "--show-secrets", "--stack", chosen))
    )
    missing = [key for key in ("clusterName", "resourceGroup", "kubeconfig", "autoscaler") if key not in outputs]
    if missing:
        raise ScalingError(f"stack {chosen} has no output {', '.join(missing)}: deploy it with `pulumi up` first")
    return Stack(chosen, outputs)


def _self_scaling(stack: Stack) -> Stack:
    """The stack, if it is one that these commands are for.

    Raises:
        ScalingError: AKS scales it.
    """
    if not stack.scales_itself:
        raise ScalingError(
            f"stack {stack.name} lets AKS scale (autoscaler.mode managed), which keeps its counts itself: "
            "use `pulumi up --refresh`"
        )
    return stack


def _counted_urns(stack: Stack) -> list[str]:
    state = cast(dict[str, Any], json.loads(_pulumi("stack", "export", "--stack", stack.name)))
    resources = cast(list[dict[str, Any]], state["deployment"].get("resources") or [])
    return [str(one["urn"]) for one in resources if one["type"] in _COUNTED]


@contextlib.contextmanager
def _autoscaler(stack: Stack) -> Generator[Autoscaler]:
    """The stack's autoscaler, with a kubeconfig that only this user can read and that goes afterwards."""
    with tempfile.TemporaryDirectory(prefix="trainyard-scaling-") as folder:
        file = Path(folder) / "kubeconfig"
        file.touch(mode=0o600)
        file.write_text(str(stack.outputs["kubeconfig"]))
        yield Autoscaler(file)


def _subscription() -> str:
    for variable in SUBSCRIPTION_VARIABLES:
        if os.environ.get(variable):
            return os.environ[variable]
    raise ScalingError(f"no subscription: set {' or '.join(SUBSCRIPTION_VARIABLES)}")


def _pulumi(*arguments: str) -> str:
    try:
        done = subprocess.run(["pulumi", *arguments, "--non-interactive"], capture_output=True, text=True, check=False)
    except FileNotFoundError as missing:
        raise ScalingError('there is no `pulumi` on PATH: in a sandbox, run `eval "$(make -s env)"`') from missing
    if done.returncode != 0:
        raise ScalingError(f"`pulumi {arguments[0]}` failed: {(done.stderr or done.stdout or '').strip()}")
    return done.stdout


def _interrupt(_sign: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
