"""The parts of a sandbox as one: what they are, in which order they start and stop, and how each one is.

The control plane's own parts are in `control_plane.py`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import ssl
import sys
import urllib.request
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sandbox import certificates, control_plane, environment
from sandbox.azurite import Azurite, AzuriteError, Installer
from sandbox.home import REPOSITORY, Home
from sandbox.processes import Part, Processes, accepts
from sandbox.progress import Progress
from sandbox.tools import ensure

AZURE = "azure"
AZURITE = "azurite"
_NODE = "node"
_CODE = ("arm", "capacity", "sandbox", "stacks")
"""The packages that the sandbox's own parts import."""
NAMES = (
    AZURITE,
    AZURE,
    "storage-network",
    *control_plane.NAMES,
    "nodes",
    "operators",
    "autoscaler",
    "azure-native",
    "kubernetes",
)
"""Every part, in the order they start."""


@dataclass(frozen=True)
class State:
    """How one part is: its process (None: it does not run) and its log."""

    name: str
    pid: int | None
    log: str


def start(home: Home, progress: Progress, *, look_for_tools: bool = True) -> list[str]:
    """Start whatever does not run; gives the names of what was started.

    Args:
        home: the sandbox.
        progress: where it is shown.
        look_for_tools: False: take those that the last start found, where they are still there.

    Raises:
        BuildError: a tool is neither on PATH nor can be built.
        ProcessError: a part did not become ready; the message has the end of its log.
    """
    home.create()
    if look_for_tools or not _tools_are_placed(home):
        _place_tools(home, progress)
    certificates.ensure(home)
    processes = Processes(home)
    ended = processes.end_strays()
    if ended:
        progress.say(f"  ended {ended} processes that an earlier run left behind")
    if environment.real_kubernetes_provider(home) is not None:
        processes.stop("kubernetes")
    started: list[str] = []
    azurite = _azurite(home)
    if azurite is not None and processes.start(azurite):  # ready long before somebody has a blob to send
        started.append(azurite.name)
    with progress.task("simulated Azure"):
        started += _start(processes, [_azure(home)])
    with progress.task("Kubernetes control plane"):
        started += control_plane.start(home)
    with progress.task("nodes and providers"):
        started += _start(processes, _later(home))
        processes.wait_ready([azurite] if azurite is not None else [])
    return started


def stop(home: Home) -> list[str]:
    """Stop every process of the sandbox; gives the names of those that ran."""
    processes = Processes(home)
    others = [name for name in reversed(NAMES) if name not in control_plane.NAMES]
    stopped = [name for name in others if name != AZURE and processes.stop(name)]
    stopped += control_plane.stop(home)
    stopped += [AZURE] if processes.stop(AZURE) else []
    processes.end_strays()
    return stopped


def states(home: Home) -> list[State]:
    """How every part is, in starting order."""
    processes = Processes(home)
    absent = {AZURITE} if _azurite(home) is None else set[str]()
    if environment.real_kubernetes_provider(home) is not None:
        absent.add("kubernetes")
    wanted = [name for name in NAMES if name not in absent]
    return [State(name, processes.pid(name), str(processes.log(name))) for name in wanted]


def dead(home: Home) -> list[str]:
    """The parts that should run and do not."""
    return [state.name for state in states(home) if state.pid is None]


def _tools_are_placed(home: Home) -> bool:
    if not home.tools_file.exists():
        return False
    tools: dict[str, str] = json.loads(home.tools_file.read_text())
    return all(Path(path).exists() for path in tools.values()) and (home.bin / "pulumi").exists()


def _place_tools(home: Home, progress: Progress) -> None:
    """Find or build the tools, remember where they are, for whoever restarts a part later, and fill `bin`."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        installer = Installer(progress)
        coming = pool.submit(installer.ensure)
        try:
            found = ensure(progress)
            paths = {name: str(tool.path) for name, tool in found.items()} | _azurite_paths(coming, progress)
        except BaseException:
            installer.stop()
            raise
    partial = home.tools_file.with_suffix(".partial")
    partial.write_text(json.dumps(paths, indent=2))
    partial.replace(home.tools_file)
    environment.prepare(home, found)


def _azurite_paths(coming: Future[Azurite], progress: Progress) -> dict[str, str]:
    """Where Azurite and its Node are; nothing where it could not be had: the sandbox does without."""
    try:
        azurite = coming.result()
    except (AzuriteError, OSError) as error:
        progress.say(f"  without Azurite, so blobs cannot be read or written in this sandbox: {error}")
        return {}
    return {_NODE: str(azurite.node), AZURITE: str(azurite.folder)}


def _azurite(home: Home) -> Part | None:
    """What holds the blobs; None where it could not be installed."""
    paths: dict[str, str] = json.loads(home.tools_file.read_text()) if home.tools_file.exists() else {}
    if AZURITE not in paths:
        return None
    return Azurite(Path(paths[_NODE]), Path(paths[AZURITE])).part(home)


def _start(processes: Processes, parts: Iterable[Part]) -> list[str]:
    parts = list(parts)
    started = [part.name for part in parts if processes.start(part)]
    processes.wait_ready(parts)
    return started


def _azure(home: Home) -> Part:
    return _ours(home, AZURE, "sandbox.azure", home.config.ports["azure"], f"{home.azure_url}/sandbox/health")


def _later(home: Home) -> list[Part]:
    """What needs Azure and the API server."""
    ports = home.config.ports
    parts = [
        _ours(home, "storage-network", "sandbox.storage_network", ports["network"]),
        _ours(home, "nodes", "sandbox.nodes"),
        _ours(home, "operators", "sandbox.operators"),
        _ours(home, "autoscaler", "sandbox.autoscaler"),
        _ours(home, "azure-native", "sandbox.providers.azure_native", ports["azure_native"]),
    ]
    if environment.real_kubernetes_provider(home) is None:
        parts.append(_ours(home, "kubernetes", "sandbox.providers.kubernetes", ports["kubernetes"]))
    return parts


def _ours(home: Home, name: str, module: str, port: int | None = None, health: str = "") -> Part:
    """A part that is a Python module of ours; ready when its health page says so, its port accepts, or it runs."""

    def is_ready() -> bool:
        if health:
            return _answers(home, health)
        return port is None or accepts(port)

    variables = environment.process_environment(home)
    return Part(
        name,
        (sys.executable, "-m", module, "--home", str(home.root)),
        is_ready,
        environment={key: value for key, value in variables.items() if not key.startswith("PULUMI_")},
        port=port,
        version=code_version(),
    )


@functools.cache
def code_version() -> str:
    """A digest of the code and data that our parts run: after a `git pull` it is another one."""
    digest = hashlib.sha256()
    for folder in _CODE:
        for file in sorted((REPOSITORY / folder).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(REPOSITORY)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _answers(home: Home, url: str) -> bool:
    context = ssl.create_default_context(cafile=str(home.ca_cert))
    handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)]
    with urllib.request.build_opener(*handlers).open(url, timeout=5) as answer:
        return answer.status == 200


def remove(home: Home) -> None:
    """Delete the sandbox's folder, once nothing of it runs."""
    shutil.rmtree(home.root, ignore_errors=True)
    if home.root.exists():
        shutil.rmtree(home.root)
