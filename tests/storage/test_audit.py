"""The auditor: every single thing overlooked is named and silences the heartbeat; the heartbeat beats only at zero."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from bridge.reports.findings import What
from bridge.storage import audit, engine, escalations
from bridge.storage.audit import Thresholds
from consumers.audit import Audit
from tests.servers import Answer, CityReceiver
from tests.storage.office import Office, id_of
from tests.storage.tampering import tamper

on_postgresql = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)


@pytest.fixture
def switch() -> Iterator[CityReceiver]:
    """The dead-man's switch outside."""
    made = CityReceiver()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def well(office: Office) -> Office:
    """An office where nobody is overlooked: something has fired, was told and sealed, and a watcher lives."""
    office.receive("Q-1")
    office.pass_time(3600)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("time.sleep", lambda _: None)  # until the next step is due
        office.watcher.turn()
    office.set("outbox", {"available_at": office.now()})
    office.set("deliveries", {"next_attempt_at": office.now()})
    return office


def auditor(office: Office, switch: CityReceiver, thresholds: Thresholds = audit.DEFAULT) -> Audit:
    return Audit(office.database, heartbeat_url=switch.url, every_s=0.0, thresholds=thresholds)


def row(office: Office) -> dict[str, Any]:
    (found,) = office.rows("engine")
    return found


def ago(office: Office, seconds: float) -> Any:
    return office.now() - timedelta(seconds=seconds)


# --- zero -----------------------------------------------------------------------------------------------------------


def test_heartbeat_beats_once_an_audit_while_nobody_is_overlooked(well: Office, switch: CityReceiver) -> None:
    one = auditor(well, switch)
    for number in (1, 2):
        one.turn()
        assert len(switch.requests) == number
    assert (row(well)["findings"], row(well)["audited_at"] is not None) == ([], True)
    assert switch.requests[0].body == b""


def test_outage_that_was_caught_up_with_one_notice_each_is_well(well: Office, switch: CityReceiver) -> None:
    well.receive("Q-2")
    well.pass_time(20_000)
    assert well.tick_all() > 5
    with well.database.write() as connection:
        escalations.seal(well.database, connection)
    well.set("outbox", {"available_at": well.now()})
    well.set("deliveries", {"next_attempt_at": well.now()})
    auditor(well, switch).turn()
    assert row(well)["findings"] == []


def test_new_office_with_a_watcher_is_well(office: Office, switch: CityReceiver) -> None:
    with office.database.write() as connection:
        engine.ticked(connection, office.database.now(connection))
    auditor(office, switch).turn()
    assert len(switch.requests) == 1


def test_head_of_the_log_is_said_whenever_it_has_moved_and_missed_when_it_is_cut_off(
    well: Office, switch: CityReceiver, capsys: pytest.CaptureFixture[str]
) -> None:
    one = auditor(well, switch)
    with well.database.read() as connection:
        head = escalations.head(connection)
    capsys.readouterr()
    one.look()
    assert f"escalation_log_head hash={head.hash} seq={head.seq}" in capsys.readouterr().out
    one.look()
    assert "escalation_log" not in capsys.readouterr().out
    tamper(well.database, f"DELETE FROM escalation_seals WHERE seq = {head.seq}")
    one.look()
    said = capsys.readouterr().out
    assert f"escalation_log_cut_off ends_at={head.seq - 1} hash={head.hash} seq={head.seq}" in said
    assert f"escalation_log_head hash={'0' * 64} seq=0" in said
    one.look()
    assert "escalation_log" not in capsys.readouterr().out, "said once"


# --- each single finding --------------------------------------------------------------------------------------------


def _missed(office: Office) -> None:
    office.set("obligations", {"next_due": ago(office, 16)}, report_id=id_of("Q-1"), kind="triage")


def _outbox(office: Office) -> None:
    office.set("outbox", {"available_at": ago(office, 61)})


def _stranded(office: Office) -> None:
    office.set("deliveries", {"next_attempt_at": ago(office, 400)})


def _untold(office: Office) -> None:
    with office.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM deliveries WHERE event = 'escalation'")


def _held(office: Office) -> None:
    with office.database.write() as connection:
        engine.hold_for_good(office.database, connection, "cli:root: why not", now=office.database.now(connection))


def _silent(office: Office) -> None:
    office.set("engine", {"ticked_at": ago(office, 31)})


