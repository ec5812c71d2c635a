"""AKS's limits on requests: a bucket of tokens for each pool and each cluster (azure-aks-docs quotas-skus-regions.md).

A request that is refused for another reason leaves its bucket as it was: its whole transaction is undone.
"""

from __future__ import annotations

import math

from sandbox.azure.behaviour import Context
from sandbox.azure.errors import ArmError
from sandbox.azure.ids import key_of

BUCKET = 20
REFILL_SECONDS = 60.0


def take_token(ctx: Context, resource_id: str) -> None:
    """Let one PUT or DELETE of a pool or cluster through: 20 at once, one more each minute.

    Raises:
        ArmError: 429 with the seconds to wait.
    """
    key = f"tokens:{key_of(resource_id)}"
    now = ctx.now()
    tokens, since = ctx.store.kv_get(key, (float(BUCKET), now))
    tokens = min(float(BUCKET), tokens + (now - since) / REFILL_SECONDS)
    if tokens < 1:
        wait = math.ceil((1 - tokens) * REFILL_SECONDS)
        raise ArmError(
            429,
            "Throttled",
            f"The request is throttled: {BUCKET} PUT and DELETE requests at once and one a minute are allowed for "
            f"'{resource_id}'. Try again in {wait} seconds.",
            headers={"Retry-After": str(wait)},
            flat=True,
        )
    ctx.store.kv_set(key, (tokens - 1, now))
