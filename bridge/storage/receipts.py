"""What was accepted from a source: one receipt, or those of a span in a fixed order. Bodies stay where they are."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.storage.tables import reports, set_aside, webhooks

#: Rows fetched at a time where many are walked through.
_FETCHED = 2000


@dataclass(frozen=True)
class Span:
    """Received at `since` or later and before `until`; None on either side: no end there."""

    since: datetime | None = None
    until: datetime | None = None

    def __contains__(self, at: datetime) -> bool:
        return (self.since is None or self.since <= at) and (self.until is None or at < self.until)


def one(connection: Connection, source: str, webhook_id: str) -> dict[str, Any] | None:
    """Return the receipt of a webhook, or None when this database has not seen it."""
    row = connection.execute(_receipts(source).where(webhooks.c.webhook_id == webhook_id)).mappings().first()
    return dict(row) if row else None


def other_bodies(connection: Connection, source: str, webhook_ids: Collection[str]) -> list[dict[str, Any]]:
    """Return the bodies that came under ids which had come with another body before; they all lie aside."""
    columns = (set_aside.c.webhook_id, set_aside.c.sha256, set_aside.c.received_at, set_aside.c.state.label("aside"))
    statement = sa.select(*columns).where(
        set_aside.c.source == source, set_aside.c.webhook_id.in_(webhook_ids), set_aside.c.why == "id_reused"
    )
    return [dict(row) for row in connection.execute(statement.order_by(set_aside.c.id)).mappings()]


def several(connection: Connection, source: str, webhook_ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return the receipts of these webhooks by id, without those nobody has seen."""
    rows = connection.execute(_receipts(source).where(webhooks.c.webhook_id.in_(webhook_ids))).mappings()
    return {row["webhook_id"]: dict(row) for row in rows}


def in_order(
    connection: Connection,
    source: str,
    span: Span,
    *,
    after: tuple[datetime, str] | None = None,
    most: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the receipts of a span by (received_at, webhook_id), those behind `after`, as they are asked for."""
    name = _bytewise(connection)
    statement = _receipts(source).where(*_within(span)).order_by(webhooks.c.received_at, name).limit(most)
    if after is not None:
        at, webhook_id = after
        later = sa.or_(webhooks.c.received_at > at, name > webhook_id)
        statement = statement.where(webhooks.c.received_at >= at, later)
    for row in _walked(connection, statement):
        yield dict(row)


def bodies_by_id(connection: Connection, source: str, span: Span) -> Iterator[tuple[str, str]]:
    """Yield (webhook_id, sha256) of a span, sorted by the id's bytes."""
    statement = sa.select(webhooks.c.webhook_id, webhooks.c.sha256).where(
        webhooks.c.source == source, _SENT, *_within(span)
    )
    for row in _walked(connection, statement.order_by(_bytewise(connection))):
        yield row["webhook_id"], row["sha256"]


def count(connection: Connection, source: str, span: Span) -> int:
    """Return how many receipts a span has."""
    statement = sa.select(sa.func.count()).select_from(webhooks)
    return connection.execute(statement.where(webhooks.c.source == source, _SENT, *_within(span))).scalar_one()


@dataclass(frozen=True)
class Activity:
    """What a source has sent since an instant, and when and with which key it came last at all; "" is no known key."""

    last_seen: datetime | None
    last_key: str
    webhooks: int
    by_key: dict[str, int]
    set_aside: dict[str, int]  # by why


def activity(connection: Connection, source: str, since: datetime) -> Activity:
    """Return what a source has sent since then."""
    mine = (webhooks.c.source == source, _SENT)
    newest = sa.select(webhooks.c.received_at, webhooks.c.key_id).where(*mine)
    last = connection.execute(newest.order_by(webhooks.c.received_at.desc()).limit(1)).first()
    recent = sa.select(webhooks.c.key_id, sa.func.count()).where(*mine, webhooks.c.received_at >= since)
    by_key = {key or "": number for key, number in connection.execute(recent.group_by(webhooks.c.key_id))}
    aside = sa.select(set_aside.c.why, sa.func.count()).where(
        set_aside.c.source == source, set_aside.c.received_at >= since
    )
    return Activity(
        last_seen=last.received_at if last else None,
        last_key=(last.key_id or "") if last else "",
        webhooks=sum(by_key.values()),
        by_key=by_key,
        set_aside={why: number for why, number in connection.execute(aside.group_by(set_aside.c.why))},
    )


def dead_letters(connection: Connection, queue: str) -> Iterator[tuple[str, bytes]]:
    """Yield state and sealed content of the messages of a dead-letter queue that lie aside, oldest first."""
    statement = sa.select(set_aside.c.state, set_aside.c.body).where(
        set_aside.c.source == queue, set_aside.c.why == "dead_letter"
    )
    for row in _walked(connection, statement.order_by(set_aside.c.id)):
        yield row["state"], row["body"]


#: Not what we remember a release by (bridge.reports.setting_aside.released_as): no city's id has a full stop.
_SENT = ~webhooks.c.webhook_id.like("aside.%")


def _receipts(source: str) -> sa.Select[Any]:
    lies_aside = sa.and_(
        set_aside.c.source == webhooks.c.source,
        set_aside.c.webhook_id == webhooks.c.webhook_id,
        set_aside.c.sha256 == webhooks.c.sha256,
    )
    report = reports.c.report_id == webhooks.c.report_id
    names = ("source", "webhook_id", "sha256", "received_at", "report_id", "type", "effect", "key_id")
    return (
        sa.select(*(webhooks.c[name] for name in names), reports.c.ticket, set_aside.c.state.label("aside"))
        .select_from(webhooks.outerjoin(reports, report).outerjoin(set_aside, lies_aside))
        .where(webhooks.c.source == source, _SENT)
    )


def _within(span: Span) -> list[sa.ColumnElement[bool]]:
    conditions = []
    if span.since is not None:
        conditions.append(webhooks.c.received_at >= span.since)
    if span.until is not None:
        conditions.append(webhooks.c.received_at < span.until)
    return conditions


def _bytewise(connection: Connection) -> sa.ColumnElement[str]:
    """Return the webhook-id in an order that does not hang on the server's language; SQLite has no other."""
    name = webhooks.c.webhook_id
    return name if connection.dialect.name == "sqlite" else sa.collate(name, "C")


def _walked(connection: Connection, statement: sa.Select[Any]) -> Iterator[Any]:
    # A cursor of the server's: closed also when whoever asked has enough.
    with connection.execution_options(yield_per=_FETCHED).execute(statement) as found:
        yield from found.mappings()
