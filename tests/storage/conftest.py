"""A migrated database per test, once on SQLite and once on PostgreSQL, and an office over it."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from bridge import logs
from bridge.storage.database import Database
from bridge.storage.engine import ENGINE_VERSION
from bridge.storage.migrate import migrate
from bridge.storage.tables import metadata
from tests.servers import PostgreSQL
from tests.storage.office import Office

KINDS = ("sqlite", "postgresql")


@pytest.fixture(scope="module", autouse=True)
def plain_logs() -> None:
    """Log as we do in production: the default draws every local variable of a traceback, for seconds."""
    logs.configure("text", sys.stdout)


class Databases:
    """The run's migrated databases of one kind, emptied for every test: a new one each time takes too long."""

    def __init__(self) -> None:
        self._made: list[Database] = []

    def give(self, number: int) -> Database:
        """Return the first, second … database, without a row."""
        while len(self._made) <= number:
            self._made.append(self.make(number))
            migrate(self._made[-1])
        self.empty(self._made[number])
        return self._made[number]

    def make(self, number: int) -> Database:
        """Make one that has no tables yet."""
        raise NotImplementedError

    def empty(self, database: Database) -> None:
        """Take out every row, also of what is append-only."""
        raise NotImplementedError


class SqliteFiles(Databases):
    """Files; a fresh one is kept to copy from."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def make(self, number: int) -> Database:
        return Database(f"sqlite:///{self._folder}/bridge-{number}.sqlite3")

    def empty(self, database: Database) -> None:
        database.close()
        path = Path(database.engine.url.database or "")
        fresh = path.with_suffix(".fresh")
        if not fresh.exists():
            shutil.copy(path, fresh)
        for leftover in ("-wal", "-shm"):
            path.with_name(path.name + leftover).unlink(missing_ok=True)
        shutil.copy(fresh, path)


class PostgresDatabases(Databases):
    """Databases of the run's server."""

    def __init__(self, server: PostgreSQL) -> None:
        super().__init__()
        self._server = server

    def make(self, number: int) -> Database:
        url = self._server.new_database()
        # No power cut in these tests, and the disk may be slow; a transaction is as whole as ever.
        with _superuser(url) as connection:
            connection.execute(f"ALTER DATABASE {urlsplit(url).path[1:]} SET synchronous_commit = off".encode())
        return Database(url)

    def empty(self, database: Database) -> None:
        database.close()  # whoever is left is a stranger
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        if not self._server.ready():
            self._server.ensure_running()
        with _superuser(database.url) as connection:
            connection.execute(f"SELECT pg_terminate_backend(pid) {others}".encode())
            # In this role triggers and references are off.
            connection.execute("SET session_replication_role = replica")
            for name in metadata.tables:
                connection.execute(f"DELETE FROM {name}".encode())
            # One row, made by the migration: back to how it was made.
            connection.execute(
                "INSERT INTO engine (name, version, findings) VALUES ('clocks', %s, '[]')", [ENGINE_VERSION]
            )


def _superuser(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(url.replace("+psycopg", ""))


@pytest.fixture(scope="session")
def sqlite_files(tmp_path_factory: pytest.TempPathFactory) -> SqliteFiles:
    """The run's SQLite databases."""
    return SqliteFiles(tmp_path_factory.mktemp("databases"))


@pytest.fixture(scope="session")
def postgres_databases(postgres: PostgreSQL) -> PostgresDatabases:
    """The run's PostgreSQL databases."""
    return PostgresDatabases(postgres)


@pytest.fixture(params=KINDS)
def databases(request: pytest.FixtureRequest) -> Databases:
    """Each kind we promise, one after the other; the server starts only when its turn comes."""
    name = {"sqlite": "sqlite_files", "postgresql": "postgres_databases"}[request.param]
    found: Databases = request.getfixturevalue(name)
    return found


@pytest.fixture
def database(databases: Databases) -> Iterator[Database]:
    """A migrated database without a row. Its schema must stay as it is: for changing that there is `blank`."""
    given = databases.give(0)
    yield given
    given.close()


@pytest.fixture
def blank(databases: Databases, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database of the test's own, without any table."""
    if isinstance(databases, PostgresDatabases):
        server: PostgreSQL = request.getfixturevalue("postgres")
        made = Database(server.new_database())
        yield made
        made.close()
        server.drop_database(made.url)
        return
    made = Database(f"sqlite:///{request.getfixturevalue('tmp_path')}/blank.sqlite3")
    yield made
    made.close()


@pytest.fixture
def office(database: Database) -> Office:
    """An office with its people, over that database."""
    return Office(database)


@pytest.fixture
def twin(databases: Databases) -> Iterator[Office]:
    """A second office on a database of the same kind: what an undisturbed run looks like."""
    given = databases.give(1)
    yield Office(given)
    given.close()
