"""What lies aside for a person: kept whole and sealed, with what was decided about it, by whom and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.reports.setting_aside import Did, State
from bridge.storage.database import Database
from bridge.storage.tables import set_aside, set_aside_decisions


class NothingAside(LookupError):
    """Nothing set aside has this number."""


@dataclass(frozen=True)
class Heap:
    """How much waits for a person, and since when the oldest does."""

    waiting: int
    oldest_at: datetime | None


def put(database: Database, connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Keep what a person must look at; the same thing set aside twice is one line."""
    database.insert_new(connection, set_aside, [{"state": State.WAITING, **row} for row in rows])


def listed(connection: Connection, state: str = State.WAITING, *, most: int = 500) -> list[dict[str, Any]]:
    """Return what lies aside in a state, or in any if it is empty; oldest first, without the bodies."""
    columns = [c for c in set_aside.c if c.name not in ("body", "mended")]
    statement = sa.select(*columns).order_by(set_aside.c.id).limit(most)
    if state:
        statement = statement.where(set_aside.c.state == state)
    return [dict(row) for row in connection.execute(statement).mappings()]


def heap(connection: Connection) -> Heap:
    """Return what waits."""
    figures = sa.select(sa.func.count(), sa.func.min(set_aside.c.received_at))
    count, oldest = connection.execute(figures.where(set_aside.c.state == State.WAITING)).one()
    return Heap(count, oldest)


def one(connection: Connection, number: int) -> dict[str, Any]:
    """Return one, with its body.

    Raises:
        NothingAside: there is none.
    """
    return _one(connection, number, sa.select(set_aside))


def lock(database: Database, connection: Connection, number: int) -> dict[str, Any]:
    """Return one and let nobody else decide about it until the transaction ends.

    Raises:
        NothingAside: there is none.
    """
    return _one(connection, number, database.for_update(sa.select(set_aside)))


def _one(connection: Connection, number: int, statement: sa.Select[Any]) -> dict[str, Any]:
    row = connection.execute(statement.where(set_aside.c.id == number)).mappings().first()
    if row is None:
        raise NothingAside(number)
    return dict(row)


def decisions(connection: Connection, number: int) -> list[dict[str, Any]]:
    """Return what was decided about one, oldest first."""
    mine = sa.select(set_aside_decisions).where(set_aside_decisions.c.set_aside_id == number)
    return [dict(row) for row in connection.execute(mine.order_by(set_aside_decisions.c.id)).mappings()]


def decided(
    connection: Connection, number: int, did: Did, state: State, *, actor: str, reason: str, at: datetime
) -> None:
    """Write a decision; the caller holds the lock."""
    connection.execute(sa.update(set_aside).where(set_aside.c.id == number).values(state=state))
    row = {"set_aside_id": number, "did": did, "reason": reason.strip(), "actor": actor, "at": at}
    connection.execute(sa.insert(set_aside_decisions), [row])


def keep_mended(connection: Connection, number: int, sealed: bytes) -> None:
    """Keep what a person made of it; the original stays as it came. The caller holds the lock."""
    connection.execute(sa.update(set_aside).where(set_aside.c.id == number).values(mended=sealed))


def take_back(connection: Connection, failed: Mapping[int, list[str]]) -> set[int]:
    """Let what was released and failed again wait again, for these reasons; returns the numbers that wait now."""
    for number in sorted(failed):  # in one order, so that two batches never wait for each other
        released = (set_aside.c.id == number) & (set_aside.c.state == State.RELEASED)
        again = {"state": State.WAITING, "reasons": failed[number]}
        connection.execute(sa.update(set_aside).where(released).values(again))
    if not failed:
        return set()
    waiting = sa.select(set_aside.c.id).where(set_aside.c.id.in_(failed), set_aside.c.state == State.WAITING)
    return set(connection.execute(waiting).scalars())
