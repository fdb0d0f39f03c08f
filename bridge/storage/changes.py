"""Writing what decisions changed: report, clocks, history, log, deliveries and outbox, all in the caller's one
transaction."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy.engine import Connection

from bridge.reports.report import Changes, Delivery, Purpose, Report
from bridge.storage.database import Database
from bridge.storage.rows import delivery_row, escalation_row, event_row, obligation_row, report_row
from bridge.storage.sets import Writes
from bridge.storage.tables import deliveries, escalations, history, obligations, outbox, reports
from bridge.tracing import traceparent_of

_MESSAGE_TYPES = {Purpose.NOTICE: "notice.due", Purpose.CALLBACK: "callback.due"}


def write(
    database: Database, connection: Connection, changes: Changes, *, before: Mapping[str, Report] | None = None
) -> None:
    """Write everything; the caller holds the locks of what is updated.

    Args:
        before: The reports as they were read, by id; who has them at hand saves writing what no decision changed.

    Raises:
        Conflict: (from the surrounding `database.write()`) a report or a log row is there already.
    """
    writes = Writes()
    put_into(writes, changes, before=before)
    writes.send(database, connection)


def put_into(writes: Writes, changes: Changes, *, before: Mapping[str, Report] | None = None) -> None:
    """Add all that `write` writes, for who writes something else with it."""
    last = {(obligation.report_id, obligation.kind): obligation for obligation in changes.obligations}
    # What a batch makes and changes again is made as it is in the end.
    made = {report.report_id: changes.reports.get(report.report_id, report) for report in changes.new_reports}
    started = {key: last.pop(key, o) for o in changes.new_obligations if (key := (o.report_id, o.kind))}
    others = [report for report_id, report in changes.reports.items() if report_id not in made]
    writes.insert(reports, [report_row(report) for report in made.values()])
    writes.insert(obligations, [obligation_row(o) for o in started.values()])
    writes.update(reports, _changed(others, before or {}))
    writes.update(obligations, [obligation_row(obligation) for obligation in last.values()])
    writes.insert(history, [event_row(event) for event in changes.history])
    writes.insert(escalations, [escalation_row(e) for e in changes.escalations])
    _put_deliveries_into(writes, changes.deliveries)


def deliver(database: Database, connection: Connection, due: list[Delivery]) -> None:
    """Write deliveries and the messages that announce them; one that is known already is not written again."""
    writes = Writes()
    _put_deliveries_into(writes, due)
    writes.send(database, connection)


def enqueue(database: Database, connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Put messages (type, data, available_at, traceparent if any) into the outbox; wakes the relay on commit."""
    writes = Writes()
    put_messages_into(writes, rows)
    writes.send(database, connection)


def _put_deliveries_into(writes: Writes, due: list[Delivery]) -> None:
    writes.insert(deliveries, [delivery_row(delivery) for delivery in due], new_only=True)
    rows = [
        {
            "type": _MESSAGE_TYPES[delivery.purpose],
            "data": {"delivery_id": delivery.delivery_id},
            "available_at": delivery.created_at,
            "traceparent": traceparent_of(delivery.report_id),
        }
        for delivery in due
    ]
    put_messages_into(writes, rows)


def put_messages_into(writes: Writes, rows: list[dict[str, Any]]) -> None:
    """Add messages; see enqueue."""
    if rows:
        writes.insert(outbox, [{"traceparent": None, **row} for row in rows])
        writes.wake_relay()


def _changed(changed: Collection[Report], before: Mapping[str, Report]) -> list[dict[str, Any]]:
    """Return the rows of the reports without the columns that none of them changed."""
    rows = {report.report_id: report_row(report) for report in changed}
    known = {report_id: report_row(before[report_id]) for report_id in rows if report_id in before}
    names = {
        name
        for report_id, row in rows.items()
        for name, value in row.items()
        if report_id not in known or known[report_id][name] != value
    }
    kept = ("report_id", *sorted(names - {"report_id"}))
    return [{name: row[name] for name in kept} for row in rows.values()] if names else []
