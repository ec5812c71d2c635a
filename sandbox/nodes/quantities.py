"""Kubernetes quantities: `500m`, `16Gi`, `2e3`."""

from __future__ import annotations

import re
from decimal import Decimal

_SUFFIXES = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}
_QUANTITY = re.compile(r"^([+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|[+-]?\.\d+)([numkMGTPE]|[KMGTPE]i)?$")


def parse_quantity(text: str | int) -> Decimal:
    """The number a quantity stands for.

    Raises:
        ValueError: it is no quantity.
    """
    match = _QUANTITY.match(str(text))
    if match is None:
        raise ValueError(f"{text!r} is no quantity: a number with at most one suffix such as m, k, Mi, Gi is expected")
    return Decimal(match[1]) * _SUFFIXES[match[2] or ""]


def cpu_quantity(milli: int) -> str:
    """CPU as Kubernetes writes it: whole cores where it can."""
    return str(milli // 1000) if milli % 1000 == 0 else f"{milli}m"
