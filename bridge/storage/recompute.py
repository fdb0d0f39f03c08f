"""Open clocks in bulk, for when a calendar or a policy changes: finding them, locking them, moving them."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.reports.clocks import ClockState, Kind, Obligation, Policy, changed
from bridge.reports.recompute import Change, Moved, Standing
from bridge.storage.database import Database
from bridge.storage.rows import pauses_of
from bridge.storage.statements import among
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
    obligations.c.state,
    reports.c.ticket,
    obligations.c.report_id,
    obligations.c.cycle,
    obligations.c.step,
    obligations.c.level,
    obligations.c.next_due,
    obligations.c.deadline_at,
    obligations.c.started_at,
    sa.cast(obligations.c.pauses, sa.Text),  # nearly always "[]", not worth decoding
    obligations.c.moved_at,
    obligations.c.earlier_steps,
).select_from(reports.join(obligations, _IS_OF))
_THESE = _CLOCKS.where(_OPEN, among(obligations.c.report_id, "ids")).order_by(
    obligations.c.report_id, obligations.c.kind
)

#: What a move changes of a clock.
_MOVES = ("next_due", "deadline_at", "policy_version", "calendar_version", "moved_at")
_KEY = ("report_id", "kind")
_MOVE_ONE = (
    sa.update(obligations)
    .where(*(obligations.c[name] == sa.bindparam(f"_{name}") for name in _KEY))
    .values({name: sa.bindparam(name) for name in _MOVES})
)
# PostgreSQL takes all rows in one statement, ten times as fast as one each: its locks are held the shorter.
_MOVE_ALL = sa.text(
    "WITH given AS (SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS one(report_id text, kind text, cycle int,"
    " next_due timestamptz, deadline_at timestamptz, policy_version text, calendar_version text, moved_at timestamptz,"
    " event text, data jsonb)), moved AS (UPDATE obligations AS o SET next_due = given.next_due,"
    " deadline_at = given.deadline_at, policy_version = given.policy_version,"
    " calendar_version = given.calendar_version, moved_at = given.moved_at"
    " FROM given WHERE o.report_id = given.report_id AND o.kind = given.kind)"
    " INSERT INTO history (report_id, cycle, event, actor, at, data)"
    " SELECT report_id, cycle, event, :actor, :now, data FROM given"
)

_BEGUN_LATER = (
    sa.select(revisions)
    .where(revisions.c.id > sa.bindparam("number"), revisions.c.what == sa.bindparam("what"))
    .order_by(revisions.c.id)
)


class OpenClock(NamedTuple):
    """A running or paused clock with what deciding on it needs."""

    ticket: str
    standing: Standing
    obligation: Obligation


def standings(connection: Connection) -> dict[Standing, int]:
    """Return what open clocks are counted by, and how many by each."""
    statement = sa.select(*_STANDING, sa.func.count()).join(reports, _IS_OF).where(_OPEN).group_by(*_STANDING)
    return {_standing(row[:5]): row[5] for row in connection.execute(statement)}


def report_ids(connection: Connection, change: Change) -> list[str]:
    """Return the reports with an open clock the change concerns, in the order they are locked in.

    One statement, so one moment: between two, another one may move a clock to a version the first has not seen.
    """
    ids = sa.func.aggregate_strings(reports.c.report_id, ",")
    statement = sa.select(*_STANDING, ids).join(reports, _IS_OF).where(_OPEN).group_by(*_STANDING)
    # Chosen and sorted here: the planner takes a version it has not counted yet for rare, and walks from row to row;
    # and a database sorts by its language's rules.
    rows = connection.execute(statement).all()
    return sorted({report_id for row in rows if change.targets(_standing(row[:5])) for report_id in row[5].split(",")})


def open_clocks(database: Database, connection: Connection, change: Change) -> Iterator[OpenClock]:
    """Yield all open clocks the change concerns, without locking them; see Database.stream."""
    is_concerned = cache(lambda standing: change.targets(standing) is not None)
    clocks = map(_clock, database.stream(connection, _CLOCKS.where(_OPEN)))
    return (clock for clock in clocks if is_concerned(clock.standing))


def need_not_be_on_disk(database: Database, connection: Connection) -> None:
    """Let this transaction's commit not wait for the disk: locks are released sooner; `finish` waits for them all."""
    if not database.is_sqlite:
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")


def finish(connection: Connection, number: int) -> None:
    """Write something after all batches: when this commit is on disk, so are they."""
    connection.execute(sa.update(revisions).where(revisions.c.id == number).values(at=revisions.c.at))


def lock_free(database: Database, connection: Connection, ids: Sequence[str]) -> list[OpenClock]:
    """Lock those of the reports nobody holds, with those of their open clocks nobody holds; never waits."""
    # The report before its clock, as _CLOCKS names them: who holds the report must never find us on its clock.
    locked = database.for_update(_THESE, skip_locked=True)
    return [_clock(row) for row in connection.execute(locked, {"ids": ids}).all()]


