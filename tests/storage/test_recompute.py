"""Today's calendars and policies applied to running clocks: killed anywhere, twice at once, while people acknowledge."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from typing import Any

import pytest

from bridge.casework import Casework
from bridge.desk.shown import countdown
from bridge.recomputing import Recomputing, StillHeld, Superseded
from bridge.reports.clocks import Deed, Kind, Policy, Step, parse_span, timed
from bridge.reports.moves import Actor, Details
from bridge.reports.recompute import CalendarChange, Change, Counts, PolicyChange
from bridge.reports.rulebook import Rulebook
from bridge.reports.states import Move
from bridge.rules import Rules
from bridge.storage import reports as stored
from config.calendars import calendar_from, definition_of, version_of
from consumers.take_in import TakeIn
from consumers.watch_clocks import WatchClocks
from tests.servers import eventually
from tests.storage.crashes import LIMIT_S, Standstill, Working, survives_every_crash, together
from tests.storage.office import ANI, ARRIVALS, Office, shape

OPERATOR = Actor("cli:wati")
REASON = "SKB 3 Menteri: cuti bersama"
REPORTS = 25
#: SQLite has one writer: there it is everything or nothing.
ONE_REPORT_CAN_BE_HELD = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)


def of_work(kind: Kind, *rungs: tuple[str, str]) -> Policy:
    """A policy of working time with a rung at each (when, to whom)."""
    steps = tuple(Step(parse_span(at), level, to, Deed.NOTIFY) for level, (at, to) in enumerate(rungs, start=1))
    unnamed = Policy(kind, "", steps[0].at, steps)
    return replace(unnamed, version=version_of(kind, unnamed.definition()))


#: Whenever the test runs, days off from tomorrow on are in the way of these.
POLICIES = {
    Kind.ACKNOWLEDGE: of_work(
        Kind.ACKNOWLEDGE, ("12 working hours", "next_member"), ("16 working hours", "role:chair")
    ),
    Kind.TRIAGE: of_work(Kind.TRIAGE, ("5 working days", "role:secretariat")),
}


def work_by(office: Office, book: Rulebook) -> Recomputing:
    """Let the office and its operator go on with a rulebook, as processes with new files would."""
    office.rules = Rules(office.database, book)
    office.rules.prepare()
    office.casework = Casework(office.database, office.rules)
    office.take_in = TakeIn(office.database, office.rules, ARRIVALS)
    office.watcher = WatchClocks(office.database, office.rules)
    return Recomputing(office.database, office.rules)


def the_book(
    office: Office, *, days_off: int = 0, first: int = 1, policies: dict[Kind, Policy] | None = None
) -> Rulebook:
    """The office's rulebook with working-time policies, and so many days off from the `first` after today on."""
    book = office.rules.book
    calendar = book.calendars["jakarta"]
    today = calendar.local(office.now()).date()
    plain = {day: why for day, why in calendar.days_off.items() if why != REASON}
    extra: dict[date, str] = {today + timedelta(days=n): REASON for n in range(first, first + days_off)}
    changed = calendar_from("jakarta", definition_of(replace(calendar, days_off={**plain, **extra})))
    sets = {"default": {**book.policies["default"], **POLICIES, **(policies or {})}}
    return replace(book, calendars={"jakarta": changed}, policies=sets, policy_versions={}, calendar_versions={})


def opened(office: Office, count: int = REPORTS) -> list[str]:
    """Take in reports under the plain calendar; returns their tickets."""
    work_by(office, the_book(office))
    return office.receive_many(count)


def decree(office: Office, days: int = 5) -> tuple[Recomputing, CalendarChange]:
    """Put a decree into the files: days off from tomorrow on."""
    work = work_by(office, the_book(office, days_off=days))
    return work, CalendarChange(office.rules.book)


def applied(work: Recomputing, change: Change, reason: str = REASON) -> Counts:
    """Apply it as the operator does."""
    return work.apply(change, reason=reason, actor=OPERATOR)


