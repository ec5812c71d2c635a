"""What a stack's state carries of pools that are none of the cluster's own. Pure: works on `pulumi stack export`.

A refresh takes every pool that AKS shows into the cluster's inputs. The program ignores changes there, so the engine
sends them with every update of the cluster: counts of that moment, and pools that are long gone, which AKS refuses
("A new agent pool was introduced"). No later refresh mends them, as azure-native applies only what changed between two
reads. Only the pool that was made with the cluster belongs there.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any, cast

CLUSTER_TYPE = "azure-native:containerservice:ManagedCluster"
POOL_TYPE = "azure-native:containerservice:AgentPool"
Json = dict[str, Any]


def urns(exported: Mapping[str, Any], kind: str) -> list[str]:
    """The URNs of a state's resources of one type."""
    return [str(one["urn"]) for one in _resources(exported) if one["type"] == kind]


def without_other_pools(exported: Mapping[str, Any], live: Collection[str]) -> tuple[Json, list[str]]:
    """A state whose clusters carry their own pools alone.

    Args:
        exported: the document of `pulumi stack export`.
        live: names of the pools that the cluster has on Azure.

    Returns:
        The state to import, and the names that were taken out; none: it is as it was.
    """
    state = copy.deepcopy(dict(exported))
    declared = {str(one["inputs"]["agentPoolName"]) for one in _resources(state) if one["type"] == POOL_TYPE}
    removed: list[str] = []
    for one in _resources(state):
        carried = cast("list[Json]", one.get("inputs", {}).get("agentPoolProfiles") or [])
        if one["type"] != CLUSTER_TYPE or not carried:
            continue
        own = [profile for profile in carried if profile["name"] not in declared and profile["name"] in live]
        if own:
            removed += [str(profile["name"]) for profile in carried if profile not in own]
            one["inputs"]["agentPoolProfiles"] = own
    return state, removed


def _resources(exported: Mapping[str, Any]) -> list[Json]:
    return cast("list[Json]", exported["deployment"].get("resources") or [])
