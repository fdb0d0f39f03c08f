"""What a citizen attached: fetched through the guard, for those who need it, noted, and never another file unsaid."""

import re
import socket
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from bridge.forgetting import forget
from bridge.reports.moves import Actor
from bridge.storage import attachments, looks
from tests.receivers import Answer, CityReceiver
from tests.rude import Talk, heard, pours, says, says_once, serving
from tests.waiting import free_port
from tests.web.office import Office

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 600
JPEG = b"\xff\xd8\xff\xe0" + b"\1" * 600
KINDS = {
    "image/jpeg": JPEG,
    "image/png": PNG,
    "image/webp": b"RIFF\x10\0\0\0WEBPVP8 ",
    "image/heic": b"\0\0\0\x18ftypheic\0\0\0\0",
    "application/pdf": b"%PDF-1.7\n" + b"x" * 1000,
    "video/mp4": b"\0\0\0\x18ftypisom\0\0\0\0",
}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """An office whose operator allows the photo server on this machine, and nothing else."""
    made = Office(tmp_path_factory.mktemp("office"), BRIDGE_OUTGOING_ALLOW="127.0.0.1")
    yield made
    made.close()


@pytest.fixture
def photos() -> Iterator[CityReceiver]:
    """The city's server of photos."""
    server = CityReceiver()
    server.start()
    yield server
    server.stop()


def attached(office: Office, url: str) -> str:
    """Take in a report with an attachment that lies on Ani's desk, and return its ticket."""
    ticket = office.new_report(attachments=[{"url": url, "media_type": "image/jpeg"}])
    office.assign(ticket, "ani")
    return ticket


def fetched(office: Office, ticket: str, by: str = "ani", number: int = 1) -> TestResponse:
    return office.inside(by).post(f"/desk/reports/{ticket}/attachments/{number}")


def gives(photos: CityReceiver, body: bytes, media_type: str = "image/jpeg", status: int = 200) -> None:
    photos.answer_always(Answer(status, {"Content-Type": media_type}, body))


def looked(office: Office, ticket: str) -> list[tuple[str, str]]:
    """Return who looked at what, the page's own looks at the contact left out."""
    with office.service.database.read() as connection:
        found = looks.of(connection, office.report(ticket).report_id)
    return [(look["actor"], look["what"]) for look in found if look["what"] != "contact"]


# --- what is given --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("media_type", KINDS)
def test_file_is_a_download_of_the_kind_its_own_bytes_say(
    office: Office, photos: CityReceiver, media_type: str
) -> None:
    gives(photos, KINDS[media_type], "text/html")
    ticket = attached(office, photos.url)
    answer = fetched(office, ticket)
    assert (answer.status_code, answer.data, answer.mimetype) == (200, KINDS[media_type], media_type)
    assert re.fullmatch(
        r"attachment; filename=[\w-]+-1\.(jpg|png|webp|heic|pdf|mp4)", answer.headers["Content-Disposition"]
    )
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Attachment-SHA256"] == sha256(KINDS[media_type]).hexdigest()
    assert "X-Attachment-Changed" not in answer.headers


def test_text_is_given_where_it_is_said_to_be_text(office: Office, photos: CityReceiver) -> None:
    gives(photos, "Kronologi: é".encode() * 100, "text/plain; charset=utf-8")
    assert fetched(office, attached(office, photos.url)).mimetype == "text/plain"


def test_page_shows_a_button_and_never_the_address(office: Office, photos: CityReceiver) -> None:
    gives(photos, JPEG)
    ticket = attached(office, f"{photos.url}/rahasia-warga.jpg")
    page = office.inside("ani").get(f"/desk/reports/{ticket}").text
    assert f"/desk/reports/{ticket}/attachments/1" in page
    assert "SHA-256" not in page
    fetched(office, ticket)
    page = office.inside("ani").get(f"/desk/reports/{ticket}").text
    assert sha256(JPEG).hexdigest()[:16] in page
    assert "rahasia-warga" not in page


# --- who may, and that it is noted ----------------------------------------------------------------------------------


def test_only_who_sees_contacts_fetches_and_each_fetch_is_noted(office: Office, photos: CityReceiver) -> None:
    gives(photos, JPEG)
    ticket = attached(office, photos.url)
    for name in ("budi", "kartika", "darma", "adi"):
        assert fetched(office, ticket, name).status_code == 403
        assert "attachments/1" not in office.inside(name).get(f"/desk/reports/{ticket}").text
    assert (looked(office, ticket), photos.requests) == ([], [])
    assert [fetched(office, ticket, name).status_code for name in ("ani", "sekar")] == [200, 200]
    assert looked(office, ticket) == [("person:sekar", "attachment"), ("person:ani", "attachment")]
    assert "lampiran pelapor" in office.inside("kartika").get(f"/desk/reports/{ticket}").text


def test_fetch_that_fails_is_noted_too(office: Office) -> None:
    ticket = attached(office, f"http://127.0.0.1:{free_port()}/")
    assert fetched(office, ticket).status_code == 502
    assert looked(office, ticket) == [("person:ani", "attachment")]


@pytest.mark.parametrize("number", [0, 2, 10**30])
def test_attachment_that_is_not_there_is_not_found(office: Office, photos: CityReceiver, number: int) -> None:
    assert fetched(office, attached(office, photos.url), number=number).status_code == 404


def test_another_site_cannot_make_a_browser_fetch(office: Office, photos: CityReceiver) -> None:
    ticket = attached(office, photos.url)
    assert office.inside("ani").bare_post(f"/desk/reports/{ticket}/attachments/1").status_code == 400
    assert office.inside("ani").get(f"/desk/reports/{ticket}/attachments/1").status_code == 405
    assert photos.requests == []


