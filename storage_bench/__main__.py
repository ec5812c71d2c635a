"""`python -m storage_bench run`: measure a claim; `job`: print the Job that would; `docs`: write the documents."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from capacity.storage import compare
from capacity.storage_data import PATTERNS
from capacity.storage_workload import Workload
from storage_bench.docs import write_docs
from storage_bench.job import job
from storage_bench.kubectl import Kubectl, KubectlError
from storage_bench.logs import BadOutputError
from storage_bench.run import RunError, judge, run
from storage_bench.settings import ORDER, RunSettings

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """0; 1 without a result; 2 for a wrong call; 130 when interrupted."""
    given = _parser().parse_args(arguments)
    if given.command == "docs":
        return _docs()
    try:
        settings = _settings(given)
        wanted = job(settings, given.toleration)
    except ValueError as problem:
        print(f"storage_bench: {problem}", file=sys.stderr)
        return 2
    if given.command == "job":
        print(json.dumps(wanted, indent=2))
        return 0
    try:
        _run(settings, given)
    except KeyboardInterrupt:
        _say(
            f"\ninterrupted: the Job {settings.name} goes on in the cluster. The same call joins it; to end it:\n"
            f"kubectl -n {settings.namespace} delete job {settings.name}"
        )
        return INTERRUPTED
    except (RunError, KubectlError, BadOutputError) as problem:
        print(f"storage_bench: {problem}", file=sys.stderr)
        return 1
    return 0


def _docs() -> int:
    try:
        for file in write_docs():
            print(f"wrote {file}")
    except ValueError as problem:
        print(f"storage_bench: {problem}", file=sys.stderr)
        return 1
    return 0


def _run(settings: RunSettings, given: argparse.Namespace) -> None:
    kubectl = Kubectl(settings.namespace)
    if given.dry_run:
        judge(settings, kubectl, given.toleration)
        print(f"the cluster would take the Job {settings.name}; nothing was made")
        return
    file = run(settings, kubectl, tolerations=given.toleration, again=given.again, keep=given.keep, say=_say)
    print(f"wrote {file}: make docs-storage puts it beside the computed figures")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _settings(given: argparse.Namespace) -> RunSettings:
    return RunSettings(
        claim=given.claim,
        namespace=given.namespace,
        backend=given.backend,
        pods=given.pods,
        pool=given.pool,
        image=given.image,
        patterns=tuple(pattern for pattern in ORDER if pattern in given.patterns),
        seconds=given.seconds,
        streams=given.streams,
        stream_mib=given.stream_mib,
        small_files=given.small_files,
        small_kib=given.small_kib,
        direct=not given.page_cache,
        wait_minutes=given.wait_minutes,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m storage_bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("docs", help="write docs/storage-comparison.md and its charts")
    backends = [one.key for one in compare(Workload(1, 1, 1, "sequential")).offers]
    for name, text in (("run", "measure"), ("job", "print the Job that `run` would make")):
        command = commands.add_parser(name, help=text)
        command.add_argument("--claim", required=True, help="a read-write-many claim; some GiB on it are needed")
        command.add_argument("--namespace", default="default")
        command.add_argument("--backend", required=True, choices=backends, help="what the claim is on")
        command.add_argument("--pods", type=int, required=True, help="at once, each on a node of its own")
        command.add_argument("--pool", required=True, help="key of the pool whose nodes measure")
        command.add_argument("--image", required=True, help="with fio, pinned: name@sha256:…; docs/storage-bench.md")
        command.add_argument("--patterns", nargs="+", choices=PATTERNS, default=list(ORDER))
        command.add_argument("--seconds", type=int, default=60, help="of each pattern")
        command.add_argument("--streams", type=int, default=4, help="fio jobs of each pod")
        command.add_argument("--stream-mib", type=int, default=4096, help="MiB of each stream's file")
        command.add_argument("--small-files", type=int, default=2000, help="small files of each stream")
        command.add_argument("--small-kib", type=int, default=128)
        command.add_argument("--page-cache", action="store_true", help="where a mount refuses direct I/O")
        command.add_argument("--wait-minutes", type=int, default=30, help="for all pods to come")
        command.add_argument("--toleration", action="append", default=[], help="key=value:Effect, besides GPU and spot")
        if name == "run":
            command.add_argument("--again", action="store_true", help="take away an earlier Job of these settings")
            command.add_argument("--keep", action="store_true", help="leave the Job for a look; it holds the claim")
            command.add_argument("--dry-run", action="store_true", help="let the cluster judge the Job, make nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
