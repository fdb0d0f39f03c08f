"""What pages and the API answer: moves by API, errors in words for people and problem+json for programs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from bridge.app import create_app
from bridge.reports.states import Status
from bridge.reports.tickets import ticket_for
from bridge.service import Service
from bridge.storage import escalations
from bridge.storage.tables import obligations
from tests.servers import free_port
from tests.web.office import CANARIES, Office, Visitor

LEAKS = ("Traceback", 'File "', "sqlalchemy", "werkzeug", "sqlite3", "psycopg", "bridge/", "a canary in the code")
#: The keys docs and scripts hold on to.
REPORT_KEYS = {
    "ticket", "report_id", "source", "external_id", "status", "outcome", "office", "assignee", "cycle", "category", "title",
    "case_number", "received_at", "obligations",
}  # fmt: skip


def api(office: Office, name: str, method: str, path: str, **options: object) -> TestResponse:
    """Call the API with somebody's token."""
    return office.visitor().client.open(f"/api/v1{path}", method=method, headers=office.token(name), **options)  # type: ignore[arg-type]


def assert_problem(answer: TestResponse, status: int) -> None:
    """Check that an answer is a problem as RFC 9457 writes it, and tells nothing of our insides."""
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    found = answer.get_json()
    assert set(found) == {"type", "title", "status", "detail"}
    assert found["status"] == status
    assert not [leak for leak in LEAKS if leak in answer.text]


# --- the API --------------------------------------------------------------------------------------------------------


def test_api_lists_and_shows_reports_with_the_promised_keys(office: Office) -> None:
    ticket = office.new_report()
    shown = api(office, "darma", "GET", f"/reports/{ticket}").get_json()
    listed = api(office, "darma", "GET", "/reports?status=received").get_json()
    assert set(shown) == REPORT_KEYS
    assert set(shown["obligations"][0]) == {"kind", "state", "level", "deadline_at", "next_due"}
    assert shown in listed
    assert all(report["status"] == "received" for report in listed)


def test_api_acknowledges_once_and_says_so_the_second_time(office: Office) -> None:
    ticket = office.new_report()
    first = api(office, "budi", "POST", f"/reports/{ticket}/acknowledge").get_json()
    second = api(office, "budi", "POST", f"/reports/{ticket}/acknowledge").get_json()
    assert first == {"ticket": ticket, "status": "acknowledged", "outcome": None, "cycle": 1, "changed": True}
    assert second == first | {"changed": False}
    assert office.report(ticket).assignee == "budi"


def test_api_walks_a_report_from_acknowledged_to_closed_and_open_again(office: Office) -> None:
    ticket = office.new_report()
    api(office, "ani", "POST", f"/reports/{ticket}/acknowledge")
    moves = [
        ("ask_completion", {"missing": ["saksi"]}, Status.NEEDS_COMPLETION),
        ("resume", {}, Status.ACKNOWLEDGED),
        ("register", {"case_number": "017/REG"}, Status.REGISTERED),
        ("close", {"outcome": "granted"}, Status.CLOSED),
        ("reopen", {"reason": "putusan dibatalkan"}, Status.RECEIVED),
    ]
    for move, body, status in moves:
        answer = api(office, "ani", "POST", f"/reports/{ticket}/moves/{move}", json=body)
        assert (answer.status_code, answer.get_json()["status"]) == (200, status)
    assert office.report(ticket).cycle == 2


def test_citizen_and_officer_see_until_when_an_award_is_carried_out_and_objected_to(office: Office) -> None:
    ticket, visitor = office.new_report(), office.inside("ani")
    pages = (f"/track/{ticket}", f"/desk/reports/{ticket}")
    api(office, "ani", "POST", f"/reports/{ticket}/acknowledge")
    api(office, "ani", "POST", f"/reports/{ticket}/moves/register", json={"case_number": "017/REG"})
    assert not any("Setelah putusan" in visitor.get(page).text for page in pages)
    api(office, "ani", "POST", f"/reports/{ticket}/moves/close", json={"outcome": "granted"})
    for page in pages:
        said = visitor.get(page).text.partition("Setelah putusan")[2]
        assert "pelaku usaha melaksanakan putusan, paling lambat" in said
        assert "(7 hari kerja, UU 8/1999 pasal 56(1))" in said
        assert "(14 hari kerja, UU 8/1999 pasal 56(2))" in said


