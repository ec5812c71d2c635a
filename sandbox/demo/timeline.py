"""The timeline picture: jobs and machines over time, as one SVG that any browser shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from sandbox.demo.samples import Sample

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 900, 190, 60, 40, 60
_JOBS: tuple[tuple[str, str, Callable[[Sample], int]], ...] = (
    ("done", "#4c956c", lambda one: one.done),
    ("running", "#2f6690", lambda one: one.running),
    ("pending", "#e9b44c", lambda one: one.pending),
    ("failed", "#b23a48", lambda one: one.failed),
)
_MACHINES: tuple[tuple[str, str, Callable[[Sample], int]], ...] = (
    ("ready", "#2f6690", lambda one: one.ready),
    ("joined, no GPU yet", "#81c3d7", lambda one: one.joined),
    ("asked for", "#e9b44c", lambda one: one.asked),
    ("leaving", "#8d99ae", lambda one: one.leaving),
)


def timeline(samples: Sequence[Sample], title: str) -> str:
    """The picture: two stacked area charts, one above the other, over the same seconds.

    Raises:
        ValueError: there is nothing to draw.
    """
    if not samples:
        raise ValueError("no sample was taken: there is nothing to draw")
    end = max(samples[-1].at, 1.0)
    total = _WIDTH + _LEFT + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {2 * (_HEIGHT + _GAP) + _TOP}" '
        'font-family="system-ui, sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{_LEFT}" y="22" font-size="16" font-weight="600">{escape(title)}</text>',
    ]
    for place, (name, layers) in enumerate((("jobs", _JOBS), ("machines", _MACHINES))):
        parts += _chart(samples, end, name, layers, _TOP + place * (_HEIGHT + _GAP))
    return "\n".join([*parts, "</svg>", ""])


def _chart(
    samples: Sequence[Sample],
    end: float,
    name: str,
    layers: Sequence[tuple[str, str, Callable[[Sample], int]]],
    top: int,
) -> list[str]:
    most = max(1, *(sum(value(one) for _, _, value in layers) for one in samples))
    bottom = top + _HEIGHT

    def x(at: float) -> float:
        return round(_LEFT + at / end * _WIDTH, 1)

    def y(count: int) -> float:
        return round(bottom - count / most * (_HEIGHT - 20), 1)

    parts = [f'<text x="{_LEFT}" y="{top + 14}" font-weight="600">{name}</text>']
    legend = _LEFT + 90
    below = [0] * len(samples)
    for label, colour, value in layers:
        above = [base + value(one) for base, one in zip(below, samples, strict=True)]
        if any(value(one) for one in samples):
            there = " ".join(f"{x(one.at)},{y(count)}" for one, count in zip(samples, above, strict=True))
            back = " ".join(
                f"{x(one.at)},{y(count)}" for one, count in reversed(list(zip(samples, below, strict=True)))
            )
            parts.append(f'<polygon points="{there} {back}" fill="{colour}"><title>{label}</title></polygon>')
        parts.append(f'<rect x="{legend}" y="{top + 4}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{legend + 17}" y="{top + 14}">{label}</text>')
        legend += 40 + 8 * len(label)
        below = above
    parts.append(f'<line x1="{_LEFT}" y1="{bottom}" x2="{_LEFT + _WIDTH}" y2="{bottom}" stroke="#333"/>')
    parts.append(f'<text x="{_LEFT - 8}" y="{y(most) + 4}" text-anchor="end">{most}</text>')
    parts.append(f'<text x="{_LEFT - 8}" y="{bottom + 4}" text-anchor="end">0</text>')
    for tick in range(0, int(end) + 1, _step(end)):
        parts.append(f'<text x="{x(tick)}" y="{bottom + 17}" text-anchor="middle">{tick} s</text>')
    return parts


def _step(end: float) -> int:
    return next((step for step in (5, 10, 20, 30, 60, 120, 300, 600) if end / step <= 10), 1800)
