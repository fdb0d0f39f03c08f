"""Two reports become one, a report changes office: the earlier clock goes on, and nobody gains time by it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.reports.clocks import ClockState, Kind, Obligation, Pause, Policy, end, pause, resume
from bridge.reports.merging import NotPossible, merge, take_back, transfer
from bridge.reports.moves import Actor
from bridge.reports.report import Changes, Purpose, Report
from bridge.reports.rulebook import Office, Rulebook
from bridge.reports.states import Move, MoveRefused, Outcome, Status
from tests.unit.given import (
    ACKNOWLEDGE,
    ANI,
    BUDI,
    CITRA,
    COMPLETION,
    DECISION,
    FIRST_HEARING,
    MONDAY,
    OFFICE,
    REPORT_ID,
    SUMMONS,
    TRIAGE,
    a_calendar,
    a_clock,
    a_desk,
    a_policy,
    a_report,
    a_rulebook,
    absent,
)

SEKAR = Actor("person:sekar")
OTHER_ID = "0d9c1f3e-0000-5000-8000-000000000002"
NOW = MONDAY + timedelta(hours=3)
HASTY = replace(
    a_policy(Kind.ACKNOWLEDGE, "1 working hours", ("1 working hours", "role:chair", "notify")), version="hasty@1"
)


def other_report(**changes: Any) -> Report:
    """A second report of the same grievance, an hour older or younger."""
    return a_report(report_id=OTHER_ID, ticket="4TZ9-K2M7-0HQ3", external_id="QL-88122", **changes)


def of_other(clock: Obligation) -> Obligation:
    return replace(clock, report_id=OTHER_ID)


def merged(kept: Obligation, given_up: Obligation, rulebook: Rulebook | None = None) -> Changes:
    """Merge the other report, with its one clock, into the usual one."""
    owed: Mapping[str, list[Obligation]] = {REPORT_ID: [kept], OTHER_ID: [of_other(given_up)]}
    book = rulebook or a_rulebook()
    return merge(other_report(), a_report(), owed, book, SEKAR, now=NOW, reason="pengaduan yang sama")


def after(changes: Changes, report_id: str) -> list[Obligation]:
    return [o for o in changes.obligations if o.report_id == report_id]


def test_duplicate_is_closed_with_the_ticket_that_goes_on_and_its_clock_names_it() -> None:
    changes = merged(a_clock(), a_clock(at=MONDAY + timedelta(hours=1)))
    duplicate = changes.reports[OTHER_ID]
    assert (duplicate.status, duplicate.outcome) == (Status.CLOSED, Outcome.DUPLICATE)
    assert duplicate.merged_into == "K7Q2-9XWM-4T8R"
    (clock,) = after(changes, OTHER_ID)
    assert (clock.state, clock.ended_by, clock.next_due) == (ClockState.CANCELLED, "merged:K7Q2-9XWM-4T8R", None)
    assert [(line.report_id, line.event) for line in changes.history] == [
        (OTHER_ID, "merged"),
        (REPORT_ID, "took_over"),
    ]
    assert [d.report_id for d in changes.deliveries if d.purpose is Purpose.CALLBACK] == [OTHER_ID]


def test_city_is_told_the_earlier_deadline_that_goes_on() -> None:
    earlier = a_clock(at=MONDAY - timedelta(days=3))
    owed = {REPORT_ID: [a_clock(TRIAGE), a_clock()], OTHER_ID: [of_other(earlier)]}
    changes = merge(other_report(), a_report(), owed, a_rulebook(), SEKAR, now=NOW, reason="x")
    (_, told) = changes.deliveries
    assert (told.report_id, told.payload["due_at"]) == (REPORT_ID, earlier.deadline_at.isoformat())


def test_merge_stands_in_the_history_of_both() -> None:
    earlier = a_clock(at=MONDAY - timedelta(days=3))
    of_duplicate, of_survivor, moved = merged(a_clock(), earlier).history
    assert (moved.report_id, moved.event, moved.actor, moved.at) == (REPORT_ID, "due_moved", "person:sekar", NOW)
    assert moved.data == {
        "kind": "acknowledge",
        "reason": "pengaduan yang sama",
        "calendar": "office@1",
        "deadline_was": "2026-11-23T07:00:00+00:00",
        "deadline_now": "2026-11-20T07:00:00+00:00",
        "next_was": "2026-11-23T05:00:00+00:00",
        "next_now": "2026-11-20T05:00:00+00:00",
    }
    assert (of_duplicate.actor, of_duplicate.at) == (of_survivor.actor, of_survivor.at) == ("person:sekar", NOW)
    assert of_duplicate.data == {"into": "K7Q2-9XWM-4T8R", "reason": "pengaduan yang sama"}
    assert of_survivor.data == {
        "of": "4TZ9-K2M7-0HQ3",
        "reason": "pengaduan yang sama",
        "report_id": OTHER_ID,
        "deadlines": [
            {"kind": "acknowledge", "to": earlier.deadline_at.isoformat(), "policy": "acknowledge@1", "step": 0}
        ],
    }


def test_nothing_is_missing_from_a_duplicate_any_more() -> None:
    owed: Mapping[str, list[Obligation]] = {REPORT_ID: [], OTHER_ID: []}
    waiting = other_report(status=Status.NEEDS_COMPLETION, missing=("KTP",))
    changes = merge(waiting, a_report(), owed, a_rulebook(), SEKAR, now=NOW, reason="x")
    assert changes.reports[OTHER_ID].missing == ()


def test_clock_taken_over_brings_the_pauses_its_deadline_was_counted_with() -> None:
    waited = pause(a_clock(at=MONDAY - timedelta(days=7)), now=MONDAY - timedelta(days=7), by="x", reason="bukti")
    other = resume(waited, ACKNOWLEDGE, a_calendar(), now=MONDAY - timedelta(days=6))
    (clock,) = after(merged(a_clock(), other), REPORT_ID)
    assert (clock.pauses, clock.deadline_at) == (other.pauses, other.deadline_at)


def test_clock_of_the_same_policy_goes_on_with_the_step_it_was_at() -> None:
    """No step of the policy is skipped, whatever the survivor's level says."""
    climbed = replace(a_clock(), step=1, level=2)
    (clock,) = after(merged(climbed, a_clock(at=MONDAY - timedelta(days=3))), REPORT_ID)
    assert clock.step == 1


