"""What lies aside, on the page and at the keyboard: seen, mended, released and discarded by those who may, and logged."""

import html
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import CapturingLogger

from bridge.broker.messages import Message
from bridge.desk.set_aside import shown, typed
from bridge.reports.tickets import ticket_for
from bridge.storage import outbox
from bridge.storage import set_aside as stored
from consumers.take_in import TakeIn
from schemas.messages import load_message
from tests.web.keyboard import Desk
from tests.web.office import Office
from tests.web.processes import new_id, report

INVALID = b'{"type": "report.submitted", "timestamp": "2026-11-23T10:00:00+07:00", "data": {"id": "QL-1"}} \xff'


class Siding:
    """What was set aside in an office, and what became of it."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.database = office.service.database

    def put(self, content: bytes = INVALID, **fields: Any) -> int:
        """Set something aside; returns its number."""
        row = {"source": "qlue", "webhook_id": new_id(), "why": "invalid", "reasons": ["data.title: Missing data for required field."]}  # fmt: skip
        row |= {
            "sha256": sha256(content).hexdigest(),
            "body": self.office.service.arrivals.vault.seal(content),
        } | fields
        with self.database.write() as connection:
            stored.put(self.database, connection, [row | {"received_at": self.database.now(connection)}])
            return max(line["id"] for line in stored.listed(connection, "", most=10_000))

    def row(self, number: int) -> dict[str, Any]:
        """Return its line, and `did`: what was decided about it."""
        with self.database.read() as connection:
            did = [(line["did"], line["actor"], line["reason"]) for line in stored.decisions(connection, number)]
            return stored.one(connection, number) | {"did": did}

    def take_in_released(self) -> None:
        """Let what was released come to its step."""
        service = self.office.service
        with self.database.write() as connection:
            rows = outbox.claim(self.database, connection, self.database.now(connection), 1000)
            outbox.forget(connection, [row["id"] for row in rows])
        sent = [load_message(json.loads(Message(row["type"], row["data"]).body())) for row in rows]
        webhooks = [message for message in sent if message["type"] == "webhook.received"]
        TakeIn(self.database, service.rules, service.arrivals).handle(webhooks)


@pytest.fixture(scope="module")
def siding(office: Office) -> Siding:
    """The office's."""
    return Siding(office)


def _path(number: int, deed: str = "") -> str:
    return f"/desk/set-aside/{number}" + (f"/{deed}" if deed else "")


# --- the page -------------------------------------------------------------------------------------------------------


def test_list_shows_what_waits_with_its_faults_in_words_and_links_to_it(siding: Siding) -> None:
    number = siding.put()
    gone = siding.put()
    siding.office.service.worklist.discard(gone, "cli:test", "uji")
    page = siding.office.inside("sekar").get("/desk/set-aside").text
    assert f'href="{_path(number)}"' in page
    assert "data.title: wajib ada" in page
    assert "bukan laporan yang sah" in page
    assert f'href="{_path(gone)}"' not in page
    discarded = siding.office.inside("adi").get("/desk/set-aside?state=discarded").text
    assert f'href="{_path(gone)}"' in discarded
    assert f'href="{_path(number)}"' not in discarded
    assert "Nomor" in siding.office.inside("adi").get("/desk/set-aside?state=exploded").text


def test_menu_says_how_many_wait_to_those_who_may_mend_and_to_nobody_else(siding: Siding) -> None:
    siding.put()
    waiting = siding.office.inside("sekar").get("/desk/").text
    assert "Disisihkan (" in waiting
    for name in ("ani", "kartika", "darma"):
        page = siding.office.inside(name).get("/desk/").text
        assert "/desk/set-aside" not in page


def test_page_shows_the_body_whole_and_logs_who_looked(siding: Siding, monkeypatch: pytest.MonkeyPatch) -> None:
    # structlog's own double: what other tests made of the log, and when it was first used, must not matter.
    heard = CapturingLogger()
    monkeypatch.setattr(
        "bridge.worklist.log", structlog.wrap_logger(heard, processors=[], wrapper_class=structlog.BoundLogger)
    )
    number = siding.put()
    page = siding.office.inside("sekar").get(_path(number)).text
    assert "\n" + shown(INVALID).replace('"', "&#34;") + "</textarea>" in page
    assert sha256(INVALID).hexdigest() in page
    (said,) = [call.kwargs for call in heard.calls if call.kwargs["event"] == "set_aside_looked_at"]
    assert said == {"event": "set_aside_looked_at", "number": number, "by": "person:sekar"}


