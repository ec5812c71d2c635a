"""`python -m tests.preview.record_previews`: record the previews that the tests and the pictures are made of.

Needs a running sandbox with the platform deployed (`make up`). Runs real previews on the real engine, puts two jobs on
the pool that is replaced, and takes them away again. Each record is one compressed file of events beside small JSON
files in `tests/preview/recorded/<name>/`.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from bench.pools import stack_file
from preview.run import Wanted, run
from sandbox.environment import process_environment
from sandbox.home import REPOSITORY, Home

RECORDS = Path(__file__).parent / "recorded"
STACK = "sandbox"
_JOBS = ("train-resnet", "train-bert")

Change = Callable[[dict[str, Any]], None]


def main() -> int:
    """Record all previews, or those named on the command line."""
    os.environ |= process_environment(Home())
    makers: dict[str, Callable[[str], None]] = {
        "first": lambda name: _fresh(name, _settings()),
        "pools100": lambda name: _fresh(name, stack_file(99, str(_settings()["encryptionsalt"]))),
        "raised": lambda name: _changed(name, _raise),
        "resized": _resized,
        "removed": lambda name: _changed(name, _remove, look=True),
        "refused": lambda name: _fresh(name, _with(_too_large), "--policy-pack", str(REPOSITORY / "policy")),
        "program_error": lambda name: _changed(name, _misspell),
        "job_ends": lambda name: _changed(name, _resize),
        "no_yaml": lambda name: _fresh(name, "config:\n  trainyard:location: [westeurope\n"),
        "scaled": _scaled,
        "unchanged": lambda name: _changed(name, lambda _: None),
    }
    for name in sys.argv[1:] or makers:
        makers[name](name)
        size = sum(file.stat().st_size for file in (RECORDS / name).iterdir())
        print(f"{name}: {size:,} bytes", flush=True)
    return 0


def _raise(config: dict[str, Any]) -> None:
    config["trainyard:pools"]["heavy"]["max"] = 16


def _resize(config: dict[str, Any]) -> None:
    config["trainyard:pools"]["serve"]["vmSize"] = "Standard_NC8as_T4_v3"


def _remove(config: dict[str, Any]) -> None:
    del config["trainyard:pools"]["light"]
    del config["trainyard:storage"]["files"]["shares"]["datasets"]


def _misspell(config: dict[str, Any]) -> None:
    config["trainyard:pools"]["heavy"]["vmSize"] = "Standard_NC24ads_A100_v5"
    config["trainyard:pools"]["light"]["maxx"] = 8


def _too_large(config: dict[str, Any]) -> None:
    config["trainyard:pools"]["heavy"] |= {"max": 200, "spot": False}
    config["trainyard:budget"] = {"monthlyUsd": 20000, "at": "maximum"}


def _resized(name: str) -> None:
    def allowed(config: dict[str, Any]) -> None:
        _resize(config)
        config["trainyard:allowReplacement"] = ["serve"]

    with _running_jobs():
        _changed(name, allowed, look=True)


def _scaled(name: str) -> None:
    """A preview with refresh after the autoscaler's hand: one more machine than the stack file's count."""
    pool = json.loads(_said("pulumi", "stack", "output", "--json", "--stack", STACK))["pools"]["cpu"]["agentPool"]
    group = _said("pulumi", "stack", "output", "nodeResourceGroup", "--stack", STACK).strip()
    _set_machines(group, pool, 1)
    try:
        _changed(name, lambda _: None, "--refresh", "--run-program")
    finally:
        _set_machines(group, pool, 0)


def _set_machines(group: str, pool: str, count: int) -> None:
    """What cluster-autoscaler does: a PUT of the scale set's capacity."""
    import requests  # noqa: PLC0415  comes with azure-identity, and only this script needs it
    from azure.identity import EnvironmentCredential  # noqa: PLC0415

    endpoint, subscription = os.environ["ARM_ENDPOINT"], os.environ["AZURE_SUBSCRIPTION_ID"]
    token = EnvironmentCredential().get_token(f"{endpoint}/.default").token
    sets = (
        f"{endpoint}/subscriptions/{subscription}/resourceGroups/{group}"
        "/providers/Microsoft.Compute/virtualMachineScaleSets"
    )
    headers = {"Authorization": f"Bearer {token}"}
    listed = requests.get(f"{sets}?api-version=2023-09-01", headers=headers, timeout=30).json()["value"]
    found = next(one for one in listed if f"-{pool}-" in one["name"])
    body = {"location": found["location"], "sku": {**found["sku"], "capacity": count}}
    answer = requests.put(f"{sets}/{found['name']}?api-version=2023-09-01", headers=headers, json=body, timeout=60)
    answer.raise_for_status()
    time.sleep(8)


