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
    """Return what the obligation's present step changes; the caller saw that it is due and holds its lock.

    Args:
        siblings: The report's other obligations; locked too when the step closes the report.

    Raises:
        UnknownVersion: the clock was frozen with a policy or calendar that is not loaded.
    """
    policy, calendar = rulebook.frozen(obligation)
    step = policy.steps[obligation.step]
    if step.deed is Deed.CLOSE:
        return _close(obligation, siblings, report, step, rulebook, now=now)
    holder = Holder(report.office, report.assignee, report.assigned_before)
    target = resolve(step, holder, desk.people, desk.open_reports, now=now)
    nobody = target.nobody and step.to != "citizen"
    # A warning that finds nobody is no reason to begin the ladder before its time.
    after = advanced(obligation, policy, calendar, now=now, skipped=nobody and step.level > 0)
    changes = Changes(obligations=[after])
    changes.escalations.append(_log(obligation, report, step, target, nobody=nobody, now=now))
    changed = _hand_over(changes, report, target, step, now=now)
    if nobody and step.level > 0 and after.next_due is None:
        target = Target(tuple(p for p in desk.people if p.role is Role.ADMIN))
    _notify(changes, changed, obligation, step, target, now=now)
    if (step.level > 0 and not nobody) or step.to == "citizen":
        changed = told_city(
            changes,
            changed,
            [after, *siblings],
            told_back=rulebook.told_back,
            now=now,
            escalated_to=_rung_name(step),
        )
    changes.reports[report.report_id] = changed
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
    fired = replace(obligation, step=obligation.step + 1)
    actor = Actor(f"clock:{obligation.kind}")
    changes = close_incomplete(report, [fired, *siblings], rulebook, actor, now=now)
    changes.escalations.append(_log(obligation, report, step, Target(()), nobody=False, now=now))
    return changes


def _log(
    obligation: Obligation, report: Report, step: Step, target: Target, *, nobody: bool, now: datetime
) -> Escalation:
    due_at = obligation.next_due or now
    return Escalation(
        report_id=report.report_id,
        ticket=report.ticket,
        kind=obligation.kind,
        cycle=obligation.cycle,
        step=obligation.step + 1,
        level=step.level,
        due_at=due_at,
        fired_at=now,
        lateness_s=max(0.0, (now - due_at).total_seconds()),
        held_by=report.assignee,
        target=step.to,
        told=tuple(person.person_id for person in target.tell),
        did="no_target" if nobody else step.deed,
        policy_version=obligation.policy_version,
        calendar_version=obligation.calendar_version,
    )


def _hand_over(changes: Changes, report: Report, target: Target, step: Step, *, now: datetime) -> Report:
    heir = target.assign
    if heir is None or heir.person_id == report.assignee:
        return report
    before = (*report.assigned_before, report.assignee) if report.assignee else report.assigned_before
    changed = replace(report, assignee=heir.person_id, assigned_before=before)
    changes.note(changed, "reassigned", "clock", now, of=report.assignee, to=heir.person_id, level=step.level)
    return changed


def _notify(
    changes: Changes, report: Report, obligation: Obligation, step: Step, target: Target, *, now: datetime
) -> None:
    for person in target.tell:
        changes.deliveries.append(
            Delivery(
                report_id=report.report_id,
                ticket=report.ticket,
                cycle=obligation.cycle,
                purpose=Purpose.NOTICE,
                event="warning" if step.deed is Deed.WARN else "escalation",
                channel="email",
                recipient=person.person_id,
                dedupe_key=f"notice/{report.report_id}/{obligation.cycle}/{obligation.kind}/{obligation.step + 1}"
                f"/{person.person_id}",
                created_at=now,
                kind=obligation.kind,
                step=obligation.step + 1,
                payload={
                    "level": step.level,
                    "deadline_at": obligation.deadline_at.isoformat(),
                    "assigned": person == target.assign,
                    "rung": step.to,
                },
            )
        )


def _rung_name(step: Step) -> str | None:
    return None if step.to == "citizen" else step.to.removeprefix("role:")
