"""The chart `portworx`: its operator; the StorageCluster is the program's own.

Source: portworx/helm portworx-9.1.1 charts/portworx/templates/portworx-operator.yaml.
"""

from __future__ import annotations

from typing import Any

from sandbox.nodes.objects import Json
from sandbox.operators.charts.base import Release, named

_APART: Any = {
    "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {
                "labelSelector": {
                    "matchExpressions": [{"key": "name", "operator": "In", "values": ["portworx-operator"]}]
                },
                "topologyKey": "kubernetes.io/hostname",
            }
        ]
    }
}


def portworx(release: Release, values: Json) -> list[Json]:
    """The operator and its service account.

    Raises:
        ValueError: the chart is to make the StorageCluster, too; what it would say is not known here.
    """
    if values["deployCluster"]:
        raise ValueError(
            "portworx: the sandbox does not render the StorageCluster of the chart; set deployCluster: false and "
            "declare a StorageCluster"
        )
    if not values["deployOperator"]:
        return []
    container = {
        "name": "portworx-operator",
        "image": f"docker.io/portworx/px-operator:{values['pxOperatorImageVersion']}",
        "command": ["/operator", "--driver=portworx", "--leader-elect=true"],
        "env": [{"name": "OPERATOR_NAME", "value": "portworx-operator"}],
    }
    operator = named("apps/v1", "Deployment", release.namespace, "portworx-operator")
    operator["spec"] = {
        "replicas": 1,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}},
        "selector": {"matchLabels": {"name": "portworx-operator"}},
        "template": {
            "metadata": {"labels": {"name": "portworx-operator"}},
            "spec": {"serviceAccountName": "portworx-operator", "affinity": _APART, "containers": [container]},
        },
    }
    return [named("v1", "ServiceAccount", release.namespace, "portworx-operator"), operator]
