"""Very many rows: reports that are there, multiplied in the database with all that hangs on them."""

import sqlalchemy as sa

from bridge.storage.database import Connection, Database
from bridge.storage.tables import deliveries, escalations, history, metadata, obligations, reports

#: What was written about a report; the chain of seals and the outbox are made by those who need them.
CHILDREN = (history, escalations, deliveries)
#: Copies are due from an hour after they are made, scattered over five days: neighbours on disk are not neighbours
#: in time. `number` is the copy's, from 1.
_FIRST = 10_000_000_000
LATER_S = "3600 + (number * 7919) % 432000"


def multiply(
    database: Database, connection: Connection, copies: int, *, logged: int | None = None, old: bool = False
) -> None:
    """Add `copies` reports, each like one of those that are there in turn, with their obligations.

    The first `logged` of them, or all, have its history, log and deliveries too. With `old` nine of ten are closed,
    and nothing about them is open: as it is where people have worked for years.

    Their ids count upwards, so that indexes on them grow at one end, as fast as they can.
    """
    connection.exec_driver_sql(
        "CREATE TEMPORARY TABLE sample AS"
        " SELECT report_id, row_number() OVER (ORDER BY report_id) - 1 AS place FROM reports"
    )
    samples = connection.execute(sa.text("SELECT count(*) FROM sample")).scalar_one()
    for table in (reports, obligations):
        _copy(database, connection, table, copies, samples, old=old)
    for table in CHILDREN:
        _copy(database, connection, table, copies if logged is None else min(logged, copies), samples, old=old)
    connection.exec_driver_sql("DROP TABLE sample")


def copy_id(number: int) -> str:
    """Return the report id of a copy."""
    return f"00000000-0000-5000-8000-0{_FIRST + number}"


def later(database: Database, seconds: str) -> str:
    """Return SQL for now and so many seconds, which are SQL too, as a column of instants keeps them."""
    if database.is_sqlite:
        return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', '+' || ({seconds}) || ' seconds')"
    return f"now() + make_interval(secs => CAST({seconds} AS double precision))"


#: What a closed report's rows say instead, by table.
_OLD = {
    "reports": {"status": "'closed'", "outcome": "'settled'"},
    "obligations": {"state": "'met'", "next_due": "NULL"},
    "deliveries": {"state": "'delivered'", "finished_at": "old.created_at", "next_attempt_at": "NULL"},
}


def _copy(database: Database, connection: Connection, table: sa.Table, copies: int, samples: int, *, old: bool) -> None:
    numbered = f"({_FIRST} + number)"
    changed: dict[str, str] = {
        "report_id": f"'{copy_id(0)[:25]}' || {numbered}",
        "ticket": f"'C-' || {numbered}",
        "external_id": f"'C-' || {numbered}",
        "description": "substr(old.description, 1, 300)",  # half a page less to write: ten millions are wanted
        "delivery_id": f"substr(old.delivery_id, 1, 24) || {numbered}",
        "dedupe_key": f"old.dedupe_key || '/' || {numbered}",
        "next_due": f"CASE WHEN old.next_due IS NULL THEN NULL ELSE {later(database, LATER_S)} END",
    }
    for name, value in _OLD.get(table.name, {}).items() if old else ():
        changed[name] = f"CASE WHEN number % 10 = 0 THEN {changed.get(name, f'old.{name}')} ELSE {value} END"
    names = [column.name for column in table.c if column.name != "id"]
    values = [changed.get(name, f"old.{name}") for name in names]
    statement = sa.text(
        f"INSERT INTO {table.name} ({', '.join(names)}) "
        "WITH RECURSIVE copy(number) AS "
        f"(SELECT CAST(1 AS BIGINT) UNION ALL SELECT number + 1 FROM copy WHERE number < {copies}) "
        f"SELECT {', '.join(values)} FROM copy "
        f"JOIN sample ON sample.place = copy.number % {samples} "
        f"JOIN {table.name} AS old ON old.report_id = sample.report_id"
    )
    connection.execute(statement)


def analyze(database: Database) -> None:
    """Let the planner look at every table."""
    with database.engine.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        for name in metadata.tables:
            connection.exec_driver_sql(f"ANALYZE {name}" if database.is_sqlite else f"VACUUM ANALYZE {name}")
