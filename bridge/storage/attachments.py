"""What attachments were when somebody first fetched them: hash, size and kind; never the file, never its address."""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.storage.database import Database
from bridge.storage.tables import attachments


def url_mark(url: str) -> str:
    """Return what stands for an address, which may itself tell who somebody is: its SHA-256 in hex."""
    return sha256(url.encode("utf-8", "surrogatepass")).hexdigest()


def of(connection: Connection, report_id: str) -> dict[str, dict[str, Any]]:
    """Return what is kept of a report's attachments, by url_mark."""
    statement = sa.select(attachments).where(attachments.c.report_id == report_id)
    return {row["url_sha256"]: dict(row) for row in connection.execute(statement).mappings()}


def keep(
    database: Database, connection: Connection, report_id: str, url: str, found: Mapping[str, Any], *, at: datetime
) -> dict[str, Any]:
    """Keep what a file is if this is its first fetch, and that it was another one if it is not the same any more.

    Args:
        found: `media_type`, `size_bytes` and `sha256`.

    Returns:
        The row as it stands now; its `sha256` is that of the first fetch.
    """
    mark = url_mark(url)
    database.insert_new(
        connection, attachments, [{"report_id": report_id, "url_sha256": mark, "fetched_at": at, **found}]
    )
    this = (attachments.c.report_id == report_id, attachments.c.url_sha256 == mark)
    changed = (*this, attachments.c.sha256 != found["sha256"])
    connection.execute(sa.update(attachments).where(*changed).values(other_sha256=found["sha256"], other_at=at))
    return dict(connection.execute(sa.select(attachments).where(*this)).mappings().one())


def drop(connection: Connection, report_id: str) -> None:
    """Forget what a report's attachments were."""
    connection.execute(sa.delete(attachments).where(attachments.c.report_id == report_id))
