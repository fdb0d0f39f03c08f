"""An office that is renamed in the files while its reports are open: people go on with them, and are told what to do."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.cli import run
from bridge.reports.states import Status
from tests.web.keyboard import Desk
from tests.web.office import Office
from tests.web.processes import ROOT

#: What the desk can be asked for about a report, without changing it.
LOOKS = ("reports show {}", "clock explain {}", "clock explain {} --json", "notices preview escalation --ticket {}")


class Renamed(Desk):
    """An installation whose office was renamed from bpsk-dki to bpsk-jakarta after its first reports came."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "data")
        self._tickets = iter([self.office.new_report() for _ in range(5)])
        shutil.copytree(ROOT / "config", folder / "config", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
        for file in (folder / "config").glob("*.toml"):
            file.write_text(file.read_text("utf-8").replace("bpsk-dki", "bpsk-jakarta"), "utf-8")
        self.environment["BRIDGE_CONFIG_DIR"] = str(folder / "config")
        self.office.close()
        self.office = Office(folder / "data", BRIDGE_CONFIG_DIR=str(folder / "config"))

    def ticket_of_before(self) -> str:
        """Return a report of the office that is no more, another one each time."""
        return next(self._tickets)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Renamed]:
    """The one installation of these tests."""
    made = Renamed(tmp_path_factory.mktemp("renamed"))
    yield made
    made.office.close()


@pytest.mark.parametrize("words", LOOKS)
def test_report_of_an_office_that_is_no_more_can_be_looked_at(desk: Renamed, words: str) -> None:
    result = desk.run(*words.format(desk.ticket).split())
    assert (result.exit_code, result.exception) == (0, None)


def test_page_of_such_a_report_names_the_office_and_what_to_do(desk: Renamed) -> None:
    page = desk.office.inside("kartika").get(f"/desk/reports/{desk.ticket}")
    assert page.status_code == 200
    assert "alihkan laporan ke kantor lain" in page.text
    assert desk.ticket in desk.office.inside("kartika").get("/desk/").text


def test_such_a_report_goes_its_whole_way_at_the_keyboard(desk: Renamed) -> None:
    ticket = desk.ticket_of_before()
    moves = (
        "ack {}",
        "move {} ask_completion --missing KTP",
        "move {} resume",
        "move {} register --case-number 1/2026",
        "move {} close --outcome settled",
        "move {} reopen --reason banding",
    )
    for words in moves:
        result = desk.run("reports", *words.format(ticket).split())
        assert (result.exit_code, result.exception) == (0, None), words
    assert desk.office.report(ticket).cycle == 2


def test_such_a_report_is_acknowledged_by_link_and_by_a_program(desk: Renamed) -> None:
    ticket = desk.ticket_of_before()
    visitor = desk.office.visitor()
    link = desk.office.link(ticket, "ani")
    assert visitor.get(link).status_code == 200
    assert visitor.post(link).status_code == 200
    assert desk.office.report(ticket).status is Status.ACKNOWLEDGED
    other = desk.ticket_of_before()
    path, token = f"/api/v1/reports/{other}", desk.office.token("kartika")
    assert visitor.get(path, headers=token).status_code == 200
    assert visitor.bare_post(f"{path}/acknowledge", headers=token).status_code == 200
    assert desk.office.report(other).status is Status.ACKNOWLEDGED


def test_such_a_report_is_given_to_a_living_office_and_counted_by_its_calendar(desk: Renamed) -> None:
    ticket = desk.ticket_of_before()
    done = desk.run("reports", "transfer", ticket, "bpsk-jakarta", "--reason", "kantor berganti nama")
    assert (done.exit_code, desk.office.report(ticket).office) == (0, "bpsk-jakarta")
    assert desk.run("clock", "explain", ticket).exit_code == 0, "its history names the old office"


def test_doctor_counts_open_reports_of_offices_that_are_no_more_and_says_what_to_do(desk: Renamed) -> None:
    said = desk.run("doctor")
    assert said.exit_code == 1
    assert "FAIL offices" in said.output
    assert "open reports with bpsk-dki, which offices.toml no longer names" in said.output
    assert "bridge reports transfer TICKET OFFICE" in said.output
    listed = desk.rows("reports", "list", "--office", "bpsk-dki")
    assert listed
    assert {row["office"] for row in listed} == {"bpsk-dki"}


def test_process_that_starts_says_so_too(desk: Renamed, capsys: pytest.CaptureFixture[str]) -> None:
    run._prepare(desk.office.service, threading.Event())
    assert "with bpsk-dki, which offices.toml no longer names" in capsys.readouterr().err


def test_doctor_has_nothing_to_say_of_offices_that_are_there(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert "ok   offices" in desk.run("doctor").output
    desk.office.close()
