"""Somebody else's list of webhooks, in a file that is gone with the process: long lists need no memory."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

_ROWS = 500


class Entry(NamedTuple):
    """One webhook as the list has it; `at` is when it was sent, or received by us if `answered` says so."""

    webhook_id: str
    sha256: str
    at: datetime | None = None
    answered: bool = False


class Listed:
    """The list. What stands in it twice is in it once; one id with two bodies is two entries."""

    def __init__(self) -> None:
        # Without a name: SQLite keeps it in memory while it is small, and else in a file it has deleted already.
        self._file = sqlite3.connect("", isolation_level=None)
        self._file.execute(
            "CREATE TABLE listed (webhook_id TEXT, sha256 TEXT, at TEXT, answered INTEGER,"
            " PRIMARY KEY (webhook_id, sha256)) WITHOUT ROWID"
        )

    def add(self, entries: Iterable[Entry]) -> None:
        """Take entries in, all or none."""
        rows = ((e.webhook_id, e.sha256, e.at.isoformat() if e.at else None, e.answered) for e in entries)
        self._file.execute("BEGIN")
        self._file.executemany("INSERT OR IGNORE INTO listed VALUES (?, ?, ?, ?)", rows)
        self._file.execute("COMMIT")

    def __len__(self) -> int:
        count: int = self._file.execute("SELECT count(*) FROM listed").fetchone()[0]
        return count

    def batches(self) -> Iterator[list[Entry]]:
        """Yield all entries by id, some hundreds at a time."""
        cursor = self._file.execute("SELECT * FROM listed ORDER BY webhook_id, sha256")
        while rows := cursor.fetchmany(_ROWS):
            yield [Entry(name, sha, datetime.fromisoformat(at) if at else None, bool(ok)) for name, sha, at, ok in rows]

    def among(self, webhook_ids: Collection[str]) -> set[str]:
        """Return those of these ids that are in the list."""
        marks = ",".join("?" * len(webhook_ids))
        statement = f"SELECT webhook_id FROM listed WHERE webhook_id IN ({marks})"  # noqa: S608 - only question marks
        return {name for (name,) in self._file.execute(statement, tuple(webhook_ids))}

    def close(self) -> None:
        """Forget it."""
        self._file.close()