@pytest.mark.parametrize(("step", "level", "goes_on_with"), [(0, 0, 0), (1, 0, 2), (2, 1, 3), (3, 2, 3)])
def test_ladder_with_more_steps_below_a_level_is_entered_above_what_was_told(
    step: int, level: int, goes_on_with: int
) -> None:
    warned_twice = a_policy(
        Kind.ACKNOWLEDGE,
        "1 working hours",
        ("10 minutes", "assignee", "warn"),
        ("20 minutes", "assignee", "warn"),
        ("1 working hours", "role:chair", "notify"),
        version="warned@1",
    )
    book = a_rulebook()
    book.policy_versions["warned@1"] = warned_twice
    (clock,) = after(merged(replace(a_clock(), step=step, level=level), a_clock(warned_twice), book), REPORT_ID)
    assert clock.step == goes_on_with


def test_two_clocks_with_one_deadline_move_nothing() -> None:
    assert after(merged(a_clock(), a_clock()), REPORT_ID) == []


def test_later_clock_of_the_duplicate_moves_nothing() -> None:
    changes = merged(a_clock(), a_clock(at=MONDAY + timedelta(hours=1)))
    assert after(changes, REPORT_ID) == []
    assert changes.reports[REPORT_ID] == a_report()


def test_earlier_clock_of_the_duplicate_goes_on_with_the_survivor_and_the_city_hears_of_it() -> None:
    """I31."""
    earlier = a_clock(at=MONDAY - timedelta(days=3))
    changes = merged(a_clock(), earlier)
    (clock,) = after(changes, REPORT_ID)
    assert (clock.deadline_at, clock.started_at) == (earlier.deadline_at, earlier.started_at)
    assert (clock.step, clock.next_due, clock.moved_at) == (0, earlier.next_due, NOW)
    assert changes.reports[REPORT_ID].sequence == 2


