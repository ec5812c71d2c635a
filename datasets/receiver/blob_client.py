"""Azure Blob Storage's REST interface, as far as uploads need it, for one container.

Owns addresses, headers, XML and the meaning of errors. Reference: Azure's "Blob Storage REST API", version below.
"""

from __future__ import annotations

import base64
import email.utils
import hashlib
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from datasets.receiver.places import PlaceError
from datasets.receiver.web import Answer, Web

API_VERSION = "2023-11-03"
_PAGE = 5000
_READ_TRIES = 6
LEASE_SECONDS = 60
"""Azure's longest that is not for ever."""


@dataclass(frozen=True)
class Blob:
    """One blob.

    Attributes:
        etag: without quotes.
        md5: what its writer said, in base64, or empty.
        folder: of a hierarchical account, listed among its blobs.
    """

    name: str
    size: int
    etag: str
    md5: str = ""
    folder: bool = False


class Container:
    """One container.

    Args:
        url: `https://<account>.blob.core.windows.net/<container>`.
        token: gives a bearer token.
    """

    def __init__(self, url: str, token: Callable[[], str], web: Web) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self._web = web

    def list(self, prefix: str) -> Iterator[Blob]:
        """All blobs whose names begin with `prefix`, folders of hierarchical accounts too."""
        marker = ""
        while True:
            query = {"restype": "container", "comp": "list", "prefix": prefix, "maxresults": str(_PAGE)}
            if marker:
                query["marker"] = marker
            answer = self._ask("GET", "", query, expect=(200,))
            root = ElementTree.fromstring(answer.body)
            for one in root.iter("Blob"):
                yield _listed(one)
            marker = root.findtext("NextMarker") or ""
            if not marker:
                return

    def head(self, name: str) -> Blob | None:
        """A blob, None where there is none."""
        answer = self._ask("HEAD", name, {}, expect=(200, 404))
        if answer.status == 404:
            if answer.headers.get("x-ms-error-code") == "ContainerNotFound":
                raise self._refused(answer, "HEAD", name)
            return None
        headers = answer.headers
        return Blob(name, int(headers["content-length"]), headers["etag"].strip('"'), headers.get("content-md5", ""))

    def read(self, name: str, etag: str = "", offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """A blob's content, or a part of it, gone on with where a connection breaks.

        Raises:
            PlaceError: `changed`, it is not in the state `etag` (any more).
        """
        end = None if length is None else offset + length
        failures = 0
        while True:
            headers = self._headers()
            if etag:
                headers["If-Match"] = f'"{etag}"'
            if offset or end is not None:
                headers["x-ms-range"] = f"bytes={offset}-{'' if end is None else end - 1}"
            try:
                with self._web.stream(self._url(name, {}), headers) as (answer, pieces):
                    if answer.status == 416 and not length:
                        return
                    if answer.status not in (200, 206):
                        raise self._refused(answer, "GET", name)
                    etag = answer.headers["etag"].strip('"')
                    for piece in pieces:
                        offset += len(piece)
                        failures = 0
                        yield piece
                    return
            except PlaceError as error:
                failures += 1
                if error.kind != "unreachable" or failures >= _READ_TRIES:
                    raise

    def put(self, name: str, data: bytes, condition: Mapping[str, str], extra: Mapping[str, str] | None = None) -> str:
        """Write a blob in one step; gives its ETag.

        Raises:
            PlaceError: `changed`, the condition does not hold (any more).
        """
        headers = {"x-ms-blob-type": "BlockBlob", "Content-MD5": _md5(data), **condition, **(extra or {})}
        return self._ask("PUT", name, {}, headers, data, expect=(201,)).headers["etag"].strip('"')

    def put_block(self, name: str, block_id: str, data: bytes) -> None:
        """Stage one block; Azure checks its MD5."""
        query = {"comp": "block", "blockid": block_id}
        self._ask("PUT", name, query, {"Content-MD5": _md5(data)}, data, expect=(201,))

    def put_block_from(self, name: str, block_id: str, source: str, span: tuple[int, int], *, etag: str) -> None:
        """Have the storage itself fetch one block (offset and length) from another blob, signed in as we are.

        Raises:
            PlaceError: it cannot; `changed` where the source is in another state than `etag`.
        """
        headers = {
            "x-ms-copy-source": source,
            "x-ms-copy-source-authorization": f"Bearer {self.token()}",
            "x-ms-source-range": f"bytes={span[0]}-{sum(span) - 1}",
            "x-ms-source-if-match": f'"{etag}"',
        }
        self._ask("PUT", name, {"comp": "block", "blockid": block_id}, headers, expect=(201,))

    def blocks(self, name: str, kind: str) -> list[str]:
        """The ids of a blob's `committed` or `uncommitted` blocks; none where there is no such blob."""
        answer = self._ask("GET", name, {"comp": "blocklist", "blocklisttype": kind}, expect=(200, 404))
        if answer.status == 404:
            return []
        root = ElementTree.fromstring(answer.body)
        return [str(one.text) for one in root.findall(f"./{kind.capitalize()}Blocks/Block/Name")]

    def put_block_list(self, name: str, ids: list[str], condition: Mapping[str, str]) -> str:
        """Make a blob of staged blocks; gives its ETag.

        Raises:
            PlaceError: `changed`, the condition does not hold (any more).
        """
        blocks = "".join(f"<Uncommitted>{one}</Uncommitted>" for one in ids)
        body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{blocks}</BlockList>'.encode()
        answer = self._ask("PUT", name, {"comp": "blocklist"}, condition, body, expect=(201,))
        return answer.headers["etag"].strip('"')

    def delete(self, name: str, condition: Mapping[str, str]) -> None:
        """Delete a blob, if there is one."""
        self._ask("DELETE", name, {}, condition, expect=(202, 404))

    def lease(self, name: str, lease_id: str, action: str) -> int:
        """Take (`acquire`) or give back (`release`) a blob's lease of a minute; gives the status."""
        headers = {"x-ms-lease-action": action}
        if action == "acquire":
            headers |= {"x-ms-lease-duration": str(LEASE_SECONDS), "x-ms-proposed-lease-id": lease_id}
        else:
            headers["x-ms-lease-id"] = lease_id
        return self._ask("PUT", name, {"comp": "lease"}, headers, expect=(200, 201, 404, 409, 412)).status

    def _ask(
        self,
        method: str,
        name: str,
        query: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        expect: tuple[int, ...],
    ) -> Answer:
        answer = self._web.request(method, self._url(name, query), self._headers() | dict(headers or {}), body)
        if answer.status not in expect:
            raise self._refused(answer, method, name)
        return answer

    def _url(self, name: str, query: Mapping[str, str]) -> str:
        where = f"{self.url}/{urllib.parse.quote(name, safe='/')}" if name else self.url
        return f"{where}?{urllib.parse.urlencode(query)}" if query else where

    def _headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self.token()}",
            "x-ms-version": API_VERSION,
            "x-ms-date": email.utils.formatdate(usegmt=True),
        }

    def _refused(self, answer: Answer, method: str, name: str) -> PlaceError:
        code = answer.headers.get("x-ms-error-code", "")
        account = urllib.parse.urlsplit(self.url).hostname
        where = f"{self.url}/{name}" if name else self.url
        told = _message(answer.body)
        kind = _kind(answer.status, code)
        if kind == "denied" and code == "AuthorizationFailure":
            said = (
                f"{account} refuses the network that the request comes from (403 {code}): it has no public access and "
                f"must be reached by its private endpoint; check the endpoint and its DNS zone"
            )
        elif kind == "denied":
            said = (
                f"{where} may not be used for {method} ({answer.status} {code}): the upload's identity needs the role "
                f"Storage Blob Data Contributor on a target, Storage Blob Data Reader on a source; a role given just "
                f"now takes minutes to work. {told}"
            )
        elif kind == "changed":
            said = f"{where} was written or deleted by somebody else meanwhile ({answer.status} {code})"
        else:
            said = f"{where}: {method} is answered {answer.status} {code}: {told}"
        return PlaceError(kind, said)


