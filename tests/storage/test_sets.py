"""Many rows in one statement: they come back as they went in, and what a row may not break it does not break."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from bridge.reports.calendars import NaiveDatetime
from bridge.reports.report import Changes
from bridge.storage import sets
from bridge.storage.changes import write
from bridge.storage.database import Conflict, Connection, Database, StatementFailed, Wakeups
from bridge.storage.tables import deliveries, escalations, history, obligations, outbox, reports
from tests.storage.conftest import PostgresDatabases
from tests.storage.office import Office, id_of

AWKWARD = 'Ditarik "paksa" \\ 日本 🏍 {x} %s :y di\njalan'


def _rows(office: Office, table: sa.Table) -> list[dict[str, Any]]:
    return [{name: row[name] for name in row if name != "id"} for row in office.rows(table.name)]


def _update(office: Office, connection: Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    writes = sets.Writes()
    writes.update(table, rows)
    writes.send(office.database, connection)


def _put_back(office: Office, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Write rows into a second office, without what they refer to."""
    with office.database.engine.connect() as connection:
        if office.database.is_sqlite:
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql("SET session_replication_role = replica")
        sets.insert(office.database, connection, table, rows)
        connection.commit()
        connection.invalidate()


@pytest.mark.parametrize("table", [reports, obligations, history, escalations, deliveries, outbox], ids=str)
def test_rows_come_back_as_they_went_in(office: Office, twin: Office, table: sa.Table) -> None:
    office.receive("Q-1", title=AWKWARD.split("\n")[0], description=AWKWARD, amount_idr=9_000_000_000)
    office.receive("Q-2")
    office.pass_time(20_000)
    office.tick_all()
    rows = _rows(office, table)
    assert len(rows) > 1
    _put_back(twin, table, rows)
    assert _rows(twin, table) == rows


def test_row_that_is_there_is_left_as_it_is_or_refuses_all(office: Office) -> None:
    office.receive("Q-1")
    (row, *_) = _rows(office, deliveries)
    other = {**row, "delivery_id": "another", "dedupe_key": "another"}
    with pytest.raises(Conflict), office.database.write() as connection:
        sets.insert(office.database, connection, deliveries, [other, row])
    assert "another" not in [one["delivery_id"] for one in _rows(office, deliveries)]
    with office.database.write() as connection:
        sets.insert(office.database, connection, deliveries, [other, {**row, "state": "failed"}], new_only=True)
    assert {one["delivery_id"]: one["state"] for one in _rows(office, deliveries)}.items() >= {
        ("another", row["state"]),
        (row["delivery_id"], row["state"]),
    }


def test_only_the_columns_that_are_given_change_in_the_rows_of_these_keys(office: Office) -> None:
    for external_id in ("Q-1", "Q-2", "Q-3"):
        office.receive(external_id)
    before = {row["report_id"]: row for row in office.rows("reports")}
    changed = {"Q-1": {"title": AWKWARD, "sequence": 7}, "Q-3": {"title": "Tiga", "sequence": 9}}
    rows = [{"report_id": id_of(external_id), **values} for external_id, values in changed.items()]
    with office.database.write() as connection:
        _update(office, connection, reports, rows)
    after = {row["report_id"]: row for row in office.rows("reports")}
    expected = {**before, **{row["report_id"]: {**before[row["report_id"]], **row} for row in rows}}
    assert after == expected


def test_nothing_to_write_is_not_a_statement(database: Database) -> None:
    with database.write() as connection:
        sets.insert(database, connection, outbox, [])
        sets.Writes().send(database, connection)
    sets.Writes().commit(database)


