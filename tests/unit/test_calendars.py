"""Working time against known answers, tables and a minute-by-minute walk (I17 to I23 of reference/escalation.md)."""

import time
import tomllib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bridge.reports.calendars import Hours, NaiveDatetime, NoWorkingTime, Period, WorkingCalendar, in_utc
from config.calendars import build_calendar
from tests.unit.given import MONDAY, a_calendar

JAKARTA = ZoneInfo("Asia/Jakarta")
ALL_DAY = ((0, 1440),)
SHIPPED = Path(__file__).parents[2] / "config" / "calendars" / "jakarta.toml"


def shipped(**changes: object) -> WorkingCalendar:
    """The calendar people get, as if it spoke of the years 2016 to 2027."""
    content = {"override": [], "period": [], **tomllib.loads(SHIPPED.read_text("utf-8")), "years": [2016, 2027]}
    return build_calendar("jakarta", {**content, **changes})


COUNTED = {
    "weekends only": shipped(holidays="", confirmed=[]),
    "public": shipped(joint_leave=False),
    "public and joint leave": shipped(),
}

#: domain.md B7: from the start, the 3rd, 7th and 21st working day; counting starts on the day after.
KNOWN_ANSWERS = [
    ("2016-09-07", "weekends only", "2016-09-12 2016-09-16 2016-10-06"),
    ("2016-09-07", "public", "2016-09-13 2016-09-19 2016-10-07"),
    ("2016-09-07", "public and joint leave", "2016-09-13 2016-09-19 2016-10-07"),
    ("2025-03-24", "weekends only", "2025-03-27 2025-04-02 2025-04-22"),
    ("2025-03-24", "public", "2025-03-27 2025-04-04 2025-04-25"),
    ("2025-03-24", "public and joint leave", "2025-03-27 2025-04-11 2025-05-05"),
    ("2025-08-14", "weekends only", "2025-08-19 2025-08-25 2025-09-12"),
    ("2025-08-14", "public", "2025-08-19 2025-08-25 2025-09-15"),
    ("2025-08-14", "public and joint leave", "2025-08-20 2025-08-26 2025-09-16"),
    ("2026-03-16", "weekends only", "2026-03-19 2026-03-25 2026-04-14"),
    ("2026-03-16", "public", "2026-03-20 2026-03-26 2026-04-16"),
    ("2026-03-16", "public and joint leave", "2026-03-26 2026-04-01 2026-04-22"),
    ("2026-12-21", "weekends only", "2026-12-24 2026-12-30 2027-01-19"),
    ("2026-12-21", "public", "2026-12-24 2026-12-31 2027-01-22"),
    ("2026-12-21", "public and joint leave", "2026-12-28 2027-01-04 2027-01-25"),
]


@pytest.mark.parametrize("hour", [0, 10, 23], ids="at {} o'clock".format)
@pytest.mark.parametrize(("start", "days_off", "answers"), KNOWN_ANSWERS)
def test_statutory_days_end_on_the_dates_the_reference_gives(
    start: str, days_off: str, answers: str, hour: int
) -> None:
    at = datetime.fromisoformat(start).replace(hour=hour, tzinfo=JAKARTA)
    calendar = COUNTED[days_off]
    ends = [calendar.local(calendar.end_of_working_day(at, days)).date() for days in (3, 7, 21)]
    assert " ".join(map(str, ends)) == answers


def test_working_day_ends_at_the_last_closing_of_that_day() -> None:
    thursday = datetime(2026, 11, 19, 9, tzinfo=JAKARTA)
    ends = [COUNTED["public"].end_of_working_day(thursday, days) for days in (0, 1, 2)]
    assert [f"{at.astimezone(JAKARTA):%a %H:%M}" for at in ends] == ["Thu 16:00", "Fri 16:30", "Mon 16:00"]


def test_pancasila_day_is_worked_in_2016_and_free_in_2017() -> None:
    days_off = COUNTED["public"].days_off
    assert date(2016, 6, 1) not in days_off
    assert date(2017, 6, 1) in days_off


def test_same_content_has_the_same_version_and_a_holiday_another() -> None:
    plain = shipped(holidays="")
    extra = [{"date": date(2026, 11, 24), "off": True, "source": "decree"}]
    assert plain.version == shipped(holidays="").version
    assert plain.version != shipped(holidays="", override=extra).version