def test_what_stands_in_the_editor_is_checked_for_the_page_and_for_a_browser_without_script(siding: Siding) -> None:
    number = siding.put()
    sekar = siding.office.inside("sekar")
    bare = sekar.post(_path(number, "check"), body='{"type": "report.submitted"')
    assert "Belum dapat diterima" in bare.text
    assert "isinya bukan JSON: periksa baris 1" in bare.text
    assert "{&#34;type&#34;: &#34;report.submitted&#34;</textarea>" in bare.text, "what was typed is kept"
    good = sekar.post(_path(number, "check"), body=report("QL-1").decode())
    assert "Dapat diterima." in good.text
    assert siding.row(number)["mended"] is None


def test_editor_of_htmx_gets_only_the_verdict(siding: Siding) -> None:
    number = siding.put()
    visitor = siding.office.inside("sekar")
    token = visitor.get(_path(number)).text.split('name="csrf_token" value="')[1].split('"')[0]
    form = {"csrf_token": token, "body": report("QL-1").decode()}
    part = visitor.bare_post(_path(number, "check"), data=form, headers={"HX-Request": "true"})
    assert part.status_code == 200
    assert "<html" not in part.text
    assert "Dapat diterima." in part.text


def test_mended_and_released_on_the_page_it_becomes_a_report_and_the_page_links_to_it(siding: Siding) -> None:
    number, external_id = siding.put(), new_id("QL")
    adi = siding.office.inside("adi")
    answer = adi.post(_path(number, "release"), body=report(external_id).decode(), reason="judul ditambahkan")
    assert (answer.status_code, answer.headers["Location"]) == (302, _path(number))
    siding.take_in_released()
    ticket = ticket_for(siding.office.service.settings.ticket_key, "qlue", external_id)
    assert siding.office.report(ticket).received_at == siding.row(number)["received_at"]
    page = adi.get(_path(number)).text
    assert f'href="/desk/reports/{ticket}"' in page
    assert "dilepaskan" in page
    assert "judul ditambahkan" in page
    assert "Adi" in page
    assert "Seperti semula datang" in page
    assert "<textarea" not in page


def test_kept_as_mended_it_waits_on_and_what_is_still_wrong_is_neither_kept_nor_lost(siding: Siding) -> None:
    number = siding.put()
    sekar = siding.office.inside("sekar")
    wrong = sekar.post(_path(number, "fix"), body='{"half": "typed"}', reason="uji")
    assert wrong.status_code == 422
    assert "half" in wrong.text
    assert "type: wajib ada" in wrong.text
    assert siding.row(number)["did"] == []
    assert sekar.post(_path(number, "fix"), body=report("QL-1").decode(), reason="uji").status_code == 302
    assert siding.row(number)["state"] == "waiting"
    assert sekar.post(_path(number, "release"), reason="siap").status_code == 302
    assert [did for did, _, _ in siding.row(number)["did"]] == ["mended", "released"]


def test_second_to_decide_is_told_in_words_and_a_reason_is_asked_for(siding: Siding) -> None:
    number = siding.put()
    sekar, adi = siding.office.inside("sekar"), siding.office.inside("adi")
    assert sekar.post(_path(number, "discard"), reason=" ").status_code == 400
    assert sekar.post(_path(number, "discard"), reason="kiriman uji").status_code == 302
    late = adi.post(_path(number, "release"), body=report("QL-1").decode(), reason="uji")
    assert late.status_code == 409
    assert siding.row(number)["did"] == [("discarded", "person:sekar", "kiriman uji")]
    assert adi.get(_path(2**63 - 1)).status_code == 404
    assert adi.get(_path(2**63)).status_code == 404


def test_editor_lays_json_out_line_by_line_and_the_page_shows_the_bytes_as_they_came_too(siding: Siding) -> None:
    body = b'{"type":"x","data":{"id":"K\xc3\xa9"}}'
    number = siding.put(body)
    page = html.unescape(siding.office.inside("sekar").get(_path(number)).text)
    assert '\n{\n  "type": "x",\n  "data": {\n    "id": "Ké"\n  }\n}</textarea>' in page
    assert f'<pre class="letter">{body.decode()}</pre>' in page


