"""Creating, updating and deleting objects on the API server, then waiting for the outcome.

Raises `ApiError` where nothing came of it, and `NotReadyError` with the object's state where something did.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sandbox.kubernetes_client import ApiError
from sandbox.providers.kubernetes.checkpoint import CREATOR
from sandbox.providers.kubernetes.cluster import PATIENCE, Cluster, NoSuchKindError
from sandbox.providers.kubernetes.objects import Json, Kind, Urn, clone, name_of, namespace_of, pluck, unique
from sandbox.providers.kubernetes.ownership import forces, takeover_patch, without_ignored
from sandbox.providers.kubernetes.replacement import Path
from sandbox.providers.kubernetes.settings import Settings
from sandbox.providers.kubernetes.waits.base import Report, wait_for
from sandbox.providers.kubernetes.waits.deletion import wait_until_gone
from sandbox.providers.kubernetes.waits.rules import propagation_of, rules_for, skips_deletion, timeout_of

_RETRIES = 5
_STRICT = {"fieldValidation": "Strict"}
_EXISTS = """{message}

The resource already exists in the cluster. This can happen when:

  - Renaming a Pulumi resource: use an alias to preserve the identity,
    or use deleteBeforeReplace if the resource needs replacement.
  - Managing an existing resource: use a Patch resource (e.g. NamespacePatch)
    to manage specific fields without owning the resource lifecycle.
  - Adopting a resource into Pulumi: use `pulumi import`.
  - Intentional upsert: set upsertExistingObjects on the provider to allow
    server-side apply to update existing objects on create."""
_CONFLICT = (
    "server-side apply field conflict detected\n"
    "The resource managed by field manager {manager!r} had an apply conflict: {message}\n"
    "Leave the field to its owner (ignore_changes), or take it over with the annotation "
    'pulumi.com/patchForce: "true" or the provider\'s enablePatchForce.'
)


class NamespaceMissingError(Exception):
    """A preview of an object whose namespace is yet to be made."""


@dataclass(frozen=True)
class Job:
    """What an operation works with.

    Attributes:
        cluster: where.
        settings: the provider's.
        urn: the resource's.
        manager: the field manager that owns the program's fields.
        preview: ask the server only what would be.
        timeout: seconds, from the resource's options; 0: not said.
        cancelled: set when the user interrupts.
        report: takes progress messages.
    """

    cluster: Cluster
    settings: Settings
    urn: Urn
    manager: str
    preview: bool
    timeout: float
    cancelled: asyncio.Event
    report: Report

    @property
    def params(self) -> dict[str, str]:
        """Query of every write: strict about fields, and without effect in a preview."""
        return {**_STRICT, "dryRun": "All"} if self.preview else dict(_STRICT)

    @property
    def patience(self) -> float:
        """Seconds for which passing troubles of the server are borne."""
        return 0 if self.preview else PATIENCE


async def create(job: Job, inputs: Json) -> Json:
    """Create an object and wait until it is ready; gives its live state."""
    try:
        outputs = await _create_patiently(job, inputs)
    except ApiError as error:
        if job.preview and error.not_found and error.details.get("kind") == "namespaces":
            raise NamespaceMissingError(namespace_of(inputs)) from error
        if error.reason == "AlreadyExists":
            message = _EXISTS.format(message=error.message)
            raise ApiError(error.status, error.reason, message, error.details) from error
        raise
    return outputs if job.preview else await _until_ready(job, inputs, outputs, None)


async def _create_patiently(job: Job, inputs: Json) -> Json:
    """Create; again for half a minute while the namespace or the kind is not there: others may be making it."""
    for attempt in range(0 if job.preview else _RETRIES):
        try:
            return await _create_once(job, inputs)
        except ApiError as error:
            if not error.not_found:
                raise
            job.report(f"Retry #{attempt}; creation failed: {error.message}")
        await asyncio.sleep(2.0**attempt)
    return await _create_once(job, inputs)


async def _create_once(job: Job, inputs: Json) -> Json:
    kind = Kind.of(inputs)
    if not job.settings.upsert and not job.urn.is_patch_of(kind.kind):
        where = await job.cluster.where(kind, namespace_of(inputs))
        return await job.cluster.create(where, inputs, {**job.params, "fieldManager": CREATOR}, patience=job.patience)
    force = forces(inputs, None, always=job.settings.patch_force, preview=job.preview)
    try:
        return await _apply(job, inputs, force=force)
    except ApiError as error:
        if not (job.preview and error.status == 422 and "field is immutable" in error.message):
            raise
    # A preview of a replacement: the object of this name would go first, so ask about one of another name.
    other = clone(inputs)
    other["metadata"]["name"] = unique(name_of(inputs))
    return await _apply(job, other, force=force)


async def _apply(job: Job, inputs: Json, *, force: bool) -> Json:
    where = await job.cluster.where_is(inputs)
    try:
        return await job.cluster.apply(
            where, inputs, manager=job.manager, force=force, params=job.params, patience=job.patience
        )
    except ApiError as error:
        if not error.conflict:
            raise
        message = _CONFLICT.format(manager=job.manager, message=error.message)
        raise ApiError(error.status, error.reason, message, error.details) from error


async def update(job: Job, inputs: Json, old_name: str, ignored: list[Path]) -> Json:
    """Bring an object to its new inputs and wait until it is ready; gives its live state."""
    where = await job.cluster.where(Kind.of(inputs), namespace_of(inputs), old_name)
    before = await job.cluster.get(where, patience=job.patience)
    outputs = await _update_once(job, inputs, where, before, ignored)
    return outputs if job.preview else await _until_ready(job, inputs, outputs, before)


async def _update_once(job: Job, inputs: Json, where: str, live: Json, ignored: list[Path]) -> Json:
    if Kind.of(inputs).is_crd:
        whole = clone(inputs)
        whole["metadata"]["resourceVersion"] = pluck(live, "metadata", "resourceVersion")
        params = {**job.params, "fieldManager": job.manager}
        return await job.cluster.replace(where, whole, params, patience=job.patience)
    if not job.preview and not job.urn.is_patch_of(Kind.of(inputs).kind):
        live = await _take_over(job, where, live)
    force = forces(inputs, live, always=job.settings.patch_force, preview=job.preview)
    return await _apply(job, without_ignored(inputs, live, job.manager, ignored), force=force)


async def _take_over(job: Job, where: str, live: Json) -> Json:
    """Hand the fields of former managers to the object's own; again if the object changes meanwhile."""
    for attempt in range(_RETRIES + 1):
        patch = takeover_patch(live, job.manager)
        if patch is None:
            return live
        try:
            return await job.cluster.patch_json(where, patch)
        except ApiError as error:
            if not error.conflict or attempt == _RETRIES:
                raise
        live = await job.cluster.get(where)
    return live


