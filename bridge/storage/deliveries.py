"""Deliveries and their attempts: claimed for one attempt at a time, the result written apart from the sending."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.reports.preferences import GATHERED, Held
from bridge.storage.changes import enqueue
from bridge.storage.database import Database
from bridge.storage.tables import deliveries, delivery_attempts, people

_BEGIN = (
    sa.update(deliveries)
    .where(deliveries.c.delivery_id == sa.bindparam("_id"))
    .values(
        state="sending",
        held=None,
        attempts=sa.bindparam("_number"),
        channel=sa.bindparam("_channel"),
        digest_id=sa.bindparam("_digest"),
        lease_until=sa.bindparam("_until"),
    )
)
#: So many notices make one digest at most.
_MOST_GATHERED = 500
#: So many that waited for a destination are announced at once when it is back; the rest come at their own times.
_MOST_RELEASED = 2000
_OPEN = deliveries.c.finished_at.is_(None)


@dataclass(frozen=True)
class Begun:
    """An attempt about to be made; `number` counts from 1."""

    delivery_id: str
    number: int
    channel: str
    digest_id: str | None = None


@dataclass(frozen=True)
class Result:
    """How an attempt ended: what the other side answered, and whose fault it is if it failed."""

    number: int = 0
    duration_ms: int | None = None
    detail: str = ""
    status: int | None = None
    response: str = ""
    fault: str | None = None


def recipients(connection: Connection, delivery_ids: Collection[str]) -> list[sa.Row[Any]]:
    """Return whom deliveries without an end are for, and what is known of their way.

    Each as (delivery_id, recipient, channel, report_id, held, digest_id, attempts, channels); the last is the list
    of the person's, None for a callback.
    """
    row = deliveries.c
    names = (row.delivery_id, row.recipient, row.channel, row.report_id, row.held, row.digest_id, row.attempts)
    wanted = sa.select(*names, people.c.channels).outerjoin_from(
        deliveries, people, sa.and_(people.c.person_id == row.recipient, row.purpose == "notice")
    )
    return list(connection.execute(wanted.where(row.delivery_id.in_(delivery_ids), _OPEN)))


def lock(database: Database, connection: Connection, delivery_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Lock deliveries in the order of their ids; returns the rows of those that exist, in the order asked for."""
    statement = (
        sa.select(deliveries).where(deliveries.c.delivery_id.in_(delivery_ids)).order_by(deliveries.c.delivery_id)
    )
    rows = {row["delivery_id"]: dict(row) for row in connection.execute(database.for_update(statement)).mappings()}
    return [rows[delivery_id] for delivery_id in delivery_ids if delivery_id in rows]


def gathered(connection: Connection, person_ids: Collection[str], now: datetime) -> list[str]:
    """Return what has waited to leave together for these people, and whose time has come."""
    wanted = (
        sa.select(deliveries.c.delivery_id)
        .where(_OPEN, deliveries.c.recipient.in_(person_ids), deliveries.c.held.in_(GATHERED))
        .where(deliveries.c.state != "sending", deliveries.c.next_attempt_at <= now)
        .order_by(deliveries.c.created_at, deliveries.c.delivery_id)
        .limit(_MOST_GATHERED)
    )
    return list(connection.execute(wanted).scalars())


def fellows(connection: Connection, digest_ids: Collection[str]) -> list[str]:
    """Return what travels in these digests: what left together once comes again together."""
    wanted = sa.select(deliveries.c.delivery_id).where(_OPEN, deliveries.c.digest_id.in_(digest_ids))
    return list(connection.execute(wanted.order_by(deliveries.c.delivery_id)).scalars())


def siblings(connection: Connection, report_ids: Collection[str], recipients: Collection[str]) -> list[str]:
    """Return every callback about these reports to these destinations that has no end yet."""
    wanted = (
        sa.select(deliveries.c.delivery_id)
        .where(_OPEN, deliveries.c.report_id.in_(report_ids), deliveries.c.recipient.in_(recipients))
        .where(deliveries.c.sequence.is_not(None))
    )
    return list(connection.execute(wanted.order_by(deliveries.c.sequence)).scalars())


