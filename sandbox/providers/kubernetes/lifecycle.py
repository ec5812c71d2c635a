"""What the engine does with an object: create, read, update, delete.

Follows pulumi-kubernetes 4.34 with server-side apply. One difference, wanted: the API server is asked to be strict,
so that a misspelt field is refused in preview already, where the real provider lets it vanish.
"""

from __future__ import annotations

from pulumi.runtime.proto import provider_pb2

from sandbox.kubernetes_client import ApiError
from sandbox.providers.kubernetes import operations
from sandbox.providers.kubernetes.checkpoint import checkpoint, field_manager, initial_api_version, parse_checkpoint
from sandbox.providers.kubernetes.cluster import Cluster, NoSuchKindError
from sandbox.providers.kubernetes.connection import Connection
from sandbox.providers.kubernetes.errors import PartialFailure, ProviderError
from sandbox.providers.kubernetes.objects import (
    Json,
    Kind,
    Urn,
    clone,
    has_unknown,
    name_of,
    namespace_of,
    object_id,
    remove,
    split_id,
)
from sandbox.providers.kubernetes.properties import decode, mark_secrets, plain
from sandbox.providers.kubernetes.replacement import parse_path
from sandbox.providers.kubernetes.shape import found_inputs, normal
from sandbox.providers.kubernetes.waits.base import NotReadyError, judge
from sandbox.providers.kubernetes.waits.rules import rules_for, skips

_SERVER_METADATA = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid", "selfLink")
_GONE = (
    "If the cluster was deleted, you can remove this resource from Pulumi state by rerunning the operation with the "
    'PULUMI_K8S_DELETE_UNREACHABLE environment variable set to "true"'
)


def _job(
    connection: Connection, cluster: Cluster, urn: Urn, manager: str, *, preview: bool = False, timeout: float = 0
) -> operations.Job:
    return operations.Job(
        cluster=cluster,
        settings=connection.settings,
        urn=urn,
        manager=manager,
        preview=preview,
        timeout=timeout,
        cancelled=connection.cancelled,
        report=lambda message: connection.host.log("info", urn.urn, message, status=True),
    )


async def create(connection: Connection, urn: Urn, request: provider_pb2.CreateRequest) -> tuple[str, Json]:
    """Create an object; gives its id and outputs. In preview the server is asked what it would be, where it can."""
    given = decode(request.properties)
    inputs: Json = plain(given)
    cluster = connection.cluster
    if cluster is None:
        if request.preview:
            return "", given
        raise ProviderError(f"configured Kubernetes cluster is unreachable: {connection.unreachable}")
    if request.preview and (
        has_unknown(inputs) or urn.is_patch_of(Kind.of(inputs).kind) or not await connection.serves(Kind.of(inputs))
    ):
        return "", given
    manager = field_manager(given, inputs)
    job = _job(connection, cluster, urn, manager, preview=request.preview, timeout=request.timeout)
    api_version = str(inputs.get("apiVersion"))
    failure: NotReadyError | None = None
    try:
        live = await operations.create(job, inputs)
    except operations.NamespaceMissingError:
        return "", given
    except NotReadyError as error:
        failure, live = error, error.object
    except NoSuchKindError as error:
        raise ProviderError(
            f"creation of resource {urn.urn!r} with kind {Kind.of(inputs)} failed because the Kubernetes API server "
            "reported that the apiVersion for this resource does not exist. Verify that any required CRDs have been "
            f"created: {error.message}"
        ) from error
    except (ApiError, ValueError) as error:
        if request.preview and isinstance(error, ApiError) and (error.status == 403 or error.reason == "AlreadyExists"):
            return "", given
        raise ProviderError(
            f"resource {urn.urn!r} was not successfully created by the Kubernetes API server: {_words(error)}"
        ) from error
    if request.preview:
        live.pop("status", None)
    outputs = checkpoint(inputs, live, given, api_version=api_version, manager=manager)
    if failure is not None:
        raise PartialFailure(
            f"resource {urn.urn!r} was successfully created, but the Kubernetes API server reported that it failed to "
            f"fully initialize or become live: {failure}",
            object_id(live),
            outputs,
            failure.reasons,
        )
    return "" if request.preview else object_id(live), outputs


def _words(error: Exception) -> str:
    return error.message if isinstance(error, ApiError) else str(error)


async def update(connection: Connection, urn: Urn, request: provider_pb2.UpdateRequest) -> Json:
    """Bring an object to new inputs; gives its outputs."""
    given, state = decode(request.news), decode(request.olds)
    inputs = normal(plain(given))
    cluster = connection.cluster
    if cluster is None and not request.preview:
        raise ProviderError(f"configured Kubernetes cluster is unreachable: {connection.unreachable}")
    if cluster is None or (request.preview and (has_unknown(inputs) or not await connection.serves(Kind.of(inputs)))):
        return given
    old_inputs, old_live = parse_checkpoint(state)
    former, manager = field_manager(state, old_inputs), field_manager(state, inputs)
    job = _job(connection, cluster, urn, manager, preview=request.preview, timeout=request.timeout)
    ignored = [parse_path(one) for one in request.ignoreChanges]
    failure: Exception | None = None
    reasons: list[str] = []
    try:
        live = await operations.update(job, inputs, name_of(old_live), ignored)
        if former != manager and not request.preview:
            await operations.relinquish(job, live, former)
    except NotReadyError as error:
        failure, live, reasons = error, error.object, error.reasons
    except NoSuchKindError as error:
        raise ProviderError(
            f"update of resource {urn.urn!r} failed because the Kubernetes API server reported that the apiVersion for "
            f"this resource does not exist. Verify that any required CRDs have been created: {error.message}"
        ) from error
    except (ApiError, ValueError) as error:
        if request.preview and isinstance(error, ApiError) and error.status == 403:
            return given
        failure, live = error, await _live_after_failure(cluster, urn, old_live, error, preview=request.preview)
    outputs = checkpoint(inputs, live, given, api_version=initial_api_version(state, old_inputs), manager=manager)
    if failure is not None:
        raise PartialFailure(
            f"the Kubernetes API server reported that {object_id(live)!r} failed to fully initialize or become live: "
            f"{_words(failure)}",
            object_id(live),
            outputs,
            reasons,
        )
    return outputs


