"""Two reports of one grievance become one, or two again; a report goes to another office. Nobody gains time by it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from bridge.reports import clocks, retimed
from bridge.reports.assignment import candidates, choose
from bridge.reports.clocks import ClockState, Kind, Obligation, Pause
from bridge.reports.escalation import Desk
from bridge.reports.feedback import told_city
from bridge.reports.moves import Actor, new_report_notice
from bridge.reports.people import Role
from bridge.reports.report import Changes, Report
from bridge.reports.rulebook import Rulebook
from bridge.reports.states import Move, MoveRefused, Outcome, Status

_OPEN = (ClockState.RUNNING, ClockState.PAUSED)
#: By whom a duplicate's clocks are said to have ended; the ticket that goes on follows.
_MERGED = "merged:"


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

    Of two open clocks of a kind the one with the earlier deadline survives (I31), on the surviving report, with the
    steps that fired there; the duplicate's clocks are cancelled and name the ticket that goes on. One that stands still
    is compared as if it ran on now, and goes on standing still if the survivor's did. `take_back` undoes it.

    Args:
        owed: The obligations of both, by report id; locked, as are the reports.

    Raises:
        NotPossible: one of them is closed, they are the same, or only the duplicate is a registered case.
    """
    _check_merge(duplicate, survivor)
    changes = Changes()
    ended_by = f"{_MERGED}{survivor.ticket}"
    changes.obligations += [
        clocks.end(o, ClockState.CANCELLED, now=now, by=ended_by) for o in owed[duplicate.report_id]
    ]
    earlier = _earlier_clocks(owed[survivor.report_id], owed[duplicate.report_id], rulebook, now=now)
    changes.obligations += earlier.values()
    closed = replace(
        duplicate, status=Status.CLOSED, outcome=Outcome.DUPLICATE, missing=(), merged_into=survivor.ticket
    )
    changes.note(closed, "merged", actor.name, now, into=survivor.ticket, reason=reason)
    taken = [
        {"kind": kind, "to": o.deadline_at.isoformat(), "policy": o.policy_version, "step": o.step}
        for kind, o in earlier.items()
    ]
    # By its id too, so that the log alone tells whose start and pauses a clock goes on with.
    facts = {"of": duplicate.ticket, "report_id": duplicate.report_id, "reason": reason, "deadlines": taken}
    changes.note(survivor, "took_over", actor.name, now, **facts)
    _note_moves(changes, survivor, owed[survivor.report_id], actor, reason, now=now)
    told = rulebook.told_back
    changes.reports[duplicate.report_id] = told_city(changes, closed, [], told_back=told, now=now)
    current = [earlier.get(o.kind, o) for o in owed[survivor.report_id]]
    changes.reports[survivor.report_id] = (
        told_city(changes, survivor, current, told_back=told, now=now) if earlier else survivor
    )
    return changes


def take_back(
    report: Report,
    obligations: Sequence[Obligation],
    rulebook: Rulebook,
    actor: Actor,
    *,
    now: datetime,
    reason: str,
    asked: Sequence[str] = (),
) -> Changes:
    """Return what taking a merge back changes: the duplicate stands where it stood, in the same cycle.

    Its clocks go on where they were stopped, the time between left out: merging and taking it back gains nobody time.
    What the survivor gained it keeps.

    Args:
        asked: What its citizen was asked for last; the report itself forgot it when it was closed.

    Raises:
        MoveRefused: no reason is given.
    """
    if not reason.strip():
        raise MoveRefused(Move.REOPEN, report.status, why="reopening needs a reason")
    stopped = [o for o in obligations if (o.ended_by or "").startswith(_MERGED)]
    back = [_going_on(o, rulebook, actor, now=now) for o in stopped]
    waits = any(pause.until is None for clock in stopped for pause in clock.pauses)
    status = Status.NEEDS_COMPLETION if waits else _stood_at(stopped)
    missing = tuple(asked) if waits else ()
    restored = replace(report, status=status, outcome=None, merged_into=None, missing=missing)
    changes = Changes(obligations=back)
    changes.note(restored, "unmerged", actor.name, now, of=report.merged_into, status=status, reason=reason)
    _note_moves(changes, restored, obligations, actor, reason, now=now)
    if status is Status.RECEIVED and restored.assignee:
        again = new_report_notice(restored, back, restored.assignee, now=now)
        changes.deliveries.append(replace(again, dedupe_key=f"{again.dedupe_key}/again/{now.isoformat()}"))
    changes.reports[report.report_id] = told_city(changes, restored, back, told_back=rulebook.told_back, now=now)
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
    open_clocks = [o for o in obligations if o.state in _OPEN]
    calendar = rulebook.calendar_for(office)
    for obligation in open_clocks:
        policy, _ = rulebook.frozen(obligation)
        timed = clocks.timed(obligation, policy, calendar)
        late = timed if timed.next_due == obligation.next_due else replace(timed, moved_at=now)
        changes.obligations.append(late)
    to = moved.assignee
    facts = {"of": report.office, "to": office, "desk": to, "calendar": calendar.version, "reason": reason}
    changes.note(moved, "transferred", actor.name, now, **facts)
    _note_moves(changes, moved, obligations, actor, reason, now=now)
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
    if duplicate.status is Status.REGISTERED and survivor.status is not Status.REGISTERED:
        raise NotPossible(
            f"{duplicate.ticket} is the case {duplicate.case_number}, with deadlines set by law; "
            f"merge {survivor.ticket} into it instead"
        )


