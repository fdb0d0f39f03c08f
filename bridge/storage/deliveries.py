"""Deliveries and their attempts: claimed for one attempt at a time, the result written apart from the sending."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.reports.people import Person
from bridge.reports.preferences import GATHERED, Held, Pace
from bridge.storage.changes import enqueue, put_messages_into
from bridge.storage.database import Database
from bridge.storage.rows import person_of
from bridge.storage.sets import Writes
from bridge.storage.statements import among, as_parameters, by_key
from bridge.storage.tables import CLOCK, deliveries, delivery_attempts, destinations, paces, people

#: So many notices make one digest at most.
_MOST_GATHERED = 500
#: So many that waited for a destination are announced at once when it is back; the rest come at their own times.
_MOST_RELEASED = 2000
_ROW = deliveries.c
_OPEN = _ROW.finished_at.is_(None)
_BEFORE_IT_IS_SENT = sa.case((_ROW.attempts > 0, "failed"), else_="pending")
_THESE = among(_ROW.delivery_id, "ids")
_RECIPIENTS = (
    sa.select(
        *(_ROW.delivery_id, _ROW.recipient, _ROW.channel, _ROW.report_id, _ROW.held, _ROW.digest_id, _ROW.attempts),
        people.c.channels,
    )
    .outerjoin_from(deliveries, people, sa.and_(people.c.person_id == _ROW.recipient, _ROW.purpose == "notice"))
    .where(_THESE, _OPEN)
)
#: What is asked beside rows that are locked: what time it is, and whether any destination has trouble.
_BESIDES = (CLOCK.label("now"), sa.exists(sa.select(destinations.c.destination)).label("is_trouble"))
_RECIPIENTS_LOCKED = (
    sa.select(
        *(_ROW.delivery_id, _ROW.recipient, _ROW.channel, _ROW.report_id, _ROW.held, _ROW.digest_id, _ROW.attempts),
        people,
    )
    .join_from(deliveries, people, people.c.person_id == _ROW.recipient)
    .where(_THESE, _OPEN)
    .order_by(people.c.person_id)
    .with_for_update(of=people, key_share=True)
)
_LOCKED = (
    sa.select(deliveries, paces.c.since.label("pace_since"), paces.c.sent.label("pace_sent"), *_BESIDES)
    .outerjoin_from(deliveries, paces, paces.c.person_id == _ROW.recipient)
    .where(_THESE)
    .order_by(_ROW.delivery_id)
    .with_for_update(of=deliveries)
)
_GATHERED = (
    sa.select(_ROW.delivery_id)
    .where(_OPEN, among(_ROW.recipient, "recipients"), _ROW.held.in_(GATHERED))
    .where(_ROW.state != "sending", _ROW.next_attempt_at <= sa.bindparam("now"))
    .order_by(_ROW.created_at, _ROW.delivery_id)
    .limit(_MOST_GATHERED)
)
_FELLOWS = sa.select(_ROW.delivery_id).where(_OPEN, among(_ROW.digest_id, "ids")).order_by(_ROW.delivery_id)
_ASKED, _BESIDE = deliveries.alias("asked"), deliveries.alias("beside")
_WITH_SIBLINGS = (
    sa.select(deliveries, *_BESIDES)
    .where(
        _ROW.delivery_id.in_(
            sa.union(
                sa.select(_ASKED.c.delivery_id).where(among(_ASKED.c.delivery_id, "ids")),
                sa.select(_BESIDE.c.delivery_id)
                .where(_BESIDE.c.report_id == _ASKED.c.report_id, _BESIDE.c.recipient == _ASKED.c.recipient)
                .where(_BESIDE.c.finished_at.is_(None), _BESIDE.c.sequence.is_not(None))
                .where(among(_ASKED.c.delivery_id, "ids"), _ASKED.c.finished_at.is_(None)),
            )
        )
    )
    .order_by(_ROW.delivery_id)
    .with_for_update(of=deliveries)
)
_OPEN_ONES = sa.select(_ROW.purpose, _ROW.delivery_id).where(_OPEN, _THESE)
_NEXT_IN_TURN = (
    sa.select(_ROW.purpose, _ROW.delivery_id)
    .where(_OPEN, _ROW.report_id == sa.bindparam("report"), _ROW.recipient == sa.bindparam("recipient"))
    .where(_ROW.held == Held.ORDER, _ROW.delivery_id != sa.bindparam("ended"))
    .order_by(_ROW.sequence)
    .limit(1)
)


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


@dataclass(frozen=True)
class Locked:
    """Deliveries, locked, in the order of their ids, and what was asked for beside them.

    `paces` says how many notices their recipients got lately.
    """

    rows: list[dict[str, Any]]
    now: datetime
    is_trouble: bool
    paces: dict[str, Pace]

    def in_order_of(self, delivery_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the rows of those that exist, in the order asked for."""
        by_id = {row["delivery_id"]: row for row in self.rows}
        return [by_id[delivery_id] for delivery_id in delivery_ids if delivery_id in by_id]


