"""Telling: whether the reason is still there, when to try again after a failure, and by whom or what else."""

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.reports.clocks import ClockState
from bridge.reports.report import Delivery, Purpose
from bridge.reports.states import Status
from bridge.reports.telling import LONGEST_WAIT_S, in_place_of, next_attempt_at, reason_gone, through
from tests.unit.given import MONDAY, REPORT_ID, a_clock, a_report

#: Standard Webhooks 1.0.0: when each attempt after the first is made, since the first.
ELAPSED = ["0:00:05", "0:05:05", "0:35:05", "2:35:05", "7:35:05", "17:35:05", "31:35:05", "51:35:05", "75:35:05"]
ATTEMPTS = range(1, len(ELAPSED) + 1)


def wait_s(failed: int, *, chance: float = 0, retry_after_s: float | None = None) -> float:
    again = next_attempt_at(failed, now=MONDAY, chance=chance, retry_after_s=retry_after_s)
    assert again is not None
    return (again - MONDAY).total_seconds()


def test_failed_delivery_is_tried_again_on_the_published_schedule() -> None:
    now, times = MONDAY, []
    for failed in ATTEMPTS:
        again = next_attempt_at(failed, now=now, chance=0)
        assert again is not None
        now = again
        minutes, seconds = divmod(int((now - MONDAY).total_seconds()), 60)
        times.append(f"{minutes // 60}:{minutes % 60:02}:{seconds:02}")
    assert times == ELAPSED


@pytest.mark.parametrize("failed", [10, 11, 1000])
def test_tenth_failure_is_the_last_one(failed: int) -> None:
    assert next_attempt_at(failed, now=MONDAY, chance=0) is None
    assert next_attempt_at(failed, now=MONDAY, chance=0, retry_after_s=60) is None


@given(st.sampled_from(ATTEMPTS), st.floats(0, 1))
def test_chance_only_ever_adds_a_tenth_at_most(failed: int, chance: float) -> None:
    assert wait_s(failed) <= wait_s(failed, chance=chance) <= wait_s(failed) * 1.1 + 1e-6


ASKED = [
    (3600, 3600, "longer than our own wait: honoured"),
    (1, 5, "shorter than our own wait: not"),
    (LONGEST_WAIT_S, LONGEST_WAIT_S, "a day"),
    (LONGEST_WAIT_S + 1, LONGEST_WAIT_S, "more than a day is a day"),
    (math.inf, LONGEST_WAIT_S, "for ever is a day"),
    (math.nan, 5, "no number at all"),
    (-60, 5, "in the past"),
    (0, 5, "at once"),
]


@pytest.mark.parametrize(("asked_s", "waited_s", "remark"), ASKED)
def test_receiver_asking_for_time_gets_it_up_to_a_day(asked_s: float, waited_s: float, remark: str) -> None:
    assert wait_s(1, retry_after_s=asked_s) == waited_s, remark


@given(st.sampled_from(ATTEMPTS), st.floats(0, 1), st.floats())
def test_whatever_a_receiver_asks_the_wait_stays_within_bounds(failed: int, chance: float, asked_s: float) -> None:
    assert wait_s(failed) <= wait_s(failed, chance=chance, retry_after_s=asked_s) <= LONGEST_WAIT_S * 1.1


def why(event: str, *, clock: ClockState | None = ClockState.RUNNING, **report: Any) -> str | None:
    """Why a message of the first cycle to Ani need not be sent any more."""
    obligation = a_clock(state=clock, ended_by="person:budi") if clock else None
    return reason_gone(event=event, cycle=1, recipient="ani", report=a_report(**report), obligation=obligation)


