"""What was told and what was not: lists for people, and sending once more because somebody said so."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.storage.database import Database
from bridge.storage.deliveries import announce
from bridge.storage.tables import deliveries, delivery_attempts, replays, reports

#: Pressed twice, a replay sends nothing twice: what was replayed so short a time ago is left out.
REPLAYED_LATELY = timedelta(minutes=10)
_ENDED = ("delivered", "given_up", "suppressed")
_MOST_NOTED = 20
# Said as the indexes say it: SQLite knows a partial index again only by the same words.
_GIVEN_UP = deliveries.c.state == sa.literal_column("'given_up'")
_UNHEARD = sa.and_(_GIVEN_UP, deliveries.c.fell_back_to.is_(None))
#: What people look at apart: failed by our own fault, refused or never answered, gone on by another way, not ended yet.
LOTS: Mapping[str, sa.ColumnElement[bool]] = {
    "ours": sa.and_(_UNHEARD, deliveries.c.fault == "ours"),
    "theirs": sa.and_(_UNHEARD, sa.or_(deliveries.c.fault.is_(None), deliveries.c.fault != "ours")),
    "elsewhere": sa.and_(_GIVEN_UP, deliveries.c.fell_back_to.is_not(None)),
    "waiting": deliveries.c.finished_at.is_(None),
}
#: What travels in one digest was decided within this time.
_DIGEST_WITHIN = timedelta(days=3)


@dataclass(frozen=True)
class Wanted:
    """Which deliveries; empty means any. `since` and `until` are aware instants, of when they were first due.

    `fault` is away, refused or ours; `unheard` leaves out what another channel took over. `lot` is one of LOTS.
    """

    report_id: str = ""
    ticket: str = ""
    lot: str = ""
    state: str = ""
    purpose: str = ""
    recipient: str = ""
    channel: str = ""
    fault: str = ""
    unheard: bool = False
    since: datetime | None = None
    until: datetime | None = None
    delivery_ids: Collection[str] | None = None

    def conditions(self) -> Iterator[sa.ColumnElement[bool]]:
        """Return what a row must be."""
        for name in ("report_id", "state", "purpose", "recipient", "channel", "fault"):
            if value := getattr(self, name):
                yield deliveries.c[name] == value
        if self.since:
            yield deliveries.c.created_at >= self.since
        if self.until:
            yield deliveries.c.created_at < self.until
        yield from self._among()

    def _among(self) -> Iterator[sa.ColumnElement[bool]]:
        if self.ticket:
            about = sa.select(reports.c.report_id).where(reports.c.ticket == self.ticket)
            yield deliveries.c.report_id == about.scalar_subquery()
        if self.lot:
            yield LOTS[self.lot]
        if self.unheard:
            yield _UNHEARD
        if self.delivery_ids is not None:
            yield deliveries.c.delivery_id.in_(self.delivery_ids)

    def as_json(self) -> dict[str, Any]:
        """Return what was asked for, as the list of replays keeps it; of single deliveries the first ones."""
        asked = {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in vars(self).items()
            if value and name != "delivery_ids"
        }
        return asked if self.delivery_ids is None else asked | {"delivery_ids": sorted(self.delivery_ids)[:_MOST_NOTED]}


def listed(connection: Connection, wanted: Wanted = Wanted(), *, most: int = 200) -> list[dict[str, Any]]:
    """Return deliveries, newest first."""
    statement = sa.select(deliveries).where(*wanted.conditions())
    ordered = statement.order_by(deliveries.c.created_at.desc(), deliveries.c.sequence.desc(), deliveries.c.delivery_id)
    return [dict(row) for row in connection.execute(ordered.limit(most)).mappings()]


def attempts_of(connection: Connection, delivery_ids: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the attempts of deliveries, by delivery, in order."""
    found: dict[str, list[dict[str, Any]]] = {delivery_id: [] for delivery_id in delivery_ids}
    rows = sa.select(delivery_attempts).where(delivery_attempts.c.delivery_id.in_(delivery_ids))
    for row in connection.execute(rows.order_by(delivery_attempts.c.number)).mappings():
        found[row["delivery_id"]].append(dict(row))
    return found


