"""Moves: what each changes in the report, its clocks, its history, and what the city is told."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bridge.reports.clocks import ClockState, Kind
from bridge.reports.moves import close_incomplete, new_report_notice
from bridge.reports.report import Delivery, Purpose
from bridge.reports.routing import Rule
from bridge.reports.states import Move, MoveRefused, Outcome, Status, moves_from
from tests.unit.given import (
    ANI,
    KETUA,
    MONDAY,
    OFFICE,
    REPORT_ID,
    TRIAGE,
    WAY_TO,
    a_calendar,
    a_case,
    a_clock,
    a_policy,
    a_report,
    a_rulebook,
    an_actor,
)

ALLOWED = [(status, move) for status in Status for move in moves_from(status)]
REFUSED = [(status, move) for status in Status for move in Move if move not in moves_from(status)]

#: From a state by a move: what each clock is afterwards. r running, p paused, m met, c cancelled.
CLOCKS_AFTER = {
    (Status.RECEIVED, Move.ACKNOWLEDGE): "acknowledge:m triage:r",
    (Status.RECEIVED, Move.WITHDRAW): "acknowledge:c triage:c",
    (Status.ACKNOWLEDGED, Move.ASK_COMPLETION): "acknowledge:m completion:r triage:p",
    (Status.ACKNOWLEDGED, Move.REGISTER): "acknowledge:m decision:r first_hearing:r summons:r triage:m",
    (Status.ACKNOWLEDGED, Move.CLOSE): "acknowledge:m triage:m",
    (Status.ACKNOWLEDGED, Move.WITHDRAW): "acknowledge:m triage:c",
    (Status.NEEDS_COMPLETION, Move.RESUME): "acknowledge:m completion:m triage:r",
    (Status.NEEDS_COMPLETION, Move.REGISTER):
        "acknowledge:m completion:m decision:r first_hearing:r summons:r triage:m",
    (Status.NEEDS_COMPLETION, Move.CLOSE): "acknowledge:m completion:c triage:m",
    (Status.NEEDS_COMPLETION, Move.WITHDRAW): "acknowledge:m completion:c triage:c",
    (Status.REGISTERED, Move.CLOSE): "acknowledge:m decision:m first_hearing:c summons:c triage:m",
    (Status.REGISTERED, Move.WITHDRAW): "acknowledge:m decision:c first_hearing:c summons:c triage:m",
    (Status.CLOSED, Move.REOPEN): "acknowledge:r triage:r",
}  # fmt: skip


def test_table_of_clocks_has_a_line_for_every_allowed_move() -> None:
    assert sorted(CLOCKS_AFTER) == sorted(ALLOWED)


@pytest.mark.parametrize(("status", "move"), ALLOWED)
def test_allowed_move_starts_meets_pauses_or_cancels_the_right_clocks(status: Status, move: Move) -> None:
    case = a_case(status)
    case.do(move)
    assert " ".join(f"{kind}:{state[0]}" for kind, state in sorted(case.states().items())) == CLOCKS_AFTER[status, move]


@pytest.mark.parametrize(("status", "move"), ALLOWED)
def test_allowed_move_tells_the_city_once_under_the_next_number(status: Status, move: Move) -> None:
    case = a_case(status)
    before = case.report.sequence
    changes = case.do(move)
    (callback,) = [d for d in changes.deliveries if d.purpose is Purpose.CALLBACK]
    assert case.report.sequence == callback.payload["sequence"] == before + 1
    assert callback.payload["status"] == case.report.status
    assert callback.payload["outcome"] == case.report.outcome


@pytest.mark.parametrize(("status", "move"), ALLOWED)
def test_allowed_move_leaves_one_line_of_history_with_its_actor(status: Status, move: Move) -> None:
    (line,) = a_case(status).do(move, hours=3).history
    assert (line.event, line.actor, line.at) == (move, "person:ani", MONDAY + timedelta(hours=3))


@pytest.mark.parametrize(("status", "move"), REFUSED)
def test_refused_move_changes_nothing_at_all(status: Status, move: Move) -> None:
    case = a_case(status)
    report, clocks = case.report, dict(case.clocks)
    with pytest.raises(MoveRefused):
        case.do(move)
    assert (case.report, case.clocks) == (report, clocks)


LACKING = [
    (
        Status.ACKNOWLEDGED,
        Move.REGISTER,
        {"case_number": "  "},
        "^cannot register: registering needs the case number the secretariat gave it$",
    ),
    (
        Status.ACKNOWLEDGED,
        Move.ASK_COMPLETION,
        {"missing": ()},
        "^cannot ask_completion: say what is missing, at least one thing$",
    ),
    (Status.ACKNOWLEDGED, Move.CLOSE, {"outcome": None}, "needs an outcome"),
    (Status.ACKNOWLEDGED, Move.CLOSE, {"outcome": Outcome.GRANTED}, "registered case"),
    (Status.CLOSED, Move.REOPEN, {"reason": " "}, "^cannot reopen: reopening needs a reason$"),
]


@pytest.mark.parametrize(("status", "move", "details", "why"), LACKING)
def test_move_without_what_it_needs_is_refused_and_says_so(
    status: Status, move: Move, details: dict[str, Any], why: str
) -> None:
    with pytest.raises(MoveRefused, match=why) as refused:
        a_case(status).do(move, **details)
    assert (refused.value.move, refused.value.status) == (move, status)


def test_ended_clocks_say_who_ended_them_and_when() -> None:
    case = a_case()
    case.do(Move.ACKNOWLEDGE, "budi", hours=2)
    met = case.clocks[Kind.ACKNOWLEDGE]
    assert (met.ended_by, met.ended_at, met.next_due) == ("person:budi", MONDAY + timedelta(hours=2), None)


def test_waiting_for_the_citizen_does_not_count_against_the_office() -> None:
    case = a_case(Status.ACKNOWLEDGED)
    before = case.clocks[Kind.TRIAGE].deadline_at
    case.do(Move.ASK_COMPLETION, hours=25, missing=("KTP", "kuitansi"))
    assert case.clocks[Kind.TRIAGE].pauses[0].reason == "KTP; kuitansi"
    case.do(Move.RESUME, hours=27)
    # Two working hours further from the end of the fifth day: eleven o'clock of the sixth.
    assert case.clocks[Kind.TRIAGE].deadline_at == before + timedelta(hours=18)


def test_citizen_asked_a_second_time_has_the_whole_span_again() -> None:
    case = a_case(Status.NEEDS_COMPLETION)
    first = case.clocks[Kind.COMPLETION].deadline_at
    case.do(Move.RESUME, hours=24)
    case.do(Move.ASK_COMPLETION, hours=48, missing=("kuitansi",))
    again = case.clocks[Kind.COMPLETION]
    assert (again.state, again.step) == (ClockState.RUNNING, 0)
    assert again.deadline_at == first + timedelta(days=2)
    assert case.report.missing == ("kuitansi",)


def test_citizen_asked_a_second_time_has_steps_the_log_does_not_know_yet() -> None:
    case = a_case(Status.NEEDS_COMPLETION)
    case.clocks[Kind.COMPLETION] = replace(case.clocks[Kind.COMPLETION], step=1, level=1)
    case.do(Move.RESUME)
    (line,) = case.do(Move.ASK_COMPLETION).history
    again = case.clocks[Kind.COMPLETION]
    assert (again.cycle, again.step, again.level, again.next_number) == (1, 0, 0, 2)
    assert line.data["earlier_steps"] == {"completion": 1}


def test_history_says_which_clocks_begin_under_which_versions() -> None:
    (line,) = a_case(Status.CLOSED).do(Move.REOPEN).history
    assert line.data["clocks"] == {"acknowledge": "acknowledge@1", "triage": "triage@1"}
    assert line.data["calendar"] == "office@1"


@pytest.mark.parametrize(("actor", "noted"), [("budi", {"to": "budi"}), ("ani", {}), ("ketua", {})])
def test_history_says_who_has_the_report_when_acknowledging_changes_it(actor: str, noted: dict[str, str]) -> None:
    (line,) = a_case().do(Move.ACKNOWLEDGE, actor).history
    assert line.data == noted


@pytest.mark.parametrize("move", [Move.RESUME, Move.REGISTER, Move.CLOSE, Move.WITHDRAW])
def test_nothing_is_missing_after_the_wait_for_the_citizen(move: Move) -> None:
    case = a_case(Status.NEEDS_COMPLETION)
    assert len(case.report.missing) == 1
    case.do(move)
    assert len(case.report.missing) == 0


def test_registration_keeps_the_case_number_and_starts_the_laws_days() -> None:
    case = a_case(Status.ACKNOWLEDGED)
    case.do(Move.REGISTER, hours=24, case_number=" 17/BPSK/2026 ")
    assert case.report.case_number == "17/BPSK/2026"
    decision = case.clocks[Kind.DECISION]
    assert decision.started_at == MONDAY + timedelta(hours=24)
    assert decision.deadline_at == case.rulebook.calendar_for(case.report.office).end_of_working_day(
        MONDAY + timedelta(hours=24), 21
    )


@pytest.mark.parametrize(("actor", "holder"), [("budi", "budi"), ("ketua", "ani"), ("someone else", "ani")])
def test_officer_who_acknowledges_takes_the_report_and_others_do_not(actor: str, holder: str) -> None:
    case = a_case()
    case.do(Move.ACKNOWLEDGE, actor)
    assert case.report.assignee == holder


def test_reopened_report_is_a_new_cycle_and_tells_its_assignee() -> None:
    case = a_case(Status.CLOSED)
    changes = case.do(Move.REOPEN, hours=200)
    report = case.report
    assert (report.cycle, report.outcome, report.assigned_before) == (2, None, ())
    for kind in (Kind.ACKNOWLEDGE, Kind.TRIAGE):
        assert (case.clocks[kind].cycle, case.clocks[kind].started_at) == (2, MONDAY + timedelta(hours=200))
    (notice,) = [d for d in changes.deliveries if d.purpose is Purpose.NOTICE]
    assert (notice.recipient, notice.event, notice.cycle) == ("ani", "new_report", 2)
    assert notice.payload["deadline_at"] == case.clocks[Kind.ACKNOWLEDGE].deadline_at.isoformat()


def test_reopening_forgets_whose_desk_it_was_on_in_the_cycle_before() -> None:
    case = a_case(Status.CLOSED)
    case.report = replace(case.report, assigned_before=("budi", "citra"))
    case.do(Move.REOPEN)
    assert (case.report.assignee, case.report.assigned_before) == ("ani", ())


def test_notice_of_a_report_on_somebodys_desk_is_written_down_whole() -> None:
    clocks = [a_clock(TRIAGE), a_clock()]
    assert new_report_notice(a_report(cycle=2), clocks, "budi", now=MONDAY) == Delivery(
        report_id=REPORT_ID,
        ticket="K7Q2-9XWM-4T8R",
        cycle=2,
        purpose=Purpose.NOTICE,
        event="new_report",
        channel="email",
        recipient="budi",
        dedupe_key=f"notice/{REPORT_ID}/2/new/budi",
        created_at=MONDAY,
        kind=Kind.ACKNOWLEDGE,
        payload={"deadline_at": "2026-11-23T07:00:00+00:00", "level": 0, "assigned": True},
    )
    assert new_report_notice(a_report(), [], "budi", now=MONDAY).payload["deadline_at"] is None


def test_reopened_report_is_announced_at_the_time_it_was_reopened() -> None:
    (notice, _) = a_case(Status.CLOSED).do(Move.REOPEN, hours=200).deliveries
    assert notice.created_at == MONDAY + timedelta(hours=200)


def test_clocks_a_move_pauses_cancels_or_starts_say_by_whom_and_whose_they_are() -> None:
    case = a_case(Status.ACKNOWLEDGED)
    case.do(Move.ASK_COMPLETION, "budi")
    assert case.clocks[Kind.TRIAGE].pauses[0].by == "person:budi"
    assert case.clocks[Kind.COMPLETION].report_id == REPORT_ID
    case.do(Move.WITHDRAW, "sekar")
    assert case.clocks[Kind.COMPLETION].ended_by == "person:sekar"


def test_clock_is_started_by_the_policy_set_of_the_report() -> None:
    book, slow = a_rulebook(), a_policy(Kind.COMPLETION, "90 working days", version="slow@1")
    patient = replace(book, policies={**book.policies, "patient": {Kind.COMPLETION: slow}})
    case = a_case(Status.ACKNOWLEDGED, patient)
    case.report = replace(case.report, policy="patient")
    case.do(Move.ASK_COMPLETION)
    assert case.clocks[Kind.COMPLETION].policy_version == "slow@1"


def test_report_withdrawn_by_the_citizen_is_closed_as_withdrawn() -> None:
    case = a_case()
    case.do(Move.WITHDRAW)
    assert (case.report.status, case.report.outcome) == (Status.CLOSED, Outcome.WITHDRAWN)


def test_citizen_silent_to_the_end_closes_the_report_as_incomplete() -> None:
    case = a_case(Status.NEEDS_COMPLETION)
    clocks = list(case.clocks.values())
    changes = close_incomplete(case.report, clocks, case.rulebook, an_actor("clock:completion"), now=MONDAY)
    case.keep(changes)
    assert (case.report.status, case.report.outcome) == (Status.CLOSED, Outcome.INCOMPLETE)
    assert changes.history[0].actor == "clock:completion"


@pytest.mark.parametrize("status", WAY_TO)
def test_city_that_is_not_told_back_gets_no_number_either(status: Status) -> None:
    case = a_case(status, a_rulebook(told_back=()))
    changes = case.do(moves_from(status)[0])
    assert case.report.sequence == 0
    assert [d for d in changes.deliveries if d.purpose is Purpose.CALLBACK] == []


def test_details_stand_in_the_history_and_empty_ones_do_not() -> None:
    (line,) = a_case(Status.ACKNOWLEDGED).do(Move.CLOSE, outcome=Outcome.REFERRED, reason="OJK first").history
    assert line.data == {"outcome": "referred", "reason": "OJK first"}
    (line,) = a_case(Status.ACKNOWLEDGED).do(Move.ASK_COMPLETION, missing=("KTP", "kuitansi")).history
    begun = {"clocks": {"completion": "completion@1"}, "calendar": "office@1"}
    assert line.data == {"missing": ["KTP", "kuitansi"], **begun}
    (line,) = a_case(Status.ACKNOWLEDGED).do(Move.REGISTER, case_number="17/BPSK/2026").history
    assert line.data["case_number"] == "17/BPSK/2026"
    assert "reason" not in line.data


def test_people_of_these_tests_have_the_roles_moves_expect() -> None:
    assert (ANI.role, KETUA.role) == ("officer", "chair")


@pytest.mark.parametrize(("status", "move"), ALLOWED)
def test_every_move_of_a_report_whose_office_is_no_more_changes_what_it_always_does(status: Status, move: Move) -> None:
    case, renamed = a_case(status), a_case(status)
    book = case.rulebook
    office = replace(book.offices[OFFICE], office_id="new")
    renamed.rulebook = replace(book, offices={"new": office}, rules=(Rule("everything", "new"),))
    assert renamed.do(move) == case.do(move)


def test_move_starts_its_clocks_in_the_calendar_the_office_has_today() -> None:
    case = a_case(Status.ACKNOWLEDGED)
    book, other = case.rulebook, a_calendar(name="other", version="other@1")
    office = replace(book.offices[OFFICE], calendar="other")
    case.rulebook = replace(book, offices={OFFICE: office}, calendars={**book.calendars, "other": other})
    assert {clock.calendar_version for clock in case.do(Move.REGISTER).new_obligations} == {"other@1"}


def test_reopened_report_whose_office_and_clocks_are_no_more_goes_by_where_it_would_be_routed() -> None:
    case = a_case(Status.CLOSED)
    case.clocks.clear()
    office = replace(case.rulebook.offices[OFFICE], office_id="new")
    rules = (Rule("other city", "nowhere", {"source": ("jaki",)}), Rule("everything", "new"))
    case.rulebook = replace(case.rulebook, offices={"new": office}, rules=rules)
    assert {clock.calendar_version for clock in case.do(Move.REOPEN).new_obligations} == {"office@1"}


def test_clock_of_the_citizen_closes_a_report_whose_office_is_no_more() -> None:
    case = a_case(Status.NEEDS_COMPLETION)
    gone = replace(case.rulebook, offices={})
    changes = close_incomplete(
        case.report, list(case.clocks.values()), gone, an_actor("clock:completion"), now=MONDAY + timedelta(days=14)
    )
    assert changes.reports[REPORT_ID].status is Status.CLOSED
