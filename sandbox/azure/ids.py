"""Resource ids: taking a request's path apart.

An id is a scope followed by `providers/{namespace}` and pairs of type and name; a second `providers` makes an
extension resource (a role assignment), whose scope is everything before it. Ids are compared without regard
to case and kept as first written.
"""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.azure.errors import ArmError

RESOURCE_GROUP_TYPE = "Microsoft.Resources/resourceGroups"
SUBSCRIPTION_TYPE = "Microsoft.Resources/subscriptions"
EXTENSION_NAMESPACES = frozenset({"microsoft.authorization"})
"""Namespaces whose resources lie on any other resource as their scope."""


def key_of(resource_id: str) -> str:
    """The form in which ids are compared: lower case, no slash at the end."""
    return resource_id.rstrip("/").lower()


def same_id(one: str, other: str) -> bool:
    """Whether two ids name one resource."""
    return key_of(one) == key_of(other)


def is_within(resource_id: str, scope: str) -> bool:
    """Whether `resource_id` is `scope` or lies under it."""
    inner, outer = key_of(resource_id), key_of(scope)
    return inner == outer or inner.startswith(outer + "/")


@dataclass(frozen=True)
class Path:
    """A request's path, taken apart.

    Attributes:
        path: as the client wrote it, no slash at the end.
        scope: what the provider part lies on: a subscription, a resource group, or for extension resources
            any resource; empty for the tenant.
        subscription_id, resource_group: as in the path, else None.
        namespace: `Microsoft.Network`, of the last `providers`; None for a group or subscription itself.
        types, names: the pairs after the namespace; one type more than names for a collection or an action.
    """

    path: str
    scope: str
    subscription_id: str | None
    resource_group: str | None
    namespace: str | None
    types: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def is_collection(self) -> bool:
        """Whether the path ends with a type (a list), or an action, rather than with a name."""
        return len(self.types) > len(self.names)

    @property
    def is_extension(self) -> bool:
        """Whether it lies on another resource as its scope, as a role assignment does."""
        return self.namespace is not None and self.namespace.lower() in EXTENSION_NAMESPACES

    @property
    def type(self) -> str:
        """`Microsoft.Network/virtualNetworks/subnets`, with the client's upper and lower case."""
        if self.namespace is None:
            return RESOURCE_GROUP_TYPE if self.resource_group else SUBSCRIPTION_TYPE
        return "/".join((self.namespace, *self.types))

    @property
    def name(self) -> str:
        """The last name of the id."""
        if self.names:
            return self.names[-1]
        return self.resource_group or self.subscription_id or ""

    @property
    def parent_id(self) -> str | None:
        """The id of the resource this one, or this collection, lies in; None where that is the scope itself."""
        return self.parent_ids[-1] if self.parent_ids else None

    @property
    def parent_ids(self) -> tuple[str, ...]:
        """The ids of all resources this one lies in, outermost first, the scope not among them."""
        count = len(self.names) if self.is_collection else len(self.names) - 1
        return tuple(self._id(depth) for depth in range(1, count + 1))

    def without_last(self) -> Path:
        """The path of the resource that the last segment, an action, is done to."""
        return parse(self.path.rsplit("/", 1)[0])

    def _id(self, depth: int) -> str:
        pairs = "/".join(f"{self.types[i]}/{self.names[i]}" for i in range(depth))
        return f"{self.scope}/providers/{self.namespace}/{pairs}"


def parse(path: str) -> Path:
    """Take a path apart.

    Raises:
        ArmError: it is no path of a resource, a collection or an action.
    """
    cleaned = "/" + path.strip("/")
    segments = cleaned[1:].split("/")
    if "" in segments:
        raise ArmError(400, "InvalidResourceId", f"The path '{path}' has an empty segment: name every part of the id.")
    lowered = [segment.lower() for segment in segments]
    subscription = segments[1] if lowered[0] == "subscriptions" and len(segments) > 1 else None
    group = segments[3] if len(segments) > 3 and subscription and lowered[2] == "resourcegroups" else None
    if "providers" not in lowered:
        if not subscription or len(segments) != (4 if group else 2):
            raise _no_such_path(path)
        scope = f"/subscriptions/{subscription}" if group else ""
        return Path(cleaned, scope, subscription, group, None, (), ())
    last = _last_provider(lowered)
    scope_segments, rest = segments[:last], segments[last + 1 :]
    if not rest:
        raise _no_such_path(path)
    if scope_segments and (lowered[0] != "subscriptions" or len(scope_segments) < 2 or len(scope_segments) % 2):
        raise _no_such_path(path)
    if len(scope_segments) > 2 and not group:
        nested = lowered[2] == "providers"
        if not nested:
            raise _no_such_path(path)
    pairs = rest[1:]
    scope = "/" + "/".join(scope_segments) if scope_segments else ""
    return Path(cleaned, scope, subscription, group, rest[0], tuple(pairs[0::2]), tuple(pairs[1::2]))


def _last_provider(lowered: list[str]) -> int:
    """The index of the `providers` that opens the resource's own part.

    A later one counts only where an extension's namespace follows: a resource may be called `providers`.
    """
    found = lowered.index("providers")
    for index in range(found + 1, len(lowered) - 1):
        if lowered[index] == "providers" and lowered[index + 1] in EXTENSION_NAMESPACES:
            found = index
    return found


def _no_such_path(path: str) -> ArmError:
    return ArmError(
        404,
        "InvalidResourceType",
        f"The path '{path}' names neither a subscription, a resource group nor a resource of a provider. "
        "Expected '/subscriptions/{id}/resourceGroups/{name}/providers/{namespace}/{type}/{name}'.",
    )