#: I22: (receipt, days, due, remark); nine to five in Jakarta, Tuesday 24 November off.
WORKING_DAYS = [
    ("2026-11-23T00:00", 1, "2026-11-25T17:00", "the day of receipt never counts, from its first minute"),
    ("2026-11-23T10:00", 1, "2026-11-25T17:00", "nor during office hours; a day off is passed over"),
    ("2026-11-23T23:59", 1, "2026-11-25T17:00", "nor up to its last minute"),
    ("2026-11-23T10:00", 0, "2026-11-23T17:00", "no days: the end of the day of receipt itself"),
    ("2026-11-24T10:00", 0, "2026-11-25T17:00", "no days, received on a day off: the end of the next working day"),
    ("2026-11-24T10:00", 1, "2026-11-25T17:00", "received on a day off: the next working day is day 1"),
    ("2026-11-20T17:00", 1, "2026-11-23T17:00", "Friday at closing time: Monday is day 1"),
    ("2026-11-21T09:00", 1, "2026-11-23T17:00", "Saturday: Monday is day 1"),
    ("2026-11-23T10:00", 4, "2026-11-30T17:00", "over a weekend"),
]


@pytest.mark.parametrize(("receipt", "days", "due", "remark"), WORKING_DAYS)
def test_working_days_are_counted_from_the_day_after_receipt(receipt: str, days: int, due: str, remark: str) -> None:
    calendar = a_calendar({date(2026, 11, 24): "decree"})
    received_at = datetime.fromisoformat(receipt).replace(tzinfo=JAKARTA)
    expected = datetime.fromisoformat(due).replace(tzinfo=JAKARTA)
    assert calendar.end_of_working_day(received_at, days) == expected, remark


#: (start, working hours, result, remark); 07.30 to 12.00 and 13.00 to 16.00 in Jakarta, Friday to 11.30 and 16.30.
WORKING_HOURS = [
    ("2026-11-23T07:30", 4, "2026-11-23T11:30", "from opening, within the morning"),
    ("2026-11-23T07:30", 4.5, "2026-11-23T12:00", "the end of the morning is that, not the end of the break"),
    ("2026-11-23T07:30", 5, "2026-11-23T13:30", "over the break"),
    ("2026-11-23T15:00", 1, "2026-11-23T16:00", "the end of a working day is that, not the next opening"),
    ("2026-11-23T15:00", 2, "2026-11-24T08:30", "over night"),
    ("2026-11-20T17:00", 4, "2026-11-23T11:30", "Friday after closing time starts on Monday"),
    ("2026-11-20T15:30", 2, "2026-11-23T08:30", "over a weekend, Friday closing at half past four"),
    ("2026-12-24T15:00", 1, "2026-12-28T08:30", "joint leave on the 24th, Christmas and the weekend"),
    ("2026-11-23T12:30", 0, "2026-11-23T13:00", "nothing, in the break: the next opening"),
    ("2026-11-23T16:00", 0, "2026-11-24T07:30", "nothing, at closing time: the next opening too"),
    ("2026-11-23T09:00", 0, "2026-11-23T09:00", "nothing, when open: at once"),
]


@pytest.mark.parametrize(("start", "hours", "result", "remark"), WORKING_HOURS)
def test_working_hours_pass_only_while_the_office_is_open(start: str, hours: float, result: str, remark: str) -> None:
    begun = datetime.fromisoformat(start).replace(tzinfo=JAKARTA)
    expected = datetime.fromisoformat(result).replace(tzinfo=JAKARTA)
    assert COUNTED["public and joint leave"].add(begun, hours * 3600) == expected, remark


@pytest.mark.parametrize(("day", "opens"), [("2026-02-17", 9), ("2026-02-18", 8), ("2026-03-18", 8), ("2026-03-19", 9)])
def test_ramadan_has_its_own_hours_between_its_two_dates(day: str, opens: int) -> None:
    short = (((480, 720),),) * 7
    calendar = a_calendar(periods=(Period(date(2026, 2, 18), date(2026, 3, 18), short, "Ramadan"),))
    midnight = datetime.fromisoformat(day).replace(tzinfo=JAKARTA)
    assert calendar.add(midnight, 0) == midnight.replace(hour=opens)


