"""The schema: what the migrations make is what the code believes, however often and by however many they are run."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from bridge.reports.calendars import NaiveDatetime
from bridge.storage import migrate as migrating
from bridge.storage import workers
from bridge.storage.database import Database
from bridge.storage.migrate import HEAD, NotMigrated, check, current, migrate
from bridge.storage.tables import metadata
from tests.storage.office import Office

ROOT = Path(__file__).parents[2]


def test_alembic_finds_no_difference_between_tables_and_migrations(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_migrated_schema_has_every_constraint_and_index_of_the_tables(blank: Database) -> None:
    """Alembic does not compare checks, partial indexes and names; this does."""
    with blank.write() as connection:
        metadata.create_all(connection)
    wanted = _described(blank)
    with blank.write() as connection:
        metadata.drop_all(connection)
    migrate(blank)
    assert _described(blank) == wanted


def _described(database: Database) -> dict[str, Any]:
    with database.read() as connection:
        inspector = sa.inspect(connection)
        return {
            name: {
                "columns": [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(name)],
                "key": str(inspector.get_pk_constraint(name)),
                "references": _sorted(inspector.get_foreign_keys(name)),
                "unique": _sorted(inspector.get_unique_constraints(name)),
                "checks": _sorted(inspector.get_check_constraints(name)),
                "indexes": _sorted(inspector.get_indexes(name)),
            }
            for name in metadata.tables
        }


def _sorted(described: Sequence[Mapping[str, Any]]) -> list[str]:
    # The condition of a partial index is an object that equals only itself: its text tells.
    return sorted(str(_plain(one)) for one in described)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return sorted((key, _plain(inner)) for key, inner in value.items())
    return str(value)


def test_head_is_the_newest_migration_file() -> None:
    files = (Path(migrating.__file__).parent / "migrations" / "versions").glob("[0-9]*.py")
    assert max(file.name.partition("_")[0] for file in files) == HEAD


def test_migrating_a_second_time_changes_nothing(blank: Database) -> None:
    migrate(blank)
    office = Office(blank)
    office.receive("Q-1")
    before = (_described(blank), office.snapshot())
    migrate(blank)
    assert (_described(blank), office.snapshot()) == before


MIGRATE = """
import sys
import alembic.command
from bridge.storage.database import Database
from bridge.storage.migrate import migrate
print("ready", flush=True)
sys.stdin.read()
migrate(Database(sys.argv[1]))
"""


def test_four_processes_that_migrate_at_once_do_it_once(blank: Database) -> None:
    command = [sys.executable, "-c", MIGRATE, blank.url]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen(command, cwd=ROOT, text=True, **pipes) for _ in range(4)]  # type: ignore[call-overload]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.close()
        process.stdin = None
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert ([process.returncode for process in processes], said) == ([0] * 4, [""] * 4)
    check(blank)
    with blank.read() as connection:
        assert set(metadata.tables) <= set(sa.inspect(connection).get_table_names())


def test_migration_that_dies_half_way_leaves_an_empty_database(
    blank: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(connection: Any, _: object, statement: str, *rest: object) -> None:
        if "CREATE TABLE deliveries" in statement:
            raise ZeroDivisionError

    sa.event.listen(blank.engine, "before_cursor_execute", die)
    with pytest.raises(ZeroDivisionError):
        migrate(blank)
    sa.event.remove(blank.engine, "before_cursor_execute", die)
    with blank.read() as connection:
        assert sa.inspect(connection).get_table_names() == []
    migrate(blank)
    check(blank)


def test_database_at_our_migration_is_accepted(database: Database) -> None:
    check(database)
    assert current(database) == HEAD


@pytest.mark.parametrize("version", ["0000", "9999"], ids=["older", "newer"])
def test_database_of_another_version_is_refused_with_the_remedy(blank: Database, version: str) -> None:
    with blank.write() as connection:
        connection.execute(sa.text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(sa.text("INSERT INTO alembic_version VALUES (:version)"), {"version": version})
    with pytest.raises(NotMigrated, match=f"{version}.*{HEAD}.*bridge migrate"):
        check(blank)


def test_empty_database_is_refused(blank: Database) -> None:
    with pytest.raises(NotMigrated, match="nothing"):
        check(blank)


def test_instants_come_back_aware_and_in_utc_whatever_zone_they_were_written_in(database: Database) -> None:
    at = datetime(2026, 11, 23, 10, 0, 0, 123456, tzinfo=timezone(timedelta(hours=7)))
    with database.write() as connection:
        workers.seen(connection, "one", "take_in", at)
    with database.read() as connection:
        found = connection.execute(sa.select(metadata.tables["workers"].c.seen_at)).scalar_one()
    assert (found, found.tzinfo) == (at, UTC)


def test_naive_instant_is_refused(database: Database) -> None:
    with pytest.raises((NaiveDatetime, sa.exc.StatementError), match="no time zone"), database.write() as connection:
        workers.seen(connection, "one", "take_in", datetime(2026, 11, 23))  # noqa: DTZ001 - what is refused


@pytest.mark.parametrize("zone", ["Asia/Jakarta", "America/New_York"])
def test_instants_are_utc_also_when_the_server_is_set_to_another_zone(database: Database, zone: str) -> None:
    at = datetime(2026, 11, 23, 10, tzinfo=UTC)
    with database.write() as connection:
        if not database.is_sqlite:
            connection.execute(sa.text(f"SET LOCAL TIME ZONE '{zone}'"))
        workers.seen(connection, "one", "take_in", at)
        found = connection.execute(sa.select(metadata.tables["workers"].c.seen_at)).scalar_one()
        now = database.now(connection)
    assert (found, found.tzinfo, now.tzinfo) == (at, UTC, UTC)
