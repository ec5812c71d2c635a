"""Whether a cluster-autoscaler would run: its flags, its settings for Azure, its identity, its rights.

Owns the order in which the program meets them at start. Asks the two servers what it would ask: a token of its
service account, exchanged at Azure for one of its identity, then the scale sets of the node resource group.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.kubernetes_client import path
from sandbox.nodes.autoscaler_flags import FlagError, check_flags, parse_flags
from sandbox.nodes.azure_client import FEDERATED_AUDIENCE, AzureError
from sandbox.nodes.machines import Cluster
from sandbox.nodes.objects import Json, annotations_of, labels_of, section, text
from sandbox.nodes.surroundings import Surroundings, command_line
from sandbox.nodes.verdicts import Verdict, crashes, runs

_PERMISSIONS_FILE = Path(__file__).parent / "data" / "cluster_autoscaler_permissions.csv"
_TRUE = {"true", "1", "t"}
_WORKLOAD_IDENTITY_LABEL = "azure.workload.identity/use"
_CLIENT_ID_ANNOTATION = "azure.workload.identity/client-id"


@dataclass(frozen=True)
class Permission:
    """One right on the API server, of the cluster or, with `own` as namespace, in the autoscaler's own.

    Attributes:
        name: of one object, where the program asks for that one only.
    """

    verb: str
    group: str
    resource: str
    namespace: str
    name: str


async def judge_autoscaler(pod: Json, container: Json, around: Surroundings) -> Verdict:
    """Whether this container would go on running, and if not, what it would say."""
    environment = await around.environment(pod, container)
    try:
        flags = parse_flags(command_line(container, environment))
        check_flags(flags)
    except FlagError as error:
        return crashes(str(error))
    cluster = around.cluster
    if cluster is None:
        return crashes("Failed to create Azure Manager: there is no managed cluster")
    problem = azure_settings_problem(environment, cluster)
    if problem is None:
        account = await around.service_account(_namespace(pod), _account_name(pod))
        problem = identity_problem(pod, account, environment, cluster)
        if problem is None:
            problem = await _azure_problem(pod, _client_id(account, environment), environment, around)
    if problem is not None:
        return crashes(f"Failed to create Azure Manager: {problem}")
    missing = await _missing_permission(pod, around)
    return runs() if missing is None else crashes(missing)


def azure_settings_problem(environment: Mapping[str, str], cluster: Cluster) -> str | None:
    """What is wrong with the container's ARM_ variables."""
    subscription = environment.get("ARM_SUBSCRIPTION_ID", "")
    group = environment.get("ARM_RESOURCE_GROUP", "")
    vm_type = environment.get("ARM_VM_TYPE") or "vmss"
    workload_identity = _is_on(environment, "ARM_USE_WORKLOAD_IDENTITY_EXTENSION")
    managed_identity = _is_on(environment, "ARM_USE_MANAGED_IDENTITY_EXTENSION")
    own_subscription = cluster.id.split("/")[2]
    problems = (
        (not subscription, "subscription ID not set: give ARM_SUBSCRIPTION_ID"),
        (
            subscription.lower() != own_subscription.lower(),
            f"ARM_SUBSCRIPTION_ID is {subscription!r}, the cluster's machines are in {own_subscription!r}",
        ),
        (not group, "resource group not set: give ARM_RESOURCE_GROUP, the node resource group"),
        (
            group.lower() != cluster.node_resource_group.lower(),
            f"ARM_RESOURCE_GROUP is {group!r}, which holds no scale sets of this cluster: it must be the node "
            f"resource group {cluster.node_resource_group!r}",
        ),
        (vm_type not in ("vmss", "standard"), f"unsupported VM type {vm_type!r} in ARM_VM_TYPE: vmss is expected"),
        (
            workload_identity and managed_identity,
            "you can not combine both managed identity and workload identity as an authentication mechanism",
        ),
        (
            managed_identity,
            "the machines' own identity hands out no tokens in the sandbox: use workload identity",
        ),
        (
            not workload_identity,
            "no credentials provided for Azure API: give ARM_USE_WORKLOAD_IDENTITY_EXTENSION=true",
        ),
    )
    return next((message for broken, message in problems if broken), None)