@pytest.mark.parametrize("deed", ["fix", "release", "discard"])
def test_who_has_not_seen_what_another_made_of_it_decides_nothing(siding: Siding, deed: str) -> None:
    number, mended = siding.put(), report("QL-1").decode()
    sekar, adi = siding.office.inside("sekar"), siding.office.inside("adi")
    assert 'name="seen" value="0"' in adi.get(_path(number)).text
    assert sekar.post(_path(number, "fix"), body=mended, reason="uji", seen="0").status_code == 302
    assert adi.post(_path(number, deed), body=shown(INVALID), reason="uji", seen="0").status_code == 409
    assert 'name="seen" value="1"' in adi.get(_path(number)).text
    assert adi.post(_path(number, deed), body=mended, reason="uji", seen="1").status_code == 302


def test_what_was_sealed_with_a_key_that_is_gone_is_said_and_can_be_discarded(siding: Siding) -> None:
    number = siding.put(body=b"gAAAAAB")
    adi = siding.office.inside("adi")
    assert adi.get(_path(number)).status_code == 409
    assert adi.post(_path(number, "discard"), reason="kunci hilang").status_code == 302


def test_line_whose_report_was_forgotten_says_so_on_the_page_and_at_the_keyboard(desk: Desk) -> None:
    number = Siding(desk.office).put(body=b"", state="discarded")
    page = desk.office.inside("adi").get(_path(number))
    assert (page.status_code, "sudah dihapus karena laporannya dilupakan" in page.text) == (200, True)
    said = desk.run("set-aside", "show", str(number))
    assert (said.exit_code, "the report was forgotten" in said.output) == (0, True)


@pytest.mark.parametrize(
    "body", [b'{\r\n"a": 1}', b'{\n"a": 1}\n', b"\n\n{}", b"\xff\xfe", b'{"a":\r1}', "é\u2028".encode()]
)
def test_body_nobody_touched_is_released_byte_for_byte_whatever_a_browser_makes_of_line_ends(body: bytes) -> None:
    sent = shown(body).replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    assert typed(sent, body) == body
    assert typed(sent + " ", body) != body
    assert b"\r" not in typed(sent + " ", body)


def test_body_of_the_largest_size_the_way_in_takes_can_be_mended(siding: Siding) -> None:
    large = report("QL-1", description="é" * 20_000)
    large += b" " * (256 * 1024 - len(large))
    number = siding.put()
    visitor = siding.office.inside("sekar")
    token = visitor.get(_path(number)).text.split('name="csrf_token" value="')[1].split('"')[0]
    form = {"csrf_token": token, "body": large.decode(), "reason": "uji"}
    sent = visitor.bare_post(_path(number, "release"), data=form, content_type="multipart/form-data")
    assert sent.status_code == 302


# --- the keyboard ---------------------------------------------------------------------------------------------------


@pytest.fixture
def at_keyboard(desk: Desk) -> Iterator[tuple[Desk, Siding]]:
    """A keyboard, and what lies aside there."""
    return desk, Siding(desk.office)


def test_what_is_set_aside_is_listed_with_its_keys_and_shown_whole(at_keyboard: tuple[Desk, Siding]) -> None:
    desk, siding = at_keyboard
    number = siding.put()
    listed = desk.rows("set-aside", "list")
    shown_whole = desk.run("set-aside", "show", str(number))
    assert {"id", "source", "webhook_id", "reasons", "received_at", "state"} <= set(listed[0])
    assert '"QL-1"}} \\xff' in shown_whole.output
    assert "data.title: Missing data" in shown_whole.output
    assert desk.run("set-aside", "show", str(number), "--raw").stdout_bytes == INVALID
    assert [row["id"] for row in desk.rows("set-aside", "list", "--most", "1")] == [listed[0]["id"]]
    missing = desk.really_run("set-aside", "show", "999999")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "Nothing set aside has the number 999999" in missing.stderr