def fired_at(connection: Connection, clock: Obligation) -> datetime | None:
    """Return when the last fired step of the clock's cycle fired; None when none did."""
    log = escalations.c
    statement = sa.select(log.fired_at).where(
        log.report_id == clock.report_id,
        log.kind == clock.kind,
        log.cycle == clock.cycle,
        log.step == clock.next_number - 1,
    )
    return connection.execute(statement).scalar()


def write_moves(
    database: Database, connection: Connection, moves: Iterable[Moved], *, reason: str, actor: str, now: datetime
) -> None:
    """Move the clocks, which the caller has locked, and note each in the history."""
    if database.is_sqlite:
        _move_one_by_one(connection, list(moves), reason, actor, now)
    elif rows := [_move_row(moved, reason) for moved in moves]:
        connection.execute(_MOVE_ALL, {"rows": json.dumps(rows), "actor": actor, "now": now})


def _move_row(moved: Moved, reason: str) -> dict[str, Any]:
    """Return a row of _MOVE_ALL in plain JSON values; no instant is written as text twice."""
    after = moved.after
    data = moved.noted(reason)
    return {
        "report_id": after.report_id,
        "kind": after.kind,
        "cycle": after.cycle,
        "next_due": data["next_now"] if "next_now" in data else _text(after.next_due),
        "deadline_at": data.get("deadline_now") or _text(after.deadline_at),
        "policy_version": after.policy_version,
        "calendar_version": after.calendar_version,
        "moved_at": _same_text(after.moved_at),
        "event": moved.event,
        "data": data,
    }


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


_same_text = lru_cache(10)(_text)  # nearly all are moved at one moment


def _move_one_by_one(connection: Connection, moves: Sequence[Moved], reason: str, actor: str, now: datetime) -> None:
    rows = [vars(moved.after) for moved in moves]
    keyed = ({name: row[name] for name in _MOVES} | {f"_{name}": row[name] for name in _KEY} for row in rows)
    if rows:
        connection.execute(_MOVE_ONE, list(keyed))
    lines = [
        {"report_id": row["report_id"], "cycle": row["cycle"], "event": moved.event, "actor": actor, "at": now}
        | {"data": moved.noted(reason)}
        for moved, row in zip(moves, rows, strict=True)
    ]
    if lines:
        connection.execute(sa.insert(history), lines)


def keep_policies(database: Database, connection: Connection, policies: Iterable[Policy], *, now: datetime) -> None:
    """Store policies that clocks now keep; what is there already stays."""
    # In one order: two who store the same ones at once wait for each other, and never both.
    rows = [
        {"version": p.version, "what": "policy", "definition": p.definition(), "first_used_at": now}
        for p in sorted(policies, key=lambda policy: policy.version)
    ]
    database.insert_new(connection, versions, rows)


def begin(connection: Connection, what: str, targets: dict[str, str], *, reason: str, actor: str, now: datetime) -> int:
    """Write down what is being applied: versions by name; returns its number."""
    row = {"what": what, "versions": targets, "reason": reason, "actor": actor, "at": now}
    return int(connection.execute(sa.insert(revisions).returning(revisions.c.id), row).scalar_one())


def begun_later(connection: Connection, number: int, what: str) -> list[dict[str, Any]]:
    """Return what was begun after that, oldest first."""
    found = connection.execute(_BEGUN_LATER, {"number": number, "what": what}).mappings()
    return [dict(row) for row in found]


def concerned(found: Iterable[Standing], change: Change) -> list[Standing]:
    """Return those the change concerns."""
    return [standing for standing in found if change.targets(standing)]


@lru_cache(1000)  # there are few, and many clocks
def _standing(row: tuple[str, str, str, str, str]) -> Standing:
    return Standing(row[0], row[1], Kind(row[2]), row[3], row[4])


@lru_cache(1000)
def _blank(shared: tuple[str, str, str, str, str, str]) -> tuple[Standing, Obligation]:
    """Return the standing of clocks that share it and a state, and one such clock, to be filled in."""
    standing, state, ever = _standing(shared[:5]), shared[5], datetime.min.replace(tzinfo=UTC)
    versions_held = (standing.policy_version, standing.calendar_version)
    return standing, Obligation("", standing.kind, 1, ClockState(state), 0, 0, None, ever, ever, (), *versions_held)


def _clock(row: Any) -> OpenClock:
    office, policies, kind, policy_version, calendar_version, state, *own = row
    ticket, report_id, cycle, step, level, next_due, deadline_at, started_at, pauses, moved_at, earlier = own
    standing, blank = _blank((office, policies, kind, policy_version, calendar_version, state))
    obligation = changed(blank)
    # One by one: less than half the work of calling by these names.
    fields = obligation.__dict__
    fields["report_id"], fields["cycle"], fields["step"], fields["level"] = report_id, cycle, step, level
    fields["next_due"], fields["deadline_at"], fields["started_at"] = next_due, deadline_at, started_at
    fields["moved_at"], fields["earlier_steps"] = moved_at, earlier
    if pauses != "[]":
        fields["pauses"] = pauses_of(json.loads(pauses))
    return OpenClock(ticket, standing, obligation)
