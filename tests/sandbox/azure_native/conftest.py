from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.tools import TOOLS, Found, search
from tests.sandbox.azure_native.workbench import Workbench


def _tools() -> dict[str, Found]:
    wanted = [tool for tool in TOOLS if tool.name in ("pulumi", "kubectl")]
    return search(wanted).found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    """A running workbench with an empty stack."""
    tools = _tools()
    if set(tools) != {"pulumi", "kubectl"}:
        pytest.skip("no pulumi and kubectl: `make up` builds them")
    shutil.rmtree(tmp_path, ignore_errors=True)
    tmp_path.mkdir()
    bench = Workbench(tmp_path, tools)
    bench.start()
    try:
        bench.program("")
        bench.create_stack()
        yield bench
    finally:
        bench.stop()
