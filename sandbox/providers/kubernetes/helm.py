"""Charts that Helm itself renders: those whose objects all count, as what they deploy runs here for real.

Owns the list of these charts and how Helm is asked. Helm and the chart come with the program that the chart deploys:
built when the first release of it is made, as an image would be pulled (`sandbox.tools`).
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sandbox.operators.charts import Release, marked
from sandbox.progress import Progress
from sandbox.providers.kubernetes.errors import ProviderError
from sandbox.providers.kubernetes.objects import Json, as_map, text
from sandbox.tool_builds import BuildError
from sandbox.tools import HELM, KUEUE, QUEUE_TOOLS, Tool, ensure

Say = Callable[[str], None]
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Program:
    """What a chart deploys.

    Attributes:
        tool: the program.
        chart: the chart's folder, from the program's own.
        left_out: kinds of the chart's objects that the sandbox cannot answer for.
    """

    tool: Tool
    chart: str
    left_out: frozenset[str]


# An APIService that nobody answers keeps every namespace from being deleted; of Kueue's: `sandbox/nodes/kueue.py`.
CHARTS = {"kueue": Program(KUEUE, "charts/kueue", frozenset({"APIService"}))}


async def objects_of(release: Release, kubernetes: str, say: Say) -> list[Json]:
    """The objects of a release, in the order in which Helm makes them.

    Args:
        release: of a chart in `CHARTS`.
        kubernetes: the cluster's version, `v1.36.3`.
        say: takes lines on how building goes on.

    Raises:
        ProviderError: another version is asked for, nothing can be built, or the chart's templates fail.
    """
    program = CHARTS[release.chart]
    if release.version.removeprefix("v") != program.tool.version:
        raise ProviderError(
            f"chart {release.chart} {release.version}: the sandbox has {program.tool.version} of it, by "
            f"sandbox/tools/{program.tool.module}/go.mod"
        )
    helm, chart = await _tools(program, say)
    command = [str(helm), "template", release.name, str(chart), "--namespace", release.namespace]
    command += ["--kube-version", kubernetes, "--include-crds", "--values", "-"]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    rendered, problem = await process.communicate(json.dumps(dict(release.values)).encode())
    if process.returncode != 0:
        raise ProviderError(f"chart {release.chart} {release.version}: {problem.decode(errors='replace').strip()}")
    found = [as_map(one) for one in yaml.load_all(rendered, Loader=_LOADER)]
    return [marked(one, release) for one in found if one and text(one.get("kind")) not in program.left_out]


async def _tools(program: Program, say: Say) -> tuple[Path, Path]:
    """Helm and the chart's folder; built now where they are not there."""
    loop = asyncio.get_running_loop()

    def pass_on(line: str) -> None:
        loop.call_soon_threadsafe(say, line)

    progress = Progress(_Lines(pass_on))
    try:
        found = await asyncio.to_thread(ensure, progress, QUEUE_TOOLS)
    except BuildError as error:
        raise ProviderError(f"{program.tool.name} {program.tool.version} cannot be built: {error}") from error
    return found[HELM.name].path, found[program.tool.name].path.parent / program.chart


class _Lines(io.StringIO):
    """A stream that hands on what is written to it, line by line."""

    def __init__(self, say: Say) -> None:
        super().__init__()
        self._say = say

    def write(self, text: str, /) -> int:
        for line in filter(None, map(str.strip, text.splitlines())):
            self._say(line)
        return len(text)