def begin(
    database: Database, connection: Connection, attempts: Sequence[Begun], *, now: datetime, lease_until: datetime
) -> None:
    """Mark attempts as begun before anything is sent; one begun already gets a new lease."""
    if not attempts:
        return
    begun = [
        {
            "_id": one.delivery_id,
            "_number": one.number,
            "_channel": one.channel,
            "_digest": one.digest_id,
            "_until": lease_until,
        }
        for one in attempts
    ]
    connection.execute(_BEGIN, begun)
    rows = [
        {
            "delivery_id": one.delivery_id,
            "number": one.number,
            "at": now,
            "outcome": "begun",
            "channel": one.channel,
        }
        for one in attempts
    ]
    database.insert_new(connection, delivery_attempts, rows)


def finish(
    connection: Connection,
    delivery_id: str,
    state: str,
    *,
    now: datetime,
    result: Result = Result(),
    fell_back_to: str | None = None,
) -> None:
    """Write the end of a delivery: delivered, given_up or suppressed."""
    _update(
        connection,
        delivery_id,
        state=state,
        finished_at=now,
        lease_until=None,
        next_attempt_at=None,
        held=None,
        last_error=result.detail or None,
        fault=result.fault,
        fell_back_to=fell_back_to,
    )
    _attempted(connection, delivery_id, state, result)


def retry(database: Database, connection: Connection, row: Mapping[str, Any], *, at: datetime, result: Result) -> None:
    """Write a failed attempt and the time of the next one; the message comes back through the outbox."""
    _update(
        connection,
        row["delivery_id"],
        state="failed",
        lease_until=None,
        next_attempt_at=at,
        last_error=result.detail,
        fault=result.fault,
    )
    _attempted(connection, row["delivery_id"], "failed", result)
    announce(database, connection, [row], at=at)


def hold(
    database: Database,
    connection: Connection,
    rows: Sequence[Mapping[str, Any]],
    *,
    until: datetime,
    why: Held,
    channel: str = "",
) -> None:
    """Let deliveries wait although their time has come; what waits for its turn is announced when that comes.

    Args:
        channel: The one they wait for, so that its recovery finds them.
    """
    for row in rows:
        if row["state"] == "sending":
            _take_back(connection, row)
    ids = [row["delivery_id"] for row in rows]
    state = sa.case((deliveries.c.attempts > 0, "failed"), else_="pending")
    values: dict[str, Any] = {"next_attempt_at": until, "held": why, "lease_until": None, "state": state}
    values |= {"channel": channel} if channel else {}
    connection.execute(sa.update(deliveries).where(deliveries.c.delivery_id.in_(ids)).values(values))
    if why is not Held.ORDER:
        announce(database, connection, rows, at=until)


def _take_back(connection: Connection, row: Mapping[str, Any]) -> None:
    """Take back an attempt that was noted as begun and is not made after all."""
    at = delivery_attempts.c
    begun = (at.delivery_id == row["delivery_id"], at.number == row["attempts"], at.outcome == "begun")
    if connection.execute(sa.delete(delivery_attempts).where(*begun)).rowcount:
        _update(connection, row["delivery_id"], attempts=row["attempts"] - 1)


def announce(
    database: Database, connection: Connection, rows: Sequence[Mapping[str, Any] | sa.RowMapping], *, at: datetime
) -> None:
    """Let the message of deliveries come (again) at that time."""
    messages = [
        {"type": f"{row['purpose']}.due", "data": {"delivery_id": row["delivery_id"]}, "available_at": at}
        for row in rows
    ]
    if messages:
        enqueue(database, connection, messages)


