"""What runs on the cluster now: machines of each agent pool, and the jobs on them.

Read with `kubectl`, as whoever runs the preview is signed in, while the preview runs. A cluster out of reach is said,
never taken for an empty one.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from preview.redact import scrub

POOL_LABEL = "kubernetes.azure.com/agentpool"
_PATIENCE = 30
_NOT_A_JOB = {"DaemonSet", "Node"}


@dataclass(slots=True)
class LivePool:
    """One agent pool.

    Attributes:
        machines: nodes it has now.
        work: running pods that would end with it, `namespace/name` of the Job or other owner to how many pods.
    """

    machines: int = 0
    work: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Live:
    """The cluster.

    Attributes:
        pools: by agent pool name, as Azure has it.
        problem: why nothing is known; empty where it is.
    """

    pools: Mapping[str, LivePool]
    problem: str = ""

    def written(self) -> dict[str, Any]:
        """For a file."""
        return {"pools": {name: asdict(pool) for name, pool in self.pools.items()}, "problem": self.problem}


def read_live(kubectl: str = "kubectl") -> Live:
    """Ask the API server that the environment's kubeconfig names."""
    try:
        nodes = _got(kubectl, "nodes")
        pods = _got(kubectl, "pods", "--all-namespaces", "--field-selector=status.phase=Running")
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        return Live({}, scrub(" ".join(str(error).split()))[:300])
    return _live(nodes, pods)


def live_from(document: Any) -> Live | None:
    """What `written` wrote; None where it is something else."""
    if not isinstance(document, dict):
        return None
    body = cast("dict[str, Any]", document)
    pools: dict[str, LivePool] = {}
    listed = body.get("pools")
    for name, pool in (cast("dict[str, Any]", listed) if isinstance(listed, dict) else {}).items():
        said = cast("dict[str, Any]", pool) if isinstance(pool, dict) else {}
        machines, work = said.get("machines"), said.get("work")
        entries = cast("dict[str, Any]", work) if isinstance(work, dict) else {}
        pools[str(name)] = LivePool(
            machines if isinstance(machines, int) else 0,
            {str(owner): count for owner, count in entries.items() if isinstance(count, int)},
        )
    problem = body.get("problem")
    return Live(pools, scrub(problem) if isinstance(problem, str) else "")


def _live(nodes: list[dict[str, Any]], pods: list[dict[str, Any]]) -> Live:
    pools: dict[str, LivePool] = {}
    pool_of: dict[str, str] = {}
    for node in nodes:
        name = _at(node, "metadata", "labels", POOL_LABEL)
        if isinstance(name, str):
            pools.setdefault(name, LivePool()).machines += 1
            pool_of[str(_at(node, "metadata", "name"))] = name
    for pod in pods:
        pool = pool_of.get(str(_at(pod, "spec", "nodeName")))
        owners = _at(pod, "metadata", "ownerReferences")
        owner = cast("list[dict[str, Any]]", owners)[0] if isinstance(owners, list) and owners else {}
        namespace = str(_at(pod, "metadata", "namespace"))
        if pool is None or owner.get("kind") in _NOT_A_JOB or namespace == "kube-system":
            continue
        name = str(owner.get("name") or _at(pod, "metadata", "name"))
        work = pools[pool].work
        work[f"{namespace}/{name}"] = work.get(f"{namespace}/{name}", 0) + 1
    return Live(pools)


def _got(kubectl: str, *what: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [kubectl, "get", *what, "--output=json", f"--request-timeout={_PATIENCE}s"],
        capture_output=True,
        text=True,
        timeout=2 * _PATIENCE,
        check=False,
    )
    if done.returncode != 0:
        raise ValueError(f"kubectl get {what[0]}: {done.stderr.strip() or 'failed'}")
    return cast("list[dict[str, Any]]", json.loads(done.stdout)["items"])


def _at(value: Any, *path: str) -> Any:
    for part in path:
        value = cast("dict[str, Any]", value).get(part) if isinstance(value, dict) else None
    return value
