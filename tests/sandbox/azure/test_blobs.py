"""The blob service: networks, keys, roles and containers in front of Azurite; Azure's own SDK is the judge."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.core import MatchConditions
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
    ServiceRequestError,
)
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import EnvironmentCredential
from azure.storage.blob import BlobBlock, BlobServiceClient, ContainerClient, ContentSettings

from sandbox import certificates
from sandbox.azure.store import Store
from sandbox.azurite import Installer
from sandbox.home import Home
from sandbox.processes import Processes
from sandbox.progress import Progress
from sandbox.storage_network.front import Front
from sandbox.storage_network.proxy import Proxy
from tests.sandbox.azure.conftest import Azure, Running, sign_in

CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
NETWORK = "providers/Microsoft.Network"


@dataclass
class Blobs:
    """A sandbox with the blob service, whose account `lake` has a private endpoint and no other way in."""

    azure: Azure
    processes: Processes
    running: Running

    @property
    def account(self) -> str:
        return self.account_path("lake")

    def account_path(self, name: str) -> str:
        return f"{self.azure.group}/providers/Microsoft.Storage/storageAccounts/{name}"

    def client(self, *, inside: bool = True, account: str = "lake", key: str | None = None) -> BlobServiceClient:
        """Azure's client, signed in as the deployer or with a key, within the network or outside of it."""
        ports = self.azure.config.ports
        bundle = str(self.azure.home.ca_bundle)
        options: dict[str, Any] = {"retry_total": 0, "connection_verify": bundle}
        if inside:
            proxies = {"https": f"http://127.0.0.1:{ports['network']}"}
            session = requests.Session()
            session.trust_env = False
            options |= {
                "transport": RequestsTransport(session=session, session_owner=False, connection_verify=bundle),
                "proxies": proxies,
            }
        url = f"https://{account}.blob.core.windows.net" if inside else f"https://127.0.0.1:{ports['blob']}/{account}"
        credential: Any = EnvironmentCredential(connection_verify=bundle)
        if key is not None:
            credential = {"account_name": account, "account_key": key}
        return BlobServiceClient(url, credential=credential, **options)

    def container(self, name: str = "raw") -> ContainerClient:
        """A new container of Resource Manager's, as seen from inside."""
        self.azure.make(f"{self.account}/blobServices/default/containers/{name}", {})
        return self.client().get_container_client(name)

    def key(self, account: str | None = None) -> str:
        return self.azure.call("POST", f"{account or self.account}/listKeys").json()["keys"][0]["value"]

    def assign(self, role: str, scope: str) -> str:
        """Give the deployer a role; its path."""
        name = hashlib.sha256(f"{role}{scope}{time.time()}".encode()).hexdigest()
        guid = f"{name[:8]}-{name[8:12]}-{name[12:16]}-{name[16:20]}-{name[20:32]}"
        path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{guid}"
        definition = f"{self.azure.subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"
        body = {"roleDefinitionId": definition, "principalId": self.azure.config.object_id}
        answer = self.azure.put(path, {"properties": {**body, "principalType": "ServicePrincipal"}})
        assert answer.status_code == 201, answer.text
        return path


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Blobs]:
    """The services, once for all tests here."""
    home = Home(tmp_path_factory.mktemp("blobs") / "home")
    home.create(role_delay=1.0, boot_delay=0.2)
    certificates.ensure(home)
    processes = Processes(home)
    part = Installer(Progress()).ensure().part(home)
    processes.start(part)
    running = Running(home)
    azure = Azure(home, home.config, sign_in(home))
    blobs = Blobs(azure, processes, running)
    azure.make(azure.group, {"location": "westeurope"})
    _make_network(azure)
    _make_account(blobs, "lake")
    _connect(blobs, "lake")
    blobs.assign(CONTRIBUTOR, blobs.account)
    front = RunningFront(running.loop, home)
    processes.wait_ready([part])
    time.sleep(1.1)  # the role
    try:
        yield blobs
    finally:
        front.stop()
        running.stop()
        processes.stop(part.name)


