"""Deliveries and their attempts: claimed for one attempt at a time, the result written apart from the sending."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.storage.changes import enqueue
from bridge.storage.database import Database
from bridge.storage.tables import deliveries, delivery_attempts

_BEGIN = (
    sa.update(deliveries)
    .where(deliveries.c.delivery_id == sa.bindparam("_id"))
    .values(state="sending", attempts=sa.bindparam("_number"), lease_until=sa.bindparam("_until"))
)


def lock(database: Database, connection: Connection, delivery_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Lock deliveries in the order of their ids; returns the rows of those that exist, in the order asked for."""
    statement = (
        sa.select(deliveries).where(deliveries.c.delivery_id.in_(delivery_ids)).order_by(deliveries.c.delivery_id)
    )
    rows = {row["delivery_id"]: dict(row) for row in connection.execute(database.for_update(statement)).mappings()}
    return [rows[delivery_id] for delivery_id in delivery_ids if delivery_id in rows]


def begin(
    database: Database,
    connection: Connection,
    attempts: Sequence[tuple[str, int]],
    *,
    now: datetime,
    lease_until: datetime,
) -> None:
    """Mark attempts (delivery, number from 1) as begun before anything is sent; one begun already gets a new lease."""
    if not attempts:
        return
    connection.execute(_BEGIN, [{"_id": one, "_number": number, "_until": lease_until} for one, number in attempts])
    rows = [{"delivery_id": one, "number": number, "at": now, "outcome": "begun"} for one, number in attempts]
    database.insert_new(connection, delivery_attempts, rows)


def finish(
    connection: Connection,
    delivery_id: str,
    state: str,
    *,
    now: datetime,
    number: int = 0,
    duration_ms: int | None = None,
    detail: str = "",
    channel: str | None = None,
) -> None:
    """Write the end of a delivery: delivered, given_up or suppressed."""
    values: dict[str, Any] = {"state": state, "finished_at": now, "lease_until": None, "next_attempt_at": None}
    _update(connection, delivery_id, **values, last_error=detail or None, **({"channel": channel} if channel else {}))
    _attempted(connection, delivery_id, number, state, duration_ms, detail)


def retry(
    database: Database,
    connection: Connection,
    row: Mapping[str, Any],
    *,
    at: datetime,
    number: int,
    duration_ms: int,
    detail: str,
) -> None:
    """Write a failed attempt and the time of the next one; the message comes back through the outbox."""
    _update(connection, row["delivery_id"], state="failed", lease_until=None, next_attempt_at=at, last_error=detail)
    _attempted(connection, row["delivery_id"], number, "failed", duration_ms, detail)
    message = {"type": f"{row['purpose']}.due", "data": {"delivery_id": row["delivery_id"]}, "available_at": at}
    enqueue(database, connection, [message])


def announce_stranded(database: Database, connection: Connection, *, now: datetime, older_s: float, most: int) -> int:
    """Announce again what has been due for long without an end; returns how many.

    Its message went through the queue and was lost there (a broker's disk, a restore from backup). If it was not
    lost, the second message finds the delivery done, or at work, and changes nothing.
    """
    since = now - timedelta(seconds=older_s)
    open_ones = (
        sa.select(deliveries.c.delivery_id, deliveries.c.purpose)
        .where(deliveries.c.finished_at.is_(None), deliveries.c.next_attempt_at < since)
        .where(sa.or_(deliveries.c.lease_until.is_(None), deliveries.c.lease_until < since))
        .limit(most)
    )
    found = connection.execute(database.for_update(open_ones, skip_locked=True)).all()
    if found:
        ids = [row.delivery_id for row in found]
        connection.execute(sa.update(deliveries).where(deliveries.c.delivery_id.in_(ids)).values(next_attempt_at=now))
        messages = [
            {"type": f"{row.purpose}.due", "data": {"delivery_id": row.delivery_id}, "available_at": now}
            for row in found
        ]
        enqueue(database, connection, messages)
    return len(found)


def listed(connection: Connection, *, report_id: str = "", state: str = "", most: int = 200) -> list[dict[str, Any]]:
    """Return deliveries, newest first."""
    statement = sa.select(deliveries).order_by(deliveries.c.created_at.desc(), deliveries.c.delivery_id).limit(most)
    if report_id:
        statement = statement.where(deliveries.c.report_id == report_id)
    if state:
        statement = statement.where(deliveries.c.state == state)
    return [dict(row) for row in connection.execute(statement).mappings()]


def _update(connection: Connection, delivery_id: str, **values: Any) -> None:
    connection.execute(sa.update(deliveries).where(deliveries.c.delivery_id == delivery_id).values(values))


def _attempted(
    connection: Connection, delivery_id: str, number: int, outcome: str, duration_ms: int | None, detail: str
) -> None:
    if number:
        connection.execute(
            sa.update(delivery_attempts)
            .where(delivery_attempts.c.delivery_id == delivery_id, delivery_attempts.c.number == number)
            .values(outcome=outcome, duration_ms=duration_ms, detail=detail or None)
        )
