"""Each backend of the file system comes up from its setting alone, changes nothing a second time, and goes again.

Run it: `python -m tests.end_to_end.backend_trials [--backends rook gluster …] [--home DIR]`.

One sandbox of its own, one stack after the other: deployed, previewed and refreshed without a change, its claim mounted
by a pod, destroyed. A finalizer that nobody takes off lets the destroy fail, as on Azure; what is left is named.
With `SANDBOX_CRDS` in the environment the objects are judged by the definitions in that folder.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.projects import Program, encryption_salt, project
from sandbox.environment import process_environment
from sandbox.home import REPOSITORY, Home
from tests.conftest import RunningSandbox
from tests.end_to_end.whole import arm_resources, eventually

BACKENDS: dict[str, dict[str, Any]] = {
    "rook": {"sizeGib": 1024},
    "gluster": {"sizeGib": 1024},
    "portworx": {"sizeGib": 1024},
    "lustre": {"sizeGib": 16384},
    "none": {},
}
_POD = "mounts-the-file-system"
_MOUNTED_WITHIN = 180


def settings(backend: str) -> dict[str, Any]:
    """A stack with a file system; what lies in the cluster needs a pool that stays."""
    pools: dict[str, Any] = {"light": {"class": "light-gpu", "min": 1, "max": 2}}
    if backend not in ("lustre", "none"):
        pools["data"] = {"class": "storage", "min": 3, "max": 3}
    return {
        "location": "westeurope",
        "cluster": {"kubernetesVersion": "1.36", "protect": False},
        "pools": pools,
        "storage": {"deleteData": True, "fileSystem": {"backend": backend, **BACKENDS[backend]}},
    }


def trial(sandbox: RunningSandbox, folder: Path, backend: str) -> str:
    """One backend; gives what happened in a line.

    Raises:
        AssertionError, SystemExit: something did not hold.
    """
    config = {f"trainyard:{key}": value for key, value in settings(backend).items()}
    stack = {"encryptionsalt": encryption_salt(), "config": config}
    program = project(backend, folder, REPOSITORY / "infra", stack, sandbox.variables)
    before = arm_resources(sandbox.home)
    began = time.monotonic()
    program.pulumi("up", "--yes", "--skip-preview")
    up = time.monotonic() - began
    program.pulumi("preview", "--diff", "--expect-no-changes")
    program.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    driver = mounted(sandbox, program)
    charts = definitions(sandbox)
    began = time.monotonic()
    program.pulumi("destroy", "--yes", "--skip-preview")
    down = time.monotonic() - began
    left = arm_resources(sandbox.home) - before
    assert not left, f"on Azure are left: {dict(left)}"
    return (
        f"up {up:.0f} s, no change, {driver}, destroyed in {down:.0f} s, nothing left; definitions: {charts or 'none'}"
    )


def mounted(sandbox: RunningSandbox, program: Program) -> str:
    """Let a pod on a GPU machine mount the claim that the stack names; gives the driver's name."""
    claim = outputs(program)["fileSystem"].get("claim")
    if claim is None:
        return "no claim"
    namespace, _, name = claim.partition("/")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": _POD, "namespace": namespace},
        "spec": {
            "nodeSelector": {"trainyard/pool": "light"},
            "tolerations": [{"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}],
            "containers": [
                {
                    "name": "reads",
                    "image": "registry.k8s.io/pause:3.10",
                    "volumeMounts": [{"name": "d", "mountPath": "/d"}],
                }
            ],
            "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": name}}],
        },
    }
    sandbox.admin_kubectl("apply", "-f", "-", stdin=json.dumps(pod))
    where = ("--namespace", namespace)

    def phase() -> str:
        return sandbox.admin_kubectl("get", "pod", _POD, *where, "-o", "jsonpath={.status.phase}")

    eventually(phase, lambda now: now == "Running", f"a pod that mounts {claim}", _MOUNTED_WITHIN)
    volume = sandbox.admin_kubectl("get", "pvc", name, *where, "-o", "jsonpath={.spec.volumeName}")
    driver = sandbox.admin_kubectl("get", "pv", volume, "-o", "jsonpath={.spec.csi.driver}")
    sandbox.admin_kubectl("delete", "pod", _POD, *where, "--wait", "--now")
    return f"mounted by {driver}"


def definitions(sandbox: RunningSandbox) -> str:
    """Each chart with where its custom resource definitions come from."""
    found = json.loads(
        sandbox.admin_kubectl("get", "configmaps", "-A", "-l", "sandbox.trainyard/release", "-o", "json")
    )["items"]
    return ", ".join(f"{one['data']['chart']} {one['data']['definitions']}" for one in found)


def outputs(program: Program) -> dict[str, Any]:
    """The stack's outputs."""
    command = ["pulumi", "stack", "output", "--json", "--stack", "bench"]
    done = subprocess.run(
        command, cwd=program.folder, env=program.environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def main() -> int:
    """The command line; 1 where a trial failed, which leaves its sandbox for inspection."""
    parser = argparse.ArgumentParser(prog="python -m tests.end_to_end.backend_trials", description=__doc__)
    parser.add_argument("--backends", nargs="+", choices=list(BACKENDS), default=list(BACKENDS))
    parser.add_argument("--home", type=Path, help="an empty folder for the sandbox; default: a temporary one")
    arguments = parser.parse_args()
    root: Path = (arguments.home or Path(tempfile.mkdtemp(prefix="backend-trials-"))).absolute()
    root.mkdir(parents=True, exist_ok=True)
    home = Home(root / "home")
    commands = RunningSandbox(home, {**os.environ, "SANDBOX_HOME": str(home.root)})
    commands.sandbox_command("start")
    sandbox = RunningSandbox(home, process_environment(home))
    for backend in arguments.backends:
        try:
            print(f"{backend}: {trial(sandbox, root, backend)}", flush=True)
        except (AssertionError, SystemExit) as problem:
            print(f"{backend}: FAILED; left in {home.root}:\n{problem}", flush=True)
            return 1
    commands.sandbox_command("stop")
    return 0


if __name__ == "__main__":
    sys.exit(main())
