"""Servers and clients of a sandbox trust each other by its own authority, and nobody else's."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest

from sandbox import certificates
from sandbox.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    certificates.ensure(home)
    return home


def handshake(server_home: Home, trust: Path, name: str) -> None:
    """One TLS connection on loopback to a server with the `azure` certificate."""
    server = certificates.pair(server_home, "azure")
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(server.cert, server.key)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            serving.wrap_socket(theirs, server_side=True).close()
        except (ssl.SSLError, OSError):
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        ssl.create_default_context(cafile=str(trust)).wrap_socket(ours, server_hostname=name).close()
    finally:
        ours.close()
        thread.join()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_server_is_trusted_on_loopback(home: Home, name: str) -> None:
    handshake(home, home.ca_cert, name)
    handshake(home, home.ca_bundle, name)


def test_a_server_is_not_trusted_under_another_name(home: Home) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(home, home.ca_cert, "management.example")


def test_another_sandbox_is_not_trusted(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    other.create()
    certificates.ensure(other)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(other, home.ca_cert, "127.0.0.1")


def test_what_is_there_is_left_alone(home: Home) -> None:
    before = {file.name: file.read_bytes() for file in home.tls.iterdir() if file.name != "bundle.pem"}
    certificates.ensure(home)
    assert {file.name: file.read_bytes() for file in home.tls.iterdir() if file.name != "bundle.pem"} == before


def test_a_new_authority_signs_everything_anew(home: Home) -> None:
    home.ca_cert.unlink()
    certificates.ensure(home)
    handshake(home, home.ca_cert, "127.0.0.1")


def test_private_keys_are_readable_by_their_owner_alone(home: Home) -> None:
    keys = list(home.tls.glob("*.key"))
    assert len(keys) >= 8
    assert all(key.stat().st_mode & 0o077 == 0 for key in keys)


def test_the_bundle_keeps_what_the_user_trusts_and_does_not_grow(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine.pem"
    mine.write_bytes(b"# what I trust\n")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(mine))
    certificates.ensure(home)
    bundle = home.ca_bundle.read_bytes()
    assert bundle == b"# what I trust\n" + home.ca_cert.read_bytes()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(home.ca_bundle))
    monkeypatch.setenv("SSL_CERT_FILE", str(mine))
    certificates.ensure(home)
    assert home.ca_bundle.read_bytes() == bundle, "a sandbox's own bundle is not what the user trusts"
