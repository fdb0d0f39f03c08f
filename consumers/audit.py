"""The auditor: looks every half minute whether anybody is overlooked, apart from the engine it judges.

Takes the facts as they lie in the database; leaves its findings in the engine's row, where pages, /metrics and the
doctor read them, and pings BRIDGE_HEARTBEAT_URL only if there are none: silence raises the alarm outside. Of the
escalation log it keeps the head in the data folder: against it an end that was cut off is seen.
"""

import time
from datetime import datetime

import structlog

from bridge.chain import START, Head
from bridge.delivery.guarded import Guard
from bridge.delivery.heartbeat import NoAnswer, ping
from bridge.kept_head import AUDITOR, HeadFile, HeadLost, Kept
from bridge.reports.findings import Finding, What, living, read_findings, since_before
from bridge.storage import audit, engine, escalations
from bridge.storage.audit import Thresholds
from bridge.storage.database import Database

log = structlog.get_logger()

#: The first look comes when the watchers have had time to say that they live, in seconds.
FIRST_AFTER_S = 3.0


class Audit:
    """Look, write down, ping."""

    def __init__(
        self,
        database: Database,
        head_file: HeadFile,
        *,
        heartbeat_url: str = "",
        guard: Guard | None = None,
        every_s: float = 30.0,
        thresholds: Thresholds = audit.DEFAULT,
    ) -> None:
        self._database = database
        self._heartbeat_url, self._guard = heartbeat_url, guard or Guard()
        self._every_s = every_s
        self._thresholds = thresholds
        self._next = time.monotonic() + min(FIRST_AFTER_S, every_s)
        self._logs_end = _LogsEnd(database, head_file)

    def turn(self) -> None:
        """Audit when it is time; wait for at most a second otherwise.

        Raises:
            NotMigrated: the engine's row is missing.
        """
        wait_s = self._next - time.monotonic()
        if wait_s > 0:
            time.sleep(min(1.0, wait_s))
            return
        self._next = time.monotonic() + self._every_s
        if not self.look():
            self.ping()

    def look(self) -> list[Finding]:
        """Return what is wrong now, and write it down."""
        with self._database.read() as connection:
            now = self._database.now(connection)
            state = engine.read(connection)
            found = audit.look(self._database, connection, now, self._thresholds) + living(state, now)
        before = read_findings(state.findings)
        found = since_before(found + self._logs_end.look(now), before)
        with self._database.write() as connection:
            engine.audited(connection, found, self._database.now(connection))
        _say(before, found)
        return found

    def ping(self) -> None:
        """Tell the switch outside that all is well; if it does not hear us, the next round tries again."""
        if not self._heartbeat_url:
            return
        try:
            ping(self._heartbeat_url, self._guard)
        except NoAnswer as error:
            log.warning("heartbeat_not_heard", error=str(error))


class _LogsEnd:
    """The end of the escalation log, held against the head that is kept outside the database."""

    def __init__(self, database: Database, file: HeadFile) -> None:
        self._database, self._file = database, file
        self._kept: Kept | None = None

    def look(self, now: datetime) -> list[Finding]:
        """Return what is wrong with it; as long as nothing is, keep the newest head, and say it whenever it has moved.

        What is said goes into a log that lies elsewhere: against that, too, an end cut off can be seen.
        """
        try:
            return self._look(now)
        except HeadLost as error:
            log.error("escalation_log_head_lost", error=str(error))
            return [Finding(What.LOG_HEAD_LOST, 1, now)]

    def _look(self, now: datetime) -> list[Finding]:
        # Before the database: another auditor may keep a newer one meanwhile.
        filed = self._file.read()
        kept = filed or self._kept
        with self._database.read() as connection:
            there = escalations.hash_at(connection, kept.head.seq) if kept else None
            head = escalations.head(connection)
        if kept and there != kept.head.hash:
            log.error("escalation_log_cut_off", seq=kept.head.seq, hash=kept.head.hash, ends_at=head.seq)
            return [Finding(What.LOG_CUT_OFF, max(1, kept.head.seq - head.seq), now)]
        self._say(kept, head)
        self._kept = kept if kept and kept.head == head else Kept(head)
        if self._kept != filed:
            self._file.write(self._kept)
        return []

    def _say(self, kept: Kept | None, head: Head) -> None:
        if kept is None and head != START:
            log.warning("escalation_log_head_unknown", file=str(self._file.path))
        if kept and kept.by != AUDITOR and kept != self._kept:
            log.warning("escalation_log_head_accepted", seq=kept.head.seq, by=kept.by, why=kept.why)
        if self._kept is None or head != self._kept.head:
            log.info("escalation_log_head", seq=head.seq, hash=head.hash)


def _say(before: list[Finding], found: list[Finding]) -> None:
    for finding in found:
        log.error("audit_found", what=finding.what, value=round(finding.value, 1), do=finding.do)
    for what in {finding.what for finding in before} - {finding.what for finding in found}:
        log.info("audit_found_no_more", what=what)
