"""The databases of tests/storage, as a set of their own: here the clock of a database is set by hand."""

from tests.storage.conftest import (  # noqa: F401 - fixtures
    blank,
    database,
    databases,
    office,
    plain_logs,
    postgres_databases,
    sqlite_files,
    twin,
)