def test_step_that_fired_on_the_survivor_stays_fired() -> None:
    climbed = replace(a_clock(), step=2, level=1)
    (clock,) = after(merged(climbed, a_clock(at=MONDAY - timedelta(days=3))), REPORT_ID)
    assert (clock.step, clock.level) == (2, 1)


@pytest.mark.parametrize(("step", "level", "goes_on_with"), [(0, 0, 0), (1, 0, 1), (2, 1, 2)])
def test_clock_of_another_policy_brings_its_own_deadline_and_tells_no_level_again(
    step: int, level: int, goes_on_with: int
) -> None:
    book = a_rulebook()
    book.policy_versions[HASTY.version] = HASTY
    (clock,) = after(merged(replace(a_clock(), step=step, level=level), a_clock(HASTY), book), REPORT_ID)
    assert clock.deadline_at == MONDAY + timedelta(hours=1)
    assert clock.policy_version == HASTY.version
    assert (clock.step, clock.level) == (goes_on_with, level)


@pytest.mark.parametrize(
    ("kept", "given_up"),
    [
        (end(a_clock(), ClockState.MET, now=NOW, by="person:ani"), a_clock(at=MONDAY - timedelta(days=3))),
        (a_clock(), end(a_clock(at=MONDAY - timedelta(days=3)), ClockState.MET, now=NOW, by="person:ani")),
        (a_clock(), a_clock(TRIAGE, at=MONDAY - timedelta(days=30))),
    ],
    ids=["kept one is met", "other is met", "other kind"],
)
def test_only_open_clocks_of_one_kind_are_compared(kept: Obligation, given_up: Obligation) -> None:
    assert after(merged(kept, given_up), REPORT_ID) == []


def test_clock_that_waits_takes_over_the_earlier_one_and_waits_on() -> None:
    asked_at = MONDAY + timedelta(hours=1)
    waits = pause(a_clock(), now=asked_at, by="person:ani", reason="bukti")
    earlier = a_clock(at=MONDAY - timedelta(days=3))
    (clock,) = after(merged(waits, earlier), REPORT_ID)
    assert (clock.state, clock.next_due, clock.started_at) == (ClockState.PAUSED, None, earlier.started_at)
    assert clock.pauses == (Pause(NOW, None, "person:ani", "bukti"),)
    resumed = resume(clock, ACKNOWLEDGE, a_calendar(), now=NOW)
    assert resumed.deadline_at == earlier.deadline_at


def test_clock_that_runs_takes_over_the_earlier_one_that_waited() -> None:
    waited = pause(a_clock(at=MONDAY - timedelta(days=7)), now=MONDAY - timedelta(days=7), by="x", reason="bukti")
    kept = a_clock(at=NOW)
    (clock,) = after(merged(kept, replace(waited, started_at=waited.started_at - timedelta(hours=3))), REPORT_ID)
    assert clock.state is ClockState.RUNNING
    assert clock.pauses[-1].until == NOW
    assert NOW < clock.deadline_at < kept.deadline_at


def test_clock_that_waits_is_compared_as_if_it_ran_on_now() -> None:
    """It was due before the other; but it has stood still since, and has more left."""
    waited = pause(a_clock(at=MONDAY - timedelta(hours=1)), now=MONDAY, by="x", reason="bukti")
    assert waited.deadline_at < a_clock().deadline_at
    assert after(merged(a_clock(), waited), REPORT_ID) == []


@given(kept=st.integers(-10_000, 10_000), given_up=st.integers(-10_000, 10_000))
def test_deadline_after_a_merge_is_the_earlier_of_the_two(kept: int, given_up: int) -> None:
    """I31, for any two starts."""
    clocks = [a_clock(at=MONDAY + timedelta(minutes=minutes)) for minutes in (kept, given_up)]
    left = after(merged(*clocks), REPORT_ID) or [clocks[0]]
    assert left[0].deadline_at == min(clock.deadline_at for clock in clocks)


