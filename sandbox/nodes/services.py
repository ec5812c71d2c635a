"""Which local port stands for a service's port: the part of kube-proxy, for pods whose process runs on this machine.

The API server calls webhooks by their service's address. Decides by the service's selector and target port and by the
pods that are ready, as endpoints do.
"""

from __future__ import annotations

from collections.abc import Callable

from sandbox.nodes.objects import Json, is_ready, items, labels_of, section, text
from sandbox.nodes.watched import Watched


class Services:
    """The services of one cluster.

    Args:
        services: all services.
        pods: all pods.
        local_port: gives the local port of a pod's container port; None where none of it runs here.
    """

    def __init__(self, services: Watched, pods: Watched, local_port: Callable[[Json, int], int | None]) -> None:
        self._services = services
        self._pods = pods
        self._local_port = local_port

    def knows(self, address: str) -> bool:
        """Whether this is the address of a service."""
        return self._of(address) is not None

    def local_port(self, address: str, port: int) -> int | None:
        """The local port behind a service's address and port; None where no ready pod of it runs here."""
        service = self._of(address)
        if service is None:
            return None
        for pod in self._behind(service):
            target = target_port(service, port, pod)
            local = None if target is None else self._local_port(pod, target)
            if local is not None:
                return local
        return None

    def _of(self, address: str) -> Json | None:
        return next((one for one in self._services.objects.values() if address in _addresses(one)), None)

    def _behind(self, service: Json) -> list[Json]:
        namespace, selector = text(service, "metadata", "namespace"), section(service, "spec", "selector")
        if not selector:
            return []
        return [
            pod
            for (where, _), pod in self._pods.objects.items()
            if where == namespace and is_ready(pod) and selector.items() <= labels_of(pod).items()
        ]


def target_port(service: Json, port: int, pod: Json) -> int | None:
    """The container's port that a service's port leads to in a pod; None where it leads nowhere."""
    told = next((one for one in items(service, "spec", "ports") if one.get("port") == port), None)
    if told is None:
        return None
    target = told.get("targetPort") or port
    if isinstance(target, int):
        return target
    named = [one for container in items(pod, "spec", "containers") for one in items(container, "ports")]
    return next((int(one["containerPort"]) for one in named if one.get("name") == target), None)


def _addresses(service: Json) -> list[str]:
    return [str(one) for one in items(service, "spec", "clusterIPs")]
