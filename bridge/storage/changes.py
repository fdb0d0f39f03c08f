"""Writing what decisions changed: report, clocks, history, log, deliveries and outbox, all in the caller's one
transaction."""

from typing import Any

from sqlalchemy.engine import Connection

from bridge.reports.report import Changes, Delivery, Purpose
from bridge.storage.database import OUTBOX_CHANNEL, Database
from bridge.storage.rows import delivery_row, escalation_row, event_row, obligation_row, report_row
from bridge.storage.sets import insert, update
from bridge.storage.tables import deliveries, escalations, history, obligations, outbox, reports

_MESSAGE_TYPES = {Purpose.NOTICE: "notice.due", Purpose.CALLBACK: "callback.due"}


def write(database: Database, connection: Connection, changes: Changes) -> None:
    """Write everything; the caller holds the locks of what is updated.

    Raises:
        Conflict: (from the surrounding `database.write()`) a report or a log row is there already.
    """
    insert(database, connection, reports, [report_row(report) for report in changes.new_reports])
    insert(database, connection, obligations, [obligation_row(o) for o in changes.new_obligations])
    update(database, connection, reports, [report_row(report) for report in changes.reports.values()])
    last = {(obligation.report_id, obligation.kind): obligation for obligation in changes.obligations}
    update(database, connection, obligations, [obligation_row(obligation) for obligation in last.values()])
    insert(database, connection, history, [event_row(event) for event in changes.history])
    insert(database, connection, escalations, [escalation_row(e) for e in changes.escalations])
    deliver(database, connection, changes.deliveries)


def deliver(database: Database, connection: Connection, due: list[Delivery]) -> None:
    """Write deliveries and the messages that announce them; one that is known already is not written again."""
    if not due:
        return
    insert(database, connection, deliveries, [delivery_row(delivery) for delivery in due], new_only=True)
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
    insert(database, connection, outbox, rows)
    if not database.is_sqlite:
        connection.exec_driver_sql(f"NOTIFY {OUTBOX_CHANNEL}")

