"""What the cluster remembers of a Helm release: a ConfigMap in its namespace, labelled `sandbox.trainyard/release`."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.kubernetes_client import ApiError
from sandbox.providers.kubernetes import manifests
from sandbox.providers.kubernetes.cluster import PATIENCE, Cluster
from sandbox.providers.kubernetes.objects import Json, Kind, as_map, namespace_of, pluck, qualified, text

RELEASE = "sandbox.trainyard/release"
CONFIG_MAP = Kind("", "v1", "ConfigMap")


@dataclass(frozen=True)
class Record:
    """One release, as the cluster remembers it.

    Attributes:
        namespace, name, chart, version: the release's own.
        revision: 1 at first, one more at each update.
        definitions: `schema`, `permissive`, `skipped`, `unknown chart`, or `chart`: they are among its own objects.
        objects: what it made; None: its chart is not rendered here.
    """

    namespace: str
    name: str
    chart: str
    version: str
    revision: int
    definitions: str
    objects: list[manifests.Reference] | None = None

    @staticmethod
    def of(config_map: Json) -> Record:
        """Read the ConfigMap that holds a record."""
        data = as_map(config_map.get("data"))
        return Record(
            namespace_of(config_map),
            text(pluck(config_map, "metadata", "labels", RELEASE)),
            text(data.get("chart")),
            text(data.get("version")),
            int(text(data.get("revision")) or "1"),
            text(data.get("definitions")),
            manifests.read(text(data.get("objects"))) if "objects" in data else None,
        )

    @property
    def id(self) -> str:
        """The engine's id."""
        return qualified(self.namespace, self.name)

    def config_map(self) -> Json:
        """The ConfigMap that holds this record."""
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": f"sandbox-release.{self.name}",
                "namespace": self.namespace,
                "labels": {RELEASE: self.name},
            },
            "data": {
                "chart": self.chart,
                "version": self.version,
                "revision": str(self.revision),
                "definitions": self.definitions,
                **({} if self.objects is None else {"objects": manifests.write(self.objects)}),
            },
        }


async def find(cluster: Cluster, namespace: str, name: str) -> Record | None:
    """The record of a release, None where there is none."""
    try:
        where = await cluster.where(CONFIG_MAP, namespace, f"sandbox-release.{name}")
        return Record.of(await cluster.get(where, patience=PATIENCE))
    except ApiError as error:
        if error.not_found:
            return None
        raise
