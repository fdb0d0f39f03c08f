"""The escalation log and the chain of hashes over it.

Rows are written by the transactions that fire; the seal (sequence number and hash) is written afterwards, in order,
by one sealer at a time, so that workers never queue behind the chain.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.chain import START, Broken, Head, Link, after, follow
from bridge.storage.database import Database
from bridge.storage.sets import insert
from bridge.storage.statements import among
from bridge.storage.tables import deliveries, escalation_seals, escalations, obligations, reports

_SEALER_LOCK = 8311_01
#: How many rows are read at once: what is in memory, however long the log.
PAGE = 1000
Row = dict[str, Any]
Rows = list[Row]


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
    at = head(connection)
    seals = []
    for row in connection.execute(unsealed(above, most)).mappings():
        at = after(at, dict(row))
        seals.append({"seq": at.seq, "escalation_id": row["id"], "hash": at.hash})
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


def head(connection: Connection) -> Head:
    """Return the newest number of the chain with its hash."""
    statement = sa.select(escalation_seals.c.seq, escalation_seals.c.hash).order_by(escalation_seals.c.seq.desc())
    found = connection.execute(statement.limit(1)).first()
    return Head(found.seq, found.hash) if found else START


def hash_at(connection: Connection, seq: int) -> str | None:
    """Return the hash of a number of the chain; None when there is no such number."""
    found = connection.execute(sa.select(escalation_seals.c.hash).where(escalation_seals.c.seq == seq)).scalar()
    return START.hash if seq == START.seq else found


@dataclass(frozen=True)
class Verdict:
    """What checking the chain found: rows whose chain holds, rows not yet sealed, the first number that is wrong.

    `head` is the last that holds. Rows and seals cut off together at the end leave no trace here: for that a head that
    was kept elsewhere is held against `hash_at`.
    """

    sealed: int
    unsealed: int
    broken_at: int | None
    head: Head


def verify(
    connection: Connection, *, last: int | None = None, progress: Callable[[int], object] = lambda _: None
) -> Verdict:
    """Recompute the hashes of the chain from the rows: of all, or of the `last` so many.

    Only the newest number can say how many rows there have to be: those that were deleted do not.
    """
    begins = max(0, head(connection).seq - last) if last is not None else 0
    start = at = Head(begins, hash_at(connection, begins) or "")
    broken_at = None
    try:
        for at in follow(_links(connection, begins), start):
            progress(at.seq)
    except Broken as broken:
        broken_at = broken.seq
    return Verdict(at.seq, count_unsealed(connection, begins), broken_at, at)


_SEALED = (
    # From the seals: a row that was deleted is missed by its seal.
    sa.select(escalation_seals.c.seq, escalation_seals.c.hash, escalations)
    .select_from(escalation_seals)
    .outerjoin(escalations, escalations.c.id == escalation_seals.c.escalation_id)
    .where(escalation_seals.c.seq > sa.bindparam("above"))
    .order_by(escalation_seals.c.seq)
    .limit(sa.bindparam("most"))
)


def _links(connection: Connection, above: int) -> Iterator[Link]:
    page = [Link(above, "", None)]
    while page:
        found = connection.execute(_SEALED, {"above": page[-1].seq, "most": PAGE}).mappings()
        page = [Link(row["seq"], row["hash"], _fact(row)) for row in found]
        yield from page


def _fact(row: sa.RowMapping) -> dict[str, Any] | None:
    return None if row["id"] is None else {name: value for name, value in row.items() if name not in ("seq", "hash")}


def count_unsealed(connection: Connection, after_seq: int = 0) -> int:
    """Return how many rows wait for their seal, of those that came after the row of this number."""
    its_id = sa.select(escalation_seals.c.escalation_id).where(escalation_seals.c.seq == after_seq).scalar_subquery()
    waiting = (
        sa.select(escalations.c.id)
        .outerjoin(escalation_seals, escalation_seals.c.escalation_id == escalations.c.id)
        .where(escalation_seals.c.seq.is_(None), escalations.c.id > sa.func.coalesce(its_id, 0))
    )
    return connection.execute(sa.select(sa.func.count()).select_from(waiting.subquery())).scalar_one()


@dataclass(frozen=True)
class Wanted:
    """Which rows to list; empty means all. Warnings (level 0) only when asked for.

    `still_open` leaves out what was answered since; `exhausted` leaves one row for each clock whose whole ladder was
    told and which nobody has answered, its last one, warnings included. `since` is included, `until` is not.
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
    tells whether its clock has ended since. An exhausted clock that left no row in the log has one here all the same,
    last, in which all is None that only a row would tell, `fired_at` too.
    """
    size = min(PAGE, most)
    pages = _in_pages(lambda last: _newest(connection, wanted, last, size), size)
    return list(islice(chain.from_iterable(pages), most))


def walk(database: Database, wanted: Wanted) -> Iterator[Rows]:
    """Yield what `listed` returns, all of it, in pages; between two of them no connection is held.

    Raises:
        DatabaseAway: cannot be reached.
    """
    return _walked(database, wanted, _newest)


def walk_chain(database: Database, wanted: Wanted) -> Iterator[Rows]:
    """Yield the same of rows that have their number, in its order: the oldest first.

    Raises:
        DatabaseAway: cannot be reached.
    """
    return _walked(database, wanted, _oldest)


def _walked(
    database: Database, wanted: Wanted, page_after: Callable[[Connection, Wanted, Row | None, int], Rows]
) -> Iterator[Rows]:
    def ask(last: Row | None) -> Rows:
        with database.read() as connection:
            return page_after(connection, wanted, last, PAGE)

    return _in_pages(ask, PAGE)


def _in_pages(ask: Callable[[Row | None], Rows], size: int) -> Iterator[Rows]:
    """Yield one page after the other, each asked for by the last row of the one before."""
    page = ask(None)
    while page:
        yield page
        page = ask(page[-1]) if len(page) == size else []


def _newest(connection: Connection, wanted: Wanted, last: Row | None, size: int) -> Rows:
    log = _exhausted() if wanted.exhausted else _whole()
    # NULLS LAST would keep PostgreSQL from walking the log's index; only among the exhausted ids are missing.
    order = (log.c.id.desc().nulls_last(), log.c.report_id, log.c.kind) if wanted.exhausted else (log.c.id.desc(),)
    statement = (
        sa.select(log, escalation_seals.c.seq, escalation_seals.c.hash)
        .outerjoin(escalation_seals, escalation_seals.c.escalation_id == log.c.id)
        .order_by(*order)
        .where(*_conditions(wanted, log.c), *_further(wanted, log.c, last))
    )
    if not wanted.exhausted or connection.dialect.name == "sqlite":
        return _with_notices(connection, statement.limit(size))
    # PostgreSQL takes them for far more than they are and would read all there is: it is told which they are.
    ids = list(connection.execute(_EXHAUSTED_IDS).scalars())
    return _with_notices(connection, statement.where(among(log.c.report_id, "exhausted")).limit(size), exhausted=ids)


def _further(wanted: Wanted, log: Any, last: Row | None) -> list[sa.ColumnElement[bool]]:
    if last is None:
        return []
    if last["id"] is None:
        return [log.id.is_(None), sa.tuple_(log.report_id, log.kind) > (last["report_id"], last["kind"])]
    older = log.id < last["id"]
    return [sa.or_(older, log.id.is_(None))] if wanted.exhausted else [older]


def _oldest(connection: Connection, wanted: Wanted, last: Row | None, size: int) -> Rows:
    log = _whole()
    further = [escalation_seals.c.seq > last["seq"]] if last else []
    statement = (
        sa.select(log, escalation_seals.c.seq, escalation_seals.c.hash)
        .join(escalation_seals, escalation_seals.c.escalation_id == log.c.id)
        .order_by(escalation_seals.c.seq)
        .where(*_conditions(wanted, log.c), *further)
    )
    return _with_notices(connection, statement.limit(size))


def _with_notices(connection: Connection, statement: sa.Select[Any], **given: list[str]) -> Rows:
    rows = [dict(row) for row in connection.execute(statement, given).mappings()]
    states = _notice_states(connection, {row["report_id"] for row in rows})
    for row in rows:
        row["told"] = row["told"] or []
        row["notices"] = states.get((row["report_id"], row["cycle"], row["kind"], row["step"]), [])
        row["delivered"] = all(state == "delivered" for state in row["notices"]) if row["notices"] else None
    return rows


_ITS_CLOCK = sa.and_(obligations.c.report_id == escalations.c.report_id, obligations.c.kind == escalations.c.kind)
#: Its clock still waits for an answer, in the cycle in which it fired.
_OPEN = sa.and_(obligations.c.cycle == escalations.c.cycle, obligations.c.state.in_(("running", "paused")))


def _whole() -> sa.Subquery:
    return sa.select(escalations, (~_OPEN).label("answered")).join(obligations, _ITS_CLOCK).subquery("log")


def _exhausted() -> sa.Subquery:
    """Return each exhausted clock with its last row: a clock that was moved may have passed steps that left none."""
    of_this_start = sa.and_(
        escalations.c.cycle == obligations.c.cycle, escalations.c.step > obligations.c.earlier_steps
    )
    last = sa.select(sa.func.max(escalations.c.step)).where(_ITS_CLOCK, of_this_start)
    its_last = sa.and_(
        _ITS_CLOCK,
        escalations.c.cycle == obligations.c.cycle,
        escalations.c.step == last.correlate(obligations).scalar_subquery(),
    )
    known = (obligations.c.report_id, reports.c.ticket, obligations.c.kind, obligations.c.cycle, _LEVEL)
    names = {column.name for column in known}
    return (
        sa.select(*known, *(c for c in escalations.c if c.name not in names), sa.false().label("answered"))
        .join(reports, reports.c.report_id == obligations.c.report_id)
        .outerjoin(escalations, its_last)
        .where(_IS_EXHAUSTED)
        .subquery("log")
    )


_IS_EXHAUSTED = sa.and_(obligations.c.state == "running", obligations.c.next_due.is_(None))
_EXHAUSTED_IDS = sa.select(obligations.c.report_id).where(_IS_EXHAUSTED).distinct()


_LEVEL = sa.func.coalesce(escalations.c.level, obligations.c.level).label("level")


def _conditions(wanted: Wanted, log: Any) -> list[sa.ColumnElement[bool]]:
    of_office = sa.select(reports.c.report_id).where(reports.c.office == wanted.office)
    # A ladder may end with a warning: of what is exhausted nothing is left out for its level.
    only_rungs = wanted.level is None and not wanted.warnings and not wanted.exhausted
    by_name: tuple[tuple[Any, Callable[[], sa.ColumnElement[bool]]], ...] = (
        (wanted.ticket, lambda: log.ticket == wanted.ticket),
        (wanted.kind, lambda: log.kind == wanted.kind),
        (wanted.person, lambda: sa.cast(log.told, sa.Text).like(f'%"{wanted.person}"%')),
        (wanted.office, lambda: log.report_id.in_(of_office)),
        (wanted.since, lambda: log.fired_at >= wanted.since),
        (wanted.until, lambda: log.fired_at < wanted.until),
        (wanted.after_seq is not None, lambda: escalation_seals.c.seq > wanted.after_seq),
        (wanted.level is not None, lambda: log.level == wanted.level),
        (only_rungs, lambda: log.level > 0),
        (wanted.still_open, lambda: ~log.answered),
    )
    return [condition() for asked, condition in by_name if asked]


_NOTICES = sa.select(
    deliveries.c.report_id,
    deliveries.c.cycle,
    deliveries.c.kind,
    deliveries.c.step,
    deliveries.c.payload,
    deliveries.c.state,
).where(among(deliveries.c.report_id, "report_ids"), deliveries.c.step.is_not(None))


def _notice_states(connection: Connection, report_ids: Collection[str]) -> dict[tuple[Any, ...], list[str]]:
    found: dict[tuple[Any, ...], list[str]] = {}
    asked = {"report_ids": list(report_ids)}
    for report_id, cycle, kind, last, payload, state in connection.execute(_NOTICES, asked):
        for step in payload.get("steps", [last]):
            found.setdefault((report_id, cycle, kind, step), []).append(state)
    return found