def _note_moves(
    changes: Changes, report: Report, before: Sequence[Obligation], actor: Actor, reason: str, *, now: datetime
) -> None:
    """Note every clock of a report whose times the changes move; one that had been stopped is due again anyway."""
    known = {o.kind: o for o in before}
    for after in (one for one in changes.obligations if one.report_id == report.report_id):
        was = known[after.kind]
        if was.state not in _OPEN:
            was = replace(was, next_due=after.next_due)
        if retimed.moves(was, after):
            changes.note(report, retimed.MOVED, actor.name, now, **retimed.noted(was, after, reason))


def _earlier_clocks(
    kept: Sequence[Obligation], given_up: Sequence[Obligation], rulebook: Rulebook, *, now: datetime
) -> dict[str, Obligation]:
    """Return the survivor's open clocks that take over an earlier deadline, by kind."""

    def running(clock: Obligation) -> Obligation:
        return clocks.resume(clock, *rulebook.frozen(clock), now=now)

    others = {o.kind: running(o) for o in given_up if o.state in _OPEN}
    found: dict[str, Obligation] = {}
    for own in kept:
        other = others.get(own.kind)
        if own.state in _OPEN and other and other.deadline_at < running(own).deadline_at:
            found[own.kind] = _taken_over(own, other, rulebook, now=now)
    return found


def _taken_over(own: Obligation, other: Obligation, rulebook: Rulebook, *, now: datetime) -> Obligation:
    policy, calendar = rulebook.frozen(other)
    # No step that fired fires again, and no level that was told is told again.
    told = sum(step.level <= own.level for step in policy.steps) if policy.version != own.policy_version else 0
    still = (Pause(now, None, own.pauses[-1].by, own.pauses[-1].reason),) if own.state is ClockState.PAUSED else ()
    clock = replace(
        own,
        started_at=other.started_at,
        pauses=(*other.pauses, *still),
        policy_version=policy.version,
        step=max(own.step, told if own.step else 0),
        moved_at=now,
    )
    return clocks.timed(clock, policy, calendar)


def _going_on(stopped: Obligation, rulebook: Rulebook, actor: Actor, *, now: datetime) -> Obligation:
    """Return a clock a merge cancelled as it goes on: standing still if it did, else without the time between."""
    back = replace(stopped, ended_at=None, ended_by=None, state=ClockState.PAUSED)
    if back.pauses and back.pauses[-1].until is None:
        return back
    away = Pause(stopped.ended_at or now, None, actor.name, "merged")
    return clocks.resume(replace(back, pauses=(*back.pauses, away)), *rulebook.frozen(back), now=now)


def _stood_at(stopped: Sequence[Obligation]) -> Status:
    """Return the state a report was in, by the clocks that ran in it; only these two never lack a policy."""
    kinds = {o.kind for o in stopped}
    if Kind.ACKNOWLEDGE in kinds:
        return Status.RECEIVED
    return Status.ACKNOWLEDGED if Kind.TRIAGE in kinds else Status.REGISTERED
