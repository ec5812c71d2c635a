"""Tells kwok where the ports and logs of processes on this machine are, so that `kubectl port-forward` and `kubectl
logs` reach them. kwok reads objects of its own for that; they go with their pod.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from sandbox.kubernetes_client import ApiError, KubernetesClient, path
from sandbox.nodes.objects import Json, key_of, text

_API = "kwok.x-k8s.io/v1alpha1"


class Debugging:
    """Those objects of one cluster."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    async def show(self, pod: Json, container: str, ports: Mapping[int, int], log_file: Path) -> None:
        """Offer a pod's log and ports.

        Args:
            container: the container's name.
            ports: the container's ports to the local ones.

        Raises:
            ApiError: the server does not take it.
        """
        log_file.parent.mkdir(parents=True, exist_ok=True)
        log_file.touch()
        forwards = [
            {"ports": [port], "target": {"address": "127.0.0.1", "port": local}} for port, local in ports.items()
        ]
        logs = [{"containers": [container], "logsFile": str(log_file)}]
        await self._put(pod, "PortForward", "portforwards", {"forwards": forwards})
        await self._put(pod, "Logs", "logs", {"logs": logs})

    async def hide(self, pod: Json) -> None:
        """What no longer listens is no longer offered; the log stays as long as its file."""
        with contextlib.suppress(ApiError):
            await self._client.delete(path(_API, "portforwards", *key_of(pod)))

    async def _put(self, pod: Json, kind: str, plural: str, spec: Json) -> None:
        namespace, name = key_of(pod)
        owner = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": text(pod, "metadata", "uid")}
        body: Json = {
            "apiVersion": _API,
            "kind": kind,
            "metadata": {"name": name, "namespace": namespace, "ownerReferences": [owner]},
            "spec": spec,
        }
        try:
            await self._client.create(path(_API, plural, namespace), body)
        except ApiError as error:
            if not error.conflict:
                raise
            await self._client.patch(path(_API, plural, namespace, name), {"spec": spec})
