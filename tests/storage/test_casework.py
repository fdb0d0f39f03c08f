"""What people do to a report: every move once, a second time without harm, never in an earlier cycle's name."""

from collections.abc import Callable
from typing import Any

import pytest

from bridge.casework import EscalatedSince, NothingOwed, StaleCycle
from bridge.reports.clocks import Kind
from bridge.reports.escalation import NothingToHurry
from bridge.reports.merging import NotPossible
from bridge.reports.moves import Actor, Details
from bridge.reports.states import MOVES, Move, MoveRefused, Outcome, Status
from bridge.storage.reports import NoSuchReport
from tests.storage.crashes import LIMIT_S, Standstill, survives_every_crash, together
from tests.storage.office import ANI, KARTIKA, PEOPLE, Office, id_of, shape

DETAILS = {
    Move.ASK_COMPLETION: Details(missing=("bukti pembelian",)),
    Move.REGISTER: Details(case_number="017/REG/BPSK-DKI/XI/2026"),
    Move.CLOSE: Details(outcome=Outcome.SETTLED),
    Move.REOPEN: Details(reason="belum selesai"),
}
#: The moves that lead to each state.
WAY: dict[Status, tuple[Move, ...]] = {
    Status.RECEIVED: (),
    Status.ACKNOWLEDGED: (Move.ACKNOWLEDGE,),
    Status.NEEDS_COMPLETION: (Move.ACKNOWLEDGE, Move.ASK_COMPLETION),
    Status.REGISTERED: (Move.ACKNOWLEDGE, Move.REGISTER),
    Status.CLOSED: (Move.ACKNOWLEDGE, Move.CLOSE),
}
#: The clocks of a report after each move from the state it is usually made in: r(unning), p(aused), m(et), c(ancelled).
CLOCKS_AFTER = {
    Move.ACKNOWLEDGE: {"acknowledge": "met", "triage": "running"},
    Move.ASK_COMPLETION: {"acknowledge": "met", "triage": "paused", "completion": "running"},
    Move.RESUME: {"acknowledge": "met", "triage": "running", "completion": "met"},
    Move.REGISTER: {
        "acknowledge": "met", "triage": "met", "summons": "running", "first_hearing": "running", "decision": "running"
    },
    Move.CLOSE: {"acknowledge": "met", "triage": "met"},
    Move.REOPEN: {"acknowledge": "running", "triage": "running"},
    Move.WITHDRAW: {"acknowledge": "cancelled", "triage": "cancelled"},
}  # fmt: skip


def _move(office: Office, ticket: str, *moves: Move) -> None:
    for move in moves:
        office.casework.move(move, ticket, ANI, DETAILS.get(move, Details()))


@pytest.mark.parametrize("move", Move)
def test_move_changes_state_clocks_history_and_tells_the_city(office: Office, move: Move) -> None:
    ticket = office.receive("Q-1")
    start = next(status for status in Status if status in MOVES[move][0])
    _move(office, ticket, *WAY[start])
    told = office.report(ticket).sequence

    report = office.casework.move(move, ticket, ANI, DETAILS.get(move, Details()))

    assert office.report(ticket) == report
    assert (report.status, report.sequence) == (MOVES[move][1], told + 1)
    assert office.clocks(ticket) == CLOCKS_AFTER[move]
    last = office.rows("history")[-1]
    assert (last["event"], last["actor"], last["cycle"]) == (move, "person:ani", report.cycle)
    callback = next(d for d in office.rows("deliveries", purpose="callback") if d["payload"]["sequence"] == told + 1)
    assert (callback["payload"]["status"], callback["state"]) == (report.status, "pending")


@pytest.mark.parametrize("status", Status)
def test_move_that_is_not_allowed_changes_nothing(office: Office, status: Status) -> None:
    ticket = office.receive("Q-1")
    _move(office, ticket, *WAY[status])
    before = office.snapshot()
    for move in Move:
        if status not in MOVES[move][0]:
            with pytest.raises(MoveRefused):
                office.casework.move(move, ticket, ANI, DETAILS.get(move, Details()))
    assert office.snapshot() == before


@pytest.mark.parametrize("move", [Move.ASK_COMPLETION, Move.REGISTER, Move.CLOSE])
def test_move_without_what_it_needs_changes_nothing(office: Office, move: Move) -> None:
    ticket = office.receive("Q-1")
    _move(office, ticket, Move.ACKNOWLEDGE)
    before = office.snapshot()
    with pytest.raises(MoveRefused):
        office.casework.move(move, ticket, ANI)
    assert office.snapshot() == before


