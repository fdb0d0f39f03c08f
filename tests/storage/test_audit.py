"""The auditor: every single thing overlooked is named and silences the heartbeat; the heartbeat beats only at zero."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bridge.chain import START, Head
from bridge.kept_head import HeadFile, Kept
from bridge.reports.findings import What
from bridge.storage import audit, engine, escalations
from bridge.storage.audit import Thresholds
from bridge.storage.database import Database
from consumers.audit import Audit
from tests.servers import Answer, CityReceiver, PostgreSQL
from tests.storage.office import Office, id_of
from tests.storage.tampering import tamper

on_postgresql = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)


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


@pytest.fixture
def head_file(tmp_path: Path) -> HeadFile:
    """Where the auditor keeps the head of the log."""
    return HeadFile(tmp_path / "var" / "escalation-log-head")


def auditor(office: Office, switch: CityReceiver, kept: HeadFile, thresholds: Thresholds = audit.DEFAULT) -> Audit:
    return Audit(office.database, kept, heartbeat_url=switch.url, every_s=0.0, thresholds=thresholds)


def head_of(database: Database) -> Head:
    with database.read() as connection:
        return escalations.head(connection)


def row(office: Office) -> dict[str, Any]:
    (found,) = office.rows("engine")
    return found


def ago(office: Office, seconds: float) -> Any:
    return office.now() - timedelta(seconds=seconds)


# --- zero -----------------------------------------------------------------------------------------------------------


def test_heartbeat_beats_once_an_audit_while_nobody_is_overlooked(
    well: Office, switch: CityReceiver, head_file: HeadFile
) -> None:
    one = auditor(well, switch, head_file)
    for number in (1, 2):
        one.turn()
        assert len(switch.requests) == number
    assert (row(well)["findings"], row(well)["audited_at"] is not None) == ([], True)
    assert switch.requests[0].body == b""


def test_outage_that_was_caught_up_with_one_notice_each_is_well(
    well: Office, switch: CityReceiver, head_file: HeadFile
) -> None:
    grow(well)
    auditor(well, switch, head_file).turn()
    assert row(well)["findings"] == []


def test_new_office_with_a_watcher_is_well(office: Office, switch: CityReceiver, head_file: HeadFile) -> None:
    with office.database.write() as connection:
        engine.ticked(connection, office.database.now(connection))
    auditor(office, switch, head_file).turn()
    assert len(switch.requests) == 1


def test_head_of_the_log_is_kept_and_said_whenever_it_has_moved(
    well: Office, switch: CityReceiver, head_file: HeadFile, capsys: pytest.CaptureFixture[str]
) -> None:
    one, head = auditor(well, switch, head_file), head_of(well.database)
    capsys.readouterr()
    one.look()
    assert f"escalation_log_head hash={head.hash} seq={head.seq}" in capsys.readouterr().out
    assert head_file.read() == Kept(head) != Kept(START)
    one.look()
    assert "escalation_log" not in capsys.readouterr().out
    grow(well)
    one.look()
    assert f"escalation_log_head hash={head_of(well.database).hash} seq=" in capsys.readouterr().out
    assert head_file.read() == Kept(head_of(well.database))
    assert [path.name for path in head_file.path.parent.iterdir()] == [head_file.path.name], "no draft is left"


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
    well: Office,
    switch: CityReceiver,
    capsys: pytest.CaptureFixture[str],
    what: What,
    spoil: Callable[[Office], None],
    head_file: HeadFile,
) -> None:
    spoil(well)
    auditor(well, switch, head_file).turn()
    (finding,) = row(well)["findings"]
    assert set(finding) == {"what", "value", "since", "do"}
    assert (finding["what"], switch.requests) == (what, [])
    assert finding["value"] >= (1 if finding["what"] != What.ENGINE_HELD else 0)
    assert f"what={what}" in capsys.readouterr().out


def test_log_that_is_not_sealed_is_found_after_a_minute(
    well: Office, switch: CityReceiver, head_file: HeadFile
) -> None:
    well.receive("Q-2")
    well.pass_time(3600)
    well.watcher.tick()  # fires, and dies before it seals
    well.set("outbox", {"available_at": well.now()})
    well.set("deliveries", {"next_attempt_at": well.now()})
    auditor(well, switch, head_file).turn()
    assert len(switch.requests) == 1, "the next turn of any watcher will seal it"
    auditor(well, switch, head_file, Thresholds(unsealed_s=-1.0)).turn()
    assert [(f["what"], f["value"]) for f in row(well)["findings"]] == [(What.LOG_UNSEALED, 2)]
    assert len(switch.requests) == 1


@on_postgresql
def test_long_transaction_is_found(well: Office, switch: CityReceiver, head_file: HeadFile) -> None:
    with well.database.engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        auditor(well, switch, head_file, Thresholds(transaction_s=0.0)).turn()
    assert [f["what"] for f in row(well)["findings"]] == [What.LONG_TRANSACTION]
    assert switch.requests == []
    auditor(well, switch, head_file).turn()
    assert len(switch.requests) == 1


@on_postgresql
def test_tables_that_nobody_vacuums_are_found(well: Office, switch: CityReceiver, head_file: HeadFile) -> None:
    with well.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE obligations, outbox, deliveries")
        connection.exec_driver_sql(
            "INSERT INTO outbox (type, data, available_at) SELECT 'x', '{}', now() FROM generate_series(1, 500)"
        )
        connection.exec_driver_sql("DELETE FROM outbox WHERE type = 'x'")
        connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")
    auditor(well, switch, head_file, Thresholds(dead_rows=400)).turn()
    assert [f["what"] for f in row(well)["findings"]] == [What.DEAD_TUPLES]
    auditor(well, switch, head_file).turn()
    assert len(switch.requests) == 1, "a few dead rows are nobody's trouble"


# --- the end of the log ---------------------------------------------------------------------------------------------

CUT_OFF = "escalation_log_cut_off"


def grow(office: Office) -> None:
    """Let more fire, with everybody told."""
    office.receive("Q-more")
    office.pass_time(20_000)
    assert office.tick_all() > 5
    with office.database.write() as connection:
        escalations.seal(office.database, connection)
    office.set("outbox", {"available_at": office.now()})
    office.set("deliveries", {"next_attempt_at": office.now()})


@contextmanager
def backup_of(database: Database, postgres: Callable[[], PostgreSQL], folder: Path) -> Iterator[Database]:
    """A copy of the database as it is now, restored beside it."""
    database.close()
    if database.is_sqlite:
        shutil.copy(database.engine.url.database or "", folder / "backup.sqlite3")
        url = f"sqlite:///{folder}/backup.sqlite3"
    else:
        url = postgres().new_database(template=urlsplit(database.url).path[1:])
    restored = Database(url)
    yield restored
    restored.close()
    if not database.is_sqlite:
        postgres().drop_database(url)


def whats(office: Office) -> list[str]:
    return [finding["what"] for finding in row(office)["findings"]]


@pytest.fixture
def restored(
    well: Office, switch: CityReceiver, head_file: HeadFile, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Office]:
    """The office goes on on last night's backup; the log had grown since, and the auditor has kept its newer head."""

    def server() -> PostgreSQL:
        found: PostgreSQL = request.getfixturevalue("postgres")
        return found

    with backup_of(well.database, server, tmp_path) as older:
        grow(well)
        auditor(well, switch, head_file).turn()
        assert (row(well)["findings"], len(switch.requests)) == ([], 1)
        well.database = older
        well.use()
        yield well


