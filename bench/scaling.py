"""`make bench-scaling`: how long jobs wait for machines beyond the time that machines take to boot.

In a sandbox of its own, whose machines boot in 60 s: 0 → 40 → 0 and 0 → 1,000 → 0 machines of one GPU each, on the real
API server and scheduler. What is counted runs from the first pod that waits to the start of the last one, as the API
server's own times have it (whole seconds), less the boot delay. The floor is the same wave of pods on machines that run
already, so that nobody decides anything: what API server, controllers and scheduler take by themselves.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.projects import Program, encryption_salt, project
from sandbox.environment import process_environment
from sandbox.home import REPOSITORY, Home
from sandbox.kubeconfig import read_kubeconfig
from sandbox.kubernetes_client import KubernetesClient, path
from sandbox.nodes.objects import Json, condition, items, text
from sandbox.orders import ask, quota_of_at_least

SECONDS_AT_MOST = {40: 30.0, 1000: 90.0}
"""Machines to seconds beyond the boot delay."""
BOOT_SECONDS = 60
IDLE_MINUTES = 3
"""After these an idle machine goes: long enough for the second wave to find all of the first one's."""
_SIZES = tuple(SECONDS_AT_MOST)
_POOL, _SIZE, _CORES, _REGION = "heavy", "Standard_NC24ads_A100_v4", 24, "westeurope"
_NAMESPACE = "default"
_PATIENCE = 1800.0
_LOOK_EVERY = 3.0


@dataclass(frozen=True)
class Measured:
    """One size, in seconds.

    Attributes:
        machines: how many.
        waited: from the first pod that waited to the start of the last one, from no machine.
        floor: the same on machines that run.
        gone: from the last job's end until no machine is left.
    """

    machines: int
    waited: float
    floor: float
    gone: float

    @property
    def beyond(self) -> float:
        """Seconds beyond the boot delay."""
        return self.waited - BOOT_SECONDS


def main() -> int:
    """Measure, print the table, and say whether the goals are met."""
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=_SIZES, help="machines (default: 40 1000)")
    sizes: list[int] = parser.parse_args().sizes
    with tempfile.TemporaryDirectory(prefix="trainyard-bench-") as folder:
        home = Home(Path(folder) / "home")
        variables = {**os.environ, "SANDBOX_HOME": str(home.root), "SANDBOX_BOOT_DELAY": str(BOOT_SECONDS)}
        _sandbox(variables, "start")
        try:
            with quota_of_at_least(home, _REGION, {"lowPriorityCores": max(sizes) * _CORES}):
                program = _stack(home, Path(folder), max(sizes))
                program.pulumi("up", "--yes", "--skip-preview")
                found = [asyncio.run(_measure(home, size)) for size in sizes]
        finally:
            _sandbox(variables, "stop")
    return _verdict(found)


def _verdict(found: list[Measured]) -> int:
    """Print the table and the goals; 1 where one is missed."""
    print(f"{'machines':>8} {'waited s':>9} {'beyond boot s':>14} {'floor s':>8} {'gone s':>7}")
    for one in found:
        print(f"{one.machines:>8} {one.waited:>9.0f} {one.beyond:>14.0f} {one.floor:>8.0f} {one.gone:>7.0f}")
    print(f"        machines boot in {BOOT_SECONDS} s and go after {IDLE_MINUTES} idle minutes")
    missed = False
    for one in found:
        most = SECONDS_AT_MOST.get(one.machines)
        if most is not None:
            missed |= one.beyond > most
            said = "met" if one.beyond <= most else "MISSED"
            print(f"{said:>7}: {one.machines} machines, seconds beyond the boot: {one.beyond:.0f} (at most {most:g})")
    return int(missed)


async def _measure(home: Home, size: int) -> Measured:
    """One size, from no machine to no machine."""
    async with KubernetesClient(read_kubeconfig(home.admin_kubeconfig), timeout=120) as client:
        waited = await _wave(home, client, "from-none", size)
        floor = await _wave(home, client, "on-running", size)
        ended = time.monotonic()
        await _until(lambda: _machines(home) == 0, f"{size} machines go")
        return Measured(size, waited, floor, time.monotonic() - ended)


