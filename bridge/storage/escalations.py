"""The escalation log and the chain of hashes over it.

Rows are written by the transactions that fire; the seal (sequence number and hash) is written afterwards, in order,
by one sealer at a time, so that workers never queue behind the chain.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.storage.database import Database
from bridge.storage.sets import insert
from bridge.storage.tables import deliveries, escalation_seals, escalations, obligations, reports

_SEALER_LOCK = 8311_01
_BEFORE_FIRST = "0" * 64


def seal(database: Database, connection: Connection, *, most: int = 1000) -> int:
    """Give the next unsealed rows their number and hash; returns how many, 0 when another sealer is at it.

    Looks at the whole log; who seals again and again keeps a `Sealer`.
    """
    return _seal(database, connection, above=0, most=most) if _my_turn(database, connection) else 0


class Sealer:
    """Seals again and again, looking only at the end of the log.

    Rows commit in another order than their ids say, so "after the last sealed one" would miss some. But once every
    transaction has ended that was under way when a certain id was there, none below it can still come.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        #: Every row up to here is sealed.
        self._floor = 0
        #: An id, and the transaction number below which all must have ended before it can become the floor.
        self._mark: tuple[int, int] | None = None

    def seal(self, *, most: int = 1000) -> int:
        """Do as `seal` does, in a transaction of its own."""
        with self._database.write() as connection:
            if not _my_turn(self._database, connection):
                return 0
            newest, oldest_open, next_one = _horizon(self._database, connection)
            count = _seal(self._database, connection, above=self._floor, most=most)
        if count < most:
            if self._mark is not None and oldest_open >= self._mark[1]:
                self._floor, self._mark = self._mark[0], None
            self._mark = self._mark or (newest, next_one)
        return count


def _my_turn(database: Database, connection: Connection) -> bool:
    if database.is_sqlite:
        return True
    return bool(connection.execute(sa.select(sa.func.pg_try_advisory_xact_lock(_SEALER_LOCK))).scalar_one())


def _horizon(database: Database, connection: Connection) -> tuple[int, int, int]:
    """Return the newest id there is, the oldest transaction still open, and the number the next one will get."""
    newest = sa.select(sa.func.coalesce(sa.func.max(escalations.c.id), 0)).scalar_subquery()
    if database.is_sqlite:
        return connection.execute(sa.select(newest)).scalar_one(), 0, 0  # one writer at a time: none is open
    # A watcher locks the clocks it claims before it writes the log: it has its number before it takes an id.
    bounds = (sa.cast(sa.cast(bound(sa.func.pg_current_snapshot()), sa.Text), sa.BigInteger) for bound in _BOUNDS)
    row = connection.execute(sa.select(newest, *bounds)).one()
    return row[0], row[1], row[2]


_BOUNDS = (sa.func.pg_snapshot_xmin, sa.func.pg_snapshot_xmax)


def _seal(database: Database, connection: Connection, *, above: int, most: int) -> int:
    last = connection.execute(
        sa.select(escalation_seals.c.seq, escalation_seals.c.hash).order_by(escalation_seals.c.seq.desc()).limit(1)
    ).first()
    seq, chained = (last.seq, last.hash) if last else (0, _BEFORE_FIRST)
    seals = []
    for row in connection.execute(unsealed(above, most)).mappings():
        seq += 1
        chained = _hash(chained, seq, dict(row))
        seals.append({"seq": seq, "escalation_id": row["id"], "hash": chained})
    insert(database, connection, escalation_seals, seals)
    return len(seals)


def unsealed(above: int, most: int) -> sa.Select[Any]:
    """Return the statement for rows without a seal and with an id above this one, in the order they are sealed."""
    return (
        sa.select(escalations)
        .outerjoin(escalation_seals, escalation_seals.c.escalation_id == escalations.c.id)
        .where(escalation_seals.c.seq.is_(None), escalations.c.id > above)
        # In the order of the log's own sequence: the clock may have been set back in between.
        .order_by(escalations.c.id)
        .limit(most)
    )


@dataclass(frozen=True)
class Verdict:
    """What checking the chain found: rows sealed, rows not yet sealed, and the first number that is wrong."""

    sealed: int
    unsealed: int
    broken_at: int | None


def verify(connection: Connection, *, last: int | None = None) -> Verdict:
    """Recompute the hashes of the chain from the rows: of all, or of the `last` so many."""
    total = connection.execute(sa.select(sa.func.count()).select_from(escalations)).scalar_one()
    newest = connection.execute(sa.select(sa.func.max(escalation_seals.c.seq))).scalar() or 0
    start = max(0, newest - last) if last is not None else 0
    expected, chained = start, _BEFORE_FIRST
    if start:
        chained = (
            connection.execute(
                sa.select(escalation_seals.c.hash).where(escalation_seals.c.seq == start)
            ).scalar_one_or_none()
            or ""
        )
    statement = (
        sa.select(escalations, escalation_seals.c.seq, escalation_seals.c.hash.label("sealed_hash"))
        .join(escalation_seals, escalation_seals.c.escalation_id == escalations.c.id)
        .where(escalation_seals.c.seq > start)
        .order_by(escalation_seals.c.seq)
    )
    for row in connection.execute(statement).mappings():
        expected += 1
        fact = {name: value for name, value in row.items() if name not in ("seq", "sealed_hash")}
        chained = _hash(chained, expected, fact)
        if row["seq"] != expected or row["sealed_hash"] != chained:
            return Verdict(expected - 1, total - expected + 1, expected)
    return Verdict(expected, total - expected, None)


