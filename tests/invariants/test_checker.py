"""The judge itself: an undisturbed run breaks nothing, and every check notices a fault put into the rows."""

import copy
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from bridge.reports.moves import Details
from bridge.reports.states import Move, Outcome
from bridge.storage import escalations
from tests.invariants import checker
from tests.invariants.checker import ALWAYS, ON_CHANGE, Facts, violations
from tests.invariants.clock import DatabaseClock
from tests.invariants.town import Post, facts_of, policies, use, wait
from tests.storage.conftest import SqliteFiles
from tests.storage.office import ANI, Office, by_mail, id_of

Rows = dict[str, list[dict[str, Any]]]
ASKED = Details(outcome=Outcome.REFERRED, missing=("KTP",), reason="uji", case_number="17/BPSK")
SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def whole_run(sqlite_files: SqliteFiles) -> Iterator[Facts]:
    """Reports in every state, with warnings, rungs that found nobody, pauses, a second cycle and a second request."""
    database = sqlite_files.give(0)
    clock, office = DatabaseClock(database), Office(database)
    calendar = office.rules.book.calendar_for("bpsk-dki")
    use(office, policies(0), calendar)
    tickets = [office.receive(f"Q-{number}") for number in range(5)]
    for ticket in tickets[1:]:
        office.casework.acknowledge(ticket, ANI)
    office.set("people", {"active": 0}, person_id="kartika")
    withdrawn = office.receive("Q-6")
    office.casework.move(Move.WITHDRAW, withdrawn, ANI)
    for wait_s in (1800, 1800):
        office.casework.move(Move.ASK_COMPLETION, tickets[1], ANI, ASKED)
        wait(office, clock, 3600 + wait_s)
        office.tick_all()
        office.casework.move(Move.RESUME, tickets[1], ANI)
    office.casework.move(Move.REGISTER, tickets[3], ANI, ASKED)
    office.casework.move(Move.CLOSE, tickets[2], ANI, ASKED)
    office.casework.move(Move.REOPEN, tickets[2], ANI, ASKED)
    wait(office, clock, 3600)
    office.tick_all()
    office.casework.acknowledge(tickets[2], ANI)
    notify = by_mail(office, Post())
    notify.handle([{"data": row["data"]} for row in office.rows("outbox", type="notice.due")])
    wait(office, clock, 100_000)
    office.tick_all()
    with database.write() as connection:
        escalations.seal(database, connection)
    use(office, policies(1), calendar)
    office.receive("Q-5")
    wait(office, clock, 30 * 86_400)
    office.tick_all()
    yield facts_of(database)
    clock.close()


def test_undisturbed_run_breaks_no_invariant(whole_run: Facts) -> None:
    assert violations(whole_run, whole_run) == []


def test_that_run_has_something_for_every_check(whole_run: Facts) -> None:
    did = {row["did"] for row in whole_run.log}
    assert did >= {"warn", "notify", "both", "reassign", "no_target"}
    assert {row["state"] for row in whole_run.rows["obligations"]} == {"running", "met", "cancelled"}
    assert {row["cycle"] for row in whole_run.log} == {1, 2}
    assert any(clock["earlier_steps"] for clock in whole_run.rows["obligations"])
    assert any(clock["pauses"] for clock in whole_run.rows["obligations"])
    assert {d["state"] for d in whole_run.rows["deliveries"]} >= {"delivered", "suppressed", "pending"}
    assert 0 < len(whole_run.rows["escalation_seals"]) < len(whole_run.log)


def _log(rows: Rows, kind: str = "acknowledge", external_id: str = "Q-0") -> list[dict[str, Any]]:
    return [row for row in rows["escalations"] if row["kind"] == kind and row["report_id"] == id_of(external_id)]


def _clock(rows: Rows, kind: str = "acknowledge", external_id: str = "Q-0") -> dict[str, Any]:
    return next(c for c in rows["obligations"] if c["kind"] == kind and c["report_id"] == id_of(external_id))


def _report(rows: Rows, external_id: str = "Q-0") -> dict[str, Any]:
    return next(row for row in rows["reports"] if row["report_id"] == id_of(external_id))


def _notice(rows: Rows, step: int = 2, external_id: str = "Q-0") -> dict[str, Any]:
    wanted = (id_of(external_id), "acknowledge", step)
    return next(d for d in rows["deliveries"] if (d["report_id"], d["kind"], d["step"]) == wanted)


def _fired_after_the_end(rows: Rows) -> None:
    _clock(rows, "acknowledge", "Q-2")["ended_at"] = _log(rows, "acknowledge", "Q-2")[-1]["fired_at"] - SECOND