def recipients(connection: Connection, delivery_ids: Collection[str]) -> list[sa.Row[Any]]:
    """Return whom deliveries without an end are for, and what is known of their way.

    Each as (delivery_id, recipient, channel, report_id, held, digest_id, attempts, channels); the last is the list
    of the person's, None for a callback.
    """
    return list(connection.execute(_RECIPIENTS, {"ids": delivery_ids}))


def lock_recipients(
    connection: Connection, delivery_ids: Collection[str]
) -> tuple[list[sa.Row[Any]], dict[str, Person]]:
    """Let nobody else decide at the same time what the recipients of these notices are told.

    Returns the notices without an end, as `recipients` does, and those recipients who are active, by id.
    """
    found = list(connection.execute(_RECIPIENTS_LOCKED, {"ids": delivery_ids}))
    told = {row.person_id: person_of(row._mapping) for row in found if row.active}
    missing = set(delivery_ids) - {row.delivery_id for row in found}
    return found + (recipients(connection, missing) if missing else []), told


def lock(connection: Connection, delivery_ids: Collection[str]) -> Locked | None:
    """Lock deliveries; None when none of them exists."""
    return _locked(connection, _LOCKED, delivery_ids)


def gathered(connection: Connection, person_ids: Collection[str], now: datetime) -> list[str]:
    """Return what has waited to leave together for these people, and whose time has come."""
    return list(connection.execute(_GATHERED, {"recipients": person_ids, "now": now}).scalars())


def fellows(connection: Connection, digest_ids: Collection[str]) -> list[str]:
    """Return what travels in these digests: what left together once comes again together."""
    return list(connection.execute(_FELLOWS, {"ids": digest_ids}).scalars())


def lock_with_siblings(connection: Connection, delivery_ids: Collection[str]) -> Locked | None:
    """Lock callbacks, and with those that have no end every other one without an end to the same address about the
    same report; None when none of them exists."""
    return _locked(connection, _WITH_SIBLINGS, delivery_ids)


def _locked(connection: Connection, statement: sa.Select[Any], delivery_ids: Collection[str]) -> Locked | None:
    found = [dict(row) for row in connection.execute(statement, {"ids": delivery_ids}).mappings()]
    if not found:
        return None
    now, is_trouble, paces = found[0]["now"], bool(found[0]["is_trouble"]), {}
    for row in found:
        del row["now"], row["is_trouble"]
        since, sent = row.pop("pace_since", None), row.pop("pace_sent", None)
        if since is not None:
            paces[row["recipient"]] = Pace(since, sent)
    return Locked(found, now, is_trouble, paces)


def without_end(connection: Connection, delivery_ids: Collection[str]) -> dict[str, int]:
    """Return how many attempts at these deliveries were begun and have no end, since they were last sent once more."""
    if not delivery_ids:
        return {}
    at = delivery_attempts.c
    counted = (
        sa.select(at.delivery_id, sa.func.count())
        .join_from(delivery_attempts, deliveries, at.delivery_id == _ROW.delivery_id)
        .where(_ROW.delivery_id.in_(delivery_ids), at.outcome == "begun", at.number > _ROW.tries_before)
        .group_by(at.delivery_id)
    )
    return {delivery_id: count for delivery_id, count in connection.execute(counted)}


