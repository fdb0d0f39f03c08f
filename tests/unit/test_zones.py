"""A calendar keeps its zone's clocks as they were when it was read, whatever becomes of the zone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.reports.calendars import WorkingCalendar
from bridge.reports.clocks import Obligation, start_clock, timed
from bridge.reports.zones import Offsets, agree_until, wall_clock
from config.calendars import calendar_from, definition_of, offsets_of, version_of
from tests.unit.given import TRIAGE, a_calendar
from tests.zones import changed_zone

AMSTERDAM = "Europe/Amsterdam"
#: A Monday, 10.00 in Amsterdam, six days before its clocks go forward in 2027.
BEFORE_SUMMER = datetime(2027, 3, 22, 9, 0, tzinfo=UTC)
SUMMER = datetime(2027, 3, 28, 1, 0, tzinfo=UTC)
CHANGING = (AMSTERDAM, "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Gaza", "Asia/Jakarta")


def read(zone: str) -> WorkingCalendar:
    """The calendar of an office there, as its file is read today."""
    plain = a_calendar(zone=zone, offsets=offsets_of(zone))
    return replace(plain, version=version_of("office", definition_of(plain)))


def stored(calendar: WorkingCalendar) -> WorkingCalendar:
    """The calendar as a process started later reads it from the store of versions."""
    return calendar_from("office", definition_of(calendar), calendar.version)


def a_clock(calendar: WorkingCalendar, at: datetime = BEFORE_SUMMER) -> Obligation:
    """Five working days."""
    return start_clock("r", TRIAGE, calendar, cycle=1, now=at)


@given(zone=st.sampled_from(CHANGING), setting=st.integers(0, 200), seconds=st.integers(-8000, 8000), data=st.data())
def test_clock_on_the_wall_is_that_of_the_zone_database(
    zone: str, setting: int, seconds: int, data: st.DataObject
) -> None:
    offsets = offsets_of(zone)
    at = offsets[setting % len(offsets)][0] + timedelta(seconds=seconds + 10_000)
    shown, known = at.astimezone(wall_clock(offsets)), at.astimezone(ZoneInfo(zone))
    assert (shown.replace(tzinfo=None), shown.fold) == (known.replace(tzinfo=None), known.fold)
    wall = shown.replace(tzinfo=None, fold=data.draw(st.integers(0, 1)))
    wall += timedelta(seconds=data.draw(st.integers(-4000, 4000)))
    assert wall.replace(tzinfo=wall_clock(offsets)).utcoffset() == wall.replace(tzinfo=ZoneInfo(zone)).utcoffset()


def test_clock_on_the_wall_is_called_by_its_offset() -> None:
    assert f"{BEFORE_SUMMER.astimezone(wall_clock(offsets_of(AMSTERDAM))):%H:%M %Z}" == "10:00 UTC+01:00"
    assert f"{BEFORE_SUMMER.astimezone(wall_clock(offsets_of('Asia/Jakarta'))):%H:%M %Z}" == "16:00 UTC+07:00"


def test_zone_without_summer_time_is_another_version_whose_deadlines_after_march_are_an_hour_later() -> None:
    with_summer = read(AMSTERDAM)
    with changed_zone(AMSTERDAM, 3600):
        without = read(AMSTERDAM)
    assert without.version != with_summer.version
    assert a_clock(without).deadline_at - a_clock(with_summer).deadline_at == timedelta(hours=1)
    early = BEFORE_SUMMER - timedelta(days=14)
    assert a_clock(without, early).deadline_at == a_clock(with_summer, early).deadline_at


def test_deadline_is_computed_as_ever_by_the_version_it_holds_after_the_zone_has_changed() -> None:
    calendar = read(AMSTERDAM)
    clock = a_clock(calendar)
    with changed_zone(AMSTERDAM, 3600):
        again = stored(calendar)
        assert again == calendar
        assert timed(clock, TRIAGE, again) == clock
        assert again.local(SUMMER).hour == 3


def test_zones_of_indonesia_keep_the_versions_from_before_offsets_were_kept() -> None:
    for zone in ("Asia/Jakarta", "Asia/Pontianak", "Asia/Makassar", "Asia/Jayapura"):
        before = replace(a_calendar(), zone=zone)  # as calendars were: nothing but the name of the zone
        assert "offsets" not in definition_of(read(zone))
        assert read(zone).version == version_of("office", definition_of(before)), zone
        assert stored(read(zone)) == read(zone)


def test_even_jakartas_clocks_may_be_set_and_are_then_another_version() -> None:
    calendar = read("Asia/Jakarta")
    with changed_zone("Asia/Jakarta", 25_200, (SUMMER, 28_800)):
        changed, again = read("Asia/Jakarta"), stored(calendar)
        assert again.local(SUMMER).hour == 8
        assert changed.local(SUMMER).hour == 9
    assert changed.version != calendar.version
    assert stored(changed) == changed
    assert calendar.same_until(changed) == SUMMER - datetime.resolution


def test_calendar_from_before_offsets_were_kept_goes_on_by_its_zone_as_it_is_today() -> None:
    today = read(AMSTERDAM)
    definition = {name: value for name, value in definition_of(today).items() if name != "offsets"}
    before = calendar_from("office", definition)
    assert before.version != today.version, "so an operator is shown it, once"
    assert a_clock(before).deadline_at == a_clock(today).deadline_at
    assert before.same_until(today) == datetime.min.replace(tzinfo=UTC), "and every clock is computed afresh"


@pytest.mark.parametrize(
    ("others", "until"),
    [
        (((BEFORE_SUMMER, 3600),), SUMMER - datetime.resolution),
        (((BEFORE_SUMMER, 3600), (SUMMER, 7200)), None),
        (((BEFORE_SUMMER, 7200), (SUMMER, 7200)), datetime.min.replace(tzinfo=UTC)),
        (((BEFORE_SUMMER, 3600), (SUMMER, 7200), (SUMMER, 7200)), None),
    ],
)
def test_two_clocks_say_until_when_they_agree(others: Offsets, until: datetime | None) -> None:
    summer = ((BEFORE_SUMMER, 3600), (SUMMER, 7200))
    assert agree_until(summer, others) == agree_until(others, summer) == until


@given(
    hours=st.sampled_from([-1, 1]),
    after_h=st.integers(0, 400),
    started_h=st.integers(0, 200),
    work_s=st.integers(0, 200_000),
    days=st.integers(0, 8),
)
def test_what_is_due_while_two_clocks_agree_is_due_then_by_both(
    hours: int, after_h: int, started_h: int, work_s: int, days: int
) -> None:
    jakarta = offsets_of("Asia/Jakarta")
    set_at = BEFORE_SUMMER + timedelta(hours=after_h)
    one, other = a_calendar(offsets=jakarta), a_calendar(offsets=(*jakarta, (set_at, 25_200 + 3600 * hours)))
    until, start = one.same_until(other), BEFORE_SUMMER + timedelta(hours=started_h)
    assert until is not None
    for some, rest in ((one, other), (other, one)):
        due = some.add(start, work_s)
        assert due > until or rest.add(start, work_s) == due
        due = some.end_of_working_day(start, days)
        assert due > until or rest.end_of_working_day(start, days) == due
