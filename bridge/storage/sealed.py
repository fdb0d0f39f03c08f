"""Every place where something lies sealed, walked in the order of the keys, a batch at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.storage.database import Database
from bridge.storage.tables import reports, set_aside, webhooks


@dataclass(frozen=True)
class Place:
    """One column of one table."""

    column: sa.Column[Any]

    @property
    def name(self) -> str:
        """Return what people call it."""
        return f"{self.column.table.name}.{self.column.name}"

    @property
    def key(self) -> list[sa.Column[Any]]:
        """Return the primary key of its table."""
        return list(self.column.table.primary_key)


#: Bytes, except of a report: there the reporter, a mapping.
PLACES = tuple(map(Place, (reports.c.reporter, webhooks.c.body, set_aside.c.body, set_aside.c.mended)))

#: The values of a primary key, and what lies there.
Found = tuple[tuple[Any, ...], Any]


def count(connection: Connection, place: Place) -> int:
    """Return how many rows there are."""
    return connection.execute(sa.select(sa.func.count()).select_from(place.column.table)).scalar_one()


def after(
    connection: Connection, place: Place, key: tuple[Any, ...] | None, *, most: int, last: bool = False
) -> list[Found]:
    """Return the next rows after a key, or from the beginning; with `last` the last ones there are."""
    statement = _rows(place).order_by(*(column.desc() if last else column for column in place.key)).limit(most)
    if key is not None:
        statement = statement.where(sa.tuple_(*place.key) > sa.tuple_(*map(sa.literal, key)))
    return [_found(row) for row in connection.execute(statement)]


def lock(database: Database, connection: Connection, place: Place, keys: Sequence[tuple[Any, ...]]) -> list[Found]:
    """Lock those of the rows nobody holds, and return them as they are now; never waits."""
    statement = _rows(place).where(sa.tuple_(*place.key).in_(keys)).order_by(*place.key)
    return [_found(row) for row in connection.execute(database.for_update(statement, skip_locked=True))]


def put(connection: Connection, place: Place, changed: Sequence[Found]) -> None:
    """Write what lies there now, in rows the caller has locked."""
    values: dict[sa.Column[Any], Any] = {place.column: sa.bindparam("_value")}
    if place.column is reports.c.reporter:
        values[reports.c.consumer_mark] = sa.bindparam("_mark")
    same = [column == sa.bindparam(f"_{column.name}") for column in place.key]
    names = [f"_{column.name}" for column in place.key]
    rows = [dict(zip(names, key, strict=True)) | {"_value": value, **_mark(value)} for key, value in changed]
    if rows:
        connection.execute(sa.update(place.column.table).where(*same).values(values), rows)


def _mark(value: Any) -> dict[str, Any]:
    return {"_mark": value.get("consumer")} if isinstance(value, dict) else {}


def _rows(place: Place) -> sa.Select[Any]:
    return sa.select(*place.key, place.column)


def _found(row: sa.Row[Any]) -> Found:
    return tuple(row[:-1]), row[-1]
