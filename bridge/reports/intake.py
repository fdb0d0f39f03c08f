"""What an event from the city changes: a new report, an amendment, a withdrawal, in whatever order they come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from bridge.reports import clocks
from bridge.reports.assignment import candidates, choose
from bridge.reports.clocks import ON_RECEIPT, Obligation
from bridge.reports.escalation import Desk
from bridge.reports.feedback import told_city
from bridge.reports.moves import Actor, begun_noted, decide_move, new_report_notice
from bridge.reports.people import Role
from bridge.reports.report import Changes, Delivery, Purpose, Report
from bridge.reports.routing import route
from bridge.reports.rulebook import Rulebook
from bridge.reports.states import Move, Outcome, Status


class EventType(StrEnum):
    """What the city says happened."""

    SUBMITTED = "report.submitted"
    AMENDED = "report.amended"
    WITHDRAWN = "report.withdrawn"


@dataclass(frozen=True)
class CityEvent:
    """One event from a city app, checked and named. `data` holds only the fields the city sent."""

    source: str
    type: EventType
    external_id: str
    report_id: str
    ticket: str
    webhook_id: str
    happened_at: datetime
    received_at: datetime
    data: Mapping[str, Any]


class Effect(StrEnum):
    """What became of an event; kept with it for good."""

    CREATED = "created"
    AMENDED = "amended"
    UNCHANGED = "unchanged"
    WITHDRAWN = "withdrawn"
    LATE = "late"
    WAITING = "waiting"  # the report it speaks of has not come yet


#: The category of a complaint that came without one (domain.md B4).
UNSORTED = "LAINNYA"

#: Fields of a report that the city may set and amend.
AMENDABLE = (
    "title",
    "description",
    "category",
    "language",
    "reporter",
    "business",
    "amount_idr",
    "location",
    "attachments",
)


def new_report(
    event: CityEvent, waiting: Sequence[CityEvent], rulebook: Rulebook, desk: Desk, *, now: datetime
) -> Changes:
    """Return what a first submission changes: report, assignee, clocks, history, notice, callback.

    Args:
        waiting: Amendments and withdrawals that came before it, applied in the order of the city's own times.

    Raises:
        NoRule: no routing rule takes it.
    """
    report = _routed(event, rulebook)
    report = _assigned(report, rulebook, desk, now=now)
    started = _first_clocks(report, rulebook, now=now)
    changes = Changes(new_reports=[report], new_obligations=started)
    changes.note(report, "received", f"source:{event.source}", now, webhook_id=event.webhook_id, **begun_noted(started))
    changes.note(report, "routed", "system", now, office=report.office, to=report.assignee)
    report = told_city(changes, report, started, told_back=rulebook.told_back, now=now)
    if report.assignee:
        changes.deliveries.append(new_report_notice(report, started, report.assignee, now=now))
    changes.new_reports = [report]
    for later in sorted(waiting, key=lambda e: e.happened_at):
        _fold(changes, later, rulebook, now=now)
    return changes


def existing_report(
    event: CityEvent, report: Report, obligations: Sequence[Obligation], rulebook: Rulebook, *, now: datetime
) -> tuple[Changes, Effect]:
    """Return what an event changes in a report that is already here.

    A second submission of the same id under a new webhook-id is never a second report: what differs is an
    amendment. An event older than the last one applied is kept but changes nothing.
    """
    if event.type is EventType.WITHDRAWN:
        return _withdrawn(event, report, obligations, rulebook, now=now)
    return _amended(event, report, now=now)


def _fold(changes: Changes, event: CityEvent, rulebook: Rulebook, *, now: datetime) -> None:
    """Apply an earlier-arrived event to the report that is being created, inside the same changes."""
    report = changes.reports.get(event.report_id) or changes.new_reports[0]
    more, _ = existing_report(event, report, changes.new_obligations, rulebook, now=now)
    by_kind = {o.kind: o for o in changes.new_obligations} | {o.kind: o for o in more.obligations}
    changes.new_reports = [more.reports.get(event.report_id, report)]
    changes.new_obligations = list(by_kind.values())
    changes.history += more.history
    changes.deliveries += more.deliveries


def _routed(event: CityEvent, rulebook: Rulebook) -> Report:
    data = event.data
    blank = Report(
        report_id=event.report_id,
        ticket=event.ticket,
        source=event.source,
        external_id=event.external_id,
        status=Status.RECEIVED,
        cycle=1,
        office="",
        policy="default",
        title=data["title"],
        description=data["description"],
        category=data.get("category") or UNSORTED,
        language=data.get("language", "id"),
        reporter=data.get("reporter") or {},
        business=data.get("business") or {},
        location=data.get("location") or {},
        attachments=tuple(data.get("attachments") or ()),
        amount_idr=data.get("amount_idr"),
        reported_at=data.get("reported_at") or event.happened_at,
        received_at=event.received_at,
        event_at=event.happened_at,
        routing=(),
        sequence=rulebook.numbers_from,
    )
    routing = route(blank.facts, rulebook.rules)
    return replace(blank, office=routing.rule.office, policy=routing.rule.policy, routing=routing.explanation)


def _assigned(report: Report, rulebook: Rulebook, desk: Desk, *, now: datetime) -> Report:
    rule = route(report.facts, rulebook.rules).rule
    among = candidates(desk.people, office=rule.office, role=Role(rule.role), element=rule.element, now=now)
    person = choose(among, desk.open_reports)
    return replace(report, assignee=person.person_id) if person else report


def _first_clocks(report: Report, rulebook: Rulebook, *, now: datetime) -> list[Obligation]:
    calendar = rulebook.calendar_for(report.office)
    policies = [rulebook.policy_for(report.policy, kind) for kind in ON_RECEIPT]
    return [clocks.start_clock(report.report_id, policy, calendar, cycle=1, now=now) for policy in policies if policy]


def _withdrawn(
    event: CityEvent, report: Report, obligations: Sequence[Obligation], rulebook: Rulebook, *, now: datetime
) -> tuple[Changes, Effect]:
    actor = Actor(f"source:{event.source}")
    if report.status is Status.CLOSED or _before_reopening(event, report, obligations):
        changes = Changes()
        changes.note(report, "late_event", actor.name, now, type=event.type, webhook_id=event.webhook_id)
        return changes, Effect.LATE
    changes = decide_move(Move.WITHDRAW, report, obligations, rulebook, actor, now=now)
    if report.assignee:
        changes.deliveries.append(_notice(report, "withdrawn", event, now=now))
    return changes, Effect.WITHDRAWN


def _before_reopening(event: CityEvent, report: Report, obligations: Sequence[Obligation]) -> bool:
    """Tell whether the event speaks of an earlier cycle: what is late there never touches this one."""
    began = [o.started_at for o in obligations if o.cycle == report.cycle and o.kind in ON_RECEIPT]
    return report.cycle > 1 and any(event.happened_at < at for at in began)


def _amended(event: CityEvent, report: Report, *, now: datetime) -> tuple[Changes, Effect]:
    changes = Changes()
    actor = f"source:{event.source}"
    # A withdrawal may overtake what the citizen said before it: whichever comes first, the report ends the same.
    decided = report.status is Status.CLOSED and report.outcome is not Outcome.WITHDRAWN
    # What was forgotten stays so, whatever the city still sends of it.
    if event.happened_at < report.event_at or decided or report.forgotten_at is not None:
        changes.note(report, "late_event", actor, now, type=event.type, webhook_id=event.webhook_id)
        return changes, Effect.LATE
    sent = {name: _like(getattr(report, name), event.data[name]) for name in AMENDABLE if name in event.data}
    differing = {
        name: value for name, value in sent.items() if _comparable(value) != _comparable(getattr(report, name))
    }
    if not differing:
        return changes, Effect.UNCHANGED
    amended = replace(report, event_at=event.happened_at, **differing)
    # The names of the fields only: what stood in them may be personal, and history is never edited.
    changes.note(amended, "amended", actor, now, fields=sorted(differing), webhook_id=event.webhook_id)
    changes.reports[report.report_id] = amended
    if report.assignee and report.status is not Status.CLOSED:
        changes.deliveries.append(_notice(report, "amended", event, now=now))
    return changes, Effect.AMENDED


def _notice(report: Report, what: str, event: CityEvent, *, now: datetime) -> Delivery:
    return Delivery(
        report_id=report.report_id,
        ticket=report.ticket,
        cycle=report.cycle,
        purpose=Purpose.NOTICE,
        event=what,
        channel="email",
        recipient=report.assignee or "",
        dedupe_key=f"notice/{report.report_id}/{what}/{event.source}/{event.webhook_id}",
        created_at=now,
    )


def _like(present: Any, sent: Any) -> Any:
    """Return what was sent in the form the report keeps it, so that equal things compare equal."""
    if isinstance(present, tuple):
        return tuple(sent or ())
    return (sent or {}) if isinstance(present, dict) else sent


def _comparable(value: Any) -> Any:
    """Return what tells two values apart: the same sealed twice is never the same, its mark is."""
    return {name: part for name, part in value.items() if name != "sealed"} if isinstance(value, dict) else value
