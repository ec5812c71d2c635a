"""Every rule of the pack, family by family: what docs, schemas and tests go through."""

from __future__ import annotations

from collections.abc import Mapping

from policy import quotas
from policy.facts import sources
from policy.model import Rule

FAMILIES: Mapping[str, tuple[Rule, ...]] = {
    "Quotas": quotas.RULES,
    "Facts": sources.RULES,
}
RULES: tuple[Rule, ...] = tuple(rule for family in FAMILIES.values() for rule in family)