def test_report_is_mended_from_a_file_and_released_from_the_keyboard(
    at_keyboard: tuple[Desk, Siding], tmp_path: Path
) -> None:
    desk, siding = at_keyboard
    number, file, external_id = str(siding.put()), tmp_path / "mended.json", new_id("QL")
    file.write_bytes(INVALID)
    wrong = desk.run("set-aside", "fix", number, str(file), "--reason", "uji")
    assert (wrong.exit_code, "still wrong:\n  - the body is not UTF-8" in wrong.output) == (1, True)
    early = desk.run("set-aside", "release", number, "--reason", "uji")
    assert (early.exit_code, "Mend it first" in early.output) == (1, True)
    assert siding.row(int(number))["did"] == []

    mended = desk.run("set-aside", "fix", number, "-", "--reason", "judul", typed=report(external_id).decode())
    assert mended.exit_code == 0, mended.output
    assert desk.run("set-aside", "release", number, "--reason", "siap").exit_code == 0
    row = siding.row(int(number))
    assert [(did, reason) for did, _, reason in row["did"]] == [("mended", "judul"), ("released", "siap")]
    assert all(actor.startswith("cli:") for _, actor, _ in row["did"])
    shown_after = desk.run("set-aside", "show", number).output
    assert "mended:" in shown_after
    assert "released" in shown_after
    siding.take_in_released()
    assert int(number) in {row["id"] for row in desk.rows("set-aside", "list", "--state", "released")}
    ticket = ticket_for(siding.office.service.settings.ticket_key, "qlue", external_id)
    assert siding.office.report(ticket).external_id == external_id


def test_discarded_at_the_keyboard_it_is_refused_a_second_time_with_one_message(
    at_keyboard: tuple[Desk, Siding],
) -> None:
    desk, siding = at_keyboard
    number = str(siding.put())
    assert desk.run("set-aside", "discard", number).exit_code == 2
    assert desk.run("set-aside", "discard", number, "--reason", "uji").exit_code == 0
    again = desk.really_run("set-aside", "release", number, "--reason", "uji")
    assert (again.returncode, again.stdout) == (1, "")
    assert f"Not possible: number {number} was discarded already" in again.stderr
    empty = desk.really_run("set-aside", "discard", number, "--reason", " ")
    assert (empty.returncode, "Traceback" in empty.stderr) == (1, False)


def test_erased_at_the_keyboard_its_bytes_are_gone_though_it_was_discarded_before(
    at_keyboard: tuple[Desk, Siding],
) -> None:
    desk, siding = at_keyboard
    number = siding.put()
    siding.office.service.worklist.discard(number, "cli:test", "uji")
    erased = desk.run("set-aside", "discard", str(number), "--erase", "--reason", "diminta pelapor")
    assert (erased.exit_code, "gone for good" in erased.output) == (0, True)
    row = siding.row(number)
    assert (row["state"], row["body"], [did for did, _, _ in row["did"]]) == ("discarded", b"", ["discarded"] * 2)


def test_forgetting_names_what_only_a_person_can_tell_and_says_how_to_erase_it(
    at_keyboard: tuple[Desk, Siding],
) -> None:
    desk, siding = at_keyboard
    ticket = siding.office.new_report()
    number = siding.put(f'{{"title": "{siding.office.report(ticket).external_id}",}}'.encode())
    said = desk.really_run("forget", ticket, "--reason", "diminta", "--even-open", "--yes")
    assert (said.returncode, f"about somebody else: {number}\n" in said.stderr) == (1, True), said.stderr
    assert "bridge set-aside discard NUMBER --erase" in said.stderr
    assert siding.row(number)["body"]


def test_doctor_says_how_much_lies_aside_and_since_when(at_keyboard: tuple[Desk, Siding]) -> None:
    desk, siding = at_keyboard
    siding.put()
    with siding.database.read() as connection:
        waiting = stored.heap(connection).waiting
    said = desk.run("doctor").output
    assert f"{waiting} lie aside, the oldest came " in said
    assert "bridge set-aside list" in said


def test_metrics_count_what_waits_and_the_age_of_the_oldest(siding: Siding) -> None:
    siding.put()
    figures = siding.office.visitor().get("/metrics").text
    assert "\nbridge_aside " in figures
    assert "\nbridge_aside_oldest_s " in figures
