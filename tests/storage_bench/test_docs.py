"""The documents are what the code makes, measured results stand in them, and charts are pictures."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from storage_bench.chart import WIDTH, Bar, bar_chart
from storage_bench.docs import DOCS, EXAMPLES, Example, rendered
from storage_bench.measurements import read_measurements

RESULT = {
    "backend": "files-premium-v2-nfs",
    "date": "2026-11-23",
    "nodes": {"count": 8, "size": "Standard_NC24ads_A100_v4", "region": "eastus2"},
    "patterns": {"sequential": {"mibps": 987.6, "iops": 987.6}},
}


def test_the_documents_in_the_repository_are_what_the_code_makes():
    for name, text in rendered().items():
        assert (DOCS / name).read_text() == text, f"docs/{name} is stale: run make docs-storage"


def test_a_measured_result_stands_beside_the_computed_one(tmp_path: Path):
    (tmp_path / "one.json").write_text(json.dumps(RESULT))
    files = rendered(tmp_path)
    rows = [line for line in files["storage-comparison.md"].splitlines() if "988 MiB/s on 8 x Standard_NC24ads" in line]
    assert len(rows) == 1, "in the table of that pattern only"
    assert "files-premium-v2-nfs" in rows[0]
    assert "(storage-measurements/one.json)" in rows[0]
    assert 'class="measured"' in files["storage-tokens.svg"]
    assert 'class="measured"' not in files["storage-images.svg"]


def test_without_results_nothing_is_said_to_be_measured(tmp_path: Path):
    files = rendered(tmp_path)
    assert not [name for name, text in files.items() if name.endswith(".svg") and "<circle" in text]
    assert "| not yet |" in files["storage-comparison.md"]


def test_a_file_that_is_no_result_is_refused(tmp_path: Path):
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ValueError, match=r"bad\.json is no result"):
        read_measurements(tmp_path)


def test_the_newest_result_comes_first(tmp_path: Path):
    for date in ("2026-01-01", "2026-12-01", "2026-06-01"):
        (tmp_path / f"{date}.json").write_text(json.dumps({**RESULT, "date": date}))
    assert [one.date for one in read_measurements(tmp_path)] == ["2026-12-01", "2026-06-01", "2026-01-01"]


@pytest.mark.parametrize("example", EXAMPLES, ids=[one.name for one in EXAMPLES])
def test_charts_are_svg_within_their_width(example: Example, tmp_path: Path):
    text = rendered(tmp_path)[f"storage-{example.name}.svg"]
    picture = ElementTree.fromstring(text)
    assert "prefers-color-scheme: dark" in text
    for bar in picture.iter("{http://www.w3.org/2000/svg}rect"):
        assert float(bar.get("x", "0")) + float(bar.get("width", "0")) <= WIDTH


def test_a_measured_value_above_the_computed_one_stays_in_the_picture():
    text = bar_chart("a", "MiB/s", [Bar("x", 100, "best", 400), Bar("y", 50, "other")], "legend")
    picture = ElementTree.fromstring(text)
    [dot] = list(picture.iter("{http://www.w3.org/2000/svg}circle"))
    assert float(dot.get("cx", "0")) <= WIDTH
    bars = [float(one.get("width", "0")) for one in picture.iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert bars[0] == pytest.approx(bars[1] * 2, rel=0.01)
