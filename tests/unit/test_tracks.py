"""A calendar's working time laid out in a row: what is asked of it by the day."""

from datetime import date, timedelta

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
