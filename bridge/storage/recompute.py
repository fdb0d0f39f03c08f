"""Open clocks in bulk, for when a calendar or a policy changes: finding them, locking them, moving them."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.reports.clocks import ClockState, Kind, Obligation, Policy
from bridge.reports.recompute import Change, Moved, Standing
from bridge.storage.database import Database
from bridge.storage.rows import pauses_of
from bridge.storage.tables import escalations, history, obligations, reports, revisions, versions

_OPEN = obligations.c.state.in_(("running", "paused"))
_STANDING = (
    reports.c.office,
    reports.c.policy,
    obligations.c.kind,
    obligations.c.policy_version,
    obligations.c.calendar_version,
)
_IS_OF = reports.c.report_id == obligations.c.report_id
_CLOCKS = sa.select(
    *_STANDING,
    reports.c.ticket,
    obligations.c.report_id,
    obligations.c.cycle,
    obligations.c.state,
    obligations.c.step,
    obligations.c.level,
    obligations.c.next_due,
    obligations.c.deadline_at,
    obligations.c.started_at,
    sa.cast(obligations.c.pauses, sa.Text),  # nearly always "[]", not worth decoding
    obligations.c.moved_at,
).join(reports, _IS_OF)
_AT_ONCE = 2000

#: What a move changes of a clock.
_MOVES = ("next_due", "deadline_at", "policy_version", "calendar_version", "moved_at")
_MOVE_ONE = (
    sa.update(obligations)
    .where(obligations.c.report_id == sa.bindparam("_report_id"), obligations.c.kind == sa.bindparam("_kind"))
    .values({name: sa.bindparam(name) for name in _MOVES})
)
# PostgreSQL takes all rows in one statement, ten times as fast as one each: its locks are held the shorter.
_MOVE_ALL = sa.text(
    "UPDATE obligations AS o SET next_due = n.next_due, deadline_at = n.deadline_at, policy_version = n.policy_version,"
    " calendar_version = n.calendar_version, moved_at = n.moved_at"
    " FROM json_to_recordset(CAST(:rows AS json)) AS n(report_id text, kind text, next_due timestamptz,"
    " deadline_at timestamptz, policy_version text, calendar_version text, moved_at timestamptz)"
    " WHERE o.report_id = n.report_id AND o.kind = n.kind"
)
_NOTE_ALL = sa.text(
    "INSERT INTO history (report_id, cycle, event, actor, at, data)"
    " SELECT n.report_id, n.cycle, n.event, n.actor, n.at, n.data"
    " FROM json_to_recordset(CAST(:rows AS json))"
    " AS n(report_id text, cycle int, event text, actor text, at timestamptz, data jsonb)"
)
_KINDS = {kind.value: kind for kind in Kind}
_STATES = {state.value: state for state in ClockState}


@dataclass(frozen=True)
class OpenClock:
    """A running or paused clock with what deciding on it needs."""

    ticket: str
    standing: Standing
    obligation: Obligation


def standings(connection: Connection) -> dict[Standing, int]:
    """Return what open clocks are counted by, and how many by each."""
    statement = sa.select(*_STANDING, sa.func.count()).join(reports, _IS_OF).where(_OPEN).group_by(*_STANDING)
    return {_standing(row): row[5] for row in connection.execute(statement)}


def report_ids(connection: Connection, change: Change) -> list[str]:
    """Return the reports with an open clock the change concerns, in the order they are locked in.

    One statement, so one moment: between two, another one may move a clock to a version the first has not seen.
    """
    statement = sa.select(*_STANDING, reports.c.report_id).join(obligations, _IS_OF).where(_OPEN)
    is_concerned = _remembered(change)
    # Chosen and sorted here: the planner takes a version it has not counted yet for rare, and walks from row to row;
    # and a database sorts by its language's rules.
    return sorted({row[5] for row in connection.execute(statement) if is_concerned(_standing(row))})


def open_clocks(connection: Connection, change: Change) -> Iterator[OpenClock]:
    """Yield all open clocks the change concerns, without locking them."""
    is_concerned = _remembered(change)
    rows = connection.execute(_CLOCKS.where(_OPEN).execution_options(yield_per=_AT_ONCE))
    for part in rows.partitions():
        yield from (clock for clock in map(_clock, part) if is_concerned(clock.standing))


def need_not_be_on_disk(database: Database, connection: Connection) -> None:
    """Let this transaction's commit not wait for the disk: locks are released sooner; `finish` waits for them all."""
    if not database.is_sqlite:
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")


