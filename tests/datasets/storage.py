"""Azurite as Azure's Blob Storage for tests: with TLS, Entra's token endpoint, and a proxy that leads there.

The receiver asks for `https://<account>.blob.core.windows.net` as on Azure. Azurite's own log of requests says what was
sent, so that a test can see what was sent a second time.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import ipaddress
import json
import os
import re
import select
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from azure.storage.blob import ContainerClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sandbox.azurite import Installer
from sandbox.progress import Progress

ACCOUNTS = ("tyblobtest", "tysourcetest")
KEY = base64.b64encode(b"k" * 64).decode()
_REQUEST = re.compile(r'"(\w+) (\S+) HTTP/1\.1" (\S+)')


@dataclass
class Storage:
    """A running storage service.

    Attributes:
        environment: what a process needs to be a pod with workload identity in its network.
        log: Azurite's log of requests.
        files: what the web server beside it serves: path to content.
        asked: how often each path of the web server was asked for, and with which range.
    """

    environment: dict[str, str]
    certificate: Path
    azurite_port: int
    log: Path
    files: dict[str, bytes]
    asked: list[tuple[str, str]]

    def container(self, name: str, account: str = ACCOUNTS[0]) -> ContainerClient:
        """A container, seen by Azure's own client."""
        return ContainerClient(
            f"https://127.0.0.1:{self.azurite_port}/{account}",
            name,
            credential={"account_name": account, "account_key": KEY},
            connection_verify=str(self.certificate),
        )

    def requests(self) -> Counter[str]:
        """Writes that were carried out so far, by kind: `block`, `blocklist`, `put`."""
        counted = Counter[str]()
        for method, path, status in _REQUEST.findall(self.log.read_text()):
            # A dash: stored, but nobody was left to hear it.
            own = "restype=container" in path or ".trainyard" in path
            if method == "PUT" and status in ("201", "-") and not own:
                kind = re.search(r"comp=(\w+)", path)
                counted[kind[1] if kind else "put"] += 1
        return counted


@contextlib.contextmanager
def running_storage(folder: Path) -> Generator[Storage]:
    """Azurite, a token endpoint, a web server and a proxy to all of them, until the end of the block."""
    certificate, key = _certificate(folder)
    log = folder / "requests.log"
    port = _free_port()
    azurite = Installer(Progress()).ensure()
    main = azurite.folder / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    command = [str(azurite.node), str(main), "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    command += ["--location", str(folder), "--oauth", "basic", "--skipApiVersionCheck"]
    command += ["--cert", str(certificate), "--key", str(key)]
    accounts = ";".join(f"{name}:{KEY}" for name in ACCOUNTS)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, "AZURITE_ACCOUNTS": accounts}, stdout=output, stderr=subprocess.STDOUT
        )
    files, asked = dict[str, bytes](), list[tuple[str, str]]()
    web = _web_server(files, asked, certificate, key)
    proxy = _Proxy(port, web.server_port)
    token = folder / "token"
    token.write_text("a service account's token")
    environment = {
        "HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}",
        "NO_PROXY": "",
        "SSL_CERT_FILE": str(certificate),
        "AZURE_CLIENT_ID": "11111111-2222-3333-4444-555555555555",
        "AZURE_TENANT_ID": "adfs",
        "AZURE_FEDERATED_TOKEN_FILE": str(token),
        "AZURE_AUTHORITY_HOST": "https://login.example",
    }
    try:
        _wait_for(port, process)
        yield Storage(environment, certificate, port, log, files, asked)
    finally:
        proxy.close()
        web.shutdown()
        process.kill()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError("Azurite does not start")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _certificate(folder: Path) -> tuple[Path, Path]:
    """One certificate for every name, its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName(one) for one in ("*.blob.core.windows.net", "login.example", "data.example")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([*names, x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "server.crt", folder / "server.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def _web_server(
    files: dict[str, bytes], asked: list[tuple[str, str]], certificate: Path, key: Path
) -> ThreadingHTTPServer:
    """Entra's token endpoint, and a server of files that knows ranges."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            now = int(time.time())
            claims: dict[str, Any] = {"iss": "https://sts.windows.net/tests/", "aud": "https://storage.azure.com"}
            claims |= {"iat": now, "nbf": now - 5, "exp": now + 3600}
            token = jwt.encode(claims, "k" * 32)
            self._send(200, json.dumps({"access_token": token, "expires_in": 3600}).encode(), {})

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            content = files.get(self.path)
            if content is None:
                self._send(404, b"", {})
                return
            wanted = self.headers.get("Range", "")
            asked.append((f"{self.command} {self.path}", wanted))
            span = re.fullmatch(r"bytes=(\d+)-(\d+)", wanted)
            if span:
                self._send(206, content[int(span[1]) : int(span[2]) + 1], {"ETag": '"1"'})
            else:
                self._send(200, content, {"ETag": '"1"'})

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class _Proxy:
    """An HTTP proxy that knows CONNECT alone: accounts lead to Azurite, all other names to the web server."""

    def __init__(self, azurite: int, web: int) -> None:
        self._azurite, self._web = azurite, web
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=[self._listener.accept()[0]], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096)
            to_azurite = b".blob.core.windows.net:443 " in head
            with socket.create_connection(("127.0.0.1", self._azurite if to_azurite else self._web)) as server:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                while True:
                    for one in select.select([client, server], [], [])[0]:
                        data = one.recv(65536)
                        if not data:
                            return
                        (server if one is client else client).sendall(data)