SINGLE = [
    (What.MISSED_STEPS, _missed),
    (What.OUTBOX_LATE, _outbox),
    (What.DELIVERIES_STRANDED, _stranded),
    (What.LOG_WITHOUT_NOTICES, _untold),
    (What.ENGINE_HELD, _held),
    (What.WATCHER_SILENT, _silent),
]


@pytest.mark.parametrize(("what", "spoil"), SINGLE, ids=[what for what, _ in SINGLE])
def test_single_finding_names_itself_and_silences_the_heartbeat(
    well: Office, switch: CityReceiver, capsys: pytest.CaptureFixture[str], what: What, spoil: Callable[[Office], None]
) -> None:
    spoil(well)
    auditor(well, switch).turn()
    (finding,) = row(well)["findings"]
    assert set(finding) == {"what", "value", "since", "do"}
    assert (finding["what"], switch.requests) == (what, [])
    assert finding["value"] >= (1 if finding["what"] != What.ENGINE_HELD else 0)
    assert f"what={what}" in capsys.readouterr().out


def test_log_that_is_not_sealed_is_found_after_a_minute(well: Office, switch: CityReceiver) -> None:
    well.receive("Q-2")
    well.pass_time(3600)
    well.watcher.tick()  # fires, and dies before it seals
    well.set("outbox", {"available_at": well.now()})
    well.set("deliveries", {"next_attempt_at": well.now()})
    auditor(well, switch).turn()
    assert len(switch.requests) == 1, "the next turn of any watcher will seal it"
    auditor(well, switch, Thresholds(unsealed_s=-1.0)).turn()
    assert [(f["what"], f["value"]) for f in row(well)["findings"]] == [(What.LOG_UNSEALED, 2)]
    assert len(switch.requests) == 1


@on_postgresql
def test_long_transaction_is_found(well: Office, switch: CityReceiver) -> None:
    with well.database.engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        auditor(well, switch, Thresholds(transaction_s=0.0)).turn()
    assert [f["what"] for f in row(well)["findings"]] == [What.LONG_TRANSACTION]
    assert switch.requests == []
    auditor(well, switch).turn()
    assert len(switch.requests) == 1


@on_postgresql
def test_tables_that_nobody_vacuums_are_found(well: Office, switch: CityReceiver) -> None:
    with well.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE obligations, outbox, deliveries")
        connection.exec_driver_sql(
            "INSERT INTO outbox (type, data, available_at) SELECT 'x', '{}', now() FROM generate_series(1, 500)"
        )
        connection.exec_driver_sql("DELETE FROM outbox WHERE type = 'x'")
        connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")
    auditor(well, switch, Thresholds(dead_rows=400)).turn()
    assert [f["what"] for f in row(well)["findings"]] == [What.DEAD_TUPLES]
    auditor(well, switch).turn()
    assert len(switch.requests) == 1, "a few dead rows are nobody's trouble"


# --- several, and over time -----------------------------------------------------------------------------------------


def test_finding_keeps_the_time_it_was_first_seen_and_goes_when_it_is_mended(
    well: Office, switch: CityReceiver, capsys: pytest.CaptureFixture[str]
) -> None:
    one = auditor(well, switch)
    _untold(well)
    one.turn()
    (first,) = row(well)["findings"]
    _silent(well)
    one.turn()
    assert {f["what"] for f in row(well)["findings"]} == {What.LOG_WITHOUT_NOTICES, What.WATCHER_SILENT}
    assert [f["since"] for f in row(well)["findings"] if f["what"] == first["what"]] == [first["since"]]
    well.set("engine", {"ticked_at": well.now()})
    one.turn()
    assert row(well)["findings"] == [first]
    assert "audit_found_no_more" in capsys.readouterr().out
    assert switch.requests == []


def _poisoned(office: Office, kind: str = "triage") -> str:
    """Let the watcher meet a clock nobody can compute; returns the version it had."""
    where = {"report_id": id_of("Q-1"), "kind": kind}
    (clock,) = office.rows("obligations", **where)
    office.set("obligations", {"policy_version": "triage@gone", "next_due": ago(office, 100)}, **where)
    assert office.tick_all() == 0
    return str(clock["policy_version"])


