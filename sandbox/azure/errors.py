"""Errors in Azure Resource Manager's form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class ArmError(Exception):
    """An answer that refuses a request, as Resource Manager or a service words it.

    Args:
        status: HTTP status.
        code: Azure's error code, `ResourceNotFound`.
        message: what broke, with which value, and what to do.
        target: the property at fault, `properties.addressPrefix`.
        details: further errors in the same form.
        headers: HTTP headers of the answer, `Retry-After` for one.
        flat: leave out the outer `{"error": …}`, as the container service does.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        target: str | None = None,
        details: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
        flat: bool = False,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.target = target
        self.details = [dict(detail) for detail in details]
        self.headers = dict(headers or {})
        self.flat = flat

    @property
    def error(self) -> dict[str, Any]:
        """`{code, message, target?, details?}`."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.target is not None:
            error["target"] = self.target
        if self.details:
            error["details"] = self.details
        return error

    @property
    def body(self) -> dict[str, Any]:
        """The answer's JSON document."""
        return self.error if self.flat else {"error": self.error}


def bad_request(code: str, message: str, target: str | None = None) -> ArmError:
    """A 400: the request itself is wrong, sending it again will not help."""
    return ArmError(400, code, message, target=target)


def conflict(code: str, message: str, *, retry_after: int | None = None) -> ArmError:
    """A 409: the request does not fit what is there now.

    Args:
        retry_after: seconds after which the client may try again; None: it must change something first.
    """
    headers = {"Retry-After": str(retry_after)} if retry_after is not None else None
    return ArmError(409, code, message, headers=headers)
