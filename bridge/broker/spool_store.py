"""A spool's file: what waits there in order, and apart from it what cannot be read, kept whole for people."""

import contextlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from bridge.broker.embedded import SCHEMA, QueueStore, transaction
from bridge.broker.messages import Message
from bridge.broker.spool_way import Way
from bridge.broker.topology import route_of

TYPE = "webhook.received"
QUEUE = route_of(TYPE).queue
#: What every received webhook says of itself (messages.webhook_received): a publisher counts on it.
_FIELDS = ("source", "webhook_id", "key_id", "received_at", "sha256", "body")

# `place` is the id it had among those that waited. `payload` has no type: what is copied there stays what it was, were
# it no text at all.
_ASIDE = """
CREATE TABLE IF NOT EXISTS unreadable (
  id INTEGER PRIMARY KEY,
  place INTEGER NOT NULL,
  queue NOT NULL,
  payload NOT NULL,
  why TEXT NOT NULL,
  found_at TEXT NOT NULL
);
"""
# Whatever a row has become, it is seen: under any queue, with any owner. As bytes, for text that is no text any more
# would end the whole look.
_OLDEST = "SELECT id, CAST(queue AS BLOB), CAST(payload AS BLOB) FROM messages ORDER BY id LIMIT ?"
#: What goes by itself: somebody else's lock.
_PASSING = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


class Unreadable(Exception):
    """A row is no received webhook any more; the message says why."""


class Damaged(sqlite3.DatabaseError):
    """SQLite finds the file itself inconsistent."""


@dataclass(frozen=True)
class Row:
    """What lies in the spool under an id."""

    row_id: int
    queue: bytes
    payload: bytes

    def message(self) -> Message:
        """Return the message as it was before `payload_of` (bridge/broker/embedded.py).

        Raises:
            Unreadable: with what is wrong.
        """
        try:
            return self._read()
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise Unreadable(f"{type(error).__name__}: {error}"[:200]) from error

    def _read(self) -> Message:
        if self.queue != QUEUE.encode():
            raise ValueError("it is for another queue")
        stored = json.loads(self.payload)
        envelope, headers = json.loads(stored["body"]), stored["headers"]
        at, data = datetime.fromisoformat(envelope["timestamp"]), envelope["data"]
        texts = [envelope["id"], *(data[name] for name in _FIELDS), *headers, *headers.values()]
        if envelope["type"] != TYPE or at.tzinfo is None or not all(isinstance(text, str) for text in texts):
            raise ValueError("it is no received webhook")
        return Message(TYPE, data, headers, envelope["id"], at.astimezone(UTC))


class SpoolStore(QueueStore):
    """The queue of a spool, for who fills and who empties it; what either does to the way of reports (spool_way.py)."""

    schema: ClassVar[str] = SCHEMA + _ASIDE

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.way = Way(path)

    def _insert(self, rows: Sequence[tuple[str, str]]) -> None:
        self.way.into_spool()
        super()._insert(rows)

    def waiting(self, most: int, most_bytes: int = 1 << 62) -> list[Row]:
        """Return up to `most` rows, and none after one that brings them to `most_bytes`, oldest first; they stay."""
        rows = []
        with contextlib.closing(self._light.execute(_OLDEST, (most,))) as found:
            while most_bytes > 0 and (one := found.fetchone()):
                rows.append(Row(*one))
                most_bytes -= len(rows[-1].payload)
        return rows

    def begin(self) -> None:
        """Let reports go into the spool if something waits there: after a start the way may be of another time."""
        if self.waiting(1):
            self.way.into_spool()

    def end(self) -> bool:
        """Let reports go past the spool if nothing waits there; tells whether."""
        with transaction(self._light, self._turn):
            if self.waiting(1):
                return False
            self.way.past_spool()
            return True

    def lay_aside(self, rows: Sequence[tuple[Row, str]]) -> None:
        """Move rows, each with the reason, out of the way; durable, and whole, when this returns."""
        now = datetime.now(UTC).isoformat()
        with transaction(self._durable, self._turn):
            for row, why in rows:
                self._durable.execute(
                    "INSERT INTO unreadable (place, queue, payload, why, found_at)"
                    " SELECT id, queue, payload, ?, ? FROM messages WHERE id = ?",
                    (why, now, row.row_id),
                )
                self._durable.execute("DELETE FROM messages WHERE id = ?", (row.row_id,))

    def check(self) -> None:
        """Look through the whole file, and write to it: for one that could not be used before.

        Raises:
            sqlite3.Error: it cannot be used yet.
        """
        found = self._light.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise Damaged(found)
        with transaction(self._durable, self._turn):
            self._durable.execute("CREATE TABLE written (at TEXT)")
            self._durable.execute("DROP TABLE written")


@dataclass(frozen=True)
class Look:
    """What a spool's file holds: how many wait, the oldest of them, how many lie aside."""

    waiting: int
    oldest: list[Row]
    aside: int


def look(path: Path, most: int) -> Look:
    """Look into a file there is, from outside: nothing is made, and nobody is waited for long.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    address = f"{path.absolute().as_uri()}?mode=rw"
    with contextlib.closing(sqlite3.connect(address, uri=True, timeout=1)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "messages" not in tables:  # somebody is just making it
            return Look(0, [], 0)
        # Two halves, each counted in an index of its own: the table is as large as the disk when it matters.
        halves = [f"SELECT count(*) FROM messages WHERE owner IS {half}" for half in ("NULL", "NOT NULL")]  # noqa: S608
        waiting = sum(_one(connection, half) for half in halves)
        aside = _one(connection, "SELECT count(*) FROM unreadable") if "unreadable" in tables else 0
        return Look(waiting, [Row(*found) for found in connection.execute(_OLDEST, (most,))], aside)


def _one(connection: sqlite3.Connection, statement: str) -> Any:
    return connection.execute(statement).fetchone()[0]


def is_lasting(error: Exception) -> bool:
    """Tell whether a spool that failed so will fail again in a moment, and not only because somebody holds it."""
    if isinstance(error, sqlite3.DatabaseError):
        return (getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF) not in _PASSING
    return isinstance(error, OSError)
