"""A bar chart as SVG, written by hand: readable in light and dark, and on a phone's width.

Owns the drawing. Colours follow the reader's colour scheme by a media query in the picture itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 480
"""Units of the picture: a phone shows it at three quarters, where 15 units are 11 pixels."""
_ROW, _TOP, _EDGE, _BAR = 40, 62, 14, 13

_STYLE = """\
  .ground { fill: #ffffff } .text { fill: #1f2328 } .muted { fill: #59636e }
  .best { fill: #1a7f37 } .other { fill: #0969da } .unfit { fill: #afb8c1 } .measured { fill: #bc4c00 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117 } .text { fill: #f0f6fc } .muted { fill: #9198a1 }
    .best { fill: #3fb950 } .other { fill: #4493f8 } .unfit { fill: #4f5761 } .measured { fill: #f0883e }
  }
  text { font: 15px system-ui, -apple-system, "Segoe UI", sans-serif } .title { font-weight: 600; font-size: 17px }
  .value { font-variant-numeric: tabular-nums }
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar.

    Attributes:
        label: beside it.
        value: how long.
        kind: `best`: recommended; `other`; `unfit`: not for this.
        measured: what was measured, None if nothing was.
    """

    label: str
    value: float
    kind: str
    measured: float | None = None


def bar_chart(title: str, unit: str, bars: Sequence[Bar], legend: str) -> str:
    """The picture's SVG.

    Args:
        title: on top.
        unit: of the values.
        bars: from top to bottom.
        legend: a line below the title, what colours mean.
    """
    height = _TOP + len(bars) * _ROW + 10
    most = max([*(bar.value for bar in bars), *(bar.measured or 0 for bar in bars)])
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(title, quote=True)}">',
        f"<style>\n{_STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}" rx="8"/>',
        f'<text class="text title" x="{_EDGE}" y="27">{escape(title)}</text>',
        f'<text class="muted" x="{_EDGE}" y="48">{escape(legend)}</text>',
    ]
    for number, bar in enumerate(bars):
        lines += _bar(bar, _TOP + number * _ROW, (WIDTH - 2 * _EDGE) / most, unit)
    return "\n".join([*lines, "</svg>", ""])


def _bar(bar: Bar, top: int, scale: float, unit: str) -> list[str]:
    name = "muted" if bar.kind == "unfit" else "text"
    value = f"{bar.value:,.0f} {unit}"
    middle, length = top + 20 + _BAR / 2, max(2, bar.value * scale)
    lines = [
        f'<text class="{name}" x="{_EDGE}" y="{top + 14}">{escape(bar.label)}</text>',
        f'<text class="{name} value" x="{WIDTH - _EDGE}" y="{top + 14}" text-anchor="end">{escape(value)}</text>',
        f'<rect class="{bar.kind}" x="{_EDGE}" y="{top + 20}" width="{length:.1f}" height="{_BAR}" rx="2"/>',
    ]
    if bar.measured is not None:
        centre = _EDGE + bar.measured * scale
        tip = f"measured: {bar.measured:,.0f} {unit}"
        lines.append(
            f'<circle class="measured" cx="{centre:.1f}" cy="{middle}" r="7"><title>{escape(tip)}</title></circle>'
        )
    return lines
