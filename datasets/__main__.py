"""The command line: `python -m datasets upload NAME`, `verify NAME`, `list`.

Exit codes: 0 done; 1 data or storage are wrong; 2 called wrongly; 3 files are at the target with other content; 4
another upload runs; 5 the source is missing, unusable or changed; 6 cluster or storage cannot be reached; 130 Ctrl-C or
SIGTERM.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from datasets.commands import Options, show, upload, verify
from datasets.declared import read_deployed
from datasets.link import PodGoneError
from datasets.problems import INTERRUPTED, UNREACHABLE, CommandError
from datasets.progress import Progress

ROOT = Path(__file__).resolve().parent.parent


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = argparse.ArgumentParser(prog="python -m datasets", description=__doc__.splitlines()[0] if __doc__ else "")
    commands = top.add_subparsers(dest="command", required=True)
    for name, help_text in (
        ("upload", "copy a dataset from its source to its target; again, to go on with what was interrupted"),
        ("verify", "read a dataset back in the cluster and compare it with its manifest"),
        ("list", "the datasets of a stack"),
    ):
        one = commands.add_parser(name, help=help_text)
        one.add_argument("--stack", help="Pulumi stack; default: the selected one")
        if name == "list":
            continue
        one.add_argument("name", metavar="NAME", help="as in trainyard:datasets")
        one.add_argument("--context", help="a context of your kubeconfig, in place of the stack's own kubeconfig")
        one.add_argument("--patience", type=float, default=600, metavar="SECONDS", help="give up after such a silence")
        one.add_argument("--quiet", action="store_true", help="no progress")
        if name == "upload":
            one.add_argument("--overwrite", action="store_true", help="replace files that have other content")
            one.add_argument("--source", type=Path, metavar="FOLDER", help="another folder than the stack names")
            one.add_argument("--workers", type=int, default=4, choices=range(1, 17), metavar="1-16")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code."""
    chosen = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    progress = Progress(quiet=getattr(chosen, "quiet", False))
    try:
        deployed = read_deployed(chosen.stack, ROOT)
        if chosen.command == "list":
            print(show(deployed))
            return 0
        options = Options(
            overwrite=getattr(chosen, "overwrite", False),
            source=getattr(chosen, "source", None),
            context=chosen.context,
            workers=getattr(chosen, "workers", 1),
            patience=chosen.patience,
            base=ROOT if getattr(chosen, "source", None) is None else Path.cwd(),
        )
        {"upload": upload, "verify": verify}[chosen.command](deployed, chosen.name, options, progress)
    except CommandError as error:
        progress.end()
        print(f"error: {error}", file=sys.stderr)
        return error.code
    except PodGoneError as error:
        progress.end()
        print(f"error: the cluster cannot be reached: {error}", file=sys.stderr)
        return UNREACHABLE
    except KeyboardInterrupt:
        progress.end()
        print("interrupted; what is complete stays. Repeat the command to go on", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