def lay_aside(connection: Connection, delivery_ids: Collection[str]) -> None:
    """Let deliveries whose message nobody could handle wait for a person: nobody announces them meanwhile."""
    if delivery_ids:
        values = {"next_attempt_at": None, "lease_until": None, "held": None, "state": _BEFORE_IT_IS_SENT}
        connection.execute(sa.update(deliveries).where(_OPEN, _ROW.delivery_id.in_(delivery_ids)).values(values))


def begin(
    database: Database, connection: Connection, attempts: Sequence[Begun], *, now: datetime, lease_until: datetime
) -> None:
    """Mark attempts as begun before anything is sent; one begun already gets a new lease."""
    if not attempts:
        return
    begun = [
        {
            "delivery_id": one.delivery_id,
            "state": "sending",
            "held": None,
            "attempts": one.number,
            "channel": one.channel,
            "digest_id": one.digest_id,
            "lease_until": lease_until,
        }
        for one in attempts
    ]
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
    writes = Writes()
    writes.update(deliveries, begun)
    writes.insert(delivery_attempts, rows, new_only=True)
    writes.send(database, connection)


@dataclass(frozen=True)
class End:
    """The end of a delivery: delivered, given_up or suppressed."""

    delivery_id: str
    state: str
    result: Result = Result()
    fell_back_to: str | None = None


def ends(these: Sequence[End], *, now: datetime) -> Writes:
    """Return what writes the ends of deliveries, and of their attempts."""
    rows = [
        {
            "delivery_id": end.delivery_id,
            "state": end.state,
            "finished_at": now,
            "lease_until": None,
            "next_attempt_at": None,
            "held": None,
            "last_error": end.result.detail or None,
            "fault": end.result.fault,
            "fell_back_to": end.fell_back_to,
        }
        for end in these
    ]
    writes = Writes()
    writes.update(deliveries, rows)
    writes.update(delivery_attempts, [_tried(e.delivery_id, e.state, e.result) for e in these if e.result.number])
    return writes


def finish(database: Database, connection: Connection, *these: End, now: datetime) -> None:
    """Write the ends of deliveries."""
    ends(these, now=now).send(database, connection)


def retry(database: Database, connection: Connection, row: Mapping[str, Any], *, at: datetime, result: Result) -> None:
    """Write a failed attempt and the time of the next one; the message comes back through the outbox."""
    failed = {
        "delivery_id": row["delivery_id"],
        "state": "failed",
        "lease_until": None,
        "next_attempt_at": at,
        "last_error": result.detail,
        "fault": result.fault,
    }
    writes = Writes()
    writes.update(deliveries, [failed])
    writes.update(delivery_attempts, [_tried(row["delivery_id"], "failed", result)])
    put_messages_into(writes, [_message(row, at)])
    writes.send(database, connection)


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
    values: dict[str, Any] = {"next_attempt_at": until, "held": why, "lease_until": None, "state": _BEFORE_IT_IS_SENT}
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
    if rows:
        enqueue(database, connection, [_message(row, at) for row in rows])


def _message(row: Mapping[str, Any] | sa.RowMapping, at: datetime) -> dict[str, Any]:
    return {"type": f"{row['purpose']}.due", "data": {"delivery_id": row["delivery_id"]}, "available_at": at}


def announce_open(database: Database, connection: Connection, delivery_ids: Collection[str], *, at: datetime) -> None:
    """Let the messages of those that have no end yet come again at that time."""
    found = connection.execute(_OPEN_ONES, {"ids": delivery_ids}).mappings().all()
    announce(database, connection, found, at=at)


def next_in_turn(database: Database, connection: Connection, row: Mapping[str, Any], *, now: datetime) -> None:
    """Announce the callback that waited for this one's end, if there is one; its row is left to who handles it."""
    key = {"report": row["report_id"], "recipient": row["recipient"], "ended": row["delivery_id"]}
    announce(database, connection, connection.execute(_NEXT_IN_TURN, key).mappings().all(), at=now)


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
    row = {"delivery_id": delivery_id, **values}
    connection.execute(by_key(deliveries, tuple(row)), as_parameters(row))


def _tried(delivery_id: str, outcome: str, result: Result) -> dict[str, Any]:
    return {
        "delivery_id": delivery_id,
        "number": result.number,
        "outcome": outcome,
        "duration_ms": result.duration_ms,
        "detail": result.detail or None,
        "status": result.status,
        "response": result.response or None,
        "fault": result.fault,
    }
