"""Step 4: obligations that fall due escalate: log, notices, reassignment and the next due time, in one transaction.

The timer is the `next_due` column. Any number of watchers share it: each takes what nobody else holds. A guard holds
them all when the database's clock jumps or an implausible share falls due at once; a version stops old ones.
"""

import os
import socket
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from bridge.reports import guard
from bridge.reports.clocks import Deed, Obligation
from bridge.reports.escalation import Desk, fire
from bridge.reports.guard import Engine, Limits, Memory, Reading, Verdict
from bridge.reports.report import Changes, Escalation, Report
from bridge.reports.rulebook import UnknownVersion
from bridge.rules import Rules
from bridge.storage import engine, people, workers
from bridge.storage import reports as stored
from bridge.storage.changes import write
from bridge.storage.database import Conflict, Connection, Database, StatementFailed
from bridge.storage.escalations import Sealer
from bridge.tracing import note, span

log = structlog.get_logger()

#: Longest wait between two looks, in seconds.
POLL_S = 1.0
#: How often a watcher says that it lives, in seconds.
SEEN_EVERY_S = 5.0
#: How long a share that was found plausible is believed, in seconds, while one full batch follows the other.
BELIEVED_S = 30.0
#: How long the open reports on each desk are not counted again while one full batch follows the other, in seconds.
COUNTED_S = 5.0
#: Counts on while the machine sleeps, and nobody can set it.
_UPTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class WatchClocks:
    """Fire what is due, one step per report and turn, oldest first."""

    most = 100

    def __init__(self, database: Database, rules: Rules, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        self._database = database
        self._rules = rules
        self._limits = limits
        self._memory = Memory()
        self._believed_until = 0.0
        self._name = f"{socket.gethostname()}-{os.getpid()}"
        self._seen_at = 0.0
        self._sealer = Sealer(database)
        self._counted: Desk | None = None
        self._open_reports: Counter[str] = Counter()
        self._counted_until = 0.0

    def turn(self) -> None:
        """Fire until nothing is due, seal the log, then wait for the next due time.

        Raises:
            NotMigrated: the database is for another version of the clocks.
        """
        while self.tick():
            self._seal()
            self._say_alive()
        self._seal()
        self._say_alive()
        time.sleep(self._idle_s())

    def tick(self) -> int:
        """Fire one batch in one transaction without any I/O inside; returns how many steps fired.

        Raises:
            NotMigrated: the database is for another version of the clocks; nothing was done.
        """
        careful = iter((False, True))
        try:
            # A version that is still unknown when all have been loaded is a fault of its clock.
            return self._rules.deciding(lambda: self._tick(careful=next(careful)))
        except Conflict:
            # A step that fired before: the log's unique key refused the batch. The others must go on all the same.
            return self._tick(careful=True)

    def _tick(self, *, careful: bool) -> int:
        fired: list[Escalation] = []
        # The spans outlast the transaction: what was not committed has not fired.
        with ExitStack() as spans, self._database.write() as connection:
            now, memory = self._looked(connection)
            if not memory.held:
                fired = self._fire_due(connection, now, spans, careful=careful)
        # Only now it is certain that the hold we remember is there for everybody.
        self._memory = memory
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

    def _looked(self, connection: Connection) -> tuple[datetime, Memory]:
        """Look at the clocks and at the engine's row; hold or release if so judged."""
        state = engine.enter(self._database, connection)
        asked_s = time.clock_gettime(_UPTIME)
        now = self._database.now(connection)
        reading = Reading(now, asked_s, time.clock_gettime(_UPTIME))
        memory, verdict, moved_s = guard.judge(self._memory, reading, state.held_by(now), self._limits)
        if verdict is Verdict.HOLD:
            self._hold(connection, guard.CLOCK, f"the database's clock was set forward by {moved_s:.0f} s", now)
        elif verdict is Verdict.SET_BACK:
            log.error("database_clock_set_back", by_s=round(-moved_s))
        elif verdict is Verdict.RELEASE or (verdict is Verdict.FIRE and state.over(now)):
            self._let_go(connection, state)
        elif verdict is Verdict.FIRE and self._too_many(connection, state, now):
            memory = replace(memory, held=True)
        return now, memory

    def _too_many(self, connection: Connection, state: Engine, now: datetime) -> bool:
        """Tell whether an implausible share is due; then the engine is held for a while."""
        limits = self._limits
        if limits.share >= 1:
            return False
        if engine.due(connection, now, limits.least + 1) <= limits.least:
            self._believed_until = 0.0
            if state.lets_through:
                engine.forget_hold(connection)
            return False
        if state.lets_through or time.monotonic() < self._believed_until:
            return False
        due, later = engine.backlog(connection, now, lambda due: guard.enough_later(due, limits))
        if not guard.implausible(due, later, limits):
            self._believed_until = time.monotonic() + BELIEVED_S
            return False
        why = f"{due} or more clocks fell due at once, only {later} fall due later"
        self._hold(connection, guard.SHARE, why, now, until=now + limits.pause)
        return True

    def _hold(self, connection: Connection, by: str, why: str, now: datetime, until: datetime | None = None) -> None:
        if engine.hold(connection, f"{by}: {why}", now=now, until=until):
            log.error("engine_held", by=by, why=why, until=until.isoformat() if until else "released")

    def _let_go(self, connection: Connection, state: Engine) -> None:
        if state.held_since and engine.let_go(connection, state.held_since):
            log.warning("engine_released", by="itself", held=state.held_why)

    def _fire_due(self, connection: Connection, now: datetime, spans: ExitStack, *, careful: bool) -> list[Escalation]:
        began_at = datetime.now(UTC)
        claimed = stored.claim_due(self._database, connection, now, self.most)
        due = _one_per_report(claimed)
        if not due:
            return []
        ids = [obligation.report_id for obligation in due]
        # Who moves a report locks it before its clocks: waiting for it here could wait for ever.
        held = stored.lock(self._database, connection, ids, skip_locked=True)
        owed = stored.obligations_of(connection, ids)
        desk = self._desk(connection, full=len(claimed) == self.most)
        fired: list[Escalation] = []
        batch = Changes()
        for obligation in (o for o in due if o.report_id in held):
            report = held[obligation.report_id]
            step = _Step(connection, obligation, owed[obligation.report_id], report, now)
            changes = self._fired(step, desk, careful=careful)
            _trace(changes.escalations, spans, began_at)
            if careful:
                changes = self._written_alone(step, changes)
            else:
                batch.add(changes)
            fired += changes.escalations
            _count_handed_over(self._open_reports, report, changes)
        write(self._database, connection, batch, before=held)
        return fired

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

    def _desk(self, connection: Connection, *, full: bool) -> Desk:
        """Return who is there; while one full batch follows the other, as it was counted a moment ago."""
        desk = self._counted if time.monotonic() < self._counted_until else None
        if desk is None:
            self._open_reports = Counter(stored.open_by_assignee(connection))
            desk = Desk(people.active(connection), self._open_reports)
            self._counted_until = time.monotonic() + COUNTED_S
        self._counted = desk if full else None
        return desk

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
            if changes.escalations:
                note(outcome="put_off")
            changes = _put_off(step, error)
            write(self._database, step.connection, changes)
        return changes

    def _seal(self) -> None:
        self._sealer.seal()

    def _say_alive(self) -> None:
        if time.monotonic() - self._seen_at < SEEN_EVERY_S:
            return
        with self._database.write() as connection:
            now = self._database.now(connection)
            workers.seen(connection, self._name, "watch_clocks", now)
            engine.ticked(connection, now)
        self._seen_at = time.monotonic()

    def _idle_s(self) -> float:
        if self._memory.held:
            return POLL_S
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


def _trace(fired: Sequence[Escalation], spans: ExitStack, since: datetime) -> None:
    """Open a span for what fired, so that the notices it leaves name it; nobody asked for it, so it begins anew."""
    for one in fired:
        told: dict[str, Any] = {
            "kind": one.kind,
            "level": one.level,
            "did": one.did,
            "cycle": one.cycle,
            "step": one.step,
        }
        spans.enter_context(span("escalate", one.report_id, since=since, ticket=one.ticket, **told))


def _count_handed_over(open_reports: Counter[str], report: Report, changes: Changes) -> None:
    """Keep the count true within a batch: else everything handed over in it lands on one desk."""
    after = changes.reports.get(report.report_id)
    if after is not None and after.assignee != report.assignee:
        open_reports[after.assignee or ""] += 1
        open_reports[report.assignee or ""] -= 1


def _put_off(step: _Step, error: Exception) -> Changes:
    """Set a step that cannot be decided aside for a while, longer every time, so that the others go on."""
    obligation, actor = step.obligation, f"clock:{step.obligation.kind}"
    last = engine.last_stuck(step.connection, step.report.report_id, actor) or {}
    again = (last.get("cycle"), last.get("step")) == (obligation.cycle, obligation.step)
    wait = guard.back_off(timedelta(seconds=last["wait_s"]) if again else None)
    log.error("clock_stuck", ticket=step.report.ticket, kind=obligation.kind, again_in=str(wait), exc_info=error)
    changes = Changes(obligations=[replace(obligation, next_due=step.now + wait)])
    stuck: dict[str, Any] = {"error": type(error).__name__, "step": obligation.step, "wait_s": wait.total_seconds()}
    changes.note(step.report, "clock_stuck", actor, step.now, **stuck)
    return changes


def _one_per_report(due: list[Obligation]) -> list[Obligation]:
    """Return the most overdue obligation of each report: the next turn takes the others, on what this one left."""
    first: dict[str, Obligation] = {}
    for obligation in due:
        first.setdefault(obligation.report_id, obligation)
    return list(first.values())