def test_log_whose_end_was_cut_off_is_a_finding_until_somebody_accepts_it(
    well: Office, switch: CityReceiver, head_file: HeadFile, capsys: pytest.CaptureFixture[str]
) -> None:
    one, kept = auditor(well, switch, head_file), head_of(well.database)
    one.turn()
    assert len(switch.requests) == 1
    tamper(well.database, f"DELETE FROM escalation_seals WHERE seq = {kept.seq}")
    tamper(well.database, "DELETE FROM escalations WHERE id = (SELECT max(id) FROM escalations)")
    capsys.readouterr()
    one.turn()
    said = capsys.readouterr().out
    assert f"{CUT_OFF} ends_at={kept.seq - 1} hash={kept.hash} seq={kept.seq}" in said
    assert ("audit_found" in said, "escalation_log_head " in said) == (True, False)
    (found,) = row(well)["findings"]
    assert (found["what"], found["value"]) == (What.LOG_CUT_OFF, 1)
    one.turn()
    assert (row(well)["findings"], len(switch.requests)) == ([found], 1), "not once: as long as it is so"
    head_file.write(Kept(head_of(well.database), "cli:adi", "backup restored"))
    one.turn()
    said = capsys.readouterr().out
    assert "escalation_log_head_accepted by=cli:adi" in said
    assert "why='backup restored'" in said
    assert (row(well)["findings"], len(switch.requests)) == ([], 2)
    one.turn()
    assert "escalation_log" not in capsys.readouterr().out, "said once"


