"""What the API server must hold before kwok starts: its kinds, and no lease of the kwok before it.

The kinds tell kwok where a pod's ports and logs are; it watches them. Their schemas are kwok's own to judge; here they
are open. Reference: kwok v0.8, `kwok.x-k8s.io/v1alpha1`.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from sandbox import certificates
from sandbox.home import Home

KINDS = {"PortForward": "portforwards", "Logs": "logs"}
_GROUP, _VERSION = "kwok.x-k8s.io", "v1alpha1"
_CONFLICT = 409


def install(home: Home) -> None:
    """Make the definitions that are not there.

    Raises:
        OSError: the API server does not take them.
    """
    opener = certificates.opener(home, "admin")
    url = f"{home.api_server_url}/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for kind, plural in KINDS.items():
        body = json.dumps(_definition(kind, plural)).encode()
        try:
            opener.open(urllib.request.Request(url, body, {"Content-Type": "application/json"}), timeout=30).close()
        except urllib.error.HTTPError as error:
            if error.code != _CONFLICT:
                raise


def free_nodes(home: Home) -> None:
    """Delete the nodes' leases: a new kwok lets each node be until the one that ended can hold it no longer.

    Raises:
        OSError: the API server does not delete them.
    """
    url = f"{home.api_server_url}/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    certificates.opener(home, "admin").open(urllib.request.Request(url, method="DELETE"), timeout=30).close()


def _definition(kind: str, plural: str) -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": _VERSION, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    version["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{_GROUP}"},
        "spec": {
            "group": _GROUP,
            "scope": "Namespaced",
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "versions": [version],
        },
    }
