"""An Azure that refuses, stalls or says nothing, in front of the sandbox's: what a policy pack must bear."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

import requests

from tests.conftest import RunningSandbox

Fault = Literal["forbidden", "empty", "stalls", "none"]
STALL_SECONDS = 30.0


@contextmanager
def faulty_azure(sandbox: RunningSandbox, fault: Fault, part: str) -> Generator[str]:
    """The address of a Resource Manager that has a fault wherever a path contains `part`, and is the sandbox's else."""
    home = sandbox.home
    token = home.config.internal_token
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if part.lower() not in self.path.lower() or fault == "none":
                real = requests.get(
                    home.azure_url + self.path,
                    headers={"Authorization": f"Bearer {token}"},
                    verify=str(home.ca_bundle),
                    timeout=30,
                )
                self._answer(real.status_code, real.content)
            elif fault == "forbidden":
                self._answer(403, b'{"error": {"code": "AuthorizationFailed", "message": "no"}}')
            elif fault == "empty":
                self._answer(200, b'{"value": []}')
            else:
                ended.wait(STALL_SECONDS)

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
            """Nothing: a test's output is its own."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(home.azure_cert, home.azure_key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