def moves(office: Office) -> list[dict[str, Any]]:
    """The lines of history that say a deadline moved."""
    return office.rows("history", event="due_moved")


def assert_computed_afresh(office: Office) -> None:
    """Check that every open clock has today's calendar and the times a fresh computation gives (I25)."""
    today = office.rules.book.calendars["jakarta"]
    ids = [row["report_id"] for row in office.rows("reports")]
    with office.database.read() as connection:
        owed = stored.obligations_of(connection, ids)
    for clock in (clock for clocks in owed.values() for clock in clocks if not clock.ended_at):
        policy, calendar = office.rules.deciding(partial(office.rules.book.frozen, clock))
        assert calendar == today
        assert timed(clock, policy, calendar) == clock


# --- calendars --------------------------------------------------------------------------------------------------------


def test_preview_counts_and_changes_nothing(office: Office) -> None:
    tickets = opened(office)
    work, change = decree(office)
    before = office.snapshot()
    shown = work.preview(change)
    assert office.snapshot() == before
    assert shown.counts == Counts(reports=REPORTS, clocks=2 * REPORTS, later=2 * REPORTS)
    assert shown.targets == {"jakarta": office.rules.book.calendars["jakarta"].version}
    assert Counter(ticket for ticket, _ in shown.moves) == dict.fromkeys(tickets, 2)


def test_running_clock_keeps_its_calendar_until_an_operator_applies_the_new_one(office: Office) -> None:
    (ticket,) = opened(office, 1)
    decree(office)
    before = office.rows("obligations")
    office.tick_all()
    assert office.rows("obligations") == before
    office.casework.assign(ticket, ANI.person, ANI, "cuti")  # type: ignore[arg-type]
    assert office.rows("obligations") == before


def test_apply_does_what_the_preview_said_and_writes_every_move_down(office: Office) -> None:
    opened(office)
    work, change = decree(office)
    shown = work.preview(change)
    before = {(row["report_id"], row["kind"]): row for row in office.rows("obligations")}

    assert applied(work, change) == shown.counts

    assert_computed_afresh(office)
    after = {(row["report_id"], row["kind"]): row for row in office.rows("obligations")}
    lines = {(line["report_id"], line["data"]["kind"]): line for line in moves(office)}
    assert lines.keys() == after.keys()
    for key, line in lines.items():
        assert (line["actor"], line["data"]["reason"]) == ("cli:wati", REASON)
        assert line["data"]["calendar"] == after[key]["calendar_version"]
        assert line["data"]["deadline_was"] == before[key]["deadline_at"].isoformat()
        assert line["data"]["deadline_now"] == after[key]["deadline_at"].isoformat()
        assert after[key]["moved_at"] == line["at"]
    (revision,) = office.rows("revisions")
    assert (revision["what"], revision["versions"], revision["actor"]) == ("calendar", shown.targets, "cli:wati")


def test_progress_rises_to_all_reports_there_are(office: Office) -> None:
    opened(office)
    work, change = decree(office)
    shown: list[tuple[int, int]] = []
    work.apply(change, reason=REASON, actor=OPERATOR, progress=lambda done, total: shown.append((done, total)))
    assert shown == sorted(shown)
    assert shown[-1] == (REPORTS, REPORTS)


def test_applying_again_changes_nothing(office: Office) -> None:
    opened(office)
    work, change = decree(office)
    applied(work, change)
    before = office.snapshot()
    assert applied(work, change) == Counts()
    assert work.preview(change).counts == Counts()
    assert office.snapshot() == before