def test_acknowledging_meets_the_clock_and_makes_the_officer_the_assignee(office: Office) -> None:
    ticket = office.receive("Q-1", category="ASURANSI")
    result = office.casework.acknowledge(ticket, Actor("person:citra", PEOPLE[2]))
    (clock,) = office.rows("obligations", kind="acknowledge")
    assert (result.changed, result.report.assignee) == (True, "citra")
    assert (clock["state"], clock["next_due"], clock["ended_by"]) == ("met", None, "person:citra")


def test_chair_who_acknowledges_leaves_the_report_on_its_desk(office: Office) -> None:
    ticket = office.receive("Q-1", category="ASURANSI")
    assert office.casework.acknowledge(ticket, KARTIKA).report.assignee == "ani"


def test_acknowledging_a_second_time_changes_nothing_and_says_so(office: Office) -> None:
    ticket = office.receive("Q-1")
    office.casework.acknowledge(ticket, ANI)
    before = office.snapshot()
    assert office.casework.acknowledge(ticket, KARTIKA, cycle=1).changed is False
    assert office.snapshot() == before


def test_of_many_who_acknowledge_at_once_one_does(office: Office) -> None:
    ticket = office.receive("Q-1")
    results = together(
        *(lambda p=person: office.casework.acknowledge(ticket, Actor(p.person_id, p)) for person in PEOPLE)
    )
    assert sorted(result.changed for result in results) == [False] * 6 + [True]
    assert [line["event"] for line in office.rows("history")].count("acknowledge") == 1
    assert office.report(ticket).sequence == 2


@pytest.mark.parametrize("act", ["acknowledge", "move", "meet", "assign"])
def test_unknown_ticket_is_refused(office: Office, act: str) -> None:
    acts: dict[str, Callable[[], Any]] = {
        "acknowledge": lambda: office.casework.acknowledge("0000-0000-0000", ANI),
        "move": lambda: office.casework.move(Move.WITHDRAW, "0000-0000-0000", ANI),
        "meet": lambda: office.casework.meet(Kind.TRIAGE, "0000-0000-0000", ANI),
        "assign": lambda: office.casework.assign("0000-0000-0000", PEOPLE[1], ANI, "cuti"),
    }
    with pytest.raises(NoSuchReport):
        acts[act]()


def test_reopened_report_has_a_new_cycle_new_clocks_and_nobody_tried(office: Office) -> None:
    ticket = office.receive("Q-1", category="ASURANSI")
    office.casework.assign(ticket, PEOPLE[1], ANI, "cuti")
    _move(office, ticket, *WAY[Status.CLOSED])
    closed_at = office.now()

    _move(office, ticket, Move.REOPEN)

    report = office.report(ticket)
    assert (report.status, report.cycle, report.outcome, report.assigned_before) == (Status.RECEIVED, 2, None, ())
    for clock in office.rows("obligations"):
        assert (clock["cycle"], clock["state"], clock["step"], clock["level"]) == (2, "running", 0, 0)
        assert clock["started_at"] >= closed_at
        assert clock["ended_at"] is clock["ended_by"] is None


def test_link_of_an_earlier_cycle_is_stale_and_changes_nothing(office: Office) -> None:
    ticket = office.receive("Q-1")
    _move(office, ticket, *WAY[Status.CLOSED], Move.REOPEN)
    before = office.snapshot()
    with pytest.raises(StaleCycle):
        office.casework.acknowledge(ticket, ANI, cycle=1)
    assert office.snapshot() == before
    assert office.casework.acknowledge(ticket, ANI, cycle=2).changed


def test_ladder_of_a_new_cycle_starts_from_its_first_rung(office: Office) -> None:
    ticket = office.receive("Q-1")
    office.pass_time(3 * 3600)
    office.tick_all()
    _move(office, ticket, *WAY[Status.CLOSED], Move.REOPEN)
    office.pass_time(2 * 3600)
    office.tick_all()
    fired = [(row["cycle"], row["level"]) for row in office.rows("escalations")]
    assert fired == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2)]


