"""Rules between the values of containers, and of what stands on them.

Azure's rules for containers: "Naming and Referencing Containers, Blobs, and Metadata" and "Network File System (NFS)
3.0 protocol support for Azure Blob Storage", read 2026-11-23.

NFSv3 knows neither sign-in nor encryption, so Azure serves it inside a private network alone. Nothing in a stack file
can take that network away: every account is behind private endpoints, and only the nodes' subnet reaches those. What is
left to get wrong is where *else* the network is opened: whoever peers it, or routes to it, can read such containers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stacks.draft import Draft
from stacks.problems import PathParts, Problem, nearest
from stacks.storage_settings import Container

_CONTAINER_NAME = re.compile(r"[a-z0-9](?:[a-z0-9]|-(?=[a-z0-9])){2,62}")


def blob_rules(draft: Draft) -> Iterator[Problem]:
    """Everything wrong with containers and Pachyderm."""
    for name, container in draft.stack.storage.blob.containers.items():
        if draft.present("storage", "blob", "containers", name):
            yield from _container(draft, name, container)
    yield from _pachyderm(draft)


def _container(draft: Draft, name: str, container: Container) -> Iterator[Problem]:
    path: PathParts = ("storage", "blob", "containers", name)
    if not _CONTAINER_NAME.fullmatch(name):
        yield Problem(
            path,
            f"{draft.shown(name)} cannot name a container; allowed: 3 to 63 lower-case letters, digits and single "
            f"hyphens, a letter or digit first and last. Rename it.",
        )
    if container.protocol == "nfs" and "hierarchical" in container.model_fields_set and not container.hierarchical:
        yield Problem(
            (*path, "hierarchical"),
            "false with nfs; allowed: true, Azure has NFS on hierarchical accounts only. "
            "Remove hierarchical, or set protocol to fuse2.",
            needs=((*path, "protocol"),),
        )


def _pachyderm(draft: Draft) -> Iterator[Problem]:
    pachyderm = draft.stack.storage.pachyderm
    if pachyderm is None:
        return
    path: PathParts = ("storage", "pachyderm", "container")
    containers = draft.stack.storage.blob.containers
    found = containers.get(pachyderm.container)
    above: PathParts = ("storage", "blob", "containers")
    if found is None:
        near = nearest(pachyderm.container, list(containers))
        remedy = f"Did you mean {near}?" if near else f"Add {pachyderm.container} to storage.blob.containers."
        yield Problem(
            path,
            f"{draft.shown(pachyderm.container)} names no container; allowed: {', '.join(containers) or 'none yet'}. "
            f"{remedy}",
            needs=(path, above),
        )
    elif found.protocol == "nfs" or found.hierarchical:
        what = "an NFS container" if found.protocol == "nfs" else "a hierarchical one"
        yield Problem(
            path,
            f"{draft.shown(pachyderm.container)} is {what}; allowed: a flat container over fuse2, as Pachyderm keeps "
            f"objects and no folders. Give it a container of its own, with no settings.",
            needs=(path, (*above, pachyderm.container)),
        )
    classes = [pool.pool_class for _, pool in draft.pools()]
    if "cpu" not in classes:
        yield Problem(
            ("storage", "pachyderm"),
            f"has no machines to run on: pools of class {', '.join(sorted(set(classes)))}; allowed: with a pool of "
            f"class cpu, as the others take only pods that ask for them. Add one, with min 1 to have it always there.",
            needs=(("pools",),),
        )
