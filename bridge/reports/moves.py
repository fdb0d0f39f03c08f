"""What a move by a person changes: the state, the clocks, the history, and what the city is told."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bridge.reports import clocks
from bridge.reports.clocks import ON_RECEIPT, ON_REGISTRATION, PAUSED_BY_CITIZEN, ClockState, Kind, Obligation
from bridge.reports.feedback import told_city
from bridge.reports.people import Person, Role
from bridge.reports.report import Changes, Delivery, Purpose, Report
from bridge.reports.rulebook import Rulebook
from bridge.reports.states import Move, MoveRefused, Outcome, after


@dataclass(frozen=True)
class Actor:
    """Who does it, for the history: `person:<id>`, `source:<name>`, `clock:<kind>` or `cli:<user>`."""

    name: str
    person: Person | None = None


@dataclass(frozen=True)
class Details:
    """What some moves need: an outcome to close, a case number to register, what is missing, a reason."""

    outcome: Outcome | None = None
    case_number: str = ""
    missing: tuple[str, ...] = ()
    reason: str = ""


NO_DETAILS = Details()


def decide_move(
    move: Move,
    report: Report,
    obligations: Sequence[Obligation],
    rulebook: Rulebook,
    actor: Actor,
    *,
    now: datetime,
    details: Details = NO_DETAILS,
) -> Changes:
    """Return what the move changes; the caller holds the locks of the obligations and the report.

    Raises:
        MoveRefused: not allowed from the present state, or a detail it needs is missing.
    """
    status = after(move, report.status, outcome=details.outcome)
    _check_details(move, report, details)
    changed = _moved(move, replace(report, status=status), actor, details)
    touched, started = _clocks_after(move, changed, obligations, rulebook, actor, details, now=now)
    changes = Changes(obligations=touched, new_obligations=started)
    begun = [o for o in (*touched, *started) if o.kind in STARTED_BY.get(move, ())]
    taken = {"to": changed.assignee} if changed.assignee != report.assignee else {}
    changes.note(changed, str(move), actor.name, now, **_noted(details), **taken, **begun_noted(begun))
    if move is Move.REOPEN and changed.assignee:
        changes.deliveries.append(new_report_notice(changed, [*touched, *started], changed.assignee, now=now))
    current = _current(obligations, [*touched, *started])
    changes.reports[report.report_id] = told_city(changes, changed, current, told_back=rulebook.told_back, now=now)
    return changes


def close_incomplete(
    report: Report, obligations: Sequence[Obligation], rulebook: Rulebook, actor: Actor, *, now: datetime
) -> Changes:
    """Return what happens when the citizen's own clock has run out without an answer."""
    details = Details(outcome=Outcome.INCOMPLETE)
    return decide_move(Move.CLOSE, report, obligations, rulebook, actor, now=now, details=details)


def begun_noted(begun: Iterable[Obligation]) -> dict[str, Any]:
    """Return what the history says of clocks that begin: enough to build them again from the log."""
    noted: dict[str, Any] = {}
    for clock in begun:
        noted.setdefault("clocks", {})[str(clock.kind)] = clock.policy_version
        noted["calendar"] = clock.calendar_version
        if clock.earlier_steps:
            noted.setdefault("earlier_steps", {})[str(clock.kind)] = clock.earlier_steps
    return noted


def new_report_notice(report: Report, obligations: Iterable[Obligation], person_id: str, *, now: datetime) -> Delivery:
    """Return the notice that a report lies on a person's desk, with the deadline to acknowledge it."""
    running = next((o for o in obligations if o.kind is Kind.ACKNOWLEDGE), None)
    deadline = running.deadline_at.isoformat() if running else None
    return Delivery(
        report_id=report.report_id,
        ticket=report.ticket,
        cycle=report.cycle,
        purpose=Purpose.NOTICE,
        event="new_report",
        channel="email",
        recipient=person_id,
        dedupe_key=f"notice/{report.report_id}/{report.cycle}/new/{person_id}",
        created_at=now,
        kind=Kind.ACKNOWLEDGE,
        payload={"deadline_at": deadline, "level": 0, "assigned": True},
    )


def _check_details(move: Move, report: Report, details: Details) -> None:
    if move is Move.REGISTER and not details.case_number.strip():
        raise MoveRefused(move, report.status, why="registering needs the case number the secretariat gave it")
    if move is Move.ASK_COMPLETION and not details.missing:
        raise MoveRefused(move, report.status, why="say what is missing, at least one thing")
    if move is Move.REOPEN and not details.reason.strip():
        raise MoveRefused(move, report.status, why="reopening needs a reason")


