"""The receiver's HTTP interface, on the pod's own loopback: only a port-forward gets there.

Owns requests and answers, and work that outlasts one request: comparing, committing, pulling, verifying. Every request
may be repeated, since the user's connection may break before the answer arrives.

    GET  /hello                      who is here, and whose session lives
    POST /session                    begin or go on: token, owner, source, overwrite
    POST /plan                       files → what is to be done about each
    POST /compare, /commit  path     202 while it works
    PUT  /block?path=&index=         one block's bytes
    POST /pull                       copy from a container or an address
    POST /verify                     read everything back
    GET  /status                     how far pull or verify are
    POST /heard                      the user is still there
    POST /finish, /leave             the end of a session
"""

from __future__ import annotations

import json
import logging
import threading
import urllib.parse
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, cast

from datasets.receiver.blob_client import Container
from datasets.receiver.blocks import PROTOCOL, FilePlan
from datasets.receiver.places import PlaceError
from datasets.receiver.pulling import AddressPull, Conflicts, ContainerPull, Progress
from datasets.receiver.receiving import Receiving
from datasets.receiver.sign_in import Tokens
from datasets.receiver.web import Web

log = logging.getLogger(__name__)

Json = dict[str, Any]
_ANSWER_WITHIN = 2.0
_AT_ONCE = 4
_MOST_FAULTS = 1000
_STATUS = {"lost": 410, "locked": 423, "changed": 409, "corrupt": 409, "full": 507, "denied": 403, "unreachable": 503}


class Receiver:
    """What the requests act on.

    Args:
        receiving: the dataset's uploads.
        web: how sources are read.
    """

    def __init__(self, receiving: Receiving, web: Web, tokens: Tokens) -> None:
        self.receiving = receiving
        self._web = web
        self._tokens = tokens
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="work")
        self._tasks: dict[tuple[str, str], Future[Json]] = {}
        self._lock = threading.Lock()
        self._work: Json = {"state": "none"}
        self._progress = Progress()
        self._stopped = threading.Event()
        self.over = threading.Event()

    def hello(self) -> Json:
        """Who is here."""
        session = self.receiving.session
        return {
            "protocol": PROTOCOL,
            "dataset": self.receiving.manifest.dataset,
            "session": None if session is None else {"owner": session.owner},
        }

    def open(self, body: Json) -> Json:
        """Begin a session; work of a former one stops, unless it is the same user's."""
        session = self.receiving.session
        if session is not None and session.token == body["token"] and self._work["state"] == "working":
            return {"target": self.receiving.place.describe(), "working": True}
        self.receiving.open(
            str(body["token"]), str(body["owner"]), str(body["source"]), overwrite=bool(body["overwrite"])
        )
        with self._lock:
            self._tasks.clear()
            self._work = {"state": "none"}
        return {"target": self.receiving.place.describe(), "working": False}

    def plan(self, body: Json) -> Json:
        """Decide on files."""
        plans = [FilePlan.from_json(one) for one in body["files"]]
        return {"files": [self.receiving.plan(plan).as_json() for plan in plans]}

    def lasting(self, kind: str, path: str) -> tuple[int, Json]:
        """Compare or commit a file; 202 where it takes longer than a request should."""
        act = {"compare": self.receiving.compare, "commit": self.receiving.commit}[kind]
        with self._lock:
            task = self._tasks.get((kind, path))
            if task is None:
                task = self._tasks[kind, path] = self._pool.submit(lambda: act(path).as_json())
        try:
            answer = task.result(_ANSWER_WITHIN)
        except NotYet:
            if not task.done():
                return 202, {"path": path, "state": "working"}
            answer = task.result()
        finally:
            if task.done():
                with self._lock:
                    self._tasks.pop((kind, path), None)
        return 200, answer

    def pull(self, body: Json) -> Json:
        """Begin to copy from where the cluster can read."""
        self._progress = progress = Progress()
        self._stopped = stopped = threading.Event()
        if body.get("container"):
            source = Container(str(body["container"]), self._tokens, self._web)
            pull = ContainerPull(self.receiving, source, str(body.get("path", "")), progress, stopped)
        else:
            url, digest = str(body["url"]), str(body["sha256"])
            pull = AddressPull(self.receiving, self._web, progress, stopped, url=url, sha256=digest)

        def work() -> Json:
            pull.run()
            return self.receiving.finish()

        return self._begin("pull", work)

    def verify(self) -> Json:
        """Begin to read everything back."""
        self._progress = progress = Progress(phase="reading back")

        def done(_path: str, size: int) -> None:
            progress.files_done += 1
            progress.bytes_done += size

        def work() -> Json:
            manifest = self.receiving.read_manifest()
            if manifest is not None:
                progress.files = len(manifest.files)
                progress.bytes = sum(one.size for one in manifest.files.values())
            faults = list(self.receiving.verify(done))
            others = 0
            if manifest is not None:
                scan = self.receiving.place.scan()
                others = sum(1 for path, one in scan.items() if path not in manifest.files and one.size >= 0)
            return {
                "files": progress.files,
                "bytes": progress.bytes,
                "others": others,
                "faults": faults[:_MOST_FAULTS],
                "faulty": len(faults),
            }

        return self._begin("verify", work)

    def status(self) -> Json:
        """How far the work is."""
        return {**self._work, "progress": asdict(self._progress)}

    def finish(self) -> Json:
        """The end of an upload."""
        return self.receiving.finish()

    def leave(self) -> Json:
        """The end of a session before its time; the pod may go."""
        self._stopped.set()
        self.receiving.leave()
        self.over.set()
        return {}

    def stop(self) -> None:
        """The pod is to end: keep what was reached."""
        self._stopped.set()
        if self.receiving.session is not None:
            self.receiving.leave()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin(self, kind: str, work: Callable[[], Json]) -> Json:
        with self._lock:
            if self._work["state"] == "working":
                return {"state": "working"}
            self._work = {"state": "working", "kind": kind}
        session = self.receiving.session
        if session is not None:
            session.working = True

        def run() -> None:
            try:
                result: Json = {"state": "done", "result": work()}
            except Conflicts as conflicts:
                shown = [{"path": path, "there": there} for path, there in conflicts.files[:_MOST_FAULTS]]
                result = {"state": "conflict", "files": shown, "count": len(conflicts.files)}
            except PlaceError as error:
                result = {"state": "failed", "kind": error.kind, "error": str(error)}
            except Exception as error:
                log.exception("%s failed", kind)
                result = {"state": "failed", "kind": "refused", "error": f"the receiver failed: {error!r}"}
            if session is not None:
                session.working = False
            log.info("%s: %s", kind, {key: value for key, value in result.items() if key != "files"})
            self._work = result

        threading.Thread(target=run, name=kind, daemon=True).start()
        return {"state": "working"}


