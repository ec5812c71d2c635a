"""Objects brought into the one shape in which they can be compared: pruned, with normal spellings.

Follows pulumi-kubernetes: what the program gave is compared with the live object cut down to what was given before.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from sandbox.providers.kubernetes.objects import (
    Json,
    Kind,
    as_list,
    as_map,
    clone,
    has_unknown,
    is_list,
    is_map,
    pluck,
    remove,
)
from sandbox.providers.kubernetes.quantity import with_canonical_quantities

_READ_ONLY = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
)


def normal(obj: Json) -> Json:
    """A copy in the API server's spelling, without metadata that only the server writes."""
    kind = Kind.of(obj)
    result = clone(obj)
    if kind.is_built_in and not has_unknown(obj):
        if kind.is_crd:
            _normal_crd(result)
        elif kind.group == "" and kind.kind == "Secret":
            _normal_secret(result)
        elif kind.group == "" and kind.kind == "ConfigMap":
            pass
        else:
            spec: Json = with_canonical_quantities({key: value for key, value in obj.items() if key != "metadata"})
            result = clone({**({"metadata": obj["metadata"]} if "metadata" in obj else {}), **spec})
    for field in _READ_ONLY:
        remove(result, "metadata", field)
    return result


def _normal_crd(crd: Json) -> None:
    if pluck(crd, "spec", "preserveUnknownFields") is False:
        remove(crd, "spec", "preserveUnknownFields")
    crd.pop("status", None)


def _normal_secret(secret: Json) -> None:
    """`stringData` moved into `data`, where the API server puts it; `data` without white space."""
    strings = as_map(secret.get("stringData"))
    if strings:
        encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in strings.items()}
        secret["data"] = {**as_map(secret.get("data")), **encoded}
        del secret["stringData"]
        return
    for key, value in as_map(secret.get("data")).items():
        try:
            secret["data"][key] = base64.b64encode(base64.b64decode(str(value))).decode()
        except (binascii.Error, ValueError):
            continue  # the API server refuses it, and says why better than this could


def pruned(live: Json, inputs: Json) -> Json:
    """The live object cut down to the fields that the inputs name."""
    return _Pruning(keeps_empty=False).map(live, inputs)


def found_inputs(live: Json, inputs: Json) -> Json:
    """What the inputs have become in the cluster.

    For built-in kinds an empty value that the API server leaves out stands as it was: it means the same.
    """
    return _Pruning(keeps_empty=Kind.of(live).is_built_in).map(live, inputs)


def is_empty(value: Any) -> bool:
    """Whether the API server may leave the value out of a built-in object."""
    return value is None or value is False or value in (0, "", [], {})


@dataclass(frozen=True)
class _Pruning:
    keeps_empty: bool

    def map(self, source: Json, target: Json) -> Json:
        result = {key: self.value(value, target[key]) for key, value in source.items() if key in target}
        if self.keeps_empty:
            left_out = {key: value for key, value in target.items() if key not in source and is_empty(value)}
            result.update(left_out)
        return result

    def value(self, value: Any, target: Any) -> Any:
        if is_map(value) and is_map(target):
            return self.map(as_map(value), as_map(target))
        if is_list(value) and is_list(target):
            return self.list(as_list(value), as_list(target))
        return clone(value)

    def list(self, source: list[Any], target: list[Any]) -> list[Any]:
        if source and target and type(source[0]) is not type(target[0]):
            return clone(source)
        return [self.value(value, wanted) for value, wanted in zip(source, target, strict=False)]