def fellows(connection: Connection, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what left together with a delivery, without itself."""
    if not row["digest_id"]:
        return []
    near = deliveries.c.created_at.between(row["created_at"] - _DIGEST_WITHIN, row["created_at"] + _DIGEST_WITHIN)
    same = sa.and_(deliveries.c.digest_id == row["digest_id"], deliveries.c.delivery_id != row["delivery_id"])
    found = connection.execute(sa.select(deliveries).where(near, same).order_by(deliveries.c.created_at)).mappings()
    return [dict(one) for one in found]


def unheard(connection: Connection) -> int:
    """Return how many deliveries were given up and taken over by no other channel."""
    return connection.execute(sa.select(sa.func.count()).select_from(deliveries).where(_UNHEARD)).scalar_one()


@dataclass(frozen=True)
class Counts:
    """What waits and what failed, in rows; ages in seconds."""

    waiting: Mapping[str, int]  # by state: pending, sending, failed
    oldest_s: float
    held: Mapping[str, int]
    unheard: int
    unheard_by_fault: Mapping[str, int]


def counts(connection: Connection, now: datetime) -> Counts:
    """Return the figures of this moment; every one reads a partial index."""
    open_ones = deliveries.c.finished_at.is_(None)
    oldest = connection.execute(sa.select(sa.func.min(deliveries.c.created_at)).where(open_ones)).scalar()
    by_fault = _by(connection, deliveries.c.fault, _UNHEARD)
    return Counts(
        waiting=_by(connection, deliveries.c.state, open_ones),
        oldest_s=max(0.0, (now - oldest).total_seconds()) if oldest else 0.0,
        held=_by(connection, deliveries.c.held, open_ones, deliveries.c.held.is_not(None)),
        unheard=sum(by_fault.values()),
        unheard_by_fault=by_fault,
    )


def attempted(connection: Connection, since: datetime) -> dict[tuple[str, str, str], int]:
    """Return how many attempts were made since then, by (purpose, channel, outcome)."""
    made = delivery_attempts.c
    key = (deliveries.c.purpose, sa.func.coalesce(made.channel, deliveries.c.channel), made.outcome)
    counted = (
        sa.select(*key, sa.func.count())
        .join_from(delivery_attempts, deliveries, made.delivery_id == deliveries.c.delivery_id)
        .where(made.at >= since)
        .group_by(*key)
    )
    return {(purpose, channel, outcome): count for purpose, channel, outcome, count in connection.execute(counted)}


def _by(connection: Connection, column: sa.ColumnElement[Any], *conditions: sa.ColumnElement[bool]) -> dict[str, int]:
    rows = connection.execute(sa.select(column, sa.func.count()).where(*conditions).group_by(column))
    return {str(name): count for name, count in rows}


def once_more(
    database: Database,
    connection: Connection,
    wanted: Wanted,
    *,
    now: datetime,
    most: int,
    again: bool = False,
    after: str = "",
) -> list[str]:
    """Let deliveries leave once more, whatever became of them; returns the ids, at most `most`, those behind `after`.

    Same id, fresh timestamp, marked as a replay; what failed and waits is tried at once. What is being sent, and
    what was replayed in the last ten minutes (unless `again`), stays as it is.
    """
    statement = sa.select(deliveries).where(*_may_leave(wanted, now, again=again))
    statement = statement.where(deliveries.c.delivery_id > after).order_by(deliveries.c.delivery_id).limit(most)
    rows = connection.execute(database.for_update(statement)).mappings().all()
    for row in rows:
        _begin_again(connection, row, now)
    announce(database, connection, rows, at=now)
    return [row["delivery_id"] for row in rows]


def would_leave(connection: Connection, wanted: Wanted, *, now: datetime, again: bool = False) -> int:
    """Return how many deliveries `once_more` would let leave."""
    counted = sa.select(sa.func.count()).select_from(deliveries)
    return connection.execute(counted.where(*_may_leave(wanted, now, again=again))).scalar_one()


def _may_leave(wanted: Wanted, now: datetime, *, again: bool) -> Iterator[sa.ColumnElement[bool]]:
    yield from wanted.conditions()
    yield deliveries.c.state != "sending"
    if not again:
        lately = deliveries.c.replayed_at > now - REPLAYED_LATELY
        yield sa.or_(deliveries.c.replayed_at.is_(None), ~lately)


def _begin_again(connection: Connection, row: sa.RowMapping, now: datetime) -> None:
    ended = row["state"] in _ENDED
    connection.execute(
        sa.update(deliveries)
        .where(deliveries.c.delivery_id == row["delivery_id"])
        .values(
            state="pending",
            finished_at=None,
            next_attempt_at=now,
            held=None,
            fault=None,
            digest_id=None,
            tries_before=row["attempts"],
            replays=row["replays"] + ended,
            replayed_at=now,
        )
    )


def note_replay(connection: Connection, wanted: Wanted, count: int, *, reason: str, actor: str, now: datetime) -> int:
    """Write down who sent what once more, and why; returns the note's number."""
    row = {"wanted": wanted.as_json(), "deliveries": count, "reason": reason, "actor": actor, "at": now}
    key = connection.execute(sa.insert(replays).values(row)).inserted_primary_key
    return int(key[0]) if key else 0


def add_to_replay(connection: Connection, number: int, more: int) -> None:
    """Count what the next batch of a noted replay sent."""
    grown = {"deliveries": replays.c.deliveries + more}
    connection.execute(sa.update(replays).where(replays.c.id == number).values(grown))


def replays_listed(connection: Connection, *, most: int = 50) -> list[dict[str, Any]]:
    """Return who sent what once more, newest first."""
    newest = sa.select(replays).order_by(replays.c.id.desc()).limit(most)
    return [dict(row) for row in connection.execute(newest).mappings()]