def identity_problem(pod: Json, account: Json | None, environment: Mapping[str, str], cluster: Cluster) -> str | None:
    """What keeps the workload-identity webhook from giving the container a token."""
    name = _account_name(pod)
    if not cluster.addons.workload_identity:
        return "the cluster has workload identity switched off (securityProfile.workloadIdentity.enabled)"
    if labels_of(pod).get(_WORKLOAD_IDENTITY_LABEL) != "true":
        return f'no AZURE_FEDERATED_TOKEN_FILE: the pod lacks the label {_WORKLOAD_IDENTITY_LABEL}: "true"'
    if account is None:
        return f'serviceaccount "{name}" not found'
    if not _client_id(account, environment):
        return f"no AZURE_CLIENT_ID: service account {name} lacks the annotation {_CLIENT_ID_ANNOTATION}"
    return None


async def _azure_problem(pod: Json, client_id: str, environment: Mapping[str, str], around: Surroundings) -> str | None:
    """What Azure answers when the autoscaler signs in and reads its scale sets."""
    assertion = await around.service_account_token(_namespace(pod), _account_name(pod), FEDERATED_AUDIENCE)
    group = f"/subscriptions/{environment['ARM_SUBSCRIPTION_ID']}/resourceGroups/{environment['ARM_RESOURCE_GROUP']}"
    try:
        token = await around.azure.exchange(assertion, client_id)
        scale_sets = f"{group}/providers/Microsoft.Compute/virtualMachineScaleSets"
        await around.azure.arm("GET", scale_sets, "2019-07-01", token=token)
        await around.azure.arm("GET", f"{group}/providers/Microsoft.Compute/virtualMachines", "2017-12-01", token=token)
    except AzureError as error:
        if error.status == 0 or error.status >= 500:
            raise
        return f"{error.status} {error}"
    return None


@functools.cache
def needed_permissions() -> tuple[Permission, ...]:
    """What the autoscaler must be allowed on the API server."""
    with _PERMISSIONS_FILE.open(newline="") as file:
        return tuple(Permission(**row) for row in csv.DictReader(file))


async def _missing_permission(pod: Json, around: Surroundings) -> str | None:
    """The first right that the pod's service account lacks, in the API server's words."""
    namespace = _namespace(pod)
    user = f"system:serviceaccount:{namespace}:{_account_name(pod)}"
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
    for needed in needed_permissions():
        resource, _, subresource = needed.resource.partition("/")
        attributes = {"verb": needed.verb, "group": needed.group, "resource": resource, "subresource": subresource}
        if needed.namespace == "own":
            attributes["namespace"] = namespace
        if needed.name:
            attributes["name"] = needed.name
        body: Json = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "groups": groups, "resourceAttributes": attributes},
        }
        answer = await around.client.create(path("authorization.k8s.io/v1", "subjectaccessreviews"), body)
        if not section(answer, "status").get("allowed"):
            where = f'in the namespace "{namespace}"' if needed.namespace == "own" else "at the cluster scope"
            return (
                f'{needed.resource} is forbidden: User "{user}" cannot {needed.verb} resource "{needed.resource}" '
                f'in API group "{needed.group}" {where}'
            )
    return None


def _client_id(account: Json | None, environment: Mapping[str, str]) -> str:
    return environment.get("AZURE_CLIENT_ID") or annotations_of(account or {}).get(_CLIENT_ID_ANNOTATION, "")


def _is_on(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(name, "").lower() in _TRUE


def _namespace(pod: Json) -> str:
    return text(pod, "metadata", "namespace")


def _account_name(pod: Json) -> str:
    return text(pod, "spec", "serviceAccountName") or "default"
