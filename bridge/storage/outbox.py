"""Messages that must leave: taken in order, deleted once the queue has confirmed them."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.storage.database import Database
from bridge.storage.tables import outbox


def claim(database: Database, connection: Connection, now: datetime, most: int) -> list[dict[str, Any]]:
    """Lock messages whose time has come, oldest first, leaving out what another relay holds."""
    statement = (
        sa.select(outbox).where(outbox.c.available_at <= now).order_by(outbox.c.available_at, outbox.c.id).limit(most)
    )
    rows = connection.execute(database.for_update(statement, skip_locked=True)).mappings()
    return [dict(row) for row in rows]


def forget(connection: Connection, ids: list[int]) -> None:
    """Delete messages the queue has confirmed."""
    connection.execute(sa.delete(outbox).where(outbox.c.id.in_(ids)))


def next_at(connection: Connection) -> datetime | None:
    """Return when the next message that waits for its time may leave, or None."""
    return connection.execute(sa.select(sa.func.min(outbox.c.available_at))).scalar()


def depth(connection: Connection) -> int:
    """Return how many messages have not left yet."""
    return connection.execute(sa.select(sa.func.count()).select_from(outbox)).scalar_one()
