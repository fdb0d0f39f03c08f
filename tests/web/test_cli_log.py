"""`bridge escalations tail|export|verify|accept-head`: the log as it grows, as a file, and what nobody can take out of it unseen."""

import csv
import io
import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from bridge.cli import inspect
from bridge.cli.common import clock_time
from bridge.storage import engine, escalations
from tests.servers import CityReceiver, eventually
from tests.web.keyboard import Desk
from tests.web.processes import Bridge

HASHED = "id report_id ticket kind cycle step level due_at fired_at lateness_s held_by to told did policy_version calendar_version remark".split()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Desk]:
    """An installation that a test may spoil: five rows in its log, none sealed."""
    made = Desk(tmp_path)
    yield made
    made.office.close()


def seal(desk: Desk) -> int:
    with desk.office.service.database.write() as connection:
        return escalations.seal(desk.office.service.database, connection)


def head(desk: Desk) -> str:
    """Return the head as verify prints it, for `--expect`."""
    found = re.search(r"^Head: (\d+) ([0-9a-f]{64})$", desk.run("escalations", "verify").output, re.MULTILINE)
    assert found
    return f"{found[1]}:{found[2]}"


def tamper(desk: Desk, *statements: str) -> None:
    """Change the log as somebody with the file could."""
    with closing(sqlite3.connect(desk.office.service.database.engine.url.database or "")) as file, file:
        for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            file.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            file.execute(statement)


# --- tail -----------------------------------------------------------------------------------------------------------


def test_tail_looks_once_when_its_time_is_nothing(own: Desk) -> None:
    seal(own)
    done = own.run("escalations", "tail", "--limit-s", "0")
    assert (done.exit_code, done.output) == (0, "")


def test_tail_tells_nothing_old_when_the_newest_row_is_not_sealed_yet(own: Desk) -> None:
    seal(own)
    own.office.let_pass(own.office.new_report(), steps=4)
    assert own.run("escalations", "tail", "--limit-s", "0").output == ""


def test_tail_tells_what_comes_while_it_looks(own: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    seal(own)
    ticket = own.office.new_report()

    def meanwhile(_: float) -> None:
        monkeypatch.undo()
        own.office.let_pass(ticket, steps=4)
        seal(own)

    monkeypatch.setattr(inspect.time, "sleep", meanwhile)
    lines = own.run("escalations", "tail", "--limit-s", "2").output.splitlines()
    assert [(line.split("  ")[1], line.split("  ")[2]) for line in lines] == [(ticket, "level 1"), (ticket, "level 2")]


def test_tail_tells_every_row_however_many_came_between_two_looks(own: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(escalations, "PAGE", 2)
    for _ in range(3):
        own.office.let_pass(own.office.new_report(), steps=5)
    seal(own)
    told = [row for row in own.rows("escalations", "list", "--most", "1000") if row["level"]]
    lines = own.run("escalations", "tail", "--after", "0", "--limit-s", "0").output.splitlines()
    assert [line.split("  ")[1] for line in lines] == [row["ticket"] for row in reversed(told)]
    assert len(lines) > 3 * 2


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("id", "tingkat 3  tanggapan pertama, tempo {due} WIB, dijalankan {late} kemudian  {held} → Kartika (Ketua BPSK): diberitahu; menunggu dikirim"),
        ("en", "level 3  acknowledgement, due {due} WIB, fired {late} later  {held} → Kartika (Chair of BPSK): notified; pending"),
    ],
)  # fmt: skip
def test_tail_says_from_whom_to_whom_by_name_and_whether_they_heard(own: Desk, language: str, said: str) -> None:
    seal(own)
    (row,) = own.rows("escalations", "list", "--level", "3")
    done = own.run("escalations", "tail", "--after", "0", "--limit-s", "0", "--lang", language, TZ="UTC")
    (line,) = [line for line in done.output.splitlines() if f"{said.split()[0]} 3" in line]
    pattern = re.escape(f"{{fired}} WIB  {own.ticket}  {said}").replace(r"\{due\}", STAMP).replace(r"\{fired\}", STAMP)
    pattern = pattern.replace(r"\{late\}", ".+").replace(r"\{held\}", row["held_by"].title())
    assert re.fullmatch(pattern, line), line


STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


