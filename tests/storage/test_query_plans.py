"""No statement the engine says all the time reads a table from end to end: what it costs does not grow with the city."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from bridge.storage import audit, escalations
from bridge.storage.audit import Thresholds
from bridge.storage.database import Database
from tests.storage.conftest import Databases
from tests.storage.hot import ENGINE, PAGES, explain, scans, statements
from tests.storage.many import analyze, multiply
from tests.storage.office import Office

COPIES = 10_000
#: Read whole whenever they are asked, and small: one row, or one per person.
SMALL = ("people", "paces", "engine", "workers", "destinations")
#: What the pages ask of large tables without an index so far: docs/queries.md says what it costs.
WHOLE = {"inbox list, one officer's", "inbox list, everybody's", "pulse"}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def busy(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database with twenty thousand clocks, a log and deliveries as long, and an outbox that waits."""
    name = {"sqlite": "sqlite_files", "postgresql": "postgres_databases"}[request.param]
    databases: Databases = request.getfixturevalue(name)
    database = databases.give(0)
    office = Office(database)
    office.receive_many(20)
    office.pass_time(3700)
    office.tick_all()
    with database.write() as connection:
        multiply(database, connection, COPIES, old=True)
        connection.execute(sa.text(OUTBOX))
    sealer = escalations.Sealer(database)
    while sealer.seal(most=20_000):
        pass
    analyze(database)
    yield database
    databases.empty(database)
    database.close()


OUTBOX = (
    "INSERT INTO outbox (type, data, available_at) "
    "SELECT 'notice.due', '{}', created_at FROM deliveries"
)  # fmt: skip


@pytest.mark.parametrize("name", ENGINE)
def test_engine_reads_no_large_table_from_end_to_end(busy: Database, name: str) -> None:
    said = statements(busy, ENGINE[name])
    assert said, "the function asked nothing"
    for statement, parameters in said:
        plan = explain(busy, statement, parameters)
        assert [line for line in scans(busy, plan) if not any(f" {table}" in line for table in SMALL)] == [], plan


@pytest.mark.parametrize("busy", ["postgresql"], indirect=True)
def test_auditor_looks_up_what_belongs_to_the_newest_rows_of_the_log(busy: Database) -> None:
    # Far fewer than there are: of a log hardly longer the planner may as well read all.
    few = Thresholds(counted=1000)
    said = statements(busy, lambda database, connection, now: audit.look(database, connection, now, few))
    plans = [explain(busy, statement, parameters) for statement, parameters in said]
    read_whole = [
        line for plan in plans for line in scans(busy, plan) if not any(f" {table}" in line for table in SMALL)
    ]
    assert [line for line in read_whole if " pg_" not in line] == []


@pytest.mark.parametrize("busy", ["postgresql"], indirect=True)
@pytest.mark.parametrize("name", PAGES)
def test_pages_that_read_a_large_table_are_known(busy: Database, name: str) -> None:
    plans = [explain(busy, statement, parameters) for statement, parameters in statements(busy, PAGES[name])]
    assert any(scans(busy, plan) for plan in plans) == (name in WHOLE)


def test_plan_that_scans_is_noticed(busy: Database) -> None:
    plan = explain(busy, "SELECT * FROM reports WHERE title = 'x'", ())
    assert len(scans(busy, plan)) == 1
