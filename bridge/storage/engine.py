"""The engine's own row: which version of it may work, whether it is held, and what the auditor found."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.reports.findings import Finding
from bridge.reports.guard import Engine
from bridge.storage.database import Database
from bridge.storage.migrate import ENGINE_LOCK, NotMigrated
from bridge.storage.tables import engine, history, obligations

#: The engine of this code. A migration after which older workers would do harm raises it here and in the row.
ENGINE_VERSION = 2
_MINE = engine.c.name == "clocks"
#: How far obligations are counted, one attempt after the other, until the share is certain.
_COUNTED = (10_000, 100_000, 1_000_000, 10_000_000)


class OtherVersion(NotMigrated):
    """The database was made ready for another version of the engine; this one must not fire."""


def read(connection: Connection) -> Engine:
    """Return the row.

    Raises:
        NotMigrated: there is none.
    """
    row = connection.execute(sa.select(engine).where(_MINE)).mappings().first()
    if row is None:
        raise NotMigrated("the engine's row is missing; run: bridge migrate")
    facts = {name: value for name, value in row.items() if name not in ("name", "findings")}
    return Engine(**facts, findings=tuple(row["findings"]))


def enter(database: Database, connection: Connection) -> Engine:
    """Return the row as it stays until this tick's transaction ends: who holds the engine waits for it, ticks do not.

    Raises:
        OtherVersion: another version of the engine is to work.
        NotMigrated: the row is missing.
    """
    if not database.is_sqlite:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock_shared(ENGINE_LOCK)))
    found = read(connection)
    if found.version != ENGINE_VERSION:
        raise OtherVersion(
            f"the database is ready for version {found.version} of the clocks, this is version {ENGINE_VERSION}; "
            "start the other version, or run: bridge migrate"
        )
    return found


def hold(connection: Connection, why: str, *, now: datetime, until: datetime | None = None) -> bool:
    """Hold the engine because of `who: reason`; returns False when a hold that is no shorter is there already."""
    free = engine.c.held_since.is_(None)
    statement = sa.update(engine).where(_MINE, free if until else sa.or_(free, engine.c.held_until.is_not(None)))
    values = {"held_since": now, "held_until": until, "held_why": why}
    return connection.execute(statement.values(values)).rowcount == 1


def hold_for_good(database: Database, connection: Connection, why: str, *, now: datetime) -> None:
    """Hold the engine until it is released, in place of any hold there is; waits for the ticks under way."""
    if not database.is_sqlite:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ENGINE_LOCK)))
    values = {"held_since": now, "held_until": None, "held_why": why}
    connection.execute(sa.update(engine).where(_MINE).values(values))


def let_go(connection: Connection, held_since: datetime) -> bool:
    """End this hold and let through what has gathered; returns False when it is not there any more."""
    statement = sa.update(engine).where(_MINE, engine.c.held_since == held_since)
    return connection.execute(statement.values(held_since=None, held_until=None)).rowcount == 1


def forget_hold(connection: Connection) -> None:
    """Forget a hold that has ended: what had gathered is through."""
    connection.execute(sa.update(engine).where(_MINE, engine.c.held_since.is_(None)).values(held_why=None))


def ticked(connection: Connection, now: datetime) -> None:
    """Say that a watcher of this version is alive."""
    connection.execute(sa.update(engine).where(_MINE).values(ticked_at=now))


def audited(connection: Connection, found: Sequence[Finding], now: datetime) -> None:
    """Write down what the auditor found."""
    values = {"audited_at": now, "findings": [finding.as_json() for finding in found]}
    connection.execute(sa.update(engine).where(_MINE).values(values))


def due(connection: Connection, now: datetime, most: int) -> int:
    """Return how many obligations are due, counting no further than `most`."""
    return _counted(connection, obligations.c.next_due <= now, most)


def backlog(connection: Connection, now: datetime, enough_later: Callable[[int], int]) -> tuple[int, int]:
    """Return how many obligations are due and how many fall due later, counted until their ratio is certain.

    `enough_later` says how many later ones are enough for so many due. Reads no more index entries than the smaller
    side asks for; beyond ten millions on both sides it gives up, and the ratio looks plausible.
    """
    later = now_due = 0
    for most in _COUNTED:
        now_due = due(connection, now, most)
        enough = enough_later(now_due)
        later = _counted(connection, obligations.c.next_due > now, enough)
        if now_due < most or later < enough:
            break
    return now_due, later


def last_stuck(connection: Connection, report_id: str, actor: str) -> dict[str, Any] | None:
    """Return what was noted when this clock of a report was put off last, or None."""
    statement = (
        sa.select(history.c.cycle, history.c.data)
        .where(history.c.report_id == report_id, history.c.event == "clock_stuck", history.c.actor == actor)
        .order_by(history.c.id.desc())
        .limit(1)
    )
    row = connection.execute(statement).first()
    return {"cycle": row.cycle, **row.data} if row else None


def stuck(connection: Connection, most: int) -> list[datetime]:
    """Return since when running clocks are put off that could not be computed, one instant each.

    Looks at the newest `most` notes of such clocks. A clock whose due time is not the one it was put off to has fired,
    was moved or was set right since.
    """
    notes = sa.select(history).where(history.c.event == "clock_stuck").order_by(history.c.id.desc()).limit(most)
    noted = notes.subquery()
    its_clock = sa.and_(
        obligations.c.report_id == noted.c.report_id,
        obligations.c.cycle == noted.c.cycle,
        noted.c.actor == sa.literal("clock:").concat(obligations.c.kind),
        obligations.c.next_due.is_not(None),  # only what runs is due
    )
    statement = sa.select(noted.c.at, noted.c.data, obligations.c.next_due).join(obligations, its_clock)
    rows = connection.execute(statement).all()
    return [row.at for row in rows if row.next_due == row.at + timedelta(seconds=row.data["wait_s"])]


def _counted(connection: Connection, condition: sa.ColumnElement[bool], most: int) -> int:
    # In order, so that PostgreSQL walks the index and stops, and does not collect all that match before it counts.
    some = sa.select(obligations.c.next_due).where(condition).order_by(obligations.c.next_due).limit(most).subquery()
    return connection.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()
