"""Azure's name rules, as pure functions.

A name that Azure limits is never cut silently: what does not fit is replaced by a hash of the whole.
Rules: Azure's "Naming rules and restrictions for Azure resources" and AKS's for agent pools.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping

POOL_HASH_LENGTH = 5
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_POOL_KEY = re.compile(r"^[a-z][a-z0-9]{0,6}$")


def short_hash(text: str, length: int) -> str:
    """`length` characters of `[0-9a-z]` that stand for `text`."""
    number = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
    digits: list[str] = []
    for _ in range(length):
        number, digit = divmod(number, 36)
        digits.append(_BASE36[digit])
    return "".join(digits)


def fit(text: str, limit: int) -> str:
    """`text` where it has at most `limit` characters, else its start and a hash of the whole."""
    if len(text) <= limit:
        return text
    return f"{text[: limit - 6]}{short_hash(text, 6)}"


def agent_pool_name(key: str, create_only: Mapping[str, object]) -> str:
    """The physical name of a pool: its key and a hash of the values that AKS takes only at creation.

    A changed create-only value gives a new name, hence a replacement: Azure refuses to change such a value in place.

    Args:
        key: the pool's name in the stack file, `[a-z][a-z0-9]{0,6}`.
        create_only: property to value; the order of keys does not matter.

    Returns:
        At most 12 characters of `[a-z0-9]`, the first a letter.

    Raises:
        ValueError: the key breaks AKS's rule.
    """
    if not _POOL_KEY.fullmatch(key):
        raise ValueError(f"pool name {key!r}: 1 to 7 characters of a-z and 0-9, the first a letter")
    canonical = json.dumps(create_only, sort_keys=True, separators=(",", ":"), default=str)
    return key + short_hash(canonical, POOL_HASH_LENGTH)


def resource_group_name(environment: str, location: str) -> str:
    """`rg-trainyard-<environment>-<location>`, at most 80 characters: AKS's own group needs room for `-nodes`."""
    return fit(f"rg-trainyard-{environment}-{location}", 80)


def data_group_name(environment: str, location: str) -> str:
    """`rg-trainyard-<environment>-<location>-data`, at most 85 characters of Azure's 90."""
    return f"{resource_group_name(environment, location)}-data"


def node_resource_group_name(resource_group: str) -> str:
    """The group that AKS makes and deletes, named by us so that rights can be given on it."""
    return f"{resource_group}-nodes"


def cluster_name(environment: str) -> str:
    """1 to 63 characters of letters, digits, `-` and `_`."""
    return fit(f"aks-trainyard-{environment}", 63)


def dns_prefix(environment: str, unique: str) -> str:
    """1 to 54 characters; the cluster's host name begins with it."""
    return fit(f"trainyard-{environment}-{unique}", 54)


def storage_account_name(purpose: str, environment: str, unique: str) -> str:
    """3 to 24 lower-case letters and digits, unique in all of Azure.

    Args:
        purpose: a few letters, as in `nfs`; kept whole.
        environment: kept as far as it fits.
        unique: of subscription and stack; kept whole.
    """
    letters = re.sub("[^a-z0-9]", "", environment.lower())
    room = 24 - len("ty") - len(purpose) - len(unique)
    return f"ty{purpose}{fit(letters, room)}{unique}"


def registry_name(environment: str, unique: str) -> str:
    """5 to 50 letters and digits, unique in all of Azure."""
    return f"trainyard{fit(re.sub('[^a-z0-9]', '', environment.lower()), 35)}{unique}"
