"""Step 4: what is due fires once, in order, for the right people; nothing else ever fires."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from bridge.reports.clocks import Kind
from bridge.reports.guard import FIRST_BACK_OFF as POISON_BACK_OFF
from bridge.reports.moves import Details
from bridge.reports.states import Move, Outcome, Status
from bridge.storage import people
from bridge.storage.database import Database
from bridge.storage.tables import obligations
from consumers.watch_clocks import POLL_S, WatchClocks
from tests.invariants.town import policies, use
from tests.storage.crashes import survives_every_crash
from tests.storage.office import ANI, LADDER, Office, id_of, policy, shape

RUNGS = [to for _, to, _ in LADDER]


def test_nothing_fires_before_it_is_due(office: Office) -> None:
    office.receive("Q-1")
    office.pass_time(3590)
    before = office.snapshot()
    assert office.watcher.tick() == 0
    assert office.snapshot() == before


def test_step_that_is_due_fires_once(office: Office) -> None:
    office.receive("Q-1")
    office.pass_time(3600)
    assert [office.watcher.tick(), office.watcher.tick()] == [1, 0]
    (fired,) = office.rows("escalations")
    assert (fired["level"], fired["step"], fired["target"], fired["did"]) == (1, 1, "next_member", "both")


def test_log_says_what_was_due_when_and_how_late_it_fired(office: Office) -> None:
    ticket = office.receive("Q-1")
    office.pass_time(3700)
    (before,) = office.rows("obligations", kind="acknowledge")
    office.tick_all()
    (fired,), (after,) = office.rows("escalations"), office.rows("obligations", kind="acknowledge")
    assert (fired["ticket"], fired["due_at"]) == (ticket, before["next_due"])
    assert fired["lateness_s"] == pytest.approx((fired["fired_at"] - fired["due_at"]).total_seconds())
    assert 100 <= fired["lateness_s"]
    assert (fired["policy_version"], fired["calendar_version"]) == (
        before["policy_version"],
        before["calendar_version"],
    )
    assert after["next_due"] == before["started_at"] + timedelta(seconds=7200), "late firing must not move later steps"


def test_after_an_outage_every_missed_level_fires_once_and_in_order(office: Office) -> None:
    office.receive("Q-1")
    office.pass_time(20_000)
    assert office.tick_all() == len(LADDER)
    fired = office.rows("escalations")
    assert [row["target"] for row in fired] == RUNGS
    assert [(row["step"], row["level"]) for row in fired] == [(n, n) for n in range(1, 6)]
    assert [row["due_at"] for row in fired] == sorted(row["due_at"] for row in fired)


def test_after_an_outage_each_person_is_told_once_and_the_city_what_holds_now(office: Office) -> None:
    """I12: people get one digest for the levels passed while nobody watched; the log keeps every row."""
    office.use({Kind.ACKNOWLEDGE: [(1800, "assignee", "warn"), *LADDER, (19_000, "role:chair", "notify")]})
    ticket = office.receive("Q-1", category="ASURANSI")
    office.pass_time(20_000)
    assert office.tick_all() == len(LADDER) + 2
    log = office.rows("escalations")
    assert [row["remark"] for row in log] == ["overtaken", *(None,) * 6]
    told = Counter(row["recipient"] for row in office.rows("deliveries", event="escalation"))
    assert told == dict.fromkeys(("budi", "sekar", "kartika", "darma", "adi"), 1)
    (chair,) = office.rows("deliveries", event="escalation", recipient="kartika")
    assert (chair["step"], chair["payload"]["steps"]) == (7, [4, 7])
    assert office.report(ticket).sequence == 2
    assert office.rows("deliveries", event="warning") == []


def test_finished_ladder_leaves_the_obligation_open_and_exhausted(office: Office) -> None:
    office.receive("Q-1")
    office.pass_time(20_000)
    office.tick_all()
    (clock,) = office.rows("obligations", kind="acknowledge")
    assert (clock["state"], clock["next_due"], clock["level"], clock["step"]) == ("running", None, 5, 5)
    assert office.watcher.tick() == 0


def test_every_firing_has_its_notice_its_callback_and_their_messages(office: Office) -> None:
    office.receive("Q-1", category="ASURANSI")
    for _ in LADDER:
        office.pass_time(3600)
        assert office.tick_all() == 1
    notices = {(d["step"], d["recipient"]) for d in office.rows("deliveries", event="escalation")}
    assert notices == {(1, "budi"), (2, "sekar"), (3, "kartika"), (4, "darma"), (5, "adi")}
    told = [d["payload"]["escalated_to"] for d in office.rows("deliveries", purpose="callback")]
    assert sorted(filter(None, told)) == sorted(["next_member", "secretariat", "chair", "dinas_head", "admin"])
    messages = {m["data"]["delivery_id"] for m in office.rows("outbox")}
    assert messages == {d["delivery_id"] for d in office.rows("deliveries")}


def test_who_does_not_answer_is_replaced_and_not_asked_again(office: Office) -> None:
    office.use({Kind.ACKNOWLEDGE: [(10 * n, "next_member", "both") for n in range(1, 4)]})
    ticket = office.receive("Q-1", category="ASURANSI")
    office.pass_time(60)
    office.tick_all()
    report = office.report(ticket)
    assert (report.assignee, report.assigned_before) == ("citra", ("ani", "budi"))
    assert [row["did"] for row in office.rows("escalations")] == ["both", "both", "no_target"]


def test_warning_goes_to_the_assignee_and_not_to_the_city(office: Office) -> None:
    office.use({Kind.ACKNOWLEDGE: [(1800, "assignee", "warn"), *LADDER]})
    ticket = office.receive("Q-1", category="ASURANSI")
    office.pass_time(1800)
    office.tick_all()
    (fired,) = office.rows("escalations")
    assert (fired["level"], fired["did"], fired["told"]) == (0, "warn", ["ani"])
    assert [d["recipient"] for d in office.rows("deliveries", event="warning")] == ["ani"]
    assert office.report(ticket).sequence == 1


def test_level_with_nobody_goes_on_to_the_next_at_once(office: Office) -> None:
    for nobody in ("sekar", "kartika"):
        office.set("people", {"active": 0}, person_id=nobody)
    office.receive("Q-1")
    office.pass_time(7200)
    office.tick_all()
    fired = [(row["target"], row["did"]) for row in office.rows("escalations")]
    assert fired == list(zip(RUNGS[:4], ["both", "no_target", "no_target", "notify"], strict=True))


def test_last_level_with_nobody_tells_the_admins(office: Office) -> None:
    office.use({Kind.ACKNOWLEDGE: [(10, "person:gone", "notify")]})
    office.receive("Q-1")
    office.pass_time(10)
    office.tick_all()
    assert [(row["did"], row["told"]) for row in office.rows("escalations")] == [("no_target", [])]
    assert [d["recipient"] for d in office.rows("deliveries", event="escalation")] == ["adi"]


def test_absent_chair_is_passed_by(office: Office) -> None:
    with office.database.write() as connection:
        people.set_absence(connection, "kartika", office.now() - timedelta(hours=1), None)
    office.receive("Q-1")
    office.pass_time(20_000)
    office.tick_all()
    assert [row["did"] for row in office.rows("escalations") if row["target"] == "role:chair"] == ["no_target"]


def test_acknowledged_or_paused_clock_never_fires(office: Office) -> None:
    ticket = office.receive("Q-1")
    office.casework.acknowledge(ticket, ANI)
    office.casework.move(Move.ASK_COMPLETION, ticket, ANI, Details(missing=("bukti",)))
    office.set("obligations", {"next_due": None}, kind="completion")
    office.pass_time(400_000)
    assert office.watcher.tick() == 0


def test_citizen_is_reminded_then_the_report_is_closed_as_incomplete(office: Office) -> None:
    ticket = office.receive("Q-1")
    office.casework.acknowledge(ticket, ANI)
    office.casework.move(Move.ASK_COMPLETION, ticket, ANI, Details(missing=("bukti",)))
    for _ in range(2):
        office.pass_time(7200)
        office.tick_all()
    report = office.report(ticket)
    assert (report.status, report.outcome) == (Status.CLOSED, Outcome.INCOMPLETE)
    assert [(row["target"], row["did"]) for row in office.rows("escalations")] == [
        ("citizen", "notify"),
        ("assignee", "close"),
    ]
    assert office.clocks(ticket) == {"acknowledge": "met", "triage": "met", "completion": "cancelled"}
    statuses = [d["payload"]["status"] for d in office.rows("deliveries", purpose="callback")]
    assert sorted(statuses) == sorted(["received", "acknowledged", "needs_completion", "needs_completion", "closed"])


def test_citizen_whom_an_outage_kept_from_being_reminded_is_not_closed_out(office: Office) -> None:
    """Nobody watched for two days: the reminder goes out late, and the citizen has two hours from then on."""
    ticket = office.receive("Q-1")
    office.casework.acknowledge(ticket, ANI)
    office.casework.move(Move.ASK_COMPLETION, ticket, ANI, Details(missing=("bukti",)))
    office.pass_time(172_800)
    assert office.tick_all() == 1
    assert office.report(ticket).status is Status.NEEDS_COMPLETION
    office.pass_time(7100)
    assert office.tick_all() == 0
    office.pass_time(200)
    assert office.tick_all() == 1
    assert office.report(ticket).outcome is Outcome.INCOMPLETE
    assert [row["event"] for row in office.rows("history") if row["event"] in ("told_late", "close")] == [
        "told_late",
        "close",
    ]


def test_citizen_asked_a_second_time_is_reminded_again_then_the_report_is_closed(office: Office) -> None:
    ticket = office.receive("Q-1")
    office.casework.acknowledge(ticket, ANI)
    for _ in range(2):
        office.casework.move(Move.ASK_COMPLETION, ticket, ANI, Details(missing=("bukti",)))
        office.pass_time(7200)
        assert office.tick_all() == 1
        office.casework.move(Move.RESUME, ticket, ANI)
    office.casework.move(Move.ASK_COMPLETION, ticket, ANI, Details(missing=("bukti",)))
    for _ in range(2):
        office.pass_time(7200)
        office.tick_all()
    assert office.report(ticket).outcome is Outcome.INCOMPLETE
    fired = [(row["step"], row["did"]) for row in office.rows("escalations", kind="completion")]
    assert fired == [(1, "notify"), (2, "notify"), (3, "notify"), (4, "close")]


def test_clock_that_was_paused_goes_on_although_every_process_was_started_anew(office: Office) -> None:
    """Grafana OnCall 1206: paused, the workers restarted in between, and never continued."""
    ticket = office.receive("Q-1")
    office.casework.acknowledge(ticket, ANI)
    office.casework.move(Move.ASK_COMPLETION, ticket, ANI, Details(missing=("bukti",)))
    office.use()
    office.pass_time(3600)
    assert office.tick_all() == 0
    office.use()
    office.casework.move(Move.RESUME, ticket, ANI)
    office.pass_time(359_000)
    assert office.tick_all() == 0
    office.use()
    office.pass_time(2000)
    assert office.tick_all() == 1
    assert [(row["kind"], row["step"]) for row in office.rows("escalations")] == [("triage", 1)]


def test_watcher_with_nothing_to_do_sleeps_no_longer_than_until_a_step_falls_due(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Zammad 5257: minutes to an hour late on an idle system."""
    slept: list[float] = []
    monkeypatch.setattr("consumers.watch_clocks.time.sleep", slept.append)
    office.receive("Q-1")
    office.watcher.turn()
    office.set("obligations", {"next_due": office.now() + timedelta(seconds=0.4)}, kind="acknowledge")
    office.watcher.turn()
    assert slept[0] == POLL_S
    assert 0 < slept[1] <= 0.4


