"""One environment's part of the comment: a verdict, what to know, the tables, and the diff in whole resources.

Owns what is said and in which order. Does not own the room: `comment.py` decides how much of it fits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from preview.callouts import callouts
from preview.changes import Change, Changes, Kind, find_changes, shown
from preview.cost_section import cost_section
from preview.costs import find_costs
from preview.events import Violation
from preview.markdown import code, cut, fenced, plain, prose, table
from preview.markdown import message as told
from preview.quota import quota_section
from preview.record import Record
from preview.verdict import WORDS, errors_of, verdict

_MARKS: dict[Kind, str] = {"create": "+", "update": "~", "replace": "±", "delete": "-"}
COLUMNS: tuple[Kind, ...] = ("create", "update", "replace", "delete")
_LINE = 220
_VALUES = 60
"""Lines of one resource in the diff; more of them say less."""

_NAMES = 6
_ROWS = 8
_UNREACHABLE = ("cluster is unreachable", "unable to load schema information from the API server", "connection refused")


@dataclass(frozen=True, slots=True)
class Part:
    """One environment, ready to be laid out.

    Attributes:
        name: of the environment, as it is.
        verdict: one line of Markdown.
        body: paragraphs in their order; empty where the verdict says it all.
        blocks: the diff, a list of lines for each resource.
        failed: whether the preview did not succeed.
    """

    name: str
    verdict: str
    body: tuple[str, ...]
    blocks: tuple[tuple[str, ...], ...]
    failed: bool


def environment(record: Record, most: int) -> Part:
    """What to say of one environment.

    Args:
        most: entries of a list at most; what is beyond is counted.
    """
    changes = find_changes(record.events.steps)
    mandatory = [one for one in record.events.violations if one.level == "mandatory"]
    errors = errors_of(record)
    complete = not record.failed or (bool(mandatory) and not errors)
    costs = find_costs(record.events, complete)
    told = callouts(changes, record.live)
    body = [
        *_called_out(told, most),
        *_error_section(errors, most),
        *_policy_section(record, most),
        *_count_section(changes, complete, most),
        *quota_section(record.policy),
        # Nothing changes: the verdict says what it costs.
        *(cost_section(costs, most) if changes.listed or record.failed else []),
        *_not_seen(record),
        *_quiet_section(changes, most),
    ]
    # Components have nothing of their own to show.
    blocks = tuple(
        tuple(block) for change in changes.listed if len(block := _block(change)) > 1 or change.kind != "create"
    )
    return Part(record.stack, verdict(record, changes, errors, costs, told), tuple(body), blocks, record.failed)


def _called_out(told: Sequence[str], most: int) -> list[str]:
    if not told:
        return []
    lines = [f"> - {one}" for one in told[:most]]
    more = [f"> - … and {len(told) - most} more, in the job summary"] if len(told) > most else []
    return ["\n".join(["> [!CAUTION]", *lines, *more])]


def _error_section(errors: Sequence[str], most: int) -> list[str]:
    """The errors: sentences as a list, which wraps; tracebacks and the like as they are."""
    if not errors:
        return []
    lines = [cut(line, 1000) for error in errors for line in error.splitlines() if line.strip()]
    room = 3 * most
    more = [f"… and {len(lines) - room} more lines, in the job summary"] if len(lines) > room else []
    if any(re.match(r"\s*(File \"|Traceback|at |\^|[-+] )", line) for line in lines):
        return ["**What went wrong:**", fenced([*lines[:room], *more], "text")]
    listed = [f"- {prose(line.removeprefix('error:').strip())}" for line in [*lines[:room], *more]]
    return ["\n".join(["**What went wrong:**", "", *listed])]


def _policy_section(record: Record, most: int) -> list[str]:
    found = record.events.violations
    packs = ", ".join(f"{code(name)} {plain(version)}" for name, version in sorted(record.events.packs.items()))
    if not found:
        ran = f"**Policy:** {packs} found nothing." if packs else ""
        return [ran or "**Policy:** no pack ran."] if (record.events.steps and not record.failed) or packs else []
    grouped: dict[tuple[str, str, str], list[Violation]] = {}
    for one in sorted(found, key=lambda one: one.level != "mandatory"):
        grouped.setdefault((one.level, one.policy, one.message), []).append(one)
    lines = [_violation(*key, ones) for key, ones in list(grouped.items())[:most]]
    more = [f"- … and {len(grouped) - most} more, in the job summary"] if len(grouped) > most else []
    levels = [
        f"{sum(one.level == level for one in found)} {level}" for level in dict.fromkeys(one.level for one in found)
    ]
    return ["\n".join([f"**Policy:** {', '.join(sorted(levels, reverse=True))}.", "", *lines, *more])]


def _violation(level: str, policy: str, message: str, ones: Sequence[Violation]) -> str:
    mark = "❌" if level == "mandatory" else "⚠️"
    names = list(dict.fromkeys(one.resource.split("::", 3)[-1] for one in ones if one.resource.count("::") >= 3))
    where = f" ({_listed(names)})" if names and len(ones) < 100 else f" ({len(ones)} resources)" if names else ""
    return f"- {mark} {code(policy)}{where}: {told(message)}"


def _count_section(changes: Changes, complete: bool, most: int) -> list[str]:
    """What happens to the resources of each kind of component; columns in which nothing happens are left out."""
    if not changes.listed:
        return []
    by_component: dict[str, list[Change]] = {}
    for change in changes.listed:
        by_component.setdefault(change.component[0], []).append(change)
    ordered = sorted(by_component.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    shown, rest = ordered[: min(most, _ROWS)], ordered[min(most, _ROWS) :]
    kinds: list[Kind] = [kind for kind in COLUMNS if changes.of(kind)]
    rows = [
        [f"{plain(type_, 80)} {_listed(_in_order(one.component[1] for one in ones))}", *_counts(ones, kinds)]
        for type_, ones in shown
    ]
    if rest:
        names = ", ".join(plain(type_, 60) for type_, _ in rest[:_NAMES])
        more = f" and {len(rest) - _NAMES} more" if len(rest) > _NAMES else ""
        rows.append([f"{names}{more}", *_counts([one for _, ones in rest for one in ones], kinds)])
    rows.append([f"all; {changes.unchanged:,} unchanged", *(f"**{one}**" for one in _counts(changes.listed, kinds))])
    head = ["Component", *(f"{_MARKS[kind]} {WORDS[kind].removeprefix('to ')}" for kind in kinds)]
    partly = [] if complete else ["Only what was registered before the preview failed:"]
    return [*partly, table(head, rows, right=range(1, len(head)))]


def _counts(ones: Sequence[Change], kinds: Sequence[Kind]) -> list[str]:
    counts = (sum(one.kind == kind for one in ones) for kind in kinds)
    return [f"{count:,}" if count else "" for count in counts]


def _in_order(names: Iterable[str]) -> list[str]:
    """Each name once, `p2` before `p10`."""

    def key(name: str) -> list[str]:
        return [part.zfill(20) if part.isdigit() else part for part in re.split(r"(\d+)", name)]

    return sorted(dict.fromkeys(names), key=key)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(code(name, 60) for name in names[:_NAMES]) + more


def _not_seen(record: Record) -> list[str]:
    """What this preview could not look at, said plainly."""
    said = list(record.not_seen)
    texts = [*record.events.errors, *record.events.warnings, *record.messages]
    if any(word in text for text in texts for word in _UNREACHABLE):
        said.append("The API server was out of reach: Kubernetes objects were not compared with those that run.")
    if record.live is not None and record.live.problem:
        said.append(f"What runs on the cluster could not be read: {record.live.problem}")
    said = list(dict.fromkeys(said))
    return ["\n".join(["**Not seen by this preview:**", "", *(f"- {plain(one, 400)}" for one in said)])] if said else []


def _quiet_section(changes: Changes, most: int) -> list[str]:
    if not changes.quiet:
        return []
    named = [f"{code(name, 60)} ({plain(why)})" for name, why in changes.quiet[:most]]
    more = f" and {len(changes.quiet) - most} more" if len(changes.quiet) > most else ""
    return [f"<sub>Not counted as a change: {', '.join(named)}{more}.</sub>"]


def _block(change: Change) -> list[str]:
    """One resource in the diff: what becomes of it, then what differs."""
    kind = change.type.rpartition(":")[2] or change.type
    lines = [f"@@ {change.kind} {kind} {change.name} @@"]
    if change.kind in ("update", "replace"):
        for one in change.differences:
            lines += [f"-   {one.path}: {shown(one.before)}", f"+   {one.path}: {shown(one.after)}"]
    else:
        sign, inputs = ("+", change.new) if change.kind == "create" else ("-", change.old)
        lines += [f"{sign}   {key}: {shown(value)}" for key, value in sorted((inputs or {}).items())]
    if len(lines) > _VALUES:
        lines = [*lines[:_VALUES], f"    … and {len(lines) - _VALUES} more lines"]
    return [cut(" ".join(line.split("\n")), _LINE) for line in lines]
