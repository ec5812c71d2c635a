"""The recorded previews, read as the command line reads them."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from pathlib import Path

from preview.record import Record, read_record

RECORDED = Path(__file__).parent / "recorded"
NAMES = sorted(folder.name for folder in RECORDED.iterdir())


def unpack(name: str, target: Path) -> Path:
    """A record's folder as `preview run` left it."""
    shutil.copytree(RECORDED / name, target)
    packed = target / "events.jsonl.gz"
    (target / "events.jsonl").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    return target


def read(name: str) -> Record:
    """One recorded preview."""
    with tempfile.TemporaryDirectory() as folder:
        return read_record(unpack(name, Path(folder) / name))
