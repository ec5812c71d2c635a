"""What a pod printed: fio's results and its per-second logs, pattern by pattern.

Owns the reading of the script's output. Says what is missing; never fills in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from capacity.storage_data import PATTERNS, Pattern
from storage_bench.script import MARK


@dataclass(frozen=True, slots=True)
class Sample:
    """An average over a time: the node's clock in ms, from and to, and KiB/s or I/Os a second in between."""

    begin: float
    end: float
    rate: float


@dataclass(frozen=True, slots=True)
class PodPattern:
    """One pattern in one pod.

    Attributes:
        bandwidth, iops: of each fio job, its samples in order of time; KiB/s and I/Os a second.
        latency_bins: nanoseconds to how many I/Os took that long, as fio binned them.
        total_ios: that fio counted.
        read: whether it read; else it wrote.
    """

    bandwidth: tuple[tuple[Sample, ...], ...]
    iops: tuple[tuple[Sample, ...], ...]
    latency_bins: Mapping[int, int]
    total_ios: int
    read: bool


@dataclass(frozen=True, slots=True)
class PodOutput:
    """Everything one pod printed.

    Attributes:
        pod: its name.
        fio: fio's version, empty if it said none.
        node: the node it ran on, as it said.
        patterns: those that came to an end.
        problem: why there is no more, empty if it got to its end.
        unreachable: whether the output could not be fetched, so that it may exist.
    """

    pod: str
    fio: str
    node: str
    patterns: Mapping[Pattern, PodPattern]
    problem: str
    unreachable: bool = False


class BadOutputError(ValueError):
    """Output that is not what the script prints."""


def read_pod(pod: str, text: str) -> PodOutput:
    """A pod's output.

    Raises:
        BadOutputError: a part that came to its end cannot be read.
    """
    said: dict[str, str] = {}
    parts: dict[tuple[str, str], list[str]] = {}
    ended, failed, current = list[str](), "", list[str]()
    for line in text.splitlines():
        if not line.startswith(MARK):
            current.append(line)
            continue
        word, _, rest = line.removeprefix(MARK).strip().partition(" ")
        current = []
        if word in ("begin", "bandwidth", "iops"):
            parts[word, rest] = current
        elif word == "end":
            ended.append(rest)
        elif word == "failed":
            failed = rest
        else:
            said[word] = rest
    patterns: dict[Pattern, PodPattern] = {
        pattern: _pattern(pod, pattern, parts) for pattern in PATTERNS if pattern in ended
    }
    return PodOutput(pod, said.get("fio", ""), said.get("node", ""), patterns, _problem(text, said, failed, current))


def _problem(text: str, said: Mapping[str, str], failed: str, rest: Sequence[str]) -> str:
    if not text.strip():
        return "printed nothing: its container did not run"
    if failed:
        return f"failed: {failed}"
    if "done" not in said:
        tail = " ".join(rest[-3:]).strip()
        return "stopped before its end" + (f": {tail[-300:]}" if tail else "")
    return ""


def _pattern(pod: str, pattern: Pattern, parts: Mapping[tuple[str, str], Sequence[str]]) -> PodPattern:
    try:
        result = cast("dict[str, Any]", json.loads("\n".join(_json_lines(parts["begin", pattern]))))
        [job] = result["jobs"]
        if job["error"]:
            raise BadOutputError(f"{pod}, {pattern}: fio reports error {job['error']}")
        side = job["write" if pattern == "checkpoint" else "read"]
        bins = {int(nanoseconds): int(count) for nanoseconds, count in side["clat_ns"].get("bins", {}).items()}
        return PodPattern(
            bandwidth=_samples(parts["bandwidth", pattern]),
            iops=_samples(parts["iops", pattern]),
            latency_bins=bins,
            total_ios=int(side["total_ios"]),
            read=pattern != "checkpoint",
        )
    except (KeyError, TypeError, json.JSONDecodeError) as problem:
        raise BadOutputError(f"{pod}, {pattern}: this is not fio's json+ output ({problem!r})") from problem
    except ValueError as problem:
        raise BadOutputError(f"{pod}, {pattern}: {problem}") from problem


def _json_lines(lines: Sequence[str]) -> Sequence[str]:
    """Without what fio says before its JSON, notes of settings that it changed itself."""
    start = next((number for number, line in enumerate(lines) if line.startswith("{")), len(lines))
    return lines[start:]


def _samples(lines: Sequence[str]) -> tuple[tuple[Sample, ...], ...]:
    """fio's merged log (`time, rate, direction, block size, offset`), job after job: where time goes back, a new one.

    A sample's rate is the average since the one before it; before a job's first lies one interval of the log.
    """
    jobs: list[list[Sample]] = []
    before: float | None = None
    for line in lines:
        if not line.strip():
            continue
        fields = line.split(",")
        if len(fields) < 3:
            raise ValueError(f"{line!r} is no line of a fio log")
        end, rate = float(fields[0]), float(fields[1])
        if before is None or end <= before:
            jobs.append([])
            begin = end - _INTERVAL_MS
        else:
            begin = before
        jobs[-1].append(Sample(begin, end, rate))
        before = end
    return tuple(tuple(job) for job in jobs)


_INTERVAL_MS = 1000
"""`--log_avg_msec` of `storage_bench.settings`."""
