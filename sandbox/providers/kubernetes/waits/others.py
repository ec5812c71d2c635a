"""Volumes, claims, quotas, token Secrets and custom resource definitions."""

from __future__ import annotations

from sandbox.kubernetes_client import ApiError
from sandbox.providers.kubernetes.cluster import Cluster
from sandbox.providers.kubernetes.objects import Json, Kind, as_map, conditions_of, name_of, pluck, text
from sandbox.providers.kubernetes.waits.base import Wait

_STORAGE_CLASS = Kind("storage.k8s.io", "v1", "StorageClass")


class PersistentVolumeWait(Wait):
    """A PersistentVolume is ready once it is available or bound."""

    timeout = 300.0

    def done(self) -> bool:
        """See `Wait`."""
        return self._phase() in ("Available", "Bound")

    def _phase(self) -> str:
        return text(pluck(self.object, "status", "phase"))

    def reasons(self) -> list[str]:
        """See `Wait`."""
        message = text(pluck(self.object, "status", "message"))
        return [f"the PersistentVolume's phase is {self._phase() or 'not set'}" + (f": {message}" if message else "")]


class PersistentVolumeClaimWait(Wait):
    """A claim is ready once it is bound, or pending where its class binds at the first consumer."""

    timeout = 300.0

    def __init__(self, inputs: Json, outputs: Json, before: Json | None = None) -> None:
        super().__init__(inputs, outputs, before)
        self._binds_late = False

    async def prepare(self, cluster: Cluster) -> None:
        """See `Wait`."""
        name = text(pluck(self.outputs, "spec", "storageClassName"))
        if not name:
            return
        try:
            storage_class = await cluster.get(await cluster.where(_STORAGE_CLASS, name=name))
        except ApiError as error:
            if error.not_found:
                return  # a class that is only a name, shared by a claim and its static volume
            raise
        self._binds_late = storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"

    def done(self) -> bool:
        """See `Wait`."""
        if self._phase() == "Bound":
            return True
        return self._binds_late and self._phase() == "Pending"

    def _phase(self) -> str:
        return text(pluck(self.object, "status", "phase"))

    def progress(self) -> str:
        """See `Wait`."""
        return f"Waiting for PersistentVolumeClaim to be bound ({self._phase() or 'no phase yet'})"

    def reasons(self) -> list[str]:
        """See `Wait`."""
        return [f"the claim's phase is {self._phase() or 'not set'}: no volume was bound to it"]


class ResourceQuotaWait(Wait):
    """A quota is ready once its status repeats its limits."""

    timeout = 60.0

    def done(self) -> bool:
        """See `Wait`."""
        return as_map(pluck(self.object, "spec", "hard")) == as_map(pluck(self.object, "status", "hard"))

    def reasons(self) -> list[str]:
        """See `Wait`."""
        return ["the quota's status does not show its limits yet"]


class SecretWait(Wait):
    """A service account's token Secret is ready once its token is in it; any other is at once."""

    timeout = 5.0

    def done(self) -> bool:
        """See `Wait`."""
        return self.outputs.get("type") != "kubernetes.io/service-account-token" or bool(
            as_map(self.object.get("data"))
        )

    def reasons(self) -> list[str]:
        """See `Wait`."""
        account = text(pluck(self.object, "metadata", "annotations", "kubernetes.io/service-account.name"))
        return [f"no token was put into {name_of(self.object)!r}: is there a ServiceAccount {account!r}?"]


class CustomResourceDefinitionWait(Wait):
    """A definition is ready once the API server serves its kind."""

    timeout = 60.0

    def done(self) -> bool:
        """See `Wait`."""
        return conditions_of(self.object).get("Established", {}).get("status") == "True"

    def reasons(self) -> list[str]:
        """See `Wait`."""
        return [
            f"{name}: {text(one.get('message'))}"
            for name, one in conditions_of(self.object).items()
            if one.get("message")
        ]
