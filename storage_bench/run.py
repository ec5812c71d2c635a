"""One benchmark run on a cluster: make the Job or find it, wait, collect, aggregate, write.

Owns the order of the steps and what is said meanwhile. An interrupt leaves the Job running; the same call goes on
with it. Results are written only if every pod delivered every pattern. A Job that has given all it can give is taken
away: pods, finished ones too, keep their claim from being deleted, and so a stack from being destroyed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from storage_bench.aggregate import Measured, NoResultError, aggregate
from storage_bench.job import RUN_LABEL, job
from storage_bench.kubectl import Kubectl, KubectlError
from storage_bench.logs import PodOutput, read_pod
from storage_bench.measurements import FOLDER, Surroundings, write_measurement
from storage_bench.settings import RunSettings

POLL_SECONDS = 5.0
Say = Callable[[str], None]


class RunError(RuntimeError):
    """The run cannot be made, or has no result; says what to do."""


def run(
    settings: RunSettings,
    kubectl: Kubectl,
    *,
    tolerations: Sequence[str] = (),
    again: bool = False,
    keep: bool = False,
    say: Say = print,
    folder: Path = FOLDER,
    poll_seconds: float = POLL_SECONDS,
) -> Path:
    """Measure, and the file with the result.

    Args:
        settings: of the run.
        kubectl: on the claim's namespace.
        tolerations: further taints that the pods tolerate.
        again: take away an earlier Job of the same settings first.
        keep: leave the Job and its pods for a look.
        say: progress, a line at a time.
        folder: where results lie.
        poll_seconds: between looks at the cluster.

    Raises:
        RunError: the claim is not fit, the run failed, or pods gave no output.
        KubectlError: the cluster refused.
    """
    claim = _fit_claim(settings, kubectl)
    if again:
        kubectl.delete("job", settings.name)
    if kubectl.get("job", settings.name) is None:
        kubectl.create(job(settings, tolerations))
        say(f"made the Job {settings.name}: {settings.pods} pods on pool {settings.pool}, claim {settings.claim}")
    else:
        say(f"found the Job {settings.name} of an earlier call with these settings and go on with it (--again: anew)")
    finished = _wait(settings, kubectl, say, poll_seconds)
    pods = kubectl.labelled("pods", f"{RUN_LABEL}={settings.name}")
    nodes = {name: kubectl.get("node", name) or {} for name in sorted({_node(pod) for pod in pods} - {""})}
    outputs = [_output(kubectl, pod) for pod in pods]
    try:
        measured = aggregate(outputs, settings.patterns, settings.pods)
    except NoResultError as problem:
        simulated = [name for name, node in nodes.items() if _is_simulated(node)]
        # Output that could not be fetched may be had by a second call; output that is not there may not.
        lost = not any(one.unreachable for one in outputs) or bool(simulated)
        if lost and not keep:
            kubectl.delete("job", settings.name)
        raise RunError(_no_result(settings, str(problem), simulated, stays=keep or not lost)) from problem
    around = _surroundings(kubectl, claim, list(nodes.values()), outputs, finished)
    file = write_measurement(settings, measured, around, folder)
    if not keep:
        kubectl.delete("job", settings.name)
    for one in measured:
        say(_line(one))
    return file


def judge(settings: RunSettings, kubectl: Kubectl, tolerations: Sequence[str] = ()) -> None:
    """Let the cluster judge the Job, strictly, without making it.

    Raises:
        RunError: the claim is not fit.
        KubectlError: the cluster refused.
    """
    _fit_claim(settings, kubectl)
    kubectl.create(job(settings, tolerations), dry_run=True)


def _fit_claim(settings: RunSettings, kubectl: Kubectl) -> Mapping[str, Any]:
    claim = kubectl.get("persistentvolumeclaim", settings.claim)
    if claim is None:
        raise RunError(f"there is no claim {settings.claim} in the namespace {settings.namespace}")
    modes = claim["spec"]["accessModes"]
    if settings.pods > 1 and "ReadWriteMany" not in modes:
        raise RunError(
            f"the claim {settings.claim} is {', '.join(modes)}: {settings.pods} pods on nodes of their own need "
            "ReadWriteMany; take another claim, or --pods 1"
        )
    return claim


def _wait(settings: RunSettings, kubectl: Kubectl, say: Say, poll_seconds: float) -> str:
    """Wait until the Job has ended, well or not; the day on which it did."""
    last = ""
    while True:
        found = kubectl.get("job", settings.name)
        if found is None:
            raise RunError(f"the Job {settings.name} was deleted while it ran: call again for a new one")
        status = found.get("status", {})
        ends = [one for one in status.get("conditions", []) if one["type"] in ("Complete", "Failed")]
        if any(one["status"] == "True" for one in ends):
            return next(one["lastTransitionTime"][:10] for one in ends if one["status"] == "True")
        line = _progress(settings, kubectl.labelled("pods", f"{RUN_LABEL}={settings.name}"))
        if line != last:
            say(line)
            last = line
        time.sleep(poll_seconds)


def _progress(settings: RunSettings, pods: Sequence[Mapping[str, Any]]) -> str:
    phases = Counter(pod["status"].get("phase", "Pending") for pod in pods)
    line = ", ".join(f"{count} {phase.lower()}" for phase, count in sorted(phases.items())) or "no pods yet"
    waits = {reason for pod in pods if (reason := _waits_for(pod))}
    return f"{line} of {settings.pods}" + "".join(f"; {reason}" for reason in sorted(waits))


def _waits_for(pod: Mapping[str, Any]) -> str:
    """Why a pod does not run yet, empty if it does or nobody says."""
    status = pod["status"]
    for one in status.get("conditions", []):
        if one["type"] == "PodScheduled" and one["status"] == "False":
            return f"not scheduled: {one.get('message', one.get('reason', ''))}"
    for container in status.get("containerStatuses", []):
        waiting = container.get("state", {}).get("waiting", {})
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return f"{waiting['reason']}: {waiting.get('message', '')}"
    return ""


def _output(kubectl: Kubectl, pod: Mapping[str, Any]) -> PodOutput:
    name = pod["metadata"]["name"]
    try:
        return read_pod(name, kubectl.logs(name))
    except KubectlError as problem:
        return PodOutput(name, "", "", {}, f"its output cannot be had: {problem}", unreachable=True)


def _node(pod: Mapping[str, Any]) -> str:
    """The node a pod is on, empty if it was never placed."""
    return pod["spec"].get("nodeName", "")


def _is_simulated(node: Mapping[str, Any]) -> bool:
    return "kwok.x-k8s.io/node" in node.get("metadata", {}).get("annotations", {})


def _no_result(settings: RunSettings, problem: str, simulated: Sequence[str], *, stays: bool) -> str:
    lines = [f"no result, and none is written: {problem}"]
    if simulated:
        lines.append(
            f"{', '.join(simulated)}: simulated nodes (kwok), which run no container. Storage is measured on a real "
            "cluster only; the Job itself was accepted and scheduled."
        )
    if stays:
        lines.append(
            "The Job stays, and while it does the claim cannot be deleted: "
            f"kubectl -n {settings.namespace} describe job {settings.name}. "
            "The same call tries once more to read it; with --again it runs anew"
        )
    else:
        lines.append("The Job was taken away (--keep leaves it for a look); the same call runs anew")
    return "\n".join(lines)


def _surroundings(
    kubectl: Kubectl,
    claim: Mapping[str, Any],
    nodes: Sequence[Mapping[str, Any]],
    outputs: Sequence[PodOutput],
    date: str,
) -> Surroundings:
    volume = kubectl.get("persistentvolume", claim["spec"].get("volumeName", "")) or {}

    def labels(name: str) -> str:
        return ", ".join(sorted({node.get("metadata", {}).get("labels", {}).get(name, "") for node in nodes} - {""}))

    return Surroundings(
        date=date,
        storage_class=claim["spec"].get("storageClassName") or "",
        driver=volume.get("spec", {}).get("csi", {}).get("driver", ""),
        size=claim.get("status", {}).get("capacity", {}).get("storage", ""),
        node_size=labels("node.kubernetes.io/instance-type"),
        region=labels("topology.kubernetes.io/region"),
        fio=", ".join(sorted({one.fio for one in outputs})),
    )


def _line(one: Measured) -> str:
    tail = "".join(f", p{percentile:g} {value:.2f} ms" for percentile, value in one.latency_ms.items())
    return (
        f"measured {one.pattern}: {one.mibps:,.0f} MiB/s, {one.iops:,.0f} IOPS of {one.pods} pods together, "
        f"over {one.window_seconds:.0f} s{tail}"
    )
