"""cluster-autoscaler's command line, judged as the program itself would: unknown flags, wrong values.

Owns the parsing (spf13/pflag's rules) and the checks at start. The flags and their types are data of version
1.36.1 (`data/cluster_autoscaler_flags.csv`).
"""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_FLAGS_FILE = Path(__file__).parent / "data" / "cluster_autoscaler_flags.csv"
_EXPANDERS = {"random", "most-pods", "least-waste", "price", "priority", "grpc", "least-nodes"}
_BOOL = re.compile(r"^(1|0|t|f|T|F|true|false|TRUE|FALSE|True|False)$")
_INT = re.compile(r"^[+-]?(\d[\d_]*|0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+)$")
_FLOAT = re.compile(r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$")
_DURATION = re.compile(r"^[+-]?(0|((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))+)$")
_QUANTITY = re.compile(r"^\d+(\.\d+)?([numkMGTPE]|[KMGTPE]i)?$")
_SEVERITY = re.compile(r"^(\d+|INFO|WARNING|ERROR|FATAL)$")
_SWITCHES = re.compile(r"^\s*[^=,\s]+=(true|false)\s*(,\s*[^=,\s]+=(true|false)\s*)*$")
_RANGE = re.compile(r"^(\d+):(\d+)$")
_NODES = re.compile(r"^(\d+):(\d+):(.+)$")
_LABEL_SPEC = re.compile(r"^label:[^=,]+=[^=,]+(,[^=,]+=[^=,]+)*$")

_SHAPES: Mapping[str, re.Pattern[str]] = {
    "bool": _BOOL,
    "int": _INT,
    "uint": re.compile(r"^\d+$"),
    "Level": _INT,
    "float": _FLOAT,
    "duration": _DURATION,
    "quantity": _QUANTITY,
    "severity": _SEVERITY,
    "mapStringBool": _SWITCHES,
    "traceLocation": re.compile(r"^.*:\d+$"),
    "version[=true]": re.compile(r"^(true|false|raw|v\d+(\.\d+)*.*)$"),
}
"""What a value of a type looks like; types that are not here take any text."""
_WITHOUT_VALUE = {"bool": "true", "version[=true]": "true"}


class FlagError(ValueError):
    """A command line with which the autoscaler ends at start; the message is what it would say."""


@functools.cache
def known_flags() -> Mapping[str, str]:
    """Every flag and its type."""
    with _FLAGS_FILE.open(newline="") as file:
        return {row["flag"]: row["type"] for row in csv.DictReader(file)}


def parse_flags(arguments: Sequence[str]) -> dict[str, list[str]]:
    """Read a command line without the program: flag to its values in order.

    Raises:
        FlagError: a flag the program does not know, or a value of the wrong type.
    """
    values: dict[str, list[str]] = {}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            break
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            shown = f"--{name}"
        elif argument.startswith("-") and len(argument) > 1:
            name, equals, value = argument[1], argument[2:3], argument[2:].removeprefix("=")
            shown = f"-{name}"
            if known_flags().get(name) is None:
                raise FlagError(f"unknown shorthand flag: {name!r} in {argument}")
        else:
            continue  # a word that is no flag is passed over, as the program does
        kind = known_flags().get(name)
        if kind is None:
            raise FlagError(f"unknown flag: {shown}")
        if not equals:
            if kind in _WITHOUT_VALUE:
                value = _WITHOUT_VALUE[kind]
            elif rest:
                value = rest.pop(0)
            else:
                raise FlagError(f"flag needs an argument: {shown}")
        if kind in _SHAPES and not _SHAPES[kind].match(value):
            raise FlagError(f'invalid argument "{value}" for "{shown}" flag: it takes a value of type {kind}')
        values.setdefault(name.replace("_", "-"), []).append(value)
    return values


def check_flags(flags: Mapping[str, Sequence[str]]) -> None:
    """What the program checks of its flags before it looks at the cluster.

    Raises:
        FlagError: a value that it refuses.
    """
    provider = flags.get("cloud-provider", ["gce"])[-1]
    if provider != "azure":
        raise FlagError(f"--cloud-provider is {provider!r}: on AKS it must be azure")
    for flag, check in _CHECKS.items():
        for value in flags.get(flag, ()):
            problem = check(value)
            if problem:
                raise FlagError(f'invalid value "{value}" of --{flag}: {problem}')
    if not flags.get("nodes") and not flags.get("node-group-auto-discovery"):
        raise FlagError("no node groups: give --node-group-auto-discovery=label:key=value,… or --nodes=min:max:name")


def _expanders(value: str) -> str | None:
    unknown = [name for name in value.split(",") if name not in _EXPANDERS]
    return f"expander {unknown[0]} not supported" if unknown else None


def _range(value: str) -> str | None:
    match = _RANGE.match(value)
    if match is None:
        return "min:max is expected"
    return "the minimum is above the maximum" if int(match[1]) > int(match[2]) else None


def _node_group(value: str) -> str | None:
    match = _NODES.match(value)
    if match is None:
        return "min:max:name is expected"
    return "the minimum is above the maximum" if int(match[1]) > int(match[2]) else None


def _discovery(value: str) -> str | None:
    return None if _LABEL_SPEC.match(value) else "label:key=value[,key=value…] is expected"


_CHECKS: Mapping[str, Callable[[str], str | None]] = {
    "expander": _expanders,
    "cores-total": _range,
    "memory-total": _range,
    "nodes": _node_group,
    "node-group-auto-discovery": _discovery,
}
