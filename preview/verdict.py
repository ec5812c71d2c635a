"""The first line of an environment's part: what the preview comes to."""

from __future__ import annotations

from collections.abc import Sequence

from capacity.cost import usd
from preview.callouts import machines_lost
from preview.changes import AGENT_POOL, KINDS, Changes, Kind
from preview.cost_section import signed
from preview.costs import Costs
from preview.markdown import counted, plain
from preview.record import Record

WORDS: dict[Kind, str] = {"create": "to create", "update": "to change", "replace": "to replace", "delete": "to delete"}
_ENGINE_ONLY = ("preview failed", "an unhandled error occurred", "update failed", "preview has failed")
FATES: tuple[tuple[Kind, str], ...] = (("replace", "replaced"), ("delete", "deleted"))


def verdict(record: Record, changes: Changes, errors: Sequence[str], costs: Costs | None, told: Sequence[str]) -> str:
    """One line of Markdown: a mark, the environment, and what matters most."""
    stack = f"**{plain(record.stack, 100)}**"
    mandatory = [one for one in record.events.violations if one.level == "mandatory"]
    if record.failed and not record.events.steps and not mandatory:
        return f"❌ {stack}: **no preview.** {_first(errors) if errors else 'Pulumi said nothing.'}"
    if record.failed and errors:
        return f"❌ {stack}: **the preview failed.** {_first(errors)}"
    if mandatory:
        return (
            f"❌ {stack}: **refused by policy**, {counted(len(mandatory), 'mandatory violation')}. {_summary(changes)}"
        )
    if record.failed:
        return f"❌ {stack}: **the preview failed** without saying why (exit code {record.exit_code})."
    worth = [_summary(changes), *([_lost(changes, record)] if told else []), *_money(costs)]
    advisory = [one for one in record.events.violations if one.level != "mandatory"]
    if advisory:
        worth.append(f"{counted(len(advisory), 'policy warning')}.")
    alarmed = told or advisory or (costs is not None and costs.over)
    return f"{'⚠️' if alarmed else '✅'} {stack}: {' '.join(one for one in worth if one)}"


def _first(errors: Sequence[str]) -> str:
    """The first error on one line; a line that only announces others takes the next one along."""
    lines = [line.strip() for error in errors for line in error.splitlines() if line.strip()]
    told = " ".join(lines[:2] if lines and lines[0].endswith(":") else lines[:1])
    return plain(told.removeprefix("error:").strip(), 200)


def _summary(changes: Changes) -> str:
    """`**3 to create**, **1 to replace**; nothing is deleted.`"""
    said = [f"**{len(of):,} {WORDS[kind]}**" for kind in KINDS if (of := changes.of(kind))]
    if not said:
        return "**no changes.**"
    absent = " or ".join(word for kind, word in FATES if not changes.of(kind))
    return f"{', '.join(said)}{f'; nothing is {absent}' if absent else ''}."


def _lost(changes: Changes, record: Record) -> str:
    pools = [one for one in changes.listed if one.type == AGENT_POOL]
    fates = [
        f"{counted(len(ones), 'pool')} {word}"
        for kind, word in FATES
        if (ones := [one for one in pools if one.kind == kind])
    ]
    if not fates:
        return "**Storage or more is replaced or deleted, see below.**"
    machines, work = machines_lost(changes, record.live)
    ends = f" with {counted(machines, 'machine')} and {counted(work, 'running job')}" if machines else ""
    return f"**{', '.join(fates)}{ends}.**"


def _money(costs: Costs | None) -> list[str]:
    if costs is None:
        return []
    said = f"{usd(costs.after.minimum)} to {usd(costs.after.maximum)} a month"
    if costs.before is not None:
        low, high = costs.after.minimum - costs.before.minimum, costs.after.maximum - costs.before.maximum
        said += " (unchanged)" if abs(low) < 0.005 > abs(high) else f" ({signed(low)} to {signed(high)})"
    return [f"{said}{', **over budget**' if costs.over else ''}."]


def errors_of(record: Record) -> list[str]:
    """What went wrong: the engine's own closing words left out where there is more."""
    said = [*record.events.errors]
    if record.failed and not record.events.steps:
        said += [*record.events.noise, *record.messages]
    telling = [one for one in said if not one.lower().removeprefix("error:").strip().startswith(_ENGINE_ONLY)]
    return telling if telling or record.events.violations else said
