"""A changed calendar or policy over running clocks: what moves, what stays fired, what is written (I23 to I29)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.reports.calendars import WorkingCalendar
from bridge.reports.clocks import (
    ClockState,
    Deed,
    Kind,
    Obligation,
    Pause,
    Policy,
    Step,
    advanced,
    parse_span,
    plan,
    start_clock,
    timed,
)
from bridge.reports.daycounts import DayCount
from bridge.reports.recompute import (
    CalendarChange,
    Change,
    Counts,
    Moved,
    PolicyChange,
    Revised,
    Standing,
    continued,
    move,
)
from bridge.reports.rulebook import Rulebook
from tests.unit.given import ACKNOWLEDGE, MONDAY, OFFICE, REPORT_ID, TRIAGE, a_calendar, a_clock, a_policy, a_rulebook

TUESDAY, WEDNESDAY = date(2026, 11, 24), date(2026, 11, 25)
NOW = MONDAY + timedelta(minutes=1)


def decreed(*days: date, book: Rulebook | None = None) -> Rulebook:
    """The rulebook of today, in which these days are off; the version clocks were started with is still known."""
    known = book or a_rulebook()
    calendar = a_calendar(dict.fromkeys(days, "cuti bersama"), version=f"office@{len(days) + 1}")
    changed = replace(known, calendars={"office": calendar})
    changed.calendar_versions[a_calendar().version] = a_calendar()
    return changed


def with_policy(today: Policy, held: Policy = ACKNOWLEDGE) -> Rulebook:
    """The rulebook in which a policy has changed; the one clocks were started with is still known."""
    book = a_rulebook(today)
    book.policy_versions[held.version] = held
    return book


def standing(clock: Obligation) -> Standing:
    """By what the clock is counted."""
    return Standing(OFFICE, "default", clock.kind, clock.policy_version, clock.calendar_version)


def moved(clock: Obligation, change: Change, **given: Any) -> Moved:
    """What the change does to the clock."""
    fired_at = given.pop("fired_at", None)
    fired = {clock.report_id: fired_at}  # asked of no other
    found, _ = move(clock, standing(clock), change, fired_at=lambda o: fired[o.report_id], now=given.get("now", NOW))
    return found


def fired(clock: Obligation, policy: Policy, times: int) -> Obligation:
    """The clock after so many steps fired on time."""
    for _ in range(times):
        clock = advanced(clock, policy, a_calendar(), now=clock.next_due or MONDAY, skipped=False)
    return clock


# --- calendars --------------------------------------------------------------------------------------------------------


def test_holiday_in_the_way_moves_the_deadline_by_a_day_and_says_from_when_to_when() -> None:
    clock = a_clock(TRIAGE)
    found = moved(clock, CalendarChange(decreed(WEDNESDAY)))
    assert found.moves
    assert found.after.deadline_at == clock.deadline_at + timedelta(days=1), "the Monday after became the Tuesday"
    assert found.after == replace(timed(clock, TRIAGE, decreed(WEDNESDAY).calendar_for(OFFICE)), moved_at=NOW), (
        "computed from scratch (I25)"
    )


def test_clock_under_todays_calendar_is_not_concerned() -> None:
    change = CalendarChange(decreed(WEDNESDAY))
    clock = a_clock(TRIAGE)
    assert change.targets(standing(clock)) == ("office", "office@2")
    assert change.targets(standing(moved(clock, change).after)) is None, "applied twice changes nothing (I25)"


@pytest.mark.parametrize(
    ("office", "name", "concerned"),
    [
        (OFFICE, "", True),
        (OFFICE, "office", True),
        (OFFICE, "another", False),
        ("an office that is no more", "", False),
    ],
)
def test_only_the_named_calendar_and_offices_there_are_are_concerned(office: str, name: str, concerned: bool) -> None:
    found = CalendarChange(decreed(WEDNESDAY), name).targets(standing(a_clock())._replace(office=office))
    assert (found is not None) == concerned


PARTS_AT = a_calendar().instant(WEDNESDAY, 0)


def test_clock_that_is_due_before_the_calendars_part_keeps_its_times_and_takes_the_version() -> None:
    book = decreed(WEDNESDAY)
    policy = a_policy(
        Kind.ACKNOWLEDGE, "38 hours", ("1 hour", "role:chair", "notify"), ("38 hours", "role:chair", "notify")
    )
    book.policy_versions[policy.version] = policy
    # Nobody was there at the first step: the second is due at once. The deadline is the midnight they part at.
    clock = replace(a_clock(policy), step=1, level=1, next_due=MONDAY + timedelta(hours=1))
    assert clock.deadline_at == PARTS_AT
    assert CalendarChange(book).revised(clock, standing(clock)) == Revised(
        replace(clock, calendar_version="office@2"), policy, book.calendar_for(OFFICE), None
    )


@pytest.mark.parametrize("step", [0, 1])
def test_clock_that_is_due_after_the_calendars_part_is_computed_afresh(step: int) -> None:
    book = decreed(WEDNESDAY)
    clock = fired(a_clock(TRIAGE), TRIAGE, step)
    last = TRIAGE.steps[0] if step else None
    assert CalendarChange(book).revised(clock, standing(clock)) == Revised(
        timed(clock, TRIAGE, book.calendar_for(OFFICE)), TRIAGE, book.calendar_for(OFFICE), last
    )


@pytest.mark.parametrize(("step", "kept"), [(1, None), (2, None), (3, ACKNOWLEDGE.steps[2])])
def test_last_step_is_asked_about_only_where_it_was_due_after_the_calendars_part(step: int, kept: Step | None) -> None:
    """Two steps of the ladder are due on Monday, the third on Tuesday."""
    book, clock = decreed(TUESDAY), replace(fired(a_clock(), ACKNOWLEDGE, step), deadline_at=MONDAY + timedelta(days=3))
    assert CalendarChange(book).revised(clock, standing(clock)).last == kept


def test_clocks_of_two_versions_of_a_calendar_part_from_todays_each_in_its_own_time() -> None:
    """One holds Tuesday off already, and parts from Wednesday only; the other is due on Tuesday."""
    book = decreed(TUESDAY, WEDNESDAY)
    before = book.calendar_versions["office@0"] = a_calendar({TUESDAY: "cuti bersama"}, version="office@0")
    change, other = CalendarChange(book), a_clock(at=MONDAY + timedelta(hours=5))
    for clock in (timed(other, ACKNOWLEDGE, before), other):
        assert change.revised(clock, standing(clock)).obligation == timed(clock, ACKNOWLEDGE, book.calendar_for(OFFICE))


def test_paused_clock_moves_its_deadline_and_stays_paused() -> None:
    pause = Pause(MONDAY + timedelta(hours=1), None, "person:ani", "KTP")
    clock = a_clock(TRIAGE, state=ClockState.PAUSED, next_due=None, pauses=(pause,))
    found = moved(clock, CalendarChange(decreed(WEDNESDAY)))
    assert (found.after.state, found.after.next_due, found.after.moved_at) == (ClockState.PAUSED, None, None)
    assert found.after.deadline_at > clock.deadline_at
    assert not found.at_once


def test_deadline_that_the_change_puts_into_the_past_becomes_overdue_and_fires_at_once() -> None:
    book = decreed(TUESDAY)
    held = book.calendar_for(OFFICE)
    clock = start_clock(REPORT_ID, TRIAGE, held, cycle=1, now=MONDAY)
    back = replace(a_rulebook(), calendars={"office": a_calendar()})
    back.calendar_versions[held.version] = held
    between = clock.deadline_at - timedelta(hours=1)
    found = moved(clock, CalendarChange(back), now=between)
    assert (found.overdue, found.at_once, found.after.moved_at) == (True, True, between)


def test_step_that_fired_before_it_would_now_be_due_stays_fired_and_says_how_early_it_was() -> None:
    clock = fired(a_clock(), ACKNOWLEDGE, 2)
    fired_at = MONDAY + timedelta(hours=4)
    found = moved(clock, CalendarChange(decreed(date(2026, 11, 23))), fired_at=fired_at, now=fired_at)
    assert (found.after.step, found.after.level) == (2, 1)
    # The four hours would have begun on Tuesday at nine.
    assert found.premature_by_s == (datetime(2026, 11, 24, 6, tzinfo=UTC) - fired_at).total_seconds()
    assert found.noted("SKB")["premature_by_s"] == found.premature_by_s


def test_step_that_came_early_because_nobody_stood_before_it_is_not_early_by_the_change() -> None:
    clock = replace(fired(a_clock(), ACKNOWLEDGE, 3), next_due=None)
    found = moved(clock, CalendarChange(decreed(date(2026, 12, 30))), fired_at=MONDAY + timedelta(hours=4))
    assert found.premature_by_s is None


@pytest.mark.parametrize("applied_after", [timedelta(hours=2), timedelta(days=1), timedelta(days=4)])
def test_step_that_came_early_is_early_by_the_change_whenever_that_is_applied(applied_after: timedelta) -> None:
    policy = a_policy(
        Kind.TRIAGE,
        "5 working days",
        ("2 working days", "role:chair", "notify"),
        ("5 working days", "role:chair", "both"),
    )
    book = decreed(TUESDAY)
    book.policy_versions[policy.version] = policy
    # Nobody stood on the step before: what would have been due on Wednesday evening fired on Monday.
    clock = fired(a_clock(policy), policy, 1)
    found = moved(clock, CalendarChange(book), fired_at=MONDAY + timedelta(hours=1), now=MONDAY + applied_after)
    assert found.premature_by_s == 86_400, "Wednesday evening became Thursday evening"


def test_step_is_early_by_the_days_as_its_own_policy_counts_them() -> None:
    steps = ("2 working days", "role:chair", "notify"), ("5 working days", "role:chair", "notify")
    policy = replace(a_policy(Kind.TRIAGE, "5 working days", *steps), days=DayCount(from_same_day=True))
    book = decreed(TUESDAY)
    book.policy_versions[policy.version] = policy
    tuesday_evening = a_calendar().instant(TUESDAY, 17 * 60)
    clock = fired(a_clock(policy), policy, 1)
    found = moved(clock, CalendarChange(book), fired_at=tuesday_evening, now=tuesday_evening)
    # Monday is the first day: of the two, the second became the Wednesday.
    assert found.premature_by_s == 86_400


def test_history_says_old_new_reason_and_version() -> None:
    clock = a_clock(TRIAGE)
    found = moved(clock, CalendarChange(decreed(WEDNESDAY)))
    assert found.noted("SKB 3 Menteri") == {
        "kind": "triage",
        "reason": "SKB 3 Menteri",
        "calendar": "office@2",
        "deadline_was": clock.deadline_at.isoformat(),
        "deadline_now": found.after.deadline_at.isoformat(),
        "next_was": clock.deadline_at.isoformat(),
        "next_now": found.after.deadline_at.isoformat(),
    }


_days = st.integers(0, 40).map(lambda offset: date(2026, 11, 16) + timedelta(days=offset))
_starts = st.integers(0, 20 * 86_400).map(lambda s: MONDAY + timedelta(seconds=s))
_spans = st.sampled_from(["1 working hour", "9 working hours", "3 working days", "21 working days", "30 hours"])


@st.composite
def _clocks(draw: st.DrawFn) -> tuple[Obligation, Policy, set[date]]:
    """A clock, perhaps paused for a while, in a calendar with some days off."""
    policy = a_policy(Kind.DECISION, draw(_spans), (draw(_spans), "role:chair", "notify"))
    days_off = draw(st.sets(_days, max_size=4))
    start = draw(_starts)
    since = start + timedelta(seconds=draw(st.integers(0, 6 * 86_400)))
    until = since + timedelta(seconds=draw(st.integers(0, 5 * 86_400)))
    pauses = (Pause(since, until, "person:ani", "KTP"),) if draw(st.booleans()) else ()
    clock = start_clock(REPORT_ID, policy, a_calendar(dict.fromkeys(days_off, "off")), cycle=1, now=start)
    return replace(clock, pauses=pauses), policy, days_off


def _in(clock: Obligation, policy: Policy, days_off: set[date]) -> Obligation:
    return timed(clock, policy, a_calendar(dict.fromkeys(days_off, "off")))


@settings(max_examples=300, deadline=None)
@given(_clocks(), _days)
def test_added_holiday_never_moves_a_deadline_earlier_and_a_removed_one_never_later(
    one: tuple[Obligation, Policy, set[date]], day: date
) -> None:
    clock, policy, days_off = one
    without, added = _in(clock, policy, days_off - {day}), _in(clock, policy, days_off | {day})
    assert added.deadline_at >= without.deadline_at
    assert added.next_due is not None
    assert without.next_due is not None
    assert added.next_due >= without.next_due


@settings(max_examples=300, deadline=None)
@given(_clocks(), _days)
def test_holiday_before_the_start_or_after_the_end_changes_nothing(
    one: tuple[Obligation, Policy, set[date]], day: date
) -> None:
    clock, policy, days_off = one
    before, after = _in(clock, policy, days_off - {day}), _in(clock, policy, days_off | {day})
    calendar: WorkingCalendar = a_calendar()
    assert before.next_due is not None
    last = max(before.deadline_at, before.next_due, *(p.until or p.since for p in clock.pauses), clock.started_at)
    if not calendar.local(clock.started_at).date() <= day <= calendar.local(last).date():
        assert (after.deadline_at, after.next_due) == (before.deadline_at, before.next_due)


# --- policies ---------------------------------------------------------------------------------------------------------


def ladder(*steps: tuple[str, int, str] | tuple[str, int, str, int], version: str = "acknowledge@2") -> Policy:
    """A policy with steps of (when, level, to whom, the how manieth time)."""
    built = tuple(
        Step(parse_span(at), level, to, Deed.NOTIFY if level else Deed.WARN, *again) for at, level, to, *again in steps
    )
    span = next((step.at for step in built if step.level), built[-1].at)
    return Policy(Kind.ACKNOWLEDGE, version, span, built)


HELD = ladder(
    ("1 hour", 0, "assignee"),
    ("2 hours", 1, "next_member"),
    ("3 hours", 1, "next_member", 1),
    ("4 hours", 2, "role:chair"),
    ("5 hours", 3, "role:admin"),
    version="acknowledge@1",
)


def to_come(policy: Policy, step: int) -> list[str]:
    """Whom the steps still to come reach, with their level."""
    return [f"{s.level}{'+' * s.again} {s.to}" for s in policy.steps[step:]]


@pytest.mark.parametrize(
    ("today", "step", "level", "left"),
    [
        # the same ladder with other times
        (["1 hour 0 a", "6 hours 1 b", "7 hours 2 c"], 0, 0, ["0 a", "1 b", "2 c"]),
        (["1 hour 0 a", "6 hours 1 b", "7 hours 2 c"], 1, 0, ["1 b", "2 c"]),
        (["1 hour 0 a", "6 hours 1 b", "7 hours 2 c"], 2, 1, ["2 c"]),
        # fewer steps: a deleted level stops nobody (I29)
        (["6 hours 1 b", "7 hours 2 c", "8 hours 3 d"], 4, 2, ["3 d"]),
        (["7 hours 3 d"], 2, 1, ["3 d"]),
        (["6 hours 1 b"], 4, 2, []),
        # more steps: nothing below the level reached, nothing of it again
        (["1 hour 0 a", "2 hours 0 a", "6 hours 1 b", "7 hours 2 c", "8 hours 3 d", "9 hours 4 e"], 4, 2, ["3 d", "4 e"]),
        # a warning more: those given count, and none comes once a rung has fired
        (["1 hour 0 a", "2 hours 0 b", "6 hours 1 c"], 1, 0, ["0 b", "1 c"]),
        (["1 hour 0 a", "2 hours 0 b", "6 hours 1 c", "7 hours 2 d"], 2, 1, ["2 d"]),
        # repeats: those told count
        (["2 hours 1 a", "3 hours 1 a 1", "4 hours 1 a 2", "5 hours 2 b"], 3, 1, ["1++ a", "2 b"]),
        (["2 hours 1 a", "3 hours 1 a 1", "5 hours 2 b"], 2, 1, ["1+ a", "2 b"]),
    ],
)  # fmt: skip
def test_ladder_goes_on_above_what_fired(today: list[str], step: int, level: int, left: list[str]) -> None:
    policy = ladder(*(_parsed(text) for text in today))
    clock = a_clock(HELD, step=step, level=level)
    found = continued(clock, HELD, policy)
    assert found.steps[:step] == HELD.steps[:step], "what fired keeps its numbers"
    assert to_come(found, step) == left
    assert continued(replace(clock, policy_version=found.version), found, policy) == found, "a second time: the same"
    assert Policy.from_definition(found.version, found.definition()) == found
    assert len(found.version) <= 64


def _parsed(text: str) -> Any:
    amount, unit, level, to, *again = text.split()
    return (f"{amount} {unit}", int(level), to, *map(int, again))


def test_clock_that_has_fired_nothing_takes_todays_policy_itself() -> None:
    today = ladder(("6 hours", 1, "role:chair"))
    assert continued(a_clock(HELD), HELD, today) is today


def test_same_steps_so_far_take_todays_policy_itself() -> None:
    today = replace(HELD, version="acknowledge@2", steps=(*HELD.steps[:4], *ladder(("9 hours", 3, "role:admin")).steps))
    assert continued(a_clock(HELD, step=2, level=1), HELD, today) is today


def test_policy_moves_deadline_and_next_step_and_the_level_stays() -> None:
    today = ladder(("6 hours", 1, "next_member"), ("8 hours", 2, "role:chair"))
    book = with_policy(today, HELD)
    clock = timed(a_clock(HELD, step=2, level=1), HELD, a_calendar())
    found = moved(clock, PolicyChange(book), fired_at=MONDAY + timedelta(hours=2), now=MONDAY + timedelta(hours=3))
    assert (found.after.step, found.after.level) == (2, 1)
    assert found.after.deadline_at == MONDAY + timedelta(hours=6)
    assert found.after.next_due == MONDAY + timedelta(hours=8)
    assert found.premature_by_s == 4 * 3600
    assert found.noted("SK")["policy"] == found.after.policy_version
    assert PolicyChange(book).targets(standing(found.after)) is None, "applied twice changes nothing"


def one_rung(hours: int, version: str = "acknowledge@2", then: str = "20 hours") -> Policy:
    """A policy that tells one person at its deadline, and the chair in the end."""
    return ladder((f"{hours} hours", 1, "next_member"), (then, 2, "role:chair"), version=version)


@pytest.mark.parametrize(
    ("due", "fired_after", "early_by"),
    [
        (6, timedelta(hours=2), 4),
        (6, timedelta(hours=5), 1),
        (6, timedelta(hours=6), None),
        (6, timedelta(hours=7), None),
        (6, timedelta(hours=1), 4),
        (6, None, None),
        (2, timedelta(hours=1), None),
        (1, timedelta(minutes=30), None),
    ],
    ids=["on time", "late", "when it is due now", "later", "early anyway", "unknown", "same time", "earlier"],
)
def test_step_is_early_by_what_the_change_adds_to_when_it_was_due_and_fired(
    due: int, fired_after: timedelta | None, early_by: int | None
) -> None:
    held = one_rung(2, "acknowledge@1")
    clock = fired(a_clock(held), held, 1)
    fired_at = MONDAY + fired_after if fired_after else None
    found = moved(clock, PolicyChange(with_policy(one_rung(due, then="30 hours"), held)), fired_at=fired_at)
    assert found.premature_by_s == (early_by * 3600 if early_by else None)


def test_step_is_early_by_the_days_as_todays_policy_counts_them() -> None:
    steps = ("1 working day", "role:chair", "notify"), ("2 working days", "role:chair", "notify")
    held = replace(a_policy(Kind.ACKNOWLEDGE, "1 working day", *steps), days=DayCount(from_same_day=True))
    today = replace(held, version="acknowledge@2", span=parse_span("3 working days"), steps=(
        replace(held.steps[0], at=parse_span("3 working days")), replace(held.steps[1], at=parse_span("4 working days")),
    ))  # fmt: skip
    monday_evening = a_calendar().instant(date(2026, 11, 23), 17 * 60)
    found = moved(fired(a_clock(held), held, 1), PolicyChange(with_policy(today, held)), fired_at=monday_evening)
    assert found.premature_by_s == 2 * 86_400


MOMENT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("now", "new"),
    [
        (MONDAY + timedelta(hours=2) - MOMENT, False),
        (MONDAY + timedelta(hours=2), True),
        (MONDAY + timedelta(hours=4) - MOMENT, True),
        (MONDAY + timedelta(hours=4), False),
    ],
    ids=["not due yet", "due just now", "was not due yet", "was due anyway"],
)
def test_clock_is_overdue_by_the_change_from_when_it_is_due_to_when_it_was(now: datetime, new: bool) -> None:
    held = one_rung(4, "acknowledge@1")
    found = moved(a_clock(held), PolicyChange(with_policy(one_rung(2), held)), now=now)
    assert (found.overdue, found.at_once) == (new, new)


def test_clock_with_nothing_to_come_gets_a_step_that_is_past_and_the_history_says_there_was_none() -> None:
    held = ladder(("2 hours", 1, "next_member"), version="acknowledge@1")
    clock = fired(a_clock(held), held, 1)
    now = MONDAY + timedelta(hours=5)
    found = moved(clock, PolicyChange(with_policy(one_rung(2, then="3 hours"), held)), now=now)
    assert (clock.next_due, found.after.next_due, found.overdue, found.at_once) == (
        None,
        MONDAY + timedelta(hours=3),
        False,
        True,
    )
    noted = found.noted("SK")
    assert (noted["next_was"], noted["next_now"]) == (None, (MONDAY + timedelta(hours=3)).isoformat())


TWICE_WARNED = ladder(
    ("1 hour", 0, "assignee"),
    ("2 hours", 0, "assignee"),
    ("3 hours", 1, "next_member"),
    ("4 hours", 1, "next_member", 1),
    ("5 hours", 2, "role:chair"),
    version="acknowledge@1",
)


@pytest.mark.parametrize(
    ("today", "step", "counterpart"),
    [
        (["6 hours 0 a", "7 hours 0 b", "8 hours 1 c", "9 hours 2 d"], 0, None),
        (["6 hours 0 a", "7 hours 0 b", "8 hours 1 c", "9 hours 2 d"], 1, "6 hours 0 a"),
        (["6 hours 0 a", "7 hours 0 b", "8 hours 1 c", "9 hours 2 d"], 2, "7 hours 0 b"),
        (["6 hours 0 a", "8 hours 1 c", "9 hours 2 d"], 2, None),
        (["6 hours 0 a", "7 hours 0 b", "8 hours 1 c", "9 hours 2 d"], 3, "8 hours 1 c"),
        (["6 hours 0 a", "7 hours 0 b", "8 hours 1 c", "9 hours 2 d"], 4, None),
        (["8 hours 1 c", "9 hours 1 c 1", "10 hours 2 d"], 4, "9 hours 1 c 1"),
        (["6 hours 0 a", "7 hours 0 b", "8 hours 1 c", "9 hours 2 d"], 5, "9 hours 2 d"),
    ],
)  # fmt: skip
def test_policy_is_taken_with_the_step_of_its_own_that_stands_where_the_last_fired_one_did(
    today: list[str], step: int, counterpart: str | None
) -> None:
    policy = ladder(*(_parsed(text) for text in today))
    clock = fired(a_clock(TWICE_WARNED), TWICE_WARNED, step)
    found = PolicyChange(with_policy(policy, TWICE_WARNED)).revised(clock, standing(clock))
    kept = continued(clock, TWICE_WARNED, policy)
    after = replace(timed(clock, kept, a_calendar()), policy_version=kept.version)
    last = ladder(_parsed(counterpart)).steps[0] if counterpart else None
    assert found == Revised(after, kept, a_calendar(), last)


def test_ladder_gone_on_with_is_named_after_todays_policy_the_level_and_what_fired() -> None:
    today = ladder(("6 hours", 1, "next_member"), ("8 hours", 2, "role:chair"))
    clock = fired(a_clock(HELD), HELD, 2)
    other = replace(HELD, steps=(replace(HELD.steps[0], to="role:chair"), *HELD.steps[1:]))
    # Stored with every clock that goes on with it: a later release must call the same ladder the same.
    assert continued(clock, HELD, today).version == "acknowledge@2+1.fec498c387"
    assert continued(clock, other, today).version != continued(clock, HELD, today).version


def test_policy_change_is_followed_by_the_next_one() -> None:
    second, third = ladder(("6 hours", 2, "role:chair")), ladder(("7 hours", 2, "role:chair"), version="acknowledge@3")
    clock = timed(a_clock(HELD, step=2, level=1), HELD, a_calendar())
    once, policy = move(
        clock, standing(clock), PolicyChange(with_policy(second, HELD)), fired_at=lambda _: None, now=NOW
    )
    change = PolicyChange(with_policy(third, policy))
    assert change.targets(standing(once.after)) == ("default/acknowledge", "acknowledge@3")
    assert moved(once.after, change).after.next_due == MONDAY + timedelta(hours=7)


def test_shorter_policy_makes_what_is_past_due_at_once_and_its_steps_come_in_order() -> None:
    today = ladder(("1 minute", 1, "next_member"), ("2 minutes", 2, "role:chair"))
    clock = a_clock(HELD)
    found = moved(clock, PolicyChange(with_policy(today, HELD)), now=MONDAY + timedelta(minutes=30))
    assert (found.overdue, found.at_once) == (True, True)
    due = [at for _, at in plan(found.after, today, a_calendar())]
    assert due == sorted(due)


@pytest.mark.parametrize(
    ("policy_set", "name", "concerned"),
    [
        ("default", "", True),
        ("default", "default", True),
        ("crm", "default", False),
        ("a set that is no more", "", True),
    ],
)
def test_only_the_named_set_is_concerned_and_a_set_that_is_no_more_is_default(
    policy_set: str, name: str, concerned: bool
) -> None:
    change = PolicyChange(with_policy(ladder(("6 hours", 1, "role:chair")), HELD), name)
    found = change.targets(standing(a_clock(HELD))._replace(policy_set=policy_set))
    assert found == ((f"{policy_set}/acknowledge", "acknowledge@2") if concerned else None)


def test_clock_under_todays_policy_is_not_concerned() -> None:
    today = ladder(("6 hours", 1, "role:chair"))
    assert PolicyChange(with_policy(today, HELD)).targets(standing(a_clock(today))) is None


def test_clock_of_a_report_with_a_set_of_its_own_takes_the_policy_of_that_set() -> None:
    own = one_rung(6, "crm@2")
    book = with_policy(one_rung(2), HELD)
    book = replace(book, policies={**book.policies, "crm": {Kind.ACKNOWLEDGE: own}})
    book.policy_versions[HELD.version] = HELD
    clock = a_clock(HELD)
    of_crm, change = standing(clock)._replace(policy_set="crm"), PolicyChange(book)
    assert change.targets(of_crm) == ("crm/acknowledge", "crm@2")
    assert change.revised(clock, of_crm).policy is own


def test_kind_of_clock_that_is_no_more_keeps_its_policy() -> None:
    book = replace(a_rulebook(), policies={"default": {TRIAGE.kind: TRIAGE}})
    assert PolicyChange(book).targets(standing(a_clock(HELD))) is None


_levels = st.lists(st.integers(0, 4), min_size=1, max_size=6)


def _rising(levels: Sequence[int], version: str) -> Policy:
    ordered = sorted(levels)
    again = [ordered[:place].count(level) if level else 0 for place, level in enumerate(ordered)]
    steps = [
        (f"{n + 1} hours", level, "role:chair", a) for n, (level, a) in enumerate(zip(ordered, again, strict=True))
    ]
    return ladder(*steps, version=version)


@given(_levels, _levels, st.integers(0, 6))
def test_whatever_ladder_comes_nothing_fires_twice_no_level_falls_and_none_above_is_left_out(
    held_levels: list[int], levels: list[int], step: int
) -> None:
    held, today = _rising(held_levels, "acknowledge@1"), _rising(levels, "acknowledge@2")
    step = min(step, len(held.steps))
    level = max((s.level for s in held.steps[:step]), default=0)
    found = continued(a_clock(held, step=step, level=level), held, today)
    told = {(s.level, s.again) for s in held.steps[:step] if s.level}
    rest = [(s.level, s.again) for s in found.steps[step:] if s.level]
    assert not told & set(rest)
    assert all(one[0] >= level for one in rest)
    assert {s.level for s in today.steps if s.level > level} <= {one[0] for one in rest}


# --- counts -----------------------------------------------------------------------------------------------------------


def test_counts_are_of_reports_and_of_clocks() -> None:
    change = CalendarChange(decreed(WEDNESDAY))
    clocks = [a_clock(TRIAGE), a_clock(ACKNOWLEDGE), a_clock(TRIAGE, report_id="another")]
    counts = Counts()
    counts.add(moved(clock, change) for clock in clocks)
    counts.include(Counts(reports=1, clocks=1, later=1))
    # Four working hours from Monday morning end before Wednesday.
    assert counts == Counts(reports=3, clocks=3, later=3, same=1)


def test_every_clock_is_counted_under_each_thing_that_is_true_of_it() -> None:
    at, later = MONDAY + timedelta(hours=1), MONDAY + timedelta(hours=2)
    before = a_clock(deadline_at=at, next_due=at)
    both = [
        Moved(before, replace(before, deadline_at=later), True, True, 60),
        Moved(before, replace(before, deadline_at=MONDAY), True, True, 0),
        Moved(before, replace(before, next_due=later), False, False, None),
        Moved(before, replace(before, calendar_version="office@2"), False, False, None),
    ]
    counts = Counts()
    counts.add([*both, *both])
    counts.add(both)
    assert counts == Counts(reports=2, clocks=9, later=3, earlier=3, overdue=6, at_once=6, premature=6, same=3)
