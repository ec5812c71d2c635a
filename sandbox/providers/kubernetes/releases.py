"""Helm releases: recorded, their custom resource definitions installed, and the objects of known charts made.

Objects come from Helm itself (`helm.py`) or from what the sandbox knows of a chart (`sandbox.operators.charts`).

The record is a ConfigMap in the release's namespace (label `sandbox.trainyard/release`): chart, version, revision,
where the definitions come from, and which objects were made. The values stay in the engine's state, as they may hold
secrets: charts are rendered here, as Helm does on its user's machine.
"""

from __future__ import annotations

import asyncio
import re

from pulumi.runtime.proto import provider_pb2

from sandbox.kubernetes_client import ApiError
from sandbox.operators.charts import Release, render
from sandbox.providers.kubernetes import helm, manifests
from sandbox.providers.kubernetes.charts import SOURCE, Definitions, definitions, own_name
from sandbox.providers.kubernetes.cluster import PATIENCE, Cluster
from sandbox.providers.kubernetes.connection import Connection
from sandbox.providers.kubernetes.differing import differences
from sandbox.providers.kubernetes.errors import PartialFailure, ProviderError
from sandbox.providers.kubernetes.judging import answer
from sandbox.providers.kubernetes.objects import (
    UNKNOWN,
    Json,
    Kind,
    Urn,
    annotation,
    as_list,
    as_map,
    clone,
    has_unknown,
    name_of,
    pluck,
    qualified,
    split_id,
    text,
    unique,
)
from sandbox.providers.kubernetes.properties import Secret, decode, mark_secrets, plain
from sandbox.providers.kubernetes.release_records import CONFIG_MAP, RELEASE, Record, find
from sandbox.providers.kubernetes.replacement import parse_path
from sandbox.providers.kubernetes.waits.base import NotReadyError, wait_for
from sandbox.providers.kubernetes.waits.others import CustomResourceDefinitionWait

_NAMESPACE = Kind("", "v1", "Namespace")
_CRD = Kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
_MANAGER = "helm"
_TIMEOUT = 300
_DEFAULTS: Json = {
    **dict.fromkeys(
        (
            *("allowNullValues", "atomic", "cleanupOnFail", "createNamespace", "dependencyUpdate", "devel", "lint"),
            *("disableCRDHooks", "disableOpenapiValidation", "disableWebhooks", "forceUpdate", "recreatePods"),
            *("renderSubchartNotes", "replace", "resetValues", "reuseValues", "skipAwait", "skipCrds", "verify"),
            "waitForJobs",
        ),
        False,
    ),
    **dict.fromkeys(("chart", "description", "keyring", "postrender", "version"), ""),
    "values": {},
}


async def check(
    connection: Connection, urn: Urn, request: provider_pb2.CheckRequest
) -> tuple[Json, list[tuple[str, str]]]:
    """Complete a release's inputs: its name, its namespace, every option's default."""
    given, olds = decode(request.news), plain(decode(request.olds))
    inputs: Json = {**_DEFAULTS, **plain(given)}
    inputs["name"] = inputs.get("name") or olds.get("name") or unique(f"{urn.name}-")
    inputs["namespace"] = inputs.get("namespace") or connection.default_namespace
    if inputs["skipAwait"] is not True:
        inputs.setdefault("timeout", _TIMEOUT)
    inputs.pop("resourceNames", None)
    failures: list[tuple[str, str]] = [] if inputs["chart"] else [("chart", "a release names a chart")]
    found = None if has_unknown(inputs["chart"]) else definitions(chart_name(inputs))
    for crd in found.crds if found and not inputs["skipCrds"] else []:
        connection.crds[text(pluck(crd, "spec", "group")), text(pluck(crd, "spec", "names", "kind"))] = crd
    mark_secrets(inputs, given)
    return inputs, failures


def chart_name(inputs: Json) -> str:
    """The chart's own name: `kueue` for `oci://registry/charts/kueue` and for `./charts/kueue-0.10.1.tgz`."""
    last = text(inputs.get("chart")).rstrip("/").rpartition("/")[2]
    return own_name(re.sub(r"(-v?\d+\.\d+.*)?(\.tgz)?$", "", last, count=1))


async def diff(connection: Connection, urn: Urn, request: provider_pb2.DiffRequest) -> provider_pb2.DiffResponse:  # noqa: ARG001
    """Compare a release's inputs; another name or namespace replaces it."""
    old = as_map(plain(decode(request.olds).get("__inputs")))
    new: Json = plain(decode(request.news))
    changes = differences(
        old,
        new,
        old,
        (("name",), ("namespace",)),
        lenient=False,
        ignored=[parse_path(one) for one in request.ignoreChanges],
    )
    replaces = [path for path, change in changes.items() if change.replaces]
    return answer(changes, replaces, changed=bool(changes), deletes_first=False)


