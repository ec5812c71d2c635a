"""The way to the receiver: a port-forward that is made anew whenever it breaks, and requests over it.

Owns reconnecting and patience. A request is repeated until it is answered; the receiver knows repeats for what they
are.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import select
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any, cast

from datasets.cluster import Cluster
from datasets.job import PORT
from datasets.problems import FAILED, UNREACHABLE, CommandError

Json = dict[str, Any]
_START_SECONDS = 30
_REQUEST_SECONDS = 180
_PAUSES = (0.2, 0.5, 1, 2, 5)
_ENDS_WITH_US = '"$@" & child=$!; exec >/dev/null 2>&1; read -r _; kill "$child"; wait "$child"'
_LISTENING = re.compile(rb"Forwarding from 127\.0\.0\.1:(\d+) ->")


class PodGoneError(Exception):
    """The pod cannot be reached (any more): ask which one runs now."""


class ReceiverError(Exception):
    """The receiver answered with an error.

    Attributes:
        kind: as in `datasets.receiver.places.PlaceError`.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class PortForward:
    """One `kubectl port-forward` to a pod.

    Raises:
        PodGoneError: it does not come up; with kubectl's reason.
    """

    def __init__(self, cluster: Cluster, namespace: str, pod: str) -> None:
        command = cluster.command("port-forward", f"--namespace={namespace}", f"pod/{pod}", f":{PORT}")
        # In a session of its own: Ctrl-C is ours to handle, and the connection is needed to say good-bye. The shell
        # waits for our end of its input to close, so that a killed command leaves no port-forward behind.
        self._process = subprocess.Popen(
            ["sh", "-c", _ENDS_WITH_US, "sh", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._ended = threading.Event()
        self._said = b""
        try:
            self.port = self._listening()
        except BaseException:
            self.close()
            raise
        threading.Thread(target=self._drain, daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return not self._ended.is_set()

    def close(self) -> None:
        """End it."""
        self._ended.set()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def _listening(self) -> int:
        output = self._process.stdout
        if output is None:
            raise PodGoneError("kubectl port-forward has no output")
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            if not select.select([output], [], [], 0.5)[0]:
                continue
            piece = os.read(output.fileno(), 4096)
            self._said += piece
            match = _LISTENING.search(self._said)
            if match:
                return int(match[1])
            if not piece:
                break
        raise PodGoneError(self._said.decode(errors="replace").strip() or "kubectl port-forward does not begin")

    def _drain(self) -> None:
        """Read on, so that it never waits for a reader, until it ends."""
        output = self._process.stdout
        while output is not None and os.read(output.fileno(), 4096):
            pass
        self._ended.set()


class Link:
    """Requests to the receiver of one Job, from any thread.

    Args:
        cluster, namespace: where the pod is.
        find_pod: waits for the Job's pod and gives its name.
        patience: seconds without any answer after which it is given up.
        say: shows a line to the user.
    """

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        find_pod: Callable[[], str],
        patience: float,
        say: Callable[[str], None],
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._find_pod = find_pod
        self._patience = patience
        self._say = say
        self._lock = threading.Lock()
        self._forward: PortForward | None = None
        self._broken = 0
        self._kept = threading.local()
        self._heard = time.monotonic()
        self._closed = False
        self._told = ""
        self.token = ""

    def ask(
        self, method: str, where: str, body: Json | bytes | None = None, *, patient: bool = True
    ) -> tuple[int, Json]:
        """One request, repeated over new connections until it is answered.

        Args:
            patient: False: once only.

        Raises:
            ReceiverError: the answer is an error.
            CommandError: nothing was heard for as long as `patience`.
            PodGoneError: not patient, and it did not work.
        """
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        tries = 0
        while True:
            seen = self._broken
            try:
                return self._once(method, where, data)
            except (OSError, http.client.HTTPException, PodGoneError) as error:
                self._drop_connection()
                if not patient or self._closed:
                    raise PodGoneError(str(error)) from error
                self._mend(seen, error)
                time.sleep(_PAUSES[min(tries, len(_PAUSES) - 1)])
                tries += 1

    def post(self, where: str, body: Json | None = None) -> Json:
        """A POST's answer."""
        return self.ask("POST", where, body or {})[1]

    def close(self) -> None:
        """End the port-forward."""
        self._closed = True
        with self._lock:
            if self._forward is not None:
                self._forward.close()
                self._forward = None

    def _once(self, method: str, where: str, data: bytes) -> tuple[int, Json]:
        connection = self._connection()
        headers = {"Content-Length": str(len(data)), "X-Session": self.token}
        connection.request(method, where, data or None, headers)
        with connection.getresponse() as reply:
            answer = cast(Json, json.loads(reply.read() or b"{}"))
            status = reply.status
        self._heard, self._told = time.monotonic(), ""
        if status >= 400:
            if answer.get("kind") == "unreachable":
                raise PodGoneError(str(answer["error"]))  # the storage, for the moment: the same remedy
            raise ReceiverError(str(answer.get("kind", "refused")), str(answer.get("error", status)))
        return status, answer

    def _connection(self) -> http.client.HTTPConnection:
        port = self._port()
        kept: tuple[int, http.client.HTTPConnection] | None = getattr(self._kept, "connection", None)
        if kept is None or kept[0] != port:
            kept = (port, http.client.HTTPConnection("127.0.0.1", port, timeout=_REQUEST_SECONDS))
            self._kept.connection = kept
        return kept[1]

    def _drop_connection(self) -> None:
        kept: tuple[int, http.client.HTTPConnection] | None = getattr(self._kept, "connection", None)
        if kept is not None:
            kept[1].close()
            self._kept.connection = None

    def _port(self) -> int:
        with self._lock:
            if self._closed:
                raise PodGoneError("the command ends")
            if self._forward is None or not self._forward.alive:
                if self._forward is not None:
                    self._forward.close()
                self._forward = None
                self._forward = PortForward(self._cluster, self._namespace, self._find_pod())
                self._broken += 1
            return self._forward.port

    def _mend(self, seen: int, error: Exception) -> None:
        """After a failure: once for all threads that met it, begin a new port-forward."""
        with self._lock:
            silent = time.monotonic() - self._heard
            if silent > self._patience:
                raise CommandError(
                    UNREACHABLE,
                    f"the receiver in the cluster was not heard of for {silent:.0f} s: {error}\nWhat is complete "
                    f"stays. Repeat the command to go on",
                )
            told = str(error) or type(error).__name__
            if "forbidden" in told.lower():
                raise CommandError(
                    FAILED,
                    f"the upload's pod may not be reached: {told}\nYou need the right to create pods/portforward",
                )
            if told != self._told:
                self._say(f"no connection ({told}); connecting again")
                self._told = told
            if self._forward is not None and self._broken == seen:
                self._forward.close()
                self._forward = None
