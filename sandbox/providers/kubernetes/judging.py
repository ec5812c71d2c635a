"""What the engine asks about an object's inputs: whether they are right, and what changed.

Follows pulumi-kubernetes 4.34 with server-side apply. Nothing is written here.
"""

from __future__ import annotations

from pulumi.runtime.proto import provider_pb2

from sandbox.kubernetes_client import ApiError
from sandbox.providers.kubernetes.checkpoint import parse_checkpoint
from sandbox.providers.kubernetes.connection import Connection
from sandbox.providers.kubernetes.differing import FieldChange, differences
from sandbox.providers.kubernetes.errors import ProviderError
from sandbox.providers.kubernetes.naming import NamingError, adopt_name, assign_name, is_autonamed, is_named
from sandbox.providers.kubernetes.objects import (
    Json,
    Kind,
    Urn,
    annotation,
    clone,
    is_map,
    name_of,
    namespace_of,
    pluck,
    remove,
)
from sandbox.providers.kubernetes.properties import decode, mark_secrets, plain
from sandbox.providers.kubernetes.replacement import IDENTITY, parse_path, replacing_paths
from sandbox.providers.kubernetes.shape import normal, pruned
from sandbox.providers.kubernetes.waits.workloads import is_complete

_REPLACE_UNREADY = "pulumi.com/replaceUnready"


async def check(
    connection: Connection, urn: Urn, request: provider_pb2.CheckRequest
) -> tuple[Json, list[tuple[str, str]]]:
    """Complete and judge an object's inputs: its name, its namespace, normal spellings.

    Returns:
        The inputs to go on with, and what is wrong: pairs of property and reason.
    """
    if urn.is_list:
        raise ProviderError(
            "list resources exist for compatibility with YAML manifests and Helm charts, and cannot be created "
            "directly. Use the underlying resource type instead"
        )
    given, old = decode(request.news), plain(decode(request.olds))
    inputs = normal(plain(given))
    kind = Kind.of(inputs)
    failures = _mismatch(urn, kind)
    if urn.is_patch_of(kind.kind) and not is_named(inputs):
        raise ProviderError("patch resources require the `.metadata.name` field to be set")
    try:
        if old:
            adopt_name(inputs, old)
        else:
            assign_name(inputs, urn.name, request)
    except NamingError as error:
        raise ProviderError(str(error)) from error
    if not is_named(inputs) and pluck(inputs, "metadata", "generateName") is not None:
        raise ProviderError("the `.metadata.generateName` field is not supported in Server-Side Apply mode")
    namespace = connection.default_namespace
    metadata = inputs.get("metadata")
    if namespace and is_map(metadata) and not inputs["metadata"].get("namespace") and connection.is_namespaced(kind):
        inputs["metadata"]["namespace"] = namespace
    if kind.is_crd:
        names = pluck(inputs, "spec", "names", "kind")
        connection.crds[str(pluck(inputs, "spec", "group")), str(names)] = inputs
    checked = clone(inputs)
    mark_secrets(checked, given)
    return checked, failures


def _mismatch(urn: Urn, kind: Kind) -> list[tuple[str, str]]:
    """The resource's type and the object must speak of one kind."""
    token = urn.kind
    expected = {token.kind, token.kind.removesuffix("Patch")} if token.kind != "Patch" else {token.kind}
    if kind.kind in expected and (kind.group, kind.version) == (token.group, token.version):
        return []
    return [("kind", f"the object says it is {kind}, but the resource's type {urn.module}:{urn.type_name} is {token}")]


async def diff(connection: Connection, urn: Urn, request: provider_pb2.DiffRequest) -> provider_pb2.DiffResponse:
    """Compare the last known live object, cut down to the old inputs, with the new inputs."""
    given = decode(request.news)
    old_inputs, live = parse_checkpoint(decode(request.olds))
    old_inputs, new = normal(old_inputs), normal(plain(given))
    kind = Kind.of(new)
    old = pruned(live, old_inputs)
    _level(connection, kind, old, new)
    if name_of(new):
        old.setdefault("metadata", {})["name"] = name_of(live)
    settings = connection.settings
    rules = (
        IDENTITY
        if urn.is_patch_of(kind.kind)
        else replacing_paths(
            new, mutable_config_maps=settings.mutable_config_maps, mutable_secrets=settings.mutable_secrets
        )
    )
    changes = differences(
        old,
        new,
        old_inputs,
        rules,
        lenient=kind.is_built_in,
        ignored=[parse_path(one) for one in request.ignoreChanges],
    )
    replaces = [path for path, change in changes.items() if change.replaces]
    changed = bool(changes)
    if annotation(new, _REPLACE_UNREADY) == "true" and await _is_unready_job(connection, urn, live):
        changed = True
        replaces.append(f'.metadata.annotations["{_REPLACE_UNREADY}"]')
    keeps_name = is_named(new) and not is_autonamed(new) and name_of(new) == name_of(live)
    deletes_first = bool(replaces) and keeps_name and namespace_of(new) == namespace_of(live)
    return answer(changes, replaces, changed=changed, deletes_first=deletes_first)


def answer(
    changes: dict[str, FieldChange], replaces: list[str], *, changed: bool, deletes_first: bool
) -> provider_pb2.DiffResponse:
    """The engine's form of a comparison's outcome."""
    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE,
        replaces=replaces,
        deleteBeforeReplace=deletes_first,
        detailedDiff={
            path: provider_pb2.PropertyDiff(
                kind=provider_pb2.PropertyDiff.Kind.Value(change.wire_name), inputDiff=change.is_deletion
            )
            for path, change in changes.items()
        },
        hasDetailedDiff=True,
    )


def _level(connection: Connection, kind: Kind, old: Json, new: Json) -> None:
    """Give both sides the namespace that the server gives them, or none where objects have none."""
    for obj in (old, new):
        if connection.is_namespaced(kind):
            obj.setdefault("metadata", {})
            if is_map(obj["metadata"]):
                obj["metadata"]["namespace"] = obj["metadata"].get("namespace") or "default"
        else:
            remove(obj, "metadata", "namespace")
    old.setdefault("apiVersion", new.get("apiVersion"))
    old.setdefault("kind", new.get("kind"))


async def _is_unready_job(connection: Connection, urn: Urn, live: Json) -> bool:
    if Kind.of(live).kind != "Job":
        connection.log("warning", urn.urn, "replaceUnready annotation is not supported for this resource")
        return False
    if connection.cluster is None:
        connection.log("warning", urn.urn, "Cluster is unreachable, skipping replaceUnready check")
        return False
    try:
        return not is_complete(await connection.cluster.get(await connection.cluster.where_is(live)))
    except ApiError:
        return False
