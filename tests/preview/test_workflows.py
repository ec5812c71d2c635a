"""What the workflows promise: pinned actions, least rights, and no code of a change beside a token that may write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(".github/workflows")
NAMES = sorted(file.name for file in FOLDER.glob("*.yml"))


def workflow(name: str) -> dict[str, Any]:
    return yaml.safe_load((FOLDER / name).read_text())


def jobs(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from workflow(name)["jobs"].items()


def test_the_three_workflows_are_there() -> None:
    assert {"check.yml", "comment.yml", "preview.yml"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_action_is_pinned_by_its_commit_and_says_its_version(name: str) -> None:
    used = re.findall(r"uses: (.+)", (FOLDER / name).read_text())
    assert used
    for action in used:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@pytest.mark.parametrize("name", NAMES)
def test_no_checkout_leaves_a_token_behind_and_every_job_states_its_rights(name: str) -> None:
    assert workflow(name)["permissions"] == {}
    for job, body in jobs(name):
        assert body["permissions"], job
        assert "timeout-minutes" in body, job
        for step in body["steps"]:
            if str(step.get("uses", "")).startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, job


def test_what_runs_the_change_without_trust_has_no_secret_and_may_only_read() -> None:
    assert "secrets." not in (FOLDER / "check.yml").read_text()
    for job, body in jobs("check.yml"):
        assert body["permissions"] == {"contents": "read"}, job


@pytest.mark.parametrize("name", NAMES)
def test_who_may_write_runs_the_default_branch_only(name: str) -> None:
    for job, body in jobs(name):
        if "write" not in {body["permissions"].get("pull-requests"), body["permissions"].get("issues")}:
            continue
        assert "id-token" not in body["permissions"], job
        checkouts = [step for step in body["steps"] if str(step.get("uses", "")).startswith("actions/checkout@")]
        assert checkouts, job
        for step in checkouts:
            assert step["with"]["ref"] == "${{ github.event.repository.default_branch }}", job


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_the_event_is_pasted_into_a_script(name: str) -> None:
    for job, body in jobs(name):
        for step in body["steps"]:
            assert "${{" not in step.get("run", ""), f"{job}: values go through env"


def test_forks_get_no_identity() -> None:
    text = (FOLDER / "preview.yml").read_text()
    assert "github.event.pull_request.head.repo.full_name == github.repository" in text
    assert "pull_request_target" not in text


@pytest.mark.parametrize(("name", "command"), [("check.yml", "make previews"), ("preview.yml", "-m preview run")])
def test_previews_of_pull_requests_run_the_pack_through_what_finds_each_stack_s_settings(
    name: str, command: str
) -> None:
    scripts = [step.get("run", "") for _, body in jobs(name) for step in body["steps"]]
    previews = [script for script in scripts if command in script]
    assert len(previews) == 1
    recipe = Path("Makefile").read_text().partition("\npreviews: setup")[2].partition("\n\n")[0]
    told = previews[0] if name == "preview.yml" else recipe
    assert "--policy-pack policy" in told
    assert "pulumi preview" not in "".join(scripts), "a preview of its own would miss policies.<stack>.json"
