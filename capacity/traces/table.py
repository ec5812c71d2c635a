"""A trace's table: rows with their lines, cells as numbers, and everything that is wrong with them."""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TextIO

from capacity.simulation.jobs import Job
from stacks.problems import nearest

_SHOWN = 50
"""Errors of a file that are written out; the rest is counted."""


@dataclass(slots=True)
class Trace:
    """The jobs of one file.

    Attributes:
        name: of the file.
        jobs: in the order of their arrival.
        notes: what a reader of the results should know of how the file was read.
    """

    name: str
    jobs: list[Job]
    notes: list[str] = field(default_factory=list[str])


class TraceErrors(ValueError):  # noqa: N818  (it is several)
    """A trace cannot be used.

    Attributes:
        errors: everything that is wrong, each with its line.
    """

    def __init__(self, name: str, errors: Sequence[str]) -> None:
        self.errors = list(errors)
        count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        more = [f"and {len(errors) - _SHOWN} more"] if len(errors) > _SHOWN else []
        super().__init__("\n".join([f"{name} has {count}:", *(f"  {one}" for one in [*errors[:_SHOWN], *more])]))


class Table:
    """The rows of a CSV file and what is wrong with them.

    Args:
        name: of the file, for errors.
        file: its text.

    Raises:
        TraceErrors: there is no header, or a column is named twice.
    """

    def __init__(self, name: str, file: TextIO) -> None:
        self.name = name
        self.errors: list[str] = []
        self._reader = csv.reader(file)
        try:
            self.columns = [one.strip().removeprefix("\ufeff") for one in next(self._reader, list[str]())]
        except csv.Error as error:
            raise TraceErrors(name, [f"line 1: is not CSV: {error}"]) from None
        if not any(self.columns):
            raise TraceErrors(name, ["is empty: its first line must name the columns"])
        twice = sorted({one for one in self.columns if self.columns.count(one) > 1})
        if twice:
            raise TraceErrors(name, [f"line 1: named twice: {', '.join(twice)}"])

    def expect(self, needed: Collection[str], known: Collection[str]) -> None:
        """Whether the columns are those of a format.

        Raises:
            TraceErrors: some are missing or not known.
        """
        missing = [f"line 1: column {one} is missing" for one in needed if one not in self.columns]
        listed = f"; known: {', '.join(known)}"
        strange = [
            f"line 1: column {one or '(no name)'} is not known"
            + (f": did you mean {near}?" if (near := nearest(one, known)) else listed)
            for one in self.columns
            if one not in known
        ]
        if missing or strange:
            raise TraceErrors(self.name, missing + strange)

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Line and cells of each row; empty lines are passed over, rows of another length are an error."""
        width = len(self.columns)
        try:
            for cells in self._reader:
                if len(cells) == width:
                    yield self._reader.line_num, dict(zip(self.columns, cells, strict=True))
                elif any(cells):
                    self.fault(self._reader.line_num, f"has {len(cells)} cells, the header has {width}")
        except csv.Error as error:
            self.fault(self._reader.line_num, f"is not CSV: {error}")

    def fault(self, line: int, text: str) -> None:
        """Something is wrong with a line."""
        self.errors.append(f"line {line}: {text}")

    def number(self, line: int, cells: dict[str, str], column: str, default: float | None = None) -> float:
        """A number that is not negative; what is none is noted, and 0."""
        text = cells.get(column, "").strip()
        if not text and default is not None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if math.isfinite(value) and value >= 0:
            return value
        wrong = "is empty" if not text else f"is {text!r}, no number" if math.isnan(value) else f"is {text}"
        self.fault(line, f"{column} {wrong}; allowed: a number that is not negative")
        return 0

    def whole(self, line: int, cells: dict[str, str], column: str, default: int, least: int = 0) -> int:
        """A whole number of `least` or more; what is none is noted, and the default."""
        text = cells.get(column, "").strip()
        if not text:
            return default
        try:
            value = int(text)
        except ValueError:
            self.fault(line, f"{column} is {text!r}; allowed: a whole number of {least} or more")
            return default
        if value < least:
            self.fault(line, f"{column} is {value}; allowed: a whole number of {least} or more")
            return default
        return value

    def done(self, jobs: list[Job]) -> Trace:
        """The trace, once all rows were read.

        Raises:
            TraceErrors: with everything that was wrong; or there are no jobs.
        """
        if not jobs and not self.errors:
            self.errors.append("has no jobs below its header")
        if self.errors:
            raise TraceErrors(self.name, self.errors)
        return Trace(self.name, jobs)
