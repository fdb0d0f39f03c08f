"""Bringing a database to the shape this version needs."""

from pathlib import Path

import sqlalchemy as sa

from bridge.storage.database import Database

#: The newest migration; a test holds it equal to the folder.
HEAD = "0013"
#: One migration at a time on PostgreSQL, whoever starts first.
_MIGRATION_LOCK = 8311_00
#: Shared by the ticks of the clocks, taken alone by whoever they must not work beside.
ENGINE_LOCK = 8311_03


class NotMigrated(Exception):
    """The database's schema is not the one this version needs; run `bridge migrate`."""


def current(database: Database) -> str | None:
    """Return the migration the database is at, or None for an empty one."""
    with database.read() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def check(database: Database) -> None:
    """Refuse a database that is not at HEAD: an old worker must not work on a new schema, nor a new one on an old.

    Raises:
        NotMigrated: it is older, newer or empty.
        DatabaseAway: cannot be reached.
    """
    found = current(database)
    if found != HEAD:
        raise NotMigrated(f"the database is at {found or 'nothing'}, this version needs {HEAD}; run: bridge migrate")


def migrate(database: Database) -> None:
    """Run every migration that is missing; several processes at once do it once.

    Raises:
        DatabaseAway: cannot be reached.
    """
    from alembic import command  # a third of a second that a running service need not pay
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with database.write() as connection:
        if not database.is_sqlite:
            for lock in (_MIGRATION_LOCK, ENGINE_LOCK):
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({lock})")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