def test_meeting_one_obligation_leaves_the_others_running(office: Office) -> None:
    ticket = office.receive("Q-1")
    _move(office, ticket, *WAY[Status.REGISTERED])
    office.casework.meet(Kind.SUMMONS, ticket, ANI)
    states = office.clocks(ticket)
    assert (states["summons"], states["first_hearing"], states["decision"]) == ("met", "running", "running")
    assert office.rows("history")[-1]["data"] == {"kind": "summons"}


@pytest.mark.parametrize("kind", [Kind.ACKNOWLEDGE, Kind.TRIAGE])
def test_clock_that_ends_with_a_move_cannot_be_met_alone(office: Office, kind: Kind) -> None:
    """The report would stay where it is, and no clock would ever ask for it again."""
    ticket = office.receive("Q-1")
    before = office.snapshot()
    with pytest.raises(NothingOwed, match="when the report moves on"):
        office.casework.meet(kind, ticket, ANI)
    assert office.snapshot() == before


@pytest.mark.parametrize("kind", [Kind.SUMMONS, Kind.ACKNOWLEDGE])
def test_meeting_what_is_not_owed_or_met_already_is_refused(office: Office, kind: Kind) -> None:
    ticket = office.receive("Q-1")
    _move(office, ticket, Move.ACKNOWLEDGE)
    before = office.snapshot()
    with pytest.raises(NothingOwed):
        office.casework.meet(kind, ticket, ANI)
    assert office.snapshot() == before


def test_assigning_keeps_the_clock_and_tells_the_new_officer(office: Office) -> None:
    ticket = office.receive("Q-1", category="ASURANSI")
    clocks = office.rows("obligations")
    office.casework.assign(ticket, PEOPLE[1], KARTIKA, "cuti")
    report = office.report(ticket)
    assert (report.assignee, report.assigned_before) == ("budi", ("ani",))
    assert office.rows("obligations") == clocks
    assert [d["event"] for d in office.rows("deliveries", recipient="budi")] == ["new_report"]
    assert office.rows("history")[-1]["data"] == {"of": "ani", "to": "budi", "reason": "cuti"}


def test_closed_report_cannot_be_assigned(office: Office) -> None:
    ticket = office.receive("Q-1")
    _move(office, ticket, *WAY[Status.CLOSED])
    with pytest.raises(MoveRefused, match="reopen it first"):
        office.casework.assign(ticket, PEOPLE[1], ANI, "cuti")


def test_pause_stops_the_clock_and_resuming_gives_the_rest_of_the_time(office: Office) -> None:
    ticket = office.receive("Q-1")
    _move(office, ticket, Move.ACKNOWLEDGE)
    (before,) = office.rows("obligations", kind="triage")
    _move(office, ticket, Move.ASK_COMPLETION)
    office.pass_time(5000)
    _move(office, ticket, Move.RESUME)
    (after,) = office.rows("obligations", kind="triage")
    # Moving everything 5000 s into the past moved the start as well: what the pause gave back is that much.
    assert 0 <= (after["next_due"] - before["next_due"]).total_seconds() < LIMIT_S


def test_death_between_any_two_statements_of_a_move_leaves_nothing_behind(office: Office, twin: Office) -> None:
    for one in (office, twin):
        one.receive("Q-1")
    ticket, before = office.rows("reports")[0]["ticket"], office.snapshot()

    def nothing_changed() -> None:
        assert office.snapshot() == before

    deaths = survives_every_crash(office.database, lambda: office.casework.acknowledge(ticket, ANI), nothing_changed)
    twin.casework.acknowledge(ticket, ANI)
    assert deaths >= 6
    assert shape(office.snapshot()) == shape(twin.snapshot())


def test_report_closed_while_somebody_asks_the_citizen_has_no_clock_left_running(office: Office) -> None:
    """The second mover must see the clock the first one has just started."""
    ticket = office.receive("Q-1")
    _move(office, ticket, Move.ACKNOWLEDGE)
    with Standstill(office.database, "COMMIT", lambda: _move(office, ticket, Move.ASK_COMPLETION)) as held:
        closing = held.meanwhile(lambda: _move(office, ticket, Move.CLOSE))
        held.go_on()
        closing.result()
    assert office.report(ticket).status is Status.CLOSED
    assert office.clocks(ticket) == {"acknowledge": "met", "triage": "met", "completion": "cancelled"}


# --- two reports of one grievance, and another office ---------------------------------------------------------------