def announce_open(database: Database, connection: Connection, delivery_ids: Collection[str], *, at: datetime) -> None:
    """Let the messages of those that have no end yet come again at that time."""
    wanted = sa.select(deliveries.c.purpose, deliveries.c.delivery_id).where(
        _OPEN, deliveries.c.delivery_id.in_(delivery_ids)
    )
    announce(database, connection, connection.execute(wanted).mappings().all(), at=at)


def next_in_turn(database: Database, connection: Connection, row: Mapping[str, Any], *, now: datetime) -> None:
    """Announce the callback that waited for this one's end, if there is one; its row is left to who handles it."""
    following = (
        sa.select(deliveries.c.purpose, deliveries.c.delivery_id)
        .where(_OPEN, deliveries.c.report_id == row["report_id"], deliveries.c.recipient == row["recipient"])
        .where(deliveries.c.held == Held.ORDER, deliveries.c.delivery_id != row["delivery_id"])
        .order_by(deliveries.c.sequence)
        .limit(1)
    )
    announce(database, connection, connection.execute(following).mappings().all(), at=now)


def release(
    database: Database, connection: Connection, *, purpose: str, where: Mapping[str, str], now: datetime
) -> int:
    """Announce now what waits for a destination that is back; `where` names its column. Returns how many."""
    waiting = (
        sa.select(deliveries)
        .where(_OPEN, deliveries.c.purpose == purpose, deliveries.c.next_attempt_at > now)
        .where(*(deliveries.c[name] == value for name, value in where.items()))
        .where(
            sa.or_(
                deliveries.c.held == Held.BREAKER,
                sa.and_(deliveries.c.state == "failed", deliveries.c.fault == "away", deliveries.c.held.is_(None)),
            )
        )
        .order_by(deliveries.c.created_at, deliveries.c.sequence)
        .limit(_MOST_RELEASED)
    )
    found = connection.execute(database.for_update(waiting, skip_locked=True)).mappings().all()
    if found:
        ids = [row["delivery_id"] for row in found]
        values = {"next_attempt_at": now, "held": None}
        connection.execute(sa.update(deliveries).where(deliveries.c.delivery_id.in_(ids)).values(values))
        announce(database, connection, found, at=now)
    return len(found)


def announce_stranded(database: Database, connection: Connection, *, now: datetime, older_s: float, most: int) -> int:
    """Announce again what has been due for long without an end; returns how many.

    Its message went through the queue and was lost there (a broker's disk, a restore from backup), or its process died
    after taking it. If it was not lost, the second message finds the delivery done, or at work, and changes nothing.
    """
    since = now - timedelta(seconds=older_s)
    waits_long = sa.and_(
        deliveries.c.next_attempt_at < since,
        sa.or_(deliveries.c.lease_until.is_(None), deliveries.c.lease_until < since),
    )
    open_ones = sa.select(deliveries.c.delivery_id, deliveries.c.purpose).where(_OPEN, waits_long).limit(most)
    found = connection.execute(database.for_update(open_ones, skip_locked=True)).mappings().all()
    if found:
        ids = [row["delivery_id"] for row in found]
        connection.execute(sa.update(deliveries).where(deliveries.c.delivery_id.in_(ids)).values(next_attempt_at=now))
        announce(database, connection, found, at=now)
    return len(found)


def _update(connection: Connection, delivery_id: str, **values: Any) -> None:
    connection.execute(sa.update(deliveries).where(deliveries.c.delivery_id == delivery_id).values(values))


def _attempted(connection: Connection, delivery_id: str, outcome: str, result: Result) -> None:
    if result.number:
        connection.execute(
            sa.update(delivery_attempts)
            .where(delivery_attempts.c.delivery_id == delivery_id, delivery_attempts.c.number == result.number)
            .values(
                outcome=outcome,
                duration_ms=result.duration_ms,
                detail=result.detail or None,
                status=result.status,
                response=result.response or None,
                fault=result.fault,
            )
        )
