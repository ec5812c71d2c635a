"""Refusals in the storage service's form."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from xml.sax.saxutils import escape


class StorageError(Exception):
    """An answer that refuses a request.

    Args:
        status: HTTP status.
        code: the service's error code, `AuthorizationFailure`.
        message: what broke, and where the service leaves it open, what to do.
    """

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.request_id = str(uuid.uuid4())
        self.headers = {"x-ms-error-code": code, "x-ms-request-id": self.request_id, **(headers or {})}

    @property
    def xml(self) -> bytes:
        """The answer's document."""
        when = datetime.now(UTC).isoformat()
        message = escape(f"{self.message}\nRequestId:{self.request_id}\nTime:{when}")
        return (
            f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{self.code}</Code><Message>{message}</Message></Error>'
        ).encode()


def not_emulated(what: str) -> StorageError:
    """The refusal of what the sandbox does not have."""
    return StorageError(501, "NotImplemented", f"The sandbox does not emulate {what}.")
