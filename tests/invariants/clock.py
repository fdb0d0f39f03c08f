"""The database's clock, set by hand: the only clock that decides, so whoever sets it sets the time of the engine.

Nothing of ours is replaced. PostgreSQL finds a `clock_timestamp()` of ours before its own, by the search path; SQLite
is given another `strftime`. It stands still until it is moved, so that a run can be repeated exactly.
"""

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import psycopg
from sqlalchemy import event

from bridge.storage.database import Database

#: A Monday, 10.00 in Jakarta.
MONDAY = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)

_OURS = """
CREATE SCHEMA IF NOT EXISTS clock;
CREATE TABLE IF NOT EXISTS clock.shown (at timestamptz NOT NULL);
CREATE OR REPLACE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS 'SELECT at FROM clock.shown';
TRUNCATE clock.shown;
"""


class DatabaseClock:
    """The clock of one database, which every connection of every process sees."""

    def __init__(self, database: Database, at: datetime = MONDAY) -> None:
        self.at = at
        self._database = database
        self._server: psycopg.Connection[Any] | None = None
        database.close()  # connections made before would go on with the old clock
        if database.is_sqlite:
            event.listen(database.engine, "connect", self._prepare)
        else:
            self._server = psycopg.connect(database.url.replace("+psycopg", ""), autocommit=True)
            for statement in _OURS.strip().split(";\n"):
                self._server.execute(statement.encode())
            self._server.execute(b"INSERT INTO clock.shown VALUES (%s)", [at])
            name = urlsplit(database.url).path[1:]
            self._server.execute(f"ALTER DATABASE {name} SET search_path = clock, pg_catalog, public".encode())

    def move(self, seconds: float) -> None:
        """Set it forward, or back."""
        self.at += timedelta(seconds=seconds)
        if self._server:
            self._server.execute(b"UPDATE clock.shown SET at = %s", [self.at])

    def close(self) -> None:
        """Let the database have its own clock again."""
        if self._server:
            name = urlsplit(self._database.url).path[1:]
            self._server.execute(f"ALTER DATABASE {name} RESET search_path".encode())
            self._server.close()
        else:
            event.remove(self._database.engine, "connect", self._prepare)
        self._database.close()

    def _prepare(self, connection: sqlite3.Connection, _: object) -> None:
        connection.create_function("strftime", 2, lambda form, _: self.at.strftime(form.replace("%f", "%S.%f"))[:-3])