def _settings() -> dict[str, Any]:
    return yaml.safe_load((REPOSITORY / "stacks" / f"Pulumi.{STACK}.yaml").read_text())


def _with(change: Change) -> dict[str, Any]:
    settings = _settings()
    change(settings["config"])
    return settings


def _changed(name: str, change: Change, *arguments: str, look: bool = False) -> None:
    """A preview of the deployed stack with other settings."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "Pulumi.yaml"
        file.write_text(yaml.safe_dump(_with(change), sort_keys=False))
        _record(name, Wanted(STACK, RECORDS / name, ["--config-file", str(file), *arguments], look=look))


def _fresh(name: str, stack: dict[str, Any] | str, *arguments: str) -> None:
    """A preview of a stack that was never deployed, in a project and a state of its own."""
    with tempfile.TemporaryDirectory() as folder:
        project = yaml.safe_load((REPOSITORY / "Pulumi.yaml").read_text())
        project |= {"main": str(REPOSITORY / "infra"), "stackConfigDir": "."}
        project["runtime"]["options"]["virtualenv"] = str(REPOSITORY / ".venv")
        Path(folder, "Pulumi.yaml").write_text(yaml.safe_dump(project))
        state = Path(folder, "state")
        state.mkdir()
        before = os.environ["PULUMI_BACKEND_URL"]
        os.environ["PULUMI_BACKEND_URL"] = f"file://{state}"
        try:
            _said("pulumi", "stack", "init", "dev", "--non-interactive", cwd=folder)
            text = stack if isinstance(stack, str) else yaml.safe_dump(stack, sort_keys=False)
            Path(folder, "Pulumi.dev.yaml").write_text(text)
            _record(name, Wanted("dev", RECORDS / name, ["--cwd", folder, *arguments]))
        finally:
            os.environ["PULUMI_BACKEND_URL"] = before


def _record(name: str, wanted: Wanted) -> None:
    folder = RECORDS / name
    shutil.rmtree(folder, ignore_errors=True)
    record = run(wanted, say=lambda text: print(f"  {text}", file=sys.stderr))
    events = folder / "events.jsonl"
    # Times and sandbox folders differ from run to run and mean nothing.
    (folder / "events.jsonl.gz").write_bytes(gzip.compress(events.read_bytes(), mtime=0))
    events.unlink()
    print(f"{name}: exit code {record.exit_code}, {len(record.events.steps)} steps", flush=True)


@contextmanager
def _running_jobs() -> Generator[None]:
    """Two jobs that run on the pool `serve`."""
    for job in _JOBS:
        _said("kubectl", "apply", "--filename=-", stdin=json.dumps(_job(job)))
    try:
        deadline = time.monotonic() + 60
        while (
            len(_said("kubectl", "get", "pods", "--field-selector=status.phase=Running", "--output=name").split()) < 2
        ):
            if time.monotonic() > deadline:
                raise SystemExit("the jobs do not run")
            time.sleep(1)
        yield
    finally:
        for job in _JOBS:
            _said("kubectl", "delete", "job", job)


def _job(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "template": {
                # The sandbox's machines end a job's pod after a few seconds unless it says otherwise.
                "metadata": {"annotations": {"sandbox.trainyard/run-seconds": "600"}},
                "spec": {
                    "restartPolicy": "Never",
                    "nodeSelector": {"trainyard/pool": "serve"},
                    "tolerations": [{"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}],
                    "containers": [{"name": "train", "image": "training", "command": ["sleep", "3600"]}],
                },
            }
        },
    }


def _said(*command: str, cwd: str | None = None, stdin: str | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
