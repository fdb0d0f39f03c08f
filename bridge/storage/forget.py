"""Emptying whatever else holds a report's words: webhooks, what lies aside, what was told, what it was like."""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.reports.setting_aside import Did, State, Why
from bridge.storage.tables import deliveries, likenesses, set_aside, set_aside_decisions, webhooks

#: What sentences a callback holds; the rest of a payload is codes and times, which the log and the auditor read.
_SENTENCES = ("message", "next_step")


def empty_webhooks(connection: Connection, report_id: str) -> int:
    """Empty the bodies of a report's webhooks, their ids and hashes stay; returns how many."""
    statement = sa.update(webhooks).where(webhooks.c.report_id == report_id, webhooks.c.body != b"")
    return connection.execute(statement.values(body=b"")).rowcount


def drop_sentences(connection: Connection, report_id: str) -> None:
    """Take the sentences out of what the city has been told; what is still to be told keeps its own."""
    mine = (deliveries.c.report_id == report_id, deliveries.c.finished_at.is_not(None))
    statement = sa.select(deliveries.c.delivery_id, deliveries.c.payload).where(*mine)
    for delivery_id, payload in connection.execute(statement).all():
        bare = {name: value for name, value in payload.items() if name not in _SENTENCES}
        if bare != payload:
            this = deliveries.c.delivery_id == delivery_id
            connection.execute(sa.update(deliveries).where(this).values(payload=bare))


def drop_likenesses(connection: Connection, report_id: str) -> None:
    """Forget what the report was found like, and what was found like it."""
    mine = sa.or_(likenesses.c.report_id == report_id, likenesses.c.like_id == report_id)
    connection.execute(sa.delete(likenesses).where(mine))


def aside_of(connection: Connection, source: str) -> Iterator[dict[str, Any]]:
    """Yield what lies aside with a body and may be of this source: its own webhooks, and dead letters."""
    may_be = sa.or_(set_aside.c.source == source, set_aside.c.why == Why.DEAD_LETTER)
    ids = connection.execute(sa.select(set_aside.c.id).where(may_be, set_aside.c.body != b"")).scalars().all()
    for number in sorted(ids):  # one body in memory at a time
        row = connection.execute(sa.select(set_aside).where(set_aside.c.id == number)).mappings().one()
        yield dict(row)


def empty_aside(connection: Connection, ids: Collection[int], *, actor: str, reason: str, at: datetime) -> None:
    """Empty what lies aside, and the webhooks it came as; what still waited is discarded with the reason."""
    these = set_aside.c.id.in_(ids)
    twins = sa.select(set_aside.c.source, set_aside.c.webhook_id, set_aside.c.sha256).where(these)
    key = sa.tuple_(webhooks.c.source, webhooks.c.webhook_id, webhooks.c.sha256)
    connection.execute(sa.update(webhooks).where(key.in_(twins)).values(body=b""))
    waiting = (
        connection.execute(sa.select(set_aside.c.id).where(these, set_aside.c.state == State.WAITING)).scalars().all()
    )
    decided = {"did": Did.DISCARDED, "actor": actor, "reason": reason, "at": at}
    if waiting:
        connection.execute(sa.insert(set_aside_decisions), [{"set_aside_id": one, **decided} for one in waiting])
        connection.execute(sa.update(set_aside).where(set_aside.c.id.in_(waiting)).values(state=State.DISCARDED))
    connection.execute(sa.update(set_aside).where(these).values(body=b"", mended=None))
