"""Kubernetes objects as JSON trees: reading them without casts, and what they are called.

Pure functions on plain values. Whatever the engine does not know yet (`UNKNOWN`) may stand anywhere in an object.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final, TypeAlias, cast

import yaml

Json: TypeAlias = dict[str, Any]

PACKAGE = "kubernetes"


class Unknown:
    """A value that the engine computes later: only ever the one instance `UNKNOWN`."""

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __deepcopy__(self, memo: object) -> Unknown:
        return self


UNKNOWN: Final = Unknown()


class Missing:
    """Stands for a key that is not there, where None is a value: only ever the one instance `MISSING`."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()


@cache
def table(name: str) -> Json:
    """A table of facts: one of the YAML files in `data/`."""
    return as_map(yaml.safe_load(files(__package__ or "").joinpath("data", name).read_text()))


def is_map(value: object) -> bool:
    """Whether the value is a JSON object."""
    return isinstance(value, dict)


def is_list(value: object) -> bool:
    """Whether the value is a JSON array."""
    return isinstance(value, list)


def as_map(value: object) -> Json:
    """The value if it is a JSON object, else an empty one."""
    return cast("Json", value) if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """The value if it is a JSON array, else an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def text(value: object) -> str:
    """The value if it is a string, else the empty one."""
    return value if isinstance(value, str) else ""


def whole(value: object) -> int:
    """The value if it is a whole number, else 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def pluck(tree: object, *path: str) -> Any:
    """The value under these keys, None where one is missing."""
    for key in path:
        if not isinstance(tree, dict):
            return None
        tree = cast("Json", tree).get(key)
    return tree


def remove(tree: Json, *path: str) -> None:
    """Take away the value under these keys, if it is there."""
    parent: Any = pluck(tree, *path[:-1])
    if is_map(parent):
        as_map(parent).pop(path[-1], None)


def clone(tree: Any) -> Any:
    """A deep copy of a JSON tree."""
    return convert(tree, lambda value: value)


def convert(tree: Any, leaf: Callable[[Any], Any]) -> Any:
    """A copy of the tree with `leaf` applied to whatever is neither object nor array."""
    if isinstance(tree, dict):
        return {key: convert(value, leaf) for key, value in cast("Json", tree).items()}
    if isinstance(tree, list):
        return [convert(value, leaf) for value in cast("list[Any]", tree)]
    return leaf(tree)


def leaves(tree: Any) -> Iterator[Any]:
    """Everything in the tree that is neither object nor array."""
    if isinstance(tree, dict):
        for value in cast("Json", tree).values():
            yield from leaves(value)
    elif isinstance(tree, list):
        for value in cast("list[Any]", tree):
            yield from leaves(value)
    else:
        yield tree


def has_unknown(tree: Any) -> bool:
    """Whether anything in the tree is not known yet."""
    return any(value is UNKNOWN for value in leaves(tree))


@dataclass(frozen=True)
class Kind:
    """A group, version and kind; the core group is the empty string."""

    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        """As an object's `apiVersion` says it: `v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def is_built_in(self) -> bool:
        """Whether Kubernetes itself defines it, rather than a custom resource definition."""
        return self.api_version in table("kinds.yaml")["versions"]

    @property
    def is_crd(self) -> bool:
        """Whether it is CustomResourceDefinition."""
        return self.group == "apiextensions.k8s.io" and self.kind == "CustomResourceDefinition"

    def __str__(self) -> str:
        return f"{self.api_version}/{self.kind}"

    @staticmethod
    def of(obj: Json) -> Kind:
        """The kind that an object says it is."""
        group, _, version = text(obj.get("apiVersion")).rpartition("/")
        return Kind("" if group == "core" else group, version, text(obj.get("kind")))


@dataclass(frozen=True)
class Urn:
    """An engine's name for a resource, taken apart.

    Attributes:
        urn: all of it.
        type_name: the last part of its type, `Deployment` or `DeploymentPatch`.
        module: the middle part of its type, `apps/v1`.
        name: the resource's name in the program.
    """

    urn: str
    type_name: str
    module: str
    name: str

    @staticmethod
    def parse(urn: str) -> Urn:
        """Take apart `urn:pulumi:stack::project::parent$package:module:Type::name`.

        Raises:
            ValueError: not the URN of a Kubernetes object.
        """
        head = urn.split("::", 3)
        token = head[2].rsplit("$", 1)[-1].split(":") if len(head) == 4 else []
        if len(token) != 3 or token[0] != PACKAGE:
            raise ValueError(f"{urn!r} does not name a resource of the package {PACKAGE!r}")
        return Urn(urn, token[2], token[1], head[3])

    @property
    def kind(self) -> Kind:
        """The kind that the type token names.

        Raises:
            ValueError: the token's module is not `group/version`.
        """
        group, slash, version = self.module.partition("/")
        if not slash or "/" in version:
            raise ValueError(f"{self.urn!r}: the module {self.module!r} of its type is not of the form group/version")
        return Kind("" if group == "core" else group, version, self.type_name)

    def is_patch_of(self, kind: str) -> bool:
        """Whether this is a Patch resource for objects of that kind."""
        return self.type_name == f"{kind}Patch"

    @property
    def is_release(self) -> bool:
        """Whether this is a Helm release."""
        return self.module == "helm.sh/v3" and self.type_name == "Release"

    @property
    def is_list(self) -> bool:
        """Whether this is one of Kubernetes' own List kinds, which hold objects and are none."""
        kind = self.kind
        return kind.is_built_in and kind.kind.endswith("List")


def name_of(obj: Json) -> str:
    """An object's `metadata.name`, empty where it has none yet."""
    return text(pluck(obj, "metadata", "name"))


def namespace_of(obj: Json) -> str:
    """An object's `metadata.namespace`, empty where it has none."""
    return text(pluck(obj, "metadata", "namespace"))


def annotation(obj: Json, key: str) -> str:
    """The value of one annotation, empty where it is not set."""
    return text(as_map(pluck(obj, "metadata", "annotations")).get(key))


def generation_of(obj: Json) -> int:
    """An object's `metadata.generation`, 0 where it has none."""
    return whole(pluck(obj, "metadata", "generation"))


def conditions_of(obj: Json) -> dict[str, Json]:
    """`status.conditions` by their types."""
    return {text(one.get("type")): one for one in map(as_map, as_list(pluck(obj, "status", "conditions")))}


def is_owned_by(obj: Json, owner: Json | None) -> bool:
    """Whether `owner` is among the object's owner references."""
    uid = pluck(owner, "metadata", "uid")
    references = as_list(pluck(obj, "metadata", "ownerReferences"))
    return uid is not None and any(pluck(one, "uid") == uid for one in references)


def object_id(obj: Json) -> str:
    """The engine's id of an object: `namespace/name`, or `name` alone for objects of the cluster."""
    return qualified(namespace_of(obj), name_of(obj))


def qualified(namespace: str, name: str) -> str:
    """`namespace/name`, or the name alone where there is no namespace."""
    return f"{namespace}/{name}" if namespace else name


def split_id(identifier: str) -> tuple[str, str]:
    """Namespace (or empty) and name of an id."""
    namespace, slash, name = identifier.partition("/")
    return (namespace, name) if slash else ("", namespace)


def unique(prefix: str, seed: bytes = b"") -> str:
    """The prefix and 8 hexadecimal digits: from the seed where there is one, else random."""
    return prefix + (hashlib.sha256(seed).hexdigest()[:8] if seed else secrets.token_hex(4))
