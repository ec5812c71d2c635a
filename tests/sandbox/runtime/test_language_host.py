"""The language host answers the engine, passes on what children print, and leaves none of them behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import language_pb2
from pulumi.runtime.proto.language_pb2_grpc import LanguageRuntimeStub

from sandbox.home import REPOSITORY
from sandbox.processes import start_time
from tests.conftest import RunningSandbox

COMMAND = (sys.executable, "-P", "-m", "sandbox.language_host")


@dataclass(frozen=True)
class Host:
    process: subprocess.Popen[str]
    stub: Any


def start(prefix: tuple[str, ...] = ()) -> tuple[subprocess.Popen[str], int]:
    """Start a host as the engine does; gives it and the port it prints."""
    process = subprocess.Popen(
        [*prefix, *COMMAND], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


@pytest.fixture
def host() -> Generator[Host]:
    process, port = start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Host(process, LanguageRuntimeStub(channel))
    process.kill()
    process.communicate()


def info(folder: Path, **options: str) -> language_pb2.ProgramInfo:
    struct = Struct()
    struct.update(options)
    return language_pb2.ProgramInfo(
        root_directory=str(folder), program_directory=str(folder), entry_point=".", options=struct
    )


def eventually(holds: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds()


def plugin_that_waits(folder: Path) -> Path:
    """A plugin that notes its own id and that of a child it starts, prints a port, and waits."""
    note = folder / "pids"
    (folder / "__main__.py").write_text(
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(note)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "print(4711, flush=True)\n"
        "time.sleep(60)\n"
    )
    return note


def pids(note: Path) -> list[int]:
    assert eventually(lambda: note.exists() and " " in note.read_text())
    return [int(pid) for pid in note.read_text().split()]


def all_gone(processes: list[int]) -> bool:
    return eventually(lambda: all(start_time(pid) is None for pid in processes))


def test_it_greets_and_says_what_it_is(host: Host) -> None:
    host.stub.Handshake(language_pb2.LanguageHandshakeRequest(engine_address="127.0.0.1:1"))
    assert host.stub.GetPluginInfo(Empty()).version.startswith("3.")


def test_the_python_of_the_projects_virtualenv_runs_programs(host: Host, tmp_path: Path) -> None:
    about = host.stub.About(language_pb2.AboutRequest(info=info(REPOSITORY, virtualenv=".venv")))
    assert about.executable == str(REPOSITORY / ".venv" / "bin" / "python")
    assert about.version == ".".join(str(part) for part in sys.version_info[:3])
    without = host.stub.About(language_pb2.AboutRequest(info=info(tmp_path)))
    assert without.executable == sys.executable


def test_the_providers_that_the_packages_need_are_named(host: Host) -> None:
    request = language_pb2.GetRequiredPackagesRequest(info=info(REPOSITORY, virtualenv=".venv"))
    packages = {package.name: package.version for package in host.stub.GetRequiredPackages(request).packages}
    assert packages == {"azure-native": "3.29.0", "kubernetes": "4.34.2"}


def test_the_packages_of_the_virtualenv_are_listed(host: Host) -> None:
    request = language_pb2.GetProgramDependenciesRequest(info=info(REPOSITORY, virtualenv=".venv"))
    found = {one.name: one.version for one in host.stub.GetProgramDependencies(request).dependencies}
    assert found["pulumi"] == "3.272.0"


def test_a_plugins_output_comes_as_it_is_printed_and_its_exit_code_last(host: Host, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    (tmp_path / "__main__.py").write_text(
        "import os, pathlib, sys, time\n"
        "print('port', sys.argv[1:], os.environ['COLOUR'], flush=True)\n"
        f"while not pathlib.Path({str(go_on)!r}).exists(): time.sleep(0.02)\n"
        "print('late', file=sys.stderr)\n"
        "raise SystemExit(3)\n"
    )
    environment = [f"{name}={value}" for name, value in {**os.environ, "COLOUR": "green"}.items()]
    request = language_pb2.RunPluginRequest(
        kind="resource", info=info(tmp_path), pwd=str(tmp_path), args=["one", "two"], env=environment
    )
    answers = iter(host.stub.RunPlugin(request))
    assert next(answers).stdout == b"port ['one', 'two'] green\n", "nothing may wait for the plugin's end"
    go_on.touch()
    rest = list(answers)
    assert rest[0].stderr == b"late\n"
    assert [answer.exitcode for answer in rest] == [0, 3]


def test_a_cancelled_plugin_ends_with_all_it_started(host: Host, tmp_path: Path) -> None:
    note = plugin_that_waits(tmp_path)
    call = host.stub.RunPlugin(language_pb2.RunPluginRequest(kind="resource", info=info(tmp_path)))
    processes = pids(note)
    call.cancel()
    assert all_gone(processes)
    assert host.process.poll() is None


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_host_that_is_ended_leaves_neither_orphans_nor_a_traceback(
    host: Host, tmp_path: Path, sign: signal.Signals
) -> None:
    note = plugin_that_waits(tmp_path)
    call = host.stub.RunPlugin(language_pb2.RunPluginRequest(kind="resource", info=info(tmp_path)))
    processes = pids(note)
    host.process.send_signal(sign)
    host.process.wait(60)
    assert all_gone(processes)
    assert host.process.stderr is not None
    assert host.process.stderr.read() == ""
    call.cancel()


def test_a_host_whose_engine_was_killed_leaves_with_its_children(tmp_path: Path) -> None:
    note = plugin_that_waits(tmp_path)
    # A shell stands in for the engine: it is killed without a chance to tell the host.
    engine, port = start(("sh", "-c", '"$@" & echo $! >&2; wait', "sh"))
    assert engine.stderr is not None
    host = int(engine.stderr.readline())
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = LanguageRuntimeStub(channel)
        call = stub.RunPlugin(language_pb2.RunPluginRequest(kind="resource", info=info(tmp_path)))
        processes = pids(note)
        engine.kill()
        engine.wait()
        assert all_gone([host, *processes])
        call.cancel()
    engine.communicate()


def test_dependencies_are_installed_from_the_projects_requirements(host: Host, tmp_path: Path) -> None:
    quiet = list(host.stub.InstallDependencies(language_pb2.InstallDependenciesRequest(info=info(tmp_path))))
    assert quiet == [], "a project that declares nothing needs nothing"
    (tmp_path / "requirements.txt").write_text("no-such-file @ file:///no/such/file.whl\n")
    with pytest.raises(grpc.RpcError, match=r"requirements\.txt"):
        list(host.stub.InstallDependencies(language_pb2.InstallDependenciesRequest(info=info(tmp_path))))


PROGRAM = """
import os, sys
import pulumi

