"""The bar of a clock: places in percent on the axis the clock counts on."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.desk.bar import Bar, bar
from bridge.reports.clocks import ClockState, Kind, Pause, Policy, start_clock
from bridge.reports.explaining import account, foreseen
from tests.unit.given import ACKNOWLEDGE, MONDAY, REPORT_ID, TRIAGE, a_calendar, a_desk, a_policy, a_report, a_rulebook

WALL = a_policy(Kind.ACKNOWLEDGE, "10 hours", ("5 hours", "assignee", "warn"), ("20 hours", "role:chair", "notify"))


def drawn(policy: Policy, hours: float, *pauses: Pause, at: datetime = MONDAY, **changes: Any) -> Bar:
    """The bar so many hours after the start, with the ladder that was to come then."""
    rulebook = a_rulebook(policy)
    clock = start_clock(REPORT_ID, policy, a_calendar(), cycle=1, now=at)
    ahead = foreseen(a_report(), [clock], rulebook, a_desk(), now=at)
    clock = replace(clock, pauses=pauses, **changes)
    return bar(account(clock, rulebook, (), ahead), at + timedelta(hours=hours))


def test_axis_is_working_time_and_nights_take_no_room() -> None:
    # 8 working hours to the last rung: 2 h warning, 4 h deadline and first rung; the next day begins after 7 h.
    found = drawn(ACKNOWLEDGE, 1)
    assert (found.deadline, found.now, found.used, found.over) == (50, 12.5, (0, 12.5), (50, 0))
    assert [(mark.at, mark.level) for mark in found.marks] == [(25, 0), (50, 1), (100, 2)]
    assert found.days == (87.5,)
    assert drawn(ACKNOWLEDGE, 7).now == drawn(ACKNOWLEDGE, 20).now == 87.5


def test_axis_of_a_clock_on_the_wall_is_the_wall_clock() -> None:
    found = drawn(WALL, 12)
    assert (found.deadline, found.used, found.over) == (50, (0, 50), (50, 10))


def test_pause_takes_its_room_where_it_was() -> None:
    stood = Pause(MONDAY + timedelta(hours=1), MONDAY + timedelta(hours=3), "person:ani", "KTP")
    assert drawn(ACKNOWLEDGE, 4, stood).paused == ((12.5, 25.0),)
    lasting = Pause(MONDAY + timedelta(hours=1), None, "person:ani", "KTP")
    found = drawn(ACKNOWLEDGE, 2, lasting, state=ClockState.PAUSED)
    assert (found.paused, found.now) == (((12.5, 12.5),), 25)


def test_clock_that_has_ended_shows_no_now_and_stops_where_it_ended() -> None:
    found = drawn(ACKNOWLEDGE, 8, state=ClockState.MET, ended_at=MONDAY + timedelta(hours=2))
    assert (found.now, found.used) == (None, (0, 25))


def test_marks_that_would_cover_each_other_stand_in_two_rows() -> None:
    steps = [(f"{n} minutes", "role:chair", "notify") for n in (50, 51, 52, 80)]
    policy = a_policy(Kind.ACKNOWLEDGE, "100 minutes", *steps)
    found = drawn(policy, 0)
    assert [mark.row for mark in found.marks] == [0, 1, 0, 0]
    assert (found.height, drawn(WALL, 0).height) == (60, 45)


def test_clock_of_no_length_and_one_of_a_year_have_a_bar_too() -> None:
    nothing = a_policy(Kind.ACKNOWLEDGE, "0 seconds", ("0 seconds", "role:chair", "notify"))
    assert drawn(nothing, 0).deadline == 100
    assert drawn(a_policy(Kind.TRIAGE, "250 working days"), 0).days == ()


PAUSES = st.lists(st.tuples(st.integers(-5, 60), st.integers(0, 30)), max_size=3).map(
    lambda drawn: [
        Pause(MONDAY + timedelta(hours=s), MONDAY + timedelta(hours=s + n), "person:ani", "") for s, n in drawn
    ]
)


@given(st.sampled_from([ACKNOWLEDGE, TRIAGE, WALL]), st.floats(-10, 500), PAUSES)
@settings(max_examples=150, deadline=None)
def test_every_place_lies_on_the_bar(policy: Policy, hours: float, pauses: list[Pause]) -> None:
    found = drawn(policy, hours, *pauses)
    assert all(0 <= at <= 100 for at in (found.deadline, found.now, *found.days, *(mark.at for mark in found.marks)))  # type: ignore[operator]
    for since, length in (found.used, found.over, *found.paused):
        assert 0 <= since <= since + length <= 100.01
    assert found.used[0] + found.used[1] <= found.deadline
