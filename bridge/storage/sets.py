"""Many rows, of several tables, in one statement.

PostgreSQL takes the rows of a table as one JSON text and reads them as a table: a row costs a tenth of a statement of
its own, a further table no way to the database and back. SQLite, to which there is no way, takes rows one by one.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection

from bridge.reports.calendars import in_utc
from bridge.storage.database import WAKE_RELAY, Database
from bridge.storage.statements import as_parameters, by_key, into, new_into

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class _Part:
    """What is done with the rows of one table; also the key of the text that does it."""

    table: sa.Table
    names: tuple[str, ...]
    does: str  # insert | insert_new | update
    is_one: bool


class Writes:
    """Rows to insert and to change, written together by `send`.

    All see the database as it was before: no row may be changed twice, and none that is inserted here.
    """

    def __init__(self) -> None:
        self._parts: list[tuple[_Part, Sequence[dict[str, Any]]]] = []
        self._wakes_relay = False

    def insert(self, table: sa.Table, rows: Sequence[dict[str, Any]], *, new_only: bool = False) -> None:
        """Insert rows, all with the same columns; with `new_only` one that breaks a unique key is left out."""
        self._add("insert_new" if new_only else "insert", table, rows)

    def update(self, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
        """Change every column that is given, in the rows with these primary keys."""
        self._add("update", table, rows)

    def wake_relay(self) -> None:
        """Let whoever waits for the outbox look once this has been committed."""
        self._wakes_relay = True

    def send(self, database: Database, connection: Connection) -> None:
        """Write everything in the caller's transaction."""
        if database.is_sqlite:
            for part, rows in self._parts:
                _send_one_by_one(connection, part, rows)
            if self._wakes_relay:
                database.wake_relay(connection)
        elif self._parts:
            statement = _statement(tuple(part for part, _ in self._parts), wakes_relay=self._wakes_relay)
            connection.exec_driver_sql(statement, tuple(_text(part, rows) for part, rows in self._parts))

    def commit(self, database: Database) -> None:
        """Write everything as a transaction of its own; see Database.write."""
        with database.write(is_one_statement=True) as connection:
            self.send(database, connection)

    def _add(self, does: str, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
        if rows:
            self._parts.append((_Part(table, tuple(rows[0]), does, len(rows) == 1), rows))


def insert(
    database: Database,
    connection: Connection,
    table: sa.Table,
    rows: Sequence[dict[str, Any]],
    *,
    new_only: bool = False,
) -> None:
    """Insert the rows of one table; see Writes.insert."""
    writes = Writes()
    writes.insert(table, rows, new_only=new_only)
    writes.send(database, connection)


def _send_one_by_one(connection: Connection, part: _Part, rows: Sequence[dict[str, Any]]) -> None:
    if part.does == "update":
        connection.execute(by_key(part.table, part.names), [as_parameters(row) for row in rows])
    else:
        new_only = part.does == "insert_new"
        connection.execute(new_into(part.table, sqlite=True) if new_only else into(part.table), list(rows))


@cache
def _statement(parts: tuple[_Part, ...], *, wakes_relay: bool) -> str:
    texts = [_update(part) if part.does == "update" else _insertion(part) for part in parts]
    last = WAKE_RELAY if wakes_relay else texts.pop()
    others = ", ".join(f"part_{number} AS ({text})" for number, text in enumerate(texts))
    return f"WITH {others} {last}" if others else last


def _insertion(part: _Part) -> str:
    columns = ", ".join(part.names)
    conflict = " ON CONFLICT DO NOTHING" if part.does == "insert_new" else ""
    return f"INSERT INTO {part.table.name} ({columns}) SELECT {columns} FROM {_given(part)}{conflict}"  # noqa: S608


def _update(part: _Part) -> str:
    table = part.table
    changes = ", ".join(f"{name} = given.{name}" for name in part.names if not table.c[name].primary_key)
    same = " AND ".join(f"{table.name}.{key.name} = given.{key.name}" for key in table.primary_key)
    return f"UPDATE {table.name} SET {changes} FROM {_given(part)} WHERE {same}"  # noqa: S608


def _given(part: _Part) -> str:
    # The planner takes a set for a hundred rows, and reads a whole table for them; of one record it knows better.
    columns = ", ".join(f"{name} {part.table.c[name].type.compile(_DIALECT)}" for name in part.names)
    return f"json_to_record{'' if part.is_one else 'set'}(%s::json) AS given({columns})"


def _text(part: _Part, rows: Sequence[dict[str, Any]]) -> str:
    # As people write, not escaped: a search looks into the text.
    given = rows[0] if part.is_one else rows
    return json.dumps(given, ensure_ascii=False, default=_plain, separators=(",", ":"))


def _plain(value: Any) -> str:
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if not isinstance(value, datetime):
        raise TypeError(f"{type(value).__name__} has no place in a row")
    return in_utc(value).isoformat()