def _kind(status: int, code: str) -> str:
    if status in (401, 403):
        return "denied"
    if status == 412 or code in ("BlobAlreadyExists", "BlobNotFound", "ConditionNotMet", "SourceConditionNotMet"):
        return "changed"
    if status in (404, 507):
        return "missing" if status == 404 else "full"
    return "unreachable" if status in (408, 429) or (status >= 500 and status != 501) else "refused"


def _listed(one: ElementTree.Element) -> Blob:
    named = one.find("Name")
    name = (named.text or "") if named is not None else ""
    if named is not None and named.get("Encoded") == "true":
        name = urllib.parse.unquote(name)
    properties = one.find("Properties")
    if properties is None:
        raise PlaceError("refused", f"the listing of blob {name!r} has no properties")
    return Blob(
        name=name,
        size=int(properties.findtext("Content-Length") or 0),
        etag=(properties.findtext("Etag") or "").strip('"'),
        md5=properties.findtext("Content-MD5") or "",
        folder=properties.findtext("ResourceType") == "directory" or one.findtext("./Metadata/hdi_isfolder") == "true",
    )


def _message(body: bytes) -> str:
    """Azure's own sentence, its first line."""
    try:
        told = ElementTree.fromstring(body).findtext("Message") or ""
    except ElementTree.ParseError:
        told = body.decode(errors="replace")
    return (told.strip().splitlines() or [""])[0][:300]


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