def test_merged_report_is_closed_and_the_other_keeps_the_earlier_deadline(office: Office) -> None:
    first = office.receive("Q-1")
    office.pass_time(600)
    second = office.receive("Q-2")
    earlier = {row["kind"]: row["deadline_at"] for row in office.rows("obligations", report_id=id_of("Q-1"))}
    report = office.casework.merge(first, second, KARTIKA, "pengaduan yang sama")
    assert (report.status, report.outcome, report.merged_into) == (Status.CLOSED, Outcome.DUPLICATE, second)
    assert office.clocks(first) == {"acknowledge": "cancelled", "triage": "cancelled"}
    assert {row["ended_by"] for row in office.rows("obligations", report_id=id_of("Q-1"))} == {f"merged:{second}"}
    kept = {row["kind"]: row["deadline_at"] for row in office.rows("obligations", report_id=id_of("Q-2"))}
    assert kept == earlier
    office.pass_time(3000)
    assert office.tick_all() == 1
    (fired,) = office.rows("escalations")
    assert (fired["ticket"], fired["remark"]) == (second, "due_moved")


ASKED = ("kuitansi; asli atau salinan", "KTP", "nomor polisi; ")


def _ask(office: Office, ticket: str, *missing: str) -> None:
    office.casework.move(Move.ASK_COMPLETION, ticket, ANI, Details(missing=missing))


def test_merge_taken_back_asks_the_citizen_for_the_very_same_things(office: Office) -> None:
    """Each stays one, whatever stands in it; of several requests the last one of the cycle counts."""
    first, second = office.receive("Q-1"), office.receive("Q-2")
    _move(office, first, Move.ACKNOWLEDGE)
    _ask(office, first, "earlier cycle")
    _move(office, first, Move.CLOSE, Move.REOPEN, Move.ACKNOWLEDGE)
    _ask(office, first, "earlier request")
    _move(office, first, Move.RESUME)
    _ask(office, first, *ASKED)
    before = office.report(first)
    assert before.missing == ASKED
    office.casework.merge(first, second, KARTIKA, "sama")
    assert office.report(first).missing == ()
    _move(office, first, Move.REOPEN)
    after = office.report(first)
    assert (after.status, after.missing, after.cycle) == (Status.NEEDS_COMPLETION, ASKED, before.cycle)


def test_merge_taken_back_asks_nothing_of_who_has_answered(office: Office) -> None:
    first, second = office.receive("Q-1"), office.receive("Q-2")
    _move(office, first, Move.ACKNOWLEDGE)
    _ask(office, first, *ASKED)
    _move(office, first, Move.RESUME)
    office.casework.merge(first, second, KARTIKA, "sama")
    _move(office, first, Move.REOPEN)
    assert (office.report(first).status, office.report(first).missing) == (Status.ACKNOWLEDGED, ())


def test_merge_from_before_the_list_was_read_from_the_history_is_taken_back_whole(office: Office) -> None:
    """Rows as an earlier version left them: the pause holds the list as text, the history as a list, as ever."""
    first, second = office.receive("Q-1"), office.receive("Q-2")
    _move(office, first, Move.ACKNOWLEDGE)
    _ask(office, first, *ASKED)
    office.casework.merge(first, second, KARTIKA, "sama")
    (triage,) = office.rows("obligations", report_id=id_of("Q-1"), kind="triage")
    assert [set(pause) for pause in triage["pauses"]] == [{"since", "until", "by", "reason"}]
    assert triage["pauses"][0]["reason"] == "; ".join(ASKED)
    (asked,) = office.rows("history", report_id=id_of("Q-1"), event="ask_completion")
    assert asked["data"] == {**asked["data"], "missing": [*ASKED]}
    _move(office, first, Move.REOPEN)
    assert office.report(first).missing == ASKED


def test_two_reports_merged_into_each_other_at_once_leave_one_open(office: Office) -> None:
    first, second = office.receive("Q-1"), office.receive("Q-2")

    def merging(one: str, into: str) -> Callable[[], Any]:
        def work() -> Any:
            try:
                return office.casework.merge(one, into, KARTIKA, "sama")
            except NotPossible as error:
                return error

        return work

    together(merging(first, second), merging(second, first))
    assert sorted(office.report(ticket).status for ticket in (first, second)) == [Status.CLOSED, Status.RECEIVED]


