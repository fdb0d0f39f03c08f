"""Obligations and their clocks: what is due when, what a pause does, which step comes next.

One obligation is one promise about one report: acknowledge it, decide on it. Its clock is a policy (frozen by
version when the clock starts), a start, and the pauses so far: from these the due time of every step can be
computed from scratch at any time, under this calendar or a later one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from bridge.reports.calendars import WorkingCalendar, in_utc
from bridge.reports.daycounts import FROM_NEXT_DAY, DayCount, counting_from, due_on


class Kind(StrEnum):
    """What is owed. Service clocks run from receipt, statutory ones from registration."""

    ACKNOWLEDGE = "acknowledge"
    TRIAGE = "triage"
    COMPLETION = "completion"
    SUMMONS = "summons"
    FIRST_HEARING = "first_hearing"
    DECISION = "decision"


#: Started when a report arrives or is reopened.
ON_RECEIPT = (Kind.ACKNOWLEDGE, Kind.TRIAGE)
#: Started when the case is registered: never by a webhook (a report is not an application, domain.md B3).
ON_REGISTRATION = (Kind.SUMMONS, Kind.FIRST_HEARING, Kind.DECISION)
#: These wait while the citizen is asked for something; the statutory clocks do not.
PAUSED_BY_CITIZEN = (Kind.ACKNOWLEDGE, Kind.TRIAGE)


class ClockState(StrEnum):
    """Where one obligation stands. Running without a next due time is *exhausted*: all told, still open."""

    RUNNING = "running"
    PAUSED = "paused"
    MET = "met"
    CANCELLED = "cancelled"


class Unit(StrEnum):
    """How a span is counted."""

    WALL_SECONDS = "wall"
    WORKING_SECONDS = "working"
    WORKING_DAYS = "working days"


#: A member looked up in its enum costs more than many a sum with it.
_WALL_SECONDS, _WORKING_SECONDS = Unit.WALL_SECONDS, Unit.WORKING_SECONDS


@dataclass(frozen=True)
class Span:
    """A length of time in one unit: seconds, working seconds, or working days (to the end of the last)."""

    amount: int
    unit: Unit

    def __str__(self) -> str:
        if self.unit is Unit.WORKING_DAYS:
            return _counted(self.amount, "working day")
        working = "working " if self.unit is Unit.WORKING_SECONDS else ""
        for name, seconds in (("hour", 3600), ("minute", 60)):
            if self.amount and self.amount % seconds == 0:
                return _counted(self.amount // seconds, working + name)
        return _counted(self.amount, working + "second")

    def percent(self, share: int) -> "Span":
        """Return `share` percent of this span, rounded down to a whole second or day."""
        return Span(self.amount * share // 100, self.unit)


class BadSpan(ValueError):
    """The text is not a span of time."""


_SPAN = re.compile(r"([0-9]{1,11}) (working )?(second|minute|hour|day)s?")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_LONGEST_S = 999_999 * 86_400  # more than that and no date has it


def parse_span(text: str) -> Span:
    """Read `30 seconds`, `4 working hours`, `21 working days`; the inverse of `str(span)`.

    Raises:
        BadSpan: says the forms there are.
    """
    found = _SPAN.fullmatch(text.strip())
    if not found or int(found[1]) * _SECONDS[found[3]] > _LONGEST_S:
        raise BadSpan(f"{text!r} is not a span; write for example '30 minutes', '4 working hours', '21 working days'")
    amount, working, unit = int(found[1]), bool(found[2]), found[3]
    if working and unit == "day":
        return Span(amount, Unit.WORKING_DAYS)
    return Span(amount * _SECONDS[unit], Unit.WORKING_SECONDS if working else Unit.WALL_SECONDS)


class Deed(StrEnum):
    """What a step does when it falls due."""

    WARN = "warn"
    NOTIFY = "notify"
    REASSIGN = "reassign"
    BOTH = "both"
    CLOSE = "close"


@dataclass(frozen=True)
class Step:
    """One step of a ladder. Level 0 is a warning before the deadline; rungs count from 1.

    A rung that is repeated stands here once for each time, `again` counting from 1: every firing is a step of its own.
    """

    at: Span
    level: int
    to: str  # assignee | next_member | role:<role> | office:<id> | person:<id> | citizen
    deed: Deed
    again: int = 0

    def definition(self) -> dict[str, Any]:
        """Return the step as plain JSON values."""
        again = {"again": self.again} if self.again else {}
        return {"at": str(self.at), "level": self.level, "to": self.to, "do": self.deed, **again}


@dataclass(frozen=True)
class Policy:
    """The clock of one obligation kind: its span, how its working days are counted, and its steps in rising order.

    `verified` tells whether somebody has compared it with the text that `source` names. `source` is in Indonesian where
    there is a `source_en`, else in whatever language it was written.
    """

    kind: Kind
    version: str
    span: Span
    steps: tuple[Step, ...]
    source: str = ""
    days: DayCount = FROM_NEXT_DAY
    verified: bool = False
    source_en: str | None = None

    def source_in(self, language: str) -> str:
        """Return whose rule it is, in this language if it was written in both."""
        return self.source_en if language == "en" and self.source_en is not None else self.source

    @property
    def persons(self) -> frozenset[str]:
        """Return the ids of the persons its rungs name."""
        return frozenset(step.to.removeprefix("person:") for step in self.steps if step.to.startswith("person:"))

    def definition(self) -> dict[str, Any]:
        """Return the policy as plain JSON values, for the store of versions.

        What is as usual is left out: a policy keeps its version when the language of policies grows.
        """
        unusual: dict[str, Any] = {} if self.days == FROM_NEXT_DAY else {"days": self.days.definition()}
        if self.verified:
            unusual["verified"] = True
        return {
            "kind": self.kind,
            "span": str(self.span),
            "source": self.source if self.source_en is None else {"id": self.source, "en": self.source_en},
            "steps": [step.definition() for step in self.steps],
            **unusual,
        }

    @classmethod
    def from_definition(cls, version: str, definition: dict[str, Any]) -> "Policy":
        """Read what `definition` gave."""
        steps = tuple(
            Step(parse_span(s["at"]), s["level"], s["to"], Deed(s["do"]), s.get("again", 0))
            for s in definition["steps"]
        )
        source = definition.get("source", "")
        both = source if isinstance(source, dict) else {"id": source}
        return cls(
            Kind(definition["kind"]),
            version,
            parse_span(definition["span"]),
            steps,
            both["id"],
            DayCount(**definition.get("days", {})),
            definition.get("verified", False),
            both.get("en"),
        )


@dataclass(frozen=True)
class Pause:
    """A stretch in which a clock stood still; `until` is None while it lasts."""

    since: datetime
    until: datetime | None
    by: str
    reason: str


@dataclass(frozen=True)
class Obligation:
    """One row per (report, kind); the timer is its `next_due` column and nothing else.

    `step` counts the steps fired since it was started, warnings included; `level` is the highest rung told. A clock
    started again in the same cycle counts on in the log after its `earlier_steps`. Due times are aware, UTC;
    `next_due` is None exactly when the clock is not running or its ladder is exhausted. `deadline_at` is when the span
    itself ends.
    """

    report_id: str
    kind: Kind
    cycle: int
    state: ClockState
    step: int
    level: int
    next_due: datetime | None
    deadline_at: datetime
    started_at: datetime
    pauses: tuple[Pause, ...]
    policy_version: str
    calendar_version: str
    ended_at: datetime | None = None
    ended_by: str | None = None
    moved_at: datetime | None = None  # when a new calendar or policy last moved `next_due`; cleared as the step fires
    earlier_steps: int = 0

    @property
    def next_number(self) -> int:
        """Return the number its next step has in the log: never twice in one cycle."""
        return self.earlier_steps + self.step + 1

    @property
    def exhausted(self) -> bool:
        """Tell whether everybody on the ladder has been told and it is still open."""
        return self.state is ClockState.RUNNING and self.next_due is None


def start_clock(report_id: str, policy: Policy, calendar: WorkingCalendar, *, cycle: int, now: datetime) -> Obligation:
    """Return a running obligation whose clock starts at `now`."""
    now = in_utc(now)
    fresh = Obligation(
        report_id=report_id,
        kind=policy.kind,
        cycle=cycle,
        state=ClockState.RUNNING,
        step=0,
        level=0,
        next_due=None,
        deadline_at=now,
        started_at=now,
        pauses=(),
        policy_version=policy.version,
        calendar_version=calendar.version,
    )
    return timed(fresh, policy, calendar)


def timed(obligation: Obligation, policy: Policy, calendar: WorkingCalendar) -> Obligation:
    """Return the obligation with its due times computed from scratch under `calendar`."""
    running = obligation.state is ClockState.RUNNING and obligation.step < len(policy.steps)
    next_due = None
    if running:
        next_due = due_at(obligation, policy.steps[obligation.step].at, calendar, policy.days)
    deadline = due_at(obligation, policy.span, calendar, policy.days)
    return changed(obligation, next_due=next_due, deadline_at=deadline, calendar_version=calendar.version)


_new = object.__new__


def changed(obligation: Obligation, **values: Any) -> Obligation:
    """Return the obligation with other values; when many clocks move, `dataclasses.replace` is half the work."""
    other: Obligation = _new(Obligation)
    other.__dict__.update(obligation.__dict__, **values)
    return other


def due_at(obligation: Obligation, span: Span, calendar: WorkingCalendar, days: DayCount = FROM_NEXT_DAY) -> datetime:
    """Return when `span` has passed on this obligation's clock, finished pauses left out.

    A pause that began later moves nothing: what was late by then stays late.
    """
    paused_s = 0.0
    due = _due(obligation.started_at, span, paused_s, calendar, days)
    if not obligation.pauses:
        return due
    for since, until in _standstills(obligation):
        if since >= due:
            break
        paused_s += stood_still_s(obligation, span, calendar, days, since, until)
        due = _due(obligation.started_at, span, paused_s, calendar, days)
    return due


def stood_still_s(
    obligation: Obligation, span: Span, calendar: WorkingCalendar, days: DayCount, since: datetime, until: datetime
) -> float:
    """Return the seconds a finished pause gives back to a span: wall seconds, or working seconds that counted."""
    if span.unit is Unit.WALL_SECONDS:
        return (until - since).total_seconds()
    if span.unit is Unit.WORKING_DAYS:
        since = max(since, counting_from(calendar, obligation.started_at, days))
    return calendar.elapsed(since, until)


def _due(start: datetime, span: Span, paused_s: float, calendar: WorkingCalendar, days: DayCount) -> datetime:
    unit = span.unit
    if unit is _WORKING_SECONDS:
        return calendar.add(start, span.amount + paused_s)
    if unit is _WALL_SECONDS:
        return start + timedelta(seconds=span.amount + paused_s)
    due = due_on(calendar, start, span.amount, days)
    return calendar.add(due, paused_s) if paused_s else due


def _standstills(obligation: Obligation) -> list[tuple[datetime, datetime]]:
    """Return the finished pauses in order; what a clock set back put before the start, or in twice, is left out."""
    found: list[tuple[datetime, datetime]] = []
    counted_until = obligation.started_at
    for since, until in sorted((pause.since, pause.until) for pause in obligation.pauses if pause.until is not None):
        if until > counted_until:
            found.append((max(since, counted_until), until))
            counted_until = until
    return found


def advanced(
    obligation: Obligation, policy: Policy, calendar: WorkingCalendar, *, now: datetime, skipped: bool
) -> Obligation:
    """Return the obligation after its present step has fired.

    Due times are absolute: a late tick does not push the later steps back. Only when the step found nobody
    (`skipped`) is the next one due at once, for its waiting time would be spent on no one; but a report is not closed
    before its citizen's time is over.
    """
    level = max(obligation.level, policy.steps[obligation.step].level)
    after = timed(replace(obligation, step=obligation.step + 1, level=level, moved_at=None), policy, calendar)
    return replace(after, next_due=now) if skipped and somebody_left(after, policy) else after


#: The citizen told later than this gets the time back.
_ON_TIME = timedelta(minutes=1)


def told_late(
    obligation: Obligation, policy: Policy, calendar: WorkingCalendar, *, since: datetime, now: datetime
) -> Obligation:
    """Return the clock of a citizen who was told at `now` what was due to be told at `since`.

    Who has been away is we, not they: before a report is closed they have the time the ladder promises. Other clocks,
    which nobody's silence closes, stay as they are.
    """
    closes = any(step.deed is Deed.CLOSE for step in policy.steps[obligation.step :])
    if not closes or now - since <= _ON_TIME:
        return obligation
    pauses = (*obligation.pauses, Pause(in_utc(since), in_utc(now), f"clock:{obligation.kind}", "told_late"))
    return timed(replace(obligation, pauses=pauses), policy, calendar)


def somebody_left(obligation: Obligation, policy: Policy) -> bool:
    """Tell whether the next step of the ladder, if there is one, tells somebody; the last may close the report."""
    left = policy.steps[obligation.step :]
    return bool(left) and left[0].deed is not Deed.CLOSE


def pause(obligation: Obligation, *, now: datetime, by: str, reason: str) -> Obligation:
    """Return the obligation standing still from `now`; one that is not running is returned as it is."""
    if obligation.state is not ClockState.RUNNING:
        return obligation
    pauses = (*obligation.pauses, Pause(in_utc(now), None, by, reason))
    return replace(obligation, state=ClockState.PAUSED, next_due=None, pauses=pauses)


def resume(obligation: Obligation, policy: Policy, calendar: WorkingCalendar, *, now: datetime) -> Obligation:
    """Return the obligation running again from `now`; one that is not paused is returned as it is."""
    if obligation.state is not ClockState.PAUSED:
        return obligation
    # A clock set back between pause and resume must not shorten what was already counted.
    last = obligation.pauses[-1]
    pauses = (*obligation.pauses[:-1], replace(last, until=max(in_utc(now), last.since)))
    return timed(replace(obligation, state=ClockState.RUNNING, pauses=pauses), policy, calendar)


def end(obligation: Obligation, state: ClockState, *, now: datetime, by: str) -> Obligation:
    """Return the obligation met or cancelled; one that has already ended is returned as it is."""
    if obligation.state in (ClockState.MET, ClockState.CANCELLED):
        return obligation
    return replace(obligation, state=state, next_due=None, ended_at=in_utc(now), ended_by=by)


def plan(obligation: Obligation, policy: Policy, calendar: WorkingCalendar) -> Sequence[tuple[Step, datetime]]:
    """Return the steps still to come with their due times, if nobody acts."""
    return [(step, due_at(obligation, step.at, calendar, policy.days)) for step in policy.steps[obligation.step :]]


def _counted(amount: int, noun: str) -> str:
    return f"{amount} {noun}" if amount == 1 else f"{amount} {noun}s"
