"""When a person wants to be told, and who is told in their place."""

import time as clock
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.reports.channels import Channel, Flood, Ways, address_on
from bridge.reports.people import Person, Role
from bridge.reports.preferences import (
    BadTimes,
    Held,
    Pace,
    digest_times,
    held_until,
    paced,
    quiet_hours,
    standing_in,
)

JAKARTA = ZoneInfo("Asia/Jakarta")
ANI = Person("ani", "Ani", Role.OFFICER, "bpsk-dki", "ani@bpsk.example")
BUDI, CITRA = replace(ANI, person_id="budi"), replace(ANI, person_id="citra")
WAYS = Ways({name: Channel(name) for name in ("email", "telegram", "office")})


def wib(text: str) -> datetime:
    """Return an instant of Monday 23 November 2026, or of the day before or after by a sign."""
    day = {"-": 22, "+": 24}.get(text[0], 23)
    hour, minute = text.lstrip("+-").split(":")
    return datetime(2026, 11, day, int(hour), int(minute), tzinfo=JAKARTA).astimezone(UTC)


@pytest.mark.parametrize(
    ("quiet", "now", "until"),
    [
        ("20:00-06:00", "20:00", "+6:00"),
        ("20:00-06:00", "23:59", "+6:00"),
        ("20:00-06:00", "5:59", "6:00"),
        ("20:00-06:00", "6:00", None),
        ("20:00-06:00", "19:59", None),
        ("12:00-13:00", "12:00", "13:00"),
        ("12:00-13:00", "12:30", "13:00"),
        ("12:00-13:00", "13:00", None),
        ("", "3:00", None),
    ],
)
def test_what_has_no_hurry_waits_until_quiet_hours_are_over(quiet: str, now: str, until: str | None) -> None:
    expected = (wib(until), Held.QUIET) if until else None
    assert held_until(replace(ANI, quiet=quiet), "new_report", wib(now), JAKARTA) == expected


def test_what_climbed_to_somebody_waits_for_nothing() -> None:
    person = replace(ANI, quiet="00:01-00:00", digest="07:30")
    assert held_until(person, "escalation", wib("3:00"), JAKARTA) is None


@pytest.mark.parametrize(
    ("now", "until"), [("7:00", "7:30"), ("7:30", "13:00"), ("13:00", "+7:30"), ("23:00", "+7:30")]
)
def test_who_wants_a_digest_gets_it_at_the_next_of_its_times(now: str, until: str) -> None:
    person = replace(ANI, digest="13:00 07:30")
    assert held_until(person, "warning", wib(now), JAKARTA) == (wib(until), Held.DIGEST)


