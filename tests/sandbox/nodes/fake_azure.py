"""An Azure that says what a test wants: machines, tokens, scale sets. The real simulated one has tests of its own."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.sandbox.nodes.builders import cluster_document

Json = dict[str, Any]


class FakeAzure:
    """Serves on loopback until `close`.

    Attributes:
        cluster, machines: what `/sandbox/machines` tells.
        federated: whether a service account's token is exchanged.
        may_read: whether scale sets may be read.
        arm: further answers, `METHOD path` to status and body; asked before all else.
        requests: `METHOD path` of all that was asked of Resource Manager.
    """

    def __init__(self, port: int, certificate: Path, key: Path) -> None:
        self.cluster: Json | None = cluster_document()
        self.machines: list[Json] = []
        self.federated = True
        self.may_read = True
        self.arm: dict[str, tuple[int, Json]] = {}
        self.requests: list[str] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self._answer))
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, Json]:
        if path.startswith("/sandbox/"):
            if path == "/sandbox/machines":
                return 200, {"cluster": self.cluster, "machines": self.machines}
            return 200, {**json.loads(body), "status": {"allowed": False}}  # /sandbox/authorize
        if path.endswith("/oauth2/v2.0/token"):
            if self.federated:
                return 200, {"access_token": "a-token", "expires_in": 3600}
            return 400, {"error": "invalid_client", "error_description": "AADSTS70021: No matching federated identity"}
        return self._resource_manager(method, path)

    def _resource_manager(self, method: str, path: str) -> tuple[int, Json]:
        self.requests.append(f"{method} {path}")
        if f"{method} {path}" in self.arm:
            return self.arm[f"{method} {path}"]
        if path.endswith("/managedClusters/aks"):
            return 200, {"properties": {"networkProfile": {"networkDataplane": "cilium"}}}
        if "/Microsoft.Compute/" in path and self.may_read:
            return 200, {"value": []}
        if "/Microsoft.Compute/" in path:
            return 403, {"error": {"code": "AuthorizationFailed", "message": "The client does not have authorization"}}
        return 404, {"error": {"code": "ResourceNotFound", "message": f"{path} was not found"}}


def _handler(answer: Callable[[str, str, bytes], tuple[int, Json]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, document = answer(self.command, self.path.partition("?")[0], body)
            text = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve  # noqa: N815 - http.server's own names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    return Handler
