"""What every behaviour is handed: who calls, with which request, and the simulated Azure to work on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from sandbox.azure.errors import ArmError
from sandbox.azure.ids import Path
from sandbox.azure.operations import Operation, Operations
from sandbox.azure.store import Store
from sandbox.home import Config, Home

if TYPE_CHECKING:
    from sandbox.azure.authorization import Authorization

Body = dict[str, Any]


def section(body: Body, *keys: str) -> Body:
    """The object that lies in a body under these keys; an empty one where it is left out."""
    for key in keys:
        below = body.get(key)
        body = cast(Body, below) if isinstance(below, dict) else {}
    return body


@dataclass(frozen=True)
class Principal:
    """Who calls.

    Attributes:
        object_id: the `oid` of the token, what role assignments name.
        client_id: the application's id.
        groups: object ids of the groups it belongs to.
        is_platform: the sandbox itself, which may do everything.
    """

    object_id: str
    client_id: str = ""
    groups: tuple[str, ...] = ()
    is_platform: bool = False


PLATFORM = Principal("sandbox", is_platform=True)


@dataclass
class Request:
    """One request to Resource Manager.

    Attributes:
        method: in upper case; HEAD arrives as GET.
        path: taken apart; of a route that is no resource only `raw_path` is meant.
        query, headers: keys of `headers` in lower case.
        params: what a route's pattern matched, as `location`.
        base_url: `https://127.0.0.1:<port>`, for links in answers.
    """

    method: str
    raw_path: str
    path: Path | None
    api_version: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    base_url: str
    params: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def target(self) -> Path:
        """`path`, known to be there."""
        if self.path is None:
            raise ArmError(404, "InvalidResourceType", f"'{self.raw_path}' is not the path of a resource.")
        return self.path

    @property
    def resource_id(self) -> str:
        """The id as the client wrote it."""
        return self.target.path

    @property
    def subscription_id(self) -> str:
        """The subscription the path names."""
        return self.target.subscription_id or self.params.get("subscription", "")

    @property
    def resource_group(self) -> str | None:
        """The resource group the path names."""
        return self.target.resource_group

    @property
    def name(self) -> str:
        """The resource's own name."""
        return self.target.name

    @property
    def parent_id(self) -> str | None:
        """The id of the resource it lies in."""
        return self.target.parent_id


@dataclass
class Reply:
    """An answer.

    Attributes:
        body: the JSON document; None sends none.
        operation: still under way; the server adds `Azure-AsyncOperation`, `Location` and `Retry-After`.
    """

    status: int
    body: Any = None
    operation: Operation | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])


@dataclass
class Context:
    """What a behaviour works with."""

    store: Store
    operations: Operations
    config: Config
    home: Home
    authorization: Authorization
    caller: Principal = PLATFORM

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    @property
    def subscription(self) -> str:
        """`/subscriptions/<id>`."""
        return f"/subscriptions/{self.config.subscription_id}"

    def timestamp(self) -> str:
        """Now, as Azure writes it."""
        return datetime.fromtimestamp(self.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
