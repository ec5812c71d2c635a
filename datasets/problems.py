"""What ends a command before its time: one exception with the exit code that scripts see."""

from __future__ import annotations

from collections.abc import Sequence

FAILED, USAGE, CONFLICT, BUSY, SOURCE, UNREACHABLE, INTERRUPTED = 1, 2, 3, 4, 5, 6, 130
"""Data or storage are wrong; how the command was called; files are there with other content; another upload runs; the
source is missing, unusable or changed; cluster or storage cannot be reached; Ctrl-C."""
_SHOWN = 20


class CommandError(Exception):
    """The command ends; the message says what broke and what to do.

    Attributes:
        code: the exit code.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def listed(lines: Sequence[str]) -> str:
    """Lines to show under a message: the first of them, and how many more there are."""
    rest = [f"  … and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "\n".join([*(f"  {line}" for line in lines[:_SHOWN]), *rest])
