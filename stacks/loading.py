"""From a stack file's keys to a `Stack`, or to all of its errors at once.

Owns the reading of one file and the order of the checks. Never raises anything but `SettingsErrors` for what a file
says. Rules that need the catalogue of sizes are handed in: `capacity.checks.load` is the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from stacks.blob_rules import blob_rules
from stacks.budget_rules import budget_rules
from stacks.dataset_rules import dataset_rules
from stacks.draft import Draft, read_draft
from stacks.file_system_rules import file_system_rules
from stacks.pool_rules import pool_rules
from stacks.problems import PREFIX, Problem, SettingsErrors, key_of, shown
from stacks.settings import Stack
from stacks.stack_rules import stack_rules
from stacks.workload_rules import workload_rules

__all__ = ["Rule", "SettingsErrors", "load_stack", "read_file"]

Rule = Callable[[Draft], Iterable[Problem]]


def load_stack(
    values: Mapping[str, Any], rules: Sequence[Rule] = (), secret_keys: Collection[str] = frozenset()
) -> Stack:
    """The stack that a file's keys describe.

    Args:
        values: the keys without `trainyard:`, their values parsed.
        rules: more rules to run on what could be read, as the catalogue's.
        secret_keys: keys whose values must not be shown.

    Raises:
        SettingsErrors: with every error.
    """
    if not values:
        raise SettingsErrors([NOTHING_SET])
    draft = read_draft(values, secret_keys)
    found = list(draft.problems)
    own = (stack_rules, pool_rules, blob_rules, budget_rules, dataset_rules, file_system_rules, workload_rules)
    for rule in (*own, *rules):
        found += [
            problem
            for problem in rule(draft)
            if draft.present(*problem.path) and all(draft.known(*path) for path in problem.needs)
        ]
    if found:
        raise SettingsErrors(dict.fromkeys(_said(problem, secret_keys) for problem in found))
    return draft.stack


def _said(problem: Problem, secret_keys: Collection[str]) -> str:
    if problem.path and problem.path[0] in secret_keys:
        return (
            f"{key_of(problem.path)}: (a secret) is not usable; allowed: plain values, as these settings are no "
            f"secrets. Set it again without --secret to see what is wrong."
        )
    return str(problem)


NOTHING_SET = (
    "trainyard: nothing is set; required: location and pools. Start from stacks/Pulumi.dev.yaml, or:\n"
    "    pulumi config set trainyard:location westeurope\n"
    "    pulumi config set --path trainyard:pools.cpu.class cpu\n"
    "    pulumi config set --path trainyard:pools.cpu.max 4"
)


def read_file(path: Path) -> dict[str, Any]:
    """The `trainyard:` keys of a `Pulumi.<environment>.yaml`, without their prefix.

    Raises:
        SettingsErrors: there is no such file, it is no YAML, has a key twice, or says nothing for us.
    """
    try:
        document = _parsed(path)
    except OSError as error:
        others = ", ".join(sorted(one.name for one in path.parent.glob("Pulumi.*.yaml"))) or "none"
        raise SettingsErrors([f"{path}: cannot be read ({error.strerror}); stack files there: {others}"]) from None
    except UnicodeDecodeError as error:
        raise SettingsErrors([f"{path}: is not text in UTF-8 (byte {error.start}): save it as UTF-8"]) from None
    except yaml.YAMLError as error:
        raise SettingsErrors([f"{path}: is not YAML: {_told(error)}"]) from None
    except (RecursionError, ValueError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise SettingsErrors([f"{path}: is not YAML that can be read: {reason}"]) from None
    if document is None:
        raise SettingsErrors([f"{path}: is empty; {NOTHING_SET}"])
    if not isinstance(document, dict):
        raise SettingsErrors([f"{path}: is {shown(document)}, no mapping; it must have the key config:"])
    config: object = cast("dict[Any, Any]", document).get("config")
    if not isinstance(config, dict) or not config:
        has = f"{shown(cast('object', config))} as" if "config" in document else "no"
        raise SettingsErrors([f"{path}: has {has} config:, under which all settings lie; {NOTHING_SET}"])
    keys = cast("dict[Any, Any]", config)
    ours = {key.removeprefix(PREFIX): value for key, value in keys.items() if isinstance(key, str) and PREFIX in key}
    if not ours:
        raise SettingsErrors([f"{path}: has no key that begins with {PREFIX}; {NOTHING_SET}"])
    return ours


class _OnceLoader(yaml.SafeLoader):
    """YAML as Pulumi reads it, but a key that stands twice is an error: the last would win unseen."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen and name != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {name!r} stands twice: remove one", key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


def _parsed(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), _OnceLoader)


def _told(error: yaml.YAMLError) -> str:
    """Reason and place of a YAML error, without the line's text, which may hold a secret."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        return f"{error.problem or error.context}{place}"
    return "it holds characters that YAML does not allow"