def test_instant_without_a_zone_is_refused_one_with_another_zone_is_kept(office: Office) -> None:
    row = {"type": "notice.due", "data": {}, "available_at": datetime(2026, 11, 24, 3, 0)}  # noqa: DTZ001
    with pytest.raises((NaiveDatetime, StatementFailed), match="no time zone"), office.database.write() as connection:
        sets.insert(office.database, connection, outbox, [row])
    at = datetime.fromisoformat("2026-11-24T10:00:00.000001+07:00")
    with office.database.write() as connection:
        sets.insert(office.database, connection, outbox, [{**row, "available_at": at}])
    assert office.rows("outbox")[-1]["available_at"] == datetime(2026, 11, 24, 3, 0, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize(("column", "value"), [("ticket", "x" * 15), ("status", "lost"), ("title", None)])
def test_value_the_column_does_not_take_is_refused_not_bent(
    postgres_databases: PostgresDatabases, column: str, value: str | None
) -> None:
    office = Office(postgres_databases.give(0))
    office.receive("Q-1")
    row = {"report_id": id_of("Q-1"), column: value}
    with pytest.raises(StatementFailed), office.database.engine.begin() as connection:
        _update(office, connection, reports, [row])
    office.database.close()


def test_what_is_no_column_type_is_an_error_of_ours(postgres_databases: PostgresDatabases) -> None:
    database = postgres_databases.give(0)
    with pytest.raises(TypeError, match="set has no place"), database.write() as connection:
        sets.insert(database, connection, outbox, [{"data": {1, 2}}])
    database.close()


def test_column_no_decision_changed_is_left_as_somebody_else_wrote_it(office: Office) -> None:
    report = office.report(office.receive("Q-1"))
    office.set("reports", {"title": "Judul baru"}, report_id=report.report_id)
    changed = replace(report, sequence=41)
    with office.database.write() as connection:
        write(
            office.database, connection, Changes(reports={report.report_id: changed}), before={report.report_id: report}
        )
    (row,) = office.rows("reports")
    assert (row["sequence"], row["title"]) == (41, "Judul baru")
    with office.database.write() as connection:
        write(office.database, connection, Changes(reports={report.report_id: changed}))
    assert office.rows("reports")[0]["title"] == report.title


def test_clock_changed_twice_in_one_batch_is_as_it_was_changed_last(office: Office) -> None:
    office.receive("Q-1")
    clock = next(o for o in _clocks(office) if o.kind == "acknowledge")
    with office.database.write() as connection:
        write(office.database, connection, Changes(obligations=[replace(clock, step=3), replace(clock, step=2)]))
    assert office.rows("obligations", kind="acknowledge")[0]["step"] == 2


def test_report_made_and_changed_in_one_batch_is_made_as_it_is_in_the_end(office: Office, twin: Office) -> None:
    report = office.report(office.receive("Q-1"))
    clocks = _clocks(office)
    (other,) = [clock for clock in clocks if clock.kind == "acknowledge"]
    made = Changes(
        new_reports=[report],
        reports={report.report_id: replace(report, title="Judul baru")},
        new_obligations=clocks,
        obligations=[replace(other, step=2)],
    )
    with twin.database.write() as connection:
        write(twin.database, connection, made)
    assert [row["title"] for row in twin.rows("reports")] == ["Judul baru"]
    assert {o.kind: o.step for o in _clocks(twin)} == {o.kind: 2 if o is other else o.step for o in clocks}


def test_several_tables_are_written_whole_or_not_at_all(office: Office) -> None:
    ticket = office.receive("Q-1")
    before = {name: office.rows(name) for name in ("reports", "outbox")}
    writes = sets.Writes()
    writes.update(reports, [{"report_id": id_of("Q-1"), "title": "Judul baru"}])
    writes.insert(outbox, [{"type": "notice.due", "data": {}, "available_at": None}])
    with pytest.raises(Conflict):  # no instant
        writes.commit(office.database)
    assert {name: office.rows(name) for name in before} == before, ticket


def test_what_is_committed_by_itself_wakes_the_relay(office: Office) -> None:
    wakeups = Wakeups(office.database)
    wakeups.wait(0.01)
    writes = sets.Writes()
    writes.insert(outbox, [{"type": "notice.due", "data": {}, "available_at": office.now()}])
    writes.wake_relay()
    writes.commit(office.database)
    began = time.monotonic()
    wakeups.wait(10)
    wakeups.close()
    assert time.monotonic() - began < 5
    assert [row["type"] for row in office.rows("outbox")] == ["notice.due"]


def _clocks(office: Office) -> list[Any]:
    from bridge.storage.reports import obligations_of

    with office.database.read() as connection:
        return obligations_of(connection, [id_of("Q-1")])[id_of("Q-1")]
