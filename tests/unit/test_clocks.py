"""Clocks of obligations: spans, due times, pauses, steps (I6, I12, I24, I25, I28 of reference/escalation.md)."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.reports.calendars import NaiveDatetime
from bridge.reports.clocks import (
    BadSpan,
    ClockState,
    Kind,
    Pause,
    Policy,
    Span,
    Unit,
    advanced,
    due_at,
    end,
    parse_span,
    pause,
    plan,
    resume,
    start_clock,
    timed,
)
from bridge.reports.daycounts import FROM_NEXT_DAY, DayCount
from tests.unit.given import ACKNOWLEDGE, COMPLETION, MONDAY, REPORT_ID, TRIAGE, a_calendar, a_clock, a_policy

CALENDAR = a_calendar()
NAIVE = datetime(2026, 11, 23, 10)  # noqa: DTZ001 - the fault under test


def after(hours: float) -> datetime:
    """An instant so many hours after Monday 10.00; the office closes at 17.00."""
    return MONDAY + timedelta(hours=hours)


SPANS = [
    ("30 seconds", Span(30, Unit.WALL_SECONDS), "30 seconds"),
    ("1 minute", Span(60, Unit.WALL_SECONDS), "1 minute"),
    ("90 minutes", Span(5400, Unit.WALL_SECONDS), "90 minutes"),
    ("2 days", Span(172_800, Unit.WALL_SECONDS), "48 hours"),
    ("4 working hours", Span(14_400, Unit.WORKING_SECONDS), "4 working hours"),
    ("45 working minutes", Span(2700, Unit.WORKING_SECONDS), "45 working minutes"),
    ("1 working day", Span(1, Unit.WORKING_DAYS), "1 working day"),
    (" 21 working days ", Span(21, Unit.WORKING_DAYS), "21 working days"),
    ("0 seconds", Span(0, Unit.WALL_SECONDS), "0 seconds"),
]


@pytest.mark.parametrize(("text", "span", "written"), SPANS)
def test_span_is_read_and_written_as_people_say_it(text: str, span: Span, written: str) -> None:
    assert parse_span(text) == span
    assert str(span) == written


@pytest.mark.parametrize(
    "text",
    ["", "4", "hours", "4 weeks", "-1 hours", "4.5 hours", "4 work hours", "1234567 days", "٤ hours", "4 hours\n5"],
)
def test_text_that_is_no_span_is_refused_with_examples(text: str) -> None:
    with pytest.raises(BadSpan, match="21 working days"):
        parse_span(text)


@given(
    st.builds("{} {}{}s".format, st.integers(0, 999_999), st.sampled_from(["", "working "]),
              st.sampled_from(["second", "minute", "hour", "day"])),
    st.integers(1, 100),
)  # fmt: skip
def test_every_span_and_share_of_it_can_be_read_back(text: str, share: int) -> None:
    span = parse_span(text)
    assert parse_span(str(span)) == span
    assert parse_span(str(span.percent(share))) == span.percent(share)


def test_warning_share_is_rounded_down_to_whole_days() -> None:
    assert parse_span("5 working days").percent(50) == Span(2, Unit.WORKING_DAYS)
    assert parse_span("4 working hours").percent(80) == Span(11_520, Unit.WORKING_SECONDS)


REPEATED = replace(ACKNOWLEDGE, steps=(*ACKNOWLEDGE.steps, replace(ACKNOWLEDGE.steps[-1], again=1)))


@pytest.mark.parametrize("policy", [ACKNOWLEDGE, TRIAGE, COMPLETION, REPEATED])
def test_policy_read_back_from_its_definition_is_the_same(policy: Policy) -> None:
    assert Policy.from_definition(policy.version, policy.definition()) == policy


def test_source_of_a_policy_is_read_back_and_one_stored_without_is_empty() -> None:
    policy = replace(TRIAGE, source="UU 8/1999 pasal 55")
    definition = policy.definition()
    assert Policy.from_definition(policy.version, definition) == policy
    other = replace(policy, source_en="Law 8/1999 article 55", verified=True, days=DayCount(cut_off=720))
    assert Policy.from_definition(policy.version, other.definition()) == other
    del definition["source"]
    assert Policy.from_definition(policy.version, definition).source == ""


def test_what_is_as_usual_is_not_part_of_a_policy_so_that_its_version_stays() -> None:
    assert a_policy(Kind.TRIAGE, "5 working days", ("5 working days", "role:chair", "notify")).definition() == {
        "kind": "triage",
        "span": "5 working days",
        "source": "",
        "steps": [{"at": "5 working days", "level": 1, "to": "role:chair", "do": "notify"}],
    }


def test_steps_to_come_are_counted_by_the_days_rule_of_their_clock() -> None:
    policy = replace(TRIAGE, days=DayCount(from_same_day=True))
    clock = start_clock(REPORT_ID, policy, CALENDAR, cycle=1, now=MONDAY)
    assert [due for _, due in plan(clock, policy, CALENDAR)] == [clock.next_due]
    assert clock.next_due != a_clock(TRIAGE).next_due


def test_longest_span_is_the_longest_number_of_days() -> None:
    assert parse_span("999999 days").amount == 999_999 * 86_400
    with pytest.raises(BadSpan):
        parse_span("1000000 days")


#: (span, due, remark); from Monday 10.00 in Jakarta, nine to five.
DUE_TIMES = [
    ("8 seconds", after(0) + timedelta(seconds=8), "on the wall"),
    ("24 hours", after(24), "on the wall, over night"),
    ("4 working hours", after(4), "the same day"),
    ("7 working hours", after(7), "to closing time exactly"),
    ("8 working hours", after(24), "over night"),
    ("0 working days", after(7), "to the end of today"),
    ("1 working day", after(31), "to the end of tomorrow"),
    ("5 working days", after(7 * 24 + 7), "over the weekend"),
]


@pytest.mark.parametrize(("span", "due", "remark"), DUE_TIMES)
def test_clock_is_due_when_its_span_has_passed(span: str, due: datetime, remark: str) -> None:
    clock = a_clock(a_policy(Kind.ACKNOWLEDGE, span, (span, "role:chair", "notify")))
    assert (clock.next_due, clock.deadline_at) == (due, due), remark


def test_new_clock_runs_towards_its_first_step() -> None:
    clock = a_clock()
    assert clock.report_id == REPORT_ID
    assert (clock.state, clock.step, clock.level, clock.cycle) == (ClockState.RUNNING, 0, 0, 1)
    assert clock.next_due == after(2)
    assert clock.deadline_at == after(4)
    assert (clock.policy_version, clock.calendar_version) == (ACKNOWLEDGE.version, CALENDAR.version)


def test_late_tick_does_not_push_the_later_steps_back() -> None:
    clock = advanced(a_clock(), ACKNOWLEDGE, CALENDAR, now=after(3.5), skipped=False)
    assert (clock.step, clock.level, clock.next_due) == (1, 0, after(4))
    clock = advanced(clock, ACKNOWLEDGE, CALENDAR, now=after(90), skipped=False)
    assert (clock.step, clock.level, clock.next_due) == (2, 1, after(24))


def test_step_that_reached_nobody_makes_the_next_due_at_once() -> None:
    clock = replace(a_clock(), step=1, next_due=after(4))
    skipped = advanced(clock, ACKNOWLEDGE, CALENDAR, now=after(4.1), skipped=True)
    assert (skipped.step, skipped.next_due) == (2, after(4.1))


@pytest.mark.parametrize("skipped", [False, True], ids=["told", "nobody there"])
def test_clock_whose_ladder_is_finished_is_exhausted_and_still_running(skipped: bool) -> None:
    clock = advanced(replace(a_clock(), step=2, level=1), ACKNOWLEDGE, CALENDAR, now=after(24), skipped=skipped)
    assert (clock.state, clock.level, clock.next_due) == (ClockState.RUNNING, 2, None)
    assert clock.exhausted
    assert not a_clock().exhausted
    assert not end(clock, ClockState.MET, now=after(30), by="person:ani").exhausted


def test_highest_rung_told_never_falls_again() -> None:
    policy = a_policy(Kind.TRIAGE, "1 hour", ("1 hour", "role:chair", "notify"), ("2 hours", "assignee", "warn"))
    clock = advanced(a_clock(policy, level=1), policy, CALENDAR, now=after(1), skipped=False)
    assert advanced(clock, policy, CALENDAR, now=after(2), skipped=False).level == 1


def test_plan_lists_the_steps_still_to_come_with_their_times() -> None:
    planned = plan(replace(a_clock(), step=1), ACKNOWLEDGE, CALENDAR)
    assert [(step.level, step.to, at) for step, at in planned] == [
        (1, "next_member", after(4)),
        (2, "role:chair", after(24)),
    ]


def paused(*hours: tuple[float, float], policy: Policy = ACKNOWLEDGE) -> datetime:
    """The deadline of a clock that was paused between these hours."""
    clock = a_clock(policy)
    for since, until in hours:
        clock = pause(clock, now=after(since), by="person:ani", reason="KTP")
        clock = resume(clock, policy, CALENDAR, now=after(until))
    return clock.deadline_at


WALL = a_policy(Kind.COMPLETION, "4 hours", ("4 hours", "assignee", "close"))
LONG = a_policy(Kind.ACKNOWLEDGE, "8 working hours", ("8 working hours", "role:chair", "notify"))
DAYS = a_policy(Kind.TRIAGE, "2 working days", ("2 working days", "role:chair", "notify"))
#: I24: (policy, pauses in hours after the start, by how many hours the deadline moves on the wall, remark)
PAUSES = [
    (ACKNOWLEDGE, [(1, 2)], 1, "an hour of work"),
    (ACKNOWLEDGE, [(1, 2), (2.5, 3)], 1.5, "twice"),
    (ACKNOWLEDGE, [(1, 1)], 0, "resumed at the same instant"),
    (ACKNOWLEDGE, [(1, 1), (1, 1), (1, 1)], 0, "again and again at the same instant"),
    (ACKNOWLEDGE, [(3, 25)], 22, "four hours of Monday, two of Tuesday: from Monday 14.00 to Tuesday 12.00"),
    (ACKNOWLEDGE, [(4, 24)], 0, "paused when it was due: what is late stays late"),
    (ACKNOWLEDGE, [(1, 2), (5, 6)], 1, "so does what was due after a pause"),
    (ACKNOWLEDGE, [(2, 1)], 0, "a clock set back in between shortens nothing"),
    (ACKNOWLEDGE, [(1, 2), (1.5, 2.5)], 1.5, "a clock set back: half an hour is not counted twice"),
    (ACKNOWLEDGE, [(1, 3), (1.5, 2)], 2, "a clock set back: a pause within a pause counts nothing"),
    (ACKNOWLEDGE, [(1, 3), (1.5, 2), (2, 2.5)], 2, "however often"),
    (ACKNOWLEDGE, [(-2, 1)], 1, "a clock set back: nothing before the start counts"),
    (WALL, [(2, 1)], 0, "a clock set back, on the wall: shortens nothing"),
    (WALL, [(1, 3), (1.5, 2)], 2, "a clock set back, on the wall: a pause within a pause counts nothing"),
    (LONG, [(8, 20)], 0, "over night: the office was closed"),
    (WALL, [(1, 2)], 1, "on the wall every hour counts"),
    (WALL, [(3, 20)], 17, "also at night"),
    (WALL, [(1, 2), (1.5, 2.5)], 1.5, "and none twice"),
    (DAYS, [(24, 24)], 0, "working days: nothing paused, to the end of the day"),
    (DAYS, [(24, 25)], 17, "working days: an hour paused is an hour into the next day"),
]


@pytest.mark.parametrize(("policy", "pauses", "moved_h", "remark"), PAUSES)
def test_deadline_moves_by_the_working_time_that_was_paused(
    policy: Policy, pauses: list[tuple[float, float]], moved_h: float, remark: str
) -> None:
    assert paused(*pauses, policy=policy) == a_clock(policy).deadline_at + timedelta(hours=moved_h), remark


@given(st.lists(st.integers(0, 40 * 60), min_size=2, max_size=8), st.sampled_from([ACKNOWLEDGE, WALL]))
def test_time_consumed_when_due_is_the_span_without_the_pauses(minutes: list[int], policy: Policy) -> None:
    edges = sorted(minutes)
    pauses = [(since / 60, until / 60) for since, until in zip(edges[::2], edges[1::2], strict=False)]
    due = paused(*pauses, policy=policy)
    measure = CALENDAR.elapsed if policy is ACKNOWLEDGE else lambda a, b: max(0.0, (b - a).total_seconds())
    lost = sum(measure(after(since), after(until)) for since, until in pauses if after(since) < due)
    assert measure(MONDAY, due) - lost == 4 * 3600


def test_paused_clock_has_no_due_time_until_it_runs_again() -> None:
    still = pause(a_clock(), now=after(1), by="person:ani", reason="KTP")
    assert (still.state, still.next_due) == (ClockState.PAUSED, None)
    assert still.pauses == (Pause(after(1), None, "person:ani", "KTP"),)
    again = resume(still, ACKNOWLEDGE, CALENDAR, now=after(3))
    assert (again.state, again.next_due) == (ClockState.RUNNING, after(4))


def test_pausing_or_resuming_twice_changes_nothing_more() -> None:
    still = pause(a_clock(), now=after(1), by="person:ani", reason="KTP")
    assert pause(still, now=after(2), by="person:budi", reason="again") is still
    again = resume(still, ACKNOWLEDGE, CALENDAR, now=after(3))
    assert resume(again, ACKNOWLEDGE, CALENDAR, now=after(5)) is again


@pytest.mark.parametrize("state", [ClockState.MET, ClockState.CANCELLED])
def test_ended_clock_stays_ended_whatever_comes_later(state: ClockState) -> None:
    ended = end(a_clock(), state, now=after(1), by="person:ani")
    assert (ended.state, ended.next_due, ended.ended_at, ended.ended_by) == (state, None, after(1), "person:ani")
    for other in (ClockState.MET, ClockState.CANCELLED):
        assert end(ended, other, now=after(2), by="person:budi") is ended
    assert pause(ended, now=after(2), by="person:budi", reason="late") is ended
    assert resume(ended, ACKNOWLEDGE, CALENDAR, now=after(2)) is ended
    assert timed(ended, ACKNOWLEDGE, CALENDAR).next_due is None


def test_changed_calendar_gives_the_due_times_of_a_fresh_computation() -> None:
    tuesday_off = a_calendar({date(2026, 11, 24): "decree"}, version="office@2")
    fired = advanced(a_clock(), ACKNOWLEDGE, CALENDAR, now=after(2), skipped=False)
    fired = advanced(fired, ACKNOWLEDGE, CALENDAR, now=after(4), skipped=False)
    moved = timed(fired, ACKNOWLEDGE, tuesday_off)
    assert (moved.step, moved.level, moved.calendar_version) == (2, 1, "office@2")
    assert moved.next_due == after(48)
    assert timed(moved, ACKNOWLEDGE, tuesday_off) == moved


def test_reopened_clock_starts_anew_and_is_not_due_at_once() -> None:
    reopened_at = after(24 * 7)
    clock = a_clock(at=reopened_at, cycle=2)
    assert (clock.cycle, clock.step, clock.level, clock.pauses) == (2, 0, 0, ())
    assert clock.next_due == reopened_at + timedelta(hours=2)


@pytest.mark.parametrize("policy", [ACKNOWLEDGE, WALL], ids=["working time", "on the wall"])
def test_naive_instants_are_refused_at_the_door(policy: Policy) -> None:
    with pytest.raises(NaiveDatetime):
        start_clock(REPORT_ID, policy, CALENDAR, cycle=1, now=NAIVE)
    with pytest.raises(NaiveDatetime):
        pause(a_clock(policy), now=NAIVE, by="person:ani", reason="KTP")
    still = pause(a_clock(policy), now=after(1), by="person:ani", reason="KTP")
    with pytest.raises(NaiveDatetime):
        resume(still, policy, CALENDAR, now=NAIVE)
    with pytest.raises(NaiveDatetime):
        end(still, ClockState.MET, now=NAIVE, by="person:ani")


def test_span_on_the_wall_is_not_shortened_when_clocks_change() -> None:
    new_york = ZoneInfo("America/New_York")
    before_change = datetime(2026, 3, 8, 1, 30, tzinfo=new_york)
    clock = start_clock(REPORT_ID, WALL, CALENDAR, cycle=1, now=before_change)
    assert due_at(clock, WALL.span, CALENDAR) == datetime(2026, 3, 8, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("days", "moved"), [(FROM_NEXT_DAY, False), (DayCount(from_same_day=True), True)], ids=["day 0", "day 1"]
)
def test_pause_on_the_day_of_receipt_gives_back_only_what_counts(days: DayCount, moved: bool) -> None:
    """Else a holiday on that day would move the deadline earlier (I23)."""
    policy = replace(a_policy(Kind.TRIAGE, "2 working days"), days=days)
    clock = start_clock(REPORT_ID, policy, CALENDAR, cycle=1, now=MONDAY)
    waited = pause(clock, now=MONDAY + timedelta(hours=1), by="person:ani", reason="KTP")
    waited = resume(waited, policy, CALENDAR, now=MONDAY + timedelta(hours=3))
    assert (waited.deadline_at > clock.deadline_at) is moved
