"""Mistakes in a stack file, through the real engine: all of them at once, in words, and nothing is deployed."""

from __future__ import annotations

import re

import pytest

from tests.end_to_end.whole import StackFile

pytestmark = pytest.mark.sandbox

MISTAKES = """\
config:
  trainyard:location: westeurope
  trainyard:pools:
    cpu: {class: cpu, min: 20, max: 10}
    light: {class: light-gpu, vmSzie: Standard_NC4as_T4_v3, max: 8}
    heavy: {class: heavy-gpu, vmSize: Standard_NC24ads_A100_v5, max: 4}
    serve: {class: light-gpu, max: many}
  trainyard:autoscaler: {mode: automatic}
"""
SAID = {
    "pools.cpu.min": "20 is above max 10",
    "pools.light.vmSzie": "did you mean `vmSize`?",
    "pools.heavy.vmSize": "Standard_NC24ads_A100_v4",
    "pools.serve.max": '"many" is not a whole number',
    "autoscaler.mode": "deployment, managed",
}
"""Key to what its message must hold: value, what is allowed, or the nearest that is."""


def _errors(stack_file: StackFile, text: str) -> dict[str, str]:
    """Key to message, of a preview with this file."""
    stack_file.path.write_text(text)
    diagnostics = stack_file.refusal().partition("Diagnostics:")[2]
    return dict(re.findall(r"^ +trainyard(?::([\w.]+))?: (.*)$", diagnostics, re.MULTILINE))


def test_all_mistakes_of_a_file_are_said_at_once(stack_file: StackFile) -> None:
    errors = _errors(stack_file, MISTAKES)
    assert set(errors) == set(SAID)
    assert {key: part for key, part in SAID.items() if part not in errors[key]} == {}, errors


def test_a_missing_key_is_named_with_what_it_takes(stack_file: StackFile) -> None:
    errors = _errors(stack_file, "config:\n  trainyard:pools: {cpu: {class: cpu, max: 10}}\n")
    assert set(errors) == {"location"}
    assert "is missing" in errors["location"]
    assert "westeurope" in errors["location"]


def test_an_empty_file_is_told_where_to_start(stack_file: StackFile) -> None:
    [(key, message)] = _errors(stack_file, "").items()
    assert (key, message.partition(";")[0]) == ("", "nothing is set")
    assert "location and pools" in message
