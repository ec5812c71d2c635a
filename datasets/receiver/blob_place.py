"""A dataset's folder in a blob container.

Owns what the steps of an upload are in Blob Storage: blocks staged and then committed in one request, conditions so
that nothing is overwritten unseen, a lease as lock. A committed blob is read back before it counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from datasets.receiver.blob_client import Container
from datasets.receiver.blocks import PRIVATE_FOLDER, FilePlan, plan_of
from datasets.receiver.places import Found, PlaceError

_NEW = {"If-None-Match": "*"}


class BlobPlace:
    """The blobs below one path of a container.

    Args:
        container: the container.
        dataset: the dataset's name, for manifest and lock.
        path: folder in the container; empty: its top.
    """

    def __init__(self, container: Container, dataset: str, path: str) -> None:
        self.container = container
        self._prefix = f"{path}/" if path else ""
        self._manifest = f"{PRIVATE_FOLDER}/{dataset}.json"
        self._lock = f"{PRIVATE_FOLDER}/{dataset}.lock"

    def describe(self) -> str:
        """The container's address and the path."""
        return f"{self.container.url}/{self._prefix}"

    def scan(self) -> dict[str, Found]:
        """Every blob below the path; a hierarchical account's folders with the size -1."""
        found = {
            blob.name.removeprefix(self._prefix): Found(-1 if blob.folder else blob.size, blob.etag)
            for blob in self.container.list(self._prefix)
        }
        return {path: one for path, one in found.items() if path and not path.startswith(f"{PRIVATE_FOLDER}/")}

    def staged(self, file: FilePlan) -> set[int]:
        """By the blocks' ids, which name place and content."""
        ids = set(self.container.blocks(self._name(file.path), "uncommitted"))
        return {index for index in range(len(file.blocks)) if file.block_id(index) in ids}

    def stage(self, file: FilePlan, index: int, data: bytes) -> None:
        """Put Block."""
        self.container.put_block(self._name(file.path), file.block_id(index), data)

    def stage_from(self, file: FilePlan, index: int, source: str, etag: str) -> None:
        """Put Block From URL: the storage fetches the block itself, signed in as we are."""
        self.container.put_block_from(self._name(file.path), file.block_id(index), source, file.span(index), etag=etag)

    def commit(self, file: FilePlan, replaces: Found | None) -> tuple[Found, str]:
        """Put Block List, then read back."""
        ids = [file.block_id(index) for index in range(len(file.blocks))]
        name = self._name(file.path)
        try:
            etag = self.container.put_block_list(name, ids, _condition(replaces))
        except PlaceError as error:
            # A request that is repeated because its answer was lost finds its own work.
            if error.kind != "changed" or self.container.blocks(name, "committed") != ids:
                raise
            etag = self._present(name).version
        return self._checked(file, etag)

    def write(self, file: FilePlan, data: bytes, replaces: Found | None) -> tuple[Found, str]:
        """Put Blob, then read back."""
        name = self._name(file.path)
        try:
            etag = self.container.put(name, data, _condition(replaces))
        except PlaceError as error:
            if error.kind != "changed":
                raise
            found = self._present(name)
            if found.size != len(data) or b"".join(self.container.read(name, found.version)) != data:
                raise
            etag = found.version
        return self._checked(file, etag)

    def remove(self, path: str, found: Found) -> None:
        """Delete the blob in that state."""
        self.container.delete(self._name(path), {"If-Match": f'"{found.version}"'})

    def read(self, path: str) -> Iterator[bytes]:
        """Get Blob."""
        return self.container.read(self._name(path))

    def load_manifest(self) -> str | None:
        """From the container's `.trainyard`."""
        if self.container.head(self._manifest) is None:
            return None
        return b"".join(self.container.read(self._manifest)).decode()

    def save_manifest(self, text: str) -> None:
        """Put Blob: whole or not at all; in blocks where it is large."""
        data = text.encode()
        plan = plan_of(self._manifest, data)
        if plan.single:
            self.container.put(self._manifest, data, {}, {"x-ms-blob-content-type": "application/json"})
            return
        for index in range(len(plan.blocks)):
            offset, length = plan.span(index)
            self.container.put_block(self._manifest, plan.block_id(index), data[offset : offset + length])
        self.container.put_block_list(self._manifest, [plan.block_id(index) for index in range(len(plan.blocks))], {})

    def lock(self, session: str, owner: str) -> None:
        """The lease of a blob that holds the owner's name; the session is the lease's id, so it can be taken again."""
        status = self.container.lease(self._lock, session, "acquire")
        if status == 404:
            try:
                self.container.put(self._lock, owner.encode(), _NEW)
            except PlaceError as error:
                if error.kind != "changed":
                    raise
            status = self.container.lease(self._lock, session, "acquire")
            if status < 300:
                return
        elif status < 300:
            if b"".join(self.container.read(self._lock)).decode(errors="replace") != owner:
                self.container.put(self._lock, owner.encode(), {"x-ms-lease-id": session})
            return
        holder = b"".join(self.container.read(self._lock)).decode(errors="replace")
        raise PlaceError(
            "locked",
            f"another upload of this dataset runs: {holder}. Wait for it; should it have died, the lock ends a minute "
            f"after its last sign of life",
        )

    def unlock(self, session: str) -> None:
        """Give the lease back."""
        self.container.lease(self._lock, session, "release")

    def clear_unfinished(self) -> None:
        """Nothing to do: Azure forgets a blob's other blocks when it is committed, and all of them after a week."""

    def _name(self, path: str) -> str:
        return self._prefix + path

    def _present(self, name: str) -> Found:
        blob = self.container.head(name)
        return Found(-1, "") if blob is None else Found(blob.size, blob.etag)

    def _checked(self, file: FilePlan, etag: str) -> tuple[Found, str]:
        digest, size = hashlib.sha256(), 0
        for piece in self.container.read(self._name(file.path), etag):
            digest.update(piece)
            size += len(piece)
        if size != file.size or (file.sha256 and digest.hexdigest() != file.sha256):
            found = Found(size, etag)
            self.remove(file.path, found)
            raise PlaceError(
                "corrupt",
                f"{file.path}: what was stored has {size} bytes and sha256 {digest.hexdigest()}, the source has "
                f"{file.size} and {file.sha256 or 'an unknown one'}; it was deleted again. Upload once more",
            )
        return Found(size, etag), digest.hexdigest()


def _condition(replaces: Found | None) -> dict[str, str]:
    return _NEW if replaces is None else {"If-Match": f'"{replaces.version}"'}
