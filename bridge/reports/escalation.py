"""A step of a ladder falls due: whom to tell, who takes over, what is written down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bridge.reports.calendars import WorkingCalendar
from bridge.reports.clocks import ClockState, Deed, Obligation, Policy, Step, advanced, somebody_left, told_late
from bridge.reports.feedback import told_city
from bridge.reports.ladders import Holder, Target, resolve
from bridge.reports.moves import Actor, close_incomplete
from bridge.reports.people import Person, Role
from bridge.reports.report import Changes, Delivery, Escalation, Purpose, Report
from bridge.reports.rulebook import Rulebook


@dataclass(frozen=True)
class Desk:
    """Who is there at this moment and how much each has open."""

    people: Sequence[Person]
    open_reports: Mapping[str, int]


def fire(
    obligation: Obligation,
    siblings: Sequence[Obligation],
    report: Report,
    rulebook: Rulebook,
    desk: Desk,
    *,
    now: datetime,
) -> Changes:
    """Return what the obligation's steps that are due change; the caller saw that one is and holds its lock.

    After an outage several may be: each has its row in the log, in order, and each person told gets one notice.

    Args:
        siblings: The report's other obligations; locked too when the present step closes the report.

    Raises:
        UnknownVersion: the clock was frozen with a policy or calendar that is not loaded.
    """
    policy, calendar = rulebook.frozen(obligation)
    step = policy.steps[obligation.step]
    if step.deed is Deed.CLOSE:
        return _close(obligation, siblings, report, step, rulebook, now=now)
    turn = _Turn(obligation, report, policy, calendar, desk, now)
    turn.run()
    return turn.changed(siblings, rulebook)


class NothingToHurry(Exception):
    """There is no rung a person could send the report up to; says why. Nothing was changed."""


def hurry(
    obligation: Obligation,
    siblings: Sequence[Obligation],
    report: Report,
    rulebook: Rulebook,
    desk: Desk,
    actor: str,
    *,
    now: datetime,
    reason: str,
) -> Changes:
    """Return what it changes that a person sends the report up one rung before its time; the later ones keep theirs.

    Raises:
        NothingToHurry: the clock does not run, everybody has been told, or the next rung closes the report.
        UnknownVersion: as `fire`.
    """
    policy, calendar = rulebook.frozen(obligation)
    rung = next((step for step in policy.steps[obligation.step :] if step.level), None)
    if obligation.state is not ClockState.RUNNING:
        raise NothingToHurry(f"the clock {obligation.kind} is {obligation.state}; only a running one can be hurried")
    if rung is None:
        raise NothingToHurry("everybody on its ladder has been told already")
    if rung.deed is Deed.CLOSE:
        raise NothingToHurry("the next step closes the report; that can't be hurried, but a person may close it")
    turn = _Turn(replace(obligation, next_due=now), report, policy, calendar, desk, now, hurried=True)
    turn.run()
    changes = turn.changed(siblings, rulebook)
    changes.note(turn.report, "hurried", actor, now, kind=obligation.kind, level=rung.level, reason=reason)
    return changes


class _Turn:
    """The steps of one obligation that fire together, in order."""

    def __init__(
        self,
        obligation: Obligation,
        report: Report,
        policy: Policy,
        calendar: WorkingCalendar,
        desk: Desk,
        now: datetime,
        *,
        hurried: bool = False,
    ) -> None:
        self.report = report
        self._clock = obligation
        self._policy, self._calendar, self._desk, self._now = policy, calendar, desk, now
        self._hurried = hurried
        self._changes, self._notices = Changes(), _Notices(obligation)
        self._rung: Step | None = None

    def run(self) -> None:
        """Fire what is due; a step that closes the report waits for a turn of its own, which locks the siblings."""
        while self._clock.next_due is not None and self._clock.next_due <= self._now:
            step = self._policy.steps[self._clock.step]
            if step.deed is Deed.CLOSE:
                return
            after = advanced(self._clock, self._policy, self._calendar, now=self._now, skipped=False)
            late_already = after.next_due is not None and after.next_due <= self._now
            if step.level == 0 and (self._hurried or late_already):
                self._pass_by(step, after)
            else:
                self._take(step, after)

    def changed(self, siblings: Sequence[Obligation], rulebook: Rulebook) -> Changes:
        """Return all of it: the clock, the log, one notice for each person, and one word to the city."""
        changes, report = self._changes, self.report
        changes.obligations.append(self._clock)
        changes.deliveries += self._notices.for_each_person(report, now=self._now)
        if self._rung is not None:
            report = told_city(
                changes,
                report,
                [self._clock, *siblings],
                told_back=rulebook.told_back,
                now=self._now,
                escalated_to=_rung_name(self._rung),
            )
        changes.reports[report.report_id] = report
        return changes

    def _pass_by(self, step: Step, after: Obligation) -> None:
        # Nobody needs to hear that something will be late which is late already.
        remark = "hurried" if self._hurried else "overtaken"
        self._log(step, Target(()), did=step.deed, remark=remark)
        self._clock = replace(after, next_due=self._now) if self._hurried else after

    def _take(self, step: Step, after: Obligation) -> None:
        holder = Holder(self.report.office, self.report.assignee, self.report.assigned_before)
        target = resolve(step, holder, self._desk.people, self._desk.open_reports, now=self._now)
        nobody = target.nobody and step.to != "citizen"
        # A warning that finds nobody is no reason to begin the ladder before its time.
        if nobody and step.level > 0:
            after = advanced(self._clock, self._policy, self._calendar, now=self._now, skipped=True)
        moved = "due_moved" if self._clock.moved_at else None
        did = "no_target" if nobody else step.deed
        self._log(step, target, did=did, remark="hurried" if self._hurried else moved)
        if step.to == "citizen":
            after = self._given_back(after)
        self.report = _hand_over(self._changes, self.report, target, step, now=self._now)
        if nobody and step.level > 0 and not somebody_left(after, self._policy):
            target = Target(tuple(p for p in self._desk.people if p.role is Role.ADMIN))
        self._notices.add(self._clock, step, target)
        if (step.level > 0 and not nobody) or step.to == "citizen":
            self._rung = step
        self._clock, self._hurried = after, False

    def _given_back(self, after: Obligation) -> Obligation:
        since = self._clock.next_due or self._now
        given = told_late(after, self._policy, self._calendar, since=since, now=self._now)
        if given is not after:
            self._changes.note(
                self.report,
                "told_late",
                f"clock:{after.kind}",
                self._now,
                kind=after.kind,
                since=since.isoformat(),
                deadline_was=after.deadline_at.isoformat(),
                deadline_now=given.deadline_at.isoformat(),
            )
        return given

    def _log(self, step: Step, target: Target, *, did: str, remark: str | None) -> None:
        line = _log(self._clock, self.report, step, target, did=did, remark=remark, now=self._now)
        self._changes.escalations.append(line)


def _close(
    obligation: Obligation,
    siblings: Sequence[Obligation],
    report: Report,
    step: Step,
    rulebook: Rulebook,
    *,
    now: datetime,
) -> Changes:
    fired = replace(obligation, step=obligation.step + 1, level=max(obligation.level, step.level))
    actor = Actor(f"clock:{obligation.kind}")
    changes = close_incomplete(report, [fired, *siblings], rulebook, actor, now=now)
    changes.escalations.append(_log(obligation, report, step, Target(()), did=step.deed, now=now))
    return changes


def _log(
    obligation: Obligation,
    report: Report,
    step: Step,
    target: Target,
    *,
    did: str,
    now: datetime,
    remark: str | None = None,
) -> Escalation:
    due_at = obligation.next_due or now
    return Escalation(
        report_id=report.report_id,
        ticket=report.ticket,
        kind=obligation.kind,
        cycle=obligation.cycle,
        step=obligation.next_number,
        level=step.level,
        due_at=due_at,
        fired_at=now,
        lateness_s=max(0.0, (now - due_at).total_seconds()),
        held_by=report.assignee,
        target=step.to,
        told=tuple(person.person_id for person in target.tell),
        did=did,
        policy_version=obligation.policy_version,
        calendar_version=obligation.calendar_version,
        remark=remark,
    )


def _hand_over(changes: Changes, report: Report, target: Target, step: Step, *, now: datetime) -> Report:
    heir = target.assign
    if heir is None or heir.person_id == report.assignee:
        return report
    before = (*report.assigned_before, report.assignee) if report.assignee else report.assigned_before
    changed = replace(report, assignee=heir.person_id, assigned_before=before)
    changes.note(changed, "reassigned", "clock", now, of=report.assignee, to=heir.person_id, level=step.level)
    return changed


class _Notices:
    """Whom the steps of one turn tell: each person once, of the last step, with the numbers of those before it."""

    def __init__(self, obligation: Obligation) -> None:
        self._obligation = obligation
        self._steps: dict[str, list[int]] = {}
        self._last: dict[str, tuple[Step, bool]] = {}

    def add(self, obligation: Obligation, step: Step, target: Target) -> None:
        """Note that a step tells its target."""
        for person in target.tell:
            self._steps.setdefault(person.person_id, []).append(obligation.next_number)
            self._last[person.person_id] = (step, person == target.assign)

    def for_each_person(self, report: Report, *, now: datetime) -> list[Delivery]:
        """Return the notices."""
        return [self._notice(report, person_id, now=now) for person_id in self._steps]

    def _notice(self, report: Report, person_id: str, *, now: datetime) -> Delivery:
        clock, steps, (step, assigned) = self._obligation, self._steps[person_id], self._last[person_id]
        return Delivery(
            report_id=report.report_id,
            ticket=report.ticket,
            cycle=clock.cycle,
            purpose=Purpose.NOTICE,
            event="warning" if step.deed is Deed.WARN else "escalation",
            channel="email",
            recipient=person_id,
            dedupe_key=f"notice/{report.report_id}/{clock.cycle}/{clock.kind}/{steps[-1]}/{person_id}",
            created_at=now,
            kind=clock.kind,
            step=steps[-1],
            payload={
                "level": step.level,
                "deadline_at": clock.deadline_at.isoformat(),
                "assigned": assigned and report.assignee == person_id,
                "rung": step.to,
                **({"steps": steps} if len(steps) > 1 else {}),
            },
        )


def _rung_name(step: Step) -> str | None:
    return None if step.to == "citizen" else step.to.removeprefix("role:")
