"""Traces of jobs: CSV files of our own format, or of Alibaba's public GPU trace, as jobs for the simulation.

`read_trace` tells the formats apart by their columns. Owns reading and judging the files; every error of a file comes
at once, with its line. docs/simulation.md describes the formats.
"""

from __future__ import annotations

import gzip
from operator import attrgetter
from pathlib import Path

from capacity.traces import alibaba, own
from capacity.traces.table import Table, Trace, TraceErrors

__all__ = ["BUILT_IN", "Trace", "TraceErrors", "read_trace"]

BUILT_IN = {"alibaba-2023": Path(__file__).parent / "data" / "gpu_trace_2023.csv.gz"}
"""Traces that come with the project, by name (`capacity/traces/data/README.md`)."""


def read_trace(source: Path | str) -> Trace:
    """The jobs of a file, in the order of their arrival.

    Args:
        source: a CSV file, which may be compressed (`.gz`), or the name of a built-in trace.

    Raises:
        TraceErrors: the file cannot be read, or with everything that is wrong in it.
    """
    path = BUILT_IN.get(str(source), Path(source))
    try:
        with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as file:
            table = Table(str(source), file)
            trace = (alibaba if alibaba.is_format(table.columns) else own).read(table)
    except (OSError, EOFError) as error:
        built_in = ", ".join(BUILT_IN)
        raise TraceErrors(str(source), [f"cannot be read ({error}); traces that come with us: {built_in}"]) from None
    except UnicodeDecodeError as error:
        raise TraceErrors(str(source), [f"is not text in UTF-8 (byte {error.start}): save it as UTF-8"]) from None
    if any(later.arrival < earlier.arrival for earlier, later in zip(trace.jobs, trace.jobs[1:], strict=False)):
        trace.jobs.sort(key=attrgetter("arrival"))
        trace.notes.append("the jobs were not in the order of their arrival: sorted")
    return trace
