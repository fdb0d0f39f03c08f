"""The texts of the mail, looked at before anybody is told: at the keyboard, and on the desk."""

import re
import subprocess
import sys
from datetime import datetime
from html import unescape
from pathlib import Path

import pytest

from bridge.delivery.notices import KINDS
from bridge.links import BadLink
from bridge.reports.tickets import ticket_for
from bridge.storage import reports as stored
from bridge.words import when
from tests.web.keyboard import Desk
from tests.web.office import CANARIES, Office

#: Right in itself, but no report has it.
NOBODYS = ticket_for(b"another key", "qlue", "QL-1")


@pytest.mark.parametrize("kind", KINDS)
def test_preview_prints_subject_and_text_or_html(desk: Desk, kind: str) -> None:
    text, html = desk.run("notices", "preview", kind, "--lang", "id"), desk.run("notices", "preview", kind, "--html")
    subject, empty, *body = text.output.splitlines()
    assert "K7Q2-9XWM-4T8K" in subject
    assert (empty, body[0]) == ("", "Yth. Ani Rahmawati,")
    assert html.output.startswith('<!doctype html>\n<html lang="en">')


def test_preview_of_a_real_report_has_its_real_deadline_and_nothing_of_the_citizen(desk: Desk) -> None:
    result = desk.run(
        "notices", "preview", "new_report", "--ticket", desk.ticket.lower(), "--to", "sekar", "--lang", "id"
    )
    report = desk.office.report(desk.ticket)
    assert report.title in result.output.splitlines()[0]
    assert when(_deadline(desk), "id") in result.output
    assert not [canary for canary in CANARIES.values() if canary in result.output]
    assert "Yth. Sekar," in result.output


def _deadline(desk: Desk) -> datetime:
    report = desk.office.report(desk.ticket)
    with desk.office.service.database.read() as connection:
        clocks = stored.obligations_of(connection, [report.report_id])[report.report_id]
    return next(clock.deadline_at for clock in clocks if clock.kind == "acknowledge")


def test_preview_cannot_acknowledge(desk: Desk) -> None:
    result = desk.run("notices", "preview", "new_report", "--ticket", desk.ticket)
    token = re.search(r"/a/(\S+)", result.output)
    assert token
    with pytest.raises(BadLink):
        desk.office.service.links.read(token[1])


def test_unknown_kind_lists_the_known(desk: Desk) -> None:
    result = desk.run("notices", "preview", "eskalasi")
    assert result.exit_code == 2
    assert f"there are {', '.join(KINDS)}" in result.output


def test_preview_of_nobody_s_report_or_to_nobody_is_refused(desk: Desk) -> None:
    assert "No report" in desk.really_run("notices", "preview", "warning", "--ticket", NOBODYS).stderr
    assert "No person" in desk.really_run("notices", "preview", "warning", "--to", "nobody").stderr


def test_config_check_tells_faults_of_texts_with_those_of_all_other_files(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "warning.id.txt").write_text("{{ tiket }}")
    done = desk.really_run("config", "check", BRIDGE_CONFIG_DIR=str(tmp_path))
    assert done.returncode == 1
    assert "texts/warning.id.txt:1: no field 'tiket'" in done.stderr
    assert "routing.toml: missing" in done.stderr


def test_receiver_does_not_read_the_texts(desk: Desk) -> None:
    code = "import bridge.receiver.wsgi, sys; print([n for n in sys.modules if 'wording' in n or 'delivery.n' in n])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=desk.environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("kind", KINDS)
def test_page_shows_each_kind_in_each_language_in_a_frame_that_can_run_nothing(office: Office, kind: str) -> None:
    admin = office.inside("adi")
    page = admin.get(f"/desk/texts?kind={kind}&lang=en")
    frame = re.search(r'<iframe [^>]*sandbox=""[^>]*srcdoc="([^"]*)"', page.text)
    assert (page.status_code, frame is not None) == (200, True)
    assert frame
    assert "Dear Ani Rahmawati" in unescape(frame[1])
    assert "Yth. Ani Rahmawati" in admin.get(f"/desk/texts?kind={kind}&lang=id").text
    assert "style-src-attr 'unsafe-inline'" in page.headers["Content-Security-Policy"]


def test_page_shows_a_real_report_and_says_when_there_is_none(office: Office) -> None:
    admin, ticket = office.inside("adi"), office.canary_report()
    assert f"Laporan baru {ticket}" in admin.get(f"/desk/texts?ticket={ticket.lower()}").text
    for wrong in (NOBODYS, "bukan tiket"):
        assert 'role="alert"' in admin.get(f"/desk/texts?ticket={wrong}").text
    assert 'role="alert"' not in admin.get("/desk/texts?kind=x&lang=x").text
