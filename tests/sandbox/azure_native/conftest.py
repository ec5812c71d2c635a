from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.progress import Progress
from sandbox.tools import TOOLS, Found, ensure
from tests.sandbox.azure_native.workbench import Workbench


@pytest.fixture(scope="session")
def tools() -> dict[str, Found]:
    """The engine, from PATH or the cache of `make up`; built where it is in neither."""
    return ensure(Progress(quiet=True), [tool for tool in TOOLS if tool.name in ("pulumi", "kubectl")])


@pytest.fixture
def bench(tmp_path: Path, tools: dict[str, Found]) -> Iterator[Workbench]:
    """A running workbench with an empty stack."""
    bench = Workbench(tmp_path, tools)
    bench.start()
    try:
        bench.program("")
        bench.create_stack()
        yield bench
    finally:
        bench.stop()
