"""Due times of many clocks are those that each would have alone."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.reports import reckoner
from bridge.reports.calendars import NoWorkingTime, WorkingCalendar
from bridge.reports.clocks import ClockState, Kind, Obligation, Pause, Policy, due_at, timed
from bridge.reports.daycounts import DayCount
from bridge.reports.reckoner import Reckoner
from tests.unit.given import COMPLETION, MONDAY, TRIAGE, a_calendar, a_clock, a_policy
from tests.unit.test_explaining import DAY_COUNTS, SPANS
from tests.unit.walked import instants, walked_calendars


@st.composite
def clocks_of_one_hour(draw: st.DrawFn) -> tuple[list[Obligation], Policy, WorkingCalendar]:
    """Clocks of any policy in any calendar that all start within an hour, some of them paused."""
    walked = draw(walked_calendars())
    rung = a_policy(Kind.TRIAGE, "1 second", ("1 second", "role:chair", "notify"))
    steps = tuple(replace(rung.steps[0], at=draw(SPANS)) for _ in range(2))
    policy = replace(rung, span=draw(SPANS), steps=steps, days=draw(DAY_COUNTS))
    moment = draw(instants(walked, whole_minutes=False)).astimezone(UTC)
    hour = moment.replace(minute=0, second=0, microsecond=0)
    starts = draw(st.lists(st.integers(0, 3_599_999_999), min_size=2, max_size=6))
    clocks = []
    for microseconds in starts:
        at = hour + timedelta(microseconds=microseconds)
        pauses = (Pause(at, at + timedelta(hours=30), "person:ani", "KTP"),) if draw(st.booleans()) else ()
        state = draw(st.sampled_from([ClockState.RUNNING, ClockState.PAUSED]))
        one = a_clock(policy, started_at=at, pauses=pauses, state=state, step=draw(st.integers(0, 2)))
        clocks.append(one)
    return clocks, policy, walked.calendar


def alone(clock: Obligation, policy: Policy, calendar: WorkingCalendar) -> Obligation | None:
    """The clock with its due times, nothing where the calendar has too little time."""
    try:
        return timed(clock, policy, calendar)
    except NoWorkingTime:
        return None


@given(clocks_of_one_hour())
@settings(max_examples=400, deadline=None)
def test_clock_among_others_is_due_as_it_would_be_alone(
    case: tuple[list[Obligation], Policy, WorkingCalendar],
) -> None:
    clocks, policy, calendar = case
    together = Reckoner(policy, calendar)
    for clock in clocks:
        try:
            found = together.timed(clock)
        except NoWorkingTime:
            found = None
        assert found == alone(clock, policy, calendar)
        if found and found.next_due:
            assert together.step_due(clock, clock.step) == found.next_due


def reckonings(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """The starts of the clocks that are reckoned by themselves, from now on."""
    starts: list[datetime] = []

    def counted(clock: Obligation, *rest: object) -> datetime:
        starts.append(clock.started_at)
        return due_at(clock, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(reckoner, "due_at", counted)
    return starts


def test_what_is_the_same_all_hour_is_reckoned_twice_however_many_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    starts, together = reckonings(monkeypatch), Reckoner(TRIAGE, a_calendar())
    hour = MONDAY.replace(minute=0, second=0, microsecond=0)
    for minutes in (59, 30, 0, 1, 59):
        at = hour + timedelta(minutes=minutes, seconds=58, microseconds=7)
        together.step_due(a_clock(TRIAGE, started_at=at), 0)
    assert starts == [hour, hour + timedelta(hours=1) - datetime.resolution]


NEXT_DAY_SAME_HOUR = DayCount(same_time=True)
CUT_OFF = DayCount(cut_off=11 * 60 + 30)


@pytest.mark.parametrize(
    ("days", "zone", "hour"),
    [
        (NEXT_DAY_SAME_HOUR, "Asia/Jakarta", datetime(2026, 11, 23, 3, tzinfo=UTC)),
        (CUT_OFF, "Asia/Jakarta", datetime(2026, 11, 23, 4, tzinfo=UTC)),
        # Midnight within the hour, and clocks set back within it (St. John's, 04:30 UTC): nothing is taken for granted.
        (DayCount(), "Asia/Kolkata", datetime(2026, 11, 21, 18, tzinfo=UTC)),
        (DayCount(), "America/St_Johns", datetime(2026, 11, 1, 4, tzinfo=UTC)),
    ],
)
def test_what_may_differ_within_the_hour_is_reckoned_for_each(
    days: DayCount, zone: str, hour: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = reckonings(monkeypatch)
    policy, calendar = replace(TRIAGE, days=days), replace(a_calendar(), zone=zone)
    together = Reckoner(policy, calendar)
    clocks = [a_clock(policy, started_at=hour + timedelta(minutes=minutes)) for minutes in (10, 20, 50)]
    dues = [together.step_due(clock, 0) for clock in clocks]
    assert starts[-3:] == [clock.started_at for clock in clocks]
    assert dues == [due_at(clock, policy.steps[0].at, calendar, days) for clock in clocks]


def test_paused_clock_is_reckoned_by_itself() -> None:
    together = Reckoner(TRIAGE, a_calendar())
    pause = Pause(MONDAY, MONDAY + timedelta(days=3), "person:ani", "KTP")
    running, paused = a_clock(TRIAGE), a_clock(TRIAGE, pauses=(pause,))
    assert together.timed(running).deadline_at < together.timed(paused).deadline_at


def test_end_of_the_calendar_within_the_hour_stops_only_whom_it_concerns() -> None:
    off = {date(2026, 11, 23) + timedelta(days=days): "off" for days in range(1, 3700)}
    opens_once = WorkingCalendar("once", "once@1", "UTC", (((540, 1020),),) * 7, off)
    policy = a_policy(Kind.TRIAGE, "1 working hour", ("1 working hour", "role:chair", "notify"))
    together = Reckoner(policy, opens_once)
    four = datetime(2026, 11, 23, 16, tzinfo=UTC)
    assert together.timed(a_clock(policy, started_at=four)).deadline_at == four + timedelta(hours=1)
    too_late = a_clock(policy, started_at=four + timedelta(seconds=1))
    with pytest.raises(NoWorkingTime):
        together.timed(too_late)


def test_each_step_and_the_deadline_have_their_own_due_times() -> None:
    together, clock = Reckoner(COMPLETION, a_calendar()), a_clock(COMPLETION)
    dues = [together.step_due(clock, number) for number in range(len(COMPLETION.steps))]
    assert dues == [due_at(clock, step.at, a_calendar(), COMPLETION.days) for step in COMPLETION.steps]
    assert len(set(dues)) > 1
    assert together.timed(clock) == timed(clock, COMPLETION, a_calendar())
