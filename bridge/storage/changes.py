"""Writing what decisions changed: report, clocks, history, log, deliveries and outbox, all in the caller's one
transaction."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.reports.report import Changes, Delivery, Purpose
from bridge.storage.database import OUTBOX_CHANNEL, Database
from bridge.storage.rows import delivery_row, escalation_row, event_row, obligation_row, report_row
from bridge.storage.tables import deliveries, escalations, history, obligations, outbox, reports

_MESSAGE_TYPES = {Purpose.NOTICE: "notice.due", Purpose.CALLBACK: "callback.due"}

_UPDATE_REPORT = (
    sa.update(reports)
    .where(reports.c.report_id == sa.bindparam("_report_id"))
    .values({c.name: sa.bindparam(c.name) for c in reports.c if c.name != "report_id"})
)
_UPDATE_OBLIGATION = (
    sa.update(obligations)
    .where(obligations.c.report_id == sa.bindparam("_report_id"), obligations.c.kind == sa.bindparam("_kind"))
    .values({c.name: sa.bindparam(c.name) for c in obligations.c if c.name not in ("report_id", "kind")})
)


def write(database: Database, connection: Connection, changes: Changes) -> None:
    """Write everything; the caller holds the locks of what is updated.

    Raises:
        Conflict: (from the surrounding `database.write()`) a report or a log row is there already.
    """
    _insert(connection, reports, [report_row(report) for report in changes.new_reports])
    _insert(connection, obligations, [obligation_row(o) for o in changes.new_obligations])
    # In the order of their ids, as everybody locks them: two writers can then never wait for each other.
    for report in sorted(changes.reports.values(), key=lambda r: r.report_id):
        connection.execute(
            _UPDATE_REPORT, {**_without(report_row(report), "report_id"), "_report_id": report.report_id}
        )
    for obligation in changes.obligations:
        row = _without(obligation_row(obligation), "report_id", "kind")
        connection.execute(_UPDATE_OBLIGATION, {**row, "_report_id": obligation.report_id, "_kind": obligation.kind})
    _insert(connection, history, [event_row(event) for event in changes.history])
    _insert(connection, escalations, [escalation_row(e) for e in changes.escalations])
    deliver(database, connection, changes.deliveries)


def deliver(database: Database, connection: Connection, due: list[Delivery]) -> None:
    """Write deliveries and the messages that announce them; one that is known already is not written again."""
    if not due:
        return
    database.insert_new(connection, deliveries, [delivery_row(delivery) for delivery in due])
    rows = [
        {
            "type": _MESSAGE_TYPES[delivery.purpose],
            "data": {"delivery_id": delivery.delivery_id},
            "available_at": delivery.created_at,
        }
        for delivery in due
    ]
    enqueue(database, connection, rows)


def enqueue(database: Database, connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Put messages (type, data, available_at) into the outbox and wake the relay when this commits."""
    connection.execute(sa.insert(outbox), rows)
    if not database.is_sqlite:
        connection.exec_driver_sql(f"NOTIFY {OUTBOX_CHANNEL}")


def _insert(connection: Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(sa.insert(table), rows)


def _without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}
