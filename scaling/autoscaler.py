"""The autoscaler's Deployment: paused by taking its replicas away, resumed with as many as it had."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any, cast

NAMESPACE, NAME = "kube-system", "cluster-autoscaler"
REPLICAS = "trainyard/replicas-before-pause"
"""Annotation that remembers the replicas, so that a pause which was killed can be ended by anybody."""
_LOOK_EVERY = 1.0


class KubectlError(Exception):
    """A `kubectl` command that failed, with what it said."""


class Autoscaler:
    """The Deployment in one cluster.

    Args:
        kubeconfig: a file.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig

    def paused_with(self) -> int | None:
        """The replicas that it had before it was paused; None: it is not paused."""
        remembered = self._read()["metadata"].get("annotations", {}).get(REPLICAS)
        return int(remembered) if remembered is not None else None

    def pause(self, timeout_seconds: float = 120) -> None:
        """Stop scaling, and wait until no autoscaler runs any more; a paused one stays as it is.

        Raises:
            KubectlError: it cannot be changed, or its pods do not end in time.
        """
        deployment = self._read()
        if REPLICAS not in deployment["metadata"].get("annotations", {}):
            self._kubectl("annotate", "deployment", NAME, f"{REPLICAS}={deployment['spec'].get('replicas', 1)}")
        self._kubectl("scale", "deployment", NAME, "--replicas=0")
        labels = ",".join(f"{key}={value}" for key, value in deployment["spec"]["selector"]["matchLabels"].items())
        deadline = time.monotonic() + timeout_seconds
        while pods := json.loads(self._kubectl("get", "pods", "--selector", labels, "--output", "json"))["items"]:
            if time.monotonic() > deadline:
                raise KubectlError(
                    f"{len(pods)} pods of {NAME} still run {timeout_seconds:.0f} s after it was paused: look at "
                    f"`kubectl -n {NAMESPACE} get pods`, then run this again"
                )
            time.sleep(_LOOK_EVERY)

    def resume(self) -> int:
        """Go on scaling; gives the replicas. One that is not paused stays as it is."""
        replicas = self.paused_with()
        if replicas is None:
            return int(self._read()["spec"].get("replicas", 1))
        self._kubectl("scale", "deployment", NAME, f"--replicas={replicas}")
        self._kubectl("annotate", "deployment", NAME, f"{REPLICAS}-")
        return replicas

    def _read(self) -> dict[str, Any]:
        return cast(dict[str, Any], json.loads(self._kubectl("get", "deployment", NAME, "--output", "json")))

    def _kubectl(self, *arguments: str) -> str:
        command = ["kubectl", "--kubeconfig", str(self._kubeconfig), "--namespace", NAMESPACE, *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError as missing:
            raise KubectlError('there is no `kubectl` on PATH: in a sandbox, run `eval "$(make -s env)"`') from missing
        if done.returncode != 0:
            raise KubectlError(f"`kubectl {' '.join(arguments)}` failed: {done.stderr.strip()}")
        return done.stdout
