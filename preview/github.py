"""The comment on GitHub: found by its marker and its author, edited or made, and nobody else's touched.

Owns the few calls of GitHub's REST API that this takes, over the standard library. Never follows a redirect, as the
token would go along.
"""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any, cast

from preview.comment import MARKER

API = "https://api.github.com"
ACTIONS_BOT = "github-actions[bot]"
"""Who writes with a workflow's own token."""

_PATIENCE = 30
_TRIES = 4
_LONGEST_WAIT = 60
_MOST_PAGES = 50
_REPOSITORY = re.compile(r"^[A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100}$")
_AGAIN = {429, 500, 502, 503, 504}


class GitHubError(Exception):
    """GitHub refused, or did not answer; the message says what was asked and what it said."""


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of the comment: `created`, `edited` or `unchanged`."""

    what: str
    url: str = ""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002  urllib's signature
        return None


class GitHub:
    """One repository, as one token sees it.

    Args:
        repository: `owner/name`.
        token: needs `pull-requests: write` (or `issues: write`).
        author: the login whose comments are ours.
        api: where the API is; plain HTTP only on loopback.

    Raises:
        GitHubError: the repository's name or the address is none.
    """

    def __init__(self, repository: str, token: str, author: str = ACTIONS_BOT, api: str = API) -> None:
        address = urllib.parse.urlsplit(api)
        loopback = address.hostname in ("127.0.0.1", "localhost", "::1")
        if not _REPOSITORY.match(repository):
            raise GitHubError(f"{repository!r} is no owner/name")
        if address.scheme != "https" and not (address.scheme == "http" and loopback):
            raise GitHubError(f"{api!r}: the token goes over https only")
        self._base = f"{api.rstrip('/')}/repos/{repository}"
        self._token = token
        self._author = author
        self._opener = urllib.request.build_opener(_NoRedirect)

    def pull_request_of(self, owner: str, branch: str, sha: str) -> int | None:
        """The open pull request whose head is this commit now; None where there is none or it moved on.

        The number comes from GitHub, never from what a run left behind.
        """
        query = urllib.parse.urlencode({"state": "open", "head": f"{owner}:{branch}", "per_page": "100"})
        found = self._asked("GET", f"/pulls?{query}")
        for pull in cast("list[dict[str, Any]]", found if isinstance(found, list) else []):
            head = cast("dict[str, Any]", pull.get("head") or {})
            if head.get("sha") == sha and isinstance(pull.get("number"), int):
                return cast("int", pull["number"])
        return None

    def post(self, pull_request: int, body: str) -> Posted:
        """Bring our comment on a pull request to `body`; make it where there is none."""
        marker = MARKER.match(body)
        if marker is None:
            raise GitHubError("the comment does not begin with its marker, and would not be found again")
        own = self._own_comment(pull_request, marker[0])
        if own is not None:
            if own.get("body") == body:
                return Posted("unchanged", str(own.get("html_url", "")))
            try:
                done = self._asked("PATCH", f"/issues/comments/{int(own['id'])}", {"body": body})
                return Posted("edited", str(done.get("html_url", "")))
            except _GoneError:
                pass  # deleted since it was listed
        done = self._asked("POST", f"/issues/{pull_request}/comments", {"body": body})
        return Posted("created", str(done.get("html_url", "")))

    def _own_comment(self, pull_request: int, marker: str) -> dict[str, Any] | None:
        """The oldest comment that begins with the marker and that we wrote."""
        for page in range(1, _MOST_PAGES + 1):
            listed = self._asked("GET", f"/issues/{pull_request}/comments?per_page=100&page={page}")
            comments = cast("list[dict[str, Any]]", listed if isinstance(listed, list) else [])
            for comment in comments:
                user = cast("dict[str, Any]", comment.get("user") or {})
                if user.get("login") == self._author and str(comment.get("body") or "").startswith(marker):
                    return comment
            if len(comments) < 100:
                break
        return None

    def _asked(self, method: str, path: str, body: dict[str, str] | None = None) -> Any:
        request = urllib.request.Request(
            self._base + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._token}",
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28",
                "User-Agent": "trainyard-preview",
            },
        )
        for tries in range(1, _TRIES + 1):
            try:
                with self._opener.open(request, timeout=_PATIENCE) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                again = error.code in _AGAIN or (error.code == 403 and error.headers.get("Retry-After"))
                # A POST that a gateway gave up on may have been done: a second comment is worse than none.
                if not again or tries == _TRIES or (method == "POST" and error.code in (500, 502, 504)):
                    raise _refused(method, path, error) from None
                _wait(error.headers.get("Retry-After"), tries)
            except (OSError, ValueError) as error:
                if tries == _TRIES or method == "POST":
                    raise GitHubError(f"{method} {path}: no answer from GitHub ({error})") from None
                _wait(None, tries)
        raise GitHubError(f"{method} {path}: no answer from GitHub")


class _GoneError(GitHubError):
    """What was asked for is not there any more."""


def _refused(method: str, path: str, error: urllib.error.HTTPError) -> GitHubError:
    try:
        said = str(json.load(error).get("message", ""))
    except (ValueError, AttributeError, OSError):
        said = ""
    remedy = {
        401: " Give the step a token: GITHUB_TOKEN.",
        403: " The token needs pull-requests: write.",
        404: " Is the repository's name right, and does the token see it?",
    }.get(error.code, "")
    kind = _GoneError if error.code in (404, 410) and method == "PATCH" else GitHubError
    return kind(f"{method} {path}: GitHub answers {error.code} {said}.{remedy}")


def _wait(asked: str | None, tries: int) -> None:
    time.sleep(min(int(asked) if asked and asked.isdigit() else 2**tries, _LONGEST_WAIT))
