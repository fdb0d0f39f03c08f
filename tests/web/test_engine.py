"""The clockwork as people and programs see it: the banner, the command, the doctor, the figures, a worker that stops."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from bridge.reports.findings import Finding, What
from bridge.storage import engine
from bridge.storage.tables import engine as table
from tests.web.keyboard import Desk, assert_refused
from tests.web.office import Office

REASON = ("--reason", "jam server sedang disetel")


def put(office: Office, **values: Any) -> None:
    """Change the engine's row behind everybody's back."""
    with office.service.database.write() as connection:
        connection.execute(sa.update(table).values(values))


def well(office: Office, *found: What) -> None:
    """Let the watcher live and the auditor have found this, nothing else."""
    database = office.service.database
    with database.write() as connection:
        now = database.now(connection)
        engine.ticked(connection, now)
        engine.audited(connection, [Finding(what, 7, now - timedelta(minutes=5)) for what in found], now)


@pytest.fixture(autouse=True)
def _free(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave the engine of the module's office as it was found: free."""
    yield
    for name in ("desk", "office"):
        if name in request.fixturenames:
            found = request.getfixturevalue(name)
            put(found.office if name == "desk" else found, held_since=None, held_until=None, held_why=None, version=2)


# --- the banner -----------------------------------------------------------------------------------------------------

PAGES = ["/desk/", "/desk/inbox/rows", "/desk/escalations", "/desk/escalations/rows", "/desk/mail"]


@pytest.mark.parametrize("path", PAGES)
def test_every_page_says_once_that_the_clocks_are_held(office: Office, path: str) -> None:
    well(office)
    sekar = office.inside("sekar")
    assert "banner bad" not in sekar.get(path).text
    database = office.service.database
    with database.write() as connection:
        engine.hold_for_good(database, connection, "cli:root: jam", now=database.now(connection))
    page = sekar.get(path).text
    assert page.count("Pengawas tenggat ditahan, tidak ada eskalasi") == 1
    assert page.count("banner bad") == 1


def test_page_of_a_report_has_the_banner_too(office: Office) -> None:
    well(office, What.OUTBOX_LATE)
    page = office.inside("ani").get(f"/desk/reports/{office.new_report()}").text
    assert "Pesan tertahan di kotak keluar</strong>: 7 d" in page


def test_only_who_can_do_something_about_it_is_told_what(office: Office) -> None:
    well(office, What.LOG_UNSEALED)
    assert "escalations verify" in office.inside("adi").get("/desk/").text
    officers = office.inside("ani").get("/desk/").text
    assert ("Catatan eskalasi belum disegel" in officers, "escalations verify" in officers) == (True, False)


@pytest.mark.parametrize("what", [what for what in What if what not in (What.WATCHER_SILENT, What.ENGINE_HELD)])
def test_everything_the_auditor_finds_can_be_shown(office: Office, what: What) -> None:
    well(office, what)
    assert office.inside("adi").get("/desk/").text.count("banner bad") == 1


def test_pages_notice_by_themselves_that_watcher_and_auditor_are_silent(office: Office) -> None:
    put(office, ticked_at=None, audited_at=None, findings=[])
    page = office.inside("ani").get("/desk/").text
    assert "Pengawas tenggat tidak bekerja" in page
    assert "Pemeriksa tenggat tidak bekerja" in page


def test_citizens_page_says_nothing_of_our_troubles(office: Office) -> None:
    put(office, ticked_at=None)
    assert "banner" not in office.visitor().get(f"/track/{office.new_report()}").text


def test_missing_row_does_not_take_the_pages_away(office: Office) -> None:
    database = office.service.database
    with database.write() as connection:
        kept = dict(connection.execute(sa.select(table)).mappings().one())
        connection.execute(sa.delete(table))
    try:
        assert office.inside("ani").get("/desk/").status_code == 200
    finally:
        with database.write() as connection:
            connection.execute(sa.insert(table), [kept])


