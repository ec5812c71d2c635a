"""Where a name leads, seen from the cluster's virtual network: Azure's private DNS over its public one.

A name of an account with a private endpoint is an alias of its `privatelink.` name. A network that is linked to the
zone of that name sees the zone's records and nothing else; every other network sees the public address.
Source: learn.microsoft.com `azure/private-link/private-endpoint-dns`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from sandbox.azure.context import Body, section
from sandbox.azure.ids import same_id
from sandbox.azure.network_types import ENDPOINTS, INTERFACES, NETWORKS
from sandbox.azure.private_dns import LINKS, RECORDS, ZONES
from sandbox.azure.private_links import connections_of
from sandbox.azure.store import Resource, Store
from sandbox.storage_network.accounts import Accounts

_NAME = re.compile(r"([a-z0-9]{3,24})\.(blob|dfs|file|queue|table|web)\.core\.windows\.net", re.IGNORECASE)
_POOLS = "Microsoft.ContainerService/managedClusters/agentPools"


class Unreachable(Exception):  # noqa: N818 - reads as what happened
    """A name that does not resolve, or an address where nothing answers; the message says why and what to do."""


@dataclass(frozen=True)
class Origin:
    """Where a connection to the service comes from.

    Attributes:
        network: the virtual network's id; None: from the internet.
        endpoint: the id of the private endpoint that it came through, None: it came to the public address.
    """

    network: str | None = None
    endpoint: str | None = None


INTERNET = Origin()


def is_storage_name(host: str) -> bool:
    """Whether a host name is one of the storage service."""
    return host.lower().endswith(".core.windows.net")


def cluster_network(store: Store) -> str | None:
    """The network that the cluster's nodes are in; without a cluster the only network that there is."""
    for pool in store.of_type(_POOLS):
        subnet = str(pool.properties.get("vnetSubnetID") or "")
        if subnet:
            return subnet.rsplit("/subnets/", 1)[0]
    networks = store.of_type(NETWORKS)
    return networks[0].id if len(networks) == 1 else None


def resolve(store: Store, host: str, network: str | None) -> Origin:
    """How a connection from a network to a storage account's name arrives.

    Raises:
        Unreachable: the name does not resolve there, or leads nowhere.
    """
    match = _NAME.fullmatch(host)
    account = Accounts(store).find(match[1].lower(), match[2].lower()) if match else None
    if match is None or account is None:
        raise Unreachable(f"{host} does not resolve: there is no such storage account, or it does not have the service")
    service = match[2].lower()
    endpoints = [one for one in store.of_type(ENDPOINTS) if _leads_to(one, account, service)]
    zone = _linked_zone(store, f"privatelink.{service}.core.windows.net", network)
    if not endpoints or zone is None:
        return Origin(network)
    record = store.get(f"{zone.id}/A/{account.name}")
    if record is None:
        raise Unreachable(
            f"{host} does not resolve: {zone.id}, to which {network} is linked, has no record '{account.name}'; put "
            "the private endpoint's zone group into that zone"
        )
    for address in _addresses(record):
        for endpoint in endpoints:
            if address == _address_of(store, endpoint):
                _check_endpoint(endpoint, network)
                return Origin(network, endpoint.id)
    raise Unreachable(f"{host} does not answer: {record.id} leads to {_addresses(record)}, no private endpoint of it")


def is_open(store: Store, endpoint_id: str, account: Resource) -> bool:
    """Whether a private endpoint still lets its network through to the account's blobs."""
    endpoint = store.get(endpoint_id)
    return endpoint is not None and _leads_to(endpoint, account, "blob") and _state(endpoint) == "Approved"


def _leads_to(endpoint: Resource, account: Resource, service: str) -> bool:
    for connection in connections_of(endpoint.properties):
        properties = section(connection, "properties")
        groups = cast(list[str], properties.get("groupIds") or [])
        if same_id(str(properties.get("privateLinkServiceId")), account.id) and groups == [service]:
            return True
    return False


def _state(endpoint: Resource) -> str:
    connection = connections_of(endpoint.properties)[0]
    return str(section(connection, "properties", "privateLinkServiceConnectionState").get("status"))


def _check_endpoint(endpoint: Resource, network: str | None) -> None:
    if _state(endpoint) != "Approved":
        raise Unreachable(f"{endpoint.id} does not answer: its connection is {_state(endpoint)}, not Approved")
    home = str(endpoint.properties["subnet"]["id"]).rsplit("/subnets/", 1)[0]
    if network is None or not same_id(home, network):
        raise Unreachable(f"{endpoint.id} does not answer: it is in {home}, and {network} has no way there")


def _linked_zone(store: Store, name: str, network: str | None) -> Resource | None:
    """The zone of that name that the network sees."""
    for link in store.of_type(LINKS):
        zone = store.get(link.id.rsplit("/virtualNetworkLinks/", 1)[0])
        linked = str(section(link.properties, "virtualNetwork").get("id"))
        if zone is not None and zone.type == ZONES and zone.name == name and network and same_id(linked, network):
            return zone
    return None


def _addresses(record: Resource) -> list[str]:
    assert record.type == RECORDS  # noqa: S101
    return [str(one["ipv4Address"]) for one in cast(list[Body], record.properties.get("aRecords") or [])]


def _address_of(store: Store, endpoint: Resource) -> str | None:
    for interface in _interfaces(store, endpoint):
        return str(interface.properties["ipConfigurations"][0]["properties"]["privateIPAddress"])
    return None


def _interfaces(store: Store, endpoint: Resource) -> Iterator[Resource]:
    for one in cast(list[Body], endpoint.properties.get("networkInterfaces") or []):
        found = store.get(str(one["id"]))
        if found is not None and found.type == INTERFACES:
            yield found
