"""Step 4: obligations that fall due escalate: log, notices, reassignment and the next due time, in one transaction.

The timer is the `next_due` column. Any number of watchers share it: each takes what nobody else holds.
"""

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from bridge.reports.clocks import Deed, Obligation
from bridge.reports.escalation import Desk, fire
from bridge.reports.report import Changes, Escalation, Report
from bridge.reports.rulebook import UnknownVersion
from bridge.rules import Rules
from bridge.storage import escalations, people, workers
from bridge.storage import reports as stored
from bridge.storage.changes import write
from bridge.storage.database import Conflict, Connection, Database, StatementFailed

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
        careful = iter((False, True))
        try:
            # A version that is still unknown when all have been loaded is a fault of its clock.
            return self._rules.deciding(lambda: self._tick(careful=next(careful)))
        except Conflict:
            # A step that fired before: the log's unique key refused the batch. The others must go on all the same.
            return self._tick(careful=True)

    def _tick(self, *, careful: bool) -> int:
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
            fired: list[Escalation] = []
            batch = Changes()
            for obligation in (o for o in due if o.report_id in held):
                report = held[obligation.report_id]
                step = _Step(connection, obligation, owed[obligation.report_id], report, now)
                changes = self._fired(step, desk, careful=careful)
                if careful:
                    changes = self._written_alone(step, changes)
                else:
                    batch.add(changes)
                fired += changes.escalations
            write(self._database, connection, batch)
        for escalation in fired:
            log.info(
                "escalated",
                ticket=escalation.ticket,
                kind=escalation.kind,
                level=escalation.level,
                did=escalation.did,
                late_s=round(escalation.lateness_s, 1),
            )
        return len(fired)

    def _fired(self, step: "_Step", desk: Desk, *, careful: bool) -> Changes:
        try:
            siblings = self._siblings(step)
            if siblings is None:
                return Changes()
            return fire(step.obligation, siblings, step.report, self._rules.book, desk, now=step.now)
        except StatementFailed:
            raise
        except Exception as error:  # one report must not stop the clocks of all others
            if isinstance(error, UnknownVersion) and not careful:
                raise
            return _put_off(step, error)

    def _siblings(self, step: "_Step") -> list[Obligation] | None:
        """Return the report's other obligations; None when the step must wait because somebody holds one."""
        policy, _ = self._rules.book.frozen(step.obligation)
        everything: Sequence[Obligation] | None = step.owed
        if policy.steps[step.obligation.step].deed is Deed.CLOSE:
            everything = stored.claim_siblings(self._database, step.connection, step.report.report_id)
        return None if everything is None else [o for o in everything if o.kind is not step.obligation.kind]

    def _written_alone(self, step: "_Step", changes: Changes) -> Changes:
        """Write one step's changes; when the database refuses them, put the step off and leave no other trace."""
        try:
            with self._database.alone(step.connection):
                write(self._database, step.connection, changes)
        except Conflict as error:
            changes = _put_off(step, error)
            write(self._database, step.connection, changes)
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


@dataclass(frozen=True)
class _Step:
    """One step that is due, with all its transaction knows of it."""

    connection: Connection
    obligation: Obligation
    owed: Sequence[Obligation]
    report: Report
    now: datetime


def _put_off(step: _Step, error: Exception) -> Changes:
    log.error("clock_stuck", ticket=step.report.ticket, kind=step.obligation.kind, exc_info=error)
    changes = Changes(obligations=[replace(step.obligation, next_due=step.now + POISON_BACK_OFF)])
    actor = f"clock:{step.obligation.kind}"
    changes.note(step.report, "clock_stuck", actor, step.now, error=type(error).__name__)
    return changes


def _one_per_report(due: list[Obligation]) -> list[Obligation]:
    """Return the most overdue obligation of each report: the next turn takes the others, on what this one left."""
    first: dict[str, Obligation] = {}
    for obligation in due:
        first.setdefault(obligation.report_id, obligation)
    return list(first.values())
