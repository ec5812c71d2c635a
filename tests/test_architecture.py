"""Imports go one way, and the program knows nothing of the sandbox."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "stacks": set[str](),
    "capacity": {"stacks"},
    "components": {"capacity", "stacks"},
    "infra": {"components", "capacity", "stacks"},
    "arm": set[str](),
    "datasets": {"capacity", "stacks"},
    "policy": {"arm", "capacity", "stacks"},
    "preview": {"capacity", "stacks"},
    "recovery": {"arm", "capacity", "stacks"},
    "storage_bench": {"capacity", "stacks"},
    "sandbox": {"arm", "capacity", "stacks"},
    "scaling": {"arm", "capacity", "stacks"},
}
"""Package to the packages of ours that it may import, itself aside."""


def imported(package: str) -> dict[str, set[str]]:
    """File to the packages of ours that it imports."""
    found: dict[str, set[str]] = {}
    for file in sorted((ROOT / package).rglob("*.py")):
        names = set[str]()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
        found[str(file.relative_to(ROOT))] = names & {*MAY_IMPORT, "tests", "bench"}
    return found


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_imports_go_one_way(package: str) -> None:
    files = imported(package)
    assert files, f"{package} has no modules"
    for file, names in files.items():
        assert names <= MAY_IMPORT[package] | {package}, file


@pytest.mark.parametrize("package", ["infra", "components", "capacity", "stacks"])
def test_the_program_does_not_ask_whether_it_is_in_the_sandbox(package: str) -> None:
    """Prose may name the sandbox, code may not: no variable of it, no address of its own."""
    for file in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            asked = re.search(r"SANDBOX_|ARM_ENDPOINT|127\.0\.0\.1|localhost", text)
            assert asked is None, f"{file.relative_to(ROOT)}: {text!r}"


def test_no_file_names_a_package_index() -> None:
    """Users' own tools say where packages come from (docs/adr/0006)."""
    hosts = ["py" + "pi.org", "python" + "hosted", "proxy." + "golang", "sum." + "golang", "registry." + "npmjs"]
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in tracked.splitlines():
        file = ROOT / name
        if file.is_file():
            text = file.read_bytes().decode(errors="ignore")
            assert not [host for host in hosts if host in text], name
