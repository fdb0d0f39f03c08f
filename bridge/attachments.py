"""An officer wants to see what a citizen attached: noted, fetched through the guard, compared with the first time."""

import tempfile
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import structlog

from bridge.delivery.fetching import ENDINGS, Fetched, NotFetched, Why, fetch
from bridge.delivery.guarded import Guard
from bridge.looking import ATTACHMENT, noted
from bridge.reports.report import Report
from bridge.storage import attachments as stored
from bridge.storage import reports
from bridge.storage.database import Database

log = structlog.get_logger()


@dataclass(frozen=True)
class Download:
    """A file to hand over and close. `first` is its hash at the first fetch, at `first_at`."""

    file: BinaryIO
    ticket: str
    number: int
    what: Fetched
    first: str
    first_at: datetime

    @property
    def changed(self) -> bool:
        """Tell whether another file lies at the address than at first."""
        return self.what.sha256 != self.first

    @property
    def name(self) -> str:
        """Return a name for the file, of our own making."""
        return f"{self.ticket}-{self.number}{'-BERUBAH' if self.changed else ''}.{ENDINGS[self.what.media_type]}"


def download(database: Database, guard: Guard, folder: Path, report: Report, number: int, actor: str) -> Download:
    """Fetch a report's attachment, numbered from 1; that somebody looked is on disk before anything is asked for.

    Args:
        folder: Where the file lies, without a name, until it has been handed over.

    Raises:
        NotFetched: there is no file to hand over.
    """
    noted(database, report, actor, ATTACHMENT)
    url = str(report.attachments[number - 1]["url"])
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - whoever hands it over closes it
    try:
        what = fetch(url, guard, file)
        first, first_at = _compared(database, report, url, what)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    found = Download(file, report.ticket, number, what, first, first_at)
    if found.changed:
        log.warning("attachment_changed", ticket=report.ticket, number=number, first=first, now=what.sha256)
    return found


def _compared(database: Database, report: Report, url: str, what: Fetched) -> tuple[str, datetime]:
    """Return the hash and the time of the first fetch, which may be this one."""
    with database.write() as connection:
        now = database.now(connection)
        current = reports.lock(database, connection, [report.report_id])[report.report_id]
        if url not in [one["url"] for one in current.attachments]:
            # Forgotten or amended while it was being fetched: nothing of it may stay behind.
            raise NotFetched(Why.REFUSED, "no attachment of this report any more")
        row = stored.keep(database, connection, report.report_id, url, asdict(what), at=now)
    return row["sha256"], row["fetched_at"]
