"""What a simulation comes to, and how it is told."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from capacity.__main__ import main
from capacity.catalogue import load_catalogue
from capacity.checks import load
from capacity.simulation.chart import chart
from capacity.simulation.fleet import Fleet, fleet
from capacity.simulation.jobs import Demand, Job
from capacity.simulation.nodes import Node
from capacity.simulation.page import page
from capacity.simulation.report import Report, Waits, examine, foreseen
from capacity.simulation.suggest import Choice, Result, Search, changed, commands
from capacity.simulation.table import span, text
from capacity.traces import Trace

GIB = 2**20
HEAVY = Demand(4_000, 16 * GIB, gpus=1, pool_class="heavy-gpu")
LOCATION = "westeurope"
PRICE = load_catalogue().price(LOCATION, "Standard_NC24ads_A100_v4") or 0
POOLS: dict[str, Any] = {"heavy": {"class": "heavy-gpu", "max": 4, "osDisk": {"type": "Ephemeral"}}}
TRACE = "arrivalSeconds,durationSeconds,cpuCores,memoryGib,gpus,class\n" + "".join(
    f"{at},600,4,16,1,heavy-gpu\n" for at in (0, 0, 1000, 9000)
)


def made(pools: dict[str, Any]) -> Fleet:
    return fleet(load({"location": LOCATION, "pools": pools}), load_catalogue())


def report(jobs: list[Job], pools: dict[str, Any] | None = None, **more: Any) -> Report:
    return examine("team", made(pools or POOLS), LOCATION, Trace("trace.csv", jobs), **more)


def stack_file(folder: Path, name: str = "Pulumi.team.yaml", pools: dict[str, Any] | None = None) -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump({"config": {"trainyard:location": LOCATION, "trainyard:pools": pools or POOLS}}))
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """The arguments that name a stack and a trace."""
    (tmp_path / "trace.csv").write_text(TRACE)
    return ["--stack", str(stack_file(tmp_path)), "--trace", str(tmp_path / "trace.csv")]


def test_percentiles_are_by_nearest_rank():
    assert Waits.of(range(1, 101)) == Waits(100, 50, 95, 100)
    assert Waits.of([7]) == Waits(1, 7, 7, 7)
    assert Waits.of([]).jobs == 0


def test_hours_and_cost_beside_static_and_all_knowing():
    found = report([Job("one", 0, 3600, HEAVY)]).total
    assert found.waits.longest == 310
    assert found.oracle.hours == pytest.approx((3600 + 300) / 3600), "busy, and the boot before"
    assert found.use.hours == pytest.approx((300 + 3600 + 300 + 15) / 3600, abs=10 / 3600), "and idle for five minutes"
    assert found.static.hours == pytest.approx(4), "four machines for the hour that the job takes there"
    assert found.static_waits.longest == 0
    for use in (found.use, found.static, found.oracle):
        assert use.usd == pytest.approx(use.hours * PRICE)


def test_gaps_shorter_than_a_boot_are_kept():
    node = Node(made(POOLS).groups["heavy"], "heavy-0", 0)
    node.busy = [(500, 600), (800, 900), (1300, 1400)]
    assert foreseen(node, 300) == [(200, 900), (1000, 1400)]


def test_the_curve_of_cost_ends_at_the_cost():
    found = report([Job(str(n), n * 500.0, 900, HEAVY) for n in range(12)])
    for label, use in (("this stack", found.total.use), ("all-knowing", found.total.oracle)):
        points = found.curves.cost[label]
        assert points[-1][1] == pytest.approx(use.usd, rel=1e-6), label
        assert points == sorted(points), "it never falls"


def test_peak_cores_stand_beside_quota():
    found = report([Job(str(n), 0, 60, HEAVY) for n in range(3)], quota={"cores": 100})
    assert [(one.quota, one.peak, one.limit) for one in found.quotas] == [
        ("cores", 72, 100),
        ("standardncadsa100v4family", 72, None),
    ]


def test_a_spot_price_is_unknown_and_the_on_demand_price_its_ceiling():
    found = report([Job("one", 0, 60, HEAVY)], {"heavy": {**POOLS["heavy"], "spot": True}})
    assert found.pools[0].hourly == pytest.approx(PRICE)
    assert any("spot price unknown: at most this" in note for note in found.notes)


def test_without_a_price_the_cost_is_unknown_and_said_to_be(monkeypatch: pytest.MonkeyPatch):
    stack = made(POOLS)

    def unknown(*_: object) -> None:
        return None

    monkeypatch.setattr("capacity.cost.prices.Catalogue.price", unknown)
    found = examine("team", stack, LOCATION, Trace("trace.csv", [Job("one", 0, 60, HEAVY)]))
    assert found.total.use.usd is None
    assert any("price unknown" in note for note in found.notes)
    assert "unknown" in text([found])


def test_the_page_needs_nothing_else_and_escapes_what_it_is_given():
    found = report([Job("one", 0, 60, HEAVY), Job("never", 0, 1, Demand(1, 1, gpus=1, gpu_model="<b>"))])
    made_page = page([found])
    assert not re.search(r"(src|href)=|url\(|@import|<script", made_page)
    assert "<b>)" not in made_page
    assert "(&lt;b&gt;)" in made_page
    for svg in re.findall(r"<svg.*?</svg>", made_page, re.S):
        ElementTree.fromstring(svg)
    assert made_page.count("<svg") == 3


def test_a_long_curve_keeps_its_peaks():
    curve = [(float(at), 1.0) for at in range(10_000)]
    curve[5_003] = (5_003.0, 40.0)
    drawn = chart("machines", {"a": curve}, seconds=10_000, steps=True)
    assert len(drawn) < 40_000
    assert "V12.0" in drawn, "the highest point, at the top of the axis"


@pytest.mark.parametrize(("seconds", "told"), [(0, "0 s"), (119, "119 s"), (300, "5 min"), (9000, "2.5 h")])
def test_times_as_people_say_them(seconds: float, told: str):
    assert span(seconds) == told


def test_the_command_prints_a_table(files: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(files) == 0
    printed = capsys.readouterr().out
    assert "4 finished, 0 can never run, 0 left over" in printed
    assert re.search(r"heavy-gpu +4 ", printed)


def test_the_command_prints_json_and_writes_a_page(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    target = tmp_path / "page.html"
    other = str(stack_file(tmp_path, "Pulumi.other.yaml", {"heavy": {**POOLS["heavy"], "max": 1}}))
    assert main([*files, "--json", "--html", str(target), "--compare", other]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["stack"], second["stack"]) == ("team", "other")
    assert first["total"]["waits"]["longest"] < second["total"]["waits"]["longest"]
    assert "Side by side" in target.read_text()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--quota", "nope=5"], "no pool counts against it; known: cores, spot, standardncadsa100v4family"),
        (["--quota", "cores=many"], "'many' is no number of cores"),
        (["--boot", "light=5"], "--boot: no pool light; the stack's: heavy"),
        (["--compare", "nowhere.yaml"], "cannot be read"),
    ],
)
def test_what_does_not_fit_is_said(files: list[str], more: list[str], told: str, capsys: pytest.CaptureFixture[str]):
    assert main([*files, *more]) == 1
    assert told in capsys.readouterr().err


def test_quota_comes_from_a_snapshot(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    snapshot = tmp_path / "facts.json"
    usages = {"cores": ["Total Regional vCPUs", 10, 34], "lowprioritycores": ["Spot", 0, -1]}
    snapshot.write_text(json.dumps({"takenAt": "2026-11-23", "answers": {f"usages/{LOCATION}": usages}}))
    assert main([*files, "--quota", str(snapshot), "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert [one["limit"] for one in found["quotas"]] == [24, None]
    assert found["pools"][0]["refused"] > 0, "24 cores are one machine, and two jobs wait at first"
    snapshot.write_text("{}")
    assert main([*files, "--quota", str(snapshot)]) == 1
    assert "make azure-snapshot" in capsys.readouterr().err


def test_a_bad_trace_is_an_error_and_no_traceback(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "trace.csv").write_text("arrivalSeconds\n-1\n")
    assert main(files) == 1
    assert "column durationSeconds is missing" in capsys.readouterr().err


def model(choices: dict[str, Choice]) -> Result:
    """Waiting falls with machines and with idle time, money rises with both."""
    one = choices["heavy"]
    minutes = one.minutes or 5
    return Result(p95=4000 / one.maximum + 100 / minutes, usd=one.maximum + minutes, left=0)


def test_a_search_raises_limits_until_the_goal_is_met_and_no_further():
    best, result = Search(lambda c: model(dict(c)), 500).run({"heavy": Choice(2, 0, None)})
    assert result is not None
    assert result.p95 <= 500
    everything = [Choice(n, 0, m) for n in range(1, 17) for m in (1, 2, 3, 5, 10)]
    cheapest = min(model({"heavy": one}).usd for one in everything if model({"heavy": one}).p95 <= 500)
    assert result.usd <= cheapest + 2, best


def test_a_search_is_bounded_and_always_the_same():
    runs: list[Any] = []
    for _ in range(2):
        search = Search(lambda c: model(dict(c)), 1, most=9)
        runs.append(search.run({"heavy": Choice(2, 0, None)}))
        assert search.tried == 9
    assert runs[0] == runs[1]


def test_changed_settings_are_lines_for_pulumi():
    start = {"heavy": Choice(4, 0, None), "cpu": Choice(2, 0, 5)}
    end = {"heavy": Choice(6, 0, 2), "cpu": Choice(2, 0, 5)}
    assert commands(start, end) == [
        "pulumi config set --path 'trainyard:pools.heavy.max' 6",
        "pulumi config set --path 'trainyard:pools.heavy.scaling.unneededMinutes' 2",
    ]
    values = {"pools": {"heavy": {"max": 4}, "cpu": {"max": 2, "scaling": {"unneededMinutes": 5}}}}
    assert changed(values, end)["pools"]["heavy"] == {"max": 6, "scaling": {"unneededMinutes": 2}}
    assert values["pools"]["heavy"] == {"max": 4}, "the values given stay as they are"


def test_the_command_suggests_something_cheaper(files: list[str], capsys: pytest.CaptureFixture[str]):
    assert main([*files, "--suggest", "--target-wait", "10m", "--evaluations", "20"]) == 0
    printed = capsys.readouterr().out
    assert "cheapest of" in printed
    assert "pulumi config set --path 'trainyard:pools.heavy.scaling.unneededMinutes' " in printed


def test_a_goal_below_the_boot_time_is_said_to_be_out_of_reach(files: list[str], capsys: pytest.CaptureFixture[str]):
    assert main([*files, "--suggest", "--target-wait", "5s", "--evaluations", "20"]) == 0
    assert "no limits or timings bring p95 down to 5 s" in capsys.readouterr().out