def _told_after_the_end(rows: Rows) -> None:
    told = next(
        d for d in rows["deliveries"] if d["state"] == "delivered" and d["step"] and d["report_id"] == id_of("Q-0")
    )
    attempt = next(a for a in rows["delivery_attempts"] if a["delivery_id"] == told["delivery_id"])
    last = max(row["fired_at"] for row in _log(rows))
    _clock(rows).update(state="met", ended_at=last + SECOND)
    attempt["at"] = last + 2 * SECOND


def _fired_again(rows: Rows) -> None:
    rows["escalations"].append({**_log(rows)[0], "id": 10_000})


def _out_of_order(rows: Rows) -> None:
    first, second = _log(rows)[:2]
    first["id"], second["id"] = second["id"], first["id"]


def _step_left_out(rows: Rows) -> None:
    rows["escalations"].remove(_log(rows)[1])


def _fired_early(rows: Rows) -> None:
    _log(rows)[0]["fired_at"] -= timedelta(hours=2)


def _lateness_wrong(rows: Rows) -> None:
    _log(rows)[0]["lateness_s"] += 60


def _due_not_as_planned(rows: Rows) -> None:
    row = _log(rows)[0]
    row.update(due_at=row["due_at"] - SECOND, lateness_s=row["lateness_s"] + 1)


def _state_without_log(rows: Rows) -> None:
    _clock(rows)["step"] += 1


def _log_without_notice(rows: Rows) -> None:
    rows["deliveries"].remove(_notice(rows))


def _notice_without_log(rows: Rows) -> None:
    rows["deliveries"].append({**_notice(rows), "recipient": "citra"})


def _due_after_the_chain(rows: Rows) -> None:
    _clock(rows)["next_due"] = _log(rows)[0]["fired_at"]


def _running_and_never_due(rows: Rows) -> None:
    _clock(rows, "decision", "Q-3").update(step=0, next_due=None)


def _fired_while_paused(rows: Rows) -> None:
    at = _log(rows)[0]["fired_at"]
    since, until = (at - SECOND).isoformat(), (at + SECOND).isoformat()
    _clock(rows)["pauses"] = [{"since": since, "until": until, "by": "x", "reason": "x"}]


def _more_than_the_chain(rows: Rows) -> None:
    rows["escalations"] += [{**_log(rows)[-1], "id": 10_000 + n, "step": 5 + n} for n in (1, 2)]


def _told_twice(rows: Rows) -> None:
    rows["deliveries"].append({**_notice(rows), "dedupe_key": "another day"})


def _clock_nobody_hears_of(rows: Rows) -> None:
    rows["deliveries"] = [d for d in rows["deliveries"] if d["kind"] != "acknowledge"]


def _waited_for_nobody(rows: Rows) -> None:
    empty = next(row for row in _log(rows) if row["did"] == "no_target")
    following = next(row for row in _log(rows) if row["step"] == empty["step"] + 1)
    empty["fired_at"] = following["due_at"] - SECOND


def _next_waits_for_nobody(rows: Rows) -> None:
    fired = _log(rows, "acknowledge", "Q-5")
    empty = next(row for row in fired if row["did"] == "no_target" and row["level"])
    for later in fired[empty["step"] :]:
        rows["escalations"].remove(later)
    _clock(rows, "acknowledge", "Q-5")["next_due"] = empty["fired_at"] + SECOND


def _ended_by_nobody(rows: Rows) -> None:
    _clock(rows, "acknowledge", "Q-1")["ended_by"] = "somebody"


def _next_clock_stopped_too(rows: Rows) -> None:
    _clock(rows, "triage", "Q-4").update(
        state="met", ended_at=_report(rows, "Q-4")["received_at"], ended_by="person:ani"
    )


def _version_thrown_away(rows: Rows) -> None:
    gone = _clock(rows, "decision", "Q-3")["calendar_version"]
    rows["versions"] = [row for row in rows["versions"] if row["version"] != gone or row["what"] == "policy"]


def _stuck(rows: Rows) -> None:
    rows["history"].append({**rows["history"][-1], "id": 10_000, "event": "clock_stuck", "actor": "clock:decision"})


def _cycle_not_counted(rows: Rows) -> None:
    _report(rows, "Q-2")["cycle"] = 1


def _clock_of_the_old_cycle(rows: Rows) -> None:
    _clock(rows, "triage", "Q-2")["cycle"] = 1


def _old_cycle_after_the_new(rows: Rows) -> None:
    rows["escalations"].append({**_log(rows, "acknowledge", "Q-2")[-1], "id": 10_000, "cycle": 1})


def _fired_before_the_cycle_began(rows: Rows) -> None:
    for line in rows["history"]:
        if line["event"] == "reopen":
            line["at"] = _log(rows, "acknowledge", "Q-2")[-1]["fired_at"] + SECOND


def _sealed_by_the_clock(rows: Rows) -> None:
    of_this = [row["id"] for row in _log(rows)]
    first, second = [seal for seal in rows["escalation_seals"] if seal["escalation_id"] in of_this][:2]
    first["seq"], second["seq"] = second["seq"], first["seq"]


