"""Messages that must leave: taken in order, deleted once the queue has confirmed them."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.storage.database import Database
from bridge.storage.statements import among
from bridge.storage.tables import outbox

_DUE = (
    sa.select(outbox)
    .where(outbox.c.available_at <= sa.bindparam("now"))
    .order_by(outbox.c.available_at, outbox.c.id)
    .limit(sa.bindparam("most"))
)
_TAKE = (
    sa.delete(outbox)
    .where(outbox.c.id.in_(_DUE.with_only_columns(outbox.c.id).with_for_update(skip_locked=True)))
    .returning(outbox)
)
_FORGET = sa.delete(outbox).where(among(outbox.c.id, "ids"))
_NEXT_AT = sa.select(sa.func.min(outbox.c.available_at)).where(outbox.c.available_at > sa.bindparam("now"))


def claim(database: Database, connection: Connection, now: datetime, most: int) -> list[dict[str, Any]]:
    """Lock messages whose time has come, oldest first, leaving out what another relay holds."""
    statement = database.for_update(_DUE, skip_locked=True)
    rows = connection.execute(statement, {"now": now, "most": most}).mappings()
    return [dict(row) for row in rows]


def take(connection: Connection, now: datetime, most: int) -> list[dict[str, Any]]:
    """Delete what `claim` returns, and return it: until this transaction ends it is there for nobody else."""
    rows = [dict(row) for row in connection.execute(_TAKE, {"now": now, "most": most}).mappings()]
    return sorted(rows, key=lambda row: (row["available_at"], row["id"]))


def forget(connection: Connection, ids: list[int]) -> None:
    """Delete messages the queue has confirmed."""
    connection.execute(_FORGET, {"ids": ids})


def next_at(connection: Connection, now: datetime) -> datetime | None:
    """Return when the next message that waits for its time may leave, or None."""
    return connection.execute(_NEXT_AT, {"now": now}).scalar()


def depth(connection: Connection) -> int:
    """Return how many messages have not left yet."""
    return connection.execute(sa.select(sa.func.count()).select_from(outbox)).scalar_one()