def test_ended_clocks_stay_as_they_are_and_paused_ones_move(office: Office) -> None:
    asked, closed, *_ = opened(office, 3)
    office.casework.acknowledge(asked, ANI)
    office.casework.acknowledge(closed, ANI)
    met = office.rows("obligations", state="met")
    office.set(
        "obligations", {"state": "paused", "next_due": None}, report_id=office.report(asked).report_id, kind="triage"
    )
    work, change = decree(office)
    applied(work, change)
    assert office.rows("obligations", state="met") == met
    (paused,) = office.rows("obligations", state="paused")
    assert (paused["next_due"], paused["moved_at"]) == (None, None)
    assert paused["calendar_version"] == office.rules.book.calendars["jakarta"].version
    assert Counter(line["data"]["kind"] for line in moves(office)) == {"triage": 3, "acknowledge": 1}


def test_apply_killed_before_any_statement_is_finished_by_the_next_one(office: Office, twin: Office) -> None:
    for one in (office, twin):
        opened(one, 3)
    work, change = decree(twin)
    applied(work, change)

    work, change = decree(office)
    deaths = survives_every_crash(office.database, lambda: applied(work, change), lambda: None)

    assert deaths > 8
    assert_computed_afresh(office)
    ours, theirs = shape(office.snapshot()), shape(twin.snapshot())
    ours.pop("revisions")  # how often it was begun
    theirs.pop("revisions")
    assert ours == theirs


def test_two_who_apply_the_same_at_once_move_every_clock_once(office: Office) -> None:
    opened(office, 120)
    work, change = decree(office)
    counts = together(*[lambda: applied(work, change)] * 3)
    assert sum(count.clocks for count in counts) == 240
    assert len(moves(office)) == 240
    assert_computed_afresh(office)


@pytest.mark.parametrize("text", ["INTO revisions", "FROM reports", "INTO history", "COMMIT"])
def test_of_two_who_apply_different_calendars_the_later_one_stands(office: Office, text: str) -> None:
    opened(office, 60)
    first, change = decree(office, 5)
    second, later = decree(office, 8)
    errors = []

    def superseded_or_done(work: Recomputing, change: Change) -> None:
        try:
            applied(work, change)
        except Superseded as error:
            errors.append(str(error))

    with Standstill(office.database, text, lambda: superseded_or_done(first, change)) as standing:
        if office.database.is_sqlite:
            other = standing.meanwhile(lambda: superseded_or_done(second, later))
        else:
            other = Working(lambda: superseded_or_done(second, later))
            other.start()
            begun = 1 if text in ("INTO revisions", "COMMIT") else 2  # the first one's own is not there yet
            eventually(lambda: len(office.rows("revisions")) == begun, LIMIT_S, "the second has begun")
        standing.go_on()
        other.result()

    last = office.rows("revisions")[-1]  # the one that wrote itself down later
    assert {row["calendar_version"] for row in office.rows("obligations")} == {last["versions"]["jakarta"]}
    assert all("cli:wati applies another version since" in error for error in errors)


def test_older_apply_stops_when_a_later_one_began(office: Office) -> None:
    opened(office, 120)
    first, change = decree(office, 5)
    second, later = decree(office, 8)
    pending = [lambda: applied(second, later)]

    def progress(done: int, total: int) -> None:
        if pending:
            pending.pop()()

    with pytest.raises(Superseded):
        first.apply(change, reason=REASON, actor=OPERATOR, progress=progress)
    assert_computed_afresh(office)


@ONE_REPORT_CAN_BE_HELD
def test_report_somebody_holds_is_moved_when_it_is_free_and_nobody_waits_meanwhile(office: Office) -> None:
    held, other, *_ = opened(office, 4)
    work, change = decree(office)
    with Standstill(office.database, "UPDATE obligations", lambda: office.casework.acknowledge(held, ANI)) as standing:
        applying = standing.meanwhile(lambda: office.casework.acknowledge(other, ANI))
        applying.result()
        seen = threading.Event()
        rest = threading.Thread(target=lambda: (applied(work, change, "x"), seen.set()))
        rest.start()
        standing.go_on()
        rest.join(60)
        assert seen.is_set()
    assert_computed_afresh(office)
    assert office.clocks(held)["acknowledge"] == office.clocks(other)["acknowledge"] == "met"
    assert Counter(line["data"]["kind"] for line in moves(office)) == {"triage": 4, "acknowledge": 2}


