"""Kubernetes quantities (`500m`, `1536Mi`) in the one spelling that the API server gives back.

Without it a program's `memory: 1024Mi` would differ for ever from the cluster's `1Gi`.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from typing import Any

from sandbox.providers.kubernetes.objects import as_list, as_map, is_list, is_map

_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BY_EXPONENT = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_FORM = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+))([EPTGMK]i|[numkMGTPE]|[eE][+-]?\d+)?$")

_MAPS_OF_QUANTITIES = frozenset(
    {"limits", "requests", "capacity", "hard", "overhead", "podFixed", "default", "defaultRequest", "max", "min"}
    | {"maxLimitRequestRatio", "allocatable"}
)
_QUANTITIES = frozenset({"sizeLimit", "divisor", "averageValue"})
_FREE = frozenset({"labels", "annotations", "matchLabels", "nodeSelector", "parameters", "volumeAttributes", "data"})


def canonical(written: str | float) -> str:
    """The API server's spelling of a quantity; what is no quantity comes back as it is.

    >>> canonical("1024Mi"), canonical(0.5), canonical("1000m"), canonical("1.5Gi"), canonical("2e3")
    ('1Gi', '500m', '1', '1536Mi', '2e3')
    """
    match = _FORM.match(str(written).strip())
    if match is None:
        return str(written)
    number, suffix = Fraction(match.group(1)), match.group(2) or ""
    if suffix in _BINARY:
        value = number * 1024 ** _BINARY[suffix]
        if value.denominator == 1 and abs(value) >= 1024:
            return _binary(int(value))
        return _decimal(value)
    if suffix[:1] in {"e", "E"} and len(suffix) > 1:
        return _exponential(number * Fraction(10) ** int(suffix[1:]))
    return _decimal(number * Fraction(10) ** _DECIMAL[suffix])


def _binary(value: int) -> str:
    power = 0
    while value and value % 1024 == 0 and power < 6:
        value, power = value // 1024, power + 1
    return f"{value}{next((suffix for suffix, p in _BINARY.items() if p == power), '')}"


def _decimal(value: Fraction) -> str:
    mantissa, exponent = _mantissa(value)
    return f"{mantissa}{_BY_EXPONENT[exponent]}"


def _exponential(value: Fraction) -> str:
    mantissa, exponent = _mantissa(value)
    return f"{mantissa}e{exponent}" if exponent else str(mantissa)


def _mantissa(value: Fraction) -> tuple[int, int]:
    """A whole number and a multiple of 3 as its power of ten, as large as can be; rounded up to nano."""
    nano = value * 10**9
    mantissa = int((Decimal(nano.numerator) / Decimal(nano.denominator)).to_integral_value(ROUND_CEILING))
    exponent = -9
    while mantissa and mantissa % 1000 == 0 and exponent < 18:
        mantissa, exponent = mantissa // 1000, exponent + 3
    return (mantissa, exponent) if mantissa else (0, 0)


def with_canonical_quantities(tree: Any, key: str = "") -> Any:
    """A copy of a built-in object in which every quantity has the API server's spelling.

    Which values are quantities is told by the name of the field that holds them: within Kubernetes' own kinds these
    names are used for nothing else of the same shape, except where users choose the names.
    """
    if is_list(tree):
        return [with_canonical_quantities(value) for value in as_list(tree)]
    if not is_map(tree) or key in _FREE:
        return tree
    quantities = _QUANTITIES if key not in _MAPS_OF_QUANTITIES else as_map(tree).keys()
    return {
        name: canonical(value) if name in quantities and _is_written(value) else with_canonical_quantities(value, name)
        for name, value in as_map(tree).items()
    }


def _is_written(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)
