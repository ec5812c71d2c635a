"""The programs a sandbox runs: found on PATH in a version that fits, else built from the pinned Go modules.

Owns which programs there are, which versions fit and how each is built. Building itself: `tool_builds.py`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.progress import Progress
from sandbox.tool_builds import Build, Builder, BuildError

MODULES = Path(__file__).resolve().parent / "tools"
_KUBERNETES_FLAGS = (
    "-X k8s.io/component-base/version.gitVersion=v1.36.3"
    " -X k8s.io/component-base/version.gitMajor=1"
    " -X k8s.io/component-base/version.gitMinor=36"
)
_PULUMI_FLAGS = "-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v3.259.0"
_QUEUE_FLAGS = "-X helm.sh/helm/v3/internal/version.version=v3.20.2 -X sigs.k8s.io/kueue/pkg/version.GitVersion=v0.16.1"
"""One text for both: programs with equal flags are linked at once."""


@dataclass(frozen=True)
class Tool:
    """One program.

    Attributes:
        name: its file name.
        module: the folder under `sandbox/tools` with its `go.mod`.
        package: the Go package it is built from.
        version: what is built.
        fits: oldest version on PATH that may stand in, and the first that may not; None: it is built in any case.
        version_command: arguments that make it print its version.
        link_flags: what the linker is told besides stripping; the version, mostly.
        brings: a Go module and a folder in it that lies beside the built program.
    """

    name: str
    module: str
    package: str
    version: str
    fits: tuple[tuple[int, ...], tuple[int, ...]] | None
    version_command: tuple[str, ...] = ("--version",)
    link_flags: str = ""
    brings: tuple[str, str] | None = None

    @property
    def build(self) -> Build:
        """How it is built."""
        flags = f"-s -w {self.link_flags}".strip()
        return Build(self.name, self.version, self.package, MODULES / self.module, flags, self.brings)


def _kubernetes(name: str, fits: tuple[tuple[int, ...], tuple[int, ...]], *version_command: str) -> Tool:
    return Tool(
        name=name,
        module="kubernetes",
        package=f"k8s.io/kubernetes/cmd/{name}",
        version="1.36.3",
        fits=fits,
        version_command=version_command or ("--version",),
        link_flags=_KUBERNETES_FLAGS,
    )


TOOLS = (
    Tool(
        name="pulumi",
        module="pulumi",
        package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
        version="3.259.0",
        fits=((3, 259, 0), (4,)),
        version_command=("version",),
        link_flags=_PULUMI_FLAGS,
    ),
    _kubernetes("kube-apiserver", ((1, 36), (1, 37))),
    _kubernetes("kube-controller-manager", ((1, 36), (1, 37))),
    _kubernetes("kube-scheduler", ((1, 36), (1, 37))),
    _kubernetes("kubectl", ((1, 35), (1, 38)), "version", "--client"),
    Tool("kwok", module="kwok", package="sigs.k8s.io/kwok/cmd/kwok", version="0.8.0", fits=((0, 8), (0, 9))),
    Tool("etcd", module="etcd", package="go.etcd.io/etcd/server/v3", version="3.6.7", fits=((3, 6), (3, 7))),
)
"""The slowest to build first."""
HELM = Tool(
    name="helm",
    module="kueue",
    package="helm.sh/helm/v3/cmd/helm",
    version="3.20.2",
    fits=((3, 14), (4,)),
    version_command=("version", "--short"),
    link_flags=_QUEUE_FLAGS,
)
KUEUE = Tool(
    name="kueue",
    module="kueue",
    package="sigs.k8s.io/kueue/cmd/kueue",
    version="0.16.1",
    fits=None,
    link_flags=_QUEUE_FLAGS,
    brings=("sigs.k8s.io/kueue", "charts"),
)
QUEUE_TOOLS = (HELM, KUEUE)
"""What queues need: had when queues are first wanted, not before. Beside Kueue lies the folder with its charts."""


@dataclass(frozen=True)
class Found:
    """Where a tool is, in which version, and whether it was on PATH."""

    tool: Tool
    path: Path
    version: str
    on_path: bool

    def __str__(self) -> str:
        return f"{self.tool.name} {self.version} ({self.path})"


@dataclass
class Search:
    """What a look at PATH gave: what fits, and for the rest why what is there does not."""

    found: dict[str, Found] = field(default_factory=dict[str, Found])
    passed_over: list[str] = field(default_factory=list[str])


def search_path() -> str:
    """PATH without the `bin` folders of sandboxes, which `eval "$(make -s env)"` puts there."""
    entries = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(entry for entry in entries if entry and not _is_sandbox_bin(Path(entry)))


def search(tools: Iterable[Tool] = TOOLS) -> Search:
    """Look for the tools on PATH; each that is there is asked for its version, the first that fits is taken."""
    result = Search()
    for tool in tools:
        if tool.fits is None:
            continue
        oldest, first_too_new = tool.fits
        wanted = f"{_dotted(oldest)} to below {_dotted(first_too_new)}"
        for at in _all_on_path(tool.name):
            version = _ask_version(tool, at)
            if version is not None and oldest <= version < first_too_new:
                result.found[tool.name] = Found(tool, Path(at), _dotted(version), on_path=True)
                break
            says = f"is {_dotted(version)}" if version else "does not say its version"
            result.passed_over.append(f"{at} {says}; {wanted} is needed")
    return result


def ensure(progress: Progress, tools: Iterable[Tool] = TOOLS, builder: Builder | None = None) -> dict[str, Found]:
    """Find the tools or build them.

    Returns:
        Tool name to where it is.

    Raises:
        BuildError: one could not be built.
    """
    tools = tuple(tools)
    looked = search(tools)
    for note in looked.passed_over:
        progress.say(f"  passed over: {note}")
    for found in looked.found.values():
        progress.say(f"  on PATH: {found}")
    builder = builder or Builder(progress)
    builds: dict[str, list[Build]] = {}
    for tool in tools:
        if tool.name not in looked.found:
            builds.setdefault(tool.module, []).append(tool.build)
    paths = _build_all(builder, list(builds.values()))
    built = {
        tool.name: Found(tool, paths[tool.name], tool.version, on_path=False) for tool in tools if tool.name in paths
    }
    return {**looked.found, **built}


def _build_all(builder: Builder, modules: list[list[Build]]) -> dict[str, Path]:
    """Build module by module, two at once: one links or downloads on one core while the other compiles."""
    paths: dict[str, Path] = {}
    with ThreadPoolExecutor(max_workers=2) as pool:
        runs = [pool.submit(builder.build, builds) for builds in modules]
        try:
            for run in runs:
                paths.update(run.result())
        except BaseException:
            builder.stop()
            for run in runs:
                run.cancel()
            raise
    return paths


def _all_on_path(name: str) -> list[str]:
    """Every executable of that name on PATH, links to one file once."""
    candidates = (shutil.which(name, path=folder) for folder in search_path().split(os.pathsep))
    found = {os.path.realpath(at): at for at in reversed([at for at in candidates if at])}
    return list(reversed(found.values()))


def _ask_version(tool: Tool, at: str) -> tuple[int, ...] | None:
    """The first `1.2.3` in what the program prints when asked for its version."""
    try:
        done = subprocess.run([at, *tool.version_command], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\bv?(\d+)\.(\d+)\.(\d+)", done.stdout)
    return tuple(int(part) for part in match.groups()) if match else None


def _is_sandbox_bin(folder: Path) -> bool:
    return (folder.parent / "sandbox.json").exists()


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


__all__ = ["MODULES", "TOOLS", "BuildError", "Found", "Search", "Tool", "ensure", "search", "search_path"]
