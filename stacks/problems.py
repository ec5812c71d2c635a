"""How a stack file's errors are said: which key, which value, what is allowed, how to mend it.

Owns the spelling of keys and values in messages. Values that may be secrets are never shown.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

PREFIX = "trainyard:"
PathParts = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"^[A-Za-z_][\w-]*$")
_SECRET_KEY = re.compile(
    r"(?i)passw|passphrase|secret|token|^secure$|credential|connection.?string|account.?key|api.?key|\bsas\b"
)
_LONGEST_VALUE = 80


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a stack file.

    Attributes:
        path: the key it is said of, as `("pools", "heavy", "max")`.
        message: value, what is allowed, the remedy.
        needs: other keys whose values it rests on; where one of them is itself wrong, this problem may not be one.
    """

    path: PathParts
    message: str
    needs: tuple[PathParts, ...] = ()

    def __str__(self) -> str:
        return f"{key_of(self.path)}: {self.message}"


class SettingsErrors(Exception):  # noqa: N818  (it is several)
    """A stack file is not usable.

    Attributes:
        errors: every error of the file, each naming key, value, what is allowed and the remedy.
    """

    def __init__(self, errors: Iterable[str]) -> None:
        self.errors = list(errors)
        count = f"{len(self.errors)} errors" if len(self.errors) != 1 else "1 error"
        super().__init__("\n".join([f"the stack's settings have {count}:", *(f"  {error}" for error in self.errors)]))


def key_of(path: PathParts) -> str:
    """A key as `pulumi config set --path` takes it: `trainyard:pools.heavy.taints[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.match(part):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part, ensure_ascii=False)}]"
    return PREFIX + text if text else PREFIX.rstrip(":")


def shown(value: object, path: PathParts = (), secret_keys: Collection[str] = ()) -> str:
    """A value as a user would write it, cut where it is long, hidden where it may be a secret.

    Of a mapping or a list only the kind is shown: what it holds could be long, nested, or secret.

    Args:
        value: anything that YAML can hold.
        path: its key; a name like `password` in it hides the value.
        secret_keys: top-level keys that the engine holds encrypted.
    """
    if any(isinstance(part, str) and (part in secret_keys or _SECRET_KEY.search(part)) for part in path):
        return "(a secret)"
    if isinstance(value, dict) and "secure" in value:
        return "(an encrypted value)"
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool | int | float) else str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is spelled most like `word`, case and punctuation aside; None if none is near."""
    plain = {re.sub(r"[^a-z0-9]", "", one.lower()): one for one in known}
    match = difflib.get_close_matches(re.sub(r"[^a-z0-9]", "", word.lower()), plain, n=1, cutoff=0.6)
    return plain[match[0]] if match else None