settings = pulumi.Config()
print("printed by the program")
pulumi.export("text", settings.require("text"))
pulumi.export("secret", settings.require_secret("hidden"))
pulumi.export("stack", f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}")
pulumi.export("dry", pulumi.runtime.is_dry_run())
kind = settings.get("fails")
if kind == "run-error":
    raise pulumi.RunError("first line\\nsecond line")
if kind == "exception":
    raise ValueError("boom")
if kind == "exit":
    sys.exit(7)
if kind == "slow":
    import time
    print("pid", os.getpid(), flush=True)
    time.sleep(60)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    return folder


@pytest.mark.sandbox
def test_the_engine_runs_a_program_with_its_settings(sandbox: RunningSandbox, project: Path) -> None:
    with sandbox.scratch_stack(project, PROGRAM) as stack:
        stack.pulumi("config", "set", "text", "a: [b]")
        stack.pulumi("config", "set", "--secret", "hidden", "s3cret")
        shown = stack.pulumi("up", "--yes")
        assert "printed by the program" in shown.stdout
        assert "warning" not in shown.stdout + shown.stderr
        assert stack.outputs() == {
            "text": "a: [b]",
            "secret": "s3cret",
            "stack": "organization/tiny/scratch",
            "dry": False,
        }
        state = stack.pulumi("stack", "export").stdout
        assert "s3cret" not in state


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("kind", "says", "traceback"),
    [
        ("run-error", "error: first line\n    second line", False),
        ("exception", 'tiny/__main__.py", line 1', True),
        ("exit", "non-zero exit code: 7", False),
    ],
)
def test_a_program_that_fails_says_why_and_no_more(
    sandbox: RunningSandbox, project: Path, kind: str, says: str, traceback: bool
) -> None:
    with sandbox.scratch_stack(project, PROGRAM) as stack:
        for name, value in {"text": "x", "hidden": "y", "fails": kind}.items():
            stack.pulumi("config", "set", name, value)
        failed = stack.pulumi("preview", check=False)
        assert failed.returncode != 0
        assert says in failed.stdout
        assert ("Traceback" in failed.stdout) == traceback
        assert "language_child.py" not in failed.stdout
        assert "runpy" not in failed.stdout