def test_rung_that_is_repeated_is_told_so_often_and_no_more(office: Office) -> None:
    """I9, GLPI 1996 and 2408: a level repeated with every run."""
    rung = policy(Kind.ACKNOWLEDGE, [(3600, "role:chair", "notify")])
    (first,) = rung.steps
    again = [replace(first, at=replace(first.at, amount=3600 + 600 * n), again=n) for n in (1, 2)]
    repeated = replace(rung, steps=(first, *again), version="again@1")
    use(office, {**policies(0), Kind.ACKNOWLEDGE: repeated}, office.rules.book.calendar_for("bpsk-dki"))
    office.receive("Q-1")
    for _ in range(10):
        office.pass_time(600)
        office.tick_all()
    fired = [(row["step"], row["level"], row["told"]) for row in office.rows("escalations")]
    assert fired == [(1, 1, ["kartika"]), (2, 1, ["kartika"]), (3, 1, ["kartika"])]
    assert len(office.rows("deliveries", event="escalation")) == 3


def test_running_clock_keeps_the_policy_it_was_started_with(office: Office) -> None:
    office.receive("Q-1")
    office.use({Kind.ACKNOWLEDGE: [(10, "role:chair", "notify")]})
    office.pass_time(3600)
    office.tick_all()
    assert [row["target"] for row in office.rows("escalations")] == ["next_member"]