async def _live_after_failure(cluster: Cluster, urn: Urn, live: Json, error: Exception, *, preview: bool) -> Json:
    """The object as it is after a refused update."""
    if preview:
        raise ProviderError(f"update of resource {urn.urn!r} failed: {_words(error)}") from error
    try:
        return await cluster.get(await cluster.where_is(live))
    except ApiError as read_error:
        raise ProviderError(
            f"update of resource {urn.urn!r} failed: {_words(error)}\nunable to get cluster state: {read_error.message}"
        ) from error


async def read(connection: Connection, urn: Urn, request: provider_pb2.ReadRequest) -> tuple[str, Json, Json] | None:
    """Read an object as it is: id, outputs and inputs; None if it is gone."""
    state, given = decode(request.properties), decode(request.inputs)
    cluster = connection.cluster
    if cluster is None:
        return _read_unreachable(connection, urn, request, state, given)
    namespace, name = split_id(request.id)
    if not name:
        raise ProviderError(f"failed to read resource: no object's name in the id {request.id!r}")
    _, old_live = parse_checkpoint(state)
    inputs = normal(plain(given))
    imported = not inputs.get("kind") and not old_live.get("kind")
    if not inputs.get("kind"):
        inputs = _identity(urn, old_live, namespace, name, inputs)
    api_version, manager = initial_api_version(state, inputs), field_manager(state, inputs)
    failure: NotReadyError | None = None
    try:
        live = await cluster.get(await cluster.where(Kind.of(inputs), namespace_of(inputs), name))
        rules = None if imported or skips(inputs) else rules_for(inputs, live)
        if rules is not None and rules.checked_on_read:
            await judge(rules, cluster)
    except NotReadyError as error:
        failure, live = error, error.object
    except ApiError as error:
        if error.not_found:
            return None
        raise ProviderError(f"failed to read {request.id!r}: {error.message}") from error
    found = _imported(live) if imported else found_inputs(live, inputs)
    outputs = checkpoint(found, live, given, api_version=api_version, manager=manager)
    kept = clone(found)
    mark_secrets(kept, given)
    if failure is not None:
        raise PartialFailure(str(failure), request.id or object_id(live), outputs, failure.reasons, kept)
    return request.id or object_id(live), outputs, kept


def _read_unreachable(
    connection: Connection, urn: Urn, request: provider_pb2.ReadRequest, state: Json, given: Json
) -> tuple[str, Json, Json] | None:
    connection.log("warning", urn.urn, f"configured Kubernetes cluster is unreachable: {connection.unreachable}")
    if connection.settings.delete_unreachable:
        connection.log(
            "info",
            urn.urn,
            "configured Kubernetes cluster is unreachable and the `deleteUnreachable` option is enabled. "
            "Deleting the unreachable resource from Pulumi state",
        )
        return None
    if connection.settings.skip_update_unreachable:
        return request.id, state, given
    raise ProviderError(f"failed to read resource state due to unreachable cluster. {_GONE}")


def _identity(urn: Urn, live: Json, namespace: str, name: str, inputs: Json) -> Json:
    """What an object must be, where the engine knows no inputs: of its type, with the id's name."""
    kind = Kind.of(live) if live.get("kind") else urn.kind
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {**inputs, "apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}


def _imported(live: Json) -> Json:
    """Inputs that would make this object: all of it but what the server writes."""
    inputs = clone(live)
    inputs.pop("status", None)
    for field in _SERVER_METADATA:
        remove(inputs, "metadata", field)
    for key in ("deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration"):
        remove(inputs, "metadata", "annotations", key)
    return inputs


async def delete(connection: Connection, urn: Urn, request: provider_pb2.DeleteRequest) -> None:
    """Delete an object and wait until it is gone."""
    state = decode(request.properties)
    inputs, live = parse_checkpoint(state)
    cluster = connection.cluster
    if cluster is None:
        connection.log("warning", urn.urn, f"configured Kubernetes cluster is unreachable: {connection.unreachable}")
        if connection.settings.delete_unreachable:
            return
        raise ProviderError(f"configured Kubernetes cluster is unreachable. {_GONE}")
    manager = field_manager(state, inputs)
    job = _job(connection, cluster, urn, manager, timeout=request.timeout)
    try:
        await operations.delete(job, inputs, live)
    except NotReadyError as error:
        outputs = checkpoint(
            inputs, error.object, state, api_version=initial_api_version(state, inputs), manager=manager
        )
        words = "; ".join([str(error), *error.reasons])
        raise PartialFailure(words, object_id(error.object), outputs, error.reasons) from error
    except ApiError as error:
        raise ProviderError(f"{request.id!r} was not deleted: {error.message}") from error
