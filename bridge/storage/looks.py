"""Who looked at personal data, and when: a row for each look, never changed."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.storage.tables import looks


def note(connection: Connection, report_id: str, actor: str, what: str, *, at: datetime) -> None:
    """Write one look, before anything is shown."""
    connection.execute(sa.insert(looks).values(report_id=report_id, actor=actor, what=what, at=at))


def of(connection: Connection, report_id: str) -> list[dict[str, Any]]:
    """Return who looked at a report's personal data, newest first."""
    statement = sa.select(looks).where(looks.c.report_id == report_id).order_by(looks.c.id.desc())
    return [dict(row) for row in connection.execute(statement).mappings()]
