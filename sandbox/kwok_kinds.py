"""The kinds by which kwok is told where a pod's ports and logs are, as custom resource definitions.

Owns their installation, which must come before kwok starts: it watches them. Their schemas are kwok's own to judge;
here they are open. Reference: kwok v0.8, `kwok.x-k8s.io/v1alpha1`.
"""

from __future__ import annotations

import json
import ssl
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
    pair = certificates.pair(home, "admin")
    context = ssl.create_default_context(cafile=str(home.ca_cert))
    context.load_cert_chain(pair.cert, pair.key)
    handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    opener = urllib.request.build_opener(*handlers)
    url = f"{home.api_server_url}/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for kind, plural in KINDS.items():
        body = json.dumps(_definition(kind, plural)).encode()
        try:
            opener.open(urllib.request.Request(url, body, {"Content-Type": "application/json"}), timeout=30).close()
        except urllib.error.HTTPError as error:
            if error.code != _CONFLICT:
                raise


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
