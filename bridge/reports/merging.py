"""Two reports of one grievance become one; a report goes to another office. The clocks go on: nobody gains time."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from bridge.reports import clocks
from bridge.reports.assignment import candidates, choose
from bridge.reports.clocks import ClockState, Obligation
from bridge.reports.escalation import Desk
from bridge.reports.feedback import told_city
from bridge.reports.moves import Actor, new_report_notice
from bridge.reports.people import Role
from bridge.reports.report import Changes, Report
from bridge.reports.rulebook import Rulebook
from bridge.reports.states import Outcome, Status


class NotPossible(Exception):
    """The reports can't be merged or moved so; says why. Nothing was changed."""


def merge(
    duplicate: Report,
    survivor: Report,
    owed: Mapping[str, Sequence[Obligation]],
    rulebook: Rulebook,
    actor: Actor,
    *,
    now: datetime,
    reason: str,
) -> Changes:
    """Return what closing one report as the duplicate of another changes.

    Of two running clocks of a kind the one with the earlier deadline survives (I31), on the surviving report, with the
    steps that fired there; the duplicate's clocks are cancelled and name the ticket that goes on. Reopening the
    duplicate takes the merge back for it; what the survivor gained it keeps.

    Args:
        owed: The obligations of both, by report id; locked, as are the reports.

    Raises:
        NotPossible: one of them is closed, or they are the same.
    """
    _check_merge(duplicate, survivor)
    changes = Changes()
    ended_by = f"merged:{survivor.ticket}"
    changes.obligations += [
        clocks.end(o, ClockState.CANCELLED, now=now, by=ended_by) for o in owed[duplicate.report_id]
    ]
    earlier = _earlier_clocks(owed[survivor.report_id], owed[duplicate.report_id], rulebook, now=now)
    changes.obligations += earlier.values()
    closed = replace(
        duplicate, status=Status.CLOSED, outcome=Outcome.DUPLICATE, missing=(), merged_into=survivor.ticket
    )
    changes.note(closed, "merged", actor.name, now, into=survivor.ticket, reason=reason)
    moved = [
        {"kind": kind, "to": o.deadline_at.isoformat(), "policy": o.policy_version, "step": o.step}
        for kind, o in earlier.items()
    ]
    # By its id too, so that the log alone tells whose start and pauses a clock goes on with.
    facts = {"of": duplicate.ticket, "report_id": duplicate.report_id, "reason": reason, "deadlines": moved}
    changes.note(survivor, "took_over", actor.name, now, **facts)
    told = rulebook.told_back
    changes.reports[duplicate.report_id] = told_city(changes, closed, [], told_back=told, now=now)
    current = [earlier.get(o.kind, o) for o in owed[survivor.report_id]]
    changes.reports[survivor.report_id] = (
        told_city(changes, survivor, current, told_back=told, now=now) if earlier else survivor
    )
    return changes


def transfer(
    report: Report,
    obligations: Sequence[Obligation],
    office: str,
    rulebook: Rulebook,
    desk: Desk,
    actor: Actor,
    *,
    now: datetime,
    reason: str,
) -> Changes:
    """Return what giving a report to another office changes: office, desk, and times in that office's calendar.

    Starts, pauses and fired steps stay (I32): a report that is passed round gets no new time.

    Raises:
        NotPossible: the report is closed, the office is its own, or there is no such office.
    """
    if report.status is Status.CLOSED:
        raise NotPossible("a closed report cannot be given to another office; reopen it first")
    if office not in rulebook.offices:
        raise NotPossible(f"there is no office {office!r}; there are {', '.join(sorted(rulebook.offices))}")
    if office == report.office:
        raise NotPossible(f"it is with {office} already")
    before = (*report.assigned_before, report.assignee) if report.assignee else report.assigned_before
    members = candidates(desk.people, office=office, role=Role.OFFICER, now=now)
    heir = choose(members, desk.open_reports)
    moved = replace(report, office=office, assignee=heir.person_id if heir else None, assigned_before=before)
    changes = Changes()
    open_clocks = [o for o in obligations if o.state in (ClockState.RUNNING, ClockState.PAUSED)]
    calendar = rulebook.calendar_for(office)
    for obligation in open_clocks:
        policy, _ = rulebook.frozen(obligation)
        timed = clocks.timed(obligation, policy, calendar)
        late = timed if timed.next_due == obligation.next_due else replace(timed, moved_at=now)
        changes.obligations.append(late)
    to = moved.assignee
    changes.note(moved, "transferred", actor.name, now, of=report.office, to=office, desk=to, reason=reason)
    if moved.assignee:
        changes.deliveries.append(new_report_notice(moved, changes.obligations, moved.assignee, now=now))
    changes.reports[report.report_id] = told_city(
        changes, moved, changes.obligations, told_back=rulebook.told_back, now=now
    )
    return changes


def _check_merge(duplicate: Report, survivor: Report) -> None:
    if duplicate.report_id == survivor.report_id:
        raise NotPossible("a report cannot be merged into itself")
    for report in (duplicate, survivor):
        if report.status is Status.CLOSED:
            raise NotPossible(f"{report.ticket} is closed; only open reports can be merged")


def _earlier_clocks(
    kept: Sequence[Obligation], given_up: Sequence[Obligation], rulebook: Rulebook, *, now: datetime
) -> dict[str, Obligation]:
    """Return the survivor's running clocks that take over an earlier deadline, by kind."""
    others = {o.kind: o for o in given_up if o.state is ClockState.RUNNING}
    found: dict[str, Obligation] = {}
    for own in kept:
        other = others.get(own.kind)
        if own.state is ClockState.RUNNING and other and other.deadline_at < own.deadline_at:
            found[own.kind] = _taken_over(own, other, rulebook, now=now)
    return found


def _taken_over(own: Obligation, other: Obligation, rulebook: Rulebook, *, now: datetime) -> Obligation:
    policy, calendar = rulebook.frozen(other)
    # No step that fired fires again, and no level that was told is told again.
    told = sum(step.level <= own.level for step in policy.steps) if policy.version != own.policy_version else 0
    clock = replace(
        own,
        started_at=other.started_at,
        pauses=other.pauses,
        policy_version=policy.version,
        step=max(own.step, told if own.step else 0),
        moved_at=now,
    )
    return clocks.timed(clock, policy, calendar)
