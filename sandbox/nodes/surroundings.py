"""What a container sees of its cluster and of Azure: variables, files, its node's machine, its identity."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Mapping

from sandbox.kubernetes_client import KubernetesClient, path
from sandbox.nodes.azure_client import AzureClient
from sandbox.nodes.machines import Cluster, Fleet, Machine
from sandbox.nodes.objects import Json, annotations_of, items, labels_of, section, text, words_of

_KEPT_SECONDS = 2
"""For how long an object that many pods refer to is not read again."""
_REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)")


class MissingReferenceError(LookupError):
    """A variable refers to an object or key that does not exist."""


class Surroundings:
    """Reads for checks; every method raises `ApiError` or `AzureError` where a server cannot be asked.

    Args:
        client: the API server.
        azure: the simulated Azure.
        fleet: gives the machines now; None before they were first read.
        node: gives a Node by name; None where there is none.
    """

    def __init__(
        self,
        client: KubernetesClient,
        azure: AzureClient,
        fleet: Callable[[], Fleet | None],
        node: Callable[[str], Json | None],
    ) -> None:
        self.client = client
        self.azure = azure
        self._fleet = fleet
        self._node = node
        self._kept: dict[str, tuple[float, Json | None]] = {}

    @property
    def cluster(self) -> Cluster | None:
        """The managed cluster."""
        fleet = self._fleet()
        return None if fleet is None else fleet.cluster

    def machine_of(self, pod: Json) -> Machine | None:
        """The machine a pod runs on, None where it is not known (yet)."""
        fleet = self._fleet()
        return None if fleet is None else fleet.machines.get(text(pod, "spec", "nodeName"))

    def node_labels(self, pod: Json) -> dict[str, str]:
        """The labels of a pod's node."""
        return labels_of(self._node(text(pod, "spec", "nodeName")) or {})

    async def config_map(self, namespace: str, name: str) -> Mapping[str, str] | None:
        """A ConfigMap's data, None where there is none."""
        found = await self._find(path("v1", "configmaps", namespace, name))
        return None if found is None else section(found, "data")

    async def secret(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        """A Secret's data, None where there is none."""
        found = await self._find(path("v1", "secrets", namespace, name))
        if found is None:
            return None
        return {key: base64.b64decode(value) for key, value in section(found, "data").items()}

    async def service_account(self, namespace: str, name: str) -> Json | None:
        """A ServiceAccount, None where there is none."""
        return await self._find(path("v1", "serviceaccounts", namespace, name))

    async def service_account_token(self, namespace: str, name: str, audience: str, pod: Json | None = None) -> str:
        """A token of a service account for an audience, as the kubelet projects it into pods; with a pod, for as long
        as that pod is there."""
        spec: Json = {"audiences": [audience], "expirationSeconds": 3600}
        if pod is not None:
            mine = {"name": text(pod, "metadata", "name"), "uid": text(pod, "metadata", "uid")}
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", **mine}
        body: Json = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer = await self.client.create(path("v1", "serviceaccounts", namespace, name, "token"), body)
        return text(answer, "status", "token")

    async def environment(self, pod: Json, container: Json) -> dict[str, str]:
        """A container's variables with all references resolved.

        Raises:
            MissingReferenceError: one refers to what is not there.
        """
        namespace = text(pod, "metadata", "namespace")
        variables: dict[str, str] = {}
        for source in items(container, "envFrom"):
            data = await self._source_data(namespace, source, "configMapRef", "secretRef")
            variables.update({source.get("prefix", "") + key: value for key, value in data.items()})
        for one in items(container, "env"):
            if "valueFrom" not in one:
                variables[one["name"]] = expand(str(one.get("value") or ""), variables)
                continue
            origin = section(one, "valueFrom")
            if "fieldRef" in origin:
                variables[one["name"]] = _field(pod, text(origin, "fieldRef", "fieldPath"))
                continue
            data = await self._source_data(namespace, origin, "configMapKeyRef", "secretKeyRef")
            reference: Json = origin.get("configMapKeyRef") or origin.get("secretKeyRef") or {}
            if reference.get("key") in data:
                variables[one["name"]] = data[reference["key"]]
            elif reference and not reference.get("optional"):
                raise MissingReferenceError(f"couldn't find key {reference.get('key')} in {reference.get('name')}")
        return variables

    async def _source_data(self, namespace: str, origin: Json, config_map: str, secret: str) -> Mapping[str, str]:
        """The data of a ConfigMap or Secret that a variable names."""
        for field, plural in ((config_map, "configmaps"), (secret, "secrets")):
            reference = origin.get(field)
            if reference is None:
                continue
            found = await self._find(path("v1", plural, namespace, str(reference["name"])))
            if found is None and not reference.get("optional"):
                raise MissingReferenceError(f'{plural.removesuffix("s")} "{reference["name"]}" not found')
            data: dict[str, str] = section(found or {}, "data")
            if plural == "secrets":
                return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}
            return data
        return {}

    async def _find(self, where: str) -> Json | None:
        kept = self._kept.get(where)
        if kept is None or time.monotonic() - kept[0] > _KEPT_SECONDS:
            kept = (time.monotonic(), await self.client.find(where))
            self._kept = {key: value for key, value in self._kept.items() if kept[0] - value[0] <= _KEPT_SECONDS}
            self._kept[where] = kept
        return kept[1]


def command_line(container: Json, environment: Mapping[str, str]) -> tuple[str, ...]:
    """A container's arguments after its program, with `$(VAR)` expanded as Kubernetes does."""
    words = [*words_of(container, "command")[1:], *words_of(container, "args")]
    return tuple(expand(word, environment) for word in words)


def expand(value: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by a variable, where there is one; `$$` is a dollar sign."""
    return _REFERENCE.sub(
        lambda match: "$" if match[1] is None else variables.get(match[1], match[0]),
        value,
    )


def _field(pod: Json, field_path: str) -> str:
    keyed = re.match(r"^metadata\.(labels|annotations)\['(.+)'\]$", field_path)
    if keyed is not None:
        return (labels_of(pod) if keyed[1] == "labels" else annotations_of(pod)).get(keyed[2], "")
    return text(pod, *field_path.split("."))
