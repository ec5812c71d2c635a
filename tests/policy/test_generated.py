"""What is generated from the rules is fresh, and the stacks' configurations are what the schema allows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from policy.docs import ROOT, rendered
from policy.engine import schema_of
from policy.rules import RULES

BY_NAME = {rule.name: rule for rule in RULES}


@pytest.mark.parametrize("file", rendered(), ids=lambda file: file.name)
def test_docs_and_schema_are_those_of_the_rules(file: Path) -> None:
    assert file.read_text() == rendered()[file], "run `make docs-policies`"


@pytest.mark.parametrize("file", sorted((ROOT / "stacks").glob("policies.*.json")), ids=lambda file: file.name)
def test_a_configuration_names_rules_and_settings_that_there_are(file: Path) -> None:
    if file.name == "policies.schema.json":
        assert json.loads(file.read_text())["additionalProperties"] is False
        return
    for name, given in json.loads(file.read_text()).items():
        known = {*schema_of(BY_NAME[name])["properties"], "enforcementLevel"}
        level = given if isinstance(given, str) else given.get("enforcementLevel", "mandatory")
        assert level in {"mandatory", "advisory", "disabled"}
        assert isinstance(given, str) or {*given} <= known, name


@pytest.mark.parametrize("stack", ["dev", "prod", "sandbox"])
def test_every_stack_has_a_configuration(stack: str) -> None:
    assert (ROOT / "stacks" / f"Pulumi.{stack}.yaml").exists()
    assert (ROOT / "stacks" / f"policies.{stack}.json").exists()