@pytest.mark.parametrize("closed", [REPORT_ID, OTHER_ID])
def test_closed_report_takes_no_part_in_a_merge(closed: str) -> None:
    reports = [
        replace(report, status=Status.CLOSED, outcome=Outcome.SETTLED) if report.report_id == closed else report
        for report in (other_report(), a_report())
    ]
    with pytest.raises(NotPossible, match="is closed"):
        merge(*reports, {REPORT_ID: [], OTHER_ID: []}, a_rulebook(), SEKAR, now=NOW, reason="x")


def test_report_is_not_merged_into_itself() -> None:
    with pytest.raises(NotPossible, match="^a report cannot be merged into itself$"):
        merge(a_report(), a_report(), {REPORT_ID: []}, a_rulebook(), SEKAR, now=NOW, reason="x")


DAYS_LATER = NOW + timedelta(days=2)


def taken_back(changes: Changes, *, now: datetime = DAYS_LATER, reason: str = "bukan yang sama") -> Changes:
    """Take the merge of the other report back."""
    duplicate = changes.reports[OTHER_ID]
    return take_back(duplicate, after(changes, OTHER_ID), a_rulebook(), SEKAR, now=now, reason=reason)


def test_merge_taken_back_leaves_the_clock_the_time_it_had_left() -> None:
    """Stopped three hours after the start, on Monday; on Wednesday, at the same hour, the fourth hour is left."""
    warned = replace(a_clock(), step=1, next_due=a_clock().deadline_at)
    changes = taken_back(merged(a_clock(), warned))
    report = changes.reports[OTHER_ID]
    assert (report.status, report.outcome, report.cycle, report.merged_into) == (Status.RECEIVED, None, 1, None)
    (clock,) = changes.obligations
    assert clock.pauses == (Pause(NOW, DAYS_LATER, "person:sekar", "merged"),)
    assert (clock.state, clock.ended_at, clock.ended_by) == (ClockState.RUNNING, None, None)
    assert (clock.started_at, clock.step, clock.next_due) == (MONDAY, 1, DAYS_LATER + timedelta(hours=1))
    taken, moved = changes.history
    assert (taken.event, taken.actor, taken.at) == ("unmerged", "person:sekar", DAYS_LATER)
    assert taken.data == {"of": "K7Q2-9XWM-4T8R", "status": "received", "reason": "bukan yang sama"}
    assert (moved.event, moved.actor, moved.at) == ("due_moved", "person:sekar", DAYS_LATER)
    assert moved.data == {
        "kind": "acknowledge",
        "reason": "bukan yang sama",
        "calendar": "office@1",
        "deadline_was": warned.deadline_at.isoformat(),
        "deadline_now": clock.deadline_at.isoformat(),
    }
    notice, callback = changes.deliveries
    assert (notice.recipient, notice.event, notice.created_at) == ("ani", "new_report", DAYS_LATER)
    assert (callback.purpose, callback.payload["status"]) == (Purpose.CALLBACK, "received")


def test_nobody_gains_time_by_merging_and_taking_it_back() -> None:
    clock, now = a_clock(), NOW
    for _ in range(3):
        owed = {REPORT_ID: [a_clock()], OTHER_ID: [of_other(clock)]}
        changes = merge(other_report(), a_report(), owed, a_rulebook(), SEKAR, now=now, reason="x")
        (clock,) = taken_back(changes, now=now + timedelta(days=1)).obligations
        now += timedelta(days=1)
    left = a_calendar().elapsed(now, clock.deadline_at)
    assert left == a_calendar().elapsed(NOW, a_clock().deadline_at)


def test_merge_taken_back_in_the_same_moment_moves_no_deadline() -> None:
    changes = taken_back(merged(a_clock(), a_clock()), now=NOW)
    assert [line.event for line in changes.history] == ["unmerged"]