async def create(connection: Connection, urn: Urn, request: provider_pb2.CreateRequest) -> tuple[str, Json]:
    """Record a release and install its chart's definitions."""
    given = decode(request.properties)
    if request.preview:
        return "", _outputs(given, UNKNOWN, UNKNOWN)
    cluster = _reachable(connection, "create")
    inputs: Json = plain(given)
    name, namespace = text(inputs.get("name")), text(inputs.get("namespace"))
    if inputs.get("createNamespace") is True:
        await _create_namespace(cluster, namespace)
    if await find(cluster, namespace, name) is not None and inputs.get("replace") is not True:
        raise ProviderError(f"Helm release {qualified(namespace, name)!r}: cannot re-use a name that is still in use")
    record, outputs = await _install(connection, cluster, urn, given, former=None)
    return record.id, outputs


async def update(connection: Connection, urn: Urn, request: provider_pb2.UpdateRequest) -> Json:
    """Record a release's next revision, and install what its chart's version brings."""
    given = decode(request.news)
    if request.preview:
        return _outputs(given, UNKNOWN, UNKNOWN)
    cluster = _reachable(connection, "update")
    inputs: Json = plain(given)
    former = await find(cluster, text(inputs.get("namespace")), text(inputs.get("name")))
    _, outputs = await _install(connection, cluster, urn, given, former=former)
    return outputs


async def read(
    connection: Connection,
    urn: Urn,
    request: provider_pb2.ReadRequest,
) -> tuple[str, Json, Json] | None:
    """Look whether a release is still recorded."""
    cluster = _reachable(connection, "read")
    state = decode(request.properties)
    kept = state.get("__inputs")
    record = await find(cluster, *split_id(request.id))
    if record is None:
        return None
    if kept is None:
        raise ProviderError(f"{urn.urn!r}: the sandbox keeps no values of a release, so it cannot be imported")
    inputs = as_map(kept.value if isinstance(kept, Secret) else kept)
    return request.id, {**state, "status": _status(record)}, inputs


async def delete(connection: Connection, urn: Urn, request: provider_pb2.DeleteRequest) -> None:
    """Take a release's objects away, wait until they are gone, and forget it.

    Its definitions stay, as Helm leaves them: deleting one deletes every object of its kind. Those among the chart's
    own objects go with them, where Helm leaves none either.
    """
    cluster = _reachable(connection, "delete")
    namespace, name = split_id(request.id)
    record = await find(cluster, namespace, name)
    made = (record.objects if record else None) or []
    await manifests.remove(cluster, made)
    inputs = as_map(plain(decode(request.properties).get("__inputs")))
    left: list[str] = []
    if inputs.get("skipAwait") is not True:
        left = await manifests.await_gone(connection, cluster, made, float(inputs.get("timeout") or _TIMEOUT))
    if left:
        raise ProviderError(f"{urn.urn!r}: uninstallation completed with errors: {'; '.join(left)}")
    where = await cluster.where(CONFIG_MAP, namespace, f"sandbox-release.{name}")
    await cluster.delete(where, "Background", patience=PATIENCE)


def _reachable(connection: Connection, doing: str) -> Cluster:
    if connection.cluster is None:
        raise ProviderError(f"can't {doing} Helm Release with unreachable cluster: {connection.unreachable}")
    return connection.cluster


async def _create_namespace(cluster: Cluster, namespace: str) -> None:
    body: Json = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    try:
        await cluster.create(await cluster.where(_NAMESPACE), body, {"fieldManager": _MANAGER}, patience=PATIENCE)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise


async def _install(
    connection: Connection, cluster: Cluster, urn: Urn, given: Json, *, former: Record | None
) -> tuple[Record, Json]:
    """Install one revision; gives its record and the resource's outputs.

    The record is written last: an install that was killed is taken up by the next one, as the objects carry its name.
    """
    inputs: Json = plain(given)
    chart = chart_name(inputs)
    found = definitions(chart)
    skipped = inputs.get("skipCrds") is True
    namespace, name = text(inputs.get("namespace")), text(inputs.get("name"))
    own = chart in helm.CHARTS
    source = "chart" if own else "skipped" if skipped else found.source if found else "unknown chart"
    crds = [] if found is None or skipped or own else await _install_definitions(connection, cluster, urn, found, name)
    made = await _make(connection, cluster, urn, inputs, former)
    record = Record(
        namespace=namespace,
        name=name,
        chart=chart,
        version=text(inputs.get("version")),
        revision=1 + (former.revision if former else 0),
        definitions=source,
        objects=None if made is None else [manifests.Reference.of(one) for one in made],
    )
    missing: list[str] = []
    if made and inputs.get("skipAwait") is not True:
        missing = await manifests.await_ready(connection, cluster, made, float(inputs.get("timeout") or _TIMEOUT))
    config_map = record.config_map()
    await cluster.apply(await cluster.where_is(config_map), config_map, manager=_MANAGER, force=True, patience=PATIENCE)
    _tell(connection, urn, record, crds)
    brought = [*crds, *(one for one in made or [] if Kind.of(one).is_crd)]
    outputs = _outputs(given, _names(brought), _status(record, "failed" if missing else "deployed"))
    if missing:
        raise PartialFailure(
            f"Helm release {record.id!r} was created but has a failed status: context deadline exceeded",
            record.id,
            outputs,
            missing,
        )
    return record, outputs


async def _make(
    connection: Connection, cluster: Cluster, urn: Urn, inputs: Json, former: Record | None
) -> list[Json] | None:
    """Make a chart's objects; None where the chart is not rendered here."""
    release = Release(
        name=text(inputs.get("name")),
        namespace=text(inputs.get("namespace")),
        chart=chart_name(inputs),
        version=text(inputs.get("version")),
        values=as_map(inputs.get("values")),
    )
    try:
        if release.chart in helm.CHARTS:
            version = text((await cluster.get("/version", patience=PATIENCE)).get("gitVersion"))
            objects = await helm.objects_of(release, version, lambda line: connection.log("info", urn.urn, line))
        else:
            objects = render(release)
    except ValueError as error:
        raise ProviderError(f"{urn.urn!r}: {error}") from error
    if objects is None:
        return None
    return await manifests.install(cluster, objects, (former.objects if former else None) or [])


def _tell(connection: Connection, urn: Urn, record: Record, crds: list[Json]) -> None:
    runs = "runs nothing of it" if record.objects is None else f"made {len(record.objects)} objects of it"
    said = f"the sandbox recorded the release {record.id!r} of chart {record.chart!r} {record.version}; it {runs}"
    known = record.definitions != "unknown chart"
    if not known:
        said += ", and knows of no custom resource definitions that it brings"
    elif crds:
        said += f"; custom resource definitions: {len(crds)}, {record.definitions}"
    connection.log("info" if known else "warning", urn.urn, said)


async def _install_definitions(
    connection: Connection, cluster: Cluster, urn: Urn, found: Definitions, release: str
) -> list[Json]:
    """Install definitions as Helm does: one that is there already, and is not from here, stays as it is."""

    async def install(crd: Json) -> None:
        where = await cluster.where(_CRD, name=name_of(crd))
        if not await _is_ours_to_write(cluster, where):
            return
        labelled = clone(crd)
        labelled["metadata"]["labels"] = {**as_map(pluck(crd, "metadata", "labels")), RELEASE: release}
        live = await cluster.apply(where, labelled, manager=_MANAGER, force=True, patience=PATIENCE)
        try:
            established = CustomResourceDefinitionWait(labelled, live)
            await wait_for(established, cluster, None, connection.cancelled, lambda _: None)
        except NotReadyError as error:
            reasons = "; ".join(error.reasons)
            raise ProviderError(f"{urn.urn!r}: {name_of(crd)!r} was not established: {reasons}") from error

    await asyncio.gather(*map(install, found.crds))
    return found.crds


async def _is_ours_to_write(cluster: Cluster, where: str) -> bool:
    try:
        return annotation(await cluster.get(where, patience=PATIENCE), SOURCE) != ""
    except ApiError as error:
        if error.not_found:
            return True
        raise


def _names(crds: list[Json]) -> Json:
    names = [name_of(one) for one in crds]
    return {f"{_CRD.kind}.{_CRD.group}/{_CRD.api_version}": as_list(names)} if names else {}


def _status(record: Record, status: str = "deployed") -> Json:
    return {
        "appVersion": record.version,
        "chart": record.chart,
        "name": record.name,
        "namespace": record.namespace,
        "revision": record.revision,
        "status": status,
        "version": record.version,
    }


def _outputs(given: Json, resource_names: object, status: object) -> Json:
    """A release's outputs: its inputs, and what came of them."""
    return {**given, "resourceNames": resource_names, "status": status, "__inputs": Secret(given)}