def test_clock_started_under_a_policy_this_process_never_saw_fires_all_the_same(office: Office) -> None:
    stranger = WatchClocks(office.database, office.rules)
    office.use({Kind.ACKNOWLEDGE: [(10, "role:chair", "notify")]})
    office.receive("Q-1")
    office.pass_time(10)
    assert stranger.tick() == 1
    assert [row["target"] for row in office.rows("escalations")] == ["role:chair"]


def test_oldest_due_fires_first_when_a_batch_is_full(office: Office) -> None:
    tickets = []
    for number in range(5):
        tickets.append(office.receive(f"Q-{number}"))
        office.pass_time(10)
    office.pass_time(3600)
    office.watcher.most = 2
    assert [office.watcher.tick() for _ in range(4)] == [2, 2, 1, 0]
    assert [row["ticket"] for row in office.rows("escalations")] == tickets


def test_two_deadlines_of_one_day_are_both_told_to_the_same_person(office: Office) -> None:
    """I10, Zammad 4348 and 5655: the second deadline of a day was silent."""
    office.use(
        {kind: [(hours * 3600, "role:chair", "notify")] for hours, kind in ((1, Kind.ACKNOWLEDGE), (2, Kind.TRIAGE))}
    )
    office.receive("Q-1")
    for _ in range(2):
        office.pass_time(3600)
        office.tick_all()
    told = [(d["recipient"], d["kind"]) for d in office.rows("deliveries", event="escalation")]
    assert told == [("kartika", "acknowledge"), ("kartika", "triage")]


