"""A migrated database per test, once on SQLite and once on PostgreSQL, and an office over it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.storage.database import Database
from bridge.storage.migrate import migrate
from tests.servers import PostgreSQL
from tests.storage.office import Office


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy: migrating once is enough."""
    path = tmp_path_factory.mktemp("template") / "bridge.sqlite3"
    _migrated(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgreSQL) -> str:
    """The name of a migrated PostgreSQL database to copy."""
    postgres.ensure_running()
    url = postgres.new_database()
    _migrated(url)
    return url.rpartition("/")[2]


def _migrated(url: str) -> None:
    database = Database(url)
    migrate(database)
    database.close()


@pytest.fixture
def new_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Makes migrated databases of a kind; they are gone after the test."""
    made: list[str] = []

    def make(kind: str) -> str:
        if kind == "sqlite":
            path = tmp_path / f"bridge-{len(made)}.sqlite3"
            shutil.copy(request.getfixturevalue("sqlite_template"), path)
            made.append(f"sqlite:///{path}")
        else:
            template = request.getfixturevalue("postgres_template")
            server = request.getfixturevalue("postgres")
            server.ensure_running()
            made.append(server.new_database(template))
        return made[-1]

    yield make
    for url in made:
        if not url.startswith("sqlite"):
            request.getfixturevalue("postgres").drop_database(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, new_database_url: Callable[[str], str]) -> Iterator[Database]:
    """A migrated database of the test's own: each kind we promise, one after the other."""
    made = Database(new_database_url(request.param))
    yield made
    made.close()


@pytest.fixture
def office(database: Database) -> Office:
    """An office with its people, over that database."""
    return Office(database)


@pytest.fixture
def twin(database: Database, new_database_url: Callable[[str], str]) -> Iterator[Office]:
    """A second office on a database of the same kind: what an undisturbed run looks like."""
    made = Database(new_database_url("sqlite" if database.is_sqlite else "postgresql"))
    yield Office(made)
    made.close()
