"""Secrets in what the engine reports: found by its own marker, by the name of the key, and by how they look.

Everything that is read from outside passes here once, before anything else sees it.
"""

from __future__ import annotations

import re
from typing import Any, cast

MARKER_KEY = "4dabf18193072939515e22adb298388d"
SECRET_MARKER = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  the engine's signature of secrets, no secret
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""The engine's sentinels (pulumi `sdk/go/common/resource`)."""

HIDDEN = "(secret)"
TOO_DEEP = "(too deep to show)"
COMPUTED = "(known after deployment)"

_SECRET_KEY = re.compile(
    r"passw(or)?d|passphrase|secret|credential|connection_?string|(account|access|api|shared|private|storage)_?key|"
    r"(access|refresh|bearer|auth|sas|registration)_?token|^token$|kubeconfig|(client|ca|certificate)-?_?key-?_?data|"
    r"client-?certificate-?data",
    re.IGNORECASE,
)
_NAMES_OF_SECRETS = re.compile(
    r"(name|names|namespace|ref|type|provider|class|id|uri|url|enabled|version)s?$", re.IGNORECASE
)
"""`secretName` says where a secret lies, not what it is."""

_LOOKS_SECRET = (
    re.compile(r"-----BEGIN [A-Z ]*(?:PRIVATE KEY|CERTIFICATE)-----.*?(?:-----END [A-Z ]+-----|\Z)", re.DOTALL),
    re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}(?:\.[\w-]+)?"),
    re.compile(
        r"(?i)\b(?:AccountKey|SharedAccessKey|SharedAccessSignature|Password|Pwd|client_secret)\s*=\s*[^\s;,\"']{6,}"
    ),
    re.compile(r"(?i)(?<=[?&])sig=[\w%+/=-]{16,}"),
    re.compile(r"(?i)\bbearer\s+[\w.~+/=-]{16,}"),
    re.compile(
        r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}|AKIA[A-Z0-9]{16})\b"
    ),
    re.compile(r"\b[\w.~-]{3}8Q~[\w.~-]{31,34}"),
    re.compile(r"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{86}==(?![A-Za-z0-9+/=])"),
    re.compile(r"://[^/\s:@]+:[^/\s@]+@"),
)
"""PEM blocks, JSON web tokens, connection strings, signatures of shared access, tokens of well-known makers, the
secrets of Entra applications, keys of storage accounts (64 bytes), and passwords in addresses."""

_DEEPEST = 60
"""Levels of a value that are read; the engine's own are far fewer."""

_ENTROPY_SHORTEST = 40
_BASE64 = re.compile(r"(?<![\w+/=.:-])[A-Za-z0-9+/]{40,}={0,2}(?![\w+/=.:-])")


def scrub(text: str) -> str:
    """A text with everything that looks like a secret taken out."""
    for pattern in _LOOKS_SECRET:
        text = pattern.sub(HIDDEN if pattern.pattern[:3] != "://" else f"://{HIDDEN}@", text)
    return _BASE64.sub(lambda found: HIDDEN if _is_random(found[0]) else found[0], text)


def redact(value: Any, key: str = "") -> Any:
    """A value of JSON without what the engine marks as secret, what lies under a secret's name, and what looks like it.

    Args:
        value: anything that JSON can hold.
        key: its key.
    """
    return _redacted(value, key, under=False, levels=_DEEPEST)


def _redacted(value: Any, key: str, *, under: bool, levels: int) -> Any:
    """`redact`, `levels` deep; `under`: what is above lies under a secret's name."""
    if isinstance(value, str):
        return _text(value, key, under=under)
    if not isinstance(value, dict | list):
        return value
    if not levels:
        return TOO_DEEP
    within = under or _names_a_secret(key)
    if isinstance(value, list):
        return [_redacted(one, key, under=within, levels=levels - 1) for one in cast("list[Any]", value)]
    mapping = cast("dict[str, Any]", value)
    if MARKER_KEY in mapping:
        return HIDDEN
    found: dict[str, Any] = {}
    for name, inner in mapping.items():
        if name in ("data", "stringData") and mapping.get("kind") == "Secret":
            found[name] = HIDDEN
            continue
        # A container's variable is {name: DB_PASSWORD, value: …}: its name says what its value is.
        variable = mapping.get("name") if name == "value" else None
        own = variable if isinstance(variable, str) else str(name)
        found[str(name)] = _redacted(inner, own, under=within, levels=levels - 1)
    return found


def _names_a_secret(key: str) -> bool:
    return bool(_SECRET_KEY.search(key) and not _NAMES_OF_SECRETS.search(key))


def _text(value: str, key: str, *, under: bool) -> str:
    hidden = _names_a_secret(key) or (under and not _NAMES_OF_SECRETS.search(key))
    if value == "[secret]" or (hidden and value not in ("", UNKNOWN)):
        return HIDDEN
    # An unknown value may stand alone or inside a text, as an id that is put together from parts.
    return scrub(value.replace(UNKNOWN, COMPUTED))


def _is_random(text: str) -> bool:
    """Whether a long run of base64 letters is no word, path or hexadecimal digest: it mixes all three kinds."""
    return (
        len(text) >= _ENTROPY_SHORTEST
        and any(one.isdigit() for one in text)
        and any(one.islower() for one in text)
        and any(one.isupper() for one in text)
        and "/" not in text.strip("/")[:12]
    )
