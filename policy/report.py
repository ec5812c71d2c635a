"""What the pack found, as a file for other programs: quota headroom and what could not be verified.

Written where `TRAINYARD_POLICY_REPORT` names a file. The comment on pull requests shows it: the engine's events carry
failures only, not what is left.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from capacity.quota import REGION, SPOT, UNLIMITED, Balance
from policy.model import UnverifiedError
from policy.properties import UnknownValueError
from policy.quotas import headroom
from policy.stack import StackView

VARIABLE = "TRAINYARD_POLICY_REPORT"
_KINDS = {REGION: "region", SPOT: "spot"}


def write(file: Path, stack: StackView, unverified: Sequence[str]) -> None:
    """Write the report: `{facts, quota: [{region, kind, family, needed, used, limit}], unverified: […]}`."""
    try:
        quota = [_row(region, one) for region, found in headroom(stack) for one in found]
    except (UnverifiedError, UnknownValueError):
        quota = []  # the rules have said why
    content = {"facts": stack.facts.described, "quota": quota, "unverified": list(dict.fromkeys(unverified))}
    try:
        file.write_text(json.dumps(content, indent=2))
    except OSError as lost:
        print(f"{VARIABLE}: {file} cannot be written ({lost.strerror})", file=sys.stderr)


def _row(region: str, one: Balance) -> dict[str, object]:
    return {
        "region": region,
        "kind": _KINDS.get(one.key, "family"),
        "family": one.name,
        "needed": one.needed,
        "used": one.used,
        "limit": None if one.limit == UNLIMITED else one.limit,
    }
