"""The charts of storage operators, as far as they decide where operators and CSI plugins run: values to objects.

Owns the shape of the objects; the charts' own default values are data (`data/chart_values.yaml`). Roles and bindings
are left out: nothing that runs here asks for them. Charts that Helm renders: `sandbox/providers/kubernetes/helm.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import yaml

from sandbox.nodes.objects import Json
from sandbox.operators.charts import ceph, kadalu, portworx
from sandbox.operators.charts.base import Release, merged

__all__ = ["Release", "marked", "render"]
_FILE = Path(__file__).parent.parent / "data" / "chart_values.yaml"
_CHARTS: Mapping[str, Callable[[Release, Json], list[Json]]] = {
    "rook-ceph": ceph.rook_ceph,
    "ceph-csi-drivers": ceph.ceph_csi_drivers,
    "kadalu": kadalu.kadalu,
    "portworx": portworx.portworx,
}


def render(release: Release) -> list[Json] | None:
    """The objects of a release, in the order in which Helm makes them; None: the chart is not known.

    Raises:
        ValueError: values that the chart's templates fail on.
    """
    chart = _CHARTS.get(release.chart)
    if chart is None:
        return None
    made = chart(release, merged(_defaults()[release.chart], release.values))
    return [marked(one, release) for one in made]


def marked(made: Json, release: Release) -> Json:
    """An object with Helm's own label and annotations: by them it knows what is its own."""
    metadata = made["metadata"]
    metadata["labels"] = {**(metadata.get("labels") or {}), "app.kubernetes.io/managed-by": "Helm"}
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        "meta.helm.sh/release-name": release.name,
        "meta.helm.sh/release-namespace": release.namespace,
    }
    return made


@functools.cache
def _defaults() -> Json:
    return cast("Json", yaml.safe_load(_FILE.read_text()))
