from __future__ import annotations

from tests.sandbox.aks.conftest import Cloud


def test_a_cluster_comes_up_with_its_pool_and_its_machines(yard: Cloud) -> None:
    cluster = yard.get(yard.cluster)
    assert cluster["properties"]["provisioningState"] == "Succeeded"
    [pool] = cluster["properties"]["agentPoolProfiles"]
    assert (pool["name"], pool["count"], pool["provisioningState"]) == ("system", 2, "Succeeded")
    assert [one["state"] for one in yard.machines()] == ["running", "running"]