EVENTS = ["new_report", "warning", "escalation", "withdrawn", "amended"]
GONE = [
    ("met", {"clock": ClockState.MET}, "new_report warning escalation", "acknowledge: met meanwhile by person:budi"),
    (
        "cancelled",
        {"clock": ClockState.CANCELLED},
        "new_report warning escalation",
        "acknowledge: cancelled meanwhile by person:budi",
    ),
    ("closed", {"status": Status.CLOSED}, "new_report warning escalation", "the report was closed meanwhile"),
    ("reopened", {"cycle": 2}, " ".join(EVENTS), "the report was reopened since"),
    ("handed over", {"assignee": "budi"}, "new_report warning", "the report has moved on to budi"),
    ("taken away", {"assignee": None}, "new_report warning", "the report has moved on to nobody"),
    ("paused", {"clock": ClockState.PAUSED}, "", ""),
    ("no clock", {"clock": None}, "", ""),
    ("as it was", {}, "", ""),
]


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize(("what", "facts", "lapsed", "reason"), GONE, ids=[row[0] for row in GONE])
def test_notice_whose_reason_has_gone_is_not_sent_others_are(
    event: str, what: str, facts: dict[str, Any], lapsed: str, reason: str
) -> None:
    gone = why(event, **facts)
    assert (gone is not None) is (event in lapsed.split()), what
    assert gone in (None, reason)


def test_next_attempt_lies_in_the_future_of_the_clock_given() -> None:
    later = MONDAY + timedelta(days=3)
    assert next_attempt_at(1, now=later, chance=0) == later + timedelta(seconds=5)


LATER, MUCH_LATER = MONDAY + timedelta(hours=1), MONDAY + timedelta(hours=2)


def a_notice(event: str = "new_report", key: str = f"notice/{REPORT_ID}/1/new/ani", **payload: Any) -> Delivery:
    """A notice to Ani by mail."""
    return Delivery(
        report_id=REPORT_ID,
        ticket="K7Q2-9XWM-4T8R",
        cycle=1,
        purpose=Purpose.NOTICE,
        event=event,
        channel="email",
        recipient="ani",
        dedupe_key=key,
        created_at=MONDAY,
        kind="acknowledge",
        step=2,
        payload={"level": 1, **payload},
    )


def test_notice_by_another_channel_is_the_same_one_under_a_key_of_its_own() -> None:
    notice = a_notice()
    other = through(notice, "sms", now=LATER)
    assert other == replace(
        notice,
        channel="sms",
        dedupe_key=f"via/sms/{notice.dedupe_key}",
        created_at=LATER,
        payload={"level": 1, "via": "sms", "key": notice.dedupe_key},
    )
    assert through(other, "push", now=MUCH_LATER) == through(notice, "push", now=MUCH_LATER)


KEYS = [
    ("new_report", "notice/r/1/new/ani", "notice/r/1/new/budi", "its own would be called so"),
    ("warning", "notice/r/1/triage/1/ani", "notice/r/1/triage/1/budi", "its own would be called so"),
    ("escalation", "notice/r/1/triage/2/ani", "notice/r/1/triage/2/budi", "its own would be called so"),
    ("new_report", "notice/r/assigned/ani/10.00", "notice/r/assigned/ani/10.00/budi", "the person is not at the end"),
    ("warning", "notice/r/1/triage/1/rani", "notice/r/1/triage/1/rani/budi", "it ends with somebody else"),
    ("amended", "notice/r/amended/qlue/ani", "notice/r/amended/qlue/ani/budi", "it ends with what the city said"),
]


@pytest.mark.parametrize(("event", "key", "renamed", "remark"), KEYS)
def test_notice_for_a_stand_in_has_the_key_of_their_own_one(event: str, key: str, renamed: str, remark: str) -> None:
    notice = a_notice(event, key)
    assert in_place_of(notice, "budi", now=LATER) == replace(
        notice, recipient="budi", dedupe_key=renamed, created_at=LATER, payload={"level": 1, "for": "ani"}
    ), remark


def test_notice_that_went_another_way_goes_to_the_stand_in_as_the_first_one_would() -> None:
    notice = a_notice()
    by_sms = through(notice, "sms", now=LATER)
    assert in_place_of(by_sms, "budi", now=MUCH_LATER) == replace(
        in_place_of(notice, "budi", now=MUCH_LATER), channel="sms"
    )


def test_stand_in_of_a_stand_in_is_told_whom_it_was_meant_for_at_first() -> None:
    notice = a_notice()
    again = in_place_of(in_place_of(notice, "budi", now=LATER), "citra", now=MUCH_LATER)
    assert again == in_place_of(notice, "citra", now=MUCH_LATER)
