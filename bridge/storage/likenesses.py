"""Reports that may be about one grievance: whom to compare a report with, and what people said about the answer."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.reports.report import Report
from bridge.storage.database import Database
from bridge.storage.rows import report_of, report_row
from bridge.storage.tables import likenesses, reports

#: How far apart two reports of one grievance come in.
WINDOW = timedelta(days=365)


def candidates(connection: Connection, report: Report, *, most: int = 20) -> list[Report]:
    """Return reports of the same consumer, then against the same business, open or closed, the newest of each."""
    row = report_row(report)
    near = reports.c.received_at.between(report.received_at - WINDOW, report.received_at + WINDOW)
    found: dict[str, Report] = {}
    for column in (reports.c.consumer_mark, reports.c.business_name):
        if (value := row[column.name]) is not None:
            others = (column == value, near, reports.c.report_id != report.report_id, reports.c.forgotten_at.is_(None))
            statement = sa.select(reports).where(*others).order_by(reports.c.received_at.desc()).limit(most)
            found |= {one["report_id"]: report_of(one) for one in connection.execute(statement).mappings()}
    return list(found.values())


def about_business(connection: Connection, report: Report, *, since: datetime) -> int:
    """Return how many other reports speak of the same business since then."""
    name = report_row(report)["business_name"]
    if name is None:
        return 0
    others = (reports.c.business_name == name, reports.c.report_id != report.report_id, reports.c.received_at >= since)
    return connection.execute(sa.select(sa.func.count()).select_from(reports).where(*others)).scalar_one()


def dismissed(connection: Connection, report_id: str) -> set[str]:
    """Return the ids of the reports somebody said this one is not the same as."""
    mine = sa.or_(likenesses.c.report_id == report_id, likenesses.c.like_id == report_id)
    rows = connection.execute(
        sa.select(likenesses.c.report_id, likenesses.c.like_id).where(mine, likenesses.c.state == "dismissed")
    )
    return {other for pair in rows for other in pair} - {report_id}


def dismiss(
    database: Database,
    connection: Connection,
    pair: Sequence[Report],
    score: int,
    reasons: Sequence[str],
    *,
    actor: str,
    at: datetime,
) -> None:
    """Keep that two reports are not the same, for good and whichever is looked at; said twice it is kept once."""
    earlier, later = sorted(pair, key=lambda report: (report.received_at, report.report_id))
    row = {"report_id": later.report_id, "like_id": earlier.report_id, "score": score, "reasons": list(reasons)}
    row |= {"state": "dismissed", "decided_by": actor, "at": at}
    database.insert_new(connection, likenesses, [row])