async def _wave(home: Home, client: KubernetesClient, name: str, size: int) -> float:
    """Submit a job of as many pods as machines, wait until all run, take it away; seconds until the last one ran."""
    before = _machines(home)
    await client.create(path("batch/v1", "jobs", _NAMESPACE), _job(name, size))
    pods_at, mine = path("v1", "pods", _NAMESPACE), {"labelSelector": f"job-name={name}"}

    async def has_pod(**more: str) -> bool:
        """Whether the job has one: a thousand are long, and read whole only once none waits."""
        return bool((await client.get(pods_at, {**mine, **more, "limit": "1"})).get("items"))

    seconds: float | None = None
    began = time.monotonic()
    while seconds is None:
        if time.monotonic() - began > _PATIENCE:
            raise SystemExit(
                f"bench: {name}: not all of {size} pods ran within {_PATIENCE:.0f} s; {_machines(home)} machines"
            )
        await asyncio.sleep(_LOOK_EVERY)
        if await has_pod(fieldSelector="status.phase=Pending"):
            continue
        pods, _ = await client.list(pods_at, mine)
        seconds = _spread(pods) if len(pods) == size and all(_started(pod) for pod in pods) else None
    print(
        f"{size} pods, {before} machines before, {_machines(home)} after: {seconds:.0f} s", file=sys.stderr, flush=True
    )
    await client.delete(path("batch/v1", "jobs", _NAMESPACE, name), propagation="Foreground")
    while await has_pod():
        await asyncio.sleep(1)
    return seconds


def _spread(pods: list[Json]) -> float:
    """Seconds from the creation of the first pod to the start of the last one's container."""
    first = min(datetime.fromisoformat(text(pod, "metadata", "creationTimestamp")) for pod in pods)
    last = max(
        datetime.fromisoformat(text(one, "state", "running", "startedAt")) for pod in pods for one in _containers(pod)
    )
    return (last - first).total_seconds()


def _started(pod: Json) -> bool:
    return condition(pod, "Ready").get("status") == "True"


def _containers(pod: Json) -> list[Json]:
    return items(pod, "status", "containerStatuses")


def _machines(home: Home) -> int:
    """Machines of the pool, whatever their state."""
    found = ask(home, "GET", "/sandbox/machines")["machines"]
    return sum(one["labels"].get("trainyard/pool") == _POOL for one in found)


async def _until(holds: Callable[[], bool], what: str) -> None:
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > _PATIENCE:
            raise SystemExit(f"bench: {what}: not within {_PATIENCE:.0f} s")
        await asyncio.sleep(_LOOK_EVERY)


def _job(name: str, size: int) -> dict[str, Any]:
    """A job of pods with one GPU each that run until they are taken away."""
    container = {"name": "train", "image": "example.invalid/train:1", "resources": {"limits": {"nvidia.com/gpu": 1}}}
    tolerations = [{"key": key, "operator": "Exists"} for key in ("sku", "kubernetes.azure.com/scalesetpriority")]
    pod = {
        "restartPolicy": "Never",
        "nodeSelector": {"trainyard/pool": _POOL},
        "tolerations": tolerations,
        "containers": [container],
    }
    marks = {"sandbox.trainyard/run-seconds": "86400"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "parallelism": size,
            "completions": size,
            "template": {"metadata": {"annotations": marks}, "spec": pod},
        },
    }


def _stack(home: Home, folder: Path, machines: int) -> Program:
    """The program with one pool of that many machines, in a project of its own."""
    settings: dict[str, Any] = {
        "location": _REGION,
        "cluster": {"protect": False},
        "pools": {_POOL: {"class": "heavy-gpu", "vmSize": _SIZE, "max": machines, "spot": True}},
        "storage": {"deleteData": True, "files": {"shares": {"code": {"sizeGib": 100}}}},
        "autoscaler": {"mode": "deployment", "profile": "batch", "idleMinutes": IDLE_MINUTES},
    }
    config = {f"trainyard:{key}": value for key, value in settings.items()}
    stack = {"encryptionsalt": encryption_salt(), "config": config}
    return project("scaling", folder, REPOSITORY / "infra", stack, process_environment(home))


def _sandbox(variables: dict[str, str], command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sandbox", command],
        cwd=REPOSITORY,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"bench: `python -m sandbox {command}` failed:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    os.chdir(REPOSITORY)
    sys.exit(main())