def test_older_backup_is_a_finding_also_for_an_auditor_that_was_started_anew(
    restored: Office, switch: CityReceiver, head_file: HeadFile
) -> None:
    kept = head_file.read()
    for _ in range(2):
        auditor(restored, switch, head_file).turn()
        assert whats(restored) == [What.LOG_CUT_OFF]
    assert (head_file.read(), len(switch.requests)) == (kept, 1)


def test_log_that_has_grown_past_the_head_kept_is_still_found(
    restored: Office, switch: CityReceiver, head_file: HeadFile, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its numbers come again, with other hashes."""
    kept = head_file.read()
    for name in ("Q-other", "Q-another", "Q-third"):
        restored.receive(name)
    restored.pass_time(20_000)
    restored.tick_all()
    with restored.database.write() as connection:
        escalations.seal(restored.database, connection)
    assert kept is not None
    assert head_of(restored.database).seq > kept.head.seq
    auditor(restored, switch, head_file).look()
    assert What.LOG_CUT_OFF in whats(restored)
    assert f"{CUT_OFF} ends_at={head_of(restored.database).seq} hash={kept.head.hash}" in capsys.readouterr().out
    assert head_file.read() == kept


def test_backup_restored_on_purpose_and_accepted_is_watched_over_from_there(
    restored: Office, switch: CityReceiver, head_file: HeadFile
) -> None:
    head_file.write(Kept(head_of(restored.database), "cli:adi", "backup restored"))
    one = auditor(restored, switch, head_file)
    one.turn()
    assert (whats(restored), len(switch.requests)) == ([], 2)
    grow(restored)
    one.turn()
    assert (whats(restored), head_file.read()) == ([], Kept(head_of(restored.database)))
    tamper(restored.database, f"DELETE FROM escalation_seals WHERE seq = {head_of(restored.database).seq}")
    one.look()
    assert What.LOG_CUT_OFF in whats(restored)


@pytest.mark.parametrize("damaged", [b"", b"{", b"[]", b"5", b'{"seq": "5"}', b"\xff", b"[" * 100_000, b'{"seq": true, "hash": "", "by": "", "why": ""}'])  # fmt: skip
def test_head_that_cannot_be_read_is_a_finding_and_left_as_it_is(
    well: Office, switch: CityReceiver, head_file: HeadFile, capsys: pytest.CaptureFixture[str], damaged: bytes
) -> None:
    head_file.path.parent.mkdir()
    head_file.path.write_bytes(damaged)
    auditor(well, switch, head_file).turn()
    assert (whats(well), switch.requests) == ([What.LOG_HEAD_LOST], [])
    assert "escalation_log_head_lost" in capsys.readouterr().out
    assert head_file.path.read_bytes() == damaged


def test_head_that_cannot_be_written_is_a_finding_until_it_can(
    well: Office, switch: CityReceiver, tmp_path: Path
) -> None:
    (tmp_path / "data").touch()  # no folder
    one = auditor(well, switch, head_file := HeadFile(tmp_path / "data" / "head"))
    one.turn()
    assert (whats(well), switch.requests) == ([What.LOG_HEAD_LOST], [])
    (tmp_path / "data").unlink()
    one.turn()
    assert (row(well)["findings"], len(switch.requests)) == ([], 1)
    assert head_file.read() == Kept(head_of(well.database))


def test_head_whose_file_has_gone_is_remembered_while_the_auditor_runs(
    well: Office, switch: CityReceiver, head_file: HeadFile, capsys: pytest.CaptureFixture[str]
) -> None:
    one, kept = auditor(well, switch, head_file), head_of(well.database)
    one.turn()
    head_file.path.unlink()
    one.turn()
    assert head_file.read() == Kept(kept)
    head_file.path.unlink()
    tamper(well.database, f"DELETE FROM escalation_seals WHERE seq = {kept.seq}")
    one.turn()
    assert whats(well) == [What.LOG_CUT_OFF]
    assert "escalation_log_head_unknown" not in capsys.readouterr().out.partition(CUT_OFF)[2]


def test_auditor_without_a_head_says_that_it_knows_none_of_a_log_that_is_there(
    well: Office, switch: CityReceiver, head_file: HeadFile, capsys: pytest.CaptureFixture[str]
) -> None:
    auditor(well, switch, head_file).turn()
    assert "escalation_log_head_unknown" in capsys.readouterr().out
    assert row(well)["findings"] == []
    auditor(well, switch, head_file).turn()
    assert "escalation_log_head_unknown" not in capsys.readouterr().out


# --- several, and over time -----------------------------------------------------------------------------------------


def test_finding_keeps_the_time_it_was_first_seen_and_goes_when_it_is_mended(
    well: Office, switch: CityReceiver, capsys: pytest.CaptureFixture[str], head_file: HeadFile
) -> None:
    one = auditor(well, switch, head_file)
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


def test_poison_that_was_put_off_is_an_alarm_until_it_can_be_computed(
    well: Office, switch: CityReceiver, head_file: HeadFile
) -> None:
    """I13: put off again and again it is one clock, stuck since the first time."""
    good, one = _poisoned(well), auditor(well, switch, head_file)
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
    well: Office, switch: CityReceiver, since: dict[str, Any], head_file: HeadFile
) -> None:
    _poisoned(well)
    ahead = well.now() + timedelta(days=1)
    due = {"next_due": ahead if "next_due" in since else None} if "cycle" not in since else {}
    well.set("obligations", {**since, **due}, report_id=id_of("Q-1"), kind="triage")
    auditor(well, switch, head_file).turn()
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


def test_auditor_changes_nothing_but_the_engines_row(well: Office, switch: CityReceiver, head_file: HeadFile) -> None:
    before = well.snapshot()
    _held(well)
    auditor(well, switch, head_file).turn()
    after = well.snapshot()
    assert {name for name in before if before[name] != after[name]} == {"engine"}
    assert json.dumps(after["engine"][0]["findings"])


# --- the switch -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [500, 404, Answer(302, {"Location": "/elsewhere"})], ids=["500", "404", "redirect"])
def test_switch_that_does_not_say_yes_is_a_warning_and_asked_again_next_round(
    well: Office, switch: CityReceiver, capsys: pytest.CaptureFixture[str], answer: Answer | int, head_file: HeadFile
) -> None:
    one = auditor(well, switch, head_file)
    switch.answer_next(answer)
    one.turn()
    said = capsys.readouterr().out
    assert ("warning" in said, "heartbeat_not_heard" in said, switch.url in said) == (True, True, False)
    assert [request.path for request in switch.requests] == ["/callbacks"], "a redirect is not followed"
    one.turn()
    assert len(switch.requests) == 2
    assert "heartbeat_not_heard" not in capsys.readouterr().out


def test_switch_that_is_away_is_a_warning_without_its_address(
    well: Office, switch: CityReceiver, capsys: pytest.CaptureFixture[str], head_file: HeadFile
) -> None:
    switch.stop()
    auditor(well, switch, head_file).turn()
    said = capsys.readouterr().out
    assert ("heartbeat_not_heard" in said, "/callbacks" in said) == (True, False)
    assert row(well)["findings"] == []


def test_proxy_of_the_environment_is_not_asked(
    well: Office, switch: CityReceiver, monkeypatch: pytest.MonkeyPatch, head_file: HeadFile
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    auditor(well, switch, head_file).turn()
    assert len(switch.requests) == 1


def test_without_an_address_nothing_is_pinged_and_the_audit_is_made_all_the_same(
    well: Office, head_file: HeadFile
) -> None:
    Audit(well.database, head_file, every_s=0.0).turn()
    assert row(well)["audited_at"] is not None


def test_audits_come_as_often_as_they_were_asked_for(
    well: Office, monkeypatch: pytest.MonkeyPatch, head_file: HeadFile
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    one = Audit(well.database, head_file, every_s=3600.0)
    one.turn()
    assert (len(slept), row(well)["audited_at"]) == (1, None), "the watchers come first"
    assert slept[0] <= 1, "whoever tells it to stop must not wait for the next audit"
