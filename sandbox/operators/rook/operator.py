"""Rook's operator: acts for the clusters of its namespaces while its own pod is ready."""

from __future__ import annotations

from sandbox.nodes.objects import Json, items, key_of, text
from sandbox.operators.rook.cluster import Clusters
from sandbox.operators.rook.contents import Contents
from sandbox.operators.view import View

_KINDS = (
    *("CephCluster", "CephFilesystem", "CephFilesystemSubVolumeGroup", "CephBlockPool"),
    *("Deployment", "Secret", "ConfigMap", "Service"),
)


class Rook:
    """All Rook operators of the cluster."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._clusters = Clusters(view)
        self._contents = Contents(view)

    async def reconcile(self) -> None:
        """Do what running operators would do now."""
        if not self._view.knows(*_KINDS):
            return
        for pod in self._view.ready_pods(None, {"app": "rook-ceph-operator"})[:1]:
            own = key_of(pod)[0]
            namespace = own if _is_confined(pod) else None
            for cluster in self._view.all("CephCluster", namespace):
                await self._clusters.reconcile(cluster, own)
            for filesystem in self._view.all("CephFilesystem", namespace):
                await self._contents.filesystem(filesystem)
            for group in self._view.all("CephFilesystemSubVolumeGroup", namespace):
                await self._contents.group(group)
            for pool in self._view.all("CephBlockPool", namespace):
                await self._contents.pool(pool)


def _is_confined(pod: Json) -> bool:
    """Whether an operator looks at its own namespace alone."""
    variables = [one for container in items(pod, "spec", "containers") for one in items(container, "env")]
    return any(one["name"] == "ROOK_CURRENT_NAMESPACE_ONLY" and text(one, "value") == "true" for one in variables)