def test_readiness_does_not_depend_on_the_clockwork(office: Office) -> None:
    put(office, ticked_at=None, audited_at=None, held_why="clock: x")
    assert office.visitor().get("/readyz").status_code == 200


def test_figures_for_machines_name_every_finding(office: Office) -> None:
    well(office, What.MISSED_STEPS)
    text = office.visitor().get("/metrics").text
    assert 'bridge_finding{what="missed_steps"} 7.0' in text
    for what in set(What) - {What.MISSED_STEPS}:
        assert f'bridge_finding{{what="{what}"}} 0.0' in text


# --- the command ----------------------------------------------------------------------------------------------------


def test_engine_is_held_and_released_with_a_reason_and_status_says_so(desk: Desk) -> None:
    well(desk.office)
    promised = {
        "version", "held", "held_since", "held_until", "held_why", "ticked_at", "audited_at", "findings"
    }  # fmt: skip
    free = desk.rows("engine", "status")
    assert (set(free), free["held"], free["findings"]) == (promised, False, [])
    assert "held" in desk.run("engine", "hold", *REASON).output
    held = desk.rows("engine", "status")
    assert (held["held"], held["held_until"]) == (True, None)
    assert held["held_why"].endswith(": jam server sedang disetel")
    assert [finding["what"] for finding in held["findings"]] == ["engine_held"]
    assert "HELD since" in desk.run("engine", "status").output
    assert "jam server sedang disetel" in desk.run("engine", "release", *REASON).output
    assert not desk.rows("engine", "status")["held"]
    assert "free to fire" in desk.run("engine", "status").output


def test_restore_is_gone_on_from_with_a_reason_the_engine_held_and_cities_told(desk: Desk) -> None:
    put(desk.office, held_since=None, held_until=None, held_why=None)
    assert desk.run("engine", "restored").exit_code == 2
    assert desk.run("engine", "restored", "--reason", "x", "--since", "kemarin").exit_code == 1
    assert not desk.rows("engine", "status")["held"], "nothing was done"
    done = desk.run("engine", "restored", "--reason", "disk rusak", "--since", "2026-10-01")
    assert (done.exit_code, "The engine is held; nothing escalates until" in done.output) == (0, True)
    assert desk.rows("engine", "status")["held_why"].endswith(": disk rusak")


def test_hold_and_release_are_in_the_log_with_who_and_why(desk: Desk) -> None:
    for word, event in (("hold", "engine_held"), ("release", "engine_released")):
        done = desk.really_run("engine", word, *REASON, BRIDGE_LOG="json")
        (line,) = [json.loads(line) for line in done.stderr.splitlines()]
        assert (line["event"], line["why"]) == (event, REASON[1])
        assert line["by"].startswith("cli:")


def test_release_of_what_is_not_held_is_refused(desk: Desk) -> None:
    assert_refused(desk.really_run("engine", "release", *REASON), "the engine is not held")


@pytest.mark.parametrize("word", ["hold", "release"])
def test_reason_is_not_optional(desk: Desk, word: str) -> None:
    assert desk.run("engine", word).exit_code == 2


def test_doctor_shows_what_the_auditor_found_and_what_to_do(desk: Desk) -> None:
    well(desk.office, What.DELIVERIES_STRANDED)
    said = desk.run("doctor").output
    assert "FAIL clocks" in said
    assert "Deliveries stranded (7 count): nobody announces them again; start: bridge work relay_outbox" in said
    well(desk.office)
    assert "ok   clocks" in desk.run("doctor").output


# --- a worker of another version ------------------------------------------------------------------------------------


def test_worker_of_another_version_ends_with_one_clear_line_and_exit_code_1(desk: Desk) -> None:
    put(desk.office, version=3)
    done = desk.really_run("work", "watch_clocks")
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1
    assert "the database is ready for version 3 of the clocks, this is version 2" in lines[0]
