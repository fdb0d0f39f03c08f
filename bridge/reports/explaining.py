"""Why is it due then? One clock's deadline accounted for line by line, and its ladder: fired, and to come.

Every due time comes from `clocks.due_at`, every line to come from `escalation.fire`: nothing is worked out a second
way. Lines are facts; `bridge/clock_words.py` says them in Indonesian and English.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import groupby
from typing import Any

from bridge.reports.calendars import WorkingCalendar
from bridge.reports.clock_history import deadline_moved_at, moved_by, of_clock, taken_from, why_early
from bridge.reports.clocks import ON_REGISTRATION, Kind, Obligation, Pause, Policy, Span, Unit, due_at, stood_still_s
from bridge.reports.escalation import Desk, fire
from bridge.reports.moves import STARTED_BY
from bridge.reports.report import Escalation, Event, Report
from bridge.reports.rulebook import Rulebook

_Stretch = tuple[datetime, datetime]
_MOMENT = timedelta(microseconds=1)


class What(StrEnum):
    """What a line of an account is about."""

    START = "start"
    PROMISE = "promise"
    OPENS = "opens"
    DAY_ZERO = "day_zero"
    DAY_OFF = "day_off"
    WORKED = "worked"
    DAY = "day"
    PAUSE = "pause"
    MADE_UP = "made_up"
    TOOK_OVER = "took_over"
    TRANSFERRED = "transferred"
    DEADLINE = "deadline"
    FIRED = "fired"
    AHEAD = "ahead"


#: Of two lines at one instant the one named first above stands first.
_ORDER = {what: place for place, what in enumerate(What)}


@dataclass(frozen=True)
class Line:
    """One line: when (UTC), what it is about, what it adds, and what its sentence needs to know.

    `counted_s` are the seconds the clock counted, in its own measure: wall-clock or working time. A clock of working
    days counts `counted_days`, and seconds only to make up for pauses. Dates in `facts` are the office's own.
    """

    at: datetime
    what: What
    counted_s: float = 0.0
    counted_days: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Account:
    """One clock explained. `lines` end with the deadline; `steps` are its ladder, first what has fired."""

    obligation: Obligation
    policy: Policy
    calendar: WorkingCalendar
    lines: tuple[Line, ...]
    steps: tuple[Line, ...]


def account(
    obligation: Obligation,
    rulebook: Rulebook,
    fired: Iterable[Escalation] = (),
    ahead: Iterable[Escalation] = (),
    history: Iterable[Event] = (),
) -> Account:
    """Account for one clock.

    Args:
        fired: Rows of the escalation log; those of other clocks and cycles are left out.
        ahead: What `foreseen` gave for the report.
        history: All of the report's, oldest first: whose clock this was, what moved it, who sent it up early.

    Raises:
        UnknownVersion: its policy or calendar is not loaded.
    """
    policy, calendar = rulebook.frozen(obligation)
    past = [(What.FIRED, row) for row in sorted(_of(obligation, fired), key=lambda row: row.step)]
    coming = [(What.AHEAD, row) for row in _of(obligation, ahead)]
    befell = of_clock(obligation, history)
    lines = reckoning(obligation, policy, calendar, befell)
    return Account(
        obligation, policy, calendar, tuple(lines), tuple(_steps([*past, *coming], befell, obligation.moved_at))
    )


def accounts(
    report: Report,
    owed: Sequence[Obligation],
    rulebook: Rulebook,
    desk: Desk,
    fired: Sequence[Escalation],
    history: Sequence[Event],
    *,
    now: datetime,
) -> list[Account]:
    """Account for every clock of a report, with what its ladders will do if nobody acts.

    Args:
        fired: The report's rows of the escalation log.
        history: All of the report's, oldest first.

    Raises:
        UnknownVersion: a policy or calendar is not loaded.
    """
    ahead = foreseen(report, owed, rulebook, desk, now=now)
    return [account(obligation, rulebook, fired, ahead, history) for obligation in owed]


def reckoning(
    obligation: Obligation, policy: Policy, calendar: WorkingCalendar, befell: Sequence[Event] = ()
) -> list[Line]:
    """Return how the deadline came about, in order of time; the last line is the deadline.

    Of a span in seconds the lines' `counted_s` add up to the span. Of one in working days `counted_days` do, and
    `counted_s` is the working time pauses took up to the end of the last day.
    """
    due = due_at(obligation, policy.span, calendar, policy.days)
    stood = list(_stood(obligation, due))
    holes = [stretch for _, stretch in stood if stretch]
    unit = policy.span.unit
    lines = [_start(obligation, befell), _promise(obligation, policy, calendar)]
    if unit is Unit.WALL_SECONDS:
        lines += [_counted(What.WORKED, [left]) for left in _without((obligation.started_at, due), holes)]
    elif unit is Unit.WORKING_SECONDS:
        opens_at = calendar.add(obligation.started_at, 0)
        if opens_at > obligation.started_at:
            lines.append(Line(opens_at, What.OPENS))
        lines += _worked(What.WORKED, (obligation.started_at, due), holes, calendar)
    else:
        lines += _days(obligation, policy, calendar, due, holes)
    if unit is not Unit.WALL_SECONDS:
        lines += _days_off(calendar, obligation.started_at, due)
    lines += [_paused(obligation, policy, calendar, pause, stretch) for pause, stretch in stood]
    lines += _given_over(obligation, befell)
    # What began after the deadline moved nothing: it is told, but the deadline has the last word.
    lines.sort(key=lambda line: (min(line.at, due), _ORDER[line.what]))
    return [*lines, _deadline(obligation, policy, due, befell)]


def foreseen(
    report: Report, owed: Iterable[Obligation], rulebook: Rulebook, desk: Desk, *, now: datetime
) -> list[Escalation]:
    """Return what the escalation log will say if nobody acts, in order of time: the engine itself, run ahead.

    A step is taken with those who are there when it is due, as far as absences are known at `now`; one that is
    overdue fires now. The report changes hands on the way, and later steps know it.

    Raises:
        UnknownVersion: a policy or calendar is not loaded.
    """
    clocks = {o.kind: o for o in owed if o.cycle == report.cycle}
    found: list[Escalation] = []
    while waiting := [(o.next_due, o.kind) for o in clocks.values() if o.next_due]:
        due, kind = min(waiting)
        others = [o for o in clocks.values() if o.kind is not kind]
        changes = fire(clocks[kind], others, report, rulebook, desk, now=max(now, due))
        found += changes.escalations
        report = changes.reports.get(report.report_id, report)
        clocks |= {o.kind: o for o in changes.obligations}
    return found


def _of(obligation: Obligation, log: Iterable[Escalation]) -> list[Escalation]:
    mine = [row for row in log if (row.kind, row.cycle) == (obligation.kind, obligation.cycle)]
    # A clock may have been started before in the same cycle: what fired then is not of this account.
    return [row for row in mine if row.step > obligation.earlier_steps]


def _steps(
    rows: Sequence[tuple[What, Escalation]], befell: Sequence[Event], moved_at: datetime | None
) -> Iterator[Line]:
    names = ("step", "level", "due_at", "target", "did", "told", "held_by", "lateness_s", "remark")
    seen: Counter[int] = Counter()
    for what, row in rows:
        again = seen[row.level] if row.level else 0
        seen[row.level] += 1
        logged = {name: getattr(row, name) for name in names}
        cause = moved_by(row, befell, moved_at if what is What.AHEAD else None)
        told = {"again": again, "moved_by": cause, **why_early(row, befell)}
        yield Line(row.fired_at, what, facts=logged | told)


def _start(obligation: Obligation, befell: Sequence[Event]) -> Line:
    of = taken_from(befell)
    began = {"event": "took_over", "of": of} if of else {"event": _began(obligation)}
    return Line(obligation.started_at, What.START, facts=began | {"cycle": obligation.cycle})


def _began(obligation: Obligation) -> str:
    """Return the event that started the clock: the report came, or a move that starts this kind."""
    moves = [move for move, kinds in STARTED_BY.items() if obligation.kind in kinds]
    reported = obligation.kind in (Kind.ACKNOWLEDGE, Kind.TRIAGE) and obligation.cycle == 1
    return "received" if reported or not moves else str(moves[0])


def _promise(obligation: Obligation, policy: Policy, calendar: WorkingCalendar) -> Line:
    facts = {
        "span": policy.span,
        "source": policy.source,
        "source_en": policy.source_in("en"),
        "verified": policy.verified,
        "statutory": policy.kind in ON_REGISTRATION,
        "policy": policy.version,
        "calendar": calendar.version,
    }
    return Line(obligation.started_at, What.PROMISE, facts=facts)


def _given_over(obligation: Obligation, befell: Sequence[Event]) -> Iterator[Line]:
    """Yield a line for each clock this one took over, and for each office the report went to meanwhile."""
    last = taken_from(befell)
    for event in befell:
        data, told = event.data, {"by": event.actor, "reason": event.data["reason"]}
        if event.event == "took_over":
            since = obligation.started_at if data["of"] == last else None
            yield Line(event.at, What.TOOK_OVER, facts={"of": data["of"], "since": since, **told})
        elif event.event == "transferred":
            yield Line(event.at, What.TRANSFERRED, facts={"of": data["of"], "to": data["to"], **told})


def _deadline(obligation: Obligation, policy: Policy, due: datetime, befell: Sequence[Event]) -> Line:
    facts = {
        "recorded_at": obligation.deadline_at if obligation.deadline_at != due else None,
        "moved_at": deadline_moved_at(befell),
        "same_time": policy.span.unit is Unit.WORKING_DAYS and policy.days.same_time,
    }
    return Line(due, What.DEADLINE, facts=facts)


def _stood(obligation: Obligation, due: datetime) -> Iterator[tuple[Pause, _Stretch | None]]:
    """Yield every pause with the stretch it took out of the time up to `due`, None if it took none (yet)."""
    counted_until = obligation.started_at
    for pause in sorted(obligation.pauses, key=lambda p: (p.since, p.until is None, p.until)):
        since = max(pause.since, counted_until)
        if pause.until is None or pause.until <= since or since >= due:
            yield pause, None
        else:
            counted_until = pause.until
            yield pause, (since, pause.until)


def _paused(
    obligation: Obligation, policy: Policy, calendar: WorkingCalendar, pause: Pause, stretch: _Stretch | None
) -> Line:
    took_s = stood_still_s(obligation, policy.span, calendar, policy.days, *stretch) if stretch else 0.0
    facts = {
        "since": pause.since,
        "until": pause.until or obligation.ended_at,
        "open": pause.until is None,
        "by": pause.by,
        "reason": pause.reason,
        "took_s": took_s,
    }
    return Line(max(pause.since, obligation.started_at), What.PAUSE, facts=facts)


def _days(
    obligation: Obligation, policy: Policy, calendar: WorkingCalendar, due: datetime, holes: Sequence[_Stretch]
) -> Iterator[Line]:
    """Yield the days that count, what is said of the day of receipt, and the time made up for pauses."""
    unpaused = replace(obligation, pauses=())
    spans = [Span(number, Unit.WORKING_DAYS) for number in range(policy.span.amount + 1)]
    ends = [due_at(unpaused, span, calendar, policy.days) for span in spans]
    days = [_day_of(at, policy, calendar) for at in ends]
    if policy.span.amount:
        yield from _days_zero(unpaused, policy, calendar, days[1:])
    for number, at in enumerate(ends[1:], start=1):
        facts = {"number": number, "of": policy.span.amount, "on": days[number]}
        yield Line(at, What.DAY, counted_days=1, facts=facts)
    yield from _worked(What.MADE_UP, (ends[-1], due), holes, calendar)


def _day_of(at: datetime, policy: Policy, calendar: WorkingCalendar) -> date:
    """Return the local day that was over at `at`: an end of work may be midnight, and so on the next date."""
    within = policy.days.same_time and calendar.is_open(at)
    moment = at if within else at - _MOMENT
    return calendar.worked_on(moment) or calendar.local(moment).date()


def _days_zero(
    unpaused: Obligation, policy: Policy, calendar: WorkingCalendar, counted: Sequence[date]
) -> Iterator[Line]:
    """Yield a line for the day of receipt and each working day until the first that counts, as the policy has it."""
    first, one_day = calendar.local(unpaused.started_at).date(), Span(1, Unit.WORKING_DAYS)
    whatever_hour = replace(policy.days, cut_off=None)
    in_time = due_at(unpaused, one_day, calendar, whatever_hour) == due_at(unpaused, one_day, calendar, policy.days)
    for day in _dates(first, counted[0]):
        counts = day == counted[0]
        if calendar.spans_on(day) and (not counts or day == first):
            at = max(unpaused.started_at, calendar.instant(day, 0))
            cut_off = policy.days.cut_off if day == first and not in_time else None
            yield Line(
                at, What.DAY_ZERO, facts={"on": day, "counts": counts, "first": day == first, "cut_off": cut_off}
            )


def _worked(what: What, between: _Stretch, holes: Sequence[_Stretch], calendar: WorkingCalendar) -> Iterator[Line]:
    """Yield a line for each local day on which working time was counted between two instants."""
    start, end = between
    # At night the shift of the day before may go on.
    for day in _dates(calendar.local(start).date() - timedelta(days=1), calendar.local(end).date()):
        clipped = [(max(opens, start), min(closes, end)) for opens, closes in calendar.spans_on(day)]
        left = [part for stretch in clipped for part in _without(stretch, holes)]
        if left:
            other = next((p.name for p in calendar.periods if p.first_on <= day <= p.last_on), "")
            yield _counted(what, left, on=day, period=other)


def _counted(what: What, stretches: Sequence[_Stretch], **facts: Any) -> Line:
    counted = sum((until - since for since, until in stretches), timedelta())
    return Line(stretches[0][0], what, counted.total_seconds(), facts={"stretches": tuple(stretches), **facts})


def _without(stretch: _Stretch, holes: Iterable[_Stretch]) -> Iterator[_Stretch]:
    """Yield what is left of a stretch; the holes are in order and do not overlap."""
    since, until = stretch
    for begins, ends in holes:
        if ends <= since or begins >= until:
            continue
        if since < begins:
            yield since, begins
        since = ends
    if since < until:
        yield since, until


def _days_off(calendar: WorkingCalendar, start: datetime, due: datetime) -> Iterator[Line]:
    """Yield a line for each day without work; days in a row that are free for the same reason are told together."""
    always = replace(calendar, days_off={})
    days = _dates(calendar.local(start).date(), calendar.local(due).date())
    closed = [(day, calendar.days_off.get(day), not always.spans_on(day)) for day in days if not calendar.spans_on(day)]
    numbered = [(day.toordinal() - place, why, anyway, day) for place, (day, why, anyway) in enumerate(closed)]
    for (_, why, anyway), run in groupby(numbered, key=lambda one: one[:3]):
        free = [one[3] for one in run]
        facts = {"on": free[0], "last_on": free[-1], "why": why, "anyway": anyway}
        yield Line(max(start, calendar.instant(free[0], 0)), What.DAY_OFF, facts=facts)


def _dates(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=offset) for offset in range((last - first).days + 1))