def finish(connection: Connection, number: int) -> None:
    """Write something after all batches: when this commit is on disk, so are they."""
    connection.execute(sa.update(revisions).where(revisions.c.id == number).values(at=revisions.c.at))


def lock_free(database: Database, connection: Connection, ids: Sequence[str]) -> list[OpenClock]:
    """Lock those of the reports nobody holds, then those of their open clocks nobody holds; never waits."""
    held = sa.select(reports.c.report_id).where(reports.c.report_id.in_(ids)).order_by(reports.c.report_id)
    free = connection.execute(database.for_update(held, skip_locked=True)).scalars().all()
    statement = _CLOCKS.where(_OPEN, obligations.c.report_id.in_(free))
    statement = statement.order_by(obligations.c.report_id, obligations.c.kind)
    return [_clock(row) for row in connection.execute(database.for_update(statement, skip_locked=True))]


def fired_at(connection: Connection, clock: Obligation) -> datetime | None:
    """Return when the last fired step of the clock's cycle fired; None when none did."""
    log = escalations.c
    statement = sa.select(log.fired_at).where(
        log.report_id == clock.report_id, log.kind == clock.kind, log.cycle == clock.cycle, log.step == clock.step
    )
    return connection.execute(statement).scalar()


def write_moves(
    database: Database, connection: Connection, moves: Iterable[Moved], *, reason: str, actor: str, now: datetime
) -> None:
    """Move the clocks, which the caller has locked, and note in the history whichever changes its times."""
    rows = [{name: getattr(moved.after, name) for name in ("report_id", "kind", *_MOVES)} for moved in moves]
    lines = [
        {
            "report_id": moved.after.report_id,
            "cycle": moved.after.cycle,
            "event": "due_moved",
            "actor": actor,
            "at": now,
            "data": moved.noted(reason),
        }
        for moved in moves
        if moved.moves
    ]
    if not database.is_sqlite:
        connection.execute(_MOVE_ALL, {"rows": json.dumps(rows, default=datetime.isoformat)})
        connection.execute(_NOTE_ALL, {"rows": json.dumps(lines, default=datetime.isoformat)})
        return
    if rows:
        connection.execute(_MOVE_ONE, [{**row, "_report_id": row["report_id"], "_kind": row["kind"]} for row in rows])
    if lines:
        connection.execute(sa.insert(history), lines)


def keep_policies(database: Database, connection: Connection, policies: Iterable[Policy], *, now: datetime) -> None:
    """Store policies that clocks now keep; what is there already stays."""
    rows = [
        {"version": p.version, "what": "policy", "definition": p.definition(), "first_used_at": now} for p in policies
    ]
    database.insert_new(connection, versions, rows)


def begin(connection: Connection, what: str, targets: dict[str, str], *, reason: str, actor: str, now: datetime) -> int:
    """Write down what is being applied: versions by name; returns its number."""
    row = {"what": what, "versions": targets, "reason": reason, "actor": actor, "at": now}
    return int(connection.execute(sa.insert(revisions).returning(revisions.c.id), row).scalar_one())


def begun_later(connection: Connection, number: int, what: str) -> list[dict[str, Any]]:
    """Return what was begun after that, oldest first."""
    statement = sa.select(revisions).where(revisions.c.id > number, revisions.c.what == what)
    return [dict(row) for row in connection.execute(statement.order_by(revisions.c.id)).mappings()]


def concerned(found: Iterable[Standing], change: Change) -> list[Standing]:
    """Return those the change concerns."""
    return [standing for standing in found if change.targets(standing)]


def _remembered(change: Change) -> Callable[[Standing], bool]:
    """Return whether the change concerns a standing, decided once for each: there are few, and many clocks."""
    return cache(lambda standing: change.targets(standing) is not None)


def _standing(row: Sequence[Any]) -> Standing:
    return Standing(row[0], row[1], _KINDS[row[2]], row[3], row[4])


def _clock(row: Any) -> OpenClock:
    standing = _standing(row)
    ticket, report_id, cycle, state, step, level, next_due, deadline_at, started_at, pauses, moved_at = row[5:]
    obligation = Obligation(
        report_id,
        standing.kind,
        cycle,
        _STATES[state],
        step,
        level,
        next_due,
        deadline_at,
        started_at,
        () if pauses == "[]" else pauses_of(json.loads(pauses)),
        standing.policy_version,
        standing.calendar_version,
        moved_at=moved_at,
    )
    return OpenClock(ticket, standing, obligation)
