"""What the unit tests start from: small real things, made without files, servers or a clock."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from bridge.reports.calendars import Hours, WorkingCalendar
from bridge.reports.clocks import Deed, Kind, Obligation, Policy, Step, parse_span, start_clock
from bridge.reports.escalation import Desk
from bridge.reports.intake import CityEvent, EventType, new_report
from bridge.reports.moves import Actor, Details, decide_move
from bridge.reports.people import Person, Role
from bridge.reports.report import Changes, Report
from bridge.reports.routing import Rule
from bridge.reports.rulebook import Office, Rulebook
from bridge.reports.states import Move, Outcome, Status

#: A Monday, 10.00 in Jakarta: every office of these tests is open.
MONDAY = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
OFFICE = "bpsk-dki"
REPORT_ID = "0d9c1f3e-0000-5000-8000-000000000001"

_NINE_TO_FIVE: Hours = ((540, 1020),)
_CLOSED: Hours = ()


def a_calendar(days_off: Mapping[date, str] | None = None, **changes: Any) -> WorkingCalendar:
    """Monday to Friday, nine to five in Jakarta: eight working hours a day."""
    week = (*(_NINE_TO_FIVE,) * 5, _CLOSED, _CLOSED)
    plain = WorkingCalendar("office", "office@1", "Asia/Jakarta", week, days_off or {})
    return replace(plain, **changes)


def a_policy(kind: Kind, span: str, *steps: tuple[str, str, str], version: str = "") -> Policy:
    """A policy with steps like `("4 working hours", "role:chair", "notify")`; a warning has no rung of its own."""
    built, level = [], 0
    for at, to, do in steps:
        level += do != Deed.WARN
        built.append(Step(parse_span(at), level if do != Deed.WARN else 0, to, Deed(do)))
    return Policy(kind, version or f"{kind}@1", parse_span(span), tuple(built))


ACKNOWLEDGE = a_policy(
    Kind.ACKNOWLEDGE,
    "4 working hours",
    ("2 working hours", "assignee", "warn"),
    ("4 working hours", "next_member", "both"),
    ("8 working hours", "role:chair", "notify"),
)
TRIAGE = a_policy(Kind.TRIAGE, "5 working days", ("5 working days", "role:secretariat", "notify"))
COMPLETION = a_policy(
    Kind.COMPLETION,
    "10 working days",
    ("5 working days", "citizen", "notify"),
    ("10 working days", "assignee", "close"),
)
SUMMONS = a_policy(Kind.SUMMONS, "3 working days", ("3 working days", "role:secretariat", "notify"))
FIRST_HEARING = a_policy(Kind.FIRST_HEARING, "7 working days", ("7 working days", "role:chair", "notify"))
DECISION = a_policy(Kind.DECISION, "21 working days", ("21 working days", "role:chair", "notify"))
POLICIES = (ACKNOWLEDGE, TRIAGE, COMPLETION, SUMMONS, FIRST_HEARING, DECISION)


def a_rulebook(*policies: Policy, told_back: Sequence[str] = ("qlue",)) -> Rulebook:
    """One office, one rule that takes everything; `policies` stand in for the usual ones of their kinds."""
    chosen = {policy.kind: policy for policy in (*POLICIES, *policies)}
    return Rulebook(
        rules=(Rule("everything", OFFICE),),
        offices={OFFICE: Office(OFFICE, "BPSK DKI Jakarta", "office")},
        calendars={"office": a_calendar()},
        policies={"default": chosen},
        told_back=frozenset(told_back),
    )


def a_person(person_id: str, role: Role = Role.OFFICER, **changes: Any) -> Person:
    """Somebody of the office, present."""
    return replace(Person(person_id, person_id.title(), role, OFFICE), **changes)


ANI, BUDI, CITRA = a_person("ani"), a_person("budi"), a_person("citra")
SEKAR = a_person("sekar", Role.SECRETARIAT)
KETUA = a_person("ketua", Role.CHAIR)
KADIS = a_person("kadis", Role.DINAS_HEAD, office="dinas")
ADMIN = a_person("admin", Role.ADMIN, office="city")
EVERYBODY = (ANI, BUDI, CITRA, SEKAR, KETUA, KADIS, ADMIN)


def a_desk(*people: Person, **open_reports: int) -> Desk:
    """These people and nobody else; without any, everybody."""
    return Desk(people or EVERYBODY, open_reports)


def absent(person: Person) -> Person:
    """Somebody who is away for a year."""
    return replace(person, absent_from=MONDAY - timedelta(days=1), absent_until=MONDAY + timedelta(days=365))


def a_report(**changes: Any) -> Report:
    """A report that lies on Ani's desk, not acknowledged yet, of which the city was told once."""
    plain = Report(
        report_id=REPORT_ID,
        ticket="K7Q2-9XWM-4T8R",
        source="qlue",
        external_id="QL-88121",
        status=Status.RECEIVED,
        cycle=1,
        office=OFFICE,
        policy="default",
        title="Motor ditarik leasing",
        description="Ditarik di jalan tanpa surat.",
        category="PEMBIAYAAN",
        language="id",
        reporter={"name": "Siti Aminah", "phone": "0812-0000-1111", "email": "siti@example.id"},
        business={"name": "PT Maju Leasing", "address": "Jl. Rahasia 7"},
        location={"lat": -6.26, "lon": 106.81, "area": "31.74.05"},
        attachments=(),
        amount_idr=12_500_000,
        reported_at=MONDAY,
        received_at=MONDAY,
        event_at=MONDAY,
        routing=(),
        assignee="ani",
        sequence=1,
    )
    return replace(plain, **changes)


