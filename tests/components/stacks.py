"""Stacks for tests: small, complete, and changed by a few values at a time."""

from __future__ import annotations

from typing import Any

from components.environment import Environment
from stacks.settings import Deployer, Stack
from tests.components.recorder import DEPLOYER, SUBSCRIPTION

POOLS: dict[str, Any] = {
    "cpu": {"class": "cpu", "max": 10},
    "light": {"class": "light-gpu", "max": 8, "gpu": {"sharing": "time-slicing", "replicas": 4}},
    "heavy": {"class": "heavy-gpu", "max": 4, "spot": True},
    "serve": {"class": "light-gpu", "min": 1, "max": 4, "role": "serve"},
}
SHARES: dict[str, Any] = {
    "code": {"sizeGib": 100},
    "datasets": {"sizeGib": 1024, "tier": "premium", "protocol": "nfs"},
}


def stack(**changes: Any) -> Stack:
    """A stack with four pools and two shares; `changes` replace its top-level keys."""
    values: dict[str, Any] = {
        "location": "westeurope",
        "pools": POOLS,
        "storage": {"files": {"shares": SHARES}},
        **changes,
    }
    return Stack.model_validate(values)


def environment(**changes: Any) -> Environment:
    """The environment that the recorder's account stands for."""
    values: dict[str, Any] = {
        "project": "trainyard",
        "name": "test",
        "location": "westeurope",
        "subscription_id": SUBSCRIPTION,
        "tenant_id": "tenant",
        "deployer": Deployer(object_id=DEPLOYER, principal_type="User"),
        "extra_tags": {"team": "vision"},
        **changes,
    }
    return Environment(**values)
