"""Every stack file's resources, as the program registers them, pass the pack with that stack's own settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from capacity.checks import load_file
from infra.platform import Platform
from policy.facts.facts import Facts
from policy.model import Answer, Resource, Rule, kind_of, of_resource, of_stack
from policy.properties import Properties
from policy.rules import RULES
from policy.stack import StackView
from preview.every import stack_names
from tests.components.recorder import record
from tests.components.stacks import environment
from tests.policy.world import Answers, urn

STACKS = Path("stacks")


def declared(name: str) -> list[Resource]:
    settings = load_file(STACKS / f"Pulumi.{name}.yaml")
    made = record(
        lambda: Platform("trainyard", environment=environment(location=settings.location), settings=settings)
    ).made
    return [
        Resource(urn(f"{one.type}::{one.name}"), one.type, one.name, *kind_of(one.type), Properties(one.inputs))
        for one in made
    ]


def answers(rule: Rule, settings: dict[str, Any], stack: StackView) -> Iterator[Answer]:
    if not rule.kinds:
        yield from of_stack(rule, stack, settings)
    for resource in stack.resources:
        if resource.kind in rule.kinds:
            yield from of_resource(rule, resource, settings)


@pytest.mark.parametrize("name", stack_names(STACKS))
def test_a_stack_passes_all_that_needs_no_facts_and_nothing_of_it_is_unclear(name: str) -> None:
    stack = StackView(declared(name), Facts(Answers({})))
    configured = json.loads((STACKS / f"policies.{name}.json").read_text())
    assert stack.pools
    for rule in RULES:
        given = configured.get(rule.name, {})
        own = {"enforcementLevel": given} if isinstance(given, str) else given
        if own.get("enforcementLevel", rule.level) != "mandatory":
            continue
        told = [one.message for one in answers(rule, {**rule.defaults, **own}, stack)]
        assert [one for one in told if "could not be read" not in one] == [], rule.name
