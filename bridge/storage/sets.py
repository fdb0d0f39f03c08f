"""Many rows in one statement.

PostgreSQL takes them as one JSON text and reads them as a table: a row costs a tenth of a statement of its own. SQLite
has no way between us and it, and takes them one by one.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection

from bridge.reports.calendars import in_utc
from bridge.storage.database import Database
from bridge.storage.statements import as_parameters, by_key, into, new_into

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


def insert(
    database: Database,
    connection: Connection,
    table: sa.Table,
    rows: Sequence[dict[str, Any]],
    *,
    new_only: bool = False,
) -> None:
    """Insert rows, all with the same columns; with `new_only` one that breaks a unique key is left out."""
    if not rows:
        return
    if database.is_sqlite:
        connection.execute(new_into(table, sqlite=True) if new_only else into(table), rows)
    else:
        conflict = " ON CONFLICT DO NOTHING" if new_only else ""
        connection.exec_driver_sql(_insertion(table, tuple(rows[0])) + conflict, (_text(rows),))


def update(database: Database, connection: Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Change every column that is given, in the rows with these primary keys; no key may be there twice."""
    if not rows:
        return
    if database.is_sqlite:
        connection.execute(by_key(table, tuple(rows[0])), [as_parameters(row) for row in rows])
    else:
        connection.exec_driver_sql(_update(table, tuple(rows[0])), (_text(rows),))


@cache
def _insertion(table: sa.Table, names: tuple[str, ...]) -> str:
    columns = ", ".join(names)
    return f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {_recordset(table, names)}"  # noqa: S608


@cache
def _update(table: sa.Table, names: tuple[str, ...]) -> str:
    changes = ", ".join(f"{name} = given.{name}" for name in names if not table.c[name].primary_key)
    same = " AND ".join(f"{table.name}.{key.name} = given.{key.name}" for key in table.primary_key)
    return f"UPDATE {table.name} SET {changes} FROM {_recordset(table, names)} WHERE {same}"  # noqa: S608


def _recordset(table: sa.Table, names: tuple[str, ...]) -> str:
    columns = ", ".join(f"{name} {table.c[name].type.compile(_DIALECT)}" for name in names)
    return f"json_to_recordset(%s::json) AS given({columns})"


def _text(rows: Sequence[dict[str, Any]]) -> str:
    # As people write, not escaped: a search looks into the text.
    return json.dumps(rows, ensure_ascii=False, default=_instant, separators=(",", ":"))


def _instant(value: Any) -> str:
    if not isinstance(value, datetime):
        raise TypeError(f"{type(value).__name__} has no place in a row")
    return in_utc(value).isoformat()
