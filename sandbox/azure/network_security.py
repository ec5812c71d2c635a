"""Network security groups."""

from __future__ import annotations

import uuid
from typing import cast

from sandbox.azure.behaviour import Body, Context, Request, register
from sandbox.azure.context import section
from sandbox.azure.errors import bad_request
from sandbox.azure.network_types import INTERFACES, SECURITY_GROUPS, SUBNETS, NetworkType, refuse_use, users
from sandbox.azure.store import Resource

_USERS = (
    (SUBNETS, "properties.networkSecurityGroup.id"),
    (INTERFACES, "properties.networkSecurityGroup.id"),
)
_DEFAULTS = (
    ("AllowVnetInBound", "Allow", "Inbound", 65000, "VirtualNetwork", "VirtualNetwork"),
    ("AllowAzureLoadBalancerInBound", "Allow", "Inbound", 65001, "AzureLoadBalancer", "*"),
    ("DenyAllInBound", "Deny", "Inbound", 65500, "*", "*"),
    ("AllowVnetOutBound", "Allow", "Outbound", 65000, "VirtualNetwork", "VirtualNetwork"),
    ("AllowInternetOutBound", "Allow", "Outbound", 65001, "*", "Internet"),
    ("DenyAllOutBound", "Deny", "Outbound", 65500, "*", "*"),
)
_SOURCES = ("sourceAddressPrefix", "sourceAddressPrefixes", "sourceApplicationSecurityGroups")
_TARGETS = ("destinationAddressPrefix", "destinationAddressPrefixes", "destinationApplicationSecurityGroups")


class NetworkSecurityGroups(NetworkType):
    """`Microsoft.Network/networkSecurityGroups`, rules inline."""

    type = SECURITY_GROUPS

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """Rules: named, complete, one priority a direction."""
        seen: dict[tuple[str, int], str] = {}
        names: set[str] = set()
        for rule in cast(list[Body], section(body, "properties").get("securityRules") or []):
            name = str(rule.get("name") or "")
            rule_properties = cast(Body, rule.get("properties") or {})
            if not name or name.lower() in names:
                raise bad_request(
                    "SecurityRuleNameInvalid",
                    f"The rules of {request.name} need different names; '{name}' is empty or there twice.",
                )
            names.add(name.lower())
            _check_rule(name, rule_properties)
            place = (str(rule_properties["direction"]), int(rule_properties["priority"]))
            if place in seen:
                raise bad_request(
                    "SecurityRuleConflict",
                    f"Security rule {seen[place]} conflicts with rule {name}. Rules cannot have the same Priority "
                    f"and Direction: both have {place[1]}, {place[0]}.",
                )
            seen[place] = name

    def fill(self, ctx: Context, request: Request, document: Body, existing: Resource | None) -> None:
        """Ids of the rules, and the rules that every group has."""
        properties = document["properties"]
        properties["resourceGuid"] = existing.properties["resourceGuid"] if existing else str(uuid.uuid4())
        properties["securityRules"] = [
            _rule(document["id"], "securityRules", rule["name"], rule["properties"])
            for rule in cast(list[Body], properties.get("securityRules") or [])
        ]
        properties["defaultSecurityRules"] = [
            _rule(
                document["id"],
                "defaultSecurityRules",
                name,
                {
                    "protocol": "*",
                    "sourcePortRange": "*",
                    "destinationPortRange": "*",
                    "sourceAddressPrefix": source,
                    "destinationAddressPrefix": target,
                    "access": access,
                    "priority": priority,
                    "direction": direction,
                },
            )
            for name, access, direction, priority, source, target in _DEFAULTS
        ]

    def check_delete(self, ctx: Context, resource: Resource) -> None:
        """No subnet may use it."""
        found = users(ctx, resource.id, _USERS)
        refuse_use("InUseNetworkSecurityGroupCannotBeDeleted", "Network security group", resource, found)

    def render(self, ctx: Context, resource: Resource) -> Body:
        """With the subnets that use it."""
        subnets = users(ctx, resource.id, _USERS[:1])
        shown = {"subnets": [{"id": one} for one in subnets]} if subnets else {}
        return {**resource.body, "properties": {**resource.properties, **shown}}


def _check_rule(name: str, rule: Body) -> None:
    priority = rule.get("priority")
    if not isinstance(priority, int) or not 100 <= priority <= 4096:
        raise bad_request(
            "SecurityRuleInvalidPriority",
            f"Security rule has invalid Priority. Value provided: {priority}. Allowed range 100-4096. Rule: {name}.",
        )
    wanted = (
        ("SourcePortRange", ("sourcePortRange", "sourcePortRanges")),
        ("DestinationPortRange", ("destinationPortRange", "destinationPortRanges")),
        ("SourceAddressPrefix", _SOURCES),
        ("DestinationAddressPrefix", _TARGETS),
    )
    for word, keys in wanted:
        if not any(rule.get(key) for key in keys):
            raise bad_request(
                "SecurityRuleParameterMissing",
                f"Required security rule parameters are missing for security rule {name}: {word}.",
            )


def _rule(group_id: str, kind: str, name: str, properties: Body) -> Body:
    return {
        "id": f"{group_id}/{kind}/{name}",
        "name": name,
        "type": f"{SECURITY_GROUPS}/{kind}",
        "properties": {**properties, "provisioningState": "Succeeded"},
    }


register(NetworkSecurityGroups())