@pytest.mark.parametrize("server_zone", ["UTC", "Asia/Jakarta", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_when_a_digest_comes_does_not_depend_on_the_zone_of_the_server(
    server_zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", server_zone)
    clock.tzset()
    try:
        # At 0.10 it is still Sunday in Pago Pago, at 18.10 already Tuesday on Kiritimati.
        for now, until in (("0:10", "7:30"), ("18:10", "18:30")):
            held = held_until(replace(ANI, digest="07:30 18:30"), "warning", wib(now), JAKARTA)
            assert held == (wib(until), Held.DIGEST)
            assert held[0].tzinfo is UTC
    finally:
        monkeypatch.undo()
        clock.tzset()


UNREADABLE = [
    ("20:00", "20:00"),
    ("20-6", "20"),
    ("24:00-06:00", "24:00"),
    ("20:00-20:00", "20:00-20:00"),
    ("20:00-6:00", "6:00"),
    ("-", "-"),
    ("20:00-06:00-07:00", "06:00-07:00"),
]


@pytest.mark.parametrize(("text", "fault"), UNREADABLE)
def test_quiet_hours_that_cannot_be_read_are_refused_with_the_fault_and_the_right_form(text: str, fault: str) -> None:
    with pytest.raises(BadTimes, match=f"^'{fault}' is no .*; write it like"):
        quiet_hours(text)


def test_digest_times_come_in_order_and_once() -> None:
    assert digest_times(" 13:00 07:30  13:00") == [time(7, 30), time(13)]
    with pytest.raises(BadTimes):
        digest_times("7:30")


@given(quiet_begin=st.times(), quiet_end=st.times(), minutes=st.integers(0, 60 * 24 * 400))
def test_quiet_hours_end_within_a_day_and_are_over_then(quiet_begin: time, quiet_end: time, minutes: int) -> None:
    begin, end = (f"{at:%H:%M}" for at in (quiet_begin, quiet_end))
    if begin == end:
        return
    zone = ZoneInfo("Europe/Berlin")  # with summer time, which Jakarta has not
    person, now = replace(ANI, quiet=f"{begin}-{end}"), wib("0:00") + timedelta(minutes=minutes)
    held = held_until(person, "new_report", now, zone)
    if held is not None:
        assert now < held[0] <= now + timedelta(hours=25)
        assert held_until(person, "new_report", held[0], zone) is None


def test_so_many_notices_leave_alone_and_the_next_ones_gather() -> None:
    flood, now, pace = Flood(3, 600, 60), wib("9:00"), None
    for sent in (1, 2, 3):
        pace, until = paced(pace, flood, now + timedelta(seconds=sent))
        assert (pace and pace.sent, until) == (sent, None)
    began = now + timedelta(seconds=1)
    assert paced(pace, flood, now + timedelta(seconds=10)) == (None, began + timedelta(seconds=60))
    assert paced(pace, flood, began + timedelta(seconds=60)) == (None, began + timedelta(seconds=120))
    assert paced(pace, flood, began + timedelta(seconds=600)) == (Pace(began + timedelta(seconds=600), 1), None)


def test_notices_of_the_same_instant_count_together() -> None:
    now = wib("9:00")
    assert paced(Pace(now, 2), Flood(3), now) == (Pace(now, 3), None)


def test_nobody_gathers_where_that_is_switched_off() -> None:
    assert paced(Pace(wib("9:00"), 10**6), Flood(0), wib("9:00")) == (Pace(wib("9:00"), 10**6), None)


def test_a_clock_set_back_holds_nobody_for_longer() -> None:
    assert paced(Pace(wib("+9:00"), 99), Flood(3), wib("9:00")) == (Pace(wib("9:00"), 1), None)


def absent(person: Person, stand_in: str | None = None) -> Person:
    return replace(person, absent_from=wib("-0:00"), absent_until=wib("+0:00"), stand_in=stand_in)


@pytest.mark.parametrize(
    ("ani", "budi", "told"),
    [
        (ANI, BUDI, "ani"),
        (replace(ANI, stand_in="budi"), BUDI, "ani"),
        (absent(ANI, "budi"), BUDI, "budi"),
        (absent(ANI), BUDI, "ani"),
        (absent(ANI, "gone"), BUDI, "ani"),
        (absent(ANI, "budi"), absent(BUDI, "citra"), "citra"),
        (absent(ANI, "budi"), absent(BUDI), "ani"),
        (absent(ANI, "budi"), absent(BUDI, "ani"), "ani"),
    ],
)
def test_while_somebody_is_absent_whoever_stands_in_is_told_and_never_nobody(
    ani: Person, budi: Person, told: str
) -> None:
    people = {one.person_id: one for one in (ani, budi, CITRA)}
    assert standing_in(ani, people, wib("9:00")).person_id == told


@pytest.mark.parametrize(("third_is_absent", "told"), [(False, "dewi"), (True, "ani")])
def test_three_who_stand_in_for_one_another_are_asked_and_no_fourth(third_is_absent: bool, told: str) -> None:
    names = ["ani", "budi", "citra", "dewi", "eko"]
    chain = [replace(ANI, person_id=name, stand_in=after) for name, after in pairwise([*names, "nobody"])]
    away = 4 if third_is_absent else 3
    people = {one.person_id: absent(one, one.stand_in) if place < away else one for place, one in enumerate(chain)}
    assert standing_in(people["ani"], people, wib("9:00")).person_id == told


def test_channels_are_tried_in_the_persons_order_and_those_that_do_not_reach_are_left_out() -> None:
    person = replace(ANI, channels=("telegram:81", "fax:1", "email", "office"))
    assert WAYS.of(person) == ["telegram", "email", "office"]
    assert WAYS.of(replace(person, email="")) == ["telegram", "office"]
    assert [WAYS.after(person, name) for name in WAYS.of(person)] == ["email", "office", None]
    assert address_on(person, "telegram") == "81"
    assert address_on(person, "email") == "ani@bpsk.example"
    assert address_on(person, "office") == address_on(person, "matrix") == ""


def test_who_has_no_channel_finds_everything_on_the_desk() -> None:
    person = replace(ANI, email="")
    assert WAYS.of(person) == ["desk"]
    assert [WAYS.after(person, name) for name in ("desk", "fax")] == [None, None]


def test_what_went_by_a_channel_that_is_gone_goes_on_by_the_first() -> None:
    assert WAYS.after(ANI, "fax") == "email"


def test_channel_that_is_configured_no_longer_has_the_patience_of_everybody() -> None:
    patient = Channel("office", (1.0, 2.0), 7200.0)
    ways = Ways({"email": Channel("email"), "office": patient})
    assert (ways.channel("office"), ways.channel("fax")) == (patient, Channel("fax"))
