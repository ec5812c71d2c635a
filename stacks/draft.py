"""A stack that could be read although parts of its file are wrong, for judging the parts that are right.

Owns the cycle of validating, dropping what is wrong, and validating again, until what is left is a stack. Rules
then run on that, and ask `known` before they rest on a value that was dropped.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from stacks.explain import explained, keys_at, unknown_key
from stacks.problems import PathParts, Problem, shown
from stacks.settings import Pool, Stack

DEEPEST = 12
"""No setting lies deeper; what does is not looked into."""

MOST_VALUES = 20_000
"""More than any stack says; YAML's references can make a short file hold more than any memory."""

STAND_INS: Mapping[str, Any] = {
    "location": "unknown",
    "pools": {"pool": {"class": "cpu", "max": 1}},
    "class": "cpu",
    "max": 1,
    "sizeGib": 100,
    "objectId": "00000000-0000-0000-0000-000000000000",
    "principalType": "User",
    "backend": "none",
    "container": "unknown",
    "source": "unknown",
    "target": {},
    "monthlyUsd": 1,
    "image": "unknown",
    "maxReplicas": 1,
    "prometheusUrl": "http://unknown",
}
"""Valid values for required keys whose own are missing or wrong; rules never see them as known."""


@dataclass
class Draft:
    """What could be read of a stack file.

    Attributes:
        stack: a valid stack, defaults and stand-ins in the place of what was dropped.
        problems: what was wrong with single values.
        dropped: keys whose value in `stack` is not the file's.
        secret_keys: top-level keys that must not be shown.
    """

    stack: Stack
    problems: list[Problem] = field(default_factory=list[Problem])
    dropped: set[PathParts] = field(default_factory=set[PathParts])
    secret_keys: Collection[str] = ()

    def known(self, *path: str | int) -> bool:
        """Whether the value at a key is the file's own, or its default, as a whole."""
        return not any(one == path[: len(one)] or path == one[: len(path)] for one in self.dropped)

    def present(self, *path: str | int) -> bool:
        """Whether a key is the file's own, though parts below it may have been dropped."""
        return not any(one == path[: len(one)] for one in self.dropped)

    def pools(self) -> Iterator[tuple[str, Pool]]:
        """The file's own pools; a value in one may still be a stand-in."""
        return ((key, pool) for key, pool in self.stack.pools.items() if self.present("pools", key))

    def shown(self, value: object, *path: str | int) -> str:
        """A value as it may be shown."""
        return shown(value, path, self.secret_keys)


def read_draft(values: Mapping[Any, Any], secret_keys: Collection[str] = ()) -> Draft:
    """Everything of a stack file that can be read, and what is wrong with single values of the rest."""
    return _Reader(secret_keys).read(values)


class _Reader:
    """The state of one reading: the tree that is made valid, what was wrong, what was taken out."""

    def __init__(self, secret_keys: Collection[str]) -> None:
        self.secret_keys = secret_keys
        self.problems: list[Problem] = []
        self.dropped: set[PathParts] = set()
        self.copied = 0

    def read(self, values: Mapping[Any, Any]) -> Draft:
        tree = cast("dict[str, Any]", self._plain(dict(values), (), ()))
        while True:
            try:
                stack = Stack.model_validate(tree, by_alias=True, by_name=False)
            except ValidationError as invalid:
                self._mend(tree, invalid.errors(include_url=False))
            else:
                return Draft(stack, self.problems, self.dropped, self.secret_keys)

    def _mend(self, tree: dict[str, Any], errors: list[ErrorDetails]) -> None:
        """Report what is wrong, unless dropping something else caused it, and make the tree valid there."""
        unknown = [error["loc"] for error in errors if error["type"] == "extra_forbidden"]
        for path in unknown:
            problem, meant = unknown_key(path, _at(tree, path), self.secret_keys)
            self.problems.append(problem)
            # A slip of the pen for another key explains why that one is missing.
            self.dropped |= {path} if meant is None else {path, meant}
            _at(tree, path[:-1]).pop(path[-1])
        wrong = [error for error in errors if error["type"] != "extra_forbidden"]
        caused = frozenset(self.dropped)
        for error in wrong:
            path = error["loc"]
            if not any(one[: len(path)] == path or path[: len(one)] == one for one in caused):
                self.problems.append(explained(path, error, self.secret_keys))
        for error in wrong:
            path = error["loc"]
            # A list goes as a whole, and so does a text that stands for a mapping.
            while isinstance(path[-1], int) or not isinstance(_at(tree, path[:-1]), dict):
                path = path[:-1]
            self.dropped.add(path)
            container = _at(tree, path[:-1])
            # A stand-in serves a required key; where a key of that name is optional and takes no such value, it goes.
            stand_in = STAND_INS.get(path[-1]) if path[-1] in keys_at(path[:-1]) else None
            if stand_in is not None and container.get(path[-1]) != stand_in:
                container[path[-1]] = copy.deepcopy(STAND_INS[path[-1]])
            else:
                container.pop(path[-1], None)

    def _plain(self, value: Any, path: PathParts, above: tuple[int, ...]) -> Any:
        """A copy of plain dicts and lists with text keys; what is no tree of a sensible size is left out."""
        if not isinstance(value, dict | list | tuple):
            return value
        self.copied += len(cast("list[Any]", value))
        if id(cast("object", value)) in above or len(path) > DEEPEST or self.copied > MOST_VALUES:
            cut = path[:DEEPEST]
            self.problems.append(Problem(cut, "holds itself, is nested too deep, or holds too much: remove it"))
            self.dropped.add(cut)
            return None
        above = (*above, id(cast("object", value)))
        if not isinstance(value, dict):
            entries = cast("list[Any]", value)
            return [self._plain(inner, (*path, index), above) for index, inner in enumerate(entries)]
        copied: dict[str, Any] = {}
        for key, inner in cast("dict[Any, Any]", value).items():
            if isinstance(key, str):
                copied[key] = self._plain(inner, (*path, key), above)
            else:
                told = f"has the key {shown(key)}, which YAML reads as something else than text: put it in quotes"
                self.problems.append(Problem(path, told))
        return copied


def _at(tree: Any, path: PathParts) -> Any:
    for part in path:
        tree = tree[part]
    return tree
