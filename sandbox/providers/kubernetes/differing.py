"""What changed between the live object, cut down to the program's old inputs, and the program's new inputs.

Gives the engine's detailed diff. Follows pulumi-kubernetes: a field that the program never named is never a change,
arrays are compared element by element, and what the API server leaves out because it is empty is not missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from sandbox.providers.kubernetes.objects import MISSING, UNKNOWN, Json, as_list, as_map, is_list, is_map
from sandbox.providers.kubernetes.replacement import Path, covers, touches, write_path
from sandbox.providers.kubernetes.shape import is_empty


class Change(Enum):
    """How one field differs."""

    ADD = "ADD"
    DELETE = "DELETE"
    UPDATE = "UPDATE"


@dataclass(frozen=True)
class FieldChange:
    """One field that differs.

    Attributes:
        change: how.
        replaces: whether the object has to be replaced for it.
    """

    change: Change
    replaces: bool

    @property
    def is_deletion(self) -> bool:
        """Whether the field is in the cluster and no longer in the program."""
        return self.change is Change.DELETE

    @property
    def wire_name(self) -> str:
        """The engine's word for it: `UPDATE`, `UPDATE_REPLACE`."""
        return self.change.value + ("_REPLACE" if self.replaces else "")


@dataclass
class _Comparison:
    rules: tuple[Path, ...]
    lenient: bool
    changes: dict[Path, FieldChange] = field(default_factory=dict[Path, FieldChange])

    def note(self, path: Path, change: Change, new: Any = None) -> None:
        self.changes[path] = FieldChange(change, any(touches(rule, path, new) for rule in self.rules))

    def value(self, path: Path, old: Any, new: Any, given: Any) -> None:
        if new is UNKNOWN:
            self.note(path, Change.ADD if old is MISSING else Change.UPDATE, new)
        elif new is MISSING or (new is None and old is not None):
            if old is not MISSING:
                self.note(path, Change.DELETE)
        elif old is MISSING:
            if not (self.lenient and is_empty(new) and (given is not MISSING and given == new)):
                self.note(path, Change.ADD, new)
        elif is_map(new) and is_map(old):
            self.maps(path, as_map(old), as_map(new), as_map(given))
        elif is_list(new) and is_list(old):
            self.lists(path, as_list(old), as_list(new), as_list(given))
        elif not _same(old, new):
            self.note(path, Change.UPDATE, new)

    def maps(self, path: Path, old: Json, new: Json, given: Json) -> None:
        for key in [*old, *(key for key in new if key not in old)]:
            self.value((*path, key), old.get(key, MISSING), new.get(key, MISSING), given.get(key, MISSING))

    def lists(self, path: Path, old: list[Any], new: list[Any], given: list[Any]) -> None:
        for index in range(max(len(old), len(new))):
            at = (items[index] if index < len(items) else MISSING for items in (old, new, given))
            self.value((*path, index), *at)


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, bool) or isinstance(new, bool):
        return old is new
    return old == new


def differences(
    old: Json, new: Json, given: Json, rules: Iterable[Path], *, lenient: bool, ignored: Iterable[Path] = ()
) -> dict[str, FieldChange]:
    """Compare `old` with `new`.

    Args:
        old: the live object cut down to the inputs it was made from.
        new: the program's inputs now.
        given: the inputs that the object was made from.
        rules: fields whose change replaces.
        lenient: an empty value that was sent before and that the server left out is no change (built-in kinds).
        ignored: paths of `ignore_changes`.
    """
    comparison = _Comparison(tuple(rules), lenient)
    comparison.maps((), old, new, given)
    ignored = tuple(ignored)
    return {
        write_path(path): change
        for path, change in comparison.changes.items()
        if not any(covers(rule, path) for rule in ignored)
    }
