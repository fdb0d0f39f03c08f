"""After the database was put back to an earlier state: the cities remember what came after it, and we do not.

A city takes of each report only what has a higher number than all before, so the numbers leap over those it may have
seen, also of reports it will send again; and it may show what we know nothing of any more, so it is told how each
open report stands.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import structlog

from bridge.reports.feedback import told_city
from bridge.reports.report import Changes
from bridge.reports.setting_aside import ReasonMissing
from bridge.rules import Rules
from bridge.storage import engine, restored
from bridge.storage import reports as stored
from bridge.storage.changes import write
from bridge.storage.database import Database

log = structlog.get_logger()

#: The numbers leap to the seconds since then: above what any city was told after an earlier restore, too, be it of the
#: same copy. Nobody is told of one report every second; and the column has room until 2094.
COUNTED_FROM = datetime(2026, 1, 1, tzinfo=UTC)
#: Reports to a transaction.
BATCH = 100


def first_number(now: datetime) -> int:
    """Return to what the numbers leap in a restore at that time."""
    return int((now - COUNTED_FROM).total_seconds())


class Restored:
    """A database that is older than what the world around it remembers."""

    def __init__(self, database: Database, rules: Rules) -> None:
        self._database = database
        self._rules = rules

    def go_on(
        self,
        *,
        reason: str,
        actor: str,
        since: datetime | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> int:
        """Hold the engine, let all numbers leap, tell the cities of every open report; returns of how many.

        Doing it again, because it was killed or by mistake, tells them once more.

        Args:
            since: Also of reports that are closed and to which anything happened since: what was reopened in the time
                that is gone is closed again.
            progress: Called after each batch with the reports done and those there are.

        Raises:
            ReasonMissing: it is empty.
        """
        if not reason.strip():
            raise ReasonMissing("going on after a restore needs a reason")
        with self._database.write() as connection:
            now = self._database.now(connection)
            engine.hold_for_good(self._database, connection, f"{actor}: {reason.strip()}", now=now)
        with self._database.write() as connection:
            restored.leap(connection, first_number(now), reason=reason.strip(), actor=actor, now=now)
            ids = restored.to_tell_of(connection, since)
        told = 0
        for first in range(0, len(ids), BATCH):
            told += self._tell(ids[first : first + BATCH], reason.strip(), actor)
            if progress:
                progress(min(first + BATCH, len(ids)), len(ids))
        log.warning("restored", by=actor, why=reason.strip(), told=told)
        return told

    def _tell(self, ids: Sequence[str], reason: str, actor: str) -> int:
        changes = Changes()
        with self._database.write() as connection:
            owed = stored.lock_obligations(self._database, connection, ids)
            reports = stored.lock(self._database, connection, ids)
            now = self._database.now(connection)
            for report in reports.values():
                clocks, told_back = owed.get(report.report_id, ()), self._rules.book.told_back
                told = told_city(changes, report, clocks, told_back=told_back, now=now)
                if told is not report:
                    changes.reports[report.report_id] = told
                    changes.note(told, "told_again", actor, now, reason=reason)
            write(self._database, connection, changes)
        return len(changes.reports)
