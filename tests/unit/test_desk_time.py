"""Working time on whose desk: nights, holidays and waiting for the citizen are nobody's."""

from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.reports.calendars import WorkingCalendar
from bridge.reports.desk_time import Stay, by_desk, stays
from bridge.reports.report import Event
from tests.unit.given import MONDAY, OFFICE, REPORT_ID, a_calendar

HOLIDAY = {date(2026, 11, 24): "decree"}
NEVER = a_calendar(week=(((0, 60),), (), (), (), (), (), ()))


def calendar_of(office: str) -> WorkingCalendar:
    return NEVER if office == "elsewhere" else a_calendar(HOLIDAY)


def at(hours: float) -> datetime:
    return MONDAY + timedelta(hours=hours)


def event(name: str, hours: float, actor: str = "person:ani", **data: Any) -> Event:
    return Event(REPORT_ID, 1, name, actor, at(hours), data)


def lived(*events: Event, until: float) -> list[Stay]:
    return stays(
        [event("received", 0), event("routed", 0, office=OFFICE, to="ani"), *events],
        calendar_of,
        OFFICE,
        now=MONDAY + timedelta(hours=until),
    )


def hours_of(found: list[Stay]) -> dict[str | None, float]:
    return {person: seconds / 3600 for person, seconds in by_desk(found).items()}


def test_time_passes_on_the_desk_it_lies_on_but_not_at_night_nor_on_a_holiday() -> None:
    found = lived(event("reassigned", 3, of="ani", to="budi"), until=49)
    assert hours_of(found) == {"ani": 3, "budi": 6}
    assert [(stay.person, stay.working_s) for stay in found] == [("ani", 3 * 3600), ("budi", 6 * 3600)]


def test_whole_life_of_a_report_is_told_stay_by_stay() -> None:
    """What changes neither desk nor office nor whose turn it is begins no new stay."""
    found = stays(
        [
            event("received", 0),
            event("routed", 1, office="branch", to="ani"),
            event("amended", 2, fields=["title"]),
            event("register", 3),
            event("ask_completion", 4),
            event("amended", 5, fields=["title"]),
            event("resume", 6),
            event("close", 7),
        ],
        calendar_of,
        OFFICE,
        now=at(9),
    )
    assert found == [
        Stay(at(0), at(1), None, OFFICE, citizen=False, working_s=3600.0),
        Stay(at(1), at(4), "ani", "branch", citizen=False, working_s=3 * 3600.0),
        Stay(at(4), at(6), "ani", "branch", citizen=True, working_s=2 * 3600.0),
        Stay(at(6), at(7), "ani", "branch", citizen=False, working_s=3600.0),
    ]


def test_waiting_for_the_citizen_lies_on_no_desk() -> None:
    found = lived(event("ask_completion", 1), event("resume", 5), event("close", 6), until=100)
    assert hours_of(found) == {"ani": 2}
    assert [stay.working_s / 3600 for stay in found if stay.citizen] == [4]


def test_registering_ends_the_waiting_too() -> None:
    assert hours_of(lived(event("ask_completion", 1), event("register", 5), until=7)) == {"ani": 3}


def test_closed_report_lies_nowhere_until_it_is_reopened() -> None:
    assert hours_of(lived(event("close", 1), event("reopen", 5), until=7)) == {"ani": 3}
    assert hours_of(lived(event("withdraw", 1), until=7)) == {"ani": 1}


def test_officer_who_acknowledges_takes_the_report_over() -> None:
    assert hours_of(lived(event("acknowledge", 2, "person:budi", to="budi"), until=4)) == {"ani": 2, "budi": 2}
    assert hours_of(lived(event("acknowledge", 2, "person:ketua"), until=4)) == {"ani": 4}


def test_report_nobody_was_found_for_lies_on_nobodys_desk() -> None:
    found = stays(
        [event("received", 0), event("routed", 0, to=None)], calendar_of, OFFICE, now=MONDAY + timedelta(hours=2)
    )
    assert hours_of(found) == {None: 2}


def test_other_office_counts_by_its_own_calendar() -> None:
    found = lived(event("transferred", 2, of=OFFICE, to="elsewhere", desk="dewi"), until=7)
    assert hours_of(found) == {"ani": 2, "dewi": 0}
    assert [stay.office for stay in found] == [OFFICE, "elsewhere"]
    assert hours_of(lived(event("transferred", 2, to=OFFICE, desk=None), until=7)) == {"ani": 2, None: 5}


@pytest.mark.parametrize(("status", "hours"), [("acknowledged", {"ani": 4}), ("needs_completion", {"ani": 3})])
def test_merge_taken_back_puts_the_report_where_it_lay(status: str, hours: dict[str, float]) -> None:
    merged, back = event("merged", 3, into="K7Q2-9XWM-4T8R"), event("unmerged", 6, status=status)
    assert hours_of(lived(merged, back, until=7)) == hours


def test_report_merged_into_another_lies_nowhere() -> None:
    assert hours_of(lived(event("merged", 3, into="K7Q2-9XWM-4T8R"), until=7)) == {"ani": 3}


def test_ping_pong_adds_up_per_person() -> None:
    back = event("reassigned", 2, of="budi", to="ani")
    assert hours_of(lived(event("reassigned", 1, of="ani", to="budi"), back, until=3)) == {"ani": 2, "budi": 1}


def test_clock_set_back_between_two_events_makes_no_time() -> None:
    assert hours_of(lived(event("reassigned", 3, to="budi"), event("reassigned", 1, to="ani"), until=4)) == {"ani": 4}


EVENTS = st.tuples(
    st.sampled_from(
        ["amended", "reassigned", "ask_completion", "resume", "register", "close", "reopen", "acknowledge"]
    ),
    st.integers(-5, 200),
    st.sampled_from(["ani", "budi", None]),
)


@given(st.lists(EVENTS, max_size=8), st.integers(0, 300))
@settings(max_examples=150, deadline=None)
def test_all_stays_together_are_the_working_time_the_report_was_open(
    drawn: list[tuple[str, int, str | None]], until: int
) -> None:
    events = [event(name, hours, **({"to": who} if name == "reassigned" else {})) for name, hours, who in drawn]
    found = lived(*events, until=until)
    moments, open_s, closed = [0, *(hours for _, hours, _ in drawn)], 0.0, False
    for number in range(len(moments)):
        name = drawn[number - 1][0] if number else "received"
        closed = name == "close" or (closed and name not in ("reopen", "resume", "register"))
        since = max(moments[: number + 1])
        over = max(moments[: number + 2]) if number + 1 < len(moments) else until
        if not closed:
            open_s += a_calendar(HOLIDAY).elapsed(MONDAY + timedelta(hours=since), MONDAY + timedelta(hours=over))
    assert sum(stay.working_s for stay in found) == open_s
    assert all(one.until <= other.since for one, other in pairwise(found))
