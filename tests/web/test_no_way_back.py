"""Nobody takes an acknowledgement back (docs/decisions/0023): whatever they try, and by whichever door."""

import json
from typing import Any

import pytest

from bridge.storage import reports as stored
from tests.web.keyboard import Desk

NAMES = ("unacknowledge", "un-ack", "unack", "received", "withdraw")


def state(desk: Desk) -> tuple[Any, ...]:
    """The report and its clocks."""
    found = desk.office.report(desk.ticket)
    with desk.office.service.database.read() as connection:
        return found, stored.obligations_of(connection, [found.report_id])[found.report_id]


@pytest.fixture(scope="module", autouse=True)
def _acknowledged(desk: Desk) -> None:
    assert desk.run("reports", "ack", desk.ticket, "--person", "ani").exit_code == 0
    assert desk.office.report(desk.ticket).status == "acknowledged"


@pytest.mark.parametrize("name", NAMES)
def test_page_and_api_know_no_such_move(desk: Desk, name: str) -> None:
    before, office = state(desk), desk.office
    assert office.inside("kartika").post(f"/desk/reports/{desk.ticket}/moves/{name}").status_code == 404
    path = f"/api/v1/reports/{desk.ticket}/moves/{name}"
    answer = office.visitor().bare_post(path, headers=office.token("kartika"), data=json.dumps({"reason": "keliru"}))
    assert (answer.status_code, answer.get_json()["detail"]) == (404, f"There is no move {name!r}.")
    assert state(desk) == before


def test_acknowledging_anew_or_reopening_is_no_way_either(desk: Desk) -> None:
    before, office = state(desk), desk.office
    acknowledged = office.visitor().bare_post(
        f"/api/v1/reports/{desk.ticket}/acknowledge", headers=office.token("kartika")
    )
    assert (acknowledged.status_code, acknowledged.get_json()["changed"]) == (200, False)
    again = office.visitor().post(office.link(desk.ticket, "budi"))
    assert again.status_code == 200
    body = json.dumps({"reason": "keliru"})
    path = f"/api/v1/reports/{desk.ticket}/moves/reopen"
    reopened = office.visitor().bare_post(path, headers=office.token("kartika"), data=body)
    assert reopened.status_code == 409
    assert "can only: ask_completion, register, close" in reopened.get_json()["detail"]
    assert state(desk) == before


@pytest.mark.parametrize("name", NAMES)
def test_command_line_knows_no_such_move(desk: Desk, name: str) -> None:
    before = state(desk)
    refused = desk.run("reports", "move", desk.ticket, name, "--reason", "keliru")
    assert (refused.exit_code, "is not one of" in refused.output) == (2, True)
    assert state(desk) == before


def test_whoever_is_given_it_has_the_clock_that_runs_and_need_not_acknowledge(desk: Desk) -> None:
    report, clocks = state(desk)
    desk.office.assign(desk.ticket, "budi")
    after, clocks_after = state(desk)
    assert (after.status, after.assignee, report.assignee) == ("acknowledged", "budi", "ani")
    assert clocks_after == clocks
    assert {clock.kind: clock.state for clock in clocks} == {"acknowledge": "met", "triage": "running"}
