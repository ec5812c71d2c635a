"""`make azure-snapshot`: save what Azure says, for runs that cannot ask.

Asks for the regions named, or those of the stack files, and for the clusters and machines of the subscription.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from policy.facts.azure import question
from policy.facts.snapshot import take
from policy.facts.sources import live_facts

STACKS = Path(__file__).resolve().parents[2] / "stacks"
_FEATURES = (("Microsoft.Compute", "EncryptionAtHost"), ("Microsoft.ContainerService", "AKSInfinibandSupport"))


def main(arguments: list[str] | None = None) -> int:
    """Write the file; 1 where nothing could be read."""
    parser = argparse.ArgumentParser(prog="python -m policy.facts", description=__doc__)
    parser.add_argument("--output", type=Path, default=STACKS / "azure-snapshot.json", help="the file to write")
    parser.add_argument("regions", nargs="*", help="regions; default: those of the stack files")
    given = parser.parse_args(arguments)
    regions = [str(one).lower() for one in given.regions] or sorted(set(_regions()))
    reader, _ = live_facts(os.environ, {}, timeout=30)
    clusters = reader.read(question("clusters"))
    content, missing = take(reader, [*_questions(regions), *_of_clusters(clusters)])
    content["answers"][question("clusters")] = clusters
    for reason in missing:
        print(f"not in the snapshot: {reason}", file=sys.stderr)
    if not content["answers"]:
        return 1
    given.output.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    print(f"{given.output}: {len(content['answers'])} answers about {', '.join(regions)}")
    return 0


def _regions() -> Iterator[str]:
    """The regions of the stack files."""
    for file in sorted(STACKS.glob("Pulumi.*.yaml")):
        content: dict[str, Any] = yaml.safe_load(file.read_text())
        config: dict[str, Any] = content.get("config") or {}
        location = config.get("trainyard:location")
        if location:
            yield str(location)


def _questions(regions: list[str]) -> Iterator[str]:
    for region in regions:
        for kind in ("usages", "sizes", "aks-sizes"):
            yield question(kind, region)
    yield question("providers")
    yield question("permissions")
    for namespace, feature in _FEATURES:
        yield question("feature", namespace, feature)


def _of_clusters(clusters: list[dict[str, str]]) -> Iterator[str]:
    for one in clusters:
        yield question("cluster", one["group"], one["name"])
        if one["nodeGroup"]:
            yield question("scale-sets", one["nodeGroup"])


if __name__ == "__main__":
    sys.exit(main())