def test_taking_back_tells_the_assignee_again_every_time() -> None:
    first = taken_back(merged(a_clock(), a_clock()))
    second = taken_back(merged(a_clock(), a_clock()), now=DAYS_LATER + timedelta(days=1))
    keys = {changes.deliveries[0].dedupe_key for changes in (first, second)}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("status", "kinds", "missing"),
    [
        (Status.RECEIVED, (ACKNOWLEDGE, TRIAGE), ()),
        (Status.ACKNOWLEDGED, (TRIAGE,), ()),
        (Status.NEEDS_COMPLETION, (TRIAGE, COMPLETION), ("KTP", "kuitansi; asli atau salinan")),
        (Status.NEEDS_COMPLETION, (TRIAGE,), ("KTP",)),  # a policy need not have a clock for the citizen
        (Status.REGISTERED, (SUMMONS, DECISION), ()),
        (Status.REGISTERED, (), ()),
    ],
)
def test_report_stands_where_it_stood(status: Status, kinds: tuple[Policy, ...], missing: tuple[str, ...]) -> None:
    case_number = "17/BPSK" if status is Status.REGISTERED else None
    duplicate = other_report(status=status, missing=missing, case_number=case_number)
    owed = [of_other(a_clock(policy)) for policy in kinds]
    if missing:
        owed[0] = pause(owed[0], now=MONDAY, by="person:ani", reason="; ".join(missing))
    met = end(of_other(a_clock(FIRST_HEARING)), ClockState.MET, now=MONDAY, by="person:ani")
    book = a_rulebook()
    into = a_report(status=Status.REGISTERED)
    changes = merge(duplicate, into, {REPORT_ID: [], OTHER_ID: [*owed, met]}, book, SEKAR, now=NOW, reason="x")
    closed, asked = changes.reports[OTHER_ID], missing or ("what was asked before it was acknowledged again",)
    back = take_back(closed, after(changes, OTHER_ID), book, SEKAR, now=DAYS_LATER, reason="bukan", asked=asked)
    restored = back.reports[OTHER_ID]
    assert replace(restored, sequence=0) == replace(duplicate, sequence=0)
    assert [(o.kind, o.state) for o in back.obligations] == [(o.kind, o.state) for o in owed]
    assert {d.event for d in back.deliveries if d.purpose is Purpose.NOTICE} == (
        {"new_report"} if status is Status.RECEIVED else set()
    )


def test_clock_that_waited_for_the_citizen_waits_on() -> None:
    waiting = pause(a_clock(TRIAGE), now=NOW, by="person:ani", reason="KTP")
    (clock,) = taken_back(merged(a_clock(), waiting)).obligations
    assert clock == of_other(waiting)


def test_taking_a_merge_back_needs_a_reason() -> None:
    with pytest.raises(MoveRefused, match="^cannot reopen: reopening needs a reason$") as refused:
        taken_back(merged(a_clock(), a_clock()), reason=" ")
    assert (refused.value.move, refused.value.status) == (Move.REOPEN, Status.CLOSED)


def test_registered_case_is_not_merged_into_what_is_none() -> None:
    """Its deadlines are set by law and the other has none of them (UU 8/1999 art. 55)."""
    case = other_report(status=Status.REGISTERED, case_number="17/BPSK")
    owed: Mapping[str, list[Obligation]] = {REPORT_ID: [], OTHER_ID: []}
    with pytest.raises(NotPossible, match="^4TZ9-K2M7-0HQ3 is the case 17/BPSK, .* merge K7Q2-9XWM-4T8R into it inst"):
        merge(case, a_report(), owed, a_rulebook(), SEKAR, now=NOW, reason="x")
    other = a_report(status=Status.REGISTERED, case_number="18/BPSK")
    assert merge(case, other, owed, a_rulebook(), SEKAR, now=NOW, reason="x").reports[OTHER_ID].outcome
    assert merge(other, case, owed, a_rulebook(), SEKAR, now=NOW, reason="x").reports[REPORT_ID].outcome


BANDUNG = "bpsk-bandung"


def two_offices() -> Rulebook:
    """A second office, which opens an hour later and closes an hour earlier."""
    book = a_rulebook()
    shorter = a_calendar(name="bandung", version="bandung@1", week=((((660, 960),),) * 5) + ((), ()))
    return Rulebook(
        rules=book.rules,
        offices={**book.offices, BANDUNG: Office(BANDUNG, "BPSK Bandung", "bandung")},
        calendars={**book.calendars, "bandung": shorter},
        policies=book.policies,
        told_back=book.told_back,
    )


