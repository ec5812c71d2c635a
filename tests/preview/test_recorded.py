"""Comments of previews that the real engine made: what they say, that they fit, and that nothing leaks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from preview.comment import COMMENT_BYTES, MARKER, SUMMARY_BYTES, write
from preview.record import Record
from tests.preview.records import NAMES, RECORDED, read, unpack


def comment(*names: str) -> str:
    return write([read(name) for name in names]).comment


@pytest.mark.parametrize("name", NAMES)
def test_every_comment_fits_and_begins_with_its_marker(name: str) -> None:
    written = write([read(name)], run_url="https://github.com/o/r/actions/runs/1")
    assert MARKER.match(written.comment)
    assert len(written.comment.encode()) <= COMMENT_BYTES < 65_536
    assert len(written.summary.encode()) <= SUMMARY_BYTES
    assert written.comment.count("<details") == written.comment.count("</details>")


def test_a_first_deployment_says_that_nothing_is_lost_and_what_it_costs() -> None:
    text = comment("first")
    assert re.search(r"✅ \*\*dev\*\*: \*\*[789]\d to create\*\*; nothing is replaced or deleted\.", text)
    assert re.search(r"\$[\d,]+ to \$[\d,]+ a month\.", text)
    assert "CAUTION" not in text


def test_a_raised_maximum_is_one_change_and_its_price() -> None:
    text = comment("raised")
    assert "**1 to change**; nothing is replaced or deleted" in text
    assert '-   tags.max: "4"\n+   tags.max: "16"' in text
    assert re.search(r"\| \*\*change\*\* \| \*\*\$0\*\* \| \*\*\+\$41,\d{3}\*\* \|", text)


def test_a_changed_size_names_the_machines_and_the_jobs_that_end() -> None:
    text = comment("resized")
    assert (
        "⚠️ **sandbox**: **1 to replace**; nothing is deleted. **1 pool replaced with 1 machine and 2 running jobs.**"
        in text
    )
    assert '**Pool `serve` is replaced** (`vmSize` from `"Standard_NC4as_T4_v3"` to `"Standard_NC8as_T4_v3"`)' in text
    assert "**this ends 2 running jobs**: `default/train-bert`, `default/train-resnet`" in text


def test_a_removed_share_says_that_its_data_goes_once() -> None:
    text = comment("removed")
    assert "**File share `datasets` is deleted** (1024 GiB): **its data goes with it**." in text
    assert text.count("data goes with it") == 1
    assert "**Pool `light` is deleted**" in text


def test_a_policy_failure_is_red_with_numbers_and_remedies() -> None:
    text = comment("refused")
    assert "❌ **dev**: **refused by policy**, 3 mandatory violations." in text
    assert "short by 4248" in text
    assert "  - lower the maximum of heavy from 200 to 23" in text
    assert "**short by 4,248**" in text
    assert "above the budget of" in text


def test_a_program_error_lists_every_error_and_blames_nothing_else() -> None:
    text = comment("program_error")
    assert "❌ **sandbox**: **the preview failed.** the stack's settings have 2 errors:" in text
    assert "- trainyard:pools.light.maxx: no such key" in text
    assert "- trainyard:pools.heavy.vmSize:" in text
    assert "to create" not in text


def test_a_stack_file_that_is_no_yaml_still_makes_a_comment() -> None:
    record = read("no_yaml")
    assert record.events.steps == []
    text = write([record]).comment
    assert "❌ **dev**: **no preview.** getting stack configuration: invalid YAML file" in text


def test_a_refused_replacement_costs_what_the_settings_say() -> None:
    text = comment("job_ends")
    assert "would end what runs on its 1 machines" in text
    assert "from the settings, as the program did not finish" in text


@pytest.mark.parametrize("name", ["scaled", "unchanged"])
def test_what_the_autoscaler_did_is_no_change(name: str) -> None:
    text = comment(name)
    assert "✅ **sandbox**: **no changes.**" in text
    assert "(unchanged)" in text


def test_a_hundred_pools_are_cut_at_whole_resources_and_the_summary_has_the_rest() -> None:
    written = write([read("pools100")], run_url="https://github.com/o/r/actions/runs/1")
    shown = written.comment.count("@@ create ")
    cut = re.search(r"(\d+) more resources in \[the job summary\]", written.comment)
    assert cut is not None
    assert shown + int(cut[1]) == written.summary.count("@@ create ")
    last = written.comment.split("```diff\n")[1].split("\n```")[0]
    assert last in written.summary, "what is shown is a beginning of the whole, not cut inside a resource"
    assert "and 93 more" in written.comment


def test_many_environments_make_one_comment_with_every_verdict_first() -> None:
    names = ["first", "refused", "raised", "no_yaml", "pools100"]
    text = comment(*names)
    assert len(text.encode()) <= COMMENT_BYTES
    head = text.split("<details")[0]
    assert head.count("\n- ") == len(names)
    assert head.count("❌") == 2


def test_no_record_holds_a_secret_or_an_output(tmp_path: Path) -> None:
    for name in NAMES:
        folder = unpack(name, tmp_path / name)
        text = "".join(file.read_text() for file in folder.iterdir())
        for word in (
            "BEGIN",
            "client-certificate-data",
            "ciphertext",
            "-key-data",
            "eyJ",
            "1b47061264138c4ac30d75fd1eb44270",
        ):
            assert word not in text, f"{name}: {word}"
        assert '"outputs"' not in text, name


def test_the_kubeconfig_is_hidden_and_not_just_absent() -> None:
    [provider] = [step for step in read("first").events.steps if step.type == "pulumi:providers:kubernetes"]
    assert provider.new is not None
    assert provider.new["kubeconfig"] == "(secret)"


def test_records_are_small_and_all_are_looked_at() -> None:
    assert {"first", "raised", "resized", "refused", "program_error", "pools100"} <= set(NAMES)
    assert sum(file.stat().st_size for file in RECORDED.rglob("*") if file.is_file()) < 300_000


def test_a_failed_preview_replaces_the_green_one_whatever_it_registered() -> None:
    record: Record = read("first")
    record.exit_code = 255
    record.events.result = None
    text = write([record]).comment
    assert text.split("\n\n")[2].startswith("❌ **dev**: **the preview failed** without saying why (exit code 255)")