class RunningFront:
    """The blob service in a running loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, home: Home) -> None:
        self.loop = loop
        self.store = Store(home.azure_db)
        asyncio.run_coroutine_threadsafe(self._start(home), loop).result(10)

    async def _start(self, home: Home) -> None:
        self.front = Front(home, self.store)
        self.proxy = Proxy(home, self.store, self.front)
        await self.front.start()
        await self.proxy.start()

    def stop(self) -> None:
        for one in (self.proxy.stop(), self.front.stop()):
            asyncio.run_coroutine_threadsafe(one, self.loop).result(10)
        self.store.close()


def _make_network(azure: Azure) -> None:
    network = f"{azure.group}/{NETWORK}/virtualNetworks/net"
    subnets = [
        {"name": "nodes", "properties": {"addressPrefix": "10.0.0.0/20"}},
        {"name": "endpoints", "properties": {"addressPrefix": "10.0.255.0/24"}},
    ]
    body = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": subnets}
    azure.make(network, {"location": "westeurope", "properties": body})
    zone = f"{azure.group}/{NETWORK}/privateDnsZones/privatelink.blob.core.windows.net"
    azure.make(zone, {"location": "global"})
    link = {"location": "global", "properties": {"virtualNetwork": {"id": network}}}
    azure.make(f"{zone}/virtualNetworkLinks/net", link)


def _make_account(blobs: Blobs, name: str, **properties: Any) -> None:
    closed = {
        "publicNetworkAccess": "Disabled",
        "networkAcls": {"defaultAction": "Deny"},
        "allowSharedKeyAccess": False,
    }
    body = {"location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
    blobs.azure.make(blobs.account_path(name), {**body, "properties": {**closed, **properties}})


def _connect(blobs: Blobs, name: str, *, with_record: bool = True) -> str:
    """A private endpoint of an account; its path."""
    azure = blobs.azure
    endpoint = f"{azure.group}/{NETWORK}/privateEndpoints/{name}"
    connection = {"privateLinkServiceId": blobs.account_path(name), "groupIds": ["blob"]}
    properties = {
        "subnet": {"id": f"{azure.group}/{NETWORK}/virtualNetworks/net/subnets/endpoints"},
        "privateLinkServiceConnections": [{"name": name, "properties": connection}],
    }
    azure.make(endpoint, {"location": "westeurope", "properties": properties})
    if with_record:
        zone = f"{azure.group}/{NETWORK}/privateDnsZones/privatelink.blob.core.windows.net"
        configs = [{"name": "blob", "properties": {"privateDnsZoneId": zone}}]
        azure.make(f"{endpoint}/privateDnsZoneGroups/default", {"properties": {"privateDnsZoneConfigs": configs}})
    return endpoint


@pytest.fixture
def blobs(started: Blobs, monkeypatch: pytest.MonkeyPatch) -> Iterator[Blobs]:
    """The services, with the account's containers gone afterwards."""
    config = started.azure.config
    for key, value in {
        "AZURE_AUTHORITY_HOST": started.azure.home.azure_url,
        "AZURE_TENANT_ID": config.tenant_id,
        "AZURE_CLIENT_ID": config.client_id,
        "AZURE_CLIENT_SECRET": config.client_secret,
        "NO_PROXY": "127.0.0.1,localhost",
    }.items():
        monkeypatch.setenv(key, value)
    yield started
    for one in started.azure.get(f"{started.account}/blobServices/default/containers").json()["value"]:
        started.azure.remove(one["id"])


def refused(error: pytest.ExceptionInfo[HttpResponseError], status: int, code: str) -> None:
    assert error.value.status_code == status, error.value
    assert getattr(error.value, "error_code", None) == code, error.value


def test_from_outside_nobody_gets_in_whatever_the_role(blobs: Blobs) -> None:
    blobs.container()
    client = blobs.client(inside=False).get_container_client("raw")
    with pytest.raises(HttpResponseError) as error:
        client.upload_blob("a.txt", b"a")
    refused(error, 403, "AuthorizationFailure")
    with pytest.raises(HttpResponseError) as error:
        list(client.list_blobs())
    refused(error, 403, "AuthorizationFailure")
    direct = requests.get(
        f"https://127.0.0.1:{blobs.azure.config.ports['blob']}/raw/a.txt",
        headers={"Host": "lake.blob.core.windows.net"},
        verify=str(blobs.azure.home.ca_bundle),
        timeout=20,
    )
    assert direct.status_code == 403, "the account's name in the Host header changes nothing"
    assert "<Code>AuthorizationFailure</Code>" in direct.text


