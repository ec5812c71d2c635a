"""Rules between the values of datasets, and of a dataset among the others and the storage they live in.

Owns what makes a dataset one that can be uploaded: one source, one target that the stack has, a folder of its own.
Whether the source is there is asked when it is uploaded: it may lie on another machine than the one that deploys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stacks.draft import Draft
from stacks.problems import PathParts, Problem, nearest
from stacks.storage_settings import Dataset, Source, Target

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_SOURCES = "folder, container (az://account/container/path) and url"
_TARGETS = "share, container and fileSystem"
_PRIVATE_FOLDER = ".trainyard"


def dataset_rules(draft: Draft) -> Iterator[Problem]:
    """Everything wrong with the datasets by themselves and together."""
    datasets = {name: one for name, one in draft.stack.datasets.items() if draft.present("datasets", name)}
    for name, dataset in datasets.items():
        if not _NAME.fullmatch(name):
            yield Problem(
                ("datasets", name),
                f"{draft.shown(name)} cannot name a dataset; allowed: 1 to 40 lower-case letters, digits and hyphens, "
                f"no hyphen first or last (it names Kubernetes objects). Rename it.",
            )
        yield from _source(draft, ("datasets", name, "source"), dataset.source)
        yield from _target(draft, ("datasets", name, "target"), dataset.target)
    yield from _apart(draft, datasets)


def _source(draft: Draft, path: PathParts, source: Source) -> Iterator[Problem]:
    if not draft.known(*path):
        return
    if len(source.kinds) != 1:
        given = f"has {' and '.join(source.kinds)}" if source.kinds else "has no place"
        yield Problem(path, f"{given}; allowed: one of {_SOURCES}. Keep one of them.")
    if source.folder == "":
        yield Problem((*path, "folder"), "is empty; allowed: a folder of the machine that uploads. Name one.")
    if source.url is not None and source.sha256 is None:
        yield Problem(
            (*path, "sha256"),
            "is missing; needed with a url, or nobody could tell the right file from another. Add the 64 hexadecimal "
            "digits that sha256sum prints.",
        )
    if source.url is None and source.sha256 is not None:
        yield Problem(
            (*path, "sha256"), "goes with a url; folders and containers have checksums made when copied. Remove it."
        )


def _target(draft: Draft, path: PathParts, target: Target) -> Iterator[Problem]:
    if not draft.known(*path):
        return
    storage = draft.stack.storage
    if len(target.kinds) != 1:
        given = f"has {' and '.join(target.kinds)}" if target.kinds else "has no place"
        yield Problem(path, f"{given}; allowed: one of {_TARGETS}. Keep one of them.")
        return
    [kind] = target.kinds
    if kind == "fileSystem":
        if storage.file_system.backend == "none":
            yield Problem(
                (*path, "fileSystem"),
                "true, but the stack has no file system; allowed with trainyard:storage.fileSystem.backend other than "
                "none. Choose a backend, or another target.",
                needs=(("storage", "fileSystem", "backend"),),
            )
    else:
        section: PathParts = ("files", "shares") if kind == "share" else ("blob", "containers")
        there = list(storage.files.shares if kind == "share" else storage.blob.containers)
        name = str(target.share if kind == "share" else target.container)
        if name not in there:
            near = nearest(name, there)
            yield Problem(
                (*path, kind),
                f"{draft.shown(name)} names nothing in trainyard:storage.{'.'.join(map(str, section))}; allowed: "
                f"{', '.join(there) or 'none yet'}. {f'Did you mean {near}?' if near else 'Add it there.'}",
                needs=(("storage", *section, name),),
            )
    yield from _folder(draft, (*path, "path"), target.path)


def _folder(draft: Draft, path: PathParts, folder: str | None) -> Iterator[Problem]:
    parts = (folder or "ok").split("/")
    if any(part in ("", ".", "..") or part != part.strip() or part.endswith(".") for part in parts) or re.search(
        r'[\\:*?"<>|\x00-\x1f]', folder or ""
    ):
        yield Problem(
            path,
            f"{draft.shown(folder)} is no folder that every target can hold; allowed: names with / between them, as "
            f'vision/imagenet, without .. and \\ : * ? " < > |, no / first or last. Change it.',
        )
    elif parts[0] == _PRIVATE_FOLDER:
        yield Problem(path, f"{draft.shown(folder)} is where manifests lie; allowed: any other folder. Change it.")


def _apart(draft: Draft, datasets: dict[str, Dataset]) -> Iterator[Problem]:
    """Each dataset has a folder of its own, or one upload would find the other's files in its way."""
    places = {
        name: (_place(dataset.target), f"{dataset.folder(name)}/".lstrip("/"))
        for name, dataset in datasets.items()
        if draft.known("datasets", name, "target") and len(dataset.target.kinds) == 1
    }
    names = list(places)
    for index, name in enumerate(names):
        for other in names[:index]:
            (target, folder), (other_target, other_folder) = places[name], places[other]
            if target == other_target and (folder.startswith(other_folder) or other_folder.startswith(folder)):
                yield Problem(
                    ("datasets", name, "target", "path"),
                    f"lies in {target} where dataset {other} lies, or around it; allowed: folders apart from each "
                    f"other. Change one path.",
                    needs=(("datasets", other),),
                )
                break


def _place(target: Target) -> str:
    if target.share is not None:
        return f"share {target.share}"
    return f"container {target.container}" if target.container is not None else "the file system"
