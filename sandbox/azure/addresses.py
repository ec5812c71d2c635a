"""IP ranges as Azure's network service reads them."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

from sandbox.azure.errors import bad_request

RESERVED = 4
"""Azure keeps the first four addresses of a subnet, and the last."""


def network(prefix: str, owner: str) -> IPv4Network:
    """A range from its CIDR notation.

    Raises:
        ArmError: it is none, or has host bits.
    """
    try:
        loose = IPv4Network(prefix, strict=False)
    except ValueError as error:
        raise bad_request(
            "InvalidAddressPrefixFormat",
            f"Address prefix {prefix} of resource {owner} is not formatted correctly. It should follow CIDR notation, "
            "for example 10.0.0.0/24.",
        ) from error
    if str(loose) != prefix:
        raise bad_request(
            "InvalidCIDRNotation",
            f"The address prefix {prefix} in resource {owner} has an invalid CIDR notation. For the given prefix "
            f"length, the address prefix should be {loose}.",
        )
    return loose


def free_address(subnets: Iterable[IPv4Network], taken: Iterable[str], owner: str) -> str:
    """The first address of a subnet that nobody has.

    Raises:
        ArmError: `SubnetIsFull`.
    """
    used = set(taken)
    ranges = list(subnets)
    for one in ranges:
        first = int(one.network_address) + RESERVED
        for number in range(first, int(one.broadcast_address)):
            address = str(IPv4Address(number))
            if address not in used:
                return address
    raise bad_request(
        "SubnetIsFull",
        f"Subnet {owner} with address prefix {', '.join(map(str, ranges))} does not have enough capacity for 1 IP "
        "addresses.",
    )
