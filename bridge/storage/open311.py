"""What Open311 clients may ask: reports by time, kind and state, and what happened to them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.reports.report import Report
from bridge.reports.states import Status
from bridge.storage.rows import report_of
from bridge.storage.tables import escalations, history, reports

#: The specification's limit ("Response Volume").
MOST = 1000


@dataclass(frozen=True)
class Wanted:
    """Which reports: of these sources, received within a time; None and an empty collection mean any.

    `unsorted` asks for categories outside `known`, too, which are shown as one.
    """

    sources: Collection[str]
    since: datetime
    until: datetime
    categories: Collection[str] = ()
    known: Collection[str] = ()
    unsorted: bool = False
    closed: bool | None = None
    most: int = MOST
    skip: int = 0


def listed(connection: Connection, wanted: Wanted) -> list[Report]:
    """Return the newest reports first: `most` of them behind the first `skip`."""
    statement = sa.select(reports).where(
        reports.c.received_at.between(wanted.since, wanted.until), reports.c.source.in_(wanted.sources)
    )
    if wanted.categories:
        chosen = reports.c.category.in_(wanted.categories)
        others = reports.c.category.not_in(wanted.known)
        statement = statement.where(sa.or_(chosen, others) if wanted.unsorted else chosen)
    if wanted.closed is not None:
        is_closed = reports.c.status == Status.CLOSED
        statement = statement.where(is_closed if wanted.closed else ~is_closed)
    newest = statement.order_by(reports.c.received_at.desc(), reports.c.report_id).limit(wanted.most)
    return [report_of(row) for row in connection.execute(newest.offset(wanted.skip)).mappings()]


def by_tickets(connection: Connection, tickets: Collection[str]) -> dict[str, Report]:
    """Return those of the reports that exist, by ticket, at most 1000."""
    statement = sa.select(reports).where(reports.c.ticket.in_(tickets)).limit(MOST)
    return {row["ticket"]: report_of(row) for row in connection.execute(statement).mappings()}


def changed_at(connection: Connection, report_ids: Collection[str], events: Collection[str]) -> dict[str, datetime]:
    """Return when the last of these events happened to each report."""
    statement = (
        sa.select(history.c.report_id, sa.func.max(history.c.at))
        .where(history.c.report_id.in_(report_ids), history.c.event.in_(events))
        .group_by(history.c.report_id)
    )
    return {report_id: at for report_id, at in connection.execute(statement)}


def happened(
    connection: Connection, sources: Collection[str], since: datetime, until: datetime, events: Collection[str]
) -> list[dict[str, Any]]:
    """Return what happened to reports within a time, oldest first, at most 1000: ticket, language, event, data, at."""
    statement = (
        sa.select(reports.c.ticket, reports.c.external_id, reports.c.language, history.c.event, history.c.data,
                  history.c.at)
        .join(reports, reports.c.report_id == history.c.report_id)
        .where(history.c.at.between(since, until), history.c.event.in_(events), reports.c.source.in_(sources))
        .order_by(history.c.at, history.c.id)
        .limit(MOST)
    )  # fmt: skip
    return [dict(row) for row in connection.execute(statement).mappings()]


def climbed(connection: Connection, sources: Collection[str], since: datetime, until: datetime) -> list[dict[str, Any]]:
    """Return the escalations that reached somebody within a time, oldest first, at most 1000."""
    log = escalations.c
    statement = (
        sa.select(log.ticket, reports.c.external_id, reports.c.language, log.kind, log.target, log.fired_at.label("at"))
        .join(reports, reports.c.report_id == log.report_id)
        .where(log.fired_at.between(since, until), log.level > 0, log.did.not_in(("no_target", "close")))
        .where(reports.c.source.in_(sources))
        .order_by(log.fired_at, log.id)
        .limit(MOST)
    )
    return [dict(row) for row in connection.execute(statement).mappings()]
