"""`python -m scaling update|pause|resume|status --stack N`: update a stack whose pools an autoscaler scales.

`update` pauses the autoscaler, has AKS store the counts that run, takes them into the stack's state, takes old ones out
of it, runs `pulumi up` with whatever stands behind `--`, and resumes the autoscaler in any case. Killed in between,
`resume` ends the pause. Where AKS itself scales, `update` has nothing to pause or to store, and does the rest.

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
from scaling.state import POOL_TYPE, urns, without_other_pools

SUBSCRIPTION_VARIABLES = ("ARM_SUBSCRIPTION_ID", "AZURE_SUBSCRIPTION_ID")


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
        stack = _stack(options.stack)
        if options.command == "update" and not stack.scales_itself:
            return _up(stack, _pools(stack), {}, for_pulumi)
        with _autoscaler(_self_scaling(stack)) as autoscaler:
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
        pools = _pools(stack)
        settled = pools.settle()
        print(f"settled: {', '.join(f'{pool} {count}' for pool, count in settled.items())}", flush=True)
        return _up(stack, pools, settled, pulumi_arguments)
    finally:
        print(f"scaling goes on, with {autoscaler.resume()} replicas", flush=True)


def _up(stack: Stack, pools: Pools, settled: dict[str, int], pulumi_arguments: list[str]) -> int:
    """Bring the counts in the state up to date, and run `pulumi up`."""
    targets = [part for urn in urns(_export(stack), POOL_TYPE) for part in ("--target", urn)]
    _pulumi("refresh", "--yes", "--skip-preview", "--stack", stack.name, *targets)
    state, removed = without_other_pools(_export(stack), pools.names())
    if removed:
        _import(stack, state)
        print(f"taken out of what the cluster carries in the state: {', '.join(removed)}", flush=True)
    environment = {**os.environ, SETTLED: json.dumps(settled)}
    return subprocess.run(
        ["pulumi", "up", "--stack", stack.name, *pulumi_arguments], env=environment, check=False
    ).returncode


def _pools(stack: Stack) -> Pools:
    return Pools(
        os.environ,
        subscription=_subscription(),
        resource_group=str(stack.outputs["resourceGroup"]),
        cluster=str(stack.outputs["clusterName"]),
    )


def _export(stack: Stack) -> dict[str, Any]:
    return cast(dict[str, Any], json.loads(_pulumi("stack", "export", "--stack", stack.name)))


def _import(stack: Stack, state: dict[str, Any]) -> None:
    """Put a state in place, from a file that only this user can read and that goes afterwards."""
    with tempfile.TemporaryDirectory(prefix="trainyard-scaling-") as folder:
        file = Path(folder) / "state.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(state))
        _pulumi("stack", "import", "--stack", stack.name, "--file", str(file))


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
            f"stack {stack.name} lets AKS scale (autoscaler.mode managed): there is no autoscaler of its own to pause"
        )
    return stack


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
