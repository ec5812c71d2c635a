"""`make demo-scale`: forty GPU jobs wait, forty machines come, the jobs end, the machines go.

For its time the stack is another one: `pools.heavy.max` and `autoscaler.idleMinutes` are set in a copy of the stack
file, which is deployed, and the stack file itself is deployed again at the end; the quota for spot cores, which is
lower than forty such machines need, is raised meanwhile. What is interrupted is put back too.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox import parts
from sandbox.demo.samples import NAMESPACE, Sample, look
from sandbox.demo.timeline import timeline
from sandbox.environment import process_environment
from sandbox.home import REPOSITORY, Home
from sandbox.kubeconfig import read_kubeconfig
from sandbox.kubernetes_client import ApiError, KubernetesClient, path
from sandbox.nodes.azure_client import AzureClient, AzureError
from sandbox.orders import quota_of_at_least

_POOL = "heavy"
_REGION = "westeurope"
_QUOTA = "lowPriorityCores"
_CORES_A_MACHINE = 24
_STACK_FILE = REPOSITORY / "stacks" / "Pulumi.sandbox.yaml"
_SPOT = "kubernetes.azure.com/scalesetpriority"
_BAR = 40


class DemoError(Exception):
    """What stands in the way, and what to do."""


def main() -> int:
    """The command line; gives the exit code."""
    parser = argparse.ArgumentParser(prog="make demo-scale", description=__doc__)
    parser.add_argument("--jobs", type=int, default=40, help="GPU jobs, and machines at most (default: 40)")
    parser.add_argument("--seconds", type=int, default=30, help="how long each job runs (default: 30)")
    parser.add_argument("--idle-minutes", type=int, default=1, help="autoscaler.idleMinutes meanwhile (default: 1)")
    parser.add_argument(
        "--out", type=Path, default=Path("demo-scale.svg"), help="the picture (default: demo-scale.svg)"
    )
    parser.add_argument("--patience", type=int, default=1800, help="seconds after which it gives up (default: 1800)")
    options = parser.parse_args()
    for sign in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, signal.default_int_handler)
    home = Home()
    try:
        return _demonstrate(home, options)
    except KeyboardInterrupt:
        print("\ninterrupted; the jobs are gone and the stack is as its file says", file=sys.stderr)
        return 130
    except (DemoError, ApiError, AzureError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _demonstrate(home: Home, options: argparse.Namespace) -> int:
    if not home.config_file.exists() or parts.dead(home):
        raise DemoError(f"no sandbox runs in {home.root}: run `make up` first")
    needed = options.jobs * _CORES_A_MACHINE
    samples: list[Sample] = []
    with quota_of_at_least(home, _REGION, {_QUOTA: needed}) as raised:
        if raised:
            print(f"spot cores: {options.jobs} machines need {needed}, the quota is {raised[_QUOTA]}: raised meanwhile")
        try:
            with tempfile.TemporaryDirectory(prefix="trainyard-demo-") as folder:
                copy = Path(folder) / _STACK_FILE.name
                shutil.copy(_STACK_FILE, copy)
                for key, value in (
                    (f"pools.{_POOL}.max", options.jobs),
                    ("autoscaler.idleMinutes", options.idle_minutes),
                ):
                    _pulumi(home, copy, "config", "set", "--path", f"trainyard:{key}", str(value))
                print(f"deploying the stack with pools.{_POOL}.max {options.jobs}", flush=True)
                _pulumi(home, copy, "up", "--yes", "--skip-preview")
            asyncio.run(_watch(home, options, samples))
        finally:
            if samples:
                title = f"{options.jobs} GPU jobs of {options.seconds} s, machines boot in {home.config.boot_delay:g} s"
                options.out.write_text(timeline(samples, title))
                print(f"timeline: {options.out.absolute()}", flush=True)
            _put_back(home)
    _summarise(samples, home.config.boot_delay)
    return 0


async def _watch(home: Home, options: argparse.Namespace, samples: list[Sample]) -> None:
    """Submit, and look every second until all jobs are done and all machines gone.

    Raises:
        DemoError: that did not happen in time, or a job failed.
    """
    show = _live() if sys.stdout.isatty() else _lines()
    azure = AzureClient(home)
    async with KubernetesClient(read_kubeconfig(home.admin_kubeconfig), timeout=60) as client:
        try:
            await _submit(client, options)
            began = time.monotonic()
            while time.monotonic() - began < options.patience:
                samples.append(await look(client, azure, _POOL, time.monotonic() - began))
                show(samples[-1])
                if samples[-1].failed:
                    raise DemoError(f"{samples[-1].failed} jobs failed: kubectl -n {NAMESPACE} describe jobs")
                if samples[-1].done == options.jobs and not samples[-1].machines:
                    return
                await asyncio.sleep(1)
        finally:
            await azure.close()
    raise DemoError(f"after {options.patience} s: {_words(samples[-1])}; logs: {home.logs}/autoscaler.log")


async def _submit(client: KubernetesClient, options: argparse.Namespace) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    try:
        await client.create(path("v1", "namespaces"), namespace)
    except ApiError as error:
        if not error.conflict:
            raise
        raise DemoError(f"the namespace {NAMESPACE} is there: kubectl delete namespace {NAMESPACE}") from error
    for number in range(options.jobs):
        await client.create(path("batch/v1", "jobs", NAMESPACE), _job(number, options.seconds))


def _job(number: int, seconds: int) -> dict[str, Any]:
    container = {
        "name": "train",
        "image": "example.invalid/train:1",
        "resources": {"requests": {"cpu": "4"}, "limits": {"nvidia.com/gpu": 1}},
    }
    tolerations = [
        {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
        {"key": _SPOT, "operator": "Equal", "value": "spot", "effect": "NoSchedule"},
    ]
    pod = {
        "restartPolicy": "Never",
        "nodeSelector": {"trainyard/pool": _POOL},
        "tolerations": tolerations,
        "containers": [container],
    }
    template = {"metadata": {"annotations": {"sandbox.trainyard/run-seconds": str(seconds)}}, "spec": pod}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"train-{number:02d}"},
        "spec": {"backoffLimit": 3, "template": template},
    }


def _put_back(home: Home) -> None:
    """The jobs go, then the machines, then the stack is as its file says; an update would be refused before."""
    print("putting back: jobs, machines, stack", flush=True)
    asyncio.run(_clear(home))
    _pulumi(home, _STACK_FILE, "up", "--yes", "--skip-preview")


async def _clear(home: Home, patience: float = 600) -> None:
    azure = AzureClient(home)
    async with KubernetesClient(read_kubeconfig(home.admin_kubeconfig), timeout=60) as client:
        await client.delete(path("v1", "namespaces", None, NAMESPACE))
        until = time.monotonic() + patience
        try:
            while time.monotonic() < until:
                gone = await client.find(path("v1", "namespaces", None, NAMESPACE)) is None
                if gone and not (await look(client, azure, _POOL, 0)).machines:
                    return
                await asyncio.sleep(2)
        finally:
            await azure.close()
    raise DemoError(f"the pool {_POOL} still has machines after {patience:.0f} s: see {home.logs}/autoscaler.log")


def _live() -> Callable[[Sample], None]:
    """One block of lines, drawn over itself."""
    drawn = False

    def show(one: Sample) -> None:
        nonlocal drawn
        jobs = max(1, one.pending + one.running + one.done + one.failed)
        rows = [
            f"  {one.at:6.0f} s",
            f"  jobs      {_bar(one.done, one.running, jobs)}  pending {one.pending}, running {one.running}, "
            f"done {one.done}",
            f"  machines  {_bar(one.ready, one.asked + one.joined, jobs)}  asked for {one.asked}, joined {one.joined}, "
            f"ready {one.ready}, leaving {one.leaving}",
        ]
        sys.stdout.write(("\x1b[3A" if drawn else "") + "".join(f"\x1b[2K{row}\n" for row in rows))
        sys.stdout.flush()
        drawn = True

    return show


def _lines() -> Callable[[Sample], None]:
    """A line for each change."""
    last = ""

    def show(one: Sample) -> None:
        nonlocal last
        if _words(one) != last:
            last = _words(one)
            print(f"{one.at:6.0f} s  {last}", flush=True)

    return show


def _words(one: Sample) -> str:
    return (
        f"jobs: {one.pending} pending, {one.running} running, {one.done} done; machines: {one.asked} asked for, "
        f"{one.joined} joined, {one.ready} ready, {one.leaving} leaving"
    )


def _bar(full: int, half: int, total: int) -> str:
    solid = min(_BAR, full * _BAR // total)
    light = min(_BAR - solid, half * _BAR // total)
    return "█" * solid + "▒" * light + "·" * (_BAR - solid - light)


def _summarise(samples: list[Sample], boot_delay: float) -> None:
    jobs = samples[-1].done
    moments: dict[str, Callable[[Sample], bool]] = {
        "first machine asked for": lambda one: one.machines > 0,
        "first job running": lambda one: one.running + one.done > 0,
        f"all {jobs} jobs running or done": lambda one: one.running + one.done >= jobs,
        f"all {jobs} jobs done": lambda one: one.done >= jobs,
        "machines back to 0": lambda one: one.done >= jobs and one.machines == 0,
    }
    print(f"\nboot delay {boot_delay:g} s; seconds from the submission:")
    for name, reached in moments.items():
        print(f"  {next(one.at for one in samples if reached(one)):6.0f}  {name}")
    print(f"  most machines at once: {max(one.machines for one in samples)}")


def _pulumi(home: Home, stack_file: Path, *arguments: str) -> None:
    command = ["pulumi", *arguments, "--stack", "sandbox", "--config-file", str(stack_file), "--non-interactive"]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=process_environment(home), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise DemoError(f"`pulumi {arguments[0]}` failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


if __name__ == "__main__":
    sys.exit(main())