@ONE_REPORT_CAN_BE_HELD
def test_report_that_is_held_all_the_time_is_named_and_the_others_are_done(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.recomputing.GIVE_UP_S", 0.3)
    held, *_ = opened(office, 4)
    work, change = decree(office)
    with Standstill(office.database, "UPDATE obligations", lambda: office.casework.acknowledge(held, ANI)) as standing:
        with pytest.raises(StillHeld, match="1 reports were held"):
            applied(work, change)
        standing.go_on()
    assert applied(work, change).reports == 1
    assert_computed_afresh(office)


def test_acknowledging_while_clocks_move_loses_nothing(office: Office) -> None:
    tickets = opened(office, 150)
    work, change = decree(office)

    def acknowledge() -> None:
        for ticket in tickets[::3]:
            office.casework.acknowledge(ticket, ANI)

    together(lambda: applied(work, change), acknowledge)

    assert_computed_afresh(office)
    met = {row["report_id"] for row in office.rows("obligations", kind="acknowledge", state="met")}
    assert met == {office.report(ticket).report_id for ticket in tickets[::3]}
    running = [row for row in office.rows("obligations") if row["state"] == "running"]
    assert len(running) == 150 + 100
    assert {(line["report_id"], line["data"]["kind"]) for line in moves(office)} >= {
        (row["report_id"], row["kind"]) for row in running
    }


def test_deadline_moved_into_the_past_fires_once_and_is_marked(office: Office) -> None:
    opened(office, 2)
    work, change = decree(office)
    applied(work, change)
    office.set("obligations", {"started_at": office.now() - timedelta(days=21)})
    back = work_by(office, the_book(office))
    counts = applied(back, CalendarChange(office.rules.book), "decree withdrawn")
    assert (counts.overdue, counts.at_once) == (4, 4)
    assert office.tick_all() == 6
    first = [row for row in office.rows("escalations") if row["step"] == 1]
    assert {row["remark"] for row in first} == {"due_moved"}
    assert applied(back, CalendarChange(office.rules.book)) == Counts()
    assert office.tick_all() == 0


def test_report_that_was_late_is_late_no_more_when_its_deadline_has_moved(office: Office) -> None:
    """osTicket 5160: still called overdue after the change."""
    opened(office, 1)
    office.set("obligations", {"started_at": office.now() - timedelta(days=10)})
    behind = {"deadline_at": office.now() - timedelta(hours=1), "next_due": office.now() - timedelta(seconds=1)}
    office.set("obligations", behind)
    assert _is_late(office)
    applied(work_by(office, the_book(office, days_off=16, first=-10)), CalendarChange(office.rules.book))
    assert not _is_late(office)
    assert office.tick_all() == 0


def _is_late(office: Office) -> bool:
    with office.database.read() as connection:
        (row,) = stored.listed(connection, stored.Wanted())
    found = countdown(row["obligations"], office.rules.book, office.now())
    assert found is not None
    return found.late


@pytest.mark.parametrize("what", [CalendarChange, PolicyChange])
def test_clock_that_stands_still_keeps_its_pause_when_its_rules_change(
    office: Office, what: type[CalendarChange | PolicyChange]
) -> None:
    """GLPI 6902, 14148: the pause was lost when the SLA changed."""
    (ticket,) = opened(office, 1)
    office.casework.acknowledge(ticket, ANI)
    office.casework.move(Move.ASK_COMPLETION, ticket, ANI, Details(missing=("KTP",)))
    before = office.rows("obligations", kind="triage")[0]
    work = work_by(office, the_book(office, days_off=3, policies={Kind.TRIAGE: SHORTER}))
    applied(work, what(office.rules.book))
    after = office.rows("obligations", kind="triage")[0]
    assert (after["state"], after["next_due"], after["pauses"]) == ("paused", None, before["pauses"])
    assert after["deadline_at"] != before["deadline_at"]
    office.pass_time(40 * 86_400)
    assert [row["kind"] for row in office.rows("escalations")] == []
    office.casework.move(Move.RESUME, ticket, ANI)
    assert office.rows("obligations", kind="triage")[0]["next_due"] > office.now()


def test_step_that_has_fired_is_never_fired_again_by_a_later_due_time(office: Office) -> None:
    opened(office, 1)
    office.set("obligations", {"started_at": office.now() - timedelta(days=10)})
    office.set("obligations", {"next_due": office.now() - timedelta(hours=1)}, kind="triage")
    assert office.tick_all() == 1
    work = work_by(office, the_book(office, days_off=16, first=-10))
    counts = applied(work, CalendarChange(office.rules.book))
    assert counts.premature == 1
    assert office.tick_all() == 0
    (line,) = [line for line in moves(office) if line["data"]["kind"] == "triage"]
    assert line["data"]["premature_by_s"] > 0
    (clock,) = office.rows("obligations", kind="triage")
    assert (clock["step"], clock["level"], clock["next_due"]) == (1, 1, None)


# --- policies ---------------------------------------------------------------------------------------------------------

SHORTER = of_work(Kind.TRIAGE, ("2 working days", "role:secretariat"), ("3 working days", "role:chair"))


def new_policy(office: Office, *policies: Policy) -> tuple[Recomputing, PolicyChange]:
    """Put other policies into the files."""
    work = work_by(office, the_book(office, policies={policy.kind: policy for policy in policies}))
    return work, PolicyChange(office.rules.book)


def test_policy_is_applied_with_counts_and_history_and_only_once(office: Office) -> None:
    opened(office)
    work, change = new_policy(office, SHORTER)
    shown = work.preview(change)
    assert shown.targets == {"default/triage": SHORTER.version}
    assert shown.counts == Counts(reports=REPORTS, clocks=REPORTS, earlier=REPORTS)
    assert applied(work, change) == shown.counts
    assert_computed_afresh(office)
    assert {row["policy_version"] for row in office.rows("obligations", kind="triage")} == {SHORTER.version}
    assert {line["data"]["policy"] for line in moves(office)} == {SHORTER.version}
    assert applied(work, change) == Counts()


def test_clock_with_fired_steps_goes_on_above_them_in_any_process(office: Office) -> None:
    opened(office, 1)
    office.set("obligations", {"next_due": office.now() - timedelta(hours=1)}, kind="triage")
    assert office.tick_all() == 1
    work, change = new_policy(office, of_work(Kind.TRIAGE, ("2 hours", "role:secretariat"), ("3 hours", "role:chair")))
    applied(work, change)
    (clock,) = office.rows("obligations", kind="triage")
    assert clock["policy_version"].partition("+")[0] == office.rules.book.policies["default"][Kind.TRIAGE].version
    assert (clock["step"], clock["level"]) == (1, 1)

    work_by(office, the_book(office))  # a process that has never heard of it
    office.pass_time(3 * 3600)
    assert office.tick_all() == 1
    assert [(row["step"], row["level"], row["target"]) for row in office.rows("escalations")] == [
        (1, 1, "role:secretariat"),
        (2, 2, "role:chair"),
    ]


def test_policies_killed_before_any_statement_are_finished_by_the_next_one(office: Office, twin: Office) -> None:
    def begun(one: Office) -> Callable[[], Counts]:
        opened(one, 2)
        one.set("obligations", {"next_due": one.now() - timedelta(hours=1)}, kind="triage")
        one.tick_all()
        work, change = new_policy(one, SHORTER)
        return lambda: applied(work, change)

    begun(twin)()
    survives_every_crash(office.database, begun(office), lambda: None)
    ours, theirs = shape(office.snapshot()), shape(twin.snapshot())
    for one in (ours, theirs):
        one.pop("revisions")  # how often it was begun
        one.pop("workers")
    assert ours == theirs
