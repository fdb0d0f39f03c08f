"""Reports and their obligations: loading, locking, listing."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.reports.clocks import Obligation
from bridge.reports.report import Report
from bridge.reports.states import Status
from bridge.storage.database import Database
from bridge.storage.rows import obligation_of, report_of
from bridge.storage.statements import among
from bridge.storage.tables import history, obligations, reports

_BY_TICKET = sa.select(reports).where(reports.c.ticket == sa.bindparam("ticket"))
_THESE = sa.select(reports).where(among(reports.c.report_id, "ids"))
_LOCKED = _THESE.order_by(reports.c.report_id)
_OWED = sa.select(obligations).where(among(obligations.c.report_id, "ids"))
_OWED_BY_KIND = _OWED.order_by(obligations.c.kind)
_OWED_LOCKED = _OWED.order_by(obligations.c.report_id, obligations.c.kind)
_DUE = (
    sa.select(obligations)
    .where(obligations.c.next_due <= sa.bindparam("now"))
    .order_by(obligations.c.next_due)
    .limit(sa.bindparam("most"))
)
_NEXT_DUE = sa.select(sa.func.min(obligations.c.next_due))
_OPEN_BY_ASSIGNEE = (
    sa.select(reports.c.assignee, sa.func.count())
    .where(reports.c.status != sa.literal_column("'closed'"), reports.c.assignee.is_not(None))
    .group_by(reports.c.assignee)
)
_OPEN_BY_OFFICE = (
    sa.select(reports.c.office, sa.func.count())
    .where(reports.c.status != sa.literal_column("'closed'"))
    .group_by(reports.c.office)
)
_HISTORY = sa.select(history).where(history.c.report_id == sa.bindparam("report")).order_by(history.c.id)


class NoSuchReport(LookupError):
    """No report has this ticket."""


def by_ticket(connection: Connection, ticket: str) -> Report:
    """Return the report of a ticket.

    Raises:
        NoSuchReport: there is none.
    """
    row = connection.execute(_BY_TICKET, {"ticket": ticket}).mappings().first()
    if row is None:
        raise NoSuchReport(ticket)
    return report_of(row)


def by_ids(connection: Connection, report_ids: Collection[str]) -> dict[str, Report]:
    """Return those of the reports that exist, by id, without locking them."""
    rows = connection.execute(_THESE, {"ids": report_ids}).mappings()
    return {row["report_id"]: report_of(row) for row in rows}


def lock(
    database: Database, connection: Connection, report_ids: Collection[str], *, skip_locked: bool = False
) -> dict[str, Report]:
    """Lock reports in the order of their ids and return those that exist, without waiting if so wanted."""
    rows = connection.execute(database.for_update(_LOCKED, skip_locked=skip_locked), {"ids": report_ids}).mappings()
    return {row["report_id"]: report_of(row) for row in rows}


def lock_obligations(
    database: Database, connection: Connection, report_ids: Collection[str]
) -> dict[str, list[Obligation]]:
    """Lock reports, then all their obligations.

    Acknowledging and firing lock the same obligation row, so that one of them is always first. The report comes
    before: while we wait for it another one may start a clock, and that one must be found too. The watchers go the
    other way round, but never wait.
    """
    if not report_ids:
        return {}
    lock(database, connection, report_ids)
    return _by_report(connection.execute(database.for_update(_OWED_LOCKED), {"ids": report_ids}).mappings())


def obligations_of(connection: Connection, report_ids: Collection[str]) -> dict[str, list[Obligation]]:
    """Return the obligations of reports, by report id, without locking them."""
    return _by_report(connection.execute(_OWED_BY_KIND, {"ids": report_ids}).mappings())


def claim_due(database: Database, connection: Connection, now: datetime, most: int) -> list[Obligation]:
    """Lock obligations that are due, oldest first, leaving out what another worker holds."""
    statement = database.for_update(_DUE, skip_locked=True)
    rows = connection.execute(statement, {"now": now, "most": most}).mappings()
    return [obligation_of(row) for row in rows]


def next_due(connection: Connection) -> datetime | None:
    """Return when the next obligation falls due, or None."""
    return connection.execute(_NEXT_DUE).scalar()


def claim_siblings(database: Database, connection: Connection, report_id: str) -> list[Obligation] | None:
    """Lock all obligations of a report without waiting; None when somebody holds one of them."""
    statement = sa.select(obligations).where(obligations.c.report_id == report_id)
    rows = connection.execute(database.for_update(statement, skip_locked=True)).mappings().all()
    count = connection.execute(
        sa.select(sa.func.count()).select_from(obligations).where(obligations.c.report_id == report_id)
    ).scalar_one()
    return [obligation_of(row) for row in rows] if len(rows) == count else None


def open_by_assignee(connection: Connection) -> dict[str, int]:
    """Return how many open reports lie on each desk, by person id."""
    return {assignee: count for assignee, count in connection.execute(_OPEN_BY_ASSIGNEE) if assignee}


def open_by_office(connection: Connection) -> dict[str, int]:
    """Return how many open reports each office has, by its id."""
    return {office: count for office, count in connection.execute(_OPEN_BY_OFFICE)}


@dataclass(frozen=True)
class Wanted:
    """Which reports to list; empty means all."""

    status: str = ""
    assignee: str = ""
    office: str = ""
    source: str = ""
    search: str = ""
    open_only: bool = False


def listed(connection: Connection, wanted: Wanted, *, most: int = 200) -> list[dict[str, Any]]:
    """Return reports with their obligations, what is due next first, as the inbox and `--json` show them."""
    soonest = (
        sa.select(obligations.c.report_id, sa.func.min(obligations.c.deadline_at).label("soonest"))
        .where(obligations.c.state == "running")
        .group_by(obligations.c.report_id)
        .subquery()
    )
    statement = (
        sa.select(reports, soonest.c.soonest)
        .outerjoin(soonest, soonest.c.report_id == reports.c.report_id)
        .where(*_conditions(wanted))
        .order_by(soonest.c.soonest.asc().nulls_last(), reports.c.received_at.desc())
        .limit(most)
    )
    rows = connection.execute(statement).mappings().all()
    owed = obligations_of(connection, [row["report_id"] for row in rows])
    return [{**row, "obligations": owed.get(row["report_id"], [])} for row in rows]


def counted(connection: Connection, wanted: Wanted) -> dict[str, int]:
    """Return how many reports there are per status."""
    statement = sa.select(reports.c.status, sa.func.count()).where(*_conditions(wanted)).group_by(reports.c.status)
    return {status: count for status, count in connection.execute(statement)}


def history_of(connection: Connection, report_id: str) -> list[dict[str, Any]]:
    """Return the lines of a report's history, oldest first."""
    return [dict(row) for row in connection.execute(_HISTORY, {"report": report_id}).mappings()]


def _conditions(wanted: Wanted) -> Iterable[sa.ColumnElement[bool]]:
    for name in ("status", "assignee", "office", "source"):
        if value := getattr(wanted, name):
            yield reports.c[name] == value
    if wanted.open_only:
        yield reports.c.status != Status.CLOSED
    if wanted.search:
        words = wanted.search.strip()
        searched = (reports.c.ticket, reports.c.title, sa.cast(reports.c.business, sa.Text))
        yield sa.or_(*(column.icontains(words, autoescape=True) for column in searched))


def _by_report(rows: Iterable[sa.RowMapping]) -> dict[str, list[Obligation]]:
    found: dict[str, list[Obligation]] = {}
    for row in rows:
        found.setdefault(row["report_id"], []).append(obligation_of(row))
    return found
