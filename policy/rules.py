"""Every rule of the pack, family by family: what docs, schemas and tests go through."""

from __future__ import annotations

from collections.abc import Mapping

from policy import (
    budget,
    kubernetes_objects,
    limits_and_names,
    network,
    pools_and_upgrades,
    quotas,
    regions_and_sizes,
    rights_and_registrations,
    security,
    storage,
)
from policy.facts import sources
from policy.model import Rule

FAMILIES: Mapping[str, tuple[Rule, ...]] = {
    "Quotas": quotas.RULES,
    "Regions and sizes": regions_and_sizes.RULES,
    "Limits and names": limits_and_names.RULES,
    "Pools and upgrades": pools_and_upgrades.RULES,
    "Network": network.RULES,
    "Security": security.RULES,
    "Storage": storage.RULES,
    "Kubernetes objects": kubernetes_objects.RULES,
    "Rights and registrations": rights_and_registrations.RULES,
    "Budget": budget.RULES,
    "Facts": sources.RULES,
}
RULES: tuple[Rule, ...] = tuple(rule for family in FAMILIES.values() for rule in family)