def test_two_clocks_of_one_report_fire_one_after_the_other(office: Office) -> None:
    office.use({kind: [(10, "role:chair", "notify")] for kind in (Kind.ACKNOWLEDGE, Kind.TRIAGE)})
    ticket = office.receive("Q-1")
    office.pass_time(10)
    assert [office.watcher.tick() for _ in range(3)] == [1, 1, 0]
    assert office.report(ticket).sequence == 3


def _poisoned(office: Office, kind: str) -> str:
    """Make one clock that cannot fire, in a way each; returns its ticket."""
    if kind == "a role that does not exist":
        office.use({Kind.ACKNOWLEDGE: [(3600, "role:nobody", "notify")]})
    ticket = office.receive("Q-poison")
    office.use()
    where = {"report_id": id_of("Q-poison"), "kind": "acknowledge"}
    if kind == "a policy nobody has":
        office.set("obligations", {"policy_version": "acknowledge@gone"}, **where)
    if kind == "a step beyond the ladder":
        office.set("obligations", {"step": 99}, **where)
    if kind == "a step that has fired before":
        office.pass_time(3600)
        office.tick_all()
        office.set("obligations", {"step": 0}, **where)
        office.set("obligations", {"next_due": office.now()}, **where)
    return ticket


@pytest.mark.parametrize(
    "kind",
    ["a role that does not exist", "a policy nobody has", "a step beyond the ladder", "a step that has fired before"],
)
def test_clock_that_cannot_fire_is_put_off_with_a_note_and_the_others_go_on(office: Office, kind: str) -> None:
    poison = _poisoned(office, kind)
    others = office.receive_many(5)
    office.pass_time(3600)
    logged = len(office.rows("escalations", ticket=poison))
    assert office.tick_all() == 5
    assert {row["ticket"] for row in office.rows("escalations")} >= set(others)
    assert len(office.rows("escalations", ticket=poison)) == logged
    (clock,) = office.rows("obligations", report_id=id_of("Q-poison"), kind="acknowledge")
    assert office.now() < clock["next_due"] <= office.now() + POISON_BACK_OFF
    assert [line["event"] for line in office.rows("history", report_id=id_of("Q-poison"))][-1] == "clock_stuck"


