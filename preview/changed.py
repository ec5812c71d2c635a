"""`python -m preview.changed`: which environments a change is about, as a line for a workflow's outputs.

Own file, standard library alone: it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence

_STACK_FILE = re.compile(r"^stacks/(?:Pulumi|policies)\.(?P<stack>[A-Za-z0-9._-]+?)\.(?:yaml|json)$")
_NAME = re.compile(r"^[A-Za-z0-9._-]{1,100}$")


def changed_stacks(files: Iterable[str], stacks: Sequence[str]) -> list[str]:
    """The environments whose own files are among `files`; all of them where anything else is that they are made of."""
    own: set[str] = set()
    for file in files:
        found = _STACK_FILE.match(file)
        if found is None:
            return list(stacks)
        own.add(found["stack"])
    return [stack for stack in stacks if stack in own]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print `stacks=[…]`."""
    parser = argparse.ArgumentParser(prog="python -m preview.changed", description=__doc__)
    parser.add_argument("--base", required=True, help="commit that the change begins at")
    parser.add_argument("--stacks", required=True, help="environments that may be previewed, with commas or spaces")
    given = parser.parse_args(arguments)
    stacks = [name for name in re.split(r"[,\s]+", given.stacks) if name]
    wrong = [name for name in stacks if not _NAME.match(name)]
    if wrong:
        parser.error(f"{', '.join(wrong)}: no name of a stack")
    paths = ["stacks", "infra", "components", "capacity", "policy", "Pulumi.yaml", "uv.lock"]
    command = ["git", "diff", "--name-only", "-z", f"{given.base}...HEAD", "--", *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"preview.changed: {done.stderr.strip()}")
    # A schema or an example beside the stack files changes no environment.
    files = [file for file in done.stdout.split("\0") if file and not file.endswith((".md", "schema.json"))]
    print(f"stacks={json.dumps(changed_stacks(files, stacks))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
