"""The comment of a pull request, and the job summary: all environments, in the room that GitHub gives.

Owns the marker by which the comment is found again, the order, and what is left out where it does not fit: first the
diff, in whole resources, then long lists, then everything but the verdicts. The summary takes what the comment cannot.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from preview.environment import Part, environment
from preview.markdown import counted, fenced, folded, plain
from preview.record import Record

KINDS = ("sandbox", "deployed")
"""Previews in the sandbox and those against what is deployed have a comment each: one must not hide the other."""

MARKER = re.compile(r"<!-- trainyard-preview:(sandbox|deployed) -->(?=\n|$)")
"""What a comment of ours begins with."""

COMMENT_BYTES = 65_000
"""GitHub takes 65,536 characters; bytes are counted here, which are never fewer."""

SUMMARY_BYTES = 1_000_000
"""A job summary may have 1 MiB."""

_LISTS = (20, 8, 3)
"""Entries of a list, from generous to tight."""

_FENCE_ROOM = 400
"""Bytes kept for a diff's frame and the line that says what was cut."""


@dataclass(frozen=True, slots=True)
class Written:
    """What to publish.

    Attributes:
        comment: Markdown that begins with the marker.
        summary: the same with all that the comment leaves out, as far as a job summary holds it.
    """

    comment: str
    summary: str


def write(
    records: Sequence[Record], *, run_url: str = "", commit: str = "", notes: Sequence[str] = (), kind: str = KINDS[0]
) -> Written:
    """One comment of all environments.

    Args:
        run_url: where the summary is to be read; empty: nowhere.
        commit: what was previewed; empty: not said.
        kind: of `KINDS`; whose comment it is.
        notes: more to say once, as where this ran; plain text.
    """
    ordered = sorted(records, key=lambda record: record.stack)
    footer = _footer(run_url, commit, notes)
    return Written(
        comment=_fitted(ordered, _Frame(_head(kind), footer), COMMENT_BYTES, _LISTS, run_url),
        summary=_fitted(ordered, _Frame(_head(kind), footer), SUMMARY_BYTES, (2000, *_LISTS), ""),
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    """What stands before and after everything else."""

    head: str
    footer: str


def _head(kind: str) -> str:
    title = "Preview" if kind == "deployed" else "Preview in the sandbox"
    return f"<!-- trainyard-preview:{kind} -->\n\n### {title}"


def _fitted(records: Sequence[Record], frame: _Frame, room: int, lists: Sequence[int], run_url: str) -> str:
    """The most generous text that fits; halves of characters, which no file or request takes, are replaced."""
    return _most_generous(records, frame, room, lists, run_url).encode(errors="replace").decode()


def _most_generous(records: Sequence[Record], frame: _Frame, room: int, lists: Sequence[int], run_url: str) -> str:
    for most in lists:
        parts = [_told(record, most) for record in records]
        fixed = _laid_out(parts, frame, [""] * len(parts))
        left = room - _bytes(fixed)
        if left >= 0:
            return _laid_out(parts, frame, _diffs(parts, left, run_url))
    parts = [_told(record, 1) for record in records]
    return _verdicts(parts, frame, room)


def _told(record: Record, most: int) -> Part:
    """One environment's part; a record that cannot be told must not keep an older comment standing."""
    try:
        return environment(record, most)
    except Exception as mistake:  # noqa: BLE001  the record may be a stranger's, and made to break this
        why = f"its record could not be told ({type(mistake).__name__}): see the run's log"
        return Part(record.stack, f"❌ **{plain(record.stack, 100)}**: **no preview**, {why}.", (), (), failed=True)


def _laid_out(parts: Sequence[Part], frame: _Frame, diffs: Sequence[str]) -> str:
    if not parts:
        return f"{frame.head}\n\nNo environment was previewed.\n\n{frame.footer}".rstrip() + "\n"
    told = [frame.head]
    if len(parts) == 1:
        told += [parts[0].verdict, *parts[0].body, diffs[0]]
    else:
        told.append("\n".join(f"- {part.verdict}" for part in parts))
        for part, diff in zip(parts, diffs, strict=True):
            inner = "\n\n".join(one for one in (*part.body, diff) if one)
            if inner:
                # What fails or ends something is open; the rest opens on a click.
                loud = part.failed or part.verdict.startswith("⚠️")
                told.append(folded(f"<b>{escape(part.name)}</b>", inner, opened=loud))
    return "\n\n".join(one for one in (*told, frame.footer) if one) + "\n"


def _diffs(parts: Sequence[Part], room: int, run_url: str) -> list[str]:
    """Each environment's diff in whole resources; what one does not need, the later ones may take."""
    found: list[str] = []
    for index, part in enumerate(parts):
        share = room // (len(parts) - index)
        diff = _diff(part, share, run_url)
        found.append(diff)
        room -= _bytes(diff) + 2
    return found


def _diff(part: Part, room: int, run_url: str) -> str:
    if not part.blocks:
        return ""
    shown: list[tuple[str, ...]] = []
    used = _FENCE_ROOM
    for block in part.blocks:
        used += _bytes("\n".join(block)) + 1
        if used > room:
            break
        shown.append(block)
    if not shown and room < _FENCE_ROOM:
        return ""
    cut = len(part.blocks) - len(shown)
    where = f"[the job summary]({run_url})" if run_url else "the job summary"
    more = f"{counted(cut, 'more resource')} in {where}." if cut else ""
    text = fenced([line for block in shown for line in block], "diff") if shown else ""
    inner = "\n\n".join(one for one in (text, more) if one)
    diff = folded(f"Full diff: {counted(len(part.blocks), 'resource')}", inner)
    return diff if _bytes(diff) <= room else ""


def _verdicts(parts: Sequence[Part], frame: _Frame, room: int) -> str:
    """The verdicts alone, as many as fit: hundreds of environments, or very long names."""
    told = f"{frame.head}\n\n"
    left = room - _bytes(told) - _bytes(frame.footer) - 200
    lines: list[str] = []
    for part in sorted(parts, key=lambda part: not part.failed):
        line = f"- {part.verdict}\n"
        left -= _bytes(line)
        if left < 0:
            break
        lines.append(line)
    missing = len(parts) - len(lines)
    more = f"- … and {counted(missing, 'more environment')}\n" if missing else ""
    return f"{told}{''.join(lines)}{more}\nThe rest is in the job summary.\n\n{frame.footer}".rstrip() + "\n"


def _footer(run_url: str, commit: str, notes: Sequence[str]) -> str:
    said = [plain(note, 400) for note in notes]
    if commit:
        said.append(f"Commit <code>{plain(commit, 40)[:12]}</code>")
    if run_url:
        said.append(f"[run and full diff]({run_url})")
    return f"<sub>{' · '.join(said)}</sub>" if said else ""


def _bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))
