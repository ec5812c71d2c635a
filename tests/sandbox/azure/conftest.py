"""A simulated Azure on a loopback port of its own, with real HTTPS, in a thread of the test's process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.identity import EnvironmentCredential

from sandbox import certificates
from sandbox.azure.server import Server
from sandbox.home import Config, Home

VERSION = "2024-05-01"
Client = Callable[..., Any]


@dataclass
class Azure:
    """A client of the running server."""

    home: Home
    config: Config
    token: str

    @property
    def subscription(self) -> str:
        return f"/subscriptions/{self.config.subscription_id}"

    @property
    def group(self) -> str:
        return f"{self.subscription}/resourceGroups/rg"

    def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **headers: str
    ) -> requests.Response:
        separator = "&" if "?" in path else "?"
        url = (
            f"{self.home.azure_url}{path}{separator}api-version={VERSION}"
            if "api-version" not in path
            else (f"{self.home.azure_url}{path.replace('api-version=none', '')}")
        )
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return requests.request(
            method,
            url,
            json=body,
            headers={"Authorization": f"Bearer {token or self.token}", **named},
            verify=str(self.home.ca_bundle),
            timeout=20,
        )

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.call("GET", path, **options)

    def put(self, path: str, body: Any, **options: Any) -> requests.Response:
        return self.call("PUT", path, body, **options)

    def make(self, path: str, body: Any) -> dict[str, Any]:
        """PUT, wait until it is done, and read it."""
        answer = self.put(path, body)
        assert answer.status_code in (200, 201, 202), answer.text
        self.wait(answer)
        return self.get(path).json()

    def wait(self, answer: requests.Response) -> str:
        """The last state of the answer's operation."""
        url = answer.headers.get("Azure-AsyncOperation")
        if url is None:
            return "Succeeded"
        for _ in range(200):
            state = self.call("GET", url.removeprefix(self.home.azure_url)).json()["status"]
            if state != "InProgress":
                return state
            threading.Event().wait(0.05)
        raise AssertionError(f"{url} does not end")

    def remove(self, path: str) -> requests.Response:
        answer = self.call("DELETE", path)
        assert answer.status_code in (200, 202, 204), answer.text
        self.wait(answer)
        return answer

    def refused(self, answer: requests.Response, status: int, code: str) -> str:
        """The refusal's message."""
        assert answer.status_code == status, answer.text
        error = answer.json()["error"]
        assert error["code"] == code, error
        return error["message"]


class Running:
    """The server in a thread."""

    def __init__(self, home: Home) -> None:
        self.loop = asyncio.new_event_loop()
        self.server = Server(home)
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self.server.start(), self.loop).result(10)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.server.stop(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


def sign_in(home: Home) -> str:
    """The deployer's token."""
    config = home.config
    answer = requests.post(
        f"{home.azure_url}/adfs/oauth2/v2.0/token",
        data={
            "grant_type": "client_credentials",
            "client_id": config.client_id,
            "client_secret": config.client_secret,
            "scope": f"{home.azure_url}/.default",
        },
        verify=str(home.ca_bundle),
        timeout=20,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["access_token"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create(role_delay=1.5, boot_delay=0.2)
    certificates.ensure(home)
    return home


@pytest.fixture
def azure(home: Home) -> Iterator[Azure]:
    """A running, signed-in Azure with the resource group `rg` in westeurope."""
    running = Running(home)
    try:
        client = Azure(home, home.config, sign_in(home))
        client.make(client.group, {"location": "westeurope"})
        yield client
    finally:
        running.stop()


@pytest.fixture
def azure_client(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Makes a client of a package, signed in from the environment that `make env` prints."""
    config = azure.config
    for key, value in {
        "AZURE_AUTHORITY_HOST": azure.home.azure_url,
        "AZURE_TENANT_ID": config.tenant_id,
        "AZURE_CLIENT_ID": config.client_id,
        "AZURE_CLIENT_SECRET": config.client_secret,
        "REQUESTS_CA_BUNDLE": str(azure.home.ca_bundle),
    }.items():
        monkeypatch.setenv(key, value)
    credential = EnvironmentCredential()

    def make(kind: Any) -> Any:
        scopes = [f"{azure.home.azure_url}/.default"]
        return kind(
            credential,
            config.subscription_id,
            base_url=azure.home.azure_url,
            credential_scopes=scopes,
            polling_interval=0.1,
        )

    return make
