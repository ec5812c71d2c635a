"""A request to the blob service, taken apart, and the action that it asks for.

Source of the actions: learn.microsoft.com `rest/api/storageservices/authorize-with-azure-active-directory`,
"Permissions for blob service operations".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from sandbox.storage_network.errors import StorageError, not_emulated

SERVICES = "Microsoft.Storage/storageAccounts/blobServices"
CONTAINERS = f"{SERVICES}/containers"
BLOBS = f"{CONTAINERS}/blobs"
_HOST = re.compile(r"([a-z0-9]{3,24})\.blob\.core\.windows\.net(:443)?", re.IGNORECASE)
_LOCAL = re.compile(r"(127\.0\.0\.1|localhost)(:\d+)?")


@dataclass(frozen=True)
class Action:
    """What a caller must be allowed to do.

    Attributes:
        on_data: whether it is an action on data, which other roles bring than actions on resources.
    """

    name: str
    on_data: bool


@dataclass(frozen=True)
class BlobRequest:
    """One request.

    Attributes:
        target: path and query as on the wire.
        account: its name.
        container, blob: names, decoded; None where the path ends before.
        rest: of the path behind the container, encoded, with its slash.
        query: the first value of each parameter.
        path_style: the account is in the path, as with an address instead of a name.
    """

    method: str
    target: str
    account: str
    container: str | None
    blob: str | None
    rest: str
    query: Mapping[str, str]
    path_style: bool

    @property
    def endpoint(self) -> str:
        """The account's address as the caller sees it, no slash at the end."""
        return f"https://{self.account}.blob.core.windows.net"

    def action(self) -> Action:
        """What the caller must be allowed to do.

        Raises:
            StorageError: the sandbox does not have this operation.
        """
        comp, restype = self.query.get("comp", ""), self.query.get("restype", "")
        if comp == "batch":
            raise not_emulated("batches of blob operations: send them one by one")
        reads = self.method in ("GET", "HEAD")
        if self.container is None:
            if reads and comp == "list":
                return Action(f"{CONTAINERS}/read", on_data=False)
            raise not_emulated(f"{self.method} of the service with comp={comp or 'nothing'}, restype={restype}")
        if restype == "container":
            return self._on_container(comp, reads=reads)
        if self.blob is None:
            raise StorageError(
                400, "InvalidUri", f"The path of '{self.target}' names no blob, and restype no container."
            )
        if comp == "tags":
            return Action(f"{BLOBS}/tags/{'read' if reads else 'write'}", on_data=True)
        if self.method not in ("GET", "HEAD", "PUT", "DELETE"):
            raise not_emulated(f"{self.method} of a blob with comp={comp}")
        verb = "read" if reads else "delete" if self.method == "DELETE" else "write"
        return Action(f"{BLOBS}/{verb}", on_data=True)

    def _on_container(self, comp: str, *, reads: bool) -> Action:
        if comp == "list":
            return Action(f"{BLOBS}/read", on_data=True)
        if comp == "blobs":
            return Action(f"{BLOBS}/filter/action", on_data=True)
        if comp == "acl":
            return Action(f"{CONTAINERS}/{'getAcl' if reads else 'setAcl'}/action", on_data=False)
        if comp not in ("", "metadata", "lease"):
            raise not_emulated(f"{self.method} of a container with comp={comp}")
        verb = "read" if reads else "delete" if self.method == "DELETE" else "write"
        return Action(f"{CONTAINERS}/{verb}", on_data=False)


def parse(method: str, host: str, target: str) -> BlobRequest:
    """Take a request apart.

    Args:
        host: the Host header: an account's name, or the loopback's with the account first in the path.
        target: path and query as on the wire.

    Raises:
        StorageError: it names no account.
    """
    path, _, query = target.partition("?")
    named = _HOST.fullmatch(host)
    segments = path.lstrip("/").split("/", 2 if named is None else 1)
    if named is None:
        if not _LOCAL.fullmatch(host) or not segments[0]:
            raise StorageError(
                400,
                "InvalidUri",
                f"'{host}' is no account's name and '{path}' begins with none: the blob service is reached at "
                "https://<account>.blob.core.windows.net, or here at /<account>.",
            )
        account, segments = segments[0], segments[1:]
    else:
        account = named[1]
    container = unquote(segments[0]) if segments and segments[0] else None
    blob = segments[1] if len(segments) > 1 and segments[1] else None
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        parameters.setdefault(name.lower(), value)
    rest = f"/{blob}" if blob is not None else ""
    return BlobRequest(
        method,
        target,
        account.lower(),
        container,
        unquote(blob) if blob is not None else None,
        rest,
        parameters,
        named is None,
    )
