"""Posting of Kubernetes events: repeats are counted on the first one, as Kubernetes' own components do."""

from __future__ import annotations

from sandbox.kubernetes_client import ApiError, KubernetesClient, path
from sandbox.nodes.objects import Json, text


async def post_event(client: KubernetesClient, event: Json) -> None:
    """Create an event, or count it once more.

    Raises:
        ApiError: the server cannot take it now.
    """
    namespace, name = text(event, "metadata", "namespace"), text(event, "metadata", "name")
    try:
        await client.create(path("v1", "events", namespace), event)
    except ApiError as error:
        if not error.conflict:
            raise
        where = path("v1", "events", namespace, name)
        present = await client.find(where)
        if present is not None:
            count = int(present.get("count") or 1) + 1
            await client.patch(where, {"count": count, "lastTimestamp": event["lastTimestamp"]})
