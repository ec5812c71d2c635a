"""The stack files for Azure preview in the sandbox as they are, and are not touched by it."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import pytest

from capacity.checks import load_file
from tests.conftest import Stack
from tests.end_to_end.conftest import STACKS
from tests.end_to_end.whole import AGENT_POOL, changes

pytestmark = pytest.mark.sandbox


def _files() -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(STACKS.iterdir()) if file.is_file()}


@pytest.fixture(params=["dev", "prod"])
def other(platform: Stack, request: pytest.FixtureRequest) -> Generator[Stack]:
    """A stack beside the deployed one, removed afterwards with its file kept."""
    stack = Stack(platform.sandbox, platform.folder, request.param)
    there: list[dict[str, Any]] = json.loads(platform.sandbox.run("pulumi", "stack", "ls", "--json").stdout)
    if any(one["name"] == stack.name for one in there):
        yield stack
        return
    platform.sandbox.run("pulumi", "stack", "init", stack.name, "--no-select")
    yield stack
    stack.pulumi("stack", "rm", "--yes", "--preserve-config")
    # Removing any stack leaves none selected.
    for one in there:
        if one["current"]:
            platform.sandbox.run("pulumi", "stack", "select", one["name"])


def test_the_stack_files_for_azure_preview_in_the_sandbox_and_stay_as_they_are(
    other: Stack, request: pytest.FixtureRequest
) -> None:
    before = _files()
    shown = json.loads(other.pulumi("preview", "--json").stdout)
    steps = changes(shown["steps"])
    assert {step.op for step in steps} == {"create"}
    settings = load_file(STACKS / f"Pulumi.{other.name}.yaml")
    assert {step.name for step in steps if step.type == AGENT_POOL} == set(settings.pools)
    autoscalers = {step.name for step in steps if step.type == "kubernetes:apps/v1:Deployment"}
    assert bool(autoscalers) == (settings.autoscaler.mode == "deployment")
    said: list[dict[str, str]] = shown.get("diagnostics") or []
    assert [one["message"] for one in said if "err" in one["severity"]] == []
    assert _files() == before
