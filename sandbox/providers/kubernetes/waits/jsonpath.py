"""The part of JSONPath that `pulumi.com/waitFor` needs: fields, indices, `*` and filters on equality.

The syntax is the strict one of `kubectl get -o jsonpath=`: `{.status.phase}`, followed by `=value` where one is asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sandbox.providers.kubernetes.objects import Json, as_list, as_map, is_list, is_map, pluck

_STEP = re.compile(
    r"""\.(?P<field>[A-Za-z0-9_\-]+|\*)
      | \[(?:(?P<index>-?\d+)|(?P<star>\*)|'(?P<single>[^']*)'|"(?P<double>[^"]*)")\]
      | \[\?\(@(?P<on>(?:\.[A-Za-z0-9_\-]+)+)\s*(?P<how>==|!=)\s*(?P<value>"[^"]*"|'[^']*'|[^)\s]+)\)\]""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Expression:
    """A parsed `jsonpath={path}` or `jsonpath={path}=value`.

    Attributes:
        path: as written, with its braces.
        value: what the first match must print as; None: anything.
    """

    path: str
    value: str | None

    @staticmethod
    def parse(written: str) -> Expression:
        """Parse `jsonpath=…`.

        Raises:
            ValueError: not of that syntax.
        """
        match = re.fullmatch(r"jsonpath=(\{.*\})(?:=(.*))?", written)
        if match is None:
            raise ValueError(f"format should be jsonpath={{.path}}=value or jsonpath={{.path}}, got {written!r}")
        path, value = match.group(1), match.group(2)
        if value == "":
            raise ValueError(f"{path}= requires a value")
        expression = Expression(path, value)
        expression.steps()
        return expression

    def steps(self) -> list[re.Match[str]]:
        """The path's steps.

        Raises:
            ValueError: a step that is not known here.
        """
        rest = self.path[1:-1].strip().removeprefix("$")
        found: list[re.Match[str]] = []
        while rest:
            step = _STEP.match(rest)
            if step is None:
                raise ValueError(f"parsing {self.path!r}: {rest!r} is not understood; use fields, indices and filters")
            found.append(step)
            rest = rest[step.end() :]
        return found

    def matches(self, obj: Json) -> bool:
        """Whether the object has something there, and the value where one is asked.

        Raises:
            ValueError: a value is asked of an object or array.
        """
        found: list[Any] = [obj]
        for step in self.steps():
            found = [value for one in found for value in _take(one, step)]
        if not found:
            return False
        if is_map(found[0]) or is_list(found[0]):
            if self.value is not None:
                raise ValueError(f"{self.path!r} has a non-primitive value ({found[0]})")
            return True
        return self.value is None or self.value == _printed(found[0])

    def __str__(self) -> str:
        return self.path + ("" if self.value is None else f"={self.value}")


def _printed(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _take(value: Any, step: re.Match[str]) -> list[Any]:
    if step["on"] is not None:
        keys = step["on"].split(".")[1:]
        wanted = step["value"].strip("\"'")
        kept = [one for one in as_list(value) if pluck(one, *keys) is not None]
        return [one for one in kept if (_printed(pluck(one, *keys)) == wanted) == (step["how"] == "==")]
    if step["star"] or step["field"] == "*":
        return list(as_map(value).values()) if is_map(value) else list(as_list(value))
    if step["index"] is not None:
        items, index = as_list(value), int(step["index"])
        return [items[index]] if -len(items) <= index < len(items) else []
    key = next(one for one in (step["field"], step["single"], step["double"]) if one is not None)
    return [as_map(value)[key]] if key in as_map(value) else []
