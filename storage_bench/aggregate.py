"""All pods together: what the storage gave while all of them used it.

Rates are summed over the time in which every fio job of every pod ran, by the nodes' clocks, not over each pod's own
time: pods that start late or end early would otherwise count twice. Percentiles come from the pods' merged histograms;
an average of percentiles is no percentile of anything.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from capacity.storage_data import Pattern
from storage_bench.logs import PodOutput, PodPattern, Sample

PERCENTILES = (50.0, 95.0, 99.0, 99.9)
LEAST_SECONDS = 5.0
"""A shorter time together is no measurement."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One pattern, all pods.

    Attributes:
        pattern: which.
        pods: how many.
        window_seconds: for which all ran at the same time.
        mibps, iops: all pods together in that time.
        per_pod_mibps: of each pod in that time, in the pods' order.
        latency_ms: percentile to milliseconds, over each pod's whole run; empty where fio gave no histogram.
    """

    pattern: Pattern
    pods: int
    window_seconds: float
    mibps: float
    iops: float
    per_pod_mibps: tuple[float, ...]
    latency_ms: Mapping[float, float]


class NoResultError(ValueError):
    """There is no result; says why, pod by pod."""


def aggregate(outputs: Sequence[PodOutput], patterns: Iterable[Pattern], pods: int) -> list[Measured]:
    """What was measured.

    Args:
        outputs: of the run's pods.
        patterns: that were asked for.
        pods: how many were asked for.

    Raises:
        NoResultError: a pod is missing or did not finish, or the pods had too little time together.
    """
    problems = [f"{one.pod}: {one.problem}" for one in outputs if one.problem]
    if len(outputs) != pods:
        problems.append(f"{len(outputs)} pods have an output, {pods} were asked for")
    for pattern in patterns:
        problems += [f"{one.pod}: no {pattern}" for one in outputs if not one.problem and pattern not in one.patterns]
    if problems:
        raise NoResultError("; ".join(problems))
    return [_measured(pattern, [one.patterns[pattern] for one in outputs]) for pattern in patterns]


def _measured(pattern: Pattern, pods: Sequence[PodPattern]) -> Measured:
    # Both logs cover the same time; a job whose logs are empty never ran a second.
    jobs = [job for pod in pods for job in (*pod.bandwidth, *pod.iops)]
    if any(not pod.bandwidth or not pod.iops for pod in pods):
        raise NoResultError(f"{pattern}: a pod's run was too short to log anything: use more seconds or larger files")
    begin = max(job[0].begin for job in jobs)
    end = min(job[-1].end for job in jobs)
    seconds = (end - begin) / 1000
    if seconds < LEAST_SECONDS:
        raise NoResultError(
            f"{pattern}: all pods ran together for {max(seconds, 0):.1f} s, {LEAST_SECONDS:.0f} at least are needed: "
            "use more seconds or larger files (--stream-mib), and see whether the nodes' clocks agree"
        )
    per_pod = tuple(sum(_mean(job, begin, end) for job in pod.bandwidth) / 1024 for pod in pods)
    return Measured(
        pattern=pattern,
        pods=len(pods),
        window_seconds=seconds,
        mibps=sum(per_pod),
        iops=sum(_mean(job, begin, end) for pod in pods for job in pod.iops),
        per_pod_mibps=per_pod,
        latency_ms=percentiles_ms([pod.latency_bins for pod in pods]),
    )


def _mean(samples: Iterable[Sample], begin: float, end: float) -> float:
    """The average rate between two times, each sample weighed by how much of it lies there."""
    weighed = (one.rate * max(0.0, min(one.end, end) - max(one.begin, begin)) for one in samples)
    return sum(weighed) / (end - begin)


def percentiles_ms(histograms: Iterable[Mapping[int, int]]) -> dict[float, float]:
    """Percentiles of all I/Os of several histograms, in ms: the smallest bin that so many of them do not exceed."""
    merged = Counter[int]()
    for bins in histograms:
        merged.update(bins)
    if not merged:
        return {}
    values = sorted(merged)
    sums = list(itertools.accumulate(merged[value] for value in values))
    return {
        percentile: next(
            value for value, below in zip(values, sums, strict=True) if below >= sums[-1] * percentile / 100
        )
        / 1e6
        for percentile in PERCENTILES
    }