def test_death_between_any_two_statements_of_a_merge_leaves_both_as_they_were(office: Office, twin: Office) -> None:
    for one in (office, twin):
        one.receive("Q-1")
        one.pass_time(600)
        one.receive("Q-2")
    tickets = [office.report(office.receive("Q-1")).ticket, office.report(office.receive("Q-2")).ticket]
    before = shape(office.snapshot())
    deaths = survives_every_crash(
        office.database,
        lambda: office.casework.merge(*tickets, KARTIKA, "sama"),
        lambda: _same(shape(office.snapshot()), before),
    )
    assert deaths > 5
    twin.casework.merge(*tickets, KARTIKA, "sama")
    assert shape(office.snapshot()) == shape(twin.snapshot())


def _same(found: Any, wanted: Any) -> None:
    assert found == wanted


def test_transferred_report_goes_on_in_the_other_office_with_the_time_it_had(office: Office) -> None:
    ticket = office.receive("Q-1")
    other = next(name for name in office.rules.book.offices if name != office.report(ticket).office)
    before = office.rows("obligations")
    report = office.casework.transfer(ticket, other, KARTIKA, "domisili")
    assert (report.office, report.assigned_before) == (other, ("ani",))
    assert [row["started_at"] for row in office.rows("obligations")] == [row["started_at"] for row in before]
    assert [row["event"] for row in office.rows("history")][-1] == "transferred"
    with pytest.raises(NotPossible, match="already"):
        office.casework.transfer(ticket, other, KARTIKA, "domisili")


def test_report_passed_round_gains_no_time(office: Office) -> None:
    """I32: reassigning and back again moves no deadline, and the way it went is kept."""
    ticket = office.receive("Q-1", category="ASURANSI")
    before = office.rows("obligations")
    for person in (PEOPLE[1], PEOPLE[0], PEOPLE[1], PEOPLE[2]):
        office.casework.assign(ticket, person, KARTIKA, "cuti")
    assert office.rows("obligations") == before
    assert office.report(ticket).assigned_before == ("ani", "budi", "ani", "budi")


# --- a person sends it up -------------------------------------------------------------------------------------------


def test_report_sent_up_by_twenty_presses_of_one_page_goes_up_once(office: Office) -> None:
    """I8: repeated presses are one escalation."""
    ticket = office.receive("Q-1", category="ASURANSI")

    def press() -> Any:
        try:
            return office.casework.hurry(ticket, KARTIKA, "mendesak", kind=Kind.ACKNOWLEDGE, seen=(1, 0))
        except EscalatedSince as error:
            return error

    answers = together(*(press for _ in range(20)))
    assert sum(isinstance(answer, EscalatedSince) for answer in answers) == 19
    (fired,) = office.rows("escalations")
    assert (fired["step"], fired["level"], fired["told"], fired["remark"]) == (1, 1, ["budi"], "hurried")
    assert office.report(ticket).assignee == "budi"
    office.pass_time(3600)
    assert office.tick_all() == 0, "the rung it took early does not fire again"
    office.pass_time(3600)
    assert office.tick_all() == 1, "the next one keeps its time"


def test_press_on_a_page_from_before_an_escalation_or_another_cycle_is_refused(office: Office) -> None:
    """I8: accepted only if cycle and level are still those that were seen."""
    ticket = office.receive("Q-1")
    office.pass_time(3600)
    office.tick_all()
    for seen in ((1, 0), (2, 1)):
        with pytest.raises(EscalatedSince):
            office.casework.hurry(ticket, KARTIKA, "mendesak", kind=Kind.ACKNOWLEDGE, seen=seen)
    assert len(office.rows("escalations")) == 1
    office.casework.hurry(ticket, KARTIKA, "mendesak", kind=Kind.ACKNOWLEDGE, seen=(1, 1))
    assert [row["level"] for row in office.rows("escalations")] == [1, 2]


def test_acknowledged_report_is_not_sent_up(office: Office) -> None:
    ticket = office.receive("Q-1")
    office.casework.acknowledge(ticket, ANI)
    with pytest.raises(NothingToHurry):
        office.casework.hurry(ticket, KARTIKA, "mendesak", kind=Kind.ACKNOWLEDGE)
    with pytest.raises(NothingOwed):
        office.casework.hurry(ticket, KARTIKA, "mendesak", kind=Kind.DECISION)
    assert office.rows("escalations") == []