def moved_to(office: str, *clocks: Obligation, report: Report | None = None) -> Changes:
    people = (ANI, replace(BUDI, office=BANDUNG), replace(CITRA, office=BANDUNG))
    desk = a_desk(*people, budi=3)
    return transfer(
        report or a_report(), clocks, office, two_offices(), desk, SEKAR, now=NOW, reason="domisili di Bandung"
    )


def test_transferred_report_lies_on_the_least_laden_desk_there_and_its_clock_was_not_reset() -> None:
    """I32."""
    clock = replace(a_clock(), step=1)
    changes = moved_to(BANDUNG, clock)
    report = changes.reports[REPORT_ID]
    assert (report.office, report.assignee, report.assigned_before) == (BANDUNG, "citra", ("ani",))
    (moved,) = changes.obligations
    assert (moved.started_at, moved.step, moved.policy_version) == (clock.started_at, 1, clock.policy_version)
    assert (moved.calendar_version, moved.moved_at) == ("bandung@1", NOW)
    assert moved.deadline_at == clock.deadline_at + timedelta(hours=1)
    (notice,) = [d for d in changes.deliveries if d.purpose is Purpose.NOTICE]
    assert notice.recipient == "citra"
    line, due = changes.history
    assert (line.event, line.actor, line.at) == ("transferred", "person:sekar", NOW)
    facts = {"of": OFFICE, "to": BANDUNG, "desk": "citra", "calendar": "bandung@1", "reason": "domisili di Bandung"}
    assert line.data == facts
    assert (due.event, due.actor, due.at) == ("due_moved", "person:sekar", NOW)
    assert due.data == {
        "kind": "acknowledge",
        "reason": "domisili di Bandung",
        "calendar": "bandung@1",
        "deadline_was": clock.deadline_at.isoformat(),
        "deadline_now": moved.deadline_at.isoformat(),
        "next_was": clock.next_due and clock.next_due.isoformat(),
        "next_now": moved.next_due and moved.next_due.isoformat(),
    }
    assert notice.created_at == NOW


def test_report_transferred_to_an_office_without_members_lies_on_no_desk() -> None:
    book, absent_there = two_offices(), replace(absent(BUDI), office=BANDUNG)
    changes = transfer(
        a_report(assignee=None), [a_clock()], BANDUNG, book, a_desk(ANI, absent_there), SEKAR, now=NOW, reason="x"
    )
    report = changes.reports[REPORT_ID]
    assert (report.assignee, report.assigned_before) == (None, ())
    assert [d.purpose for d in changes.deliveries] == [Purpose.CALLBACK]


def test_transfer_between_offices_with_the_same_hours_moves_no_deadline() -> None:
    book = two_offices()
    same = replace(book, calendars={**book.calendars, "bandung": a_calendar(name="bandung", version="bandung@2")})
    changes = transfer(a_report(), [a_clock()], BANDUNG, same, a_desk(ANI), SEKAR, now=NOW, reason="x")
    (clock,) = changes.obligations
    assert (clock.calendar_version, clock.moved_at, clock.next_due) == ("bandung@2", None, a_clock().next_due)


def test_clock_that_has_ended_is_not_touched_by_a_transfer() -> None:
    ended = end(a_clock(ACKNOWLEDGE), ClockState.MET, now=NOW, by="person:ani")
    assert moved_to(BANDUNG, ended).obligations == []


@pytest.mark.parametrize(
    ("office", "status", "why"),
    [
        (OFFICE, Status.RECEIVED, "^it is with bpsk-dki already$"),
        ("moon", Status.RECEIVED, "^there is no office 'moon'; there are bpsk-bandung, bpsk-dki$"),
        (BANDUNG, Status.CLOSED, "^a closed report cannot be given to another office; reopen it first$"),
    ],
)
def test_transfer_that_makes_no_sense_is_refused(office: str, status: Status, why: str) -> None:
    report = a_report(status=status, outcome=Outcome.SETTLED if status is Status.CLOSED else None)
    with pytest.raises(NotPossible, match=why):
        moved_to(office, report=report)
