"""`bridge clock explain` and `bridge clock plan`: what they print, the keys they promise, and that CI can hold on to a plan."""

import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.cli.planning import differences
from bridge.reports.clocks import Kind
from bridge.reports.moves import Actor, Details
from bridge.reports.states import Move
from bridge.storage import people as stored_people
from tests.servers import free_port
from tests.web.keyboard import Desk, assert_refused
from tests.web.office import CANARIES
from tests.web.processes import ROOT, report

AT = ("--at", "2026-11-23T10:00", "--roles")
TEXTS = {"id": ("jam mulai: laporan diterima", "tingkat 3: Ketua BPSK (Kartika) akan diberitahu"), "en": ("the clock starts: the report was received", "level 3: Chair of BPSK (Kartika) will be notified")}  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A report as a city would send it."""
    path = tmp_path / "report.json"
    path.write_bytes(report(category="ASURANSI"))
    return path


@pytest.mark.parametrize("at", ["0001-01-01", "1899-12-31", "9999-12-30", "9999-12-31T23:59:59+00:00"])
def test_plan_for_a_year_nobody_plans_for_is_wrong_usage(desk: Desk, file: Path, at: str) -> None:
    result = desk.run("clock", "plan", str(file), "--roles", "--at", at)
    assert result.exit_code == 2
    assert "nobody plans but for the years 1900 to 2200" in result.output


@pytest.mark.parametrize("at", ["1900-01-01", "2200-12-31"])
def test_plan_for_the_first_and_the_last_year_is_made(desk: Desk, file: Path, at: str) -> None:
    assert desk.run("clock", "plan", str(file), "--roles", "--at", at).exit_code == 0


# --- explain --------------------------------------------------------------------------------------------------------


def test_explained_clock_has_the_promised_keys_and_adds_up(desk: Desk) -> None:
    answer = desk.rows("clock", "explain", desk.office.new_report())
    assert set(answer) == {"ticket", "now", "clocks", "desks"}
    for clock in answer["clocks"]:
        assert set(clock) == set(
            "kind cycle state span source policy calendar zone started_at deadline_at next_due ended_at ended_by lines steps".split()
        )
        assert clock["lines"][-1]["what"] == "deadline"
        assert clock["lines"][-1]["at"] == clock["deadline_at"]
        assert all({"at", "what", "counted_s", "counted_days", "facts", "text"} == set(line) for line in clock["lines"])
    clocks = {clock["kind"]: clock for clock in answer["clocks"]}
    assert sum(line["counted_s"] for line in clocks["acknowledge"]["lines"]) == pytest.approx(4 * 3600, abs=1e-3)
    assert sum(line["counted_days"] for line in clocks["triage"]["lines"]) == 5


def test_explained_ladder_names_who_is_next(desk: Desk) -> None:
    steps = desk.rows("clock", "explain", desk.office.new_report(), "--kind", "acknowledge")["clocks"][0]["steps"]
    assert [step["to"] for step in steps][2:] == [
        "next_member",
        "role:secretariat",
        "role:chair",
        "role:dinas_head",
        "role:admin",
    ]
    assert {step["what"] for step in steps} == {"ahead"}
    assert (steps[4]["who"], steps[4]["do"], steps[4]["level"]) == (["Kartika"], "notify", 3)


def test_what_has_fired_is_explained_with_when_and_whom(desk: Desk) -> None:
    steps = desk.rows("clock", "explain", desk.ticket, "--kind", "acknowledge")["clocks"][0]["steps"]
    assert [step["what"] for step in steps] == ["fired"] * 5 + ["ahead"] * 2
    assert [step["level"] for step in steps] == [0, 0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("language", ["id", "en"])
def test_account_is_told_in_both_languages(desk: Desk, language: str) -> None:
    text = desk.run("clock", "explain", desk.office.new_report(), "--lang", language).output
    assert all(said in text for said in TEXTS[language])


def test_only_the_wanted_clock_is_explained(desk: Desk) -> None:
    text = desk.run("clock", "explain", desk.office.new_report(), "--kind", "triage").output
    assert text.startswith("triage, cycle 1: running")
    assert "acknowledgement" not in text
    assert desk.run("clock", "explain", desk.ticket, "--kind", "tea").exit_code == 2


def test_waiting_for_the_citizen_is_told_apart_from_the_desks(desk: Desk) -> None:
    ticket = desk.office.new_report()
    for move in (Move.ACKNOWLEDGE, Move.ASK_COMPLETION):
        desk.office.service.casework.move(move, ticket, Actor("cli:test"), Details(missing=("KTP",)))
    desks = desk.rows("clock", "explain", ticket)["desks"]
    assert set(desks) == {"working_s", "waiting_for_citizen_s", "stays"}
    assert [stay["waiting_for_citizen"] for stay in desks["stays"]] == [False, True]
    assert [one["name"] for one in desks["working_s"]] == [desk.office.report(ticket).assignee.title()]  # type: ignore[union-attr]
    assert "KTP" in desk.run("clock", "explain", ticket, "--kind", "triage").output


@pytest.mark.parametrize("language", ["id", "en"])
def test_report_sent_up_early_is_explained_with_who_and_why_at_the_keyboard_and_on_its_page(
    desk: Desk, language: str
) -> None:
    ticket = desk.office.new_report()
    desk.office.service.casework.hurry(ticket, Actor("person:sekar"), "mendesak", kind=Kind.ACKNOWLEDGE)
    said = {"en": "sent up early by Sekar: mendesak", "id": "dinaikkan lebih awal oleh Sekar: mendesak"}[language]
    assert desk.run("clock", "explain", ticket, "--lang", language).output.count(said) == 3
    sekar = desk.office.inside("sekar")
    sekar.post(f"/language/{language}")
    assert sekar.get(f"/desk/reports/{ticket}").text.count(said) == 3


def test_merge_is_named_in_the_account_of_the_clock_that_goes_on(desk: Desk) -> None:
    duplicate, survivor = desk.office.new_report(), desk.office.new_report()
    desk.office.let_pass(duplicate, steps=1)
    desk.office.service.casework.merge(duplicate, survivor, Actor("person:sekar"), "sama")
    (clock,) = desk.rows("clock", "explain", survivor, "--kind", "acknowledge")["clocks"]
    assert duplicate in clock["lines"][0]["text"]
    assert [line["what"] for line in clock["lines"]].count("took_over") == 1
    assert (
        f"mengambil alih jam laporan {duplicate}" in desk.office.inside("kartika").get(f"/desk/reports/{survivor}").text
    )


def test_officer_who_acknowledges_has_the_report_on_the_own_desk_from_then_on(desk: Desk) -> None:
    ticket = desk.office.new_report()
    first = desk.office.report(ticket).assignee
    other = {"ani": "budi", "budi": "ani"}[str(first)]
    assert desk.run("reports", "ack", ticket, "--person", other).exit_code == 0
    assert [stay["person"] for stay in desk.rows("clock", "explain", ticket)["desks"]["stays"]] == [first, other]


def test_account_of_a_report_holds_no_personal_data(desk: Desk) -> None:
    texts = (
        desk.run("clock", "explain", desk.ticket).output + desk.run("clock", "explain", desk.ticket, "--json").output
    )
    assert not [canary for canary in CANARIES.values() if canary in texts]


# --- plan -----------------------------------------------------------------------------------------------------------


def test_plan_is_the_dated_ladder_of_every_clock_started_on_receipt(desk: Desk, file: Path) -> None:
    plan = desk.rows("clock", "plan", str(file), *AT)
    assert (plan["office"], plan["policy"], plan["people"], plan["received_at"]) == (
        "bpsk-dki",
        "default",
        "roles",
        "2026-11-23T10:00:00+07:00",
    )
    assert {clock["kind"]: clock["deadline_at"] for clock in plan["clocks"]} == {
        "acknowledge": "2026-11-23T15:00:00+07:00",
        "triage": "2026-11-30T16:00:00+07:00",
    }
    climbed = [(step["kind"], step["level"], step["at"][:16], step["to"]) for step in plan["steps"] if step["level"]]
    assert climbed == [
        ("acknowledge", 1, "2026-11-23T15:00", "next_member"),
        ("acknowledge", 2, "2026-11-24T10:30", "role:secretariat"),
        ("acknowledge", 3, "2026-11-24T15:30", "role:chair"),
        ("acknowledge", 4, "2026-11-26T16:00", "role:dinas_head"),
        ("acknowledge", 5, "2026-11-30T16:00", "role:admin"),
        ("triage", 1, "2026-11-30T16:00", "role:secretariat"),
        ("triage", 2, "2026-12-02T16:00", "role:chair"),
        ("triage", 3, "2026-12-07T16:00", "role:dinas_head"),
    ]
    assert [datetime.fromisoformat(step["at"]) for step in plan["steps"]] == sorted(
        datetime.fromisoformat(s["at"]) for s in plan["steps"]
    )
    assert not any(step["who"] for step in plan["steps"])


def test_plan_names_the_people_of_the_database(desk: Desk, file: Path) -> None:
    plan = desk.rows("clock", "plan", str(file), "--at", "2026-11-23T10:00")
    who = {step["level"]: step["who"] for step in plan["steps"] if step["kind"] == "acknowledge"}
    assert plan["people"] == "database"
    assert {plan["assignee"], *who[1]} == {"Ani", "Budi"}
    assert (who[3], who[4], who[5]) == (["Kartika"], ["Darma"], ["Adi"])


@pytest.mark.parametrize(("language", "said"), [("id", ", aturan "), ("en", ", rule ")])
def test_plan_has_its_header_in_the_language_asked_for(desk: Desk, file: Path, language: str, said: str) -> None:
    header = desk.run("clock", "plan", str(file), *AT, "--lang", language).output.splitlines()[0]
    assert said in header
    named = desk.run("clock", "plan", str(file), "--lang", language).output.splitlines()[0]
    assert {"id": ", ditugaskan kepada ", "en": ", assigned to "}[language] in named


def test_plan_needs_no_database_and_makes_none(desk: Desk, file: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "nothing here"
    text = desk.run("clock", "plan", str(file), "--at", "2026-11-23T10:00", BRIDGE_DATA_DIR=str(elsewhere)).output
    assert "level 3: Chair of BPSK will be notified" in text
    assert not [path for path in elsewhere.glob("*") if path.suffix == ".sqlite3"]
    away = f"postgresql://bridge:x@127.0.0.1:{free_port()}/bridge"
    # A database elsewhere wants a queue elsewhere too, and with them keys; none of them is asked here.
    variables = {"BRIDGE_DATABASE_URL": away, "BRIDGE_SECRET_KEY": "s" * 40, "BRIDGE_TICKET_KEY": "t" * 40}
    result = desk.run("clock", "plan", str(file), "--at", "2026-11-23T10:00", **variables)
    assert result.exit_code == 0, result.output
    assert "Roles only, no names" in result.output


def test_plan_that_is_as_expected_is_exit_code_0_and_wording_does_not_matter(
    desk: Desk, file: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "plan.json"
    kept.write_text(desk.run("clock", "plan", str(file), *AT, "--json", "--lang", "id").output)
    result = desk.run("clock", "plan", str(file), *AT, "--expect", str(kept), "--lang", "en")
    assert (result.exit_code, "2 clocks, 12 steps" in result.output) == (0, True)


def test_plan_that_changed_says_where_and_is_exit_code_1(desk: Desk, file: Path, tmp_path: Path) -> None:
    kept = tmp_path / "plan.json"
    kept.write_text(desk.run("clock", "plan", str(file), *AT, "--json").output)
    shutil.copytree(ROOT / "config", tmp_path / "config", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    policies = tmp_path / "config/policies.toml"
    policies.write_text(policies.read_text().replace('at = "8 working hours"', 'at = "9 working hours"', 1))
    done = desk.really_run(
        "clock", "plan", str(file), *AT, "--expect", str(kept), BRIDGE_CONFIG_DIR=str(tmp_path / "config")
    )
    assert done.returncode == 1
    assert done.stdout == 'steps[4].at: expected "2026-11-24T10:30:00+07:00", is "2026-11-24T11:30:00+07:00"\n'
    assert done.stderr.endswith("plan.json, in 1 place\n")


def test_step_that_came_or_went_is_told_as_such(desk: Desk, file: Path, tmp_path: Path) -> None:
    plan: dict[str, Any] = desk.rows("clock", "plan", str(file), *AT)
    kept = tmp_path / "plan.json"
    last = plan["steps"].pop()
    kept.write_text(json.dumps(plan))
    output = desk.run("clock", "plan", str(file), *AT, "--expect", str(kept)).output
    assert f"steps[12]: expected nothing, is {last['text']}" in output


@pytest.mark.parametrize(
    ("body", "words", "said"),
    [
        (b"{}", AT, "is not a report"),
        (
            b'{"type": "report.withdrawn", "timestamp": "2026-11-23T10:00:00+07:00", "data": {"id": "x"}}',
            AT,
            "starts no clocks",
        ),
        (report(), ("--at", "tomorrow"), "'tomorrow' is not a date or time"),
    ],
)
def test_plan_of_what_is_no_report_is_refused(
    desk: Desk, tmp_path: Path, body: bytes, words: tuple[str, ...], said: str
) -> None:
    file = tmp_path / "report.json"
    file.write_bytes(body)
    assert_refused(desk.really_run("clock", "plan", str(file), *words), said)


def test_expected_file_that_is_no_plan_is_refused(desk: Desk, file: Path, tmp_path: Path) -> None:
    kept = tmp_path / "plan.json"
    kept.write_text("no plan")
    assert_refused(
        desk.really_run("clock", "plan", str(file), *AT, "--expect", str(kept)), "is no output of clock plan --json"
    )


def test_absent_officer_is_passed_over_in_the_plan(desk: Desk, file: Path) -> None:
    with desk.office.service.database.write() as connection:
        stored_people.set_absence(connection, "ani", datetime.fromisoformat("2026-11-01T00:00+07:00"), None)
    try:
        plan = desk.rows("clock", "plan", str(file), "--at", "2026-11-23T10:00")
        first = next(step for step in plan["steps"] if step["level"] == 1)
        assert (plan["assignee"], first["who"], first["do"]) == ("Budi", [], "no_target")
        # A rung that finds nobody costs no waiting: the next one is reached at the same moment.
        second = next(step for step in plan["steps"] if step["level"] == 2)
        assert second["at"] == first["at"]
    finally:
        with desk.office.service.database.write() as connection:
            stored_people.set_absence(connection, "ani", None, None)


_JSON = st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3))  # fmt: skip


@given(_JSON, _JSON)
@settings(max_examples=200, deadline=None)
def test_two_documents_differ_exactly_when_a_difference_is_found(one: Any, other: Any) -> None:
    assert list(differences("", one, one)) == []
    assert bool(list(differences("", one, other))) == (_without_nothing(one) != _without_nothing(other))


def _without_nothing(value: Any) -> Any:
    """A key or a last entry that is null says no more than one that is not there."""
    if isinstance(value, dict):
        return {key: one for key, one in ((k, _without_nothing(v)) for k, v in value.items()) if one is not None}
    if isinstance(value, list):
        found = [_without_nothing(one) for one in value]
        while found and found[-1] is None:
            found.pop()
        return found
    return value
