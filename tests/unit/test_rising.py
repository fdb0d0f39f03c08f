"""Steps that rise in the file fall due in that order, whatever their units; those that do not are found."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from bridge.reports.calendars import Period, WorkingCalendar
from bridge.reports.clocks import Kind
from bridge.reports.daycounts import DayCount
from bridge.reports.rising import StepsFall, check_rising
from tests.unit.given import a_calendar, a_policy

#: Eid al-Fitr 2026 with its joint leave: Wednesday 18 to Tuesday 24 March.
LONG_HOLIDAY = {date(2026, 3, 18) + timedelta(days=n): "Lebaran" for n in range(7)}

RISING = [
    ("4 working hours", "1 working day"),
    ("8 working hours", "1 working day"),
    ("16 working hours", "2 working days"),
    ("0 working hours", "1 working day"),
    ("8 hours", "1 working day"),
    ("1 working day", "16 working hours"),
    ("3 working days", "10 days"),
    ("1 working hour", "4 days"),
]
FALLING = [
    ("1 working day", "1 working hour"),
    ("1 working day", "8 working hours"),
    ("9 working hours", "1 working day"),
    ("24 hours", "4 working hours"),
    ("72 hours", "2 working days"),
    ("1 working day", "24 hours"),
    ("3 working days", "216 hours"),
]


def check(spans: tuple[str, str], calendar: WorkingCalendar) -> None:
    """Check a clock with steps at these spans."""
    check_rising(a_policy(Kind.TRIAGE, "9 working days", *((span, "role:chair", "notify") for span in spans)), calendar)


@pytest.mark.parametrize("spans", RISING)
def test_steps_of_mixed_units_that_rise_are_allowed(spans: tuple[str, str]) -> None:
    check(spans, a_calendar())


@pytest.mark.parametrize("spans", FALLING)
def test_later_step_that_would_be_due_first_is_found(spans: tuple[str, str]) -> None:
    with pytest.raises(StepsFall, match=f"{spans[1]} comes after {spans[0]}; steps must rise"):
        check(spans, a_calendar(LONG_HOLIDAY))


def test_ladder_that_falls_over_a_long_holiday_only_is_found_by_it() -> None:
    spans = ("3 working days", "7 days")
    check(spans, a_calendar())
    with pytest.raises(StepsFall, match="by calendar office it is due first"):
        check(spans, a_calendar(LONG_HOLIDAY))


#: Three days with a weekend, the long holiday, and one as long a year later.
HOLIDAYS = {date(2026, 1, 2): "leave", **LONG_HOLIDAY, **{day + timedelta(days=364): "Lebaran" for day in LONG_HOLIDAY}}


@pytest.mark.parametrize(
    ("spans", "started"),
    [
        (("1 working day", "1 working hour"), "Wed 2026-03-04 06:00"),
        (("9 hours", "8 working hours"), "Wed 2026-03-04 09:00"),
        (("1 working hour", "181 hours"), "Tue 2026-03-17 20:00"),
        (("1 working hour", "184 hours"), "Tue 2026-03-17 16:59"),
    ],
    ids=["always", "from the opening on", "in the evening before", "in the last minute before"],
)
def test_starts_are_those_of_the_fortnight_before_the_first_longest_closure(
    spans: tuple[str, str], started: str
) -> None:
    with pytest.raises(StepsFall, match=f"started {started} by calendar office"):
        check(spans, a_calendar(HOLIDAYS))


@pytest.mark.parametrize(
    ("days_off", "started"),
    [
        ([date(2026, 4, 6)], "Sat 2026-03-21"),
        ([date(2026, 4, 9), date(2026, 4, 10), *(date(2026, 5, day) for day in (5, 6, 7))], "Thu 2026-03-26"),
    ],
    ids=["before", "after"],
)
def test_weekend_next_to_days_off_belongs_to_their_closure(days_off: list[date], started: str) -> None:
    with pytest.raises(StepsFall, match=f"started {started} 06:00"):
        check(("1 working day", "1 working hour"), a_calendar(dict.fromkeys(days_off, "leave")))


def test_days_are_counted_as_the_policy_counts_them() -> None:
    steps = [(span, "role:chair", "notify") for span in ("8 working hours", "1 working day")]
    policy = a_policy(Kind.TRIAGE, "9 working days", *steps)
    check_rising(policy, a_calendar())
    with pytest.raises(StepsFall):
        check_rising(replace(policy, days=DayCount(from_same_day=True)), a_calendar())


def test_ladder_that_falls_in_a_period_of_short_days_only_is_found_by_it() -> None:
    spans = ("8 working hours", "1 working day")
    check(spans, a_calendar())
    mornings = (((540, 660),),) * 5 + ((), ())
    ramadan = Period(date(2026, 2, 18), date(2026, 3, 19), mornings, "Ramadan")
    with pytest.raises(StepsFall, match="started Wed 2026-02-18 06:00"):
        check(spans, a_calendar(periods=(ramadan,)))
    with pytest.raises(StepsFall, match="started Fri 2026-02-20 10:59"):
        check(("1 working hour", "65 hours"), a_calendar(periods=(ramadan,)))
