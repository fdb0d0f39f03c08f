"""`bridge calendar` and `bridge policies` at the keyboard: a decree comes, is looked at, is applied."""

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tests.web.keyboard import Desk
from tests.web.processes import ROOT
from tests.zones import changed_zone

SHIPPED = ROOT / "config"
SKB_2026 = "SKB 3 Menteri 1497/2/5-2025, day by day as brilio.net prints it"


@pytest.fixture
def own(tmp_path: Path) -> Desk:
    """An installation of the test's own, with a configuration folder to edit."""
    desk = Desk(tmp_path / "data")
    shutil.copytree(SHIPPED, tmp_path / "config", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    desk.environment["BRIDGE_CONFIG_DIR"] = str(tmp_path / "config")
    return desk


def decree(desk: Desk) -> None:
    """Write a decree into the calendar: the next eight days are off."""
    days = [date.today() + timedelta(days=n) for n in range(1, 9)]  # noqa: DTZ011 - any zone's tomorrow will do
    texts = [f'\n[[override]]\ndate = {day}\noff = true\nsource = "SKB"\n' for day in days]
    with Path(desk.environment["BRIDGE_CONFIG_DIR"], "calendars", "jakarta.toml").open("a", encoding="utf-8") as file:
        file.writelines(texts)


def test_decree_is_previewed_with_counts_applied_with_a_reason_and_seen_in_the_history(own: Desk) -> None:
    assert own.run("calendar", "preview").output == "Nothing moves: every open clock has today's version already.\n"
    decree(own)

    shown = own.run("calendar", "preview", "jakarta").output
    assert shown.startswith("1 open report moves, 0 become overdue. Deadlines: ")
    assert own.ticket in shown
    counted = json.loads(own.run("calendar", "preview", "--json").output)
    assert counted["counts"]["reports"] == 1
    triage = next(move for move in counted["moves"] if move["kind"] == "triage")
    assert triage["deadline_was"] < triage["deadline_now"]

    assert own.run("calendar", "apply", "--reason", " ").exit_code == 2
    done = own.run("calendar", "apply", "--reason", "SKB 3 Menteri")
    assert (done.exit_code, "1 open report moved" in done.output) == (0, True)
    line = [h for h in own.rows("reports", "show", own.ticket)["history"] if h["event"] == "due_moved"][-1]
    assert (line["data"]["reason"], line["actor"].partition(":")[0]) == ("SKB 3 Menteri", "cli")
    assert own.run("calendar", "apply", "--reason", "x").output.startswith("Nothing to do")
    own.office.close()


def test_year_is_proposed_confirmed_with_its_decree_and_no_clock_moves(own: Desk) -> None:
    listed = {(row["year"], row["on"]): row for row in own.rows("calendar", "propose", "jakarta")}
    assert (listed[2026, "2026-12-24"]["source"], listed[2026, "2026-12-24"]["here"]) == (SKB_2026, "both")
    eid = listed[2027, "2027-03-10"]
    assert (eid["source"], eid["here"], eid["estimated"]) == (None, "library", True)
    assert "jakarta 2027  a proposal of the library; nobody has confirmed it" in own.run("calendar", "propose").output

    done = own.run("calendar", "propose", "jakarta", "--write", "2027", "--source", 'SKB "3" Menteri')
    assert (done.exit_code, "26 days off of 2027 are confirmed in" in done.output) == (0, True)
    assert 'jakarta 2027  confirmed: SKB "3" Menteri' in own.run("calendar", "propose", "jakarta").output
    assert own.run("calendar", "preview").output.startswith("Nothing moves"), "the version is the same"
    assert "holidays of 2028, 2029, 2030 are what the library proposes" in own.run("config", "check").output
    own.office.close()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [("--write 2026 --source SKB", 1, "2026 is confirmed already"), ("--write 2031 --source SKB", 1, "proposes nothing for 2031"),
     ("--write 2027", 2, "--write needs --source"), ("--write x", 2, "not a valid integer")],
)  # fmt: skip
def test_confirmation_that_cannot_be_is_refused(desk: Desk, words: str, code: int, said: str) -> None:
    result = desk.run("calendar", "propose", "jakarta", *words.split())
    assert (result.exit_code, said in result.output) == (code, True)


def test_policy_is_previewed_and_applied(own: Desk) -> None:
    file = Path(own.environment["BRIDGE_CONFIG_DIR"], "policies.toml")
    text, rung = file.read_text("utf-8"), 'at = "10 working days"\nto = "role:dinas_head"'
    assert rung in text
    file.write_text(text.replace(rung, rung.replace("10", "11")), "utf-8")
    assert "default/triage takes triage@" in own.run("policies", "preview", "default").output
    assert own.run("policies", "apply", "--reason", "janji baru").exit_code == 0
    assert own.run("policies", "preview").output.startswith("Nothing moves")
    own.office.close()


@pytest.mark.parametrize(
    ("words", "said"), [("calendar preview mars", "there are jakarta"), ("policies preview mars", "policies.toml has crm, default")]
)  # fmt: skip
def test_name_that_is_not_in_the_files_is_answered_with_those_that_are(desk: Desk, words: str, said: str) -> None:
    result = desk.run(*words.split())
    assert (result.exit_code, said in result.output) == (1, True)


def test_zone_that_changes_is_noted_by_the_doctor_and_previewed_and_applied_like_any_edit(own: Desk) -> None:
    assert "counted by the calendar" not in own.run("doctor").output
    with changed_zone("Asia/Jakarta", 25_200, (datetime.now(UTC) + timedelta(hours=1), 28_800)):
        assert "2 open clocks are counted by the calendar jakarta as it was" in own.run("doctor").output
        assert own.run("calendar", "preview").output.startswith("1 open report moves")
        assert own.run("calendar", "apply", "--reason", "zona waktu tunggal").exit_code == 0
        assert own.run("calendar", "preview").output.startswith("Nothing moves")
        assert "counted by the calendar" not in own.run("doctor").output
    own.office.close()
