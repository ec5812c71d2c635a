"""Lists of the blob service: containers as Resource Manager has them, blobs as Azurite has them under our names."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from xml.sax.saxutils import escape, quoteattr

from sandbox.azure.store import Resource
from sandbox.storage_network.errors import StorageError
from sandbox.storage_network.requests import BlobRequest

_PAGE = 5000
_HEAD = '<?xml version="1.0" encoding="utf-8"?>'


def containers(request: BlobRequest, found: Sequence[Resource]) -> bytes:
    """The answer to List Containers: by prefix, a page at a time."""
    prefix, marker = request.query.get("prefix", ""), request.query.get("marker", "")
    given = request.query.get("maxresults", str(_PAGE))
    if not given.isdecimal() or int(given) < 1:
        raise StorageError(400, "OutOfRangeQueryParameterValue", f"maxresults must be 1 to {_PAGE}, not '{given}'.")
    size = min(int(given), _PAGE)
    matching = [one for one in found if one.name.startswith(prefix) and one.name >= marker]
    page, left = matching[:size], matching[size:]
    with_metadata = "metadata" in request.query.get("include", "")
    items = "".join(_container(one, with_metadata=with_metadata) for one in page)
    following = f"<NextMarker>{escape(left[0].name)}</NextMarker>" if left else "<NextMarker />"
    return (
        f"{_HEAD}<EnumerationResults ServiceEndpoint={quoteattr(request.endpoint + '/')}>"
        f"<Prefix>{escape(prefix)}</Prefix><Containers>{items}</Containers>{following}</EnumerationResults>"
    ).encode()


def renamed(body: bytes, azurite_url: str, held_name: str, request: BlobRequest) -> bytes:
    """Azurite's document with the names that the caller knows."""
    endpoint = f"{request.endpoint}/".encode()
    body = body.replace(f"{azurite_url}/".encode(), endpoint).replace(azurite_url.encode(), endpoint)
    return body.replace(held_name.encode(), (request.container or "").encode())


def _container(container: Resource, *, with_metadata: bool) -> str:
    changed = format_datetime(datetime.fromtimestamp(container.updated_at, UTC), usegmt=True)
    values = {
        "Last-Modified": changed,
        "Etag": container.body["etag"],
        "LeaseStatus": "unlocked",
        "LeaseState": "available",
        "DefaultEncryptionScope": container.properties["defaultEncryptionScope"],
        "DenyEncryptionScopeOverride": "false",
        "HasImmutabilityPolicy": "false",
        "HasLegalHold": "false",
    }
    if container.properties["publicAccess"] != "None":
        values["PublicAccess"] = container.properties["publicAccess"].lower()
    properties = "".join(f"<{key}>{escape(value)}</{key}>" for key, value in values.items())
    metadata = ""
    if with_metadata:
        pairs: dict[str, str] = container.properties.get("metadata") or {}
        metadata = f"<Metadata>{''.join(f'<{key}>{escape(value)}</{key}>' for key, value in pairs.items())}</Metadata>"
    return (
        f"<Container><Name>{escape(container.name)}</Name><Properties>{properties}</Properties>{metadata}</Container>"
    )
