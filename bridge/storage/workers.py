"""Who is at work: a line per running step, and figures that tell whether anybody is overlooked."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.storage.set_aside import heap
from bridge.storage.tables import deliveries, engine, obligations, outbox, workers
from bridge.storage.told import unheard

#: A worker not seen for so long has been replaced by another one: its line goes.
_GONE = timedelta(days=1)


def seen(connection: Connection, worker: str, step: str, now: datetime) -> None:
    """Say that a worker is alive; those long gone are forgotten."""
    values = {"step": step, "seen_at": now}
    if not connection.execute(sa.update(workers).where(workers.c.worker == worker).values(values)).rowcount:
        connection.execute(sa.insert(workers), [{"worker": worker, **values}])
        connection.execute(sa.delete(workers).where(workers.c.seen_at < now - _GONE))


@dataclass(frozen=True)
class Pulse:
    """Is anybody overlooked? Ages in seconds; `watcher_s` is None when no watcher was ever there.

    `given_up` counts what nobody heard: not what a person's next channel took over.
    """

    oldest_overdue_s: float
    watcher_s: float | None
    outbox: int
    outbox_age_s: float
    deliveries_open: int
    given_up: int
    aside: int
    aside_oldest_s: float
    exhausted: int


def pulse(connection: Connection, now: datetime) -> Pulse:
    """Return the figures of this moment."""
    overdue = connection.execute(sa.select(sa.func.min(obligations.c.next_due))).scalar()
    watcher = connection.execute(sa.select(engine.c.ticked_at)).scalar()
    oldest = connection.execute(sa.select(sa.func.min(outbox.c.available_at))).scalar()
    lies_aside = heap(connection)
    return Pulse(
        oldest_overdue_s=_age(now, overdue),
        watcher_s=_age(now, watcher) if watcher else None,
        outbox=_count(connection, outbox),
        outbox_age_s=_age(now, oldest),
        deliveries_open=_count(connection, deliveries, deliveries.c.finished_at.is_(None)),
        given_up=unheard(connection),
        aside=lies_aside.waiting,
        aside_oldest_s=_age(now, lies_aside.oldest_at),
        exhausted=_count(connection, obligations, obligations.c.state == "running", obligations.c.next_due.is_(None)),
    )


def _age(now: datetime, since: datetime | None) -> float:
    return max(0.0, (now - since).total_seconds()) if since else 0.0


def _count(connection: Connection, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(table).where(*conditions)).scalar_one()
