"""`python -m preview run | every | render | post`: preview, write the comment, put it on the pull request."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from preview.comment import KINDS, Written, write
from preview.events import Events
from preview.every import preview_every
from preview.github import ACTIONS_BOT, API, GitHub, GitHubError
from preview.record import Record, RecordError, read_record
from preview.run import Wanted, judged_by_own_settings, no_settings, not_run, run

_MOST_RECORDS = 200


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what was asked; `run` ends with Pulumi's own exit code."""
    parser = argparse.ArgumentParser(prog="python -m preview", description=__doc__)
    commands = parser.add_subparsers(required=True)
    _run_parser(commands.add_parser("run", help="run `pulumi preview`, keep its record, write the comment"))
    _every_parser(commands.add_parser("every", help="preview all stack files, one after the other"))
    _render_parser(commands.add_parser("render", help="write the comment of records, or of files of engine events"))
    _post_parser(commands.add_parser("post", help="put a comment on a pull request, in place of the earlier one"))
    given = parser.parse_args(arguments)
    return given.do(given)


def _run_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stack", required=True)
    _stack_files(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder for the record, comment.md and summary.md")
    parser.add_argument("--origin", choices=("sandbox", "azure"), default="sandbox")
    parser.add_argument("--live", action="store_true", help="read with kubectl which machines and jobs there are")
    parser.add_argument("--not-seen", action="append", default=[], help="what this run cannot see, a sentence")
    parser.add_argument("arguments", nargs="*", help="more for `pulumi preview`, after --")
    _publication(parser)
    parser.set_defaults(do=_run)


def _every_parser(parser: argparse.ArgumentParser) -> None:
    _stack_files(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder for a record of each")
    parser.add_argument("arguments", nargs="*", help="more for `pulumi preview`, after --")
    _publication(parser)
    parser.set_defaults(do=_every)


def _render_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("records", type=Path, nargs="*", help="folders of `run`, or files of engine events")
    parser.add_argument("--all-in", type=Path, help="a folder whose every subfolder is a record")
    parser.add_argument("--out", type=Path, help="the comment; default: standard output")
    parser.add_argument("--summary", type=Path, help="the job summary, added to the end of the file")
    _publication(parser)
    parser.set_defaults(do=_render)


def _post_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repository", default=os.environ.get("GITHUB_REPOSITORY", ""), help="owner/name")
    parser.add_argument("--pull-request", type=int, help="its number; else --head-owner, --head-branch and --head-sha")
    parser.add_argument("--head-owner", default="")
    parser.add_argument("--head-branch", default="")
    parser.add_argument("--head-sha", default="")
    parser.add_argument("--author", default=ACTIONS_BOT, help="login whose comments are ours")
    parser.add_argument("--api", default=os.environ.get("GITHUB_API_URL", API))
    parser.add_argument("--body", type=Path, required=True, help="the comment; the token is read from GITHUB_TOKEN")
    parser.set_defaults(do=_post)


def _stack_files(parser: argparse.ArgumentParser) -> None:
    wanted = "folder of the stack files, and of policies.<environment>.json for --policy-pack"
    parser.add_argument("--stacks", type=Path, default=Path("stacks"), help=wanted)


def _publication(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run-url", default="", help="where the job summary is")
    parser.add_argument("--kind", choices=KINDS, default=KINDS[0], help="each kind has one comment of its own")
    parser.add_argument("--commit", default="", help="what was previewed")
    parser.add_argument("--note", action="append", default=[], help="one more sentence for the comment's end")


def _run(given: argparse.Namespace) -> int:
    out: Path = given.out
    wanted = Wanted(
        stack=given.stack,
        folder=out,
        arguments=judged_by_own_settings(given.stacks, given.stack, given.arguments),
        origin=given.origin,
        look=given.live,
        not_seen=given.not_seen,
    )
    problem = no_settings(given.stacks, given.stack)
    if problem:
        print(problem, file=sys.stderr)
    record = not_run(wanted, problem) if problem else run(wanted)
    written = _comment_beside(out, given)
    _summarise(written, Path(path) if (path := os.environ.get("GITHUB_STEP_SUMMARY")) else None)
    return record.exit_code if record.exit_code is not None else 1


def _comment_beside(folder: Path, given: argparse.Namespace) -> Written:
    """Write a record's own comment and summary into its folder."""
    written = write([_read(folder)], run_url=given.run_url, commit=given.commit, notes=given.note, kind=given.kind)
    (folder / "comment.md").write_text(written.comment, encoding="utf-8")
    (folder / "summary.md").write_text(written.summary, encoding="utf-8")
    return written


def _every(given: argparse.Namespace) -> int:
    given.out.mkdir(parents=True, exist_ok=True)
    records = preview_every(
        given.stacks, given.out, given.arguments, lambda text: print(text, file=sys.stderr, flush=True)
    )
    if not records:
        print(f"preview every: {given.stacks} has no Pulumi.<environment>.yaml", file=sys.stderr)
        return 1
    for record in records:
        _comment_beside(given.out / record.stack, given)
    read = [_read(given.out / record.stack) for record in records]
    written = write(read, run_url=given.run_url, commit=given.commit, notes=given.note, kind=given.kind)
    _summarise(written, Path(path) if (path := os.environ.get("GITHUB_STEP_SUMMARY")) else None)
    return next((record.exit_code or 1 for record in records if record.failed), 0)


def _render(given: argparse.Namespace) -> int:
    paths: list[Path] = list(given.records)
    if given.all_in is not None:
        paths += sorted(one for one in given.all_in.iterdir() if one.is_dir())
    if len(paths) > _MOST_RECORDS:
        print(f"{len(paths)} records, of which {_MOST_RECORDS} are shown", file=sys.stderr)
    records = [_read(path) for path in paths[:_MOST_RECORDS]]
    written = write(records, run_url=given.run_url, commit=given.commit, notes=given.note, kind=given.kind)
    if given.out is None:
        sys.stdout.write(written.comment)
    else:
        given.out.write_text(written.comment, encoding="utf-8")
    _summarise(written, given.summary)
    return 0


def _post(given: argparse.Namespace) -> int:
    token = os.environ.get("GITHUB_TOKEN", "")
    try:
        if not token:
            raise GitHubError("GITHUB_TOKEN is not set")  # noqa: TRY301
        hub = GitHub(given.repository, token, given.author, given.api)
        number = given.pull_request or hub.pull_request_of(given.head_owner, given.head_branch, given.head_sha)
        if number is None:
            print("no open pull request has this commit as its head: nothing is posted", file=sys.stderr)
            return 0
        posted = hub.post(number, given.body.read_text(encoding="utf-8"))
    except (GitHubError, OSError) as error:
        print(f"preview post: {error}", file=sys.stderr)
        return 1
    print(f"comment {posted.what}: {posted.url}")
    return 0


def _read(path: Path) -> Record:
    """A record; one that cannot be read becomes a failed preview that says why."""
    try:
        return read_record(path)
    except RecordError as error:
        return Record(stack=path.stem, events=Events(), exit_code=1, messages=[str(error)])


def _summarise(written: Written, path: Path | None) -> None:
    if path is not None:
        with path.open("a", encoding="utf-8") as file:
            file.write(written.summary)


if __name__ == "__main__":
    sys.exit(main())
