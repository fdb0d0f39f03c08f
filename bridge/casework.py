"""What a person does to a report: one transaction each, the same for desk, one-click link, API and command line."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from bridge.reports.clocks import ClockState, Kind, Obligation, end
from bridge.reports.escalation import Desk, hurry
from bridge.reports.merging import merge, take_back, transfer
from bridge.reports.moves import MET_BY_HAND, NO_DETAILS, Actor, Details, decide_move
from bridge.reports.people import Person
from bridge.reports.report import Changes, Delivery, Purpose, Report
from bridge.reports.states import Move, MoveRefused, Status
from bridge.rules import Rules
from bridge.storage import people
from bridge.storage import reports as stored
from bridge.storage.changes import write
from bridge.storage.database import Connection, Database
from bridge.tracing import Span, note, span

log = structlog.get_logger()

Check = Callable[[Report, list[Obligation]], None]


class StaleCycle(Exception):
    """The link or page speaks of an earlier cycle: the report was reopened since. Nothing was changed."""


class EscalatedSince(Exception):
    """Somebody, or the clock, sent the report up after the page was opened. Nothing was changed."""


class NothingOwed(LookupError):
    """The report has no open obligation of this kind."""


@dataclass(frozen=True)
class Result:
    """A report after a move; `changed` is False when it had happened before (a double click, a late link)."""

    report: Report
    changed: bool


class Casework:
    """The moves people make."""

    def __init__(self, database: Database, rules: Rules) -> None:
        self._database = database
        self._rules = rules

    def acknowledge(self, ticket: str, actor: Actor, *, cycle: int | None = None, check: Check | None = None) -> Result:
        """Acknowledge a report; a second time changes nothing and says so.

        Args:
            cycle: The cycle the person saw; None takes the present one.
            check: Called with the report as it stands when its turn has come; what it raises stops the change.

        Raises:
            NoSuchReport: no report has the ticket.
            StaleCycle: `cycle` is not the report's present one.
        """
        return self._rules.deciding(lambda: self._acknowledge(ticket, actor, cycle, check))

    def move(
        self, move: Move, ticket: str, actor: Actor, details: Details = NO_DETAILS, *, check: Check | None = None
    ) -> Report:
        """Make any move; `check` as in acknowledge.

        Raises:
            NoSuchReport: no report has the ticket.
            MoveRefused: not allowed from its state, or a detail is missing.
        """
        return self._rules.deciding(lambda: self._move(move, ticket, actor, details, check))

    def meet(self, kind: Kind, ticket: str, actor: Actor) -> Report:
        """Say that one obligation has been done (the summons went out, the first hearing was held).

        Raises:
            NoSuchReport: no report has the ticket.
            NothingOwed: no open obligation of this kind, or one that only a move ends.
        """
        with self._turn("meet", ticket, actor) as (connection, report, owed, now):
            found = next((o for o in owed if o.kind is kind and o.state is ClockState.RUNNING), None)
            if found is None:
                raise NothingOwed(f"{ticket} has no running clock {kind}")
            if kind not in MET_BY_HAND:
                raise NothingOwed(f"the clock {kind} of {ticket} ends when the report moves on, not before")
            changes = Changes(obligations=[end(found, ClockState.MET, now=now, by=actor.name)])
            changes.note(report, "met", actor.name, now, kind=kind)
            write(self._database, connection, changes)
        return report

    def assign(self, ticket: str, person: Person, actor: Actor, reason: str) -> Report:
        """Give a report to somebody else; its clocks run on, so that passing it round gains nobody time.

        Raises:
            NoSuchReport: no report has the ticket.
            MoveRefused: the report is closed.
        """
        with self._turn("assign", ticket, actor) as (connection, report, _, now):
            if report.status is Status.CLOSED:
                raise MoveRefused(Move.REOPEN, report.status, why="a closed report cannot be assigned; reopen it first")
            changes, changed = _assigned(report, person, actor, reason, now)
            write(self._database, connection, changes)
        return changed

    def merge(self, ticket: str, into: str, actor: Actor, reason: str) -> Report:
        """Close a report as the duplicate of another one, which keeps the earlier deadlines.

        Raises:
            NoSuchReport: no report has one of the tickets.
            NotPossible: one is closed, or they are the same.
        """
        return self._rules.deciding(lambda: self._merge(ticket, into, actor, reason))

    def transfer(self, ticket: str, office: str, actor: Actor, reason: str) -> Report:
        """Give a report to another office; its clocks go on, counted in that office's calendar.

        Raises:
            NoSuchReport: no report has the ticket.
            NotPossible: closed, there already, or no such office.
        """
        return self._rules.deciding(lambda: self._transfer(ticket, office, actor, reason))

    def hurry(
        self, ticket: str, actor: Actor, reason: str, *, kind: Kind, seen: tuple[int, int] | None = None
    ) -> Report:
        """Send a report up one rung before its time; pressed twice on one page it goes up once.

        Args:
            seen: The cycle and the steps fired when the person decided; None takes the present ones.

        Raises:
            NoSuchReport: no report has the ticket.
            EscalatedSince: it is no longer where it was seen.
            NothingOwed: no open obligation of this kind.
            NothingToHurry: no rung is left, or the clock stands still.
        """
        return self._rules.deciding(lambda: self._hurry(ticket, actor, reason, kind, seen))

    def _hurry(self, ticket: str, actor: Actor, reason: str, kind: Kind, seen: tuple[int, int] | None) -> Report:
        with self._turn("hurry", ticket, actor) as (connection, report, owed, now):
            found = next((o for o in owed if o.kind is kind and o.cycle == report.cycle), None)
            if found is None:
                raise NothingOwed(f"{ticket} has no clock {kind}")
            if seen is not None and seen != (found.cycle, found.step):
                raise EscalatedSince(f"{ticket} has gone up since this page was opened")
            desk = Desk(people.active(connection), stored.open_by_assignee(connection))
            siblings = [o for o in owed if o.kind is not kind]
            book = self._rules.book
            changes = hurry(found, siblings, report, book, desk, actor.name, now=now, reason=reason)
            write(self._database, connection, changes)
        log.info("hurried", ticket=ticket, kind=kind, by=actor.name)
        return changes.reports[report.report_id]

    def _merge(self, ticket: str, into: str, actor: Actor, reason: str) -> Report:
        began_at = datetime.now(UTC)
        with ExitStack() as spans, self._database.write() as connection:
            ids = [stored.by_ticket(connection, one).report_id for one in (ticket, into)]
            spans.enter_context(_span("merge", ids[0], ticket, actor, began_at))
            owed = stored.lock_obligations(self._database, connection, ids)
            reports = stored.lock(self._database, connection, ids)
            now = self._database.now(connection)
            duplicate, survivor = (reports[report_id] for report_id in ids)
            both = {report_id: owed.get(report_id, []) for report_id in ids}
            changes = merge(duplicate, survivor, both, self._rules.book, actor, now=now, reason=reason)
            write(self._database, connection, changes)
        log.info("merged", ticket=ticket, into=into, by=actor.name)
        return changes.reports[ids[0]]

    def _transfer(self, ticket: str, office: str, actor: Actor, reason: str) -> Report:
        with self._turn("transfer", ticket, actor) as (connection, report, owed, now):
            desk = Desk(people.active(connection), stored.open_by_assignee(connection))
            changes = transfer(report, owed, office, self._rules.book, desk, actor, now=now, reason=reason)
            write(self._database, connection, changes)
        log.info("transferred", ticket=ticket, office=office, by=actor.name)
        return changes.reports[report.report_id]

    def _acknowledge(self, ticket: str, actor: Actor, cycle: int | None, check: Check | None) -> Result:
        with self._turn("acknowledge", ticket, actor, check) as (connection, report, owed, now):
            if cycle is not None and cycle != report.cycle:
                raise StaleCycle(ticket)
            if report.status is not Status.RECEIVED:
                note(changed=False)
                return Result(report, changed=False)
            changed = self._decided(connection, Move.ACKNOWLEDGE, report, owed, actor, NO_DETAILS, now)
        log.info("acknowledged", ticket=ticket, by=actor.name)
        return Result(changed, changed=True)

    def _move(self, move: Move, ticket: str, actor: Actor, details: Details, check: Check | None) -> Report:
        with self._turn(move, ticket, actor, check) as (connection, report, owed, now):
            changed = self._decided(connection, move, report, owed, actor, details, now)
        log.info("moved", ticket=ticket, move=move, by=actor.name)
        return changed

    def _decided(
        self,
        connection: Connection,
        move: Move,
        report: Report,
        owed: list[Obligation],
        actor: Actor,
        details: Details,
        now: datetime,
    ) -> Report:
        book = self._rules.book
        if move is Move.REOPEN and report.merged_into:
            asked = _asked_last(stored.history_of(connection, report.report_id), report.cycle)
            changes = take_back(report, owed, book, actor, now=now, reason=details.reason, asked=asked)
        else:
            changes = decide_move(move, report, owed, book, actor, now=now, details=details)
        write(self._database, connection, changes)
        return changes.reports[report.report_id]

    @contextmanager
    def _turn(
        self, move: str, ticket: str, actor: Actor, check: Check | None = None
    ) -> Iterator[tuple[Connection, Report, list[Obligation], datetime]]:
        """Open the one transaction of a move, on a report that nobody else holds, and its span around it."""
        began_at = datetime.now(UTC)
        with ExitStack() as spans, self._database.write() as connection:
            report, owed, now = self._locked(connection, ticket, check)
            spans.enter_context(_span(move, report.report_id, ticket, actor, began_at))
            yield connection, report, owed, now

    def _locked(
        self, connection: Connection, ticket: str, check: Check | None = None
    ) -> tuple[Report, list[Obligation], datetime]:
        report_id = stored.by_ticket(connection, ticket).report_id
        owed = stored.lock_obligations(self._database, connection, [report_id]).get(report_id, [])
        report = stored.lock(self._database, connection, [report_id])[report_id]
        if check:
            check(report, owed)
        # The clock is read after the locks: what happened while we waited for them came before us.
        return report, owed, self._database.now(connection)


def _asked_last(history: Sequence[Mapping[str, Any]], cycle: int) -> Sequence[str]:
    """Return what the citizen was asked for last in a cycle: the history keeps the list, also of a closed report."""
    asked = (
        line["data"]["missing"]
        for line in reversed(history)
        if line["event"] == Move.ASK_COMPLETION and line["cycle"] == cycle
    )
    return next(asked, ())


def _span(move: str, report_id: str, ticket: str, actor: Actor, since: datetime) -> Span:
    # Of who moved only the kind (person, cli): names have no business in a trace.
    return span("move", report_id, since=since, move=move, ticket=ticket, by=actor.name.partition(":")[0])


def _assigned(report: Report, person: Person, actor: Actor, reason: str, now: datetime) -> tuple[Changes, Report]:
    before = (*report.assigned_before, report.assignee) if report.assignee else report.assigned_before
    changed = Report(**{**vars(report), "assignee": person.person_id, "assigned_before": before})
    changes = Changes(reports={report.report_id: changed})
    changes.note(changed, "reassigned", actor.name, now, of=report.assignee, to=person.person_id, reason=reason)
    changes.deliveries.append(
        Delivery(
            report_id=report.report_id,
            ticket=report.ticket,
            cycle=report.cycle,
            purpose=Purpose.NOTICE,
            event="new_report",
            channel="email",
            recipient=person.person_id,
            dedupe_key=f"notice/{report.report_id}/assigned/{person.person_id}/{now.isoformat()}",
            created_at=now,
            payload={"assigned": True},
        )
    )
    return changes, changed
