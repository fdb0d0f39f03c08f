"""Reports of a database that was put back to an earlier state."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.storage.tables import history, reports, revisions

_WHAT = "restored"


def leap(connection: Connection, to: int, *, reason: str, actor: str, now: datetime) -> None:
    """Let the numbers of what cities are told go on from there: of the reports there are, and of all that will be."""
    connection.execute(sa.update(reports).where(reports.c.sequence < to).values(sequence=to))
    row = {"what": _WHAT, "versions": {"numbers_from": to}, "reason": reason, "actor": actor, "at": now}
    connection.execute(sa.insert(revisions), row)


def numbers_from(connection: Connection) -> int:
    """Return where the numbers of new reports begin: 0 unless the database was ever put back."""
    found = connection.execute(sa.select(revisions.c.versions).where(revisions.c.what == _WHAT)).scalars()
    return max((int(one["numbers_from"]) for one in found), default=0)


def to_tell_of(connection: Connection, since: datetime | None) -> list[str]:
    """Return the ids of all that are open, or to which anything happened since, in the order they are locked in."""
    found = sa.select(reports.c.report_id).where(reports.c.status != "closed")
    lately = sa.select(history.c.report_id).where(history.c.at >= since) if since else found
    # Sorted here: a database sorts by its language's rules.
    return sorted(connection.execute(sa.union(found, lately)).scalars())
