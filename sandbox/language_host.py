"""The Python language host: what the engine starts as `pulumi-language-python` to run programs and policy packs.

Stands in for the official one, which no registry offers, and only where that one is not on PATH. Serves
`LanguageRuntime`, prints its port, and runs every program in a child of its own (`language_child.py`), in the
project's virtualenv. It ends with the engine: on SIGINT, SIGTERM, `Cancel` or when the engine is gone, its children's
process groups are killed first, so that neither orphans nor tracebacks remain.
"""
# Method names and signatures are gRPC's.
# ruff: noqa: N802, ARG002

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import IO, Any

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import LanguageRuntimeServicer, language_pb2, plugin_pb2
from pulumi.runtime.proto.language_pb2_grpc import add_LanguageRuntimeServicer_to_server

from sandbox.language_child import MESSAGE_SHOWN

_CHILD = Path(__file__).with_name("language_child.py")
_SETUP = Path(__file__).with_name("setup.py")
_MESSAGE_LIMIT = 1024 * 1024 * 400
_WATCH_SECONDS = 0.5


class Children:
    """The child processes of this host; each leads a process group of its own."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed = False
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def run(
        self,
        command: list[str],
        *,
        folder: str,
        stdin: int = subprocess.DEVNULL,
        output: int | None = subprocess.PIPE,
        environment: dict[str, str] | None = None,
    ) -> Generator[subprocess.Popen[bytes]]:
        """Start a child in `folder`, and kill its whole group when the block ends. `output` None: inherited."""
        with self._lock:
            if self._closed:
                raise ChildProcessError("the language host is shutting down")
            child = subprocess.Popen(
                command,
                cwd=folder or None,
                env=environment,
                stdin=stdin,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            self._running.add(child)
        try:
            yield child
        finally:
            _kill_group(child)
            child.wait()
            with self._lock:
                self._running.discard(child)

    def kill(self) -> None:
        """Kill all groups, and start nothing more."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        for child in running:
            _kill_group(child)


