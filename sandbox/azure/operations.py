"""Long operations: what Azure answers 201 or 202 to, and ends later.

Owns their rows and states. An operation is due at a time kept in SQLite, never in a timer: after a crash it
is settled by the next process. Who settles it: `pipeline.settle_due`.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sandbox.azure.ids import key_of
from sandbox.azure.store import Store

Status = Literal["InProgress", "Succeeded", "Failed", "Canceled"]
_COLUMNS = "id, resource_id, kind, started_at, due_at, ended_at, status, error, data"


@dataclass
class Operation:
    """One long operation.

    Attributes:
        kind: `put`, `delete`, or the name of an action.
        started_at, due_at, ended_at: Unix seconds.
        error: `{code, message}` where it failed.
        data: whatever the behaviour needs to settle it; `result` in it is what a finished action answers.
    """

    id: str
    resource_id: str
    kind: str
    started_at: float
    due_at: float
    ended_at: float | None
    status: Status
    error: dict[str, Any] | None
    data: dict[str, Any]


class Operations:
    """The operations in the store's file.

    Args:
        store: the file.
        clock: gives Unix seconds.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._connection = store.connection
        self._clock = clock

    def start(self, resource_id: str, kind: str, seconds: float, data: Mapping[str, Any] | None = None) -> Operation:
        """Begin an operation that is due in `seconds`."""
        now = self._clock()
        operation = Operation(
            str(uuid.uuid4()), resource_id, kind, now, now + seconds, None, "InProgress", None, dict(data or {})
        )
        self._connection.execute(
            "INSERT INTO operations (id, resource_key, resource_id, kind, started_at, due_at, status, data) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                operation.id,
                key_of(resource_id),
                resource_id,
                kind,
                now,
                operation.due_at,
                operation.status,
                json.dumps(operation.data),
            ),
        )
        return operation

    def get(self, operation_id: str) -> Operation | None:
        """The operation of that id."""
        return self._one("WHERE id = ?", operation_id)

    def running(self, resource_id: str) -> Operation | None:
        """The oldest operation under way on exactly this resource."""
        return self._one(
            "WHERE resource_key = ? AND status = 'InProgress' ORDER BY started_at LIMIT 1", key_of(resource_id)
        )

    def running_under(self, prefix_id: str) -> list[Operation]:
        """The operations under way on resources below this id, the oldest first."""
        key = key_of(prefix_id)
        return self._all(
            "WHERE resource_key > ? AND resource_key < ? AND status = 'InProgress' ORDER BY started_at",
            key + "/",
            key + "0",
        )

    def due(self) -> list[Operation]:
        """The operations whose time has come, the earliest due first."""
        return self._all("WHERE status = 'InProgress' AND due_at <= ? ORDER BY due_at, started_at", self._clock())

    def postpone(self, operation: Operation, seconds: float) -> None:
        """Settle it in `seconds` from now; `data` is kept as it is now."""
        operation.due_at = due_at = self._clock() + seconds
        self._connection.execute(
            "UPDATE operations SET due_at = ?, data = ? WHERE id = ?",
            (due_at, json.dumps(operation.data), operation.id),
        )

    def end(self, operation: Operation, status: Status, error: Mapping[str, Any] | None = None) -> None:
        """Give it its last state."""
        operation.status, operation.ended_at = status, self._clock()
        operation.error = dict(error) if error else None
        self._connection.execute(
            "UPDATE operations SET status = ?, ended_at = ?, error = ?, data = ? WHERE id = ?",
            (
                status,
                operation.ended_at,
                json.dumps(error) if error else None,
                json.dumps(operation.data),
                operation.id,
            ),
        )

    def cancel(self, resource_id: str, *, but: str | None = None) -> None:
        """End what is under way on this resource or below it, because the resource goes away.

        Args:
            but: the id of the operation that makes it go away.
        """
        ours = self._all("WHERE resource_key = ? AND status = 'InProgress'", key_of(resource_id))
        for operation in [*ours, *self.running_under(resource_id)]:
            if operation.id != but:
                self.end(operation, "Canceled", {"code": "OperationPreempted", "message": "The resource was deleted."})

    def _one(self, where: str, *values: object) -> Operation | None:
        found = self._all(where, *values)
        return found[0] if found else None

    def _all(self, where: str, *values: object) -> list[Operation]:
        rows = self._connection.execute(f"SELECT {_COLUMNS} FROM operations {where}", values)
        return [
            Operation(
                row[0],
                row[1],
                row[2],
                row[3],
                row[4],
                row[5],
                row[6],
                json.loads(row[7]) if row[7] else None,
                json.loads(row[8]),
            )
            for row in rows
        ]