@pytest.mark.parametrize("week", [(), ((),) * 7, (((0, 60),),) * 6], ids=["no days", "no hours", "six days"])
def test_calendar_without_hours_is_an_error_never_open_all_day(week: tuple[Hours, ...]) -> None:
    with pytest.raises(NoWorkingTime):
        a_calendar(week=week)


def test_calendar_closed_for_years_is_an_error_no_endless_loop() -> None:
    closed = Period(date(2000, 1, 1), date(2999, 1, 1), ((),) * 7)
    calendar = a_calendar(periods=(closed,))
    with pytest.raises(NoWorkingTime, match="^calendar office: not 60 s of work in ten years after 2026-11-23"):
        calendar.add(MONDAY, 60)
    with pytest.raises(NoWorkingTime):
        calendar.end_of_working_day(MONDAY, 1)
    assert calendar.elapsed(MONDAY, MONDAY + timedelta(days=365)) == 0


@pytest.mark.parametrize("zone", ["Asia/Jakarta", "Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe"])
def test_office_open_all_day_loses_no_minute_of_a_year(zone: str) -> None:
    whole = a_calendar(zone=zone, week=(ALL_DAY,) * 7)
    halves = a_calendar(zone=zone, week=(((0, 720), (720, 1440)),) * 7)
    end = MONDAY + timedelta(days=365, seconds=1)
    for calendar in (whole, halves):
        assert calendar.elapsed(MONDAY, end) == (end - MONDAY).total_seconds()
        assert calendar.add(MONDAY, (end - MONDAY).total_seconds()) == end


def test_office_open_over_midnight_is_written_in_two_and_counts_on() -> None:
    night = a_calendar(week=(((0, 120), (1320, 1440)),) * 7)
    eleven = datetime(2026, 11, 23, 23, tzinfo=JAKARTA)
    assert night.add(eleven, 3600) == eleven + timedelta(hours=1)
    assert night.add(eleven, 3 * 3600) == eleven + timedelta(hours=3)
    assert night.add(eleven, 3 * 3600 + 60) == eleven + timedelta(hours=23, minutes=1)


#: I21: (zone, local day, hours, first and last instant in UTC or None, remark)
CLOCK_CHANGES = [
    (
        "America/New_York",
        date(2026, 3, 8),
        (150, 300),
        "07:00 09:00",
        "half past two is skipped: three o'clock opens",
    ),
    (
        "America/New_York",
        date(2026, 3, 8),
        (0, 150),
        "05:00 07:00",
        "closing at a time that is skipped: three o'clock",
    ),
    (
        "America/New_York",
        date(2026, 3, 8),
        (120, 180),
        None,
        "open only in the hour that is skipped: closed",
    ),
    ("America/New_York", date(2026, 11, 1), (90, 300), "05:30 10:00", "half past one exists twice: the first opens"),
    ("America/New_York", date(2026, 11, 1), (0, 90), "04:00 05:30", "and the first closes"),
    ("Australia/Lord_Howe", date(2026, 10, 4), (135, 300), "15:30 18:00", "a gap of half an hour"),
    ("Europe/Amsterdam", date(2026, 3, 29), (540, 1020), "07:00 15:00", "office hours keep the local clock"),
]


@pytest.mark.parametrize(("zone", "day", "hours", "expected", "remark"), CLOCK_CHANGES)
def test_hours_follow_the_local_clock_on_days_it_changes(
    zone: str, day: date, hours: tuple[int, int], expected: str | None, remark: str
) -> None:
    spans = a_calendar(zone=zone, week=((hours,),) * 7).spans_on(day)
    assert [" ".join(f"{at:%H:%M}" for at in span) for span in spans] == ([expected] if expected else []), remark
    assert all(at.tzinfo is UTC for span in spans for at in span)


def test_day_that_never_was_is_no_working_day() -> None:
    apia = a_calendar(zone="Pacific/Apia", week=(ALL_DAY,) * 7)
    thursday = datetime(2011, 12, 29, 20, tzinfo=ZoneInfo("Pacific/Apia"))
    assert apia.spans_on(date(2011, 12, 30)) == ()
    assert apia.local(apia.end_of_working_day(thursday, 1)) == datetime(2012, 1, 1, tzinfo=ZoneInfo("Pacific/Apia"))