def serve(receiver: Receiver, port: int) -> ThreadingHTTPServer:
    """A server on the loopback's `port`, 0 for any; its `serve_forever` is to be called."""

    class Handler(_Handler):
        subject = receiver

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    return server


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    subject: ClassVar[Receiver]
    protocol_version = "HTTP/1.1"
    timeout = 300

    def do_GET(self) -> None:
        """`hello` and `status`."""
        self._answer()

    def do_POST(self) -> None:
        """Everything that acts."""
        self._answer()

    def do_PUT(self) -> None:
        """Blocks."""
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base's name)
        """Requests are many and say little; what happens is logged where it happens."""

    def _answer(self) -> None:
        body = b""
        try:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            if len(body) < length:
                self.close_connection = True  # the other side has gone; nothing half is acted on
                return
            status, answer = self._routed(body)
        except PlaceError as error:
            status, answer = _STATUS.get(error.kind, 400), {"kind": error.kind, "error": str(error)}
        except (KeyError, ValueError, TypeError) as error:
            status, answer = 400, {"kind": "refused", "error": f"not understood: {error!r}"}
        except ConnectionError:
            self.close_connection = True
            return
        except Exception as error:
            log.exception("%s %s", self.command, self.path)
            status, answer = 500, {"kind": "refused", "error": f"the receiver failed: {error!r}"}
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _routed(self, body: bytes) -> tuple[int, Json]:
        receiver = self.subject
        address = urllib.parse.urlsplit(self.path)
        route = f"{self.command} {address.path}"
        query = dict(urllib.parse.parse_qsl(address.query, keep_blank_values=True))
        free: dict[str, Callable[[], Json]] = {
            "GET /hello": receiver.hello,
            "POST /session": lambda: receiver.open(_json(body)),
            "POST /verify": receiver.verify,
            "GET /status": receiver.status,
        }
        if route in free:
            return 200, free[route]()
        receiver.receiving.heard(self.headers.get("X-Session", ""))
        acts: dict[str, Callable[[], tuple[int, Json]]] = {
            "POST /heard": lambda: (200, {}),
            "PUT /block": lambda: (200, receiver.receiving.block(query["path"], int(query["index"]), body).as_json()),
            "POST /plan": lambda: (200, receiver.plan(_json(body))),
            "POST /compare": lambda: receiver.lasting("compare", str(_json(body)["path"])),
            "POST /commit": lambda: receiver.lasting("commit", str(_json(body)["path"])),
            "POST /pull": lambda: (200, receiver.pull(_json(body))),
            "POST /finish": lambda: (200, receiver.finish()),
            "POST /leave": lambda: (200, receiver.leave()),
        }
        if route not in acts:
            return 404, {"kind": "refused", "error": f"no such request: {route}"}
        return acts[route]()


def _json(body: bytes) -> Json:
    return cast(Json, json.loads(body))
