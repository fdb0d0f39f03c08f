"""The guard: which movements of the clocks, and which shares falling due at once, make the engine hold."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.reports.guard import (
    CLOCK,
    FIRST_BACK_OFF,
    LAST_BACK_OFF,
    SHARE,
    Engine,
    Limits,
    Memory,
    Reading,
    Verdict,
    back_off,
    enough_later,
    implausible,
    judge,
    moved_s,
)

NOON = datetime(2026, 11, 24, 5, 0, tzinfo=UTC)
LIMITS = Limits()
seconds = st.floats(-1e6, 1e6).map(lambda s: round(s, 3))
delays = st.floats(0, 100).map(lambda s: round(s, 3))


def at(database_s: float, uptime_s: float | None = None, delay_s: float = 0.0) -> Reading:
    """A reading: the database's clock so many seconds after noon, the uptime likewise unless told otherwise."""
    asked_s = 1000 + (database_s if uptime_s is None else uptime_s)
    return Reading(NOON + timedelta(seconds=database_s), asked_s, asked_s + delay_s)


def look(*looks: tuple[Reading, str | None]) -> tuple[list[Verdict], Memory]:
    """Judge one look after the other; returns the verdicts and what is remembered at the end."""
    memory, verdicts = Memory(), []
    for reading, held_by in looks:
        memory, verdict, _ = judge(memory, reading, held_by, LIMITS)
        verdicts.append(verdict)
    return verdicts, memory


# --- the two clocks -------------------------------------------------------------------------------------------------


@given(st.floats(0, 1e6).map(round), seconds, delays, delays)
def test_a_clock_that_nobody_set_has_not_moved_however_long_the_answers_took(
    passed: int, start: float, first_delay: float, second_delay: float
) -> None:
    # The database reads its clock at any moment between question and answer.
    first = Reading(NOON + timedelta(seconds=first_delay), start, start + first_delay)
    asked = start + first_delay + passed
    second = Reading(NOON + timedelta(seconds=first_delay + passed), asked, asked + second_delay)
    assert moved_s(first, second) == pytest.approx(0, abs=1e-3)


@given(seconds, st.floats(0, 1e4).map(round), delays)
def test_a_clock_that_was_set_has_moved_by_that_less_what_the_delay_explains(
    by: float, passed: int, delay: float
) -> None:
    moved = moved_s(at(0), at(passed + by, passed, delay))
    assert abs(moved - by) <= delay + 1e-3
    assert moved * by >= 0 or abs(moved) < 1e-3


def test_a_machine_that_slept_as_long_as_the_database_went_on_sees_no_jump() -> None:
    assert look((at(0), None), (at(86_400), None))[0] == [Verdict.FIRE, Verdict.FIRE]


JUMPS = [
    (120, Verdict.FIRE, "as much as is allowed"),
    (121, Verdict.HOLD, "forward: what seems late may not be"),
    (3600, Verdict.HOLD, "an hour, as a wrong zone does"),
    (-120, Verdict.FIRE, "as much as is allowed, backwards"),
    (-121, Verdict.SET_BACK, "back: nothing can fire twice, so only the alarm"),
]


@pytest.mark.parametrize(("by", "verdict", "why"), JUMPS, ids=[j[2] for j in JUMPS])
def test_clock_set_by_so_much_between_two_looks_means(by: float, verdict: Verdict, why: str) -> None:
    assert look((at(0), None), (at(1 + by, 1), None))[0] == [Verdict.FIRE, verdict], why


def test_first_look_has_nothing_to_compare_with_and_fires() -> None:
    assert look((at(1e6, 0), None))[0] == [Verdict.FIRE]


def test_hold_lasts_until_the_jump_is_undone_and_then_ends_by_itself() -> None:
    verdicts, memory = look(
        (at(0), None), (at(3601, 1), None), (at(3602, 2), CLOCK), (at(3, 3), CLOCK), (at(4, 4), None)
    )
    assert verdicts == [Verdict.FIRE, Verdict.HOLD, Verdict.WAIT, Verdict.RELEASE, Verdict.FIRE]
    assert memory == Memory(at(4))


@pytest.mark.parametrize(("left", "verdict"), [(120, "release"), (-120, "release"), (121, "wait"), (1800, "wait")])
def test_jump_is_undone_when_no_more_is_left_of_it_than_is_allowed(left: float, verdict: str) -> None:
    assert look((at(0), None), (at(3601, 1), None), (at(2 + left, 2), CLOCK))[0][-1] == verdict


def test_hold_that_a_person_released_means_that_the_clock_is_right_as_it_is() -> None:
    verdicts, _ = look(
        (at(0), None), (at(3601, 1), None), (at(3602, 2), CLOCK), (at(3603, 3), None), (at(3604, 4), None)
    )
    assert verdicts[-2:] == [Verdict.FIRE, Verdict.FIRE]


def test_worker_that_saw_the_jump_too_waits_and_does_not_hold_again_after_the_release() -> None:
    verdicts, _ = look((at(0), None), (at(3601, 1), CLOCK), (at(3602, 2), None))
    assert verdicts == [Verdict.FIRE, Verdict.WAIT, Verdict.FIRE]


def test_hold_of_a_person_is_never_released_by_the_clock() -> None:
    verdicts, _ = look((at(0), None), (at(3601, 1), None), (at(3602, 2), "cli:root"), (at(3, 3), "cli:root"))
    assert verdicts[-1] is Verdict.WAIT


def test_worker_that_did_not_see_the_jump_cannot_see_it_undone() -> None:
    """It was started while the engine was held: only a person, or one that saw it, knows."""
    assert look((at(3601, 1), CLOCK), (at(2, 2), CLOCK), (at(3, 3), CLOCK))[0] == [Verdict.WAIT] * 3


