"""Webhooks as they came, byte for byte, their ids remembered for good."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.storage.database import Database
from bridge.storage.sets import Writes
from bridge.storage.statements import among, into
from bridge.storage.tables import CLOCK, webhooks

_EARLY_LOCK = 8311_02
_TURN = sa.select(sa.func.pg_advisory_xact_lock_shared(_EARLY_LOCK), CLOCK)
_TURN_ALONE = sa.select(sa.func.pg_advisory_xact_lock(_EARLY_LOCK), CLOCK)
_KNOWN = sa.select(webhooks.c.source, webhooks.c.webhook_id, webhooks.c.sha256).where(
    sa.tuple_(webhooks.c.source, webhooks.c.webhook_id).in_(sa.bindparam("keys", expanding=True))
)
_WAITS = sa.and_(among(webhooks.c.report_id, "ids"), webhooks.c.effect == "waiting")
_WAITING = sa.select(webhooks).where(_WAITS).order_by(webhooks.c.happened_at)
_SETTLE = sa.update(webhooks).where(_WAITS).values(effect=sa.bindparam("became"))


def take_turn(database: Database, connection: Connection, *, alone: bool) -> datetime:
    """Let no event that comes before its report miss it: two open transactions do not see each other's rows.

    Batches share the turn, but one that holds such an event has it alone, until its transaction ends. Returns when
    the turn came, by the database's clock.
    """
    if database.is_sqlite:
        return database.now(connection)
    at: datetime = connection.execute(_TURN_ALONE if alone else _TURN).one()[1]
    return at


def known(connection: Connection, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the sha256 of each (source, webhook_id) that was seen before."""
    rows = connection.execute(_KNOWN, {"keys": keys})
    return {(source, webhook_id): sha256 for source, webhook_id, sha256 in rows}


def waiting(connection: Connection, report_ids: Collection[str]) -> list[dict[str, Any]]:
    """Return the events that came before their report, oldest first."""
    if not report_ids:
        return []
    return [dict(row) for row in connection.execute(_WAITING, {"ids": report_ids}).mappings()]


def remember(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Keep webhooks; raises Conflict (from the transaction) when an id was taken meanwhile."""
    if rows:
        connection.execute(into(webhooks), list(rows))


def put_into(writes: Writes, rows: Sequence[dict[str, Any]]) -> None:
    """Keep webhooks together with what they did; see remember."""
    writes.insert(webhooks, rows)


def settle_waiting(connection: Connection, report_ids: Collection[str], effect: str) -> None:
    """Say what became of the events that had waited for these reports."""
    if report_ids:
        connection.execute(_SETTLE, {"ids": report_ids, "became": effect})


def named_alike(connection: Connection, report_id: str, begins: str) -> list[dict[str, Any]]:
    """Return a report's webhooks whose ids begin so, oldest first."""
    mine = (webhooks.c.report_id == report_id) & webhooks.c.webhook_id.startswith(begins, autoescape=True)
    statement = sa.select(webhooks).where(mine).order_by(webhooks.c.received_at, webhooks.c.webhook_id)
    return [dict(row) for row in connection.execute(statement).mappings()]


def key_of(connection: Connection, source: str, webhook_id: str, sha256: str) -> str:
    """Return which of the source's keys matched a webhook with this very body; empty if that was not kept."""
    mine = (webhooks.c.source == source) & (webhooks.c.webhook_id == webhook_id) & (webhooks.c.sha256 == sha256)
    return connection.execute(sa.select(webhooks.c.key_id).where(mine)).scalar() or ""