def test_from_inside_blobs_are_written_listed_read_in_ranges_and_deleted(blobs: Blobs) -> None:
    client = blobs.container()
    content = os.urandom(3_000_000)
    blob = client.get_blob_client("deep/folder/ä + ü %.bin")
    settings = ContentSettings("application/x-tar", content_md5=bytearray(hashlib.md5(content).digest()))
    made = blob.upload_blob(content, content_settings=settings, metadata={"sha256": "abc"}, max_concurrency=2)
    assert blob.download_blob().readall() == content
    assert blob.download_blob(offset=1_000_000, length=77).readall() == content[1_000_000:1_000_077]
    [listed] = client.list_blobs(name_starts_with="deep/", include=["metadata"])
    assert (listed.name, listed.size, listed.metadata) == ("deep/folder/ä + ü %.bin", len(content), {"sha256": "abc"})
    assert [one.name for one in client.walk_blobs()] == ["deep/"]
    properties = blob.get_blob_properties()
    assert properties.etag == made["etag"]
    assert properties.content_settings.content_md5 == hashlib.md5(content).digest()
    assert properties.content_settings.content_type == "application/x-tar"
    blob.delete_blob()
    assert list(client.list_blobs()) == []
    with pytest.raises(ResourceNotFoundError):
        blob.download_blob()


def test_blocks_are_put_apart_listed_and_committed(blobs: Blobs) -> None:
    blob = blobs.container().get_blob_client("blocks")
    blob.stage_block("MDAx", b"one ")
    blob.stage_block("MDAy", b"two")
    committed, waiting = blob.get_block_list("all")
    assert (committed, [one.id for one in waiting]) == ([], ["MDAx", "MDAy"])
    blob.commit_block_list([BlobBlock("MDAx"), BlobBlock("MDAy")])
    assert blob.download_blob().readall() == b"one two"
    assert [one.id for one in blob.get_block_list("committed")[0]] == ["MDAx", "MDAy"]


def test_a_wrong_checksum_and_a_failed_condition_leave_what_was_there(blobs: Blobs) -> None:
    blob = blobs.container().get_blob_client("kept")
    first = blob.upload_blob(b"first")
    with pytest.raises(HttpResponseError) as error:
        blob.stage_block("MDAx", b"other", validate_content=False, headers={"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="})
    assert error.value.status_code == 400
    with pytest.raises(ResourceExistsError):
        blob.upload_blob(b"second")
    with pytest.raises(ResourceModifiedError):
        blob.upload_blob(b"second", overwrite=True, etag='"0x1"', match_condition=MatchConditions.IfNotModified)
    assert blob.download_blob().readall() == b"first"
    assert blob.get_blob_properties().etag == first["etag"]
    blob.upload_blob(b"second", overwrite=True, etag=first["etag"], match_condition=MatchConditions.IfNotModified)
    assert blob.download_blob().readall() == b"second"


def test_a_reader_reads_and_a_new_role_takes_a_while(blobs: Blobs) -> None:
    _make_account(blobs, "second")
    _connect(blobs, "second")
    path = blobs.account_path("second")
    container = f"{path}/blobServices/default/containers/raw"
    blobs.azure.make(container, {})
    client = blobs.client(account="second").get_container_client("raw")
    with pytest.raises(HttpResponseError) as error:
        list(client.list_blobs())
    refused(error, 403, "AuthorizationPermissionMismatch")
    assignment = blobs.assign(READER, container)
    with pytest.raises(HttpResponseError) as error:
        list(client.list_blobs())
    refused(error, 403, "AuthorizationPermissionMismatch")
    time.sleep(1.1)
    assert list(client.list_blobs()) == []
    with pytest.raises(HttpResponseError) as error:
        client.upload_blob("a", b"a")
    refused(error, 403, "AuthorizationPermissionMismatch")
    blobs.azure.remove(assignment)
    with pytest.raises(HttpResponseError) as error:
        list(client.list_blobs())
    refused(error, 403, "AuthorizationPermissionMismatch")
    assert [one.name for one in blobs.client(account="second").list_containers()] == ["raw"], "Owner may list these"