def a_clock(policy: Policy = ACKNOWLEDGE, *, at: datetime = MONDAY, **changes: Any) -> Obligation:
    """A running clock of the report, started at `at` in the usual calendar."""
    return replace(start_clock(REPORT_ID, policy, a_calendar(), cycle=1, now=at), **changes)


def an_event(kind: EventType, hours: float = 0, *, webhook_id: str = "", **data: Any) -> CityEvent:
    """What the city says happened `hours` after Monday morning; a submission is whole without any `data`."""
    whole = {"title": "Motor ditarik leasing", "description": "Ditarik di jalan.", "category": "PEMBIAYAAN"}
    return CityEvent(
        source="qlue",
        type=kind,
        external_id="QL-88121",
        report_id=REPORT_ID,
        ticket="K7Q2-9XWM-4T8R",
        webhook_id=webhook_id or f"msg_{kind}_{hours}",
        happened_at=MONDAY + timedelta(hours=hours),
        received_at=MONDAY,
        data={"id": "QL-88121", **(whole if kind is EventType.SUBMITTED else {}), **data},
    )


def taken_in(rulebook: Rulebook | None = None) -> tuple[Report, list[Obligation]]:
    """A report as a first submission leaves it, with its clocks."""
    changes = new_report(an_event(EventType.SUBMITTED), [], rulebook or a_rulebook(), a_desk(), now=MONDAY)
    return changes.new_reports[0], changes.new_obligations


def an_actor(name: str) -> Actor:
    """Who does it, with the person if it is one of ours."""
    return Actor(name, next((p for p in EVERYBODY if f"person:{p.person_id}" == name), None))


class Case:
    """A report with its clocks, moved on by decisions as the database would keep it."""

    def __init__(self, rulebook: Rulebook | None = None) -> None:
        self.rulebook = rulebook or a_rulebook()
        self.report, started = taken_in(self.rulebook)
        self.clocks = {clock.kind: clock for clock in started}

    def keep(self, changes: Changes) -> Changes:
        """Let the next decision see what this one changed."""
        self.report = changes.reports.get(REPORT_ID, self.report)
        self.clocks |= {clock.kind: clock for clock in (*changes.new_obligations, *changes.obligations)}
        return changes

    def do(self, move: Move, actor: str = "ani", *, hours: float = 1, **details: Any) -> Changes:
        """Make a move, with whatever details it needs."""
        needed: dict[Move, dict[str, Any]] = {
            Move.ASK_COMPLETION: {"missing": ("KTP",)},
            Move.REGISTER: {"case_number": "17/BPSK/2026"},
            Move.CLOSE: {"outcome": Outcome.REFERRED},
            Move.REOPEN: {"reason": "new proof"},
        }
        by = an_actor(f"person:{actor}")
        chosen = Details(**{**needed.get(move, {}), **details})
        now = MONDAY + timedelta(hours=hours)
        clocks = list(self.clocks.values())
        return self.keep(decide_move(move, self.report, clocks, self.rulebook, by, now=now, details=chosen))

    def states(self) -> dict[str, str]:
        """The state of every clock, by kind."""
        return {kind: clock.state for kind, clock in self.clocks.items()}


#: How a report gets into a state.
WAY_TO = {
    Status.RECEIVED: (),
    Status.ACKNOWLEDGED: (Move.ACKNOWLEDGE,),
    Status.NEEDS_COMPLETION: (Move.ACKNOWLEDGE, Move.ASK_COMPLETION),
    Status.REGISTERED: (Move.ACKNOWLEDGE, Move.REGISTER),
    Status.CLOSED: (Move.ACKNOWLEDGE, Move.CLOSE),
}


def a_case(status: Status = Status.RECEIVED, rulebook: Rulebook | None = None) -> Case:
    """A report that came into a state by the moves of people."""
    case = Case(rulebook)
    for number, move in enumerate(WAY_TO[status]):
        case.do(move, hours=0.1 * (number + 1))
    return case