# --- what is not given ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"<!doctype html><script>alert(1)</script>", "image/jpeg"),
        (b"<html>", "text/html"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
        (b"MZ\x90\0", "application/pdf"),
        (b"PK\3\4", "application/zip"),
        (b"GIF89a", "image/gif"),
        (b"\0\0\0\x18ftypXXXX", "video/mp4"),
        (b"\0\1\2", "text/plain"),
        (b"", "image/jpeg"),
        (b"", "text/plain"),
    ],
)
def test_anything_else_is_refused_in_words_whatever_it_is_called(
    office: Office, photos: CityReceiver, body: bytes, media_type: str
) -> None:
    gives(photos, body, media_type)
    answer = fetched(office, attached(office, photos.url))
    assert (answer.status_code, "Jenis lampiran tidak diterima" in answer.text) == (502, True)


@pytest.mark.parametrize("status", [204, 206, 301, 302, 404, 410, 500])
def test_status_but_200_is_told_and_a_redirect_not_followed(office: Office, photos: CityReceiver, status: int) -> None:
    photos.answer_always(Answer(status, {"Location": photos.url}, JPEG))
    answer = fetched(office, attached(office, photos.url))
    assert (answer.status_code, "Lampiran tidak diberikan" in answer.text) == (502, True)
    assert len(photos.requests) == 1


@pytest.mark.parametrize(
    "talk",
    [
        pours(b"HTTP/1.1 200 OK\r\n\r\n" + JPEG, b"x" * 65_536),
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 20000001\r\n\r\n" + JPEG + b"x" * (20_000_001 - len(JPEG))),
    ],
    ids=["endless", "one byte too many"],
)
def test_file_larger_than_the_cap_is_refused(office: Office, talk: Talk) -> None:
    with serving(talk) as server:
        answer = fetched(office, attached(office, server.url))
    assert (answer.status_code, "Lampiran terlalu besar" in answer.text) == (502, True)


def test_file_of_exactly_the_cap_is_given(office: Office) -> None:
    body = JPEG + b"x" * (20_000_000 - len(JPEG))
    with serving(says(b"HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n" + body)) as server:
        assert fetched(office, attached(office, server.url)).data == body


def test_file_cut_off_in_the_middle_is_none_and_leaves_no_hash(office: Office) -> None:
    with serving(says_once(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + JPEG)) as server:
        ticket = attached(office, server.url)
        answer = fetched(office, ticket)
    assert (answer.status_code, "Lampiran tidak terjangkau" in answer.text) == (502, True)
    assert kept(office, ticket) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.2:8311/",
        "http://[::1]/",
        "http://169.254.169.254/a.jpg",
        "http://10.0.0.1/",
        "http://2130706434/",
    ],
)
def test_address_inside_is_refused_although_it_is_written_out(office: Office, url: str) -> None:
    answer = fetched(office, attached(office, url))
    assert (answer.status_code, "tidak boleh dibuka" in answer.text) == (502, True)


def kept(office: Office, ticket: str) -> list[dict[str, object]]:
    """Return what is kept of a report's attachments."""
    with office.service.database.read() as connection:
        return list(attachments.of(connection, office.report(ticket).report_id).values())


# --- another file than at first -------------------------------------------------------------------------------------


def test_another_file_than_at_first_is_said_to_be_another_in_header_name_and_on_the_page(
    office: Office, photos: CityReceiver
) -> None:
    gives(photos, JPEG)
    ticket = attached(office, photos.url)
    fetched(office, ticket)
    [first] = kept(office, ticket)
    assert (first["media_type"], first["size_bytes"], first["other_at"]) == ("image/jpeg", len(JPEG), None)
    gives(photos, PNG)
    answer = fetched(office, ticket, "sekar")
    assert (answer.status_code, answer.data) == (200, PNG)
    assert sha256(JPEG).hexdigest() in answer.headers["X-Attachment-Changed"]
    assert "-1-BERUBAH.png" in answer.headers["Content-Disposition"]
    [now] = kept(office, ticket)
    assert (now["sha256"], now["other_sha256"]) == (sha256(JPEG).hexdigest(), sha256(PNG).hexdigest())
    assert "salah satu lampiran berubah" in office.inside("ani").get(f"/desk/reports/{ticket}").text
    gives(photos, JPEG)
    assert "X-Attachment-Changed" not in fetched(office, ticket).headers


def test_forgetting_a_report_forgets_what_its_attachments_were(office: Office, photos: CityReceiver) -> None:
    gives(photos, JPEG)
    ticket = attached(office, photos.url)
    fetched(office, ticket)
    assert len(kept(office, ticket)) == 1
    service = office.service
    forget(service.database, service.arrivals, ticket, Actor("cli:uji"), "diminta", even_open=True)
    assert kept(office, ticket) == []
    assert fetched(office, ticket).status_code == 404


def test_report_forgotten_while_its_attachment_is_fetched_keeps_nothing_of_it(office: Office) -> None:
    service, tickets = office.service, list[str]()

    def forgets(connection: socket.socket, over: threading.Event) -> None:
        heard(connection)
        forget(service.database, service.arrivals, tickets[0], Actor("cli:uji"), "diminta", even_open=True)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(JPEG) + JPEG)

    with serving(forgets) as server:
        tickets.append(attached(office, server.url))
        assert fetched(office, tickets[0]).status_code == 502
    assert office.report(tickets[0]).forgotten_at
    assert kept(office, tickets[0]) == []


def test_nothing_of_a_file_stays_in_the_data_folder(office: Office, photos: CityReceiver) -> None:
    gives(photos, JPEG)
    ticket = attached(office, photos.url)
    before = set(Path(office.service.settings.data_dir).rglob("*"))
    assert fetched(office, ticket).status_code == 200
    assert set(Path(office.service.settings.data_dir).rglob("*")) == before