class LanguageHost(LanguageRuntimeServicer):
    """Answers the engine."""

    def __init__(self, children: Children, engine_address: str) -> None:
        self._children = children
        self._engine_address = engine_address

    def Handshake(
        self, request: language_pb2.LanguageHandshakeRequest, context: grpc.ServicerContext
    ) -> language_pb2.LanguageHandshakeResponse:
        """Learn the engine's address."""
        self._engine_address = request.engine_address or self._engine_address
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        """Say which version this is: that of the SDK it runs."""
        return plugin_pb2.PluginInfo(version=version("pulumi"))

    def About(self, request: language_pb2.AboutRequest, context: grpc.ServicerContext) -> language_pb2.AboutResponse:
        """Say which Python runs programs."""
        python = python_of(request.info)
        done = subprocess.run([python, "--version"], capture_output=True, text=True, check=False)
        return language_pb2.AboutResponse(executable=python, version=done.stdout.strip().removeprefix("Python "))

    def GetRequiredPackages(
        self, request: language_pb2.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPackagesResponse:
        """Say which providers the packages of the project's virtualenv need."""
        found = [_plugin(file) for file in _site_packages(request.info).glob("*/pulumi-plugin.json")]
        return language_pb2.GetRequiredPackagesResponse(packages=[plugin for plugin in found if plugin is not None])

    def GetProgramDependencies(
        self, request: language_pb2.GetProgramDependenciesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetProgramDependenciesResponse:
        """Say which packages the project's virtualenv holds."""
        folders = sorted(_site_packages(request.info).glob("*.dist-info"))
        pairs = [folder.name.removesuffix(".dist-info").rpartition("-") for folder in folders]
        dependencies = [language_pb2.DependencyInfo(name=name, version=number) for name, _, number in pairs]
        return language_pb2.GetProgramDependenciesResponse(dependencies=dependencies)

    def InstallDependencies(
        self, request: language_pb2.InstallDependenciesRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.InstallDependenciesResponse]:
        """Install what the project declares: this one by its own setup, others from their `requirements.txt`."""
        for command in _install_commands(request.info):
            with self._children.run(command, folder=request.info.program_directory) as child:
                for is_error, chunk in _output(child):
                    if is_error:
                        yield language_pb2.InstallDependenciesResponse(stderr=chunk)
                    else:
                        yield language_pb2.InstallDependenciesResponse(stdout=chunk)
                if child.wait() != 0:
                    context.abort(grpc.StatusCode.INTERNAL, f"`{' '.join(command)}` ended with {child.returncode}")

    def Run(self, request: language_pb2.RunRequest, context: grpc.ServicerContext) -> language_pb2.RunResponse:
        """Run a program in a child; what it prints goes to the engine through this process's own streams."""
        command = [python_of(request.info), "-uP", str(_CHILD), "program", request.args[0] if request.args else ""]
        try:
            with self._children.run(command, folder=request.pwd, stdin=subprocess.PIPE, output=None) as child:
                context.add_callback(lambda: _kill_group(child))
                child.communicate(request.SerializeToString())
                code = child.returncode
        except (OSError, ChildProcessError) as error:
            return language_pb2.RunResponse(error=f"cannot run the program with {command[0]}: {error}")
        if code in {0, MESSAGE_SHOWN}:
            return language_pb2.RunResponse(bail=code != 0)
        return language_pb2.RunResponse(error=f"program exited with non-zero exit code: {code}")

    def RunPlugin(
        self, request: language_pb2.RunPluginRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.RunPluginResponse]:
        """Run a policy pack or another plugin written in Python, and pass on what it prints until it ends."""
        where = request.info.program_directory
        command = [python_of(request.info), "-uP", str(_CHILD), "plugin", request.kind, where, *request.args]
        pairs = [entry.partition("=") for entry in request.env]
        environment = {name: value for name, _, value in pairs} or None
        with self._children.run(command, folder=request.pwd or where, environment=environment) as child:
            context.add_callback(lambda: _kill_group(child))
            for is_error, chunk in _output(child):
                if is_error:
                    yield language_pb2.RunPluginResponse(stderr=chunk)
                else:
                    yield language_pb2.RunPluginResponse(stdout=chunk)
            yield language_pb2.RunPluginResponse(exitcode=child.wait())

    def Cancel(self, request: Empty, context: grpc.ServicerContext) -> Empty:
        """Stop whatever runs."""
        self._children.kill()
        return Empty()


def python_of(info: language_pb2.ProgramInfo) -> str:
    """The Python of the project's virtualenv: the runtime option `virtualenv`, else this process's own."""
    environment = _virtualenv(info)
    return str(environment / "bin" / "python") if environment else sys.executable


def serve(engine_address: str) -> None:
    """Serve until the engine is gone or says so. Call on the main thread."""
    children = Children()
    done = threading.Event()

    def end(_sign: int, _frame: FrameType | None) -> None:
        done.set()

    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, end)
    limits = [("grpc.max_receive_message_length", _MESSAGE_LIMIT), ("grpc.max_send_message_length", _MESSAGE_LIMIT)]
    server = grpc.server(ThreadPoolExecutor(max_workers=32), options=limits)
    add_LanguageRuntimeServicer_to_server(LanguageHost(children, engine_address), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    engine = os.getppid()
    print(port, flush=True)
    while not done.wait(_WATCH_SECONDS):
        if os.getppid() != engine:
            break
    children.kill()
    server.stop(0).wait(1)
    sys.stdout.flush()
    os._exit(0)


def _virtualenv(info: language_pb2.ProgramInfo) -> Path | None:
    """The folder of the virtualenv that the project names, from its root; None where it names none."""
    named = dict[str, Any](info.options.items()).get("virtualenv")
    return Path(info.root_directory, str(named)) if named else None


def _site_packages(info: language_pb2.ProgramInfo) -> Path:
    """Where the virtualenv keeps its packages."""
    root = _virtualenv(info) or Path(sys.prefix)
    return next(iter(sorted(root.glob("lib/python3.*/site-packages"))), root)


def _plugin(file: Path) -> plugin_pb2.PackageDependency | None:
    """What a package's `pulumi-plugin.json` asks for; None where it needs no provider."""
    content = json.loads(file.read_text())
    if not content.get("resource"):
        return None
    name = content.get("name") or file.parent.name.removeprefix("pulumi_").replace("_", "-")
    return plugin_pb2.PackageDependency(
        name=name, kind="resource", version=content.get("version", ""), server=content.get("server", "")
    )


def _install_commands(info: language_pb2.ProgramInfo) -> list[list[str]]:
    """What installs a project's dependencies."""
    root = Path(info.root_directory)
    if root == _SETUP.parent.parent:
        return [[sys.executable, str(_SETUP)]]
    requirements = Path(info.program_directory, "requirements.txt")
    if not requirements.exists():
        return []
    environment = _virtualenv(info)
    create = [[sys.executable, "-m", "venv", str(environment)]] if environment and not environment.exists() else []
    return [*create, [python_of(info), "-m", "pip", "install", "-r", str(requirements)]]


def _output(child: subprocess.Popen[bytes]) -> Iterator[tuple[bool, bytes]]:
    """A child's output as it comes: whether it is standard error, and the bytes."""
    chunks: queue.Queue[tuple[bool, bytes]] = queue.Queue()

    def follow(stream: IO[bytes], is_error: bool) -> None:
        for line in iter(stream.readline, b""):
            chunks.put((is_error, line))
        chunks.put((is_error, b""))

    streams = [(child.stdout, False), (child.stderr, True)]
    open_streams = 0
    for stream, is_error in streams:
        if stream is not None:
            open_streams += 1
            threading.Thread(target=follow, args=(stream, is_error), daemon=True).start()
    while open_streams:
        is_error, chunk = chunks.get()
        if chunk:
            yield is_error, chunk
        else:
            open_streams -= 1


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    """Kill a child and all it started; nothing where they are gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


if __name__ == "__main__":
    serve(next((argument for argument in sys.argv[1:] if not argument.startswith("-")), ""))