def _acknowledged_twice(rows: Rows) -> None:
    line = next(line for line in rows["history"] if line["event"] == "acknowledge")
    rows["history"].append({**line, "id": 10_000})


def _gap_in_the_seals(rows: Rows) -> None:
    rows["escalation_seals"][0]["seq"] = 9999


def _state_the_log_does_not_know(rows: Rows) -> None:
    _report(rows, "Q-0")["assignee"] = "nobody"


def _level_the_log_does_not_know(rows: Rows) -> None:
    _clock(rows)["level"] -= 1


def _rules_the_log_does_not_know(rows: Rows) -> None:
    _clock(rows)["policy_version"] = _clock(rows, "acknowledge", "Q-5")["policy_version"]


def _time_its_rules_do_not_give(rows: Rows) -> None:
    _clock(rows, "triage", "Q-4")["deadline_at"] += SECOND


#: Faults by the check that must notice them.
FAULTS: dict[Callable[..., Any], tuple[Callable[[Rows], None], ...]] = {
    checker.i1_nothing_fires_after_the_end: (_fired_after_the_end, _told_after_the_end),
    checker.i2_fires_at_most_once: (_fired_again,),
    checker.i3_steps_rise_by_one: (_out_of_order, _step_left_out, _fired_again),
    checker.i4_nothing_fires_early: (_fired_early, _lateness_wrong, _due_not_as_planned),
    checker.i5_log_state_and_outbox_agree: (
        _state_without_log,
        _log_without_notice,
        _notice_without_log,
        _step_left_out,
    ),
    checker.i6_one_due_time_or_none: (_due_after_the_chain, _running_and_never_due),
    checker.i7_nothing_fires_while_paused: (_fired_while_paused,),
    checker.i9_no_more_than_the_chain_has: (_more_than_the_chain,),
    checker.i10_each_deadline_notifies_once: (_told_twice, _clock_nobody_hears_of),
    checker.i14_nobody_at_a_level_goes_on_at_once: (
        _waited_for_nobody,
        _next_waits_for_nobody,
    ),
    checker.i15_nothing_leaves_silently: (_ended_by_nobody,),
    checker.i16_acknowledging_stops_one_clock_only: (_next_clock_stopped_too,),
    checker.i29_chain_never_stalls: (_version_thrown_away, _stuck),
    checker.i30_reopening_is_a_new_cycle: (
        _cycle_not_counted,
        _clock_of_the_old_cycle,
        _old_cycle_after_the_new,
        _fired_before_the_cycle_began,
    ),
    checker.i34_order_comes_from_a_sequence: (_sealed_by_the_clock,),
    checker.i38_acknowledged_once_a_cycle: (_acknowledged_twice,),
    checker.i40_state_follows_from_the_log: (
        _gap_in_the_seals,
        _state_the_log_does_not_know,
        _level_the_log_does_not_know,
        _rules_the_log_does_not_know,
        _time_its_rules_do_not_give,
        _cycle_not_counted,
        _step_left_out,
    ),
}


def test_every_check_has_a_fault_to_notice() -> None:
    assert set(FAULTS) == set(ALWAYS)
    assert set(FAULTS_OF_CHANGE) == set(ON_CHANGE)


@pytest.mark.parametrize(
    ("check", "fault"),
    [(check, fault) for check, faults in FAULTS.items() for fault in faults],
    ids=lambda function: function.__name__.strip("_"),
)
def test_check_notices_the_fault(
    whole_run: Facts, check: Callable[[Facts], Iterator[str]], fault: Callable[[Rows], None]
) -> None:
    rows = _copied(whole_run)
    fault(rows)
    assert list(check(Facts(rows))) != []


def _before(rows: Rows, *external_ids: str) -> None:
    """Take the last firings of some ladders out of the log, as if they were still to come."""
    for external_id in external_ids:
        rows["escalations"].remove(_log(rows, "acknowledge", external_id)[-1])


def _ended_before(before: Rows, _: Rows) -> None:
    _before(before, "Q-0")
    _clock(before)["state"] = "met"


def _paused_before(before: Rows, _: Rows) -> None:
    _before(before, "Q-0")
    _clock(before)["state"] = "paused"


def _last_rung_without_alarm(before: Rows, after: Rows) -> None:
    last = _log(before, "triage", "Q-5")[-1]
    assert last["did"] == "no_target"
    before["escalations"].remove(last)
    after["deliveries"] = [d for d in after["deliveries"] if (d["report_id"], d["kind"]) != (id_of("Q-5"), "triage")]


def _in_the_next_cycle_before(before: Rows, _: Rows) -> None:
    _before(before, "Q-0")
    _report(before)["cycle"] = 2


