"""How working days are counted: every rule in a table, and each of them against a plain walk over the days."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.reports.calendars import WorkingCalendar
from bridge.reports.daycounts import FROM_NEXT_DAY, DayCount, counting_from, due_on

JAKARTA = ZoneInfo("Asia/Jakarta")
MONDAY_TO_FRIDAY = ((((480, 720), (780, 960)),) * 5) + ((), ())
#: Wednesday 16 December 2026 is taken off here; every Monday to Friday is worked 8 to 12 and 13 to 16.
CALENDAR = WorkingCalendar("city", "city@1", "Asia/Jakarta", MONDAY_TO_FRIDAY, {date(2026, 12, 16): "Hari libur"})
SAME_DAY = DayCount(from_same_day=True)
NOON = DayCount(cut_off=720)
SAME_DAY_NOON = DayCount(from_same_day=True, cut_off=720)
SAME_TIME = DayCount(same_time=True)

#: I22: received (December 2026; the 14th is a Monday), how it is counted, days, due.
COUNTED = [
    ("14 09:00", FROM_NEXT_DAY, 1, "15 16:00", "the day of receipt is day 0"),
    ("14 23:00", FROM_NEXT_DAY, 1, "15 16:00", "whatever the hour"),
    ("14 09:00", FROM_NEXT_DAY, 2, "17 16:00", "a day off does not count"),
    ("18 09:00", FROM_NEXT_DAY, 1, "21 16:00", "nor does a weekend"),
    ("19 09:00", FROM_NEXT_DAY, 1, "21 16:00", "received on a Saturday: Monday is the first"),
    ("14 09:00", FROM_NEXT_DAY, 0, "14 16:00", "no day: by the end of this one"),
    ("14 09:00", SAME_DAY, 1, "14 16:00", "the day of receipt is day 1"),
    ("14 09:00", SAME_DAY, 3, "17 16:00", "and the others follow"),
    ("15 09:00", SAME_DAY, 0, "15 16:00", "by the end of this one here too"),
    ("19 09:00", SAME_DAY, 1, "21 16:00", "unless nobody works on it"),
    ("16 09:00", SAME_DAY, 2, "18 16:00", "a day off is no day of receipt either"),
    ("14 11:59", NOON, 1, "15 16:00", "before the cut-off"),
    ("14 12:01", NOON, 1, "17 16:00", "a minute after it"),
    ("14 12:00", NOON, 1, "17 16:00", "at the cut-off: received on the 15th, so the 17th is the first"),
    ("19 09:00", NOON, 1, "22 16:00", "nor is anything received on a Saturday then"),
    ("14 11:59", SAME_DAY_NOON, 1, "14 16:00", "in time, this day is day 1"),
    ("14 12:00", SAME_DAY_NOON, 1, "15 16:00", "too late, the next one is"),
    ("18 15:00", SAME_DAY_NOON, 1, "21 16:00", "over the weekend"),
    ("14 09:30", SAME_TIME, 1, "15 09:30", "at the hour it was received"),
    ("14 09:30", SAME_TIME, 2, "17 09:30", "on the day that counts"),
    ("14 06:00", SAME_TIME, 1, "15 08:00", "not before the office opens"),
    ("14 20:00", SAME_TIME, 1, "15 16:00", "nor after it has closed"),
    ("14 12:30", SAME_TIME, 1, "15 13:00", "nor at lunch"),
]


@pytest.mark.parametrize(("received", "count", "days", "due", "remark"), COUNTED, ids=[row[4] for row in COUNTED])
def test_working_days_are_counted_as_the_rule_says(
    received: str, count: DayCount, days: int, due: str, remark: str
) -> None:
    found = due_on(CALENDAR, at(received), days, count)
    assert found == at(due), remark
    assert found.tzinfo is UTC


def test_hour_it_was_received_is_kept_to_the_last_fraction_of_a_second() -> None:
    fraction = timedelta(seconds=45, microseconds=678_901)
    assert due_on(CALENDAR, at("14 09:30") + fraction, 1, SAME_TIME) == at("15 09:30") + fraction


@pytest.mark.parametrize(
    ("received", "count", "counts_from"),
    [
        ("14 09:00", FROM_NEXT_DAY, "15 00:00"),
        ("14 09:00", SAME_DAY, "14 09:00"),
        ("19 09:00", SAME_DAY, "20 00:00"),
        ("14 12:00", NOON, "16 00:00"),
    ],
)
def test_working_days_count_from_the_receipt_or_from_a_midnight(
    received: str, count: DayCount, counts_from: str
) -> None:
    assert counting_from(CALENDAR, at(received), count) == at(counts_from)


def at(text: str) -> datetime:
    """Return an instant of December 2026 in Jakarta."""
    return datetime.strptime(f"2026-12-{text}", "%Y-%m-%d %H:%M").replace(tzinfo=JAKARTA)


COUNTS = st.builds(
    DayCount,
    from_same_day=st.booleans(),
    cut_off=st.none() | st.integers(0, 1439),
    same_time=st.booleans(),
)
RECEIVED = st.integers(0, 25 * 1440).map(lambda minutes: at("01 00:00") + timedelta(minutes=minutes))


@given(received=RECEIVED, count=COUNTS, days=st.integers(1, 8))
def test_any_rule_agrees_with_walking_the_days(received: datetime, count: DayCount, days: int) -> None:
    day, left = received.date(), days
    late = count.cut_off is not None and received.hour * 60 + received.minute >= count.cut_off
    if count.cut_off is not None and (late or not CALENDAR.spans_on(day)):
        day = next_worked(day)
    if count.from_same_day and CALENDAR.spans_on(day):
        left -= 1
    for _ in range(left):
        day = next_worked(day)
    due = due_on(CALENDAR, received, days, count)
    assert due.astimezone(JAKARTA).date() == day
    assert due == CALENDAR.spans_on(day)[-1][1] or (count.same_time and CALENDAR.is_open(due))


def next_worked(day: date) -> date:
    """Return the next day with work."""
    day += timedelta(days=1)
    while not CALENDAR.spans_on(day):
        day += timedelta(days=1)
    return day


@given(received=RECEIVED, count=COUNTS, days=st.integers(1, 8))
def test_more_days_are_never_due_earlier_and_a_later_receipt_neither(
    received: datetime, count: DayCount, days: int
) -> None:
    due = due_on(CALENDAR, received, days, count)
    assert due <= due_on(CALENDAR, received, days + 1, count)
    if not count.same_time:
        assert due <= due_on(CALENDAR, received + timedelta(hours=7), days, count)


def test_office_that_closes_at_midnight_keeps_its_days_apart() -> None:
    always = WorkingCalendar("always", "always@1", "Asia/Jakarta", (((0, 1440),),) * 7)
    assert due_on(always, at("14 09:00"), 1, FROM_NEXT_DAY) == at("16 00:00")
    assert due_on(always, at("14 13:00"), 1, NOON) == at("17 00:00")
    assert due_on(always, at("14 09:00"), 1, SAME_TIME) == at("15 09:00")


#: Monday to Friday from ten in the evening to six; Tuesday 15 December 2026 is off.
NIGHTS = WorkingCalendar(
    "night", "night@1", "Asia/Jakarta", (((1320, 1800),),) * 5 + ((), ()), {date(2026, 12, 15): "Hari libur"}
)
NIGHTLY = [
    ("14 09:00", FROM_NEXT_DAY, 1, "17 06:00", "Tuesday is off, so Wednesday's shift is the first"),
    ("14 23:00", FROM_NEXT_DAY, 1, "17 06:00", "received during Monday's shift"),
    ("15 03:00", FROM_NEXT_DAY, 1, "17 06:00", "the date of receipt is the one on the wall, also within a shift"),
    ("17 03:00", FROM_NEXT_DAY, 1, "19 06:00", "so that Wednesday night's receipt counts as Thursday's"),
    ("18 09:00", FROM_NEXT_DAY, 1, "22 06:00", "Friday's shift ends on Saturday, which is no working day"),
    ("14 09:00", SAME_DAY, 1, "15 06:00", "the shift that begins today is day 1, though tomorrow is off"),
    ("14 09:00", SAME_DAY, 2, "17 06:00", "and ends whole"),
    ("14 13:00", NOON, 1, "18 06:00", "too late for Monday: received with Wednesday, due with Thursday"),
    ("16 23:00", SAME_TIME, 1, "17 23:00", "at the same hour of the next shift"),
    ("17 03:00", SAME_TIME, 1, "19 03:00", "also after its midnight"),
    ("16 09:00", SAME_TIME, 1, "17 22:00", "or when it begins"),
]


@pytest.mark.parametrize(("received", "count", "days", "due", "why"), NIGHTLY, ids=[row[4] for row in NIGHTLY])
def test_night_shift_belongs_to_the_day_it_begins(
    received: str, count: DayCount, days: int, due: str, why: str
) -> None:
    assert due_on(NIGHTS, at(received), days, count) == at(due)


def test_rest_of_a_night_shift_that_does_not_count_gives_nothing_back() -> None:
    assert counting_from(NIGHTS, at("16 23:00"), FROM_NEXT_DAY) == at("17 06:00")
    assert counting_from(NIGHTS, at("15 09:00"), FROM_NEXT_DAY) == at("16 00:00")
