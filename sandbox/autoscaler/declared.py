"""The autoscaler as the stack declares it: whether it runs, and what it was told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from capacity.autoscaling.expanders import Priorities
from capacity.autoscaling.options import Options
from sandbox.autoscaler.machines import Caching
from sandbox.kubernetes_client import KubernetesClient, path
from sandbox.nodes.autoscaler_flags import FlagError, check_flags, parse_flags
from sandbox.nodes.objects import Json, annotations_of, is_ready, items, section, text
from sandbox.nodes.surroundings import MissingReferenceError, Surroundings, command_line

NAMESPACE, NAME = "kube-system", "cluster-autoscaler"
_PRIORITIES = "cluster-autoscaler-priority-expander"
_CLIENT_ID = "azure.workload.identity/client-id"


class DeclarationError(ValueError):
    """The Deployment says what cannot be followed; the message says what."""


@dataclass(frozen=True)
class Declared:
    """What the running Deployment was told.

    Attributes:
        arguments: its command line after the program.
        flags: the same, read: flag to its values.
        options: those that decisions rest on.
        caching: how long it believes what it read of Azure.
        group_id: the resource group of its scale sets.
        namespace, account: whose token it signs in with.
        client_id: the identity it signs in as.
        environment: its container's variables.
    """

    arguments: tuple[str, ...]
    flags: Mapping[str, Sequence[str]]
    options: Options
    caching: Caching
    group_id: str
    namespace: str
    account: str
    client_id: str
    environment: Mapping[str, str]

    def is_on(self, flag: str) -> bool:
        """Whether a switch is on; one that is absent is off."""
        return self.flags.get(flag, ["false"])[-1].lower() in ("1", "t", "true")

    def number(self, flag: str, default: float) -> float:
        """A flag's number."""
        return float(self.flags.get(flag, [str(default)])[-1])


async def declared(client: KubernetesClient, around: Surroundings) -> Declared | None:
    """The autoscaler if one of its pods is ready; None where there is none, or where it is paused.

    Raises:
        ApiError, AzureError: the API server or Azure cannot be asked.
        DeclarationError: its flags or variables cannot be read.
    """
    deployment = await client.find(path("apps/v1", "deployments", NAMESPACE, NAME))
    if deployment is None or not section(deployment, "spec").get("replicas"):
        return None
    labels: Mapping[str, str] = section(deployment, "spec", "selector", "matchLabels")
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    pods, _ = await client.list(path("v1", "pods", NAMESPACE), {"labelSelector": selector})
    pod = next((one for one in sorted(pods, key=_made) if is_ready(one)), None)
    if pod is None:
        return None
    container = next((one for one in items(pod, "spec", "containers") if one.get("name") == NAME), None)
    return await _read(pod, container or items(pod, "spec", "containers")[0], around)


async def _read(pod: Json, container: Json, around: Surroundings) -> Declared:
    account_name = text(pod, "spec", "serviceAccountName") or "default"
    account = await around.service_account(NAMESPACE, account_name)
    try:
        variables = await around.environment(pod, container)
        arguments = command_line(container, variables)
        flags = parse_flags(arguments)
        check_flags(flags)
        options = Options.from_flags({flag: values[-1] for flag, values in flags.items()})
        caching = Caching.from_environment(variables)
        subscription, group = variables["ARM_SUBSCRIPTION_ID"], variables["ARM_RESOURCE_GROUP"]
    except KeyError as missing:
        raise DeclarationError(f"the variable {missing} is not set") from None
    except (FlagError, MissingReferenceError, ValueError) as error:
        raise DeclarationError(str(error)) from error
    return Declared(
        arguments=arguments,
        flags=flags,
        options=options,
        caching=caching,
        group_id=f"/subscriptions/{subscription}/resourceGroups/{group}",
        namespace=NAMESPACE,
        account=account_name,
        client_id=variables.get("AZURE_CLIENT_ID") or annotations_of(account or {}).get(_CLIENT_ID, ""),
        environment=variables,
    )


async def priorities(client: KubernetesClient) -> Priorities | None:
    """The priority expander's list; None where there is no ConfigMap.

    Raises:
        ApiError: the API server cannot be asked.
        DeclarationError: the list cannot be read.
    """
    found = await client.find(path("v1", "configmaps", NAMESPACE, _PRIORITIES))
    if found is None:
        return None
    try:
        listed: Any = yaml.safe_load(section(found, "data").get("priorities") or "{}")
        return Priorities.of({int(number): [str(one) for one in patterns] for number, patterns in listed.items()})
    except (yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        raise DeclarationError(f"the ConfigMap {_PRIORITIES} cannot be read: {error}") from error


def _made(pod: Json) -> str:
    return text(pod, "metadata", "creationTimestamp")
