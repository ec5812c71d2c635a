"""Every rule passes, fails, and says what it makes of what is absent or unknown; none is without a test."""

from __future__ import annotations

import pytest

from policy.model import Answer, Rule
from policy.rules import RULES
from tests.policy.cases import CASES, Outcome
from tests.policy.world import World

NAMES = [rule.name for rule in RULES]


def outcome(answers: list[Answer]) -> Outcome:
    if any(not one.unverified for one in answers):
        return "fails"
    return "unverified" if answers else "passes"


def test_every_rule_has_cases_and_a_name_of_its_own() -> None:
    assert sorted(CASES) == sorted(NAMES)
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_valid_deployment_passes(name: str) -> None:
    assert World().judged(name) == []


@pytest.mark.parametrize(("name", "number"), [(name, i) for name in NAMES for i in range(len(CASES[name].fails))])
def test_what_is_wrong_fails_with_a_remedy(name: str, number: int) -> None:
    world = World()
    CASES[name].fails[number](world)
    answers = world.judged(name)
    assert outcome(answers) == "fails"
    for one in answers:
        assert len(one.message) > 40, "what breaks, and what to do"
        assert "unknown" not in one.message.lower().split("unverified:")[0]
        assert "{" not in one.message, "a value is missing in the words"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_absent_is_judged_as_azure_takes_it(name: str) -> None:
    world = World()
    change, expected = CASES[name].absent
    change(world)
    assert outcome(world.judged(name)) == expected


@pytest.mark.parametrize("name", NAMES)
def test_what_is_unknown_is_neither_passed_nor_failed(name: str) -> None:
    world = World()
    change, expected = CASES[name].unknown
    change(world)
    answers = world.judged(name)
    assert outcome(answers) == expected
    for one in answers:
        assert one.message.startswith("unverified: ")
        assert "the rule itself failed" not in one.message


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_every_rule_says_why_and_what_to_do(rule: Rule) -> None:
    for text in (rule.title, rule.why, rule.fix):
        assert text.endswith((".", "?")), text
    for setting in rule.settings:
        assert {"default", "description"} <= {*setting.schema}, setting.name
