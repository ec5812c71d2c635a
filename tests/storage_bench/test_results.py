"""From what pods print to a result: real fio output, and made-up logs whose sums are known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from storage_bench.aggregate import NoResultError, aggregate, percentiles_ms
from storage_bench.logs import BadOutputError, PodOutput, PodPattern, Sample, read_pod
from storage_bench.settings import ORDER

FIXTURES = Path(__file__).parent / "fixtures"


def real_pods() -> list[PodOutput]:
    return [read_pod(f"pod-{number}", (FIXTURES / f"pod-{number}.log").read_text()) for number in (0, 1)]


def made_up(*jobs: list[tuple[float, float, float]]) -> PodPattern:
    """A pattern of jobs given as (from s, to s, MiB/s)."""
    bandwidth = tuple(tuple(Sample(a * 1000, b * 1000, rate * 1024) for a, b, rate in job) for job in jobs)
    iops = tuple(tuple(Sample(a * 1000, b * 1000, rate) for a, b, rate in job) for job in jobs)
    return PodPattern(bandwidth, iops, {1_000_000: 10}, 10, read=True)


def pod(name: str, pattern: PodPattern) -> PodOutput:
    return PodOutput(name, "fio-3.33", "node", {"sequential": pattern}, "")


# ---- real output


def test_real_output_has_every_pattern_and_says_who_made_it():
    for number, one in enumerate(real_pods()):
        assert one.problem == ""
        assert one.fio == "fio-3.33"
        assert one.node == f"node-{number}"
        assert set(one.patterns) == set(ORDER)
        for pattern in one.patterns.values():
            assert len(pattern.bandwidth) == len(pattern.iops) == 2, "two streams"


def test_the_logs_of_a_real_run_agree_with_fios_own_summary():
    """Over a pod's whole run, the samples' mean is fio's bandwidth but for the seconds at both ends."""
    for number, one in enumerate(real_pods()):
        text = (FIXTURES / f"pod-{number}.log").read_text()
        part = text.split("storage-bench: begin random\n")[1].split("storage-bench:")[0]
        summary = json.loads(part[part.index("{") :])["jobs"][0]["read"]
        jobs = one.patterns["random"].bandwidth
        mean = sum(sum(s.rate * (s.end - s.begin) for s in job) / (job[-1].end - job[0].begin) for job in jobs)
        assert mean == pytest.approx(summary["bw"], rel=0.05)


def test_percentiles_of_one_pods_histogram_are_fios_own():
    text = (FIXTURES / "pod-0.log").read_text()
    part = text.split("storage-bench: begin random\n")[1].split("storage-bench:")[0]
    fios = json.loads(part[part.index("{") :])["jobs"][0]["read"]["clat_ns"]["percentile"]
    ours = percentiles_ms([real_pods()[0].patterns["random"].latency_bins])
    for percentile, value in ours.items():
        assert value == fios[f"{percentile:.6f}"] / 1e6, percentile


def test_a_real_run_gives_a_result_for_every_pattern():
    for one in aggregate(real_pods(), ORDER, 2):
        assert one.window_seconds > 5
        assert one.mibps == pytest.approx(sum(one.per_pod_mibps))
        size = {"random": 4 / 1024, "small-files": 128 / 1024}.get(one.pattern, 1.0)
        assert one.mibps == pytest.approx(one.iops * size, rel=0.02), "both logs tell the same"


# ---- arithmetic


def test_only_the_time_that_all_pods_share_counts():
    """One pod alone is twice as fast: its time alone must not count, neither before nor after."""
    first = made_up([(0, 10, 200), (10, 20, 100), (20, 30, 200)])
    second = made_up([(10, 20, 100)])
    [found] = aggregate([pod("a", first), pod("b", second)], ["sequential"], 2)
    assert found.window_seconds == 10
    assert found.mibps == 200
    assert found.per_pod_mibps == (100, 100)
    assert found.iops == 200


def test_a_sample_that_lies_half_in_the_window_counts_half():
    first = made_up([(0, 10, 100), (10, 20, 300)])
    second = made_up([(5, 15, 0)])
    [found] = aggregate([pod("a", first), pod("b", second)], ["sequential"], 2)
    assert found.mibps == 200


def test_streams_of_a_pod_are_summed():
    [found] = aggregate([pod("a", made_up([(0, 10, 100)], [(0, 10, 50)]))], ["sequential"], 1)
    assert found.mibps == 150


def test_percentiles_are_of_all_ios_and_not_averages_of_percentiles():
    """999 fast I/Os of one pod, 1 slow one of another: the median is fast, though the pods' medians average to slow."""
    merged = percentiles_ms([{1_000_000: 999}, {1_000_000_000: 1}])
    assert (merged[50.0], merged[99.0]) == (1, 1)
    assert percentiles_ms([{1_000_000: 90}, {5_000_000: 10}])[95.0] == 5
    assert percentiles_ms([{}, {}]) == {}


# ---- no result


def test_pods_that_never_ran_together_give_no_result():
    apart = [pod("a", made_up([(0, 10, 100)])), pod("b", made_up([(60, 70, 100)]))]
    with pytest.raises(NoResultError, match=r"together for 0\.0 s"):
        aggregate(apart, ["sequential"], 2)


def test_output_of_nothing_is_said_to_be_nothing():
    """kwok's pods end well and print nothing."""
    empty = read_pod("a", "")
    assert empty.problem == "printed nothing: its container did not run"
    with pytest.raises(NoResultError, match="a: printed nothing"):
        aggregate([empty], ["sequential"], 1)


def test_a_missing_pod_and_a_missing_pattern_give_no_result():
    with pytest.raises(NoResultError, match="1 pods have an output, 2 were asked for"):
        aggregate(real_pods()[:1], ["sequential"], 2)
    with pytest.raises(NoResultError, match="a: no random"):
        aggregate([pod("a", made_up([(0, 10, 1)]))], ["random"], 1)


def test_a_pod_that_was_cut_off_is_not_taken_for_a_finished_one():
    whole = (FIXTURES / "pod-0.log").read_text()
    cut = read_pod("a", whole[: whole.index("storage-bench: end random")])
    assert cut.problem.startswith("stopped before its end")
    assert list(cut.patterns) == ["sequential"]


def test_a_failure_is_repeated_in_its_own_words():
    text = "storage-bench: fio fio-3.33\nstorage-bench: failed only 1 of 2 pods came in 60 s\n"
    assert read_pod("a", text).problem == "failed: only 1 of 2 pods came in 60 s"


@pytest.mark.parametrize("broken", ['"jobs"', '"clat_ns"', '"total_ios"'])
def test_output_that_is_not_fios_is_refused(broken: str):
    text = (FIXTURES / "pod-0.log").read_text().replace(broken, '"else"')
    with pytest.raises(BadOutputError, match="pod-0"):
        read_pod("pod-0", text)


def test_notes_that_fio_prints_before_its_json_are_passed_over():
    text = (FIXTURES / "pod-0.log").read_text().replace("begin random\n", "begin random\nnote: both iodepth >= 1\n")
    assert "random" in read_pod("pod-0", text).patterns
