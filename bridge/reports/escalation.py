"""A step of a ladder falls due: whom to tell, who takes over, what is written down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bridge.reports.clocks import Deed, Obligation, Step, advanced
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
    if policy.steps[obligation.step].deed is Deed.CLOSE:
        return _close(obligation, siblings, report, policy.steps[obligation.step], rulebook, now=now)
    changes, notices = Changes(), _Notices(obligation)
    current, rung = obligation, None
    while current.next_due is not None and current.next_due <= now:
        step = policy.steps[current.step]
        if step.deed is Deed.CLOSE:
            break  # in a turn of its own, which locks the siblings
        after = advanced(current, policy, calendar, now=now, skipped=False)
        if step.level == 0 and after.next_due is not None and after.next_due <= now:
            # Nobody needs to hear that something will be late which is late already.
            changes.escalations.append(
                _log(current, report, step, Target(()), did=step.deed, remark="overtaken", now=now)
            )
            current = after
            continue
        holder = Holder(report.office, report.assignee, report.assigned_before)
        target = resolve(step, holder, desk.people, desk.open_reports, now=now)
        nobody = target.nobody and step.to != "citizen"
        # A warning that finds nobody is no reason to begin the ladder before its time.
        after = advanced(current, policy, calendar, now=now, skipped=nobody and step.level > 0)
        did = "no_target" if nobody else step.deed
        moved = "due_moved" if current.moved_at else None
        changes.escalations.append(_log(current, report, step, target, did=did, remark=moved, now=now))
        report = _hand_over(changes, report, target, step, now=now)
        if nobody and step.level > 0 and after.next_due is None:
            target = Target(tuple(p for p in desk.people if p.role is Role.ADMIN))
        notices.add(current, step, target)
        if (step.level > 0 and not nobody) or step.to == "citizen":
            rung = step
        current = after
    changes.obligations.append(current)
    changes.deliveries += notices.for_each_person(report, now=now)
    if rung is not None:
        report = told_city(
            changes,
            report,
            [current, *siblings],
            told_back=rulebook.told_back,
            now=now,
            escalated_to=_rung_name(rung),
        )
    changes.reports[report.report_id] = report
    return changes


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