def test_lists_say_the_time_of_jakarta_with_its_zone_wherever_the_server_is_set(own: Desk) -> None:
    (row,) = own.rows("escalations", "list", "--level", "3")
    done = own.really_run("escalations", "list", "--level", "3", TZ="UTC")
    assert re.search(STAMP + " WIB", done.stdout)
    assert clock_time(datetime.fromisoformat(row["fired_at"])) in done.stdout


# --- export and verify ----------------------------------------------------------------------------------------------


def test_export_holds_everything_that_is_hashed_and_carries_its_head(own: Desk) -> None:
    done = own.run("escalations", "export", "--format", "json")
    rows = json.loads(done.stdout)
    assert all({*HASHED, "seq", "hash", "delivered", "answered"} <= set(row) for row in rows)
    assert done.stderr.splitlines()[-1] == f"Head: {rows[-1]['seq']} {rows[-1]['hash']}"
    assert [row["seq"] for row in rows] == [1, 2, 3, 4, 5]


def test_export_in_pages_is_the_same_export(own: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = [own.run("escalations", "export", "--format", form).stdout for form in ("csv", "json")]
    monkeypatch.setattr(escalations, "PAGE", 2)
    assert [own.run("escalations", "export", "--format", form).stdout for form in ("csv", "json")] == at_once


@pytest.mark.parametrize("form", ["csv", "json"])
def test_export_is_verified_elsewhere_without_the_database(own: Desk, tmp_path: Path, form: str) -> None:
    file = exported(own, tmp_path, form)
    kept = head(own)
    own.office.close()
    done = own.run("escalations", "verify", str(file), "--expect", kept, BRIDGE_DATA_DIR="/nowhere")
    assert (done.exit_code, done.output) == (0, f"The chain is whole: 5 rows.\nHead: {kept.replace(':', ' ')}\n")
    assert own.run("escalations", "verify", "-", typed=file.read_text()).exit_code == 0


def exported(desk: Desk, folder: Path, form: str) -> Path:
    file = folder / f"log.{form}"
    file.write_text(desk.run("escalations", "export", "--format", form).stdout, newline="")
    return file


@pytest.mark.parametrize("form", ["csv", "json"])
@pytest.mark.parametrize("key", HASHED)
def test_export_in_which_something_was_changed_is_broken_there(desk: Desk, tmp_path: Path, form: str, key: str) -> None:
    file = exported(desk, tmp_path, form)
    change(file, form, 3, key)
    done = desk.run("escalations", "verify", str(file))
    assert (done.exit_code, "broken at number 3" in done.output) == (1, True), done.output


def change(file: Path, form: str, seq: int, key: str) -> None:
    """Change one value of a row, as somebody with an editor would."""
    other: dict[str, Any] = {"level": 9, "id": 99, "cycle": 9, "step": 99, "lateness_s": 0.25, "told": ["adi"]}
    other |= {"due_at": "2020-01-01T00:00:00+00:00", "fired_at": "2020-01-01T00:00:00+00:00"}
    value = other.get(key, "x")
    if form == "json":
        rows = json.loads(file.read_text())
        rows[seq - 1][key] = value
        file.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
        return
    rows = list(csv.DictReader(io.StringIO(file.read_text())))
    rows[seq - 1][key] = json.dumps(value) if isinstance(value, list) else value
    with file.open("w", newline="") as written:
        writer = csv.DictWriter(written, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


FAULTS = {
    "row taken out": (lambda lines: lines[:3] + lines[4:], "broken at number 3"),
    "rows of another order": (lambda lines: [lines[0], *reversed(lines[1:])], "broken at number 1"),
    "no log at all": (lambda lines: ["Dear sir,"], "line 1: neither"),
    "nothing": (lambda lines: [], "line 1: neither"),
    "a column too few": (lambda lines: [line.rpartition(",")[0] for line in lines], "it has no calendar_version"),
    "an endless cell": (lambda lines: [*lines, "1" * 200_000], "larger than"),
    "a line cut off": (lambda lines: [*lines[:-1], lines[-1][:40]], "columns instead of"),
    "a zone taken out": (lambda lines: [lines[0], lines[1].replace("+00:00", ""), *lines[2:]], "no time zone"),
    "a number that is none": (lambda lines: [lines[0], lines[1].replace("1,", "1.5,", 1), *lines[2:]], "no"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_file_that_is_no_whole_export_is_refused_with_the_place(desk: Desk, tmp_path: Path, name: str) -> None:
    file = exported(desk, tmp_path, "csv")
    spoil, said = FAULTS[name]
    file.write_text("\n".join(spoil(file.read_text().splitlines())))
    done = desk.run("escalations", "verify", str(file))
    assert (done.exit_code, said in done.output) == (1, True), done.output


@pytest.mark.parametrize("text", ["[\nnot json\n]", "[\n[1]\n]", '[\n{"seq": 1}\n]', "[\n" + "[" * 100_000])
def test_json_that_is_no_export_is_refused(desk: Desk, tmp_path: Path, text: str) -> None:
    file = tmp_path / "log.json"
    file.write_text(text)
    done = desk.run("escalations", "verify", str(file))
    assert (done.exit_code, "is no export of the log: line 2" in done.output) == (1, True), done.output


def test_end_cut_off_with_its_seals_is_seen_by_the_head_that_was_kept(own: Desk, tmp_path: Path) -> None:
    kept = head(own)
    assert own.run("escalations", "verify", "--expect", kept).exit_code == 0
    tamper(own, "DELETE FROM escalation_seals WHERE seq > 3", "DELETE FROM escalations WHERE id > 3")
    assert own.run("escalations", "verify").exit_code == 0, "nothing inside can tell"
    cut = own.run("escalations", "verify", "--expect", kept)
    assert (cut.exit_code, "ends at number 3, before the head kept at 5" in cut.output) == (1, True)
    in_file = own.run("escalations", "verify", str(exported(own, tmp_path, "csv")), "--expect", kept)
    assert (in_file.exit_code, "ends at number 3" in in_file.output) == (1, True)
    own.office.let_pass(own.office.new_report(), steps=5)
    anew = own.run("escalations", "verify", "--expect", kept)
    assert (anew.exit_code, "number 5 has another hash" in anew.output) == (1, True)


def test_older_head_than_the_newest_is_still_in_the_chain(own: Desk) -> None:
    kept = head(own)
    own.office.let_pass(own.office.new_report(), steps=5)
    assert own.run("escalations", "verify", "--expect", kept.replace(":", " ")).exit_code == 0
    assert own.run("escalations", "verify", "--expect", "0:" + "0" * 64).exit_code == 0


@pytest.mark.parametrize("kept", ["5", "5:abc", "x:" + "0" * 64, "5:" + "G" * 64])
def test_head_that_is_none_is_wrong_usage(desk: Desk, kept: str) -> None:
    done = desk.run("escalations", "verify", "--expect", kept)
    assert (done.exit_code, "SEQ:HASH" in done.output) == (2, True)


@pytest.mark.parametrize("deed", ["DELETE FROM escalations", "DELETE FROM escalations WHERE id > 2"])
def test_log_whose_rows_were_deleted_is_not_whole_on_the_page_either(own: Desk, deed: str) -> None:
    seal(own)
    page = own.office.inside("kartika")
    assert "Rantai catatan utuh" in page.get("/desk/escalations").text
    tamper(own, deed)
    assert "Rantai catatan putus pada nomor" in page.get("/desk/escalations").text
    assert own.run("escalations", "verify").exit_code == 1


# --- accept-head ----------------------------------------------------------------------------------------------------


class Auditor(Bridge):
    """A real `bridge work audit` beside that installation."""

    def __init__(self, desk: Desk, switch: CityReceiver) -> None:
        url = desk.office.service.database.url
        variables = {**desk.environment, "BRIDGE_DATABASE_URL": url, "BRIDGE_HEARTBEAT_URL": switch.url}
        super().__init__(
            Path(desk.environment["BRIDGE_DATA_DIR"]), "work", "audit", BRIDGE_AUDIT_EVERY_S="1", **variables
        )

    def ready(self) -> bool:
        return (self.folder / "escalation-log-head").exists()


def tick(desk: Desk) -> None:
    """Let a watcher live, its log be sealed and its messages be on their way: no other finding shall be in the way."""
    database = desk.office.service.database
    with database.write() as connection:
        engine.ticked(connection, database.now(connection))
        escalations.seal(database, connection)
        connection.exec_driver_sql("DELETE FROM outbox")
        connection.exec_driver_sql("UPDATE obligations SET next_due = NULL")


def found(desk: Desk) -> list[str]:
    """Return what is wrong, but for a watcher that has nothing to do here."""
    said = desk.rows("engine", "status")["findings"]
    return [finding["what"] for finding in said if finding["what"] != "watcher_silent"]


def await_beat(desk: Desk, switch: CityReceiver) -> None:
    """Wait for the next heartbeat, while a watcher lives."""
    before = len(switch.requests)

    def beaten() -> bool:
        tick(desk)
        return len(switch.requests) > before

    eventually(beaten, 30, "the heartbeat beats")


def restore(desk: Desk, backup: Path) -> None:
    """Put the database back as it was, as docs/operations.md says: with everything stopped."""
    database = desk.office.service.database
    database.close()
    path = Path(database.engine.url.database or "")
    for leftover in ("", "-wal", "-shm"):
        path.with_name(path.name + leftover).unlink(missing_ok=True)
    shutil.copy(backup, path)


def test_older_backup_is_found_by_a_real_auditor_started_anew_until_a_person_accepts_it(
    own: Desk, switch: CityReceiver, tmp_path: Path
) -> None:
    tick(own)
    backup = tmp_path / "last-night.sqlite3"
    with (
        closing(sqlite3.connect(own.office.service.database.engine.url.database or "")) as file,
        closing(sqlite3.connect(backup)) as copy,
    ):
        file.backup(copy)
    own.office.let_pass(own.office.new_report(), steps=5)
    tick(own)
    kept, auditor = head(own), Auditor(own, switch)
    auditor.start()
    try:
        await_beat(own, switch)
        file = Path(own.environment["BRIDGE_DATA_DIR"], "escalation-log-head")
        assert json.loads(file.read_text()) == {"seq": 10, "hash": kept.partition(":")[2], "by": "audit", "why": ""}
        auditor.kill()
        restore(own, backup)
        auditor.start()
        eventually(lambda: found(own) == ["log_cut_off"], 30, "the cut is found")
        assert "The end of the escalation log is cut off (5 count)" in own.run("doctor").output
        assert "Ujung catatan eskalasi terpotong" in own.office.inside("adi").get("/desk/").text
        assert 'bridge_finding{what="log_cut_off"} 5.0' in own.office.visitor().get("/metrics").text
        silent, seen = len(switch.requests), auditor.log.read_text().count("escalation_log_cut_off")
        eventually(lambda: auditor.log.read_text().count("escalation_log_cut_off") > seen + 1, 30, "it looks on")
        assert (found(own), len(switch.requests)) == (["log_cut_off"], silent)
        done = own.really_run("escalations", "accept-head", "--reason", "disk lost, last night's backup")
        assert (done.returncode, done.stdout) == (0, f"Accepted. Head: 5 {head(own).partition(':')[2]}\n")
        assert f"was={kept}" in done.stderr
        await_beat(own, switch)
        assert found(own) == []
        assert 'why="disk lost, last night\'s backup"' in auditor.log.read_text()
        assert "escalation_log_head_accepted by=cli:" in auditor.log.read_text()
    finally:
        auditor.stop()


def test_head_is_accepted_only_where_one_is_kept_that_is_not_in_the_log(own: Desk) -> None:
    kept = head(own)
    accept = ("escalations", "accept-head", "--reason", "restored")
    done = own.run(*accept)
    assert (done.exit_code, "run this with the auditor's BRIDGE_DATA_DIR" in done.output) == (1, True)
    file = Path(own.environment["BRIDGE_DATA_DIR"], "escalation-log-head")
    file.write_text(json.dumps({"seq": 5, "hash": kept.partition(":")[2], "by": "audit", "why": ""}))
    done = own.run(*accept)
    assert (done.exit_code, "number 5, the head kept, is in the log: nothing is cut off" in done.output) == (1, True)
    assert own.run("escalations", "accept-head").exit_code == 2, "a reason is needed"
    file.write_text("damaged")
    assert own.run(*accept).exit_code == 0
    assert json.loads(file.read_text()) == {"seq": 5, "hash": kept.partition(":")[2], "by": ANY, "why": "restored"}
