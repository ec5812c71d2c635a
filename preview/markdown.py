"""Foreign text in Markdown: shown as it is, and taken for nothing else.

Owns the escaping for GitHub's flavour: HTML, formatting, mentions, references to issues and links all stay text, as
resource names and messages come from the pull request.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_JOINER = "\u2060"
"""Word joiner: unseen, and breaks what GitHub would make a mention, a reference or a link of."""

_SPECIAL = re.compile(r"([\\`*_\[\]{}~|#!^$])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""Control characters, and those that turn the direction of text or hide in it."""


def plain(text: str, most: int = 1000) -> str:
    """Text on one line, free of any meaning to Markdown, HTML or GitHub."""
    line = " ".join(_CONTROL.sub("", text.replace("\t", " ")).split())
    line = cut(line, most)
    line = _SPECIAL.sub(r"\\\1", line).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([@#])(?=\w)", rf"\1{_JOINER}", line)
    line = re.sub(r"(?i)\bgh-(?=\d)", f"GH{_JOINER}-", line)
    line = re.sub(r"(?i)\bwww\.", f"www{_JOINER}.", line).replace("://", f":{_JOINER}//")
    # A line that begins like a list, a heading or a rule would become one.
    return re.sub(r"^(?=[-+=>.]|\d+[.)])", "\\\\" if line[:1] in "-+=" else "", line)


def prose(text: str, most: int = 1000) -> str:
    """A sentence in which backticks mark commands and names: those become code, the rest is `plain`."""
    parts = cut(text, most).split("`")
    if len(parts) % 2 == 0:
        return plain(text, most)
    told = [code(part, most) if index % 2 else _inner(part, most) for index, part in enumerate(parts)]
    return "".join(told).strip()


def _inner(text: str, most: int) -> str:
    """A part of a sentence, its spaces at both ends kept."""
    kept = plain(text, most)
    before = " " if text[:1].isspace() and kept else ""
    return before + kept + (" " if text[-1:].isspace() and text.strip() else "")


def message(text: str, most: int = 1000) -> str:
    """A message of several lines below a list's entry; its own dashes become entries of their own."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = ""
    listing = False
    for line in lines:
        if line.startswith("- "):
            told += f"\n  - {prose(line[2:], most)}"
            listing = True
        else:
            told += f"{'<br>' if told and not listing else chr(10) + '  ' if told else ''}{prose(line, most)}"
            listing = False
    return told


def code(text: str, most: int = 200) -> str:
    """A code span that holds any text, also one with backticks, in or out of a table."""
    line = " ".join(_CONTROL.sub("", text).split()) or " "
    line = cut(line, most).replace("|", "\\|") if "|" in line else cut(line, most)
    ticks = "`" * (_longest_run(line) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def fenced(lines: Sequence[str], language: str = "") -> str:
    """A code block that none of its lines can end."""
    text = "\n".join(_CONTROL.sub("", line.replace("\t", "    ")) for line in lines)
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def folded(title: str, body: str, *, opened: bool = False) -> str:
    """A part that opens on a click.

    Args:
        title: HTML of ours, no foreign text.
    """
    return f"<details{' open' if opened else ''}><summary>{title}</summary>\n\n{body}\n\n</details>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A table of cells that are Markdown already.

    Args:
        right: columns that are aligned to the right.
    """
    marks = ["---:" if index in right else "---" for index in range(len(head))]
    lines = [head, marks, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cut(text: str, most: int) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def counted(count: int, one: str, many: str = "") -> str:
    """`1 machine`, `2 machines`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