def test_keys_open_an_account_only_where_it_takes_them(blobs: Blobs) -> None:
    blobs.container().upload_blob("a", b"content")
    with_key = blobs.client(key=blobs.key()).get_container_client("raw")
    with pytest.raises(HttpResponseError) as error:
        with_key.download_blob("a")
    refused(error, 403, "KeyBasedAuthenticationNotPermitted")
    blobs.azure.call("PATCH", blobs.account, {"properties": {"allowSharedKeyAccess": True}})
    try:
        assert with_key.download_blob("a").readall() == b"content"
        with_key.upload_blob("b/c d+é", b"x", metadata={"k": "v v"})
        assert [one.name for one in with_key.list_blobs(name_starts_with="b/")] == ["b/c d+é"]
        wrong = blobs.client(key="AAAA" * 22).get_container_client("raw")
        with pytest.raises(ClientAuthenticationError) as denied:
            wrong.download_blob("a")
        refused(denied, 403, "AuthenticationFailed")
        outside = blobs.client(inside=False, key=blobs.key()).get_container_client("raw")
        with pytest.raises(HttpResponseError) as error:
            outside.download_blob("a")
        refused(error, 403, "AuthorizationFailure")
    finally:
        blobs.azure.call("PATCH", blobs.account, {"properties": {"allowSharedKeyAccess": False}})


def test_an_unsigned_request_and_a_token_for_somebody_else_are_refused(blobs: Blobs) -> None:
    blobs.container()
    url = "https://lake.blob.core.windows.net/raw/a"
    common: Any = {
        "proxies": {"https": f"http://127.0.0.1:{blobs.azure.config.ports['network']}"},
        "verify": str(blobs.azure.home.ca_bundle),
    }
    answer = requests.get(url, timeout=20, **common)
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (401, "NoAuthenticationInformation")
    assert "resource_id=https://storage.azure.com" in answer.headers["WWW-Authenticate"]
    answer = requests.get(url, headers={"Authorization": f"Bearer {blobs.azure.token}"}, timeout=20, **common)
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (401, "InvalidAuthenticationInfo")
    answer = requests.get(f"{url}?sv=2024-11-04&sig=abc", timeout=20, **common)
    assert answer.headers["x-ms-error-code"] == "KeyBasedAuthenticationNotPermitted"


def test_containers_are_the_same_on_both_sides(blobs: Blobs) -> None:
    service: Any = blobs.client()
    path = f"{blobs.account}/blobServices/default/containers"
    made = service.create_container("made-by-data", metadata={"owner": "team"})
    assert blobs.azure.get(f"{path}/made-by-data").json()["properties"]["metadata"] == {"owner": "team"}
    with pytest.raises(ResourceExistsError):
        service.create_container("made-by-data")
    made.upload_blob("a", b"a")
    blobs.azure.make(f"{path}/made-by-management", {})
    assert [one.name for one in service.list_containers()] == ["made-by-data", "made-by-management"]
    assert [one.name for one in service.list_containers(name_starts_with="made-by-m")] == ["made-by-management"]
    assert service.get_container_client("made-by-management").get_container_properties().etag
    service.delete_container("made-by-data")
    assert blobs.azure.get(f"{path}/made-by-data").status_code == 404
    with pytest.raises(ResourceNotFoundError) as error:
        made.upload_blob("a", b"a")
    refused(error, 404, "ContainerNotFound")
    again = service.create_container("made-by-data")
    assert list(again.list_blobs()) == [], "what was in the deleted container does not come back"
    with pytest.raises(HttpResponseError) as error_of_name:
        service.create_container("Wrong--Name")
    refused(error_of_name, 400, "InvalidResourceName")


def test_data_goes_with_its_account(blobs: Blobs) -> None:
    _make_account(blobs, "shortlived")
    _connect(blobs, "shortlived")
    path = blobs.account_path("shortlived")
    blobs.assign(CONTRIBUTOR, path)
    blobs.azure.make(f"{path}/blobServices/default/containers/raw", {})
    time.sleep(1.1)
    marker = os.urandom(200_000)
    blobs.client(account="shortlived").get_container_client("raw").upload_blob("a", marker)
    held = blobs.azure.home.blobs / "__azurite_db_blob__.json"
    before = held.read_text().count('"isCommitted":true')
    blobs.azure.remove(path)
    deadline = time.monotonic() + 10
    while held.read_text().count('"isCommitted":true') >= before and time.monotonic() < deadline:
        time.sleep(0.2)
    assert held.read_text().count('"isCommitted":true') < before, "the blobs of a deleted account are still held"
    with pytest.raises(ServiceRequestError, match="no such storage account"):
        list(blobs.client(account="shortlived").list_containers())