def test_worker_started_while_the_clock_is_wrong_takes_no_later_jump_to_the_same_time_for_the_right_one() -> None:
    """Between the two jumps it did not look; the one that saw the second holds, and it must not release that."""
    verdicts, _ = look((at(3600, 0), CLOCK), (at(7200, 1), CLOCK), (at(3602, 2), CLOCK))
    assert verdicts == [Verdict.WAIT] * 3


def test_jump_during_a_hold_that_would_end_by_itself_makes_it_one_that_does_not() -> None:
    assert look((at(0), SHARE), (at(3601, 1), SHARE))[0] == [Verdict.WAIT, Verdict.HOLD]
    assert look((at(0), SHARE), (at(3601, 1), None))[0] == [Verdict.WAIT, Verdict.HOLD], "it ended by the jump itself"


def test_slow_drift_is_no_jump_while_nobody_holds() -> None:
    looks = [(at(n * 100.0 + n * 100, n * 100), None) for n in range(100)]
    assert set(look(*looks)[0]) == {Verdict.FIRE}


# --- how many at once -----------------------------------------------------------------------------------------------

SHARES = [
    (500, 0, False, "as few as that are never implausible"),
    (501, 0, True, "everything at once"),
    (501, 501, False, "exactly the half"),
    (502, 501, True, "more than the half"),
    (4_999_999, 5_000_001, False, "nearly the half of ten millions"),
    (5_000_001, 4_999_999, True, "more than the half of ten millions"),
]


@pytest.mark.parametrize(("due", "later", "answer", "why"), SHARES, ids=[s[3] for s in SHARES])
def test_share_due_at_once_is_implausible_when(due: int, later: int, answer: bool, why: str) -> None:
    assert implausible(due, later, LIMITS) is answer


@given(st.integers(0, 10**8), st.integers(0, 10**8), st.integers(1, 100))
def test_counting_no_further_than_enough_gives_the_same_answer(due: int, later: int, percent: int) -> None:
    limits = Limits(share=percent / 100)
    cut = min(later, enough_later(due, limits))
    assert implausible(due, cut, limits) == implausible(due, later, limits)


@given(st.integers(0, 10**8))
def test_share_of_one_hundred_percent_lets_everything_pass(due: int) -> None:
    assert not implausible(due, 0, Limits(share=1.0))


# --- held, over, let through ----------------------------------------------------------------------------------------


def test_hold_with_an_end_is_over_then_and_one_without_never() -> None:
    later = NOON + LIMITS.pause
    share, clock = Engine(2, NOON, later, "share: many"), Engine(2, NOON, None, "clock: set forward")
    assert [share.held_by(NOON), share.held_by(later), share.over(later)] == ["share", None, True]
    assert [clock.held_by(later + timedelta(days=9)), clock.over(later)] == ["clock", False]
    assert Engine(2, NOON, None, "cli:root: moving: the disk").held_by(later) == "cli:root"
    assert not Engine(2).held_by(NOON)


def test_released_hold_lets_through_until_it_is_forgotten() -> None:
    assert Engine(2, None, None, "share: many").lets_through
    assert not Engine(2).lets_through
    assert not Engine(2, NOON, None, "share: many").lets_through


def test_back_off_grows_and_never_beyond_an_hour() -> None:
    waits = [back_off(None)]
    for _ in range(10):
        waits.append(back_off(waits[-1]))
    assert waits[:5] == [timedelta(minutes=m) for m in (5, 10, 20, 40, 60)]
    assert waits[0] == FIRST_BACK_OFF
    assert set(waits[4:]) == {LAST_BACK_OFF}


# --- what is remembered ---------------------------------------------------------------------------------------------

BEFORE = at(0)
#: The database's clock was set forward by just as much as may be, and by a second more.
EXACTLY, TOO_FAR = at(130, 10), at(131, 10)
REMEMBERED = [
    (Memory(BEFORE), EXACTLY, None, Memory(EXACTLY), Verdict.FIRE, 120),
    (Memory(BEFORE), TOO_FAR, None, Memory(BEFORE, jumped=True, held=True), Verdict.HOLD, 121),
    (Memory(BEFORE, jumped=True, held=True), EXACTLY, CLOCK, Memory(EXACTLY), Verdict.RELEASE, 120),
    (Memory(BEFORE, held=True), EXACTLY, SHARE, Memory(BEFORE, held=True), Verdict.WAIT, 120),
    (Memory(BEFORE, held=True), TOO_FAR, SHARE, Memory(BEFORE, jumped=True, held=True), Verdict.HOLD, 121),
    (Memory(BEFORE, held=True), EXACTLY, None, Memory(EXACTLY), Verdict.FIRE, 0),
    (Memory(BEFORE, held=True), TOO_FAR, None, Memory(BEFORE, jumped=True, held=True), Verdict.HOLD, 121),
    (Memory(BEFORE, jumped=True, held=True), TOO_FAR, None, Memory(TOO_FAR), Verdict.FIRE, 0),
]


@pytest.mark.parametrize(("memory", "reading", "held_by", "after", "verdict", "moved"), REMEMBERED)
def test_a_hold_keeps_the_reading_from_before_and_anything_else_the_new_one(
    memory: Memory, reading: Reading, held_by: str | None, after: Memory, verdict: Verdict, moved: float
) -> None:
    assert judge(memory, reading, held_by, LIMITS) == (after, verdict, moved)


@pytest.mark.parametrize(("share", "enough"), [(0.5, 601), (0.25, 1801), (1.0, 1)])
def test_no_more_later_ones_are_counted_than_make_the_share_plausible(share: float, enough: int) -> None:
    assert enough_later(600, Limits(share=share)) == enough
