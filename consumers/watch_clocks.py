"""Step 4: obligations that fall due escalate: log, notices, reassignment and the next due time, in one transaction.

The timer is the `next_due` column. Any number of watchers share it: each takes what nobody else holds.
"""

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from bridge.reports.clocks import Deed, Obligation
from bridge.reports.escalation import Desk, fire
from bridge.reports.report import Changes, Report
from bridge.reports.rulebook import UnknownVersion
from bridge.rules import Rules
from bridge.storage import escalations, people, workers
from bridge.storage import reports as stored
from bridge.storage.changes import write
from bridge.storage.database import Connection, Database

log = structlog.get_logger()

#: Longest wait between two looks, in seconds.
POLL_S = 1.0
#: How often a watcher says that it lives, in seconds.
SEEN_EVERY_S = 5.0
#: An obligation whose step cannot be decided is looked at again after this long; the others go on.
POISON_BACK_OFF = timedelta(minutes=5)


class WatchClocks:
    """Fire what is due, one step per report and turn, oldest first."""

    most = 100

    def __init__(self, database: Database, rules: Rules) -> None:
        self._database = database
        self._rules = rules
        self._name = f"{socket.gethostname()}-{os.getpid()}"
        self._seen_at = 0.0

    def turn(self) -> None:
        """Fire until nothing is due, seal the log, then wait for the next due time."""
        while self.tick():
            self._seal()
        self._seal()
        self._say_alive()
        time.sleep(self._idle_s())

    def tick(self) -> int:
        """Fire one batch in one transaction without any I/O inside; returns how many steps fired."""
        return self._rules.deciding(self._tick)

    def _tick(self) -> int:
        with self._database.write() as connection:
            now = self._database.now(connection)
            due = _one_per_report(stored.claim_due(self._database, connection, now, self.most))
            if not due:
                return 0
            ids = [obligation.report_id for obligation in due]
            # Who moves a report locks it before its clocks: waiting for it here could wait for ever.
            held = stored.lock(self._database, connection, ids, skip_locked=True)
            owed = stored.obligations_of(connection, ids)
            desk = Desk(people.active(connection), stored.open_by_assignee(connection))
            changes = Changes()
            for obligation in (o for o in due if o.report_id in held):
                siblings = self._siblings(connection, obligation, owed[obligation.report_id])
                if siblings is not None:
                    changes.add(self._fired(obligation, siblings, held[obligation.report_id], desk, now))
            write(self._database, connection, changes)
        for escalation in changes.escalations:
            log.info(
                "escalated",
                ticket=escalation.ticket,
                kind=escalation.kind,
                level=escalation.level,
                did=escalation.did,
                late_s=round(escalation.lateness_s, 1),
            )
        return len(changes.escalations)

    def _siblings(
        self, connection: Connection, obligation: Obligation, owed: Sequence[Obligation]
    ) -> list[Obligation] | None:
        """Return the report's other obligations; None when the step must wait because somebody holds one."""
        policy, _ = self._rules.book.frozen(obligation)
        everything: Sequence[Obligation] | None = owed
        if policy.steps[obligation.step].deed is Deed.CLOSE:
            everything = stored.claim_siblings(self._database, connection, obligation.report_id)
        return None if everything is None else [o for o in everything if o.kind is not obligation.kind]

    def _fired(
        self, obligation: Obligation, siblings: list[Obligation], report: Report, desk: Desk, now: datetime
    ) -> Changes:
        try:
            return fire(obligation, siblings, report, self._rules.book, desk, now=now)
        except UnknownVersion:
            raise
        except Exception as error:
            log.exception("clock_stuck", ticket=report.ticket, kind=obligation.kind)
            changes = Changes(obligations=[replace(obligation, next_due=now + POISON_BACK_OFF)])
            changes.note(report, "clock_stuck", f"clock:{obligation.kind}", now, error=type(error).__name__)
            return changes

    def _seal(self) -> None:
        with self._database.write() as connection:
            escalations.seal(self._database, connection)

    def _say_alive(self) -> None:
        if time.monotonic() - self._seen_at < SEEN_EVERY_S:
            return
        with self._database.write() as connection:
            workers.seen(connection, self._name, "watch_clocks", self._database.now(connection))
        self._seen_at = time.monotonic()

    def _idle_s(self) -> float:
        with self._database.read() as connection:
            due_at, now = stored.next_due(connection), self._database.now(connection)
        return POLL_S if due_at is None else min(POLL_S, max(0.01, (due_at - now).total_seconds()))


def _one_per_report(due: list[Obligation]) -> list[Obligation]:
    """Return the most overdue obligation of each report: the next turn takes the others, on what this one left."""
    first: dict[str, Obligation] = {}
    for obligation in due:
        first.setdefault(obligation.report_id, obligation)
    return list(first.values())
