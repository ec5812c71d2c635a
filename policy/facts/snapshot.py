"""Facts from a file: for runs that must not, or cannot, ask Azure.

`make azure-snapshot` writes it: what a sign-in saw of one subscription at one time. It says so, and is warned about
when it is old; what is not in it is unverified.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from policy.facts.azure import UnreadableError, described, question
from policy.facts.cache import Reader

_REMEDY = "run `make azure-snapshot`"


class SnapshotFacts:
    """Answers from a snapshot file.

    Args:
        file: where it lies.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._content: dict[str, Any] | None = None

    @property
    def described(self) -> str:
        """Where its answers come from."""
        try:
            return f"{self._file.name} of {self.taken_at:%Y-%m-%d %H:%M} UTC"
        except UnreadableError:
            return f"{self._file.name}, which is no snapshot or cannot be read"

    @property
    def taken_at(self) -> datetime:
        """When it was taken; raises `UnreadableError`."""
        try:
            taken = datetime.fromisoformat(str(self._read()["takenAt"]))
        except ValueError as wrong:
            raise UnreadableError(f"{self._file}: takenAt is no time ({wrong}): {_REMEDY}") from wrong
        return taken if taken.tzinfo else taken.replace(tzinfo=UTC)

    def age(self, now: datetime) -> timedelta:
        """How old it is; raises `UnreadableError`."""
        return now - self.taken_at

    def read(self, asked: str) -> Any:
        """The answer; raises `UnreadableError`."""
        answers = self._read()["answers"]
        if asked not in answers and _absent(asked, answers):
            return None if asked.startswith("cluster/") else []
        if asked not in answers:
            raise UnreadableError(f"{described(asked)} is not in {self._file}: {_REMEDY}")
        return answers[asked]

    def _read(self) -> dict[str, Any]:
        if self._content is None:
            try:
                content = json.loads(self._file.read_text())
            except (OSError, ValueError, RecursionError) as wrong:
                raise UnreadableError(f"{self._file} cannot be read ({wrong}): {_REMEDY}") from wrong
            found = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
            if "takenAt" not in found or not isinstance(found.get("answers"), dict):
                raise UnreadableError(f"{self._file} is no snapshot: {_REMEDY}")
            self._content = found
        return self._content


def _absent(asked: str, answers: Mapping[str, Any]) -> bool:
    """Whether the question is about a cluster that was not there when all clusters were listed."""
    kind, *names = asked.split("/")
    if question("clusters") not in answers or kind not in {"cluster", "scale-sets"}:
        return False
    found = answers[question("clusters")]
    if kind == "cluster":
        return names not in [question("", one["group"], one["name"]).split("/")[1:] for one in found]
    return names not in [question("", str(one["nodeGroup"])).split("/")[1:] for one in found]


def take(reader: Reader, questions: Iterable[str]) -> tuple[dict[str, Any], list[str]]:
    """A snapshot's content and what could not be read."""
    answers: dict[str, Any] = {}
    missing: list[str] = []
    for asked in questions:
        try:
            answers[asked] = reader.read(asked)
        except UnreadableError as reason:
            missing.append(str(reason))
    taken = datetime.now(UTC).isoformat(timespec="seconds")
    return {"takenAt": taken, "answers": answers}, missing
