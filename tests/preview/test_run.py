"""A preview run and recorded: the exit code kept, a comment whatever happens, nothing secret on disk or in the log."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from preview.__main__ import main
from preview.every import preview_every, stack_names
from preview.live import read_live
from tests.preview.records import unpack

SECRET = "hunter2hunter2"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, first on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return folder


def command(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def replayed(path: Path, name: str, code: int) -> None:
    """A pulumi that says what a recorded one said."""
    events = unpack(name, path.parent / f"record-{name}") / "events.jsonl"
    command(path, "pulumi", f"cat {events}\nexit {code}")


@pytest.mark.parametrize("code", [0, 1, 255])
def test_the_exit_code_is_pulumi_s_own(path: Path, tmp_path: Path, code: int) -> None:
    replayed(path, "raised", code)
    assert main(["run", "--stack", "sandbox", "--out", str(tmp_path / "out")]) == code
    text = (tmp_path / "out" / "comment.md").read_text()
    assert ("✅" in text, "❌" in text) == (code == 0, code != 0)


def test_the_arguments_and_the_report_s_place_reach_pulumi(path: Path, tmp_path: Path) -> None:
    report = '{"quota": [{"kind": "family", "family": "F", "needed": 9, "used": 1, "limit": 20}]}'
    command(path, "pulumi", f'echo "$@" >&2; echo \'{report}\' > "$TRAINYARD_POLICY_REPORT"; exit 3')
    assert main(["run", "--stack", "dev", "--out", str(tmp_path), "--", "--diff", "--refresh"]) == 3
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["messages"] == ["preview --json --non-interactive --stack dev --diff --refresh"]
    assert "| F | 9 | 1 | 20 | 10 |" in (tmp_path / "comment.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "added"),
    [
        (["--policy-pack", "policy"], True),
        (["--policy-pack=policy", "--refresh"], True),
        ([], False),
        (["--policy-pack", "policy", "--policy-pack-config=mine.json"], False),
        (["--policy-pack", "policy", "--policy-pack", "theirs"], False),
    ],
)
def test_a_stack_is_judged_by_the_pack_settings_of_its_own(
    path: Path, tmp_path: Path, arguments: list[str], added: bool
) -> None:
    own = tmp_path / "policies.dev.json"
    own.write_text("{}")
    command(path, "pulumi", 'echo "$@" >&2')
    main(["run", "--stack", "dev", "--stacks", str(tmp_path), "--out", str(tmp_path / "out"), "--", *arguments])
    [said] = json.loads((tmp_path / "out" / "run.json").read_text())["messages"]
    wanted = [*arguments, *(["--policy-pack-config", str(own)] if added else [])]
    assert said == " ".join(["preview --json --non-interactive --stack dev", *wanted])


@pytest.mark.parametrize("text", ["", " \n", "[]", "{", '"mandatory"'])
def test_pack_settings_that_are_none_are_not_taken_for_the_defaults(path: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "policies.dev.json").write_text(text)
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {}\n")
    command(path, "pulumi", "exit 0")
    out = tmp_path / "out"
    given = ["--stacks", str(tmp_path), "--out", str(out), "--", "--policy-pack", "policy"]
    assert main(["run", "--stack", "dev", *given]) == 1
    assert "policies.dev.json" in (out / "comment.md").read_text()
    assert "❌ **dev**: **no preview.**" in (out / "comment.md").read_text()
    assert main(["every", *given]) == 1
    assert "policies.dev.json" in (out / "dev" / "run.json").read_text()


def test_a_stack_without_pack_settings_is_judged_by_the_pack_s_defaults(path: Path, tmp_path: Path) -> None:
    (tmp_path / "policies.prod.json").write_text("{}")
    command(path, "pulumi", 'echo "$@" >&2')
    pack = ["--policy-pack", "policy"]
    main(["run", "--stack", "dev", "--stacks", str(tmp_path), "--out", str(tmp_path / "out"), "--", *pack])
    [said] = json.loads((tmp_path / "out" / "run.json").read_text())["messages"]
    assert said == "preview --json --non-interactive --stack dev --policy-pack policy"


def test_a_pulumi_that_is_not_there_still_makes_a_comment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["run", "--stack", "dev", "--out", str(tmp_path / "out")]) == 127
    assert "pulumi could not be started" in (tmp_path / "out" / "comment.md").read_text()
    assert "pulumi could not be started" in capsys.readouterr().err


def test_secrets_are_in_no_file_and_not_in_the_log(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    event = {
        "diagnosticEvent": {"severity": "error", "message": f"refused: AccountKey={SECRET}"},
    }
    made = {
        "resourcePreEvent": {
            "metadata": {
                "op": "create",
                "urn": "urn:pulumi:d::p::t::n",
                "type": "t",
                "new": {"inputs": {"password": SECRET}, "outputs": {"plain": SECRET}},
            }
        }
    }
    (tmp_path / "events").write_text(f"{json.dumps(event)}\n{json.dumps(made)}\nPassword={SECRET}\n")
    command(path, "pulumi", f"cat {tmp_path}/events; echo 'client_secret={SECRET}' >&2; exit 1")
    main(["run", "--stack", "dev", "--out", str(tmp_path / "out")])
    for file in (tmp_path / "out").iterdir():
        assert SECRET not in file.read_text(), file.name
    said = capsys.readouterr()
    assert SECRET not in said.out + said.err
    assert "refused" in said.err


def test_a_green_report_of_an_earlier_run_does_not_stay(path: Path, tmp_path: Path) -> None:
    replayed(path, "raised", 0)
    main(["run", "--stack", "sandbox", "--out", str(tmp_path / "out")])
    command(path, "pulumi", "exit 1")
    assert main(["run", "--stack", "sandbox", "--out", str(tmp_path / "out")]) == 1
    text = (tmp_path / "out" / "comment.md").read_text()
    assert "✅" not in text
    assert "❌ **sandbox**: **no preview.**" in text


def test_the_summary_goes_to_the_job(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replayed(path, "raised", 0)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "step"))
    main(["run", "--stack", "sandbox", "--out", str(tmp_path / "out")])
    assert "tags.max" in (tmp_path / "step").read_text()


def test_machines_and_jobs_are_counted_by_pool(path: Path, tmp_path: Path) -> None:
    nodes = [{"metadata": {"name": name, "labels": {"kubernetes.azure.com/agentpool": "p1"}}} for name in ("a", "b")]
    owners = [("team", "Job", "train")] * 2 + [("team", "DaemonSet", "plugin"), ("kube-system", "Job", "x")]
    pods = [
        {
            "metadata": {"name": str(index), "namespace": space, "ownerReferences": [{"kind": kind, "name": owner}]},
            "spec": {"nodeName": "a"},
        }
        for index, (space, kind, owner) in enumerate(owners)
    ]
    (tmp_path / "nodes").write_text(json.dumps({"items": nodes}))
    (tmp_path / "pods").write_text(json.dumps({"items": pods}))
    command(path, "kubectl", f"cat {tmp_path}/$2")
    found = read_live()
    assert found.problem == ""
    assert (found.pools["p1"].machines, found.pools["p1"].work) == (2, {"team/train": 2})


def test_a_cluster_out_of_reach_is_said_in_the_comment(path: Path, tmp_path: Path) -> None:
    replayed(path, "resized", 0)
    command(path, "kubectl", "echo 'dial tcp 10.0.0.1:443: i/o timeout' >&2; exit 1")
    main(["run", "--stack", "sandbox", "--out", str(tmp_path / "out"), "--live"])
    text = (tmp_path / "out" / "comment.md").read_text()
    assert "**Not seen by this preview:**" in text
    assert "i/o timeout" in text
    assert "What runs on it is not known" in text


def test_every_stack_is_previewed_whatever_becomes_of_the_others(path: Path, tmp_path: Path) -> None:
    stacks = tmp_path / "stacks"
    stacks.mkdir()
    for name in ("dev", "prod", "wrong"):
        (stacks / f"Pulumi.{name}.yaml").write_text("config: {}\n")
    (stacks / "policies.prod.json").write_text("{}")
    script = """case "$*" in
      *export*--stack*wrong*) exit 1;; *init*wrong*) echo "no such key vault" >&2; exit 1;;
      *export*) exit 0;; *--stack\\ dev*) echo "$@" >&2; exit 4;; *) echo "$@" >&2;; esac"""
    command(path, "pulumi", script)
    assert stack_names(stacks) == ["dev", "prod", "wrong"]
    out = tmp_path / "out"
    records = preview_every(stacks, out, ["--policy-pack", "policy"], lambda _: None)
    assert [record.exit_code for record in records] == [4, 0, 1]
    assert "--policy-pack-config" in records[1].messages[0]
    assert "--policy-pack-config" not in records[0].messages[0]
    assert records[2].messages == ["no such key vault"]
    assert main(["every", "--stacks", str(stacks), "--out", str(out)]) == 4
    for name in ("dev", "prod", "wrong"):
        assert f"**{name}**" in (out / name / "comment.md").read_text()


def test_records_are_rendered_as_a_stranger_left_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unpack("raised", tmp_path / "all" / "one")
    (tmp_path / "all" / "broken").mkdir()
    assert main(["render", "--all-in", str(tmp_path / "all"), "--kind", "deployed"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("<!-- trainyard-preview:deployed -->")
    assert "❌ **broken**: **no preview.**" in text
    assert "✅ **sandbox**" in text


def test_no_record_at_all_is_a_comment_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "--all-in", str(tmp_path)]) == 0
    assert "No environment was previewed" in capsys.readouterr().out


def test_a_file_of_events_alone_can_be_rendered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = unpack("raised", tmp_path / "one") / "events.jsonl"
    assert main(["render", str(events)]) == 0
    assert "✅ **sandbox**: **1 to change**" in capsys.readouterr().out
