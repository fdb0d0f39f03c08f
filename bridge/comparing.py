"""The same grievance, twice: found when somebody looks at a report, so that an amendment counts at once."""

from dataclasses import dataclass
from datetime import timedelta

from bridge.likeness import Likeness, likeness
from bridge.reports.merging import NotPossible
from bridge.reports.moves import Actor
from bridge.reports.report import Report
from bridge.storage import likenesses as stored
from bridge.storage import reports
from bridge.storage.database import Connection, Database

#: So many are shown.
MOST = 5
#: How far back the reports about one business are counted, in days.
BUSINESS_DAYS = 90


@dataclass(frozen=True)
class Alike:
    """Another report that may be about the same, and how much it looks so."""

    report: Report
    likeness: Likeness


def alike(connection: Connection, report: Report) -> list[Alike]:
    """Return the reports, open and closed, that may be about the same grievance, the likeliest first.

    Left out is what somebody said is another matter, what the two were merged for already, and forgotten reports.
    """
    if report.forgotten_at is not None:
        return []
    no = stored.dismissed(connection, report.report_id)
    others = [one for one in stored.candidates(connection, report) if one.report_id not in no]
    unmerged = [one for one in others if one.merged_into != report.ticket and report.merged_into != one.ticket]
    found = [Alike(one, like) for one in unmerged if (like := likeness(report, one))]
    return sorted(found, key=lambda one: -one.likeness.score)[:MOST]


def about_business(connection: Connection, database: Database, report: Report) -> int:
    """Return how many other reports there were about the business of late."""
    since = database.now(connection) - timedelta(days=BUSINESS_DAYS)
    return stored.about_business(connection, report, since=since)


def dismiss(database: Database, ticket: str, other: str, actor: Actor) -> None:
    """Keep that two reports are not about the same: it is not suggested again.

    Raises:
        NoSuchReport: no report has one of the tickets.
        NotPossible: they are one report.
    """
    with database.write() as connection:
        pair = [reports.by_ticket(connection, one) for one in (ticket, other)]
        if pair[0] == pair[1]:
            raise NotPossible("a report is the same as itself")
        like = likeness(*pair) or Likeness(0, ())
        now = database.now(connection)
        stored.dismiss(database, connection, pair, like.score, like.reasons, actor=actor.name, at=now)
