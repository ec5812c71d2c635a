"""The comment on a pull request, against a server with the shapes of GitHub's REST API."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest

from preview import github
from preview.__main__ import main
from preview.github import ACTIONS_BOT, GitHub, GitHubError

TOKEN = "ghs_secret"
REPOSITORY = "team/platform"
OURS = "<!-- trainyard-preview:sandbox -->\n\n### Preview in the sandbox\n\n✅ first\n"


class Hub(ThreadingHTTPServer):
    """Comments and pull requests of one repository."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.comments: list[dict[str, Any]] = []
        self.pulls: list[dict[str, Any]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.asked: list[str] = []
        self.tokens: set[str] = set()

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, login: str, body: str) -> int:
        number = len(self.comments) + 1
        url = f"https://github.com/{REPOSITORY}/pull/7#issuecomment-{number}"
        self.comments.append({"id": number, "user": {"login": login, "type": "Bot"}, "body": body, "html_url": url})
        return number


class _Handler(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        hub = cast(Hub, self.server)
        hub.asked.append(f"{self.command} {urlsplit(self.path).path}")
        hub.tokens.add(self.headers.get("Authorization", ""))
        body: Any = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
        if hub.answers:
            status, headers = hub.answers.pop(0)
            self._send(status, {"message": "as told"}, headers)
            return
        path, query = urlsplit(self.path).path.removeprefix(f"/repos/{REPOSITORY}"), parse_qs(urlsplit(self.path).query)
        if self.command == "GET" and path == "/issues/7/comments":
            size, page = int(query["per_page"][0]), int(query["page"][0])
            self._send(200, hub.comments[size * (page - 1) : size * page])
        elif self.command == "GET" and path == "/pulls":
            self._send(200, [one for one in hub.pulls if one["head"]["label"] == query["head"][0]])
        elif self.command == "POST" and path == "/issues/7/comments":
            number = hub.add(ACTIONS_BOT, body["body"])
            self._send(201, hub.comments[number - 1])
        elif self.command == "PATCH" and path.startswith("/issues/comments/"):
            found = next((one for one in hub.comments if one["id"] == int(path.rpartition("/")[2])), None)
            if found is None:
                self._send(404, {"message": "Not Found"})
            else:
                found["body"] = body["body"]
                self._send(200, found)
        else:
            self._send(404, {"message": "Not Found"})

    do_GET = do_POST = do_PATCH = _answer  # noqa: N815  the names that http.server looks for

    def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(text)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def _at_once(*_: object) -> None:
    """No test waits as long as GitHub asks."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Generator[Hub]:
    monkeypatch.setattr(github, "_wait", _at_once)
    server = Hub()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def client(hub: Hub) -> GitHub:
    return GitHub(REPOSITORY, TOKEN, api=hub.api)


def test_the_first_comment_is_made_and_the_second_takes_its_place(hub: Hub) -> None:
    assert client(hub).post(7, OURS).what == "created"
    assert client(hub).post(7, OURS.replace("✅ first", "❌ second")).what == "edited"
    assert [one["body"] for one in hub.comments] == [OURS.replace("✅ first", "❌ second")]
    assert hub.tokens == {f"Bearer {TOKEN}"}


def test_the_same_again_touches_nothing(hub: Hub) -> None:
    client(hub).post(7, OURS)
    hub.asked.clear()
    assert client(hub).post(7, OURS).what == "unchanged"
    assert {one.split()[0] for one in hub.asked} == {"GET"}


@pytest.mark.parametrize(
    ("login", "body"),
    [
        ("mallory", OURS),
        (ACTIONS_BOT, "somebody quotes it:\n" + OURS),
        (ACTIONS_BOT, OURS.replace("sandbox -->", "deployed -->")),
        (ACTIONS_BOT, "<!-- another tool -->"),
    ],
    ids=["another author", "the marker in the middle", "the other kind", "another tool of the same author"],
)
def test_a_comment_that_is_not_ours_is_never_edited(hub: Hub, login: str, body: str) -> None:
    hub.add(login, body)
    assert client(hub).post(7, OURS).what == "created"
    assert hub.comments[0]["body"] == body


def test_our_comment_is_found_behind_hundreds_of_others(hub: Hub) -> None:
    for index in range(250):
        hub.add("somebody", f"comment {index}")
    own = hub.add(ACTIONS_BOT, OURS)
    client(hub).post(7, OURS.replace("first", "second"))
    assert "second" in hub.comments[own - 1]["body"]
    assert len(hub.comments) == 251


def test_a_comment_deleted_meanwhile_is_made_anew(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(ACTIONS_BOT, OURS)
    hub.comments[0]["id"] = 99
    listed = list(hub.comments)

    def deleted(*_: Any) -> dict[str, Any]:
        hub.comments.clear()
        return listed[0]

    monkeypatch.setattr(GitHub, "_own_comment", deleted)
    assert client(hub).post(7, OURS + "more").what == "created"


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_github_is_asked_again(hub: Hub, status: int) -> None:
    hub.answers = [(status, {"Retry-After": "1"}), (status, {})]
    assert client(hub).post(7, OURS).what == "created"


def test_a_gateway_that_gives_up_on_a_new_comment_does_not_get_a_second_one(hub: Hub) -> None:
    hub.answers = [(200, {}), (502, {})]
    with pytest.raises(GitHubError, match="502"):
        client(hub).post(7, OURS)
    assert [one.split()[0] for one in hub.asked].count("POST") == 1


def test_a_refusal_says_which_right_is_missing(hub: Hub) -> None:
    hub.answers = [(403, {})]
    with pytest.raises(GitHubError, match=r"403 as told.*pull-requests: write"):
        client(hub).post(7, OURS)


def test_the_token_goes_nowhere_else(hub: Hub) -> None:
    hub.answers = [(302, {"Location": f"{hub.api}/elsewhere"})]
    with pytest.raises(GitHubError, match="302"):
        client(hub).post(7, OURS)
    assert not any("elsewhere" in one for one in hub.asked)
    with pytest.raises(GitHubError, match="https only"):
        GitHub(REPOSITORY, TOKEN, api="http://api.example.org")


@pytest.mark.parametrize("repository", ["", "team", "team/../other", "team/a b", "a/b/c"])
def test_a_repository_that_is_none_is_refused(repository: str) -> None:
    with pytest.raises(GitHubError, match="no owner/name"):
        GitHub(repository, TOKEN)


def test_text_without_a_marker_is_not_posted(hub: Hub) -> None:
    with pytest.raises(GitHubError, match="marker"):
        client(hub).post(7, "hello")
    assert hub.asked == []


def test_the_pull_request_is_the_one_whose_head_is_the_commit(hub: Hub) -> None:
    head = {"label": "fork:topic", "sha": "abc"}
    hub.pulls = [{"number": 7, "head": head}, {"number": 8, "head": {**head, "sha": "def"}}]
    assert client(hub).pull_request_of("fork", "topic", "def") == 8
    assert client(hub).pull_request_of("fork", "topic", "older") is None
    assert client(hub).pull_request_of("other", "topic", "abc") is None


def test_the_command_posts_for_a_fork_and_is_quiet_where_the_branch_moved_on(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    hub.pulls = [{"number": 7, "head": {"label": "fork:topic", "sha": "abc"}}]
    body = tmp_path / "comment.md"
    body.write_text(OURS)
    common = ["post", "--repository", REPOSITORY, "--api", hub.api, "--body", str(body)]
    fork = [*common, "--head-owner", "fork", "--head-branch", "topic", "--head-sha"]
    assert main([*fork, "older"]) == 0
    assert hub.comments == []
    assert main([*fork, "abc"]) == 0
    assert hub.comments[0]["body"] == OURS
    monkeypatch.delenv("GITHUB_TOKEN")
    assert main([*fork, "abc"]) == 1
    assert "GITHUB_TOKEN is not set" in capsys.readouterr().err
