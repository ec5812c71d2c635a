"""Quota headroom, from the report that the policy pack writes (`policy.json`).

Owns the reading of that report, which is foreign data, and its table. Knows no quota itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard, cast

from preview.markdown import counted, folded, plain, table

_SHOWN = 8
_MOST_CORES = 10**12
"""No subscription has more: what is larger, or no number at all, was never a quota."""


@dataclass(frozen=True, slots=True)
class Headroom:
    """One quota: vCPUs.

    Attributes:
        name: family as Azure spells it, or what the quota is of.
        used: by others in the subscription.
        needed: by this stack at its maximum, surge counted.
        limit: None where there is none.
    """

    name: str
    used: int
    needed: int
    limit: int | None

    @property
    def left(self) -> int | None:
        """vCPUs that would stay free; negative: short."""
        return None if self.limit is None or self.limit < 0 else self.limit - self.used - self.needed


def read_headroom(report: Mapping[str, Any] | None) -> tuple[list[Headroom], list[str]]:
    """The quotas of a report, least room first, and what it could not verify."""
    body = report or {}
    found = [row for one in _list(body.get("quota")) if (row := _row(one)) is not None]
    found.sort(key=lambda row: (row.left is None, row.left or 0))
    return found, [one for one in _list(body.get("unverified")) if isinstance(one, str)]


def quota_section(report: Mapping[str, Any] | None) -> list[str]:
    """Markdown: the tightest quotas, the others folded; nothing without a report."""
    rows, unverified = read_headroom(report)
    facts = (report or {}).get("facts")
    parts: list[str] = []
    if rows:
        whence = f" (facts: {plain(facts, 200)})" if isinstance(facts, str) and facts else ""
        parts += [f"**Quota** in vCPUs, every pool at its maximum with upgrade surge{whence}:", _table(rows[:_SHOWN])]
        if len(rows) > _SHOWN:
            parts.append(
                folded(f"{counted(len(rows) - _SHOWN, 'more family', 'more families')}", _table(rows[_SHOWN:]))
            )
    if unverified:
        listed = [f"- {plain(one, 300)}" for one in unverified[:_SHOWN]]
        more = [f"- … and {len(unverified) - _SHOWN} more"] if len(unverified) > _SHOWN else []
        parts.append("\n".join(["**Not verified:**", "", *listed, *more]))
    return parts


def _table(rows: list[Headroom]) -> str:
    cells = [
        [plain(row.name, 100), f"{row.needed:,}", f"{row.used:,}", _limit(row.limit), _left(row.left)] for row in rows
    ]
    return table(["Quota", "needed", "used by others", "limit", "left"], cells, right=(1, 2, 3, 4))


def _limit(limit: int | None) -> str:
    return "none" if limit is None or limit < 0 else f"{limit:,}"


def _left(left: int | None) -> str:
    if left is None:
        return "enough"
    return f"**short by {-left:,}**" if left < 0 else f"{left:,}"


def _row(value: Any) -> Headroom | None:
    body = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    used, needed, limit = body.get("used"), body.get("needed"), body.get("limit")
    if not _is_finite(needed) or needed <= 0:
        return None
    names = {"spot": "all spot machines", "region": "all on-demand machines"}
    name = names.get(str(body.get("kind"))) or str(body.get("family", "?"))
    return Headroom(
        name,
        int(used) if _is_finite(used) else 0,
        int(needed),
        int(limit) if _is_finite(limit) else None,
    )


def _is_finite(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MOST_CORES


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []
