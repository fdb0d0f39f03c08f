"""Reports of a database that was put back to an earlier state."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.storage.tables import history, reports


def leap(connection: Connection, to: int) -> None:
    """Raise the number of what the city was told last to that, of every report of which it was told anything."""
    told = reports.c.sequence.between(1, to - 1)
    connection.execute(sa.update(reports).where(told).values(sequence=to))


def to_tell_of(connection: Connection, since: datetime | None) -> list[str]:
    """Return the ids of all that are open, or to which anything happened since, in the order they are locked in."""
    found = sa.select(reports.c.report_id).where(reports.c.status != "closed")
    lately = sa.select(history.c.report_id).where(history.c.at >= since) if since else found
    # Sorted here: a database sorts by its language's rules.
    return sorted(connection.execute(sa.union(found, lately)).scalars())
