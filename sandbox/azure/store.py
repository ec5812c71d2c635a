"""Where the simulated Azure keeps its resources: one SQLite file, nothing in memory.

Owns the file and its transactions; operations live in the same file (`operations`), so that a request is
either wholly there after a crash or not at all. Does not know what a resource means.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.azure.ids import key_of

_SCHEMA = """
CREATE TABLE IF NOT EXISTS resources (
    key TEXT PRIMARY KEY, id TEXT NOT NULL, type TEXT NOT NULL, type_key TEXT NOT NULL, name TEXT NOT NULL,
    body TEXT NOT NULL, created_at REAL NOT NULL, updated_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS resources_by_type ON resources (type_key, key);
CREATE TABLE IF NOT EXISTS operations (
    id TEXT PRIMARY KEY, resource_key TEXT NOT NULL, resource_id TEXT NOT NULL, kind TEXT NOT NULL,
    started_at REAL NOT NULL, due_at REAL NOT NULL, ended_at REAL, status TEXT NOT NULL, error TEXT,
    data TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS operations_by_resource ON operations (resource_key, status);
CREATE INDEX IF NOT EXISTS operations_by_due ON operations (status, due_at);
CREATE TABLE IF NOT EXISTS kv (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_COLUMNS = "id, type, name, body, created_at, updated_at"


@dataclass
class Resource:
    """One resource as stored.

    Attributes:
        id, type, name: as first written.
        body: the whole document that GET returns. A copy: `Store.put` writes a change.
        created_at, updated_at: Unix seconds.
    """

    id: str
    type: str
    name: str
    body: dict[str, Any]
    created_at: float
    updated_at: float

    @property
    def properties(self) -> dict[str, Any]:
        """`body["properties"]`, made where it is missing."""
        return self.body.setdefault("properties", {})


class Store:
    """The SQLite file.

    Args:
        path: the file; made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = NORMAL")  # survives kill -9; only a power cut could lose a commit
        self.connection.execute("PRAGMA busy_timeout = 5000")
        self.connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    @property
    def writes(self) -> int:
        """Rows written so far. While it stays the same so does all that is stored: nobody else writes to the file."""
        return self.connection.total_changes

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All writes within are kept, or none where an exception leaves the block. Not nested."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    @contextmanager
    def savepoint(self) -> Generator[None]:
        """The same within a transaction: an exception undoes this block's writes alone."""
        self.connection.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK TO part")
            self.connection.execute("RELEASE part")
            raise
        self.connection.execute("RELEASE part")

    def get(self, resource_id: str) -> Resource | None:
        """The resource of that id, None where there is none."""
        row = self.connection.execute(f"SELECT {_COLUMNS} FROM resources WHERE key = ?", (key_of(resource_id),))
        found = row.fetchone()
        return _resource(found) if found else None

    def exists(self, resource_id: str) -> bool:
        """Whether there is a resource of that id; cheaper than `get`."""
        row = self.connection.execute("SELECT 1 FROM resources WHERE key = ?", (key_of(resource_id),))
        return row.fetchone() is not None

    def put(self, resource: Resource) -> None:
        """Write the resource, over an older one of the same id, whose way of writing the id stays."""
        self.connection.execute(
            "INSERT INTO resources (key, id, type, type_key, name, body, created_at, updated_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (key) DO UPDATE SET body = excluded.body, updated_at = excluded.updated_at",
            (
                key_of(resource.id),
                resource.id,
                resource.type,
                resource.type.lower(),
                resource.name,
                json.dumps(resource.body),
                resource.created_at,
                resource.updated_at,
            ),
        )

    def remove(self, resource_id: str) -> None:
        """Remove that resource alone; nothing happens where there is none."""
        self.connection.execute("DELETE FROM resources WHERE key = ?", (key_of(resource_id),))

    def under(self, prefix_id: str) -> list[Resource]:
        """Every resource below that id, itself not among them, in the order of their ids."""
        low, high = _range(prefix_id)
        rows = self.connection.execute(
            f"SELECT {_COLUMNS} FROM resources WHERE key > ? AND key < ? ORDER BY key",
            (low, high),
        )
        return [_resource(row) for row in rows]

    def of_type(self, resource_type: str, within: str | None = None) -> list[Resource]:
        """Every resource of that type, at any depth below `within` where given, in the order of their ids."""
        if within is None:
            rows = self.connection.execute(
                f"SELECT {_COLUMNS} FROM resources WHERE type_key = ? ORDER BY key",
                (resource_type.lower(),),
            )
        else:
            rows = self.connection.execute(
                f"SELECT {_COLUMNS} FROM resources WHERE type_key = ? AND key > ? AND key < ? ORDER BY key",
                (resource_type.lower(), *_range(within)),
            )
        return [_resource(row) for row in rows]

    def kv_get(self, key: str, default: Any = None) -> Any:
        """The value last set under `key`."""
        row = self.connection.execute("SELECT value FROM kv WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else default

    def kv_set(self, key: str, value: Any) -> None:
        """Keep a JSON value under `key`."""
        self.connection.execute("INSERT OR REPLACE INTO kv (key, value) VALUES (?, ?)", (key, json.dumps(value)))

    def next_number(self, counter: str) -> int:
        """1, 2, 3 …: a number that this counter never gave before."""
        number = int(self.kv_get(f"counter:{counter}", 0)) + 1
        self.kv_set(f"counter:{counter}", number)
        return number


def _range(prefix_id: str) -> tuple[str, str]:
    """Bounds between which every key below the id lies: `0` is the character after `/`."""
    key = key_of(prefix_id)
    return key + "/", key + "0"


def _resource(row: tuple[str, str, str, str, float, float]) -> Resource:
    return Resource(row[0], row[1], row[2], json.loads(row[3]), row[4], row[5])