def _moved(move: Move, report: Report, actor: Actor, details: Details) -> Report:
    if move is Move.ACKNOWLEDGE and actor.person and actor.person.role is Role.OFFICER:
        return replace(report, assignee=actor.person.person_id)
    if move is Move.ASK_COMPLETION:
        return replace(report, missing=details.missing)
    if move is Move.RESUME:
        return replace(report, missing=())
    if move is Move.REGISTER:
        return replace(report, case_number=details.case_number.strip(), missing=())
    if move in (Move.CLOSE, Move.WITHDRAW):
        outcome = Outcome.WITHDRAWN if move is Move.WITHDRAW else details.outcome
        return replace(report, outcome=outcome, missing=())
    if move is Move.REOPEN:
        return replace(report, cycle=report.cycle + 1, outcome=None, assigned_before=())
    return report


def _clocks_after(
    move: Move,
    report: Report,
    obligations: Sequence[Obligation],
    rulebook: Rulebook,
    actor: Actor,
    details: Details,
    *,
    now: datetime,
) -> tuple[list[Obligation], list[Obligation]]:
    """Return (changed, newly started) obligations."""
    ended = _ended(move, obligations, actor, now=now)
    if move is Move.ASK_COMPLETION:
        ended += [
            clocks.pause(o, now=now, by=actor.name, reason="; ".join(details.missing))
            for o in obligations
            if o.kind in PAUSED_BY_CITIZEN
        ]
    if move is Move.RESUME:
        ended += [clocks.resume(o, *rulebook.frozen(o), now=now) for o in obligations if o.kind in PAUSED_BY_CITIZEN]
    fresh = _started(report, STARTED_BY.get(move, ()), obligations, rulebook, now=now)
    known = {o.kind: o for o in obligations}
    restarted = [_counting_on(o, known[o.kind]) for o in fresh if o.kind in known]
    replaced = {o.kind for o in restarted}
    changed = [o for o in ended if o.kind not in replaced] + restarted
    return changed, [o for o in fresh if o.kind not in known]


#: Which clocks a move starts.
STARTED_BY: dict[Move, tuple[Kind, ...]] = {
    Move.ASK_COMPLETION: (Kind.COMPLETION,),
    Move.REGISTER: ON_REGISTRATION,
    Move.REOPEN: ON_RECEIPT,
}

#: Which clocks a move meets; closing and withdrawing also cancel whatever else still runs.
MET_BY: dict[Move, tuple[Kind, ...]] = {
    Move.ACKNOWLEDGE: (Kind.ACKNOWLEDGE,),
    Move.RESUME: (Kind.COMPLETION,),
    Move.REGISTER: (Kind.TRIAGE, Kind.COMPLETION),
    Move.CLOSE: (Kind.TRIAGE, Kind.DECISION),
}


#: Which clocks end with something done outside; the others end with a move, or the report would wait for nobody.
MET_BY_HAND = (Kind.SUMMONS, Kind.FIRST_HEARING)


def _ended(move: Move, obligations: Sequence[Obligation], actor: Actor, *, now: datetime) -> list[Obligation]:
    met = [clocks.end(o, ClockState.MET, now=now, by=actor.name) for o in obligations if o.kind in MET_BY.get(move, ())]
    if move not in (Move.CLOSE, Move.WITHDRAW):
        return met
    rest = [o for o in obligations if o.kind not in MET_BY.get(move, ())]
    return met + [clocks.end(o, ClockState.CANCELLED, now=now, by=actor.name) for o in rest]


def _started(
    report: Report, kinds: Iterable[Kind], obligations: Sequence[Obligation], rulebook: Rulebook, *, now: datetime
) -> list[Obligation]:
    policies = [rulebook.policy_for(report.policy, kind) for kind in kinds]
    wanted = [policy for policy in policies if policy is not None]
    if not wanted:  # its office may be no more, and a report can be closed all the same
        return []
    calendar = rulebook.calendar_of(report.office, report, obligations)
    return [clocks.start_clock(report.report_id, policy, calendar, cycle=report.cycle, now=now) for policy in wanted]


def _counting_on(fresh: Obligation, before: Obligation) -> Obligation:
    # The log takes each number once a cycle: a second request for completion would never be reminded of, nor closed.
    if before.cycle != fresh.cycle:
        return fresh
    return replace(fresh, earlier_steps=before.earlier_steps + before.step)


def _current(before: Iterable[Obligation], changed: Iterable[Obligation]) -> list[Obligation]:
    by_kind = {o.kind: o for o in before} | {o.kind: o for o in changed}
    return list(by_kind.values())


def _noted(details: Details) -> dict[str, Any]:
    noted: dict[str, Any] = {
        "outcome": details.outcome,
        "case_number": details.case_number or None,
        "missing": list(details.missing) or None,
        "reason": details.reason or None,
    }
    return {name: value for name, value in noted.items() if value is not None}