@pytest.mark.parametrize(
    ("move", "body", "status"),
    [
        ("close", {}, 409),
        ("close", {"outcome": "granted"}, 409),
        ("close", {"outcome": "exploded"}, 400),
        ("close", {"outcome": "settled", "unknown": 1}, 400),
        ("register", {}, 409),
        ("ask_completion", {"missing": []}, 409),
        ("ask_completion", {"missing": [""]}, 400),
        ("resume", {}, 409),
        ("reopen", {"reason": "x"}, 409),
        ("withdraw", {}, 404),
        ("explode", {}, 404),
    ],
)
def test_move_that_is_not_allowed_changes_nothing(
    office: Office, move: str, body: dict[str, object], status: int
) -> None:
    ticket = office.new_report()
    api(office, "ani", "POST", f"/reports/{ticket}/acknowledge")
    assert_problem(api(office, "ani", "POST", f"/reports/{ticket}/moves/{move}", json=body), status)
    assert office.report(ticket).status is Status.ACKNOWLEDGED


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"[1]", b'"text"', b"1", b"null", b"\xff", b'{"outcome": []}', b'{"outcome": {}}', b'{"missing": 1}'],
)
def test_body_that_makes_no_sense_is_a_problem_and_no_fault_of_ours(office: Office, body: bytes) -> None:
    ticket = office.new_report()
    api(office, "ani", "POST", f"/reports/{ticket}/acknowledge")
    answer = api(office, "ani", "POST", f"/reports/{ticket}/moves/close", data=body, content_type="application/json")
    assert_problem(answer, 400)
    assert office.report(ticket).status is Status.ACKNOWLEDGED


def test_what_is_not_there_is_a_problem(office: Office) -> None:
    for method, path in (
        ("GET", "/reports/0000-0000-0000"),
        ("POST", "/reports/0000-0000-0000/acknowledge"),
        ("POST", "/reports/0000-0000-0000/moves/resume"),
        ("GET", "/nothing"),
    ):
        assert_problem(api(office, "ani", method, path), 404)
    assert_problem(api(office, "ani", "GET", "/reports?status=exploded"), 400)
    refused = api(office, "ani", "DELETE", "/reports")
    assert_problem(refused, 405)
    assert "GET" in refused.headers["Allow"]


# --- pages ----------------------------------------------------------------------------------------------------------


def test_officer_moves_a_report_with_the_forms_of_its_page(office: Office) -> None:
    ticket, ani = office.new_report(), office.inside("ani")
    at = f"/desk/reports/{ticket}"
    for path, form in (
        (f"{at}/acknowledge", {"back": "report"}),
        (f"{at}/moves/ask_completion", {"missing": "Saksi"}),
        (f"{at}/moves/register", {"case_number": "018/REG"}),
        (f"{at}/met/summons", {}),
        (f"{at}/moves/close", {"outcome": "settled", "reason": "damai"}),
    ):
        answer = ani.post(path, **form)
        assert (answer.status_code, answer.location) == (302, at), path
    report = office.report(ticket)
    assert (report.status, report.outcome, report.case_number) == (Status.CLOSED, "settled", "018/REG")
    assert "Perdamaian tercapai" in ani.get(at).text


def test_secretariat_gives_a_report_to_somebody_else_with_a_reason(office: Office) -> None:
    ticket = office.new_report()
    office.assign(ticket, "ani")
    office.inside("sekar").post(f"/desk/reports/{ticket}/assign", person="budi", reason="cuti")
    assert office.report(ticket).assignee == "budi"
    assert "alasan: cuti" in office.inside("sekar").get(f"/desk/reports/{ticket}").text
    assert office.inside("sekar").post(f"/desk/reports/{ticket}/assign", person="nobody", reason="x").status_code == 404


def test_officers_inbox_shows_their_desk_and_the_whole_office_on_request(office: Office) -> None:
    mine, other = office.new_report(title="Milik Ani"), office.new_report(title="Milik Budi")
    office.assign(mine, "ani")
    office.assign(other, "budi")
    ani = office.inside("ani")
    assert (mine in ani.get("/desk/").text, other in ani.get("/desk/").text) == (True, False)
    assert other in ani.get("/desk/?mine=0").text
    assert mine in office.inside("sekar").get("/desk/").text


def test_inbox_finds_by_ticket_subject_and_business(office: Office) -> None:
    ticket = office.new_report(title="Perihal yang langka", business={"name": "Toko Unik"})
    for words in (ticket, "yang langka", "toko unik"):
        assert ticket in office.inside("sekar").get("/desk/", query_string={"q": words}).text
    for words in ("tidak ada", "%", "_" * 14, "'"):
        assert office.inside("sekar").get("/desk/", query_string={"q": words}).status_code == 200


def test_log_filters_by_what_stands_in_the_address(office: Office) -> None:
    ticket, other = office.new_report(), office.new_report()
    office.let_pass(ticket, steps=5)
    office.let_pass(other, steps=3)
    chair = office.inside("kartika")

    def rows(query: str) -> list[tuple[str, int]]:
        return [(row["ticket"], row["level"]) for row in chair.get(f"/desk/escalations.json?{query}").get_json()]

    assert rows(f"ticket={ticket}") == [(ticket, 3), (ticket, 2), (ticket, 1)]
    assert rows(f"ticket={ticket.lower()}&warnings=1")[-1] == (ticket, 0)
    assert rows(f"ticket={ticket}&level=2") == [(ticket, 2)]
    assert (ticket, 3) in rows("person=kartika")
    assert (other, 1) not in rows("person=kartika")
    assert rows("kind=decision") == []
    assert chair.get("/desk/escalations?level=x&kind=%00&person='&ticket=%ff").status_code == 200


