"""Types of single values in a stack file: what YAML and `pulumi config set` make of them, judged and mended.

Owns the reading of booleans, numbers, address ranges and prices. A value that is plainly meant is taken, as text for
a number; one that only looks right is refused, as a boolean for a number.
"""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Network, NetmaskValueError
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError


def _not_boolean(value: Any) -> Any:
    """YAML's `yes` and `true` are no numbers, though Python counts them as 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "is not a number")
    return value


def true_or_false(value: Any) -> Any:
    """`true` and `false`, as text too, as `pulumi config set` writes them; 1, `on` and `y` are somebody's slip."""
    words = {"true": True, "false": False}
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    if not isinstance(value, bool):
        raise PydanticCustomError("bool_type", "is neither true nor false")
    return value


def _number_as_text(value: Any) -> Any:
    """A zone or a surge is a name for Azure and a number for who writes it."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _network(value: str) -> str:
    try:
        network = IPv4Network(value, strict=False)
    except (AddressValueError, NetmaskValueError, ValueError) as error:
        raise PydanticCustomError("cidr", "is no IPv4 range in CIDR form, as `10.0.0.0/16`") from error
    prefix = value.partition("/")[2]
    if not prefix.isdigit() or str(network) != value:
        raise PydanticCustomError(
            "cidr", "is not written as the range it means: write `{network}`", {"network": str(network)}
        )
    return value


def _price(value: float) -> float:
    if value != -1 and value <= 0:
        raise PydanticCustomError("price", "is no price: above 0, or -1 for up to the on-demand price")
    return value


Zone = Annotated[
    Literal["1", "2", "3"],
    BeforeValidator(_number_as_text, json_schema_input_type=Literal["1", "2", "3", 1, 2, 3]),
]
NUMBER = BeforeValidator(_not_boolean)
"""Last in a field's annotation: before the bounds it would hide them from the schema."""
Flag = Annotated[bool, BeforeValidator(true_or_false)]
Cidr = Annotated[str, AfterValidator(_network), Field(examples=["10.0.0.0/16"])]
ObjectId = Annotated[
    str,
    Field(
        pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
        examples=["00000000-0000-4000-8000-000000000001"],
    ),
]
_SURGE = Field(pattern=r"^(1000|[1-9]\d{0,2}|100%|[1-9]\d?%)$", examples=["1", "33%"])
Surge = Annotated[str, _SURGE, BeforeValidator(_number_as_text, json_schema_input_type=Annotated[str, _SURGE] | int)]
PRICE = AfterValidator(_price)