async def _until_ready(job: Job, inputs: Json, outputs: Json, before: Json | None) -> Json:
    rules = rules_for(inputs, outputs, before)
    if rules is None:
        return outputs
    return await wait_for(rules, job.cluster, timeout_of(job.timeout, inputs), job.cancelled, job.report)


async def delete(job: Job, inputs: Json, live: Json) -> None:
    """Delete an object and wait until it is gone; one that is gone already, or whose kind is, is fine."""
    try:
        if job.urn.is_patch_of(Kind.of(live).kind):
            await relinquish(job, live, job.manager)
            return
        where = await job.cluster.where_is(live)
        answer = await job.cluster.delete(where, propagation_of(inputs), patience=job.patience)
    except NoSuchKindError:
        return
    if answer is None or skips_deletion(inputs):
        return
    await wait_until_gone(live, job.cluster, timeout_of(job.timeout, inputs), job.cancelled, job.report)
    job.report("")


async def relinquish(job: Job, obj: Json, manager: str) -> None:
    """Give up every field that a manager owns; fields that nobody owns then go back to their defaults."""
    bare: Json = {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "metadata": {"name": name_of(obj), **({"namespace": namespace_of(obj)} if namespace_of(obj) else {})},
    }
    await job.cluster.apply(await job.cluster.where_is(obj), bare, manager=manager, patience=job.patience)