def test_clock_that_is_exhausted_without_a_row_in_the_log_is_shown_all_the_same(office: Office) -> None:
    ticket, chair = office.new_report(), office.inside("kartika")
    with office.service.database.write() as connection:
        mine = obligations.c.report_id == office.report(ticket).report_id
        connection.execute(obligations.update().where(mine).values(next_due=None))
    page = chair.get(f"/desk/escalations?exhausted=1&ticket={ticket}&kind=triage").text
    assert page.count(f">{ticket}</a>") == 1
    assert "semua langkah terlewati" in page
    (row,) = chair.get(f"/desk/escalations.json?exhausted=1&ticket={ticket}&kind=triage").get_json()
    assert (row["fired_at"], row["told"], row["answered"]) == (None, [], False)


def test_csv_and_json_of_the_log_are_the_same_rows(office: Office) -> None:
    office.let_pass(office.new_report(), steps=4)
    lines = office.inside("adi").get("/desk/escalations.csv").text.splitlines()
    rows = office.inside("adi").get("/desk/escalations.json").get_json()
    assert len(lines) == len(rows) + 1
    assert set(lines[0].split(",")) == set(rows[0])
    assert [line.split(",")[1] for line in lines[1:]] == [row["ticket"] for row in rows]


@pytest.mark.parametrize("form", ["csv", "json"])
def test_download_of_the_log_leaves_page_by_page_and_is_the_same(
    office: Office, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    office.let_pass(office.new_report(), steps=5)
    chair, path = office.inside("kartika"), f"/desk/escalations.{form}?warnings=1"
    at_once = chair.get(path).text
    monkeypatch.setattr(escalations, "PAGE", 2)
    answer = chair.client.get(path, environ_base={"REMOTE_ADDR": chair.address})
    pieces = [piece.decode() for piece in answer.iter_encoded()]
    assert (answer.is_streamed, "".join(pieces)) == (True, at_once)
    assert len(pieces) >= 3
    assert max(piece.count("\n") for piece in pieces) <= 2, "no more than a page at once"


def test_empty_log_is_downloaded_as_an_empty_one(office: Office) -> None:
    chair = office.inside("kartika")
    assert chair.get("/desk/escalations.json?kind=decision").get_json() == []
    assert len(chair.get("/desk/escalations.csv?kind=decision").text.splitlines()) == 1


def test_language_is_kept_over_pages_and_log_in(office: Office) -> None:
    visitor = office.visitor()
    assert "Masuk" in visitor.get("/desk/login").text
    visitor.post("/language/en", next="/desk/login")
    assert '<html lang="en">' in visitor.get("/desk/login").text
    visitor.post("/language/klingon", next="/")
    visitor.log_in("kartika")
    assert "Inbox" in visitor.get("/desk/").text


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/nothing", "/desk/nothing", "/desk/reports/0000-0000-0000", "/a/x", "/static/nothing.css", "/track/a/b"]
)
def test_missing_page_says_so_in_words(office: Office, path: str) -> None:
    answer = office.inside("adi").get(path)
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert "Tidak ditemukan" in answer.text
    assert not [leak for leak in LEAKS if leak in answer.text]


@pytest.fixture
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    """An application with a fault in it, asked by a citizen."""
    office = Office(tmp_path_factory.mktemp("broken"))

    def boom() -> str:
        raise ValueError("a canary in the code: " + CANARIES["name"])

    office.app.add_url_rule("/boom", view_func=boom)
    office.app.add_url_rule("/api/v1/boom", "boom2", view_func=boom)
    yield office.visitor()
    office.close()


def test_fault_of_ours_shows_no_trace_of_it(broken: Visitor) -> None:
    page = broken.get("/boom")
    assert page.status_code == 500
    assert "Ada yang salah di pihak kami" in page.text
    assert not [leak for leak in (*LEAKS, CANARIES["name"]) if leak in page.text]
    assert_problem(broken.get("/api/v1/boom"), 500)


def test_without_its_database_everything_says_503_and_when_to_come_back(tmp_path: Path) -> None:
    url = f"postgresql://bridge:a-secret-password@127.0.0.1:{free_port()}/bridge"
    service = Service.from_environment({"BRIDGE_DATA_DIR": str(tmp_path), "BRIDGE_DATABASE_URL": url})
    visitor = Visitor(create_app(service).test_client())
    ticket = ticket_for(b"any key", "qlue", "QL-1")
    answers = [visitor.log_in("ani"), visitor.get(f"/track/{ticket}")]
    answers.append(visitor.get("/api/v1/reports", headers={"Authorization": "Bearer x"}))
    for answer in answers:
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert "127.0.0.1" not in answer.text
    assert_problem(answers[-1], 503)
    answers.append(visitor.get("/readyz"))
    assert {answer.status_code for answer in answers} == {503}
    assert not [answer for answer in answers if "a-secret-password" in answer.text]
    assert visitor.get("/healthz").status_code == 200
    service.close()
