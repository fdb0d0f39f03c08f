"""Deadlines accounted for line by line: every account adds up, and ends where the clock says (I17, I22, I24)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from bridge.reports.calendars import NoWorkingTime, Period, WorkingCalendar
from bridge.reports.clocks import ClockState, Deed, Kind, Obligation, Pause, Policy, Span, Unit, due_at, pause, resume, start_clock
from bridge.reports.daycounts import FROM_NEXT_DAY, DayCount
from bridge.reports.escalation import Desk, fire
from bridge.reports.explaining import Line, What, account, foreseen, reckoning
from bridge.reports.people import Role
from bridge.reports.report import Escalation, Report
from bridge.reports.rulebook import Rulebook
from bridge.reports.states import Move
from tests.unit.given import (
    ACKNOWLEDGE, ANI, BUDI, CITRA, EVERYBODY, KETUA, MONDAY, REPORT_ID, SEKAR, a_calendar, a_case, a_clock, a_desk, a_person, a_policy,
    a_report, a_rulebook, absent,
)  # fmt: skip
from tests.unit.walked import instants, walked_calendars

DAY_COUNTS = st.builds(DayCount, st.booleans(), st.none() | st.integers(0, 1439), st.booleans())
SPANS = st.one_of(
    st.builds(Span, st.integers(0, 3 * 86_400), st.just(Unit.WALL_SECONDS)),
    st.builds(Span, st.integers(0, 20 * 3600), st.just(Unit.WORKING_SECONDS)),
    st.builds(Span, st.integers(0, 5), st.just(Unit.WORKING_DAYS)),
)


@st.composite
def clocks_of_any_kind(draw: st.DrawFn) -> tuple[Obligation, Policy, WorkingCalendar]:
    """A clock with any span, counted by any rule, in any calendar, with pauses in any order, open ones too."""
    walked = draw(walked_calendars())
    policy = replace(a_policy(Kind.TRIAGE, "1 second"), span=draw(SPANS), days=draw(DAY_COUNTS))
    moments = instants(walked, whole_minutes=False).map(lambda at: at.astimezone(UTC))
    try:
        clock = start_clock(REPORT_ID, policy, walked.calendar, cycle=1, now=draw(moments))
    except NoWorkingTime:
        assume(False)
    pairs = draw(st.lists(st.tuples(moments, moments | st.none()), max_size=4))
    pauses = [Pause(since, until and max(since, until), "person:ani", "KTP") for since, until in pairs]
    clock = replace(clock, pauses=tuple(pauses))
    try:
        return replace(clock, deadline_at=due_at(clock, policy.span, walked.calendar, policy.days)), policy, walked.calendar
    except NoWorkingTime:
        assume(False)
        raise


def lines_of(lines: Sequence[Line], what: What) -> list[Line]:
    return [line for line in lines if line.what is what]


@given(clocks_of_any_kind())
@settings(max_examples=300, deadline=None)
def test_every_account_adds_up_to_its_span_and_ends_with_the_deadline(case: tuple[Obligation, Policy, WorkingCalendar]) -> None:
    clock, policy, calendar = case
    lines = reckoning(clock, policy, calendar)
    counted_s, counted_days = sum(line.counted_s for line in lines), sum(line.counted_days for line in lines)
    assert (lines[-1].what, lines[-1].at) == (What.DEADLINE, due_at(clock, policy.span, calendar, policy.days))
    assert lines[-1].facts["recorded_at"] is None
    if policy.span.unit is not Unit.WORKING_DAYS:
        assert (counted_days, counted_s) == (0, pytest.approx(policy.span.amount, abs=1e-5))
        return
    unpaused = due_at(replace(clock, pauses=()), policy.span, calendar, policy.days)
    took_s = sum(line.facts["took_s"] for line in lines_of(lines, What.PAUSE))
    assert counted_days == policy.span.amount
    assert calendar.elapsed(unpaused, lines[-1].at) == pytest.approx(took_s, abs=1e-5)
    assert counted_s <= took_s + 1e-5


@given(clocks_of_any_kind())
@settings(max_examples=150, deadline=None)
def test_account_leaves_no_day_out_and_counts_none_twice(case: tuple[Obligation, Policy, WorkingCalendar]) -> None:
    clock, policy, calendar = case
    lines = reckoning(clock, policy, calendar)
    off = [day for line in lines_of(lines, What.DAY_OFF) for day in _each(line)]
    days = [line.facts["on"] for line in lines_of(lines, What.DAY)]
    zero = [line.facts["on"] for line in lines_of(lines, What.DAY_ZERO) if not line.facts["counts"]]
    worked = [line.facts["on"] for line in lines if line.what in (What.WORKED, What.MADE_UP) and "on" in line.facts]
    assert [day for day in (*days, *zero, *worked) if not calendar.spans_on(day)] == []
    assert [day for day in off if calendar.spans_on(day)] == []
    for told in (days, off, zero, worked):
        assert told == sorted(set(told))
    if policy.span.unit is Unit.WORKING_DAYS and policy.span.amount:
        first = calendar.local(clock.started_at).date()
        every = {first + timedelta(days=n) for n in range((days[-1] - first).days + 1)}
        assert every <= {*days, *zero, *off}
        assert not {*zero, *off} & set(days)


@given(clocks_of_any_kind())
@settings(max_examples=100, deadline=None)
def test_lines_stand_in_the_order_of_time_and_stretches_lie_outside_pauses(
    case: tuple[Obligation, Policy, WorkingCalendar],
) -> None:
    clock, policy, calendar = case
    lines = reckoning(clock, policy, calendar)
    due = lines[-1].at
    assert [min(line.at, due) for line in lines] == sorted(min(line.at, due) for line in lines)
    assert len(lines_of(lines, What.PAUSE)) == len(clock.pauses)
    for line in lines:
        for since, until in line.facts.get("stretches", ()):
            assert clock.started_at <= since < until <= due
            inside = [p for p in clock.pauses if p.until and max(p.since, since) < min(p.until, until)]
            assert inside == []


def _each(line: Line) -> list[date]:
    first, last = line.facts["on"], line.facts["last_on"]
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