def test_poison_that_was_put_off_is_an_alarm_until_it_can_be_computed(well: Office, switch: CityReceiver) -> None:
    """I13: put off again and again it is one clock, stuck since the first time."""
    good, one = _poisoned(well), auditor(well, switch)
    one.turn()
    (first,) = row(well)["findings"]
    assert (first["what"], first["value"], switch.requests) == (What.CLOCKS_STUCK, 1, [])
    _poisoned(well)
    one.turn()
    assert (row(well)["findings"], len(well.rows("history", event="clock_stuck"))) == ([first], 2)
    well.set("obligations", {"policy_version": good, "next_due": ago(well, 1)}, kind="triage")
    assert well.tick_all() == 1
    with well.database.write() as connection:
        escalations.seal(well.database, connection)
    one.turn()
    assert (row(well)["findings"], len(switch.requests)) == ([], 1)


@pytest.mark.parametrize(
    "since", [{"state": "met"}, {"state": "paused"}, {"cycle": 2}, {"next_due": True}], ids=["met", "paused", "reopened", "moved"]
)  # fmt: skip
def test_clock_that_was_stuck_and_is_not_any_more_is_no_alarm(
    well: Office, switch: CityReceiver, since: dict[str, Any]
) -> None:
    _poisoned(well)
    ahead = well.now() + timedelta(days=1)
    due = {"next_due": ahead if "next_due" in since else None} if "cycle" not in since else {}
    well.set("obligations", {**since, **due}, report_id=id_of("Q-1"), kind="triage")
    auditor(well, switch).turn()
    assert (row(well)["findings"], len(switch.requests)) == ([], 1)


def test_clock_of_another_kind_is_not_taken_for_the_one_that_is_stuck(well: Office) -> None:
    _poisoned(well)
    (stuck,) = well.rows("obligations", kind="triage")
    well.set("obligations", {"next_due": None, "state": "met"}, kind="triage")
    well.set("obligations", {"next_due": stuck["next_due"]}, kind="acknowledge")
    with well.database.read() as connection:
        assert engine.stuck(connection, 10) == []


def test_auditor_counts_no_further_than_it_must(well: Office) -> None:
    well.receive_many(8)
    well.set("obligations", {"next_due": ago(well, 100)}, state="running")
    with well.database.read() as connection:
        found = audit.look(well.database, connection, well.now(), Thresholds(counted=3))
    assert [(f.what, f.value) for f in found] == [(What.MISSED_STEPS, 3)]


def test_auditor_changes_nothing_but_the_engines_row(well: Office, switch: CityReceiver) -> None:
    before = well.snapshot()
    _held(well)
    auditor(well, switch).turn()
    after = well.snapshot()
    assert {name for name in before if before[name] != after[name]} == {"engine"}
    assert json.dumps(after["engine"][0]["findings"])


# --- the switch -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [500, 404, Answer(302, {"Location": "/elsewhere"})], ids=["500", "404", "redirect"])
def test_switch_that_does_not_say_yes_is_a_warning_and_asked_again_next_round(
    well: Office, switch: CityReceiver, capsys: pytest.CaptureFixture[str], answer: Answer | int
) -> None:
    one = auditor(well, switch)
    switch.answer_next(answer)
    one.turn()
    said = capsys.readouterr().out
    assert ("warning" in said, "heartbeat_not_heard" in said, switch.url in said) == (True, True, False)
    assert [request.path for request in switch.requests] == ["/callbacks"], "a redirect is not followed"
    one.turn()
    assert len(switch.requests) == 2
    assert "heartbeat_not_heard" not in capsys.readouterr().out


def test_switch_that_is_away_is_a_warning_without_its_address(
    well: Office, switch: CityReceiver, capsys: pytest.CaptureFixture[str]
) -> None:
    switch.stop()
    auditor(well, switch).turn()
    said = capsys.readouterr().out
    assert ("heartbeat_not_heard" in said, "/callbacks" in said) == (True, False)
    assert row(well)["findings"] == []


def test_proxy_of_the_environment_is_not_asked(
    well: Office, switch: CityReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    auditor(well, switch).turn()
    assert len(switch.requests) == 1


def test_without_an_address_nothing_is_pinged_and_the_audit_is_made_all_the_same(well: Office) -> None:
    Audit(well.database, every_s=0.0).turn()
    assert row(well)["audited_at"] is not None


def test_audits_come_as_often_as_they_were_asked_for(well: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    one = Audit(well.database, every_s=3600.0)
    one.turn()
    assert (len(slept), row(well)["audited_at"]) == (1, None), "the watchers come first"
    assert slept[0] <= 1, "whoever tells it to stop must not wait for the next audit"
