"""A calendar's working time laid out in a row: what is asked of it by the day."""

from datetime import date, datetime, timedelta

import pytest

from bridge.reports.tracks import Track
from tests.unit.given import a_calendar

MONDAY, THURSDAY = date(2026, 11, 23), date(2026, 11, 26)
NOTHING, ONE, MORNING_AND_AFTERNOON = (), ((540, 1020),), ((540, 720), (780, 1020))
#: One stretch of work on Monday, two on Tuesday, none on Wednesday, one on Thursday.
WEEK = (ONE, MORNING_AND_AFTERNOON, NOTHING, ONE, NOTHING, NOTHING, NOTHING)


@pytest.mark.parametrize(("day", "hours"), [(23, 0), (24, 8), (25, 15), (26, 15), (27, 23), (30, 23)])
def test_work_before_a_day_is_that_of_all_days_before_it_and_nothing_of_its_own(day: int, hours: int) -> None:
    track = Track(a_calendar(week=WEEK).spans_on, MONDAY.toordinal(), THURSDAY.toordinal() + 1)
    assert track.worked_before_day(date(2026, 11, day).toordinal()) == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("at", "hours"), [("23 08:59", 0), ("23 10:30", 1.5), ("23 17:00", 8), ("24 12:30", 11), ("26 18:00", 23)]
)
def test_work_by_an_instant_counts_the_part_of_the_stretch_it_lies_in_the_first_one_too(at: str, hours: float) -> None:
    track = Track(a_calendar(week=WEEK).spans_on, MONDAY.toordinal(), THURSDAY.toordinal() + 1)
    instant = datetime.fromisoformat(f"2026-11-{at}:00+07:00")
    assert track.worked_by(instant) == timedelta(hours=hours)


def test_work_that_is_done_only_on_the_day_the_search_ends_before_is_not_found() -> None:
    track = Track(a_calendar(week=WEEK).spans_on, MONDAY.toordinal(), THURSDAY.toordinal() + 1)
    monday_morning, tuesday = datetime.fromisoformat("2026-11-23T09:00:00+07:00"), date(2026, 11, 24).toordinal()
    nine_hours = timedelta(hours=9)
    assert track.after(monday_morning, nine_hours, tuesday) is None
    assert track.after(monday_morning, nine_hours, tuesday + 1) == datetime.fromisoformat("2026-11-24T10:00:00+07:00")