def test_clock_that_was_put_off_fires_when_its_fault_is_mended(office: Office) -> None:
    poison = _poisoned(office, "a policy nobody has")
    office.pass_time(3600)
    assert office.tick_all() == 0
    mended = policy(Kind.ACKNOWLEDGE, LADDER).version
    office.set("obligations", {"policy_version": mended}, report_id=id_of("Q-poison"), kind="acknowledge")
    office.pass_time(POISON_BACK_OFF.total_seconds())
    assert office.tick_all() == 1
    assert [row["ticket"] for row in office.rows("escalations")] == [poison]


def test_same_level_never_fires_twice_even_if_the_clock_is_set_back(office: Office) -> None:
    _poisoned(office, "a step that has fired before")
    before = office.rows("escalations"), office.rows("deliveries")
    assert office.tick_all() == 0
    assert (office.rows("escalations"), office.rows("deliveries")) == before


def test_death_between_any_two_statements_of_a_tick_fires_all_or_nothing(office: Office, twin: Office) -> None:
    for one in (office, twin):
        for name in ("Q-1", "Q-2", "Q-3"):  # one after the other: who is due at the same instant has no order
            one.receive(name)
        ticket = one.receive("Q-close")
        one.casework.acknowledge(ticket, ANI)
        one.casework.move(Move.ASK_COMPLETION, ticket, ANI, Details(missing=("bukti",)))
        one.set("obligations", {"step": 1}, kind="completion")
        one.pass_time(14_500)
        one.set("obligations", {"next_due": one.now()}, kind="completion")
    before = office.snapshot()

    def nothing_changed() -> None:
        assert office.snapshot() == before

    deaths = survives_every_crash(office.database, office.watcher.tick, nothing_changed)
    twin.watcher.tick()
    assert deaths >= 12
    assert shape(office.snapshot()) == shape(twin.snapshot())


def test_turn_fires_seals_and_says_that_the_watcher_lives(office: Office) -> None:
    office.receive("Q-1")
    office.pass_time(20_000)
    office.watcher.turn()
    assert len(office.rows("escalations")) == len(office.rows("escalation_seals")) == 5
    assert [row["step"] for row in office.rows("workers")] == ["watch_clocks"]


def _locked(database: Database, table: str, **where: str) -> sa.Connection:
    """Return a connection of somebody else who holds a row."""
    connection = database.engine.connect()
    condition = " AND ".join(f"{name} = '{value}'" for name, value in where.items())
    connection.execute(sa.text(f"SELECT 1 FROM {table} WHERE {condition} FOR UPDATE")).one()
    return connection


#: SQLite has one writer, so nobody there holds a row while another one looks.
on_postgresql = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)


@on_postgresql
@pytest.mark.parametrize("table", ["reports", "obligations"])
def test_report_in_other_hands_delays_no_other_report(office: Office, table: str) -> None:
    office.receive_many(4)
    office.pass_time(3600)
    kind = {"kind": "acknowledge"} if table == "obligations" else {}
    with _locked(office.database, table, report_id=id_of("Q-2"), **kind):
        assert office.tick_all() == 3
    assert office.tick_all() == 1


@on_postgresql
def test_closing_waits_while_another_watcher_holds_a_clock_of_the_report(office: Office) -> None:
    office.use({Kind.COMPLETION: [(10, "assignee", "close")]})
    ticket = office.receive("Q-1")
    office.casework.acknowledge(ticket, ANI)
    office.casework.move(Move.ASK_COMPLETION, ticket, ANI, Details(missing=("bukti",)))
    office.pass_time(10)
    with _locked(office.database, "obligations", report_id=id_of("Q-1"), kind="triage"):
        assert office.tick_all() == 0
        assert office.report(ticket).status is Status.NEEDS_COMPLETION
    assert office.tick_all() == 1
    assert office.report(ticket).outcome is Outcome.INCOMPLETE


def test_no_row_can_be_due_while_its_clock_stands_still(office: Office) -> None:
    """The database itself refuses it."""
    office.receive("Q-1")
    with pytest.raises(Exception, match="only_running_is_due"), office.database.write() as connection:
        connection.execute(sa.update(obligations).values(state="met"))


def test_reports_handed_over_in_one_batch_do_not_all_land_on_one_desk(office: Office) -> None:
    office.receive_many(12)
    office.set("reports", {"assignee": "ani", "assigned_before": []})
    office.pass_time(3600)
    office.tick_all()
    heirs = Counter(row["assignee"] for row in office.rows("reports"))
    assert heirs == {"budi": 6, "citra": 6}
