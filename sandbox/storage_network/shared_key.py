"""The Shared Key scheme: what a request's signature is made of, and the signature.

Source: learn.microsoft.com `rest/api/storageservices/authorize-with-shared-key`, versions from 2015-02-21 on.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl

_SIGNED = (
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-MD5",
    "Content-Type",
    "Date",
    "If-Modified-Since",
    "If-Match",
    "If-None-Match",
    "If-Unmodified-Since",
    "Range",
)


def signature(key: str, method: str, headers: Mapping[str, str], account: str, target: str) -> str:
    """The signature of a request.

    Args:
        key: the account's, in base 64.
        headers: in any case.
        target: path and query as on the wire.
    """
    given = {name.lower(): value for name, value in headers.items()}
    values = [_value(given, name) for name in _SIGNED]
    lines = [method, *values, *_custom(given), _resource(account, target)]
    digest = hmac.new(base64.b64decode(key), "\n".join(lines).encode(), hashlib.sha256)
    return base64.b64encode(digest.digest()).decode()


def _value(given: Mapping[str, str], name: str) -> str:
    if name == "Date" and "x-ms-date" in given:
        return ""
    value = given.get(name.lower(), "")
    return "" if name == "Content-Length" and value == "0" else value


def _custom(given: Mapping[str, str]) -> Iterable[str]:
    for name in sorted(name for name in given if name.startswith("x-ms-")):
        yield f"{name}:{' '.join(given[name].split())}"


def _resource(account: str, target: str) -> str:
    path, _, query = target.partition("?")
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        values.setdefault(name.lower(), []).append(value)
    return f"/{account}{path}" + "".join(f"\n{name}:{','.join(sorted(values[name]))}" for name in sorted(values))
