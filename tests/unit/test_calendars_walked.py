"""Properties of working time, over calendars nobody thought of (I17 to I23 of reference/escalation.md)."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bridge.reports.calendars import NoWorkingTime, WorkingCalendar
from tests.unit.given import MONDAY, a_calendar
from tests.unit.walked import WALKED_DAYS, Walked, instants, walk, walked_calendars

thorough = settings(max_examples=40, deadline=None)
MINUTE, MOMENT = timedelta(minutes=1), timedelta(microseconds=1)


@st.composite
def spans_of_work(draw: st.DrawFn, *, whole_minutes: bool) -> tuple[Walked, datetime, int]:
    """A calendar, an instant in it, and some working seconds that end within the days walked."""
    walked = draw(walked_calendars())
    start = draw(instants(walked, whole_minutes=whole_minutes))
    left = walked.elapsed(start.astimezone(UTC), datetime.max.replace(tzinfo=UTC))
    assume(left > 1)
    closings = [count for count in walked.closings(start) if count < left]
    minutes = draw(st.integers(0, left - 1) | (st.sampled_from(closings) if closings else st.nothing()))
    return walked, start, minutes * 60 - (0 if whole_minutes or not minutes else draw(st.integers(0, 59)))


def is_working_time_or_its_end(calendar: WorkingCalendar, at: datetime) -> bool:
    return calendar.is_open(at) or calendar.is_open(at - MOMENT)


@given(spans_of_work(whole_minutes=True))
@thorough
def test_adding_working_time_agrees_with_walking_every_minute(case: tuple[Walked, datetime, int]) -> None:
    walked, start, seconds = case
    assert walked.calendar.add(start, seconds) == walked.add(start, seconds // 60)


@given(walked_calendars(), st.data())
@thorough
def test_elapsed_working_time_agrees_with_walking_every_minute(walked: Walked, data: st.DataObject) -> None:
    start, end = data.draw(instants(walked)), data.draw(instants(walked))
    assert walked.calendar.elapsed(start, end) == 60 * walked.elapsed(start, end)


@given(walked_calendars(), st.data(), st.integers(0, WALKED_DAYS))
@thorough
def test_ends_of_working_days_agree_with_walking_every_minute(walked: Walked, data: st.DataObject, days: int) -> None:
    start = data.draw(instants(walked))
    expected = walked.end_of_working_day(start, days)
    assume(expected is not None)
    assert walked.calendar.end_of_working_day(start, days) == expected


@given(walked_calendars())
@thorough
def test_open_minutes_agree_with_walking_every_minute(walked: Walked) -> None:
    days = [walked.first_on + timedelta(days=offset) for offset in range(WALKED_DAYS)]
    spans = [span for day in days for span in walked.calendar.spans_on(day)]
    listed = [opens + timedelta(minutes=n) for opens, closes in spans for n in range((closes - opens) // MINUTE)]
    assert listed == walked.minutes
    edges = {at + by for span in spans for at in span for by in (-MINUTE, timedelta(), MINUTE)}
    inside = [at for at in edges if walked.calendar.local(at).date() in days]
    opened = walked.earlier | set(walked.minutes)
    assert [at for at in inside if walked.calendar.is_open(at) is not (at in opened)] == []


@given(spans_of_work(whole_minutes=False))
@thorough
def test_working_time_added_is_the_working_time_elapsed(case: tuple[Walked, datetime, int]) -> None:
    walked, start, seconds = case
    assert walked.calendar.elapsed(start, walked.calendar.add(start, seconds)) == seconds


@given(spans_of_work(whole_minutes=False), st.floats(0, 1))
@thorough
def test_working_time_added_in_two_parts_is_the_same(case: tuple[Walked, datetime, int], share: float) -> None:
    walked, start, seconds = case
    # With nothing left to add, the end of a working day stays that, while adding nothing goes to the next opening.
    first = min(round(seconds * share), seconds - 1)
    assume(first >= 0)
    add = walked.calendar.add
    assert add(add(start, first), seconds - first) == add(start, seconds)


@given(spans_of_work(whole_minutes=False), st.data())
@thorough
def test_later_start_or_more_work_never_ends_earlier(case: tuple[Walked, datetime, int], data: st.DataObject) -> None:
    walked, start, seconds = case
    earlier = data.draw(instants(walked, whole_minutes=False).filter(lambda at: at <= start))
    less = data.draw(st.integers(0, seconds))
    add = walked.calendar.add
    assert add(earlier, seconds) <= add(start, seconds)
    assert add(start, less) <= add(start, seconds)


@given(spans_of_work(whole_minutes=False), st.integers(0, 2))
@thorough
def test_results_lie_in_working_time_never_on_days_off(case: tuple[Walked, datetime, int], days: int) -> None:
    walked, start, seconds = case
    calendar = walked.calendar
    results = [calendar.add(start, seconds)]
    if walked.end_of_working_day(start, days):
        results.append(calendar.end_of_working_day(start, days))
    for at in results:
        assert is_working_time_or_its_end(calendar, at)
        worked_on = calendar.worked_on(at) or calendar.worked_on(at - MOMENT)
        assert worked_on not in calendar.days_off
        assert at.tzinfo is UTC


@given(spans_of_work(whole_minutes=False), st.integers(0, 3), st.data())
@thorough
def test_new_holiday_never_moves_a_due_time_earlier(
    case: tuple[Walked, datetime, int], days: int, data: st.DataObject
) -> None:
    walked, start, seconds = case
    before = walked.calendar
    holiday = walked.first_on + timedelta(days=data.draw(st.integers(-1, WALKED_DAYS)))
    after = replace(before, days_off={**before.days_off, holiday: "decree"})
    for due in (lambda c: c.add(start, seconds), lambda c: c.end_of_working_day(start, days)):
        was, now = in_ten_years(due, before), in_ten_years(due, after)
        assert was <= now
        # At its start the shift of the day before may go on.
        if not before.local(start).date() - timedelta(days=1) <= holiday <= before.local(was).date():
            assert now == was


def in_ten_years(due: Callable[[WorkingCalendar], datetime], calendar: WorkingCalendar) -> datetime:
    """What is due when, or never."""
    try:
        return due(calendar)
    except NoWorkingTime:
        return datetime.max.replace(tzinfo=UTC) - timedelta(days=1)


def test_walk_itself_gives_what_anybody_can_count() -> None:
    walked = walk(a_calendar(), MONDAY.date())
    assert walked.add(MONDAY, 7 * 60) == datetime(2026, 11, 23, 10, tzinfo=UTC)
    assert walked.add(MONDAY, 7 * 60 + 1) == datetime(2026, 11, 24, 2, 1, tzinfo=UTC)
    assert walked.elapsed(MONDAY, MONDAY + timedelta(days=7)) == 5 * 8 * 60
    assert walked.end_of_working_day(MONDAY, 5) == datetime(2026, 11, 30, 10, tzinfo=UTC)


def test_walk_itself_gives_a_night_to_the_day_it_begins() -> None:
    nights = a_calendar({(MONDAY + timedelta(days=1)).date(): "off"}, week=(((1320, 1800),),) * 5 + ((), ()))
    walked = walk(nights, MONDAY.date())
    assert walked.elapsed(MONDAY, MONDAY + timedelta(days=7)) == 4 * 8 * 60
    assert walked.end_of_working_day(MONDAY, 0) == datetime(2026, 11, 23, 23, tzinfo=UTC)
    assert walked.end_of_working_day(MONDAY, 1) == datetime(2026, 11, 25, 23, tzinfo=UTC)


def test_walk_itself_would_notice_a_minute_too_many() -> None:
    walked = walk(a_calendar(), MONDAY.date())
    broken = a_calendar(week=(((540, 1021),),) * 7)
    with pytest.raises(AssertionError):
        assert broken.add(MONDAY, 8 * 3600) == walked.add(MONDAY, 8 * 60)
