"""What Resource Manager knows of accounts, containers and keys, read from its file."""

from __future__ import annotations

from sandbox.azure.storage_accounts import ACCOUNTS, keys_of
from sandbox.azure.storage_services import CONTAINERS
from sandbox.azure.store import Resource, Store


class Accounts:
    """The storage accounts of one sandbox.

    Args:
        store: Resource Manager's; every look reads what is there now.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def find(self, name: str, service: str = "blob") -> Resource | None:
        """The ready account of that name that has the service."""
        for one in self.store.of_type(ACCOUNTS):
            if one.name == name and service in one.properties.get("primaryEndpoints", {}):
                return one if one.properties["provisioningState"] != "Creating" else None
        return None

    def container(self, account: Resource, name: str) -> Resource | None:
        """A container of an account; names are in lower case, which ids are not."""
        found = self.store.get(container_id(account, name))
        return found if found is not None and found.name == name else None

    def containers(self, account: Resource) -> list[Resource]:
        """All of an account, in the order of their names."""
        return self.store.of_type(CONTAINERS, account.id)

    def all_containers(self) -> list[tuple[Resource, Resource]]:
        """Every account with every container."""
        accounts = self.store.of_type(ACCOUNTS)
        return [(account, container) for account in accounts for container in self.containers(account)]

    def keys(self, account: Resource) -> list[str]:
        """The account's keys, in base 64."""
        return self.store.kv_get(keys_of(account)) or []


def container_id(account: Resource, name: str) -> str:
    """A container's id."""
    return f"{account.id}/blobServices/default/containers/{name}"
