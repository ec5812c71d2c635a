"""Who owns which fields of an object, as `metadata.managedFields` says.

Pure. An object is created as `pulumi-kubernetes`; its first update hands these fields, and those that `kubectl`
wrote, to the field manager that the state names, or server-side apply would find conflicts and leave orphans.
"""

from __future__ import annotations

from typing import Any

from sandbox.providers.kubernetes.objects import Json, annotation, as_list, as_map, clone, is_map, pluck, text
from sandbox.providers.kubernetes.replacement import Path

_TAKEN_OVER = (
    ("kubectl", "Apply"),
    ("kubectl", "Update"),
    ("before-first-apply", "Update"),
    ("pulumi-kubernetes", "Update"),
    ("pulumi-kubernetes.exe", "Update"),
    ("pulumi-resource-kubernetes", "Update"),
)
_OURS = frozenset({"pulumi-resource-kubernetes", "pulumi-kubernetes", "pulumi-kubernetes.exe"})


def taken_over(live: Json, manager: str) -> list[Json] | None:
    """The managed fields with everything of the former managers in `manager`'s hands; None if nothing moves."""
    entries = [clone(one) for one in map(as_map, as_list(pluck(live, "metadata", "managedFields")))]
    moving = [one for one in entries if _is_taken_over(one, manager)]
    if not moving:
        return None
    own = next((one for one in entries if one.get("manager") == manager and one.get("operation") == "Apply"), None)
    fields = _merged(*(as_map(one.get("fieldsV1")) for one in ([own] if own else []) + moving))
    entry = {**(own or moving[0]), "manager": manager, "operation": "Apply", "fieldsV1": fields}
    return [entry, *(one for one in entries if one not in moving and one is not own)]


def _is_taken_over(entry: Json, manager: str) -> bool:
    if entry.get("subresource") or (entry.get("manager") == manager and entry.get("operation") == "Apply"):
        return False
    name, operation = text(entry.get("manager")), entry.get("operation")
    return any(name.startswith(prefix) and operation == of for prefix, of in _TAKEN_OVER)


def _merged(*trees: Json) -> Json:
    result: Json = {}
    for tree in trees:
        for key, value in tree.items():
            result[key] = _merged(as_map(result.get(key)), as_map(value)) if is_map(value) else value
    return result


def takeover_patch(live: Json, manager: str) -> list[Json] | None:
    """The JSON patch that hands the fields over; refused by the server if the object changed meanwhile."""
    fields = taken_over(live, manager)
    if fields is None:
        return None
    version = pluck(live, "metadata", "resourceVersion")
    return [
        {"op": "replace", "path": "/metadata/managedFields", "value": fields},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
    ]


def forces(inputs: Json, live: Json | None, *, always: bool, preview: bool) -> bool:
    """Whether an apply takes over fields that others own."""
    if always or annotation(inputs, "pulumi.com/patchForce") == "true":
        return True
    managed = [as_map(one) for one in as_list(pluck(live, "metadata", "managedFields"))]
    if live is not None and not managed:
        return True
    created_by_us = any(one.get("operation") == "Update" and one.get("manager") in _OURS for one in managed)
    return preview and (live is None or created_by_us)


def without_ignored(inputs: Json, live: Json, manager: str, ignored: list[Path]) -> Json:
    """The inputs to apply when some paths are ignored.

    A path that only others own is left out, so that nothing is taken from them; one that is ours, or nobody's,
    keeps its live value, as leaving it out would unset it.
    """
    result: Json = clone(inputs)
    ours, theirs = _owned(live, manager)
    for path in ignored:
        if any(not isinstance(part, str) for part in path):
            continue  # an element of an array has no name in managed fields: the engine has put the old value in
        keys = [str(part) for part in path]
        fields = [f"f:{key}" for key in keys]
        value = pluck(live, *keys)
        if _has(theirs, fields) and not _has(ours, fields):
            _set(result, keys, None, absent=True)
        elif value is not None:
            _set(result, keys, clone(value), absent=False)
    return result


def _owned(live: Json, manager: str) -> tuple[Json, Json]:
    entries = [as_map(one) for one in as_list(pluck(live, "metadata", "managedFields"))]
    ours = [as_map(one.get("fieldsV1")) for one in entries if one.get("manager") == manager]
    theirs = [as_map(one.get("fieldsV1")) for one in entries if one.get("manager") != manager]
    return _merged(*ours), _merged(*theirs)


def _has(tree: Json, keys: list[str]) -> bool:
    return pluck(tree, *keys) is not None


def _set(tree: Json, keys: list[str], value: Any, *, absent: bool) -> None:
    for key in keys[:-1]:
        if not is_map(tree.get(key)):
            if absent:
                return
            tree[key] = {}
        tree = tree[key]
    if absent:
        tree.pop(keys[-1], None)
    else:
        tree[keys[-1]] = value
