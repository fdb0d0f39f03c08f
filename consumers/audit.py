"""The auditor: looks every half minute whether anybody is overlooked, apart from the engine it judges.

Takes the facts as they lie in the database; leaves its findings in the engine's row, where pages, /metrics and the
doctor read them, and pings BRIDGE_HEARTBEAT_URL only if there are none: silence raises the alarm outside.
"""

import time

import structlog

from bridge.chain import START
from bridge.delivery.guarded import Guard
from bridge.delivery.heartbeat import NoAnswer, ping
from bridge.reports.findings import Finding, living, read_findings, since_before
from bridge.storage import audit, engine, escalations
from bridge.storage.audit import Thresholds
from bridge.storage.database import Connection, Database

log = structlog.get_logger()

#: The first look comes when the watchers have had time to say that they live, in seconds.
FIRST_AFTER_S = 3.0


class Audit:
    """Look, write down, ping."""

    def __init__(
        self,
        database: Database,
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
        self._head = START

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
            self._say_head(connection)
        before = read_findings(state.findings)
        found = since_before(found, before)
        with self._database.write() as connection:
            engine.audited(connection, found, self._database.now(connection))
        _say(before, found)
        return found

    def _say_head(self, connection: Connection) -> None:
        """Put the escalation log's head into ours, which is kept elsewhere: against it an end cut off is seen."""
        head = escalations.head(connection)
        if escalations.hash_at(connection, self._head.seq) != self._head.hash:
            log.error("escalation_log_cut_off", seq=self._head.seq, hash=self._head.hash, ends_at=head.seq)
        if head != self._head:
            log.info("escalation_log_head", seq=head.seq, hash=head.hash)
        self._head = head

    def ping(self) -> None:
        """Tell the switch outside that all is well; if it does not hear us, the next round tries again."""
        if not self._heartbeat_url:
            return
        try:
            ping(self._heartbeat_url, self._guard)
        except NoAnswer as error:
            log.warning("heartbeat_not_heard", error=str(error))


def _say(before: list[Finding], found: list[Finding]) -> None:
    for finding in found:
        log.error("audit_found", what=finding.what, value=round(finding.value, 1), do=finding.do)
    for what in {finding.what for finding in before} - {finding.what for finding in found}:
        log.info("audit_found_no_more", what=what)
