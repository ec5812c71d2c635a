"""The counts of machines that `python -m scaling update` has settled with AKS, as it hands them to the program."""

from __future__ import annotations

import json
from collections.abc import Mapping

SETTLED = "TRAINYARD_SETTLED"
"""Environment variable: agent pool to the count that AKS has stored and the pool runs, as JSON."""


def settled_counts(environment: Mapping[str, str]) -> dict[str, int]:
    """What was settled; nothing where the command does not run.

    Raises:
        ValueError: the variable is not what the command writes.
    """
    text = environment.get(SETTLED, "{}")
    try:
        return {str(pool): int(count) for pool, count in json.loads(text).items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(
            f"{SETTLED}={text} is not a JSON object of agent pools and counts: unset it, and run "
            "`python -m scaling update`, which sets it itself."
        ) from error
