"""Breakers: a destination that keeps failing is left alone, asked with one try, and never forgotten."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from bridge.reports.breakers import (
    ASK_AGAIN_S,
    LONGEST_OPEN_S,
    OPEN_S,
    PROBE_S,
    TRIP_AFTER,
    Admission,
    Breaker,
    admission,
    failed,
    probing,
)
from tests.unit.given import MONDAY

CITY = Breaker("qlue")


def s(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def tripped(times: int = TRIP_AFTER) -> Breaker:
    breaker = CITY
    for _ in range(times):
        breaker = failed(breaker, now=MONDAY, error="HTTP 500")
    return breaker


def test_destination_without_trouble_takes_everything() -> None:
    assert admission(None, MONDAY) == (Admission.SEND, None)
    assert CITY.state(MONDAY) == "closed"


def test_fewer_failures_than_it_takes_change_nothing() -> None:
    breaker = tripped(TRIP_AFTER - 1)
    assert admission(breaker, MONDAY) == (Admission.SEND, None)
    assert (breaker.failures, breaker.failing_since, breaker.last_error) == (TRIP_AFTER - 1, MONDAY, "HTTP 500")


def test_so_many_failures_in_a_row_open_it_for_a_while() -> None:
    breaker = tripped()
    assert admission(breaker, MONDAY) == (Admission.WAIT, MONDAY + s(OPEN_S[0]))
    assert admission(breaker, MONDAY + s(OPEN_S[0] - 0.001))[0] is Admission.WAIT
    assert breaker.state(MONDAY) == "open"


def test_when_the_while_is_over_one_try_is_made_and_the_others_wait_for_it() -> None:
    breaker, now = tripped(), MONDAY + s(OPEN_S[0])
    assert (admission(breaker, now), breaker.state(now)) == ((Admission.PROBE, None), "half_open")
    asked = probing(breaker, now)
    assert admission(asked, now + s(1)) == (Admission.WAIT, now + s(1 + ASK_AGAIN_S))
    assert admission(asked, now + s(PROBE_S - 1)) == (Admission.WAIT, now + s(PROBE_S))


def test_a_try_that_died_is_made_by_somebody_else() -> None:
    now = MONDAY + s(OPEN_S[0])
    assert admission(probing(tripped(), now), now + s(PROBE_S)) == (Admission.PROBE, None)


def test_a_try_that_failed_keeps_nobody_from_the_next_one() -> None:
    now = MONDAY + s(OPEN_S[0])
    again = failed(probing(tripped(), now), now=now + s(1), error="again")
    assert again == Breaker("qlue", TRIP_AFTER + 1, 2, now + s(1 + OPEN_S[1]), None, MONDAY, "again")
    assert admission(again, now + s(1 + OPEN_S[1])) == (Admission.PROBE, None)


def test_each_failed_try_opens_it_for_longer_up_to_the_longest() -> None:
    breaker, now, waits = tripped(), MONDAY, []
    for _ in range(len(OPEN_S) + 3):
        assert breaker.open_until
        waits.append((breaker.open_until - now).total_seconds())
        now = breaker.open_until
        breaker = failed(probing(breaker, now), now=now, error="again")
    assert waits == [*OPEN_S, *[OPEN_S[-1]] * 3]


def test_failures_of_what_was_begun_before_it_opened_do_not_open_it_for_longer() -> None:
    breaker = tripped()
    late = failed(breaker, now=MONDAY + s(1), error="HTTP 500")
    assert (late.open_until, late.trips, late.failures) == (breaker.open_until, breaker.trips, TRIP_AFTER + 1)


def test_what_the_destination_asks_for_itself_opens_it_at_once_for_so_long() -> None:
    breaker = failed(CITY, now=MONDAY, error="HTTP 429", pause_s=120)
    assert breaker.open_until == MONDAY + s(120)


def test_it_may_not_ask_for_more_than_the_longest() -> None:
    assert failed(CITY, now=MONDAY, error="HTTP 503", pause_s=1e9).open_until == MONDAY + s(LONGEST_OPEN_S)


@given(
    steps=st.lists(
        st.tuples(st.floats(0, 5000), st.sampled_from(["fail", "pause", "ok"]), st.floats(0, 1e6)), max_size=60
    )
)
def test_whatever_happens_it_asks_again_within_the_hour_and_a_success_forgets_all(
    steps: list[tuple[float, str, float]],
) -> None:
    breaker: Breaker | None = None
    now = MONDAY
    for wait_s, outcome, pause_s in steps:
        now += s(wait_s)
        answer, until = admission(breaker, now)
        if answer is Admission.WAIT:
            assert breaker is not None
            assert until is not None
            assert now < until <= now + s(LONGEST_OPEN_S)
            continue
        if answer is Admission.PROBE and breaker is not None:
            breaker = probing(breaker, now)
        if outcome == "ok":
            breaker = None
            assert admission(breaker, now)[0] is Admission.SEND
        else:
            asked = pause_s if outcome == "pause" else None
            breaker = failed(breaker or CITY, now=now, error="", pause_s=asked)
            assert (breaker.open_until is None) == (breaker.failures < TRIP_AFTER and breaker.trips == 0)
