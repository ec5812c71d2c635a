"""What is generated from the rules: docs/policies.md, and the schema of the configuration files.

`python -m policy.docs` writes both; with `--check` it only says whether they are fresh.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from policy.engine import schema_of
from policy.model import Rule
from policy.rules import FAMILIES, RULES

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "policies.md"
SCHEMA = ROOT / "stacks" / "policies.schema.json"

_LEVELS = ["advisory", "mandatory", "disabled"]
_INTRODUCTION = """# Policies

Generated from `policy/` by `make docs-policies`: change the rules, not this page.

The pack judges a deployment before it begins: `pulumi preview --policy-pack policy --policy-pack-config
stacks/policies.sandbox.json`. It reads the resources that a program registers, so it judges any program that declares
AKS pools with azure-native, not this one alone.

A rule passes, fails, or is *unverified*: a value is not known before the deployment runs, or Azure did not say. Each
rule has a **level** (`mandatory` ends the preview, `advisory` warns, `disabled` is not run) and a setting `unverified`
(`fail`: as a failure, `warn`, `ignore`). A configuration file names a rule and a level, or an object with
`enforcementLevel` and the rule's settings; `all` stands for the level of every rule. A name, a setting or a level that
does not exist is an error. `stacks/policies.schema.json` is the files' schema.

Quota, sizes, machines, rights and registrations are asked of Azure with the sign-in of the environment (`AZURE_*`,
`az login`, `ARM_*`; another cloud: `ARM_ENVIRONMENT`, `ARM_ENDPOINT`), kept for ten minutes in the user's cache, or
read from the file that `make azure-snapshot` writes (rule `azure-facts`). A failure that rests on kept answers is
judged again on fresh ones.

*Follows* names the public checks a rule corresponds to: PSRule for Azure (`Azure.*`), checkov (`CKV_*`), the CIS AKS
Benchmark by kube-bench's numbers for v1.7, and the Azure Proactive Resiliency Library (`APRL`, its GUID).
"""


def page() -> str:
    """The page."""
    parts = [_INTRODUCTION, _overview()]
    for family, rules in FAMILIES.items():
        parts.append(f"## {family}\n")
        parts += [_section(rule) for rule in rules]
    return "\n".join(parts).rstrip() + "\n"


def schema() -> dict[str, Any]:
    """The configuration files' JSON schema."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Configuration of Trainyard's policy pack, by `make docs-policies`",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "all": {"enum": _LEVELS, "description": "The level of every rule that is not named."},
            **{rule.name: _configuration(rule) for rule in RULES},
        },
    }


def _configuration(rule: Rule) -> dict[str, Any]:
    settings = schema_of(rule)["properties"]
    return {
        "description": f"{rule.title} Default: {rule.level}.",
        "oneOf": [
            {"enum": _LEVELS},
            {
                "type": "object",
                "additionalProperties": False,
                "properties": {"enforcementLevel": {"enum": _LEVELS}, **settings},
            },
        ],
    }


def _overview() -> str:
    rows = ["| Rule | Level | Severity | What must hold |", "| --- | --- | --- | --- |"]
    rows += [f"| [`{rule.name}`](#{rule.name}) | {rule.level} | {rule.severity} | {rule.title} |" for rule in RULES]
    return "\n".join(rows) + "\n"


def _section(rule: Rule) -> str:
    lines = [
        f"### {rule.name}\n",
        f"{rule.title}\n",
        f"- **Why:** {rule.why}",
        f"- **Fix:** {rule.fix}",
        f"- **Level:** {rule.level}; severity {rule.severity}; unverified: {rule.unverified}",
    ]
    if rule.kinds:
        lines.append(f"- **Judges:** {', '.join(f'`{kind}`' for kind in rule.kinds)}")
    if rule.follows:
        lines.append(f"- **Follows:** {', '.join(rule.follows)}")
    for setting in rule.settings:
        given = json.dumps(setting.schema["default"])
        lines.append(f"- **Setting `{setting.name}`** (default `{given}`): {setting.schema['description']}")
    return "\n".join(lines) + "\n"


def rendered() -> dict[Path, str]:
    """Every generated file and its text."""
    return {PAGE: page(), SCHEMA: json.dumps(schema(), indent=2) + "\n"}


def main(arguments: list[str] | None = None) -> int:
    """Write, or with `--check` compare; 1 where something is stale."""
    parser = argparse.ArgumentParser(prog="python -m policy.docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is not fresh")
    check = parser.parse_args(arguments).check
    stale = [file for file, text in rendered().items() if not file.exists() or file.read_text() != text]
    for file in stale:
        if check:
            print(f"{file.relative_to(ROOT)} is stale: run `make docs-policies`", file=sys.stderr)
        else:
            file.write_text(rendered()[file])
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
