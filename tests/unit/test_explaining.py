"""Deadlines accounted for line by line: every account adds up, and ends where the clock says (I17, I22, I24)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bridge.reports.calendars import NoWorkingTime, Period, WorkingCalendar
from bridge.reports.clocks import (
    ClockState,
    Deed,
    Kind,
    Obligation,
    Pause,
    Policy,
    Span,
    Unit,
    due_at,
    pause,
    resume,
    start_clock,
)
from bridge.reports.daycounts import FROM_NEXT_DAY, DayCount
from bridge.reports.escalation import Desk, fire
from bridge.reports.explaining import Line, What, account, accounts, foreseen, reckoning
from bridge.reports.report import Escalation, Event, Report
from bridge.reports.rulebook import Rulebook
from bridge.reports.states import Move
from tests.unit.given import (
    ACKNOWLEDGE,
    ANI,
    BUDI,
    CITRA,
    DECISION,
    EVERYBODY,
    KETUA,
    MONDAY,
    OFFICE,
    REPORT_ID,
    SEKAR,
    TRIAGE,
    a_calendar,
    a_case,
    a_clock,
    a_desk,
    a_policy,
    a_report,
    a_rulebook,
    absent,
)  # fmt: skip
from tests.unit.walked import instants, walked_calendars

DAY_COUNTS = st.builds(DayCount, st.booleans(), st.none() | st.integers(0, 1439), st.booleans())
SPANS = st.one_of(
    st.builds(Span, st.integers(0, 3 * 86_400), st.just(Unit.WALL_SECONDS)),
    st.builds(Span, st.integers(0, 20 * 3600), st.just(Unit.WORKING_SECONDS)),
    st.builds(Span, st.integers(0, 5), st.just(Unit.WORKING_DAYS)),
)


@st.composite
def clocks_of_any_kind(draw: st.DrawFn) -> tuple[Obligation, Policy, WorkingCalendar]:
    """A clock with any span, counted by any rule, in any calendar, with pauses in any order, open ones too."""
    walked = draw(walked_calendars())
    policy = replace(a_policy(Kind.TRIAGE, "1 second"), span=draw(SPANS), days=draw(DAY_COUNTS))
    moments = instants(walked, whole_minutes=False).map(lambda at: at.astimezone(UTC))
    try:
        clock = start_clock(REPORT_ID, policy, walked.calendar, cycle=1, now=draw(moments))
    except NoWorkingTime:
        assume(False)
    pairs = draw(st.lists(st.tuples(moments, moments | st.none()), max_size=4))
    pauses = [Pause(since, until and max(since, until), "person:ani", "KTP") for since, until in pairs]
    clock = replace(clock, pauses=tuple(pauses))
    try:
        return (
            replace(clock, deadline_at=due_at(clock, policy.span, walked.calendar, policy.days)),
            policy,
            walked.calendar,
        )
    except NoWorkingTime:
        assume(False)
        raise


def lines_of(lines: Sequence[Line], what: What) -> list[Line]:
    return [line for line in lines if line.what is what]


@given(clocks_of_any_kind())
@settings(max_examples=300, deadline=None)
def test_every_account_adds_up_to_its_span_and_ends_with_the_deadline(
    case: tuple[Obligation, Policy, WorkingCalendar],
) -> None:
    clock, policy, calendar = case
    lines = reckoning(clock, policy, calendar)
    counted_s, counted_days = sum(line.counted_s for line in lines), sum(line.counted_days for line in lines)
    assert (lines[-1].what, lines[-1].at) == (What.DEADLINE, due_at(clock, policy.span, calendar, policy.days))
    assert lines[-1].facts["recorded_at"] is None
    if policy.span.unit is not Unit.WORKING_DAYS:
        assert (counted_days, counted_s) == (0, pytest.approx(policy.span.amount, abs=1e-5))
        return
    unpaused = due_at(replace(clock, pauses=()), policy.span, calendar, policy.days)
    took_s = sum(line.facts["took_s"] for line in lines_of(lines, What.PAUSE))
    assert counted_days == policy.span.amount
    assert calendar.elapsed(unpaused, lines[-1].at) == pytest.approx(took_s, abs=1e-5)
    assert counted_s <= took_s + 1e-5


@given(clocks_of_any_kind())
@settings(max_examples=150, deadline=None)
def test_account_leaves_no_day_out_and_counts_none_twice(case: tuple[Obligation, Policy, WorkingCalendar]) -> None:
    clock, policy, calendar = case
    lines = reckoning(clock, policy, calendar)
    off = [day for line in lines_of(lines, What.DAY_OFF) for day in _each(line)]
    days = [line.facts["on"] for line in lines_of(lines, What.DAY)]
    zero = [line.facts["on"] for line in lines_of(lines, What.DAY_ZERO) if not line.facts["counts"]]
    worked = [line.facts["on"] for line in lines if line.what in (What.WORKED, What.MADE_UP) and "on" in line.facts]
    assert [day for day in (*days, *zero, *worked) if not calendar.spans_on(day)] == []
    assert [day for day in off if calendar.spans_on(day)] == []
    for told in (days, off, zero, worked):
        assert told == sorted(set(told))
    if policy.span.unit is Unit.WORKING_DAYS and policy.span.amount:
        first = calendar.local(clock.started_at).date()
        every = {first + timedelta(days=n) for n in range((days[-1] - first).days + 1)}
        assert every <= {*days, *zero, *off}
        assert not {*zero, *off} & set(days)


@given(clocks_of_any_kind())
@settings(max_examples=100, deadline=None)
def test_lines_stand_in_the_order_of_time_and_stretches_lie_outside_pauses(
    case: tuple[Obligation, Policy, WorkingCalendar],
) -> None:
    clock, policy, calendar = case
    lines = reckoning(clock, policy, calendar)
    due = lines[-1].at
    assert [min(line.at, due) for line in lines] == sorted(min(line.at, due) for line in lines)
    assert len(lines_of(lines, What.PAUSE)) == len(clock.pauses)
    for line in lines:
        for since, until in line.facts.get("stretches", ()):
            assert clock.started_at <= since < until <= due
            inside = [p for p in clock.pauses if p.until and max(p.since, since) < min(p.until, until)]
            assert inside == []


def _each(line: Line) -> list[date]:
    first, last = line.facts["on"], line.facts["last_on"]
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


# --- examples anybody can count -------------------------------------------------------------------------------------


def local(calendar: WorkingCalendar, at: datetime) -> str:
    return f"{calendar.local(at):%a %d %H:%M}"


def told(clock: Obligation, policy: Policy, calendar: WorkingCalendar) -> list[tuple[str, str, float, int]]:
    return [
        (local(calendar, x.at), str(x.what), x.counted_s / 3600, x.counted_days)
        for x in reckoning(clock, policy, calendar)
    ]


FRIDAY_15 = datetime(2026, 11, 27, 8, tzinfo=UTC)
OPEN = ((540, 1020),)
CHRISTMAS = {
    date(2026, 11, 30): "Cuti bersama (SKB 1/2026)",
    date(2026, 12, 1): "Natal",
    date(2026, 12, 5): "Natal kedua",
}


def test_working_hours_are_told_day_by_day_with_what_was_skipped_and_why() -> None:
    calendar = a_calendar(
        CHRISTMAS,
        periods=(Period(date(2026, 12, 2), date(2026, 12, 3), ((), (), OPEN, ((600, 720),), (), (), ()), "Ramadan"),),
    )
    policy = a_policy(Kind.ACKNOWLEDGE, "11 working hours")
    clock = start_clock(REPORT_ID, policy, calendar, cycle=1, now=FRIDAY_15)
    assert told(clock, policy, calendar) == [
        ("Fri 27 15:00", "start", 0, 0),
        ("Fri 27 15:00", "promise", 0, 0),
        ("Fri 27 15:00", "worked", 2, 0),
        ("Sat 28 00:00", "day_off", 0, 0),
        ("Mon 30 00:00", "day_off", 0, 0),
        ("Tue 01 00:00", "day_off", 0, 0),
        ("Wed 02 09:00", "worked", 8, 0),
        ("Thu 03 10:00", "worked", 1, 0),
        ("Thu 03 11:00", "deadline", 0, 0),
    ]
    lines = reckoning(clock, policy, calendar)
    off = lines_of(lines, What.DAY_OFF)
    assert [(line.facts["why"], line.facts["last_on"].day) for line in off] == [
        (None, 29),
        (CHRISTMAS[date(2026, 11, 30)], 30),
        ("Natal", 1),
    ]
    assert [line.facts["period"] for line in lines_of(lines, What.WORKED)] == ["", "Ramadan", "Ramadan"]


def test_promise_says_how_long_from_where_whether_compared_and_in_which_versions() -> None:
    policy = replace(ACKNOWLEDGE, source="SK 350/2001", source_en="Decree 350/2001", verified=True)
    promise = reckoning(a_clock(policy), policy, a_calendar())[1]
    assert promise == Line(
        MONDAY,
        What.PROMISE,
        facts={
            "span": policy.span,
            "source": "SK 350/2001",
            "source_en": "Decree 350/2001",
            "verified": True,
            "statutory": False,
            "policy": "acknowledge@1",
            "calendar": "office@1",
        },
    )


def test_holiday_on_a_day_that_is_free_anyway_says_so() -> None:
    policy = a_policy(Kind.TRIAGE, "6 working days")
    clock = start_clock(REPORT_ID, policy, a_calendar(CHRISTMAS), cycle=1, now=FRIDAY_15)
    off = {
        line.facts["on"]: line.facts for line in lines_of(reckoning(clock, policy, a_calendar(CHRISTMAS)), What.DAY_OFF)
    }
    assert (off[date(2026, 12, 5)]["why"], off[date(2026, 12, 5)]["anyway"]) == ("Natal kedua", True)
    assert (off[date(2026, 12, 1)]["anyway"], off[date(2026, 12, 6)]["why"]) == (False, None)


def test_clock_started_outside_hours_says_when_the_office_opened() -> None:
    policy = a_policy(Kind.ACKNOWLEDGE, "1 working hour")
    clock = start_clock(REPORT_ID, policy, a_calendar(), cycle=1, now=FRIDAY_15 + timedelta(hours=20))
    assert ("Mon 30 09:00", "opens", 0, 0) in told(clock, policy, a_calendar())
    in_time = start_clock(REPORT_ID, policy, a_calendar(), cycle=1, now=FRIDAY_15)
    assert "opens" not in [what for _, what, *_ in told(in_time, policy, a_calendar())]


#: days -> (date, whether it counts, is the first, cut-off) of the lines on the day of receipt, then the days that count.
DAY_ZERO = [
    (FROM_NEXT_DAY, MONDAY, [(23, False, True, None)], [24, 25]),
    (DayCount(from_same_day=True), MONDAY, [(23, True, True, None)], [23, 24]),
    (DayCount(cut_off=12 * 60), MONDAY, [(23, False, True, None)], [24, 25]),
    (DayCount(cut_off=10 * 60), MONDAY, [(23, False, True, 600), (24, False, False, None)], [25, 26]),
    (DayCount(from_same_day=True, cut_off=10 * 60), MONDAY, [(23, False, True, 600)], [24, 25]),
    (FROM_NEXT_DAY, FRIDAY_15 + timedelta(days=1), [], [30, 1]),
    (DayCount(same_time=True), MONDAY, [(23, False, True, None)], [24, 25]),
]


@pytest.mark.parametrize(("days", "start", "zero", "counted"), DAY_ZERO)
def test_day_of_receipt_is_told_as_the_policy_counts_it(
    days: DayCount, start: datetime, zero: list[tuple[int, bool, bool, int | None]], counted: list[int]
) -> None:
    policy = replace(a_policy(Kind.TRIAGE, "2 working days"), days=days)
    lines = reckoning(start_clock(REPORT_ID, policy, a_calendar(), cycle=1, now=start), policy, a_calendar())
    shown = [x.facts for x in lines_of(lines, What.DAY_ZERO)]
    assert [(x["on"].day, x["counts"], x["first"], x["cut_off"]) for x in shown] == zero
    assert [(x.facts["number"], x.facts["of"], x.facts["on"].day) for x in lines_of(lines, What.DAY)] == [
        (1, 2, counted[0]),
        (2, 2, counted[1]),
    ]
    assert lines[-1].facts["same_time"] is days.same_time


def test_days_after_the_day_of_receipt_are_told_from_their_midnight() -> None:
    policy = replace(a_policy(Kind.TRIAGE, "1 working day"), days=DayCount(cut_off=10 * 60))
    clock = start_clock(REPORT_ID, policy, a_calendar(), cycle=1, now=MONDAY)
    assert told(clock, policy, a_calendar()) == [
        ("Mon 23 10:00", "start", 0, 0),
        ("Mon 23 10:00", "promise", 0, 0),
        ("Mon 23 10:00", "day_zero", 0, 0),
        ("Tue 24 00:00", "day_zero", 0, 0),
        ("Wed 25 17:00", "day", 0, 1),
        ("Wed 25 17:00", "deadline", 0, 0),
    ]


@pytest.mark.parametrize(
    ("days", "ends"), [(FROM_NEXT_DAY, "Wed 25 00:00"), (DayCount(same_time=True), "Tue 24 00:00")]
)
def test_midnight_ends_the_day_before_unless_it_is_the_hour_of_the_day_it_begins(days: DayCount, ends: str) -> None:
    calendar = a_calendar(week=(((0, 1440),),) * 7)
    policy = replace(a_policy(Kind.TRIAGE, "1 working day"), days=days)
    clock = start_clock(REPORT_ID, policy, calendar, cycle=1, now=calendar.instant(date(2026, 11, 23), 0))
    [day] = lines_of(reckoning(clock, policy, calendar), What.DAY)
    assert (local(calendar, day.at), day.facts["on"].day) == (ends, 24)


def test_night_shift_ends_the_day_it_began_on() -> None:
    calendar = a_calendar(week=(((1320, 1800),),) * 7)
    policy = a_policy(Kind.TRIAGE, "1 working day")
    clock = start_clock(REPORT_ID, policy, calendar, cycle=1, now=MONDAY)
    [day] = lines_of(reckoning(clock, policy, calendar), What.DAY)
    assert (local(calendar, day.at), day.facts["on"].day) == ("Wed 25 06:00", 24)


def test_pause_of_a_clock_of_days_is_made_up_for_after_the_last_day() -> None:
    policy = a_policy(Kind.TRIAGE, "1 working day")
    clock = start_clock(REPORT_ID, policy, a_calendar(), cycle=1, now=MONDAY)
    clock = pause(clock, now=MONDAY + timedelta(hours=26), by="person:ani", reason="KTP")
    clock = resume(clock, policy, a_calendar(), now=MONDAY + timedelta(hours=29))
    assert told(clock, policy, a_calendar()) == [
        ("Mon 23 10:00", "start", 0, 0),
        ("Mon 23 10:00", "promise", 0, 0),
        ("Mon 23 10:00", "day_zero", 0, 0),
        ("Tue 24 12:00", "pause", 0, 0),
        ("Tue 24 17:00", "day", 0, 1),
        ("Wed 25 09:00", "made_up", 3, 0),
        ("Wed 25 12:00", "deadline", 0, 0),
    ]
    assert lines_of(reckoning(clock, policy, a_calendar()), What.PAUSE)[0].facts == {
        "since": MONDAY + timedelta(hours=26),
        "until": MONDAY + timedelta(hours=29),
        "open": False,
        "by": "person:ani",
        "reason": "KTP",
        "took_s": 3 * 3600,
    }


def test_pause_that_lasts_or_began_after_the_deadline_moves_nothing_and_the_deadline_has_the_last_word() -> None:
    late = Pause(MONDAY + timedelta(days=3), MONDAY + timedelta(days=4), "person:ani", "late")
    at_once = Pause(a_clock().deadline_at, MONDAY + timedelta(days=2), "person:ani", "from the deadline on")
    lasting = Pause(MONDAY + timedelta(hours=1), None, "person:ani", "lasting")
    clock = a_clock(pauses=(late, at_once, lasting), state=ClockState.PAUSED)
    lines = reckoning(clock, ACKNOWLEDGE, a_calendar())
    stood = lines_of(lines, What.PAUSE)
    assert [(x.facts["reason"], x.facts["open"], x.facts["took_s"]) for x in stood] == [
        ("lasting", True, 0),
        ("from the deadline on", False, 0),
        ("late", False, 0),
    ]
    assert (lines[-1].what, lines[-1].at) == (What.DEADLINE, clock.deadline_at)


def test_work_of_each_day_is_told_without_the_pauses_of_that_day() -> None:
    at = [MONDAY + timedelta(hours=hours) for hours in (5, 6, 6.5, 7, 23, 24, 26.5)]
    pauses = (Pause(at[1], at[2], "person:ani", "KTP"), Pause(at[4], at[5], "person:ani", "from the opening on"))
    lines = reckoning(a_clock(at=at[0], pauses=pauses), ACKNOWLEDGE, a_calendar())
    assert [line.facts["stretches"] for line in lines_of(lines, What.WORKED)] == [
        ((at[0], at[1]), (at[2], at[3])),
        ((at[5], at[6]),),
    ]


def test_pause_of_no_length_leaves_the_work_around_it_in_one_piece_and_stands_before_one_that_lasts() -> None:
    at = MONDAY + timedelta(hours=1)
    lasting, over = Pause(at, None, "person:ani", "lasting"), Pause(at, at, "person:ani", "over at once")
    lines = reckoning(a_clock(pauses=(lasting, over), state=ClockState.PAUSED), ACKNOWLEDGE, a_calendar())
    assert [x.facts["stretches"] for x in lines_of(lines, What.WORKED)] == [((MONDAY, MONDAY + timedelta(hours=4)),)]
    assert [x.facts["reason"] for x in lines_of(lines, What.PAUSE)] == ["over at once", "lasting"]


def test_clock_on_the_wall_counts_through_the_night_and_tells_of_no_day_off() -> None:
    policy = a_policy(Kind.ACKNOWLEDGE, "48 hours")
    clock = start_clock(REPORT_ID, policy, a_calendar(CHRISTMAS), cycle=1, now=FRIDAY_15)
    assert [what for _, what, *_ in told(clock, policy, a_calendar(CHRISTMAS))] == [
        "start",
        "promise",
        "worked",
        "deadline",
    ]


def test_deadline_on_record_that_is_another_one_is_told() -> None:
    facts = reckoning(a_clock(deadline_at=MONDAY), ACKNOWLEDGE, a_calendar())[-1].facts
    assert (facts["recorded_at"], facts["moved_at"]) == (MONDAY, None)


@pytest.mark.parametrize(
    ("move", "kind", "event"),
    [(None, Kind.ACKNOWLEDGE, "received"), (Move.REOPEN, Kind.TRIAGE, "reopen"), (Move.ASK_COMPLETION, Kind.COMPLETION, "ask_completion"),
     (Move.REGISTER, Kind.DECISION, "register")],
)  # fmt: skip
def test_account_begins_with_what_started_the_clock(move: Move | None, kind: Kind, event: str) -> None:
    case = a_case()
    for one in {None: (), Move.REOPEN: (Move.ACKNOWLEDGE, Move.CLOSE, Move.REOPEN)}.get(move, (Move.ACKNOWLEDGE, move)):
        assert one is not None
        case.do(one)
    clock = case.clocks[kind]
    assert reckoning(clock, *case.rulebook.frozen(clock))[0].facts == {"event": event, "cycle": clock.cycle}


# --- the ladder -----------------------------------------------------------------------------------------------------


def played(report: Report, owed: Sequence[Obligation], rulebook: Rulebook, desk: Desk) -> list[Escalation]:
    """What the engine writes when it looks every minute, and nobody acts for three weeks."""
    clocks, log, now = {o.kind: o for o in owed}, [], MONDAY
    while now < MONDAY + timedelta(days=21):
        for kind in sorted(clocks, key=lambda k: (clocks[k].next_due or now, k)):
            due = clocks[kind].next_due
            if due and due <= now:
                others = [o for o in clocks.values() if o.kind is not kind]
                changes = fire(clocks[kind], others, report, rulebook, desk, now=now)
                log += changes.escalations
                report = changes.reports[report.report_id]
                clocks |= {o.kind: o for o in changes.obligations}
        now += timedelta(minutes=1)
    return log


LADDERS = [
    (),
    (a_policy(Kind.ACKNOWLEDGE, "1 working hour", ("1 working hour", "role:dinas_head", "notify"), ("2 working hours", "next_member", "both"), ("3 working hours", "next_member", "both"), ("4 working hours", "role:chair", "notify")),),
    (a_policy(Kind.TRIAGE, "90 minutes", ("1 hour", "assignee", "warn"), ("90 minutes", "person:budi", "both"), ("2 days", "assignee", "notify")),),
]  # fmt: skip


@pytest.mark.parametrize("policies", LADDERS)
@pytest.mark.parametrize("people", [EVERYBODY, (ANI, BUDI, SEKAR), (absent(ANI), BUDI, CITRA, KETUA), (ANI,)])
def test_what_is_foreseen_is_what_the_engine_then_does(policies: tuple[Policy, ...], people: Sequence[object]) -> None:
    rulebook = a_rulebook(*policies)
    report, desk = a_report(), a_desk(*people)  # type: ignore[arg-type]
    owed = [
        start_clock(REPORT_ID, rulebook.policies["default"][k], a_calendar(), cycle=1, now=MONDAY)
        for k in (Kind.ACKNOWLEDGE, Kind.TRIAGE)
    ]
    expected = played(report, owed, rulebook, desk)
    assert foreseen(report, owed, rulebook, desk, now=MONDAY) == expected
    assert expected


def test_person_who_is_away_only_until_the_step_is_due_is_foreseen_to_be_reached() -> None:
    back = replace(KETUA, absent_from=MONDAY, absent_until=MONDAY + timedelta(hours=4))
    ahead = foreseen(a_report(), [a_clock()], a_rulebook(), a_desk(ANI, BUDI, back), now=MONDAY)
    assert [row.told for row in ahead] == [("ani",), ("budi",), ("ketua",)]


def test_step_that_is_overdue_is_foreseen_at_once_and_the_rest_in_its_time() -> None:
    now = MONDAY + timedelta(hours=5)
    ahead = foreseen(a_report(), [replace(a_clock(), step=1)], a_rulebook(), a_desk(), now=now)
    assert [(row.step, row.fired_at) for row in ahead] == [(2, now), (3, MONDAY + timedelta(days=1))]


def test_clocks_that_stand_still_or_have_ended_or_are_of_an_earlier_cycle_foresee_nothing() -> None:
    for changes in (
        {"state": ClockState.PAUSED, "next_due": None},
        {"state": ClockState.MET, "next_due": None},
        {"cycle": 0},
    ):
        assert foreseen(a_report(), [a_clock(**changes)], a_rulebook(), a_desk(), now=MONDAY) == []


def test_account_shows_what_fired_in_this_run_of_this_clock_then_what_comes() -> None:
    rulebook, clock = a_rulebook(), a_clock(earlier_steps=2)
    first = fire(clock, [], a_report(), rulebook, a_desk(), now=MONDAY + timedelta(hours=2))
    current = first.obligations[0]
    row = first.escalations[0]
    others = [replace(row, cycle=2), replace(row, kind=Kind.TRIAGE), replace(row, step=2)]
    ahead = foreseen(first.reports[REPORT_ID], [current], rulebook, a_desk(), now=MONDAY + timedelta(hours=2))
    steps = account(current, rulebook, [*others, row], ahead).steps
    assert [(x.what, x.facts["step"], x.facts["told"]) for x in steps] == [
        (What.FIRED, 3, ("ani",)), (What.AHEAD, 4, ("budi",)), (What.AHEAD, 5, ("ketua",)),
    ]  # fmt: skip


def test_rung_that_is_repeated_is_counted_warnings_are_not() -> None:
    warnings = [(f"{n} minutes", "assignee", "warn") for n in (10, 20)]
    policy = a_policy(Kind.ACKNOWLEDGE, "1 hour", *warnings, ("1 hour", "role:chair", "notify"))
    again = [replace(policy.steps[2], at=Span(3600 * n, Unit.WALL_SECONDS), again=n - 1) for n in (1, 2, 3)]
    rulebook = a_rulebook(replace(policy, steps=(*policy.steps[:2], *again)))
    clock = start_clock(REPORT_ID, rulebook.policies["default"][Kind.ACKNOWLEDGE], a_calendar(), cycle=1, now=MONDAY)
    ahead = foreseen(a_report(), [clock], rulebook, a_desk(), now=MONDAY)
    assert [line.facts["again"] for line in account(clock, rulebook, [], ahead).steps] == [0, 0, 0, 1, 2]


def test_every_clock_of_a_report_is_accounted_for_with_what_fired_and_what_comes() -> None:
    now = MONDAY + timedelta(hours=2)
    first = fire(a_clock(), [], a_report(), a_rulebook(), a_desk(), now=now)
    report, owed = first.reports[REPORT_ID], [first.obligations[0], a_clock(TRIAGE)]
    given = Event(REPORT_ID, 1, "transferred", "person:sekar", now, {"of": "branch", "to": OFFICE, "reason": "alamat"})
    found = accounts(report, owed, a_rulebook(), a_desk(), first.escalations, [given], now=now)
    ahead = foreseen(report, owed, a_rulebook(), a_desk(), now=now)
    assert found == [account(clock, a_rulebook(), first.escalations, ahead, [given]) for clock in owed]
    assert all(lines_of(one.lines, What.TRANSFERRED) for one in found)
    assert [[(x.what, x.facts["step"]) for x in one.steps] for one in found] == [
        [(What.FIRED, 1), (What.AHEAD, 2), (What.AHEAD, 3)],
        [(What.AHEAD, 1)],
    ]


def test_completion_that_runs_out_closes_the_report_and_with_it_everything_else() -> None:
    case = a_case()
    case.do(Move.ACKNOWLEDGE)
    case.do(Move.ASK_COMPLETION)
    owed = [*case.clocks.values(), a_clock(DECISION)]
    ahead = foreseen(case.report, owed, case.rulebook, a_desk(), now=MONDAY + timedelta(hours=1))
    assert [(row.kind, row.did) for row in ahead] == [(Kind.COMPLETION, Deed.NOTIFY), (Kind.COMPLETION, Deed.CLOSE)]
