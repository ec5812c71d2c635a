"""The stand-in for kubelogin signs in as the real one does, and refuses what it cannot do."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sandbox import kubelogin

SERVER = "6dae42f8-4368-4678-94ff-e28e3e6ce2f6"
AKS = [
    *("get-token", "--environment", "AzurePublicCloud", "--server-id", SERVER, "--client-id", "aks-cli"),
    *("--tenant-id", "adfs", "--login", "devicecode"),
]


@dataclass
class Authority:
    """A token endpoint that remembers what it was asked and answers as told."""

    url: str = ""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list[tuple[str, dict[str, str]]])
    status: int = 200


@pytest.fixture
def authority() -> Generator[Authority]:
    state = Authority()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            state.asked.append((self.path, dict(urllib.parse.parse_qsl(body))))
            answer = {"access_token": "the-token", "expires_in": 3600} if state.status == 200 else {"error": "invalid"}
            self.send_response(state.status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield state
    server.shutdown()
    server.server_close()


def run(arguments: list[str], variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    script = Path(kubelogin.__file__)
    return subprocess.run(
        [sys.executable, "-IS", str(script), *arguments], env=variables, capture_output=True, text=True, check=False
    )


def test_akss_own_arguments_and_make_envs_variables_give_a_token(authority: Authority) -> None:
    variables = {"AAD_LOGIN_METHOD": "spn", "AZURE_AUTHORITY_HOST": authority.url, "AZURE_CLIENT_ID": "me"}
    done = run(AKS, {**variables, "AZURE_CLIENT_SECRET": "s3cret"})
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["apiVersion"] == "client.authentication.k8s.io/v1beta1"
    assert shown["status"]["token"] == "the-token"
    expires = datetime.datetime.fromisoformat(shown["status"]["expirationTimestamp"])
    left = expires - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(minutes=58) < left < datetime.timedelta(minutes=61)
    [(path, form)] = authority.asked
    assert path == "/adfs/oauth2/v2.0/token"
    assert form == {
        "grant_type": "client_credentials",
        "client_id": "me",
        "client_secret": "s3cret",
        "scope": f"{SERVER}/.default",
    }


def test_a_federated_identity_signs_in_with_its_token(authority: Authority, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("jwt\n")
    variables = {"AAD_LOGIN_METHOD": "workloadidentity", "AZURE_AUTHORITY_HOST": authority.url}
    done = run(AKS, {**variables, "AZURE_FEDERATED_TOKEN_FILE": str(token), "AZURE_CLIENT_ID": "workload"})
    assert done.returncode == 0, done.stderr
    assert authority.asked[0][1]["client_assertion"] == "jwt"
    assert authority.asked[0][1]["client_id"] == "workload"


def test_the_version_that_kubectl_asks_for_is_given(authority: Authority) -> None:
    wanted = json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "spec": {}})
    variables = {"AAD_LOGIN_METHOD": "spn", "AZURE_AUTHORITY_HOST": authority.url, "AZURE_CLIENT_SECRET": "x"}
    done = run(AKS, {**variables, "KUBERNETES_EXEC_INFO": wanted})
    assert json.loads(done.stdout)["apiVersion"] == "client.authentication.k8s.io/v1"
    other = json.dumps({"apiVersion": "client.authentication.k8s.io/v2"})
    done = run(AKS, {**variables, "KUBERNETES_EXEC_INFO": other})
    assert done.returncode == 1
    assert "v2' is not known" in done.stderr


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({}, "cannot sign in by 'devicecode'"),
        ({"AAD_LOGIN_METHOD": "msi"}, "cannot sign in by 'msi'"),
        ({"AAD_LOGIN_METHOD": "spn"}, "AZURE_CLIENT_SECRET"),
        ({"AAD_LOGIN_METHOD": "spn", "AZURE_CLIENT_SECRET": "x"}, "AZURE_AUTHORITY_HOST"),
        ({"AAD_LOGIN_METHOD": "workloadidentity"}, "AZURE_FEDERATED_TOKEN_FILE"),
        (
            {"AAD_LOGIN_METHOD": "spn", "AZURE_CLIENT_SECRET": "x", "AZURE_AUTHORITY_HOST": "http://127.0.0.1:1"},
            "is the sandbox up?",
        ),
    ],
)
def test_what_is_missing_is_said(variables: dict[str, str], says: str) -> None:
    done = run(AKS, variables)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_refusal_is_shown(authority: Authority) -> None:
    authority.status = 401
    variables = {"AAD_LOGIN_METHOD": "spn", "AZURE_AUTHORITY_HOST": authority.url, "AZURE_CLIENT_SECRET": "wrong"}
    done = run(AKS, variables)
    assert done.returncode == 1
    assert "refused: 401" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["get-token"], [*AKS, "--no-such-flag"], ["convert-kubeconfig"], [*AKS[:-1], "carrierpigeon"], []],
)
def test_an_unknown_flag_or_command_is_an_error(arguments: list[str]) -> None:
    assert run(arguments, {}).returncode == 2