@dataclass(frozen=True)
class Wanted:
    """Which rows to list; empty means all. Warnings (level 0) only when asked for.

    `still_open` leaves out what was answered since; `exhausted` leaves only the last row of clocks whose whole ladder
    was told and which nobody has answered. `since` is included, `until` is not.
    """

    ticket: str = ""
    person: str = ""
    office: str = ""
    kind: str = ""
    level: int | None = None
    after_seq: int | None = None
    warnings: bool = False
    still_open: bool = False
    exhausted: bool = False
    since: datetime | None = None
    until: datetime | None = None


def listed(connection: Connection, wanted: Wanted, *, most: int = 200) -> list[dict[str, Any]]:
    """Return rows of the log, newest first, with number, hash, and what came of them.

    `delivered` is True when every notice was, False while one is not, None when nobody was to be told; `answered`
    tells whether its clock has ended since.
    """
    its_clock = sa.and_(obligations.c.report_id == escalations.c.report_id, obligations.c.kind == escalations.c.kind)
    statement = (
        sa.select(escalations, escalation_seals.c.seq, escalation_seals.c.hash, (~_OPEN).label("answered"))
        .join(obligations, its_clock)
        .outerjoin(escalation_seals, escalation_seals.c.escalation_id == escalations.c.id)
        .order_by(escalations.c.id.desc())
        .limit(most)
        .where(*_conditions(wanted))
    )
    rows = [dict(row) for row in connection.execute(statement).mappings()]
    states = _notice_states(connection, [row["report_id"] for row in rows])
    for row in rows:
        row["notices"] = states.get((row["report_id"], row["cycle"], row["kind"], row["step"]), [])
        row["delivered"] = all(state == "delivered" for state in row["notices"]) if row["notices"] else None
    return rows


def _conditions(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    log = escalations.c
    of_office = sa.select(reports.c.report_id).where(reports.c.office == wanted.office)
    by_name: tuple[tuple[Any, Callable[[], sa.ColumnElement[bool]]], ...] = (
        (wanted.ticket, lambda: log.ticket == wanted.ticket),
        (wanted.kind, lambda: log.kind == wanted.kind),
        (wanted.person, lambda: sa.cast(log.told, sa.Text).like(f'%"{wanted.person}"%')),
        (wanted.office, lambda: log.report_id.in_(of_office)),
        (wanted.since, lambda: log.fired_at >= wanted.since),
        (wanted.until, lambda: log.fired_at < wanted.until),
        (wanted.after_seq is not None, lambda: escalation_seals.c.seq > wanted.after_seq),
        (wanted.level is not None, lambda: log.level == wanted.level),
        (wanted.level is None and not wanted.warnings, lambda: log.level > 0),
    )
    return [condition() for asked, condition in by_name if asked] + _open_ones(wanted)


#: Its clock still waits for an answer, in the cycle in which it fired.
_OPEN = sa.and_(obligations.c.cycle == escalations.c.cycle, obligations.c.state.in_(("running", "paused")))


def _open_ones(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    if wanted.exhausted:
        last = escalations.c.step == obligations.c.earlier_steps + obligations.c.step
        return [_OPEN, obligations.c.state == "running", obligations.c.next_due.is_(None), last]
    return [_OPEN] if wanted.still_open else []


def _notice_states(connection: Connection, report_ids: list[str]) -> dict[tuple[Any, ...], list[str]]:
    statement = sa.select(
        deliveries.c.report_id,
        deliveries.c.cycle,
        deliveries.c.kind,
        deliveries.c.step,
        deliveries.c.payload,
        deliveries.c.state,
    ).where(deliveries.c.report_id.in_(report_ids), deliveries.c.step.is_not(None))
    found: dict[tuple[Any, ...], list[str]] = {}
    for report_id, cycle, kind, last, payload, state in connection.execute(statement):
        for step in payload.get("steps", [last]):
            found.setdefault((report_id, cycle, kind, step), []).append(state)
    return found


def _hash(before: str, seq: int, row: dict[str, Any]) -> str:
    # A remark that is not there counts as no column: rows from before it existed keep their hash.
    known = {name: value for name, value in row.items() if name != "remark" or value is not None}
    fact = json.dumps(known | {"seq": seq}, sort_keys=True, default=_plain, separators=(",", ":"))
    return hashlib.sha256((before + fact).encode()).hexdigest()


def _plain(value: Any) -> str:
    return value.isoformat(timespec="microseconds") if hasattr(value, "isoformat") else str(value)
