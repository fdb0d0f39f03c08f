"""A migrated database per test, once on SQLite and once on PostgreSQL, and an office over it."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from bridge import logs
from bridge.storage.database import Database
from bridge.storage.migrate import migrate
from bridge.storage.tables import metadata
from tests.servers import PostgreSQL
from tests.storage.office import Office


@pytest.fixture(scope="session", autouse=True)
def plain_logs() -> None:
    """Log as we do in production: the default draws every local variable of a traceback, for seconds."""
    logs.configure("text", sys.stdout)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy: migrating once is enough."""
    path = tmp_path_factory.mktemp("template") / "bridge.sqlite3"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres: PostgreSQL) -> Callable[[int], str]:
    """Gives the first, second … migrated database of the run, emptied: a new one for every test takes too long."""
    made: list[str] = []

    def give(number: int) -> str:
        if not postgres.ready():
            postgres.ensure_running()
        while len(made) <= number:
            made.append(postgres.new_database())
            _hurry(made[-1])
            _migrate(made[-1])
        _empty(made[number])
        return made[number]

    return give


def _hurry(url: str) -> None:
    # No power cut in these tests, and the disk may be slow; a transaction is as whole as ever.
    with _superuser(url) as connection:
        name = urlsplit(url).path[1:]
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off".encode())


def _migrate(url: str) -> None:
    database = Database(url)
    migrate(database)
    database.close()


def _empty(url: str) -> None:
    """Delete every row, also of what is append-only: in the replica role triggers and references are off."""
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with _superuser(url) as connection:
        connection.execute(f"SELECT pg_terminate_backend(pid) {others}".encode())
        connection.execute("SET session_replication_role = replica")
        for name in metadata.tables:
            connection.execute(f"DELETE FROM {name}".encode())


def _superuser(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(url.replace("+psycopg", ""))


@pytest.fixture
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Gives migrated, empty databases of a kind, another one each time within a test."""
    given: list[str] = []

    def give(kind: str) -> str:
        if kind == "sqlite":
            path = tmp_path / f"bridge-{len(given)}.sqlite3"
            shutil.copy(request.getfixturevalue("sqlite_template"), path)
            given.append(f"sqlite:///{path}")
        else:
            given.append(request.getfixturevalue("migrated_postgres")(len(given)))
        return given[-1]

    return give


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, new_url: Callable[[str], str]) -> Iterator[Database]:
    """A migrated, empty database: each kind we promise, one after the other. The schema must stay as it is."""
    made = Database(new_url(request.param))
    yield made
    made.close()


@pytest.fixture
def empty(database_url: str) -> Iterator[Database]:
    """A database of the test's own, without any table: for whoever changes the schema."""
    made = Database(database_url)
    yield made
    made.close()


@pytest.fixture
def office(database: Database) -> Office:
    """An office with its people, over that database."""
    return Office(database)


@pytest.fixture
def twin(database: Database, new_url: Callable[[str], str]) -> Iterator[Office]:
    """A second office on a database of the same kind: what an undisturbed run looks like."""
    made = Database(new_url("sqlite" if database.is_sqlite else "postgresql"))
    yield Office(made)
    made.close()
