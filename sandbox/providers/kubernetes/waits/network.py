"""Services and Ingresses."""

from __future__ import annotations

import time

from sandbox.providers.kubernetes.objects import Json, Kind, as_list, as_map, name_of, pluck, text
from sandbox.providers.kubernetes.waits.base import Collection, Event, Wait

SETTLE_SECONDS = 2.0
"""After a change of a Service's endpoints, how long to wait for stragglers; the real provider waits 10 s."""
_NO_EVENTS_SECONDS = 60.0
_ENDPOINTS = Kind("", "v1", "Endpoints")
_SERVICE = Kind("", "v1", "Service")


class ServiceWait(Wait):
    """A Service is ready once no endpoint is pending, and a LoadBalancer has its address.

    One without selector, headless, or naming an external host has no endpoints to wait for.
    """

    checked_on_read = True

    def __init__(self, inputs: Json, outputs: Json, before: Json | None = None) -> None:
        super().__init__(inputs, outputs, before)
        self._seen = False
        self._ready = False
        self._pending = False
        self._changed_at: float | None = None

    def related(self) -> list[Collection]:
        """See `Wait`."""
        if not self._has_endpoints():
            return []
        return [Collection(_ENDPOINTS, self.namespace, {"fieldSelector": f"metadata.name={self.name}"})]

    def observe(self, event: Event) -> None:
        """See `Wait`."""
        super().observe(event)
        self._seen = not event.deleted

    def observe_related(self, event: Event) -> None:
        """See `Wait`."""
        subsets = [] if event.deleted else as_list(event.object.get("subsets"))
        self._ready = any(as_list(pluck(one, "addresses")) for one in subsets)
        self._pending = any(as_list(pluck(one, "notReadyAddresses")) for one in subsets)
        self._changed_at = time.monotonic()

    def _type(self) -> str:
        return text(pluck(self.object, "spec", "type")) or "ClusterIP"

    def _has_endpoints(self) -> bool:
        headless = pluck(self.object, "spec", "clusterIP") == "None"
        selects = bool(as_map(pluck(self.object, "spec", "selector")))
        return selects and not headless and self._type() != "ExternalName"

    def _has_address(self) -> bool:
        addresses = as_list(pluck(self.object, "status", "loadBalancer", "ingress"))
        return self._seen and (self._type() != "LoadBalancer" or bool(addresses))

    def settles_at(self) -> float | None:
        """See `Wait`."""
        if self._changed_at is None or self._changed_at + SETTLE_SECONDS <= time.monotonic():
            return None
        return self._changed_at + SETTLE_SECONDS

    def done(self) -> bool:
        """See `Wait`."""
        settled = self._changed_at is not None and self.settles_at() is None
        return self._has_address() and (not self._has_endpoints() or (settled and not self._pending))

    def acceptable(self) -> bool:
        """See `Wait`."""
        return self._has_address() and not self._pending

    def progress(self) -> str:
        """See `Wait`."""
        if self._ready and not self._has_address():
            return "[2/3] Attempting to allocate IP address to Service"
        return "[1/3] Finding Pods to direct traffic to" if self._has_endpoints() else ""

    def reasons(self) -> list[str]:
        """See `Wait`."""
        found: list[str] = []
        if self._has_endpoints() and not self._ready:
            found.append(
                "Service does not target any Pods. Selected Pods may not be ready, or "
                "field '.spec.selector' may not match labels on any Pods"
            )
        if self._type() == "LoadBalancer" and not self._has_address():
            found.append("Service was not allocated an IP address; does your cloud provider support this?")
        return found


class IngressWait(Wait):
    """An Ingress is ready once it has an address and every path's Service has endpoints, or has none to come."""

    checked_on_read = True

    def __init__(self, inputs: Json, outputs: Json, before: Json | None = None) -> None:
        super().__init__(inputs, outputs, before)
        self._endpoints: set[str] = set()
        self._external: set[str] = set()
        self._changed_at: float | None = None
        self._began_at = time.monotonic()

    def related(self) -> list[Collection]:
        """See `Wait`."""
        return [Collection(_SERVICE, self.namespace), Collection(_ENDPOINTS, self.namespace)]

    def observe_related(self, event: Event) -> None:
        """See `Wait`."""
        name = name_of(event.object)
        if Kind.of(event.object).kind == "Service":
            external = pluck(event.object, "spec", "type") == "ExternalName" and not event.deleted
            (self._external.add if external else self._external.discard)(name)
            return
        (self._endpoints.discard if event.deleted else self._endpoints.add)(name)
        self._changed_at = time.monotonic()

    def _settled(self) -> bool:
        now = time.monotonic()
        if self._changed_at is None:
            return now >= self._began_at + _NO_EVENTS_SECONDS
        return now >= self._changed_at + SETTLE_SECONDS

    def settles_at(self) -> float | None:
        """See `Wait`."""
        if self._settled():
            return None
        return self._began_at + _NO_EVENTS_SECONDS if self._changed_at is None else self._changed_at + SETTLE_SECONDS

    def _endpoints_ready(self) -> bool:
        rules = as_list(pluck(self.object, "spec", "rules"))
        paths = [one for rule in rules for one in as_list(pluck(rule, "http", "paths"))]
        services = {text(pluck(one, "backend", "service", "name")) for one in paths} - {""}
        return services <= self._endpoints | self._external or self._settled()

    def _has_address(self) -> bool:
        return bool(as_list(pluck(self.object, "status", "loadBalancer", "ingress")))

    def done(self) -> bool:
        """See `Wait`."""
        return self._has_address() and self._endpoints_ready()

    def acceptable(self) -> bool:
        """See `Wait`."""
        return self._has_address()

    def progress(self) -> str:
        """See `Wait`."""
        if self._endpoints_ready():
            return "[2/3] Waiting for update of .status.loadBalancer with hostname/IP"
        return "[1/3] Finding a matching service for each Ingress path"

    def reasons(self) -> list[str]:
        """See `Wait`."""
        found: list[str] = []
        if not self._endpoints_ready():
            found.append("Ingress has at least one rule with an unavailable target endpoint.")
        if not self._has_address():
            found.append("Ingress .status.loadBalancer field was not updated with a hostname/IP address.")
        return found
