"""The agent pools of a cluster on Azure: the machines that each runs become the count that AKS has stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from azure.core.exceptions import AzureError
from azure.mgmt.resource.resources import ResourceManagementClient

from arm.sign_in import cloud, credential
from capacity.prediction import DISCOVERY_TAG

_API_VERSION = "2025-05-01"


class PoolsError(Exception):
    """Azure did not tell, or did not take, a pool's count."""


class Pools:
    """The pools of one cluster.

    Args:
        environment: where credentials and the Resource Manager are looked up.
        subscription, resource_group, cluster: which one.
    """

    def __init__(self, environment: Mapping[str, str], *, subscription: str, resource_group: str, cluster: str) -> None:
        where = cloud(environment)
        client: Any = ResourceManagementClient
        self._resources: Any = client(
            credential(environment), subscription, base_url=where.endpoint, credential_scopes=[where.scope]
        ).resources
        self._cluster = (
            f"subscriptions/{subscription}/resourceGroups/{resource_group}"
            f"/providers/Microsoft.ContainerService/managedClusters/{cluster}"
        )

    def names(self) -> set[str]:
        """The pools that the cluster has.

        Raises:
            PoolsError: Azure refused or did not answer.
        """
        try:
            return {str(profile["name"]) for profile in self._profiles()}
        except AzureError as error:
            said = str(error).strip().splitlines()[0]
            raise PoolsError(
                f"the pools of {self._cluster} cannot be read: {said} Sign in, then run this again."
            ) from error

    def settle(self) -> dict[str, int]:
        """Have AKS store what each pool runs whose machines an autoscaler outside AKS adds; gives pool to count.

        Nothing must scale meanwhile.

        Raises:
            PoolsError: Azure refused or did not answer; counts that were stored stay so, which does no harm.
        """
        settled: dict[str, int] = {}
        try:
            for profile in self._profiles():
                if DISCOVERY_TAG in (profile.get("tags") or {}):
                    settled[profile["name"]] = self._store(f"{self._cluster}/agentPools/{profile['name']}")
        except AzureError as error:
            raise PoolsError(
                f"the counts of {self._cluster} cannot be settled: {str(error).strip().splitlines()[0]} "
                "Sign in with a role that may write its agent pools, then run this again."
            ) from error
        return settled

    def _profiles(self) -> list[dict[str, Any]]:
        properties = self._get(self._cluster)["properties"]
        return cast(list[dict[str, Any]], properties.get("agentPoolProfiles") or [])

    def _store(self, pool: str) -> int:
        """PUT a pool as it is: its count, which is the live one, is what AKS stores."""
        properties = self._get(pool)["properties"]
        body = {"properties": properties}
        self._resources.begin_create_or_update_by_id(pool, body, api_version=_API_VERSION).result()
        return int(properties["count"])

    def _get(self, resource: str) -> dict[str, Any]:
        return cast(dict[str, Any], self._resources.get_by_id(resource, api_version=_API_VERSION, cls=_document))


def _document(response: Any, *_: Any) -> dict[str, Any]:
    return cast(dict[str, Any], response.http_response.json())