def _started_earlier_before(before: Rows, _: Rows) -> None:
    _clock(before, "decision", "Q-3")["started_at"] -= SECOND


def _moved_without_a_line(before: Rows, _: Rows) -> None:
    _clock(before, "triage", "Q-4")["deadline_at"] -= SECOND


def _computed_otherwise_without_a_line(before: Rows, _: Rows) -> None:
    _clock(before, "triage", "Q-4")["calendar_version"] = "jakarta@before"


def _line_that_says_another_time(before: Rows, after: Rows) -> None:
    _moved_without_a_line(before, after)
    clock = _clock(after, "triage", "Q-4")
    later = (clock["deadline_at"] + SECOND).isoformat()
    line = {"report_id": clock["report_id"], "event": "due_moved", "data": {"kind": "triage", "deadline_now": later}}
    after["history"].append({**after["history"][-1], **line, "id": 10_000, "actor": "cli:root"})


def _merge(before: Rows, after: Rows) -> dict[str, Any]:
    """Let Q-4 have been merged into Q-0, with a clock of triage that runs in both and was due a second sooner in Q-4."""
    for rows in (before, after):
        given_up, kept = _clock(rows, "triage", "Q-4"), _clock(rows, "triage", "Q-0")
        kept.update({**given_up, "report_id": kept["report_id"], "state": "running"})
        given_up.update(state="running", started_at=given_up["started_at"] - timedelta(minutes=5))
        given_up["deadline_at"] -= timedelta(minutes=5)
    data = {"of": "", "report_id": id_of("Q-4"), "deadlines": []}
    line = {"report_id": id_of("Q-0"), "event": "took_over", "data": data, "id": 10_000}
    after["history"].append({**after["history"][-1], **line})
    return given_up


def _merged_without_a_link(before: Rows, after: Rows) -> None:
    _merge(before, after).update(state="cancelled", ended_by="merged:somewhere")
    _clock(after, "triage", "Q-0").update(_clock(before, "triage", "Q-4"), report_id=id_of("Q-0"))


def _later_clock_survived(before: Rows, after: Rows) -> None:
    _merge(before, after).update(state="cancelled", ended_by=f"merged:{_report(after)['ticket']}")


def _line_that_is_gone(_: Rows, after: Rows) -> None:
    after["history"].pop(0)


def _acknowledgement_taken_back(_: Rows, after: Rows) -> None:
    _clock(after, "acknowledge", "Q-4").update(state="running", ended_at=None, ended_by=None)
    _report(after, "Q-4")["status"] = "received"


def _acknowledged_by_somebody_else_later(_: Rows, after: Rows) -> None:
    _clock(after, "acknowledge", "Q-4")["ended_by"] = "person:budi"


FAULTS_OF_CHANGE: dict[Callable[..., Any], tuple[Callable[[Rows, Rows], None], ...]] = {
    checker.i1_ended_clocks_fire_nothing_more: (_ended_before,),
    checker.i7_paused_clocks_fire_nothing: (_paused_before,),
    checker.i14_empty_last_level_alarms: (_last_rung_without_alarm,),
    checker.i16_acknowledged_stays_so_in_its_cycle: (
        _acknowledgement_taken_back,
        _acknowledged_by_somebody_else_later,
    ),
    checker.i27_every_move_is_written_down: (
        _moved_without_a_line,
        _computed_otherwise_without_a_line,
        _line_that_says_another_time,
    ),
    checker.i31_earlier_clock_survives: (_merged_without_a_link, _later_clock_survived),
    checker.i30_old_cycles_are_left_alone: (_in_the_next_cycle_before,),
    checker.i32_running_clocks_keep_their_start: (_started_earlier_before,),
    checker.i40_log_only_grows: (_line_that_is_gone,),
}


@pytest.mark.parametrize(
    ("check", "fault"),
    [(check, fault) for check, faults in FAULTS_OF_CHANGE.items() for fault in faults],
    ids=lambda function: function.__name__.strip("_"),
)
def test_check_notices_the_change_that_must_not_be(
    whole_run: Facts, check: Callable[[Facts, Facts], Iterator[str]], fault: Callable[[Rows, Rows], None]
) -> None:
    before, after = _copied(whole_run), _copied(whole_run)
    fault(before, after)
    assert list(check(Facts(before), Facts(after))) != []


def _copied(facts: Facts) -> Rows:
    return copy.deepcopy({name: [dict(row) for row in table] for name, table in facts.rows.items()})


def test_what_is_due_and_did_not_fire_is_noticed(whole_run: Facts) -> None:
    rows = _copied(whole_run)
    now = max(row["fired_at"] for row in whole_run.log)
    assert checker.i11_overdue(whole_run, now) == []
    _clock(rows, "decision", "Q-3")["next_due"] = now
    assert len(checker.i11_overdue(Facts(rows), now)) == 1