@pytest.mark.sandbox
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_an_engine_that_is_ended_takes_its_program_along(
    sandbox: RunningSandbox, project: Path, sign: signal.Signals
) -> None:
    with sandbox.scratch_stack(project, PROGRAM) as stack:
        for name, value in {"text": "x", "hidden": "y", "fails": "slow"}.items():
            stack.pulumi("config", "set", name, value)
        command = ["pulumi", "preview", "--stack", stack.name, "--non-interactive"]
        with subprocess.Popen(
            command, cwd=project, env=dict(sandbox.variables), stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as engine:
            assert engine.stdout is not None
            line = next(line for line in engine.stdout if " pid " in line)
            program = int(line.rpartition(" pid ")[2])
            engine.send_signal(sign)
            assert all_gone([program, engine.pid])


PACK = """
from concurrent.futures import ThreadPoolExecutor

import grpc
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc, plugin_pb2


class Pack(analyzer_pb2_grpc.AnalyzerServicer):
    def GetAnalyzerInfo(self, request, context):
        policy = analyzer_pb2.PolicyInfo(name="names", enforcementLevel=analyzer_pb2.MANDATORY)
        return analyzer_pb2.AnalyzerInfo(name="naming", displayName="naming", version="1.0.0", policies=[policy])

    def GetPluginInfo(self, request, context):
        return plugin_pb2.PluginInfo(version="1.0.0")

    def Configure(self, request, context):
        from google.protobuf.empty_pb2 import Empty
        return Empty()

    def Analyze(self, request, context):
        return analyzer_pb2.AnalyzeResponse(diagnostics=[analyzer_pb2.AnalyzeDiagnostic(
            policyName="names", policyPackName="naming", policyPackVersion="1.0.0", urn=request.urn,
            message=f"nothing may be called {request.name}", enforcementLevel=analyzer_pb2.MANDATORY)])

    def AnalyzeStack(self, request, context):
        return analyzer_pb2.AnalyzeResponse()


server = grpc.server(ThreadPoolExecutor(4))
analyzer_pb2_grpc.add_AnalyzerServicer_to_server(Pack(), server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
"""


@pytest.mark.sandbox
def test_a_policy_pack_runs_in_the_real_engine(sandbox: RunningSandbox, project: Path, tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    pack.mkdir()
    (pack / "PulumiPolicy.yaml").write_text(f"runtime: {{name: python, options: {{virtualenv: {REPOSITORY}/.venv}}}}\n")
    (pack / "__main__.py").write_text(PACK)
    with sandbox.scratch_stack(project, PROGRAM) as stack:
        for name, value in {"text": "x", "hidden": "y"}.items():
            stack.pulumi("config", "set", name, value)
        judged = stack.pulumi("preview", "--policy-pack", str(pack), check=False)
        assert judged.returncode != 0
        assert "nothing may be called tiny-scratch" in judged.stdout
