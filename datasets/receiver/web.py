"""Plain HTTP(S) with what the standard library's connections lack: proxies, retries, one connection a thread.

Owns connections and patience. Knows nothing of storage.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import socket
import ssl
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass

from datasets.receiver.places import PlaceError

TRIES = 6
_TIMEOUT = 120
_CHUNK = 1 << 20
_AGAIN = (408, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Answer:
    """A whole answer.

    Attributes:
        headers: names in lower case.
        tries: how often it was asked; above 1 an earlier request may have been carried out unheard.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    tries: int = 1


class _Kept(threading.local):
    """Each thread's open connections, by scheme and host."""

    def __init__(self) -> None:
        self.connections: dict[tuple[str, str], http.client.HTTPConnection] = {}


class Web:
    """Requests to any host, through the proxy that the environment names.

    Args:
        pause: seconds before the second try; each later one waits twice as long.
    """

    def __init__(self, pause: float = 0.5) -> None:
        self._pause = pause
        self._context = ssl.create_default_context()
        self._kept = _Kept()

    def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """One request, tried again where the server is busy or the connection breaks.

        Raises:
            PlaceError: `unreachable`, after `TRIES`.
        """
        for number in range(1, TRIES + 1):
            try:
                with self._opened(method, url, headers, body) as reply:
                    answer = Answer(reply.status, _lower(reply), reply.read(), number)
            except (OSError, http.client.HTTPException) as error:
                if number == TRIES:
                    raise _unreachable(url, error) from error
                self._wait(number, None)
                continue
            if answer.status not in _AGAIN or number == TRIES:
                return answer
            self._wait(number, answer.headers.get("retry-after"))
        raise AssertionError("a last try always ends")

    @contextlib.contextmanager
    def stream(self, url: str, headers: Mapping[str, str]) -> Generator[tuple[Answer, Iterator[bytes]]]:
        """A GET whose body comes in pieces; `Answer.body` is filled only where the status is an error.

        Raises:
            PlaceError: `unreachable`; a body that ends early is one, too.
        """
        try:
            with self._opened("GET", url, headers, b"") as reply:
                failed = reply.status >= 300
                answer = Answer(reply.status, _lower(reply), reply.read() if failed else b"")
                yield answer, _pieces(reply, url)
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(url, error) from error

    @contextlib.contextmanager
    def _opened(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Generator[http.client.HTTPResponse]:
        parts = urllib.parse.urlsplit(url)
        connection = self._connection(parts.scheme, parts.netloc)
        whole = False
        try:
            target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
            connection.request(method, target, body or None, {"Content-Length": str(len(body)), **headers})
            with connection.getresponse() as reply:
                yield reply
                # What is left unread would be taken for the next answer.
                whole = reply.isclosed() and not reply.will_close
        finally:
            if not whole:
                connection.close()
                self._connections().pop((parts.scheme, parts.netloc), None)

    def _connections(self) -> dict[tuple[str, str], http.client.HTTPConnection]:
        return self._kept.connections

    def _connection(self, scheme: str, netloc: str) -> http.client.HTTPConnection:
        kept = self._connections().get((scheme, netloc))
        if kept is None:
            kept = self._connections()[(scheme, netloc)] = self._new(scheme, netloc)
        return kept

    def _new(self, scheme: str, netloc: str) -> http.client.HTTPConnection:
        host = urllib.parse.urlsplit(f"//{netloc}").hostname or netloc
        proxy = urllib.request.getproxies().get(scheme)
        if not proxy or urllib.request.proxy_bypass(host):
            if scheme == "https":
                return http.client.HTTPSConnection(netloc, timeout=_TIMEOUT, context=self._context)
            return http.client.HTTPConnection(netloc, timeout=_TIMEOUT)
        via = urllib.parse.urlsplit(proxy if "//" in proxy else f"//{proxy}")
        through = (via.hostname or "", via.port or 80)
        if scheme == "https":
            secure = http.client.HTTPSConnection(*through, timeout=_TIMEOUT, context=self._context)
            secure.set_tunnel(netloc if ":" in netloc else f"{netloc}:443")
            return secure
        raise PlaceError("refused", f"http://{netloc} lies behind the proxy {proxy}: only https is asked through one")

    def _wait(self, number: int, asked: str | None) -> None:
        seconds = float(asked) if asked and asked.isdigit() else self._pause * 2 ** (number - 1)
        time.sleep(min(seconds, 60) * random.uniform(0.8, 1.2))


def _pieces(reply: http.client.HTTPResponse, url: str) -> Iterator[bytes]:
    while piece := reply.read(_CHUNK):
        yield piece
    # http.client takes a connection that ends early for the end of the body where it is read in pieces.
    if reply.length:
        raise PlaceError("unreachable", f"{_plain(url)} ended {reply.length} bytes early")


def _lower(reply: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in reply.getheaders()}


def _plain(url: str) -> str:
    """An address without its query, which may hold a signature."""
    return url.split("?", maxsplit=1)[0]


def _unreachable(url: str, error: Exception) -> PlaceError:
    name = urllib.parse.urlsplit(url).hostname or url
    told = "its name is not known in the cluster's network" if isinstance(error, socket.gaierror) else repr(error)
    return PlaceError("unreachable", f"{name} does not answer: {told}")