@pytest.mark.parametrize("server_zone", ["UTC", "Asia/Jakarta", "America/New_York", "Pacific/Kiritimati"])
def test_answers_do_not_depend_on_the_zone_of_the_server(server_zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", server_zone)
    time.tzset()
    try:
        calendar = a_calendar()
        assert calendar.end_of_working_day(MONDAY, 1) == datetime(2026, 11, 24, 10, tzinfo=UTC)
        assert calendar.add(MONDAY, 8 * 3600) == datetime(2026, 11, 24, 3, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("clock_zone", "change"), [("America/New_York", "2026-03-08T07:00Z"), ("Europe/Amsterdam", "2026-03-29T01:00Z")]
)
def test_answers_are_the_same_in_whatever_zone_instants_come(clock_zone: str, change: str) -> None:
    calendar = a_calendar(week=(ALL_DAY,) * 7)
    start = datetime.fromisoformat(change) - timedelta(minutes=30)
    end = start + timedelta(hours=2)
    there, later = start.astimezone(ZoneInfo(clock_zone)), end.astimezone(ZoneInfo(clock_zone))
    assert calendar.add(there, 7200) == end
    assert calendar.add(there, 7200).tzinfo is UTC
    assert calendar.elapsed(there, later) == 7200


def test_naive_instants_are_refused_wherever_one_comes_in() -> None:
    calendar, naive = a_calendar(), datetime(2026, 11, 23, 10)  # noqa: DTZ001 - the fault under test
    asked: list[Callable[[], object]] = [
        lambda: calendar.add(naive, 60),
        lambda: calendar.elapsed(naive, MONDAY),
        lambda: calendar.elapsed(MONDAY, naive),
        lambda: calendar.end_of_working_day(naive, 1),
        lambda: calendar.is_open(naive),
        lambda: calendar.days_off_between(MONDAY, naive),
    ]
    for ask in asked:
        with pytest.raises(NaiveDatetime, match="^2026-11-23 10:00:00 has no time zone$"):
            ask()


def test_what_was_asked_before_does_not_shorten_a_later_answer() -> None:
    calendar = a_calendar(week=(ALL_DAY,) * 7)
    elapsed = [calendar.elapsed(MONDAY, MONDAY + timedelta(days=days)) for days in range(300)]
    assert elapsed == [86_400.0 * days for days in range(300)]


PARTINGS = [
    ({}, None, "the same"),
    ({"days_off": {date(2026, 12, 24): "other words"}}, None, "the same days off for another reason"),
    ({"days_off": {}}, "2026-12-23T17:00Z", "from the midnight, in Jakarta, of the day off only one of them has"),
    (
        {"days_off": {date(2026, 12, 24): "decree", date(2027, 1, 1): "new", date(2026, 12, 31): "new"}},
        "2026-12-30T17:00Z",
        "from the first of several",
    ),
    ({"zone": "Asia/Makassar"}, "0001-01-01T00:00Z", "another zone: always"),
    ({"week": (ALL_DAY,) * 7}, "0001-01-01T00:00Z", "other hours: always"),
    (
        {"periods": (Period(date(2027, 2, 8), date(2027, 3, 9), (ALL_DAY,) * 7),)},
        "2027-02-07T17:00Z",
        "another period: from its first midnight",
    ),
    (
        {"periods": (Period(date(2027, 2, 8), date(2027, 3, 9), (ALL_DAY,) * 7),), "days_off": {}},
        "2026-12-23T17:00Z",
        "a day off before a period",
    ),
]


@pytest.mark.parametrize(("changed", "parting", "remark"), PARTINGS, ids=[row[2] for row in PARTINGS])
def test_two_calendars_say_from_when_they_may_differ(changed: dict[str, Any], parting: str | None, remark: str) -> None:
    one = a_calendar({date(2026, 12, 24): "decree"})
    other = replace(one, **changed)
    expected = datetime.fromisoformat(parting) if parting else None
    assert one.same_until(other) == other.same_until(one) == expected, remark


def test_days_off_on_the_way_are_told_with_their_reasons() -> None:
    calendar = a_calendar({date(2026, 11, 24): "decree", date(2026, 11, 27): "another", date(2027, 1, 1): "later"})
    told = calendar.days_off_between(MONDAY, MONDAY + timedelta(days=4))
    assert told == [(date(2026, 11, 24), "decree"), (date(2026, 11, 27), "another")]
    on_the_first = a_calendar({date(2026, 11, 22): "before", date(2026, 11, 23): "today"})
    assert on_the_first.days_off_between(MONDAY, MONDAY) == [(date(2026, 11, 23), "today")]


@pytest.mark.parametrize("zone", ["Asia/Jakarta", "America/New_York", "Etc/UTC"])
def test_instant_of_any_zone_is_taken_in_utc(zone: str) -> None:
    at = datetime(2026, 11, 23, 9, tzinfo=ZoneInfo(zone))
    assert in_utc(at) == at
    assert in_utc(at).tzinfo is UTC


NIGHT = (((1320, 1800),),) * 5 + ((), ())  # Monday to Friday, ten in the evening to six


def test_week_of_five_nights_has_five_working_days() -> None:
    calendar = a_calendar(week=NIGHT)
    days = [calendar.working_day(MONDAY.date(), days) for days in range(6)]
    assert [f"{day:%a}" for day in days] == ["Mon", "Tue", "Wed", "Thu", "Fri", "Mon"]
    assert calendar.elapsed(MONDAY, MONDAY + timedelta(days=7)) == 5 * 8 * 3600


def test_day_off_frees_the_night_that_begins_on_it_and_no_other() -> None:
    calendar = a_calendar({date(2026, 11, 24): "decree"}, week=NIGHT)
    three_at_night = [datetime(2026, 11, day, 3, tzinfo=JAKARTA) for day in (24, 25, 26)]
    assert [calendar.is_open(at) for at in three_at_night] == [True, False, True]
    assert not calendar.is_open(three_at_night[0].replace(hour=6)), "its end is outside"
    assert [calendar.worked_on(at) for at in three_at_night] == [date(2026, 11, 23), None, date(2026, 11, 25)]


def test_working_time_of_more_than_ten_years_is_that_of_the_first_ten() -> None:
    calendar, tuesday = a_calendar(), MONDAY + timedelta(days=1)
    monday = tuesday.date() + timedelta(days=3660)
    ten_years = calendar.elapsed(tuesday, calendar.instant(monday, 0))
    for beyond in (calendar.instant(monday, 1020), tuesday + timedelta(days=5000)):
        assert calendar.elapsed(tuesday, beyond) == ten_years == 2614 * 8 * 3600 - 3600


@pytest.mark.parametrize("days", [*range(-68, -62), *range(62, 72)])
def test_night_is_counted_whole_whichever_days_were_laid_out_before(days: int) -> None:
    """What is known of a calendar ends some 64 days around what was asked for."""
    calendar, day = a_calendar(week=NIGHT[:1] * 7), MONDAY.date() + timedelta(days=days)
    assert calendar.elapsed(MONDAY, MONDAY + timedelta(days=1)) == 8 * 3600
    since, until = calendar.instant(day, 180), calendar.instant(day, 360)
    assert calendar.elapsed(since, until) == 3 * 3600
    known = a_calendar(week=NIGHT[:1] * 7)
    known.elapsed(MONDAY, MONDAY + timedelta(days=1))
    assert known.add(since, 3 * 3600) == until


def test_night_before_a_period_is_worked_to_its_end_and_nobody_works_twice_at_once() -> None:
    early = Period(date(2026, 11, 24), date(2026, 11, 24), (((240, 480),),) * 7, "early")
    calendar = a_calendar(week=NIGHT, periods=(early,))
    night = datetime(2026, 11, 23, 22, tzinfo=JAKARTA)
    assert calendar.elapsed(night, night + timedelta(hours=12)) == 10 * 3600
    assert calendar.spans_on(date(2026, 11, 24)) == (
        (datetime(2026, 11, 23, 23, tzinfo=UTC), datetime(2026, 11, 24, 1, tzinfo=UTC)),
    )


def test_clock_started_at_night_counts_the_rest_of_that_shift() -> None:
    calendar = a_calendar(week=NIGHT)
    assert calendar.add(datetime(2026, 11, 24, 3, tzinfo=JAKARTA), 3600) == datetime(2026, 11, 24, 4, tzinfo=JAKARTA)
    assert calendar.add(datetime(2026, 11, 28, 5, tzinfo=JAKARTA), 7200) == datetime(2026, 11, 30, 23, tzinfo=JAKARTA)
