"""What every component of one environment shares: where it is, who deploys it, how it is named and tagged."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from components.naming import short_hash
from stacks.settings import Deployer


@dataclass(frozen=True)
class Environment:
    """One stack on one subscription.

    Args:
        project: Pulumi's project name.
        name: the stack's name, `dev` or `prod`; part of every Azure name.
        location: an Azure region's short name, `westeurope`.
        subscription_id: where everything goes.
        tenant_id: the directory that people and machines sign in to.
        deployer: whoever runs `pulumi up`.
        extra_tags: tags of the stack file, put on everything that takes tags.
    """

    project: str
    name: str
    location: str
    subscription_id: str
    tenant_id: str
    deployer: Deployer
    extra_tags: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def tags(self) -> dict[str, str]:
        """Azure tags for every resource: Azure does not hand a group's tags down.

        `trainyard-project` and `trainyard-stack` say whose a resource is; recovery adopts nothing without them.
        """
        return {**self.extra_tags, "trainyard-project": self.project, "trainyard-stack": self.name}

    @property
    def unique(self) -> str:
        """Six characters of `[a-z0-9]` for names that all of Azure shares."""
        return short_hash(f"{self.subscription_id}/{self.project}/{self.name}", 6)

    def stable_uuid(self, *parts: str) -> str:
        """A GUID that is the same in every run and differs by subscription, stack and `parts`."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join((self.subscription_id, self.project, self.name, *parts))))