def test_without_a_record_the_name_does_not_resolve_and_without_an_endpoint_it_leads_outside(blobs: Blobs) -> None:
    _make_account(blobs, "nameless")
    with pytest.raises(HttpResponseError) as error:
        list(blobs.client(account="nameless").list_containers())
    refused(error, 403, "AuthorizationFailure")
    endpoint = _connect(blobs, "nameless", with_record=False)
    with pytest.raises(ServiceRequestError, match="no record 'nameless'"):
        list(blobs.client(account="nameless").list_containers())
    blobs.azure.remove(endpoint)


def test_an_account_that_is_open_or_names_the_address_lets_the_outside_in(blobs: Blobs) -> None:
    open_account: Any = {"publicNetworkAccess": "Enabled", "networkAcls": {"defaultAction": "Allow"}}
    _make_account(blobs, "opened", **open_account)
    outside = blobs.client(inside=False, account="opened")
    assert list(outside.list_containers()) == []
    rules: dict[str, Any] = {"defaultAction": "Deny", "ipRules": [{"value": "203.0.113.0/24"}]}
    blobs.azure.call("PATCH", blobs.account_path("opened"), {"properties": {"networkAcls": rules}})
    assert list(outside.list_containers()) == []
    rules["ipRules"] = [{"value": "198.51.100.1"}]
    blobs.azure.call("PATCH", blobs.account_path("opened"), {"properties": {"networkAcls": rules}})
    with pytest.raises(HttpResponseError) as error:
        list(outside.list_containers())
    refused(error, 403, "AuthorizationFailure")


def test_a_blob_is_copied_within_the_account(blobs: Blobs) -> None:
    client = blobs.container()
    client.upload_blob("source", b"content")
    target = client.get_blob_client("target")
    target.start_copy_from_url(f"{client.url}/source")
    assert target.download_blob().readall() == b"content"
    with pytest.raises(HttpResponseError) as error:
        target.start_copy_from_url("https://elsewhere.example/source")
    refused(error, 501, "NotImplemented")


def test_other_services_and_ports_are_not_reached(blobs: Blobs) -> None:
    proxies = {"https": f"http://127.0.0.1:{blobs.azure.config.ports['network']}"}
    for url, words in (
        ("https://lake.dfs.core.windows.net/", "emulates blob alone"),
        ("https://nobody.blob.core.windows.net/", "no such storage account"),
        ("https://lake.blob.core.windows.net:8443/", "port is 443"),
    ):
        with pytest.raises(requests.exceptions.ProxyError, match=words):
            requests.get(url, proxies=proxies, verify=str(blobs.azure.home.ca_bundle), timeout=20)


def test_what_was_confirmed_survives_the_death_of_azurite(blobs: Blobs) -> None:
    client = blobs.container()
    part = Installer(Progress()).ensure().part(blobs.azure.home)
    blob = client.get_blob_client("blocks")
    for number in range(3):
        client.upload_blob(f"small-{number}", os.urandom(1000))
    blob.stage_block("MDAx", b"x" * 500_000)
    pid = blobs.processes.pid(part.name)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with pytest.raises(HttpResponseError) as error:
        client.upload_blob("unconfirmed", b"x")
    refused(error, 503, "ServerBusy")
    blobs.processes.start(part)
    blobs.processes.wait_ready([part])
    assert [one.name for one in client.list_blobs()] == ["small-0", "small-1", "small-2"]
    assert [one.size for one in blob.get_block_list("uncommitted")[1]] == [500_000]
    blob.commit_block_list([BlobBlock("MDAx")])
    assert blob.download_blob().readall() == b"x" * 500_000


def test_many_writers_at_once_lose_nothing(blobs: Blobs) -> None:
    client = blobs.container()
    threads = [
        threading.Thread(target=client.upload_blob, args=(f"blob-{number:02}", os.urandom(50_000)))
        for number in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(client.list_blobs(results_per_page=7))) == 20


def test_the_data_lies_in_the_sandboxs_folder(blobs: Blobs) -> None:
    blobs.container().upload_blob("a", b"a")
    assert any(Path(blobs.azure.home.blobs).rglob("__azurite_db_blob__.json"))
