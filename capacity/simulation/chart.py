"""Curves over time as inline SVG: their colours are the page's, by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10

WIDTH, HEIGHT = 480, 250
"""Units of a picture: on a phone, 15 of them are 11 pixels."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 12, 12, 32
_POINTS = 400
"""Points drawn of a curve: of each stretch, its first, lowest and highest."""

Curve = Sequence[tuple[float, float]]


def chart(title: str, curves: Mapping[str, Curve], *, seconds: float, steps: bool, unit: str = "") -> str:
    """The picture of some curves, with axes and a legend below.

    Args:
        title: read aloud to those who do not see it.
        curves: name to points, times in seconds; the first gets the class `c0`, and so on.
        seconds: the end of the time axis.
        steps: whether a value holds until the next; else lines join them.
        unit: before the values, as `$`.
    """
    top = _ceiling(max((value for curve in curves.values() for _, value in curve), default=0))
    across, down = (WIDTH - _LEFT - _RIGHT) / max(seconds, 1), (HEIGHT - _TOP - _BOTTOM) / top
    lines = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title, quote=True)}">']
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = HEIGHT - _BOTTOM - top * share * down
        lines.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text x="{_LEFT - 6}" y="{y + 5:.1f}" text-anchor="end">{unit}{_short(top * share)}</text>')
    divisor, name = _time_unit(seconds)
    for share, anchor in ((0, "start"), (0.5, "middle"), (1, "end")):
        x = _LEFT + share * (WIDTH - _LEFT - _RIGHT)
        label = f"{_short(seconds * share / divisor)} {name}" if share else "0"
        lines.append(f'<text x="{x:.0f}" y="{HEIGHT - 10}" text-anchor="{anchor}">{label}</text>')
    for number, curve in enumerate(curves.values()):
        points = [(_LEFT + at * across, HEIGHT - _BOTTOM - value * down) for at, value in _thinned(curve, seconds)]
        if points:
            path = _stepped(points, WIDTH - _RIGHT) if steps else "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
            lines.append(f'<path class="line c{number % 8}" d="M{path}"/>')
    lines.append("</svg>")
    if len(curves) > 1:
        names = "".join(f'<li class="c{number % 8}">{escape(one)}</li>' for number, one in enumerate(curves))
        lines.append(f'<ul class="legend">{names}</ul>')
    return "\n".join(lines)


def _stepped(points: Sequence[tuple[float, float]], end: float) -> str:
    first = f"{points[0][0]:.1f} {points[0][1]:.1f}"
    return first + "".join(f"H{x:.1f}V{y:.1f}" for x, y in points[1:]) + f"H{end:.1f}"


def _thinned(curve: Curve, seconds: float) -> list[tuple[float, float]]:
    """Of each stretch the points that shape it."""
    if len(curve) <= _POINTS:
        return list(curve)
    stretches: dict[int, list[tuple[float, float]]] = {}
    for point in curve:
        stretches.setdefault(int(point[0] / max(seconds, 1) * _POINTS), []).append(point)
    found: list[tuple[float, float]] = []
    for points in stretches.values():
        lowest, highest = min(points, key=lambda one: one[1]), max(points, key=lambda one: one[1])
        found += sorted({points[0], lowest, highest, points[-1]})
    return found


def _ceiling(value: float) -> float:
    """A round number no lower than a value, whose quarters are whole."""
    size = 10 ** max(0, floor(log10(max(value, 1))) - 1)
    return next(step * size for step in (4, 8, 12, 16, 20, 24, 32, 40, 60, 80, 100) if step * size >= value)


def _time_unit(seconds: float) -> tuple[float, str]:
    for unit, name in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * unit:
            return unit, name
    return 1.0, "s"


def _short(value: float) -> str:
    """A number in few letters: `1.2M`, `35k`."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= 10 * size or (value >= size and value == ceil(value / size * 100) * size / 100):
            return f"{round(value / size, 2):g}{letter}"
    return f"{round(value, 1):g}"
