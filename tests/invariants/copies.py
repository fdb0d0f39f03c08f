"""A copy of a whole database, to be put back later: what a backup is, without the minutes a dump takes each time."""

import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg

from bridge.storage.database import Database
from bridge.storage.tables import metadata


class Copy:
    """The rows of every table as they are now."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._numbers: list[tuple[str, int | None]] = []
        database.close()
        if database.is_sqlite:
            _copied(self._live, self._kept)
            return
        with self._superuser() as connection:
            connection.execute("DROP SCHEMA IF EXISTS kept CASCADE")
            connection.execute("CREATE SCHEMA kept")
            for name in metadata.tables:
                connection.execute(f"CREATE TABLE kept.{name} AS TABLE public.{name}".encode())
            sequences = "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public'"
            self._numbers = [(name, last) for name, last in connection.execute(sequences)]

    def put_back(self) -> None:
        """Let the database be what it was; what counts its rows counts on from there, too."""
        self._database.close()
        if self._database.is_sqlite:
            _copied(self._kept, self._live)
            return
        with self._superuser() as connection:
            # In this role triggers and references are off.
            connection.execute("SET session_replication_role = replica")
            for name in metadata.tables:
                connection.execute(f"DELETE FROM public.{name}".encode())
                connection.execute(f"INSERT INTO public.{name} SELECT * FROM kept.{name}".encode())
            for name, last in self._numbers:
                connection.execute("SELECT setval(%s, %s, %s)", [f"public.{name}", last or 1, last is not None])

    def close(self) -> None:
        """Forget it."""
        if self._database.is_sqlite:
            self._kept.unlink()
            return
        with self._superuser() as connection:
            connection.execute("DROP SCHEMA kept CASCADE")

    @property
    def _live(self) -> Path:
        return Path(self._database.engine.url.database or "")

    @property
    def _kept(self) -> Path:
        return self._live.with_suffix(".kept")

    def _superuser(self) -> "psycopg.Connection[tuple[str, int | None]]":
        return psycopg.connect(self._database.url.replace("+psycopg", ""))


def _copied(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as written:
        read.backup(written)
