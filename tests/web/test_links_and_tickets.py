"""Doors without a log-in: the notified officer's link, and the citizen's page. They show little and give nothing away."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from bridge.links import AckLink
from bridge.reports.moves import Actor, Details
from bridge.reports.states import Move, Outcome, Status
from bridge.reports.tickets import CROCKFORD, ticket_for
from tests.web.office import CANARIES, ROLES, Office, Visitor

CHAIR = Actor("cli:test")


def click(visitor: Visitor, link: str) -> tuple[int, str]:
    """Press the button a one-click page shows."""
    answer = visitor.post(link)
    return answer.status_code, answer.text


def changed_at(link: str, place: int) -> str:
    """Return the link with one letter changed to another."""
    return f"{link[:place]}{'B' if link[place] == 'A' else 'A'}{link[place + 1 :]}"


def close_and_reopen(office: Office, ticket: str) -> None:
    """Bring a report into its second cycle."""
    office.service.casework.acknowledge(ticket, CHAIR)
    office.service.casework.move(Move.CLOSE, ticket, CHAIR, Details(outcome=Outcome.SETTLED))
    office.service.casework.move(Move.REOPEN, ticket, CHAIR, Details(reason="belum selesai"))


# --- the notified officer's link ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_looking_at_a_link_changes_nothing(office: Office, method: str) -> None:
    ticket = office.new_report()
    answer = office.visitor().client.open(office.link(ticket, "budi"), method=method)
    assert answer.status_code == 200
    assert office.report(ticket).status is Status.RECEIVED
    if method == "GET":
        assert "Ya, saya tangani" in answer.text


def test_one_click_acknowledges_in_the_officers_name_and_a_second_says_so(office: Office) -> None:
    ticket = office.new_report()
    link, visitor = office.link(ticket, "budi"), office.visitor()
    assert click(visitor, link)[0] == 200
    report = office.report(ticket)
    assert (report.status, report.assignee) == (Status.ACKNOWLEDGED, "budi")
    status, page = click(visitor, link)
    assert (status, "sudah ditanggapi sebelumnya" in page) == (200, True)
    assert "Ya, saya tangani" not in visitor.get(link).text


def test_twenty_clicks_at_once_are_one_acknowledgement(office: Office) -> None:
    ticket = office.new_report()
    link, visitors = office.link(ticket, "ani"), [office.visitor() for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda visitor: click(visitor, link), visitors))
    assert {status for status, _ in answers} == {200}
    assert sum("Terima kasih" in page for _, page in answers) == 1


def test_link_of_an_earlier_cycle_acknowledges_nothing(office: Office) -> None:
    ticket = office.new_report()
    link = office.link(ticket, "budi")
    close_and_reopen(office, ticket)
    status, page = click(office.visitor(), link)
    assert (status, "tidak berlaku lagi" in page) == (409, True)
    assert office.report(ticket).status is Status.RECEIVED
    assert "Ya, saya tangani" not in office.visitor().get(link).text


def test_link_to_a_closed_report_says_so_and_changes_nothing(office: Office) -> None:
    ticket = office.new_report()
    link = office.link(ticket, "budi")
    office.service.casework.acknowledge(ticket, CHAIR)
    office.service.casework.move(Move.CLOSE, ticket, CHAIR, Details(outcome=Outcome.NOT_COMPETENT))
    assert click(office.visitor(), link)[0] == 200
    assert office.report(ticket).status is Status.CLOSED


def test_damaged_link_is_not_found_and_shows_nothing(office: Office) -> None:
    ticket = office.new_report()
    link = office.link(ticket, "budi")
    damaged = [
        changed_at(link, len(link) - 3),
        link[:-5],
        changed_at(link, 9),
        "/a/x",
        "/a/" + "x" * 5_000,
        "/a/..",
    ]
    for path in damaged:
        answer = office.visitor().get(path)
        assert answer.status_code == 404, path
        assert "Motor" not in answer.text
        assert click(office.visitor(), path)[0] == 404
    assert office.report(ticket).status is Status.RECEIVED


def test_link_made_with_another_key_is_not_found(office: Office, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = Office(tmp_path_factory.mktemp("other"))
    ticket = other.new_report()
    link = other.link(ticket, "budi")
    other.close()
    assert office.visitor().get(link).status_code == 404


def test_link_to_a_report_or_by_a_person_that_never_was_is_not_found(office: Office) -> None:
    known = office.report(office.new_report()).report_id
    for link in (AckLink("00000000-0000-0000-0000-000000000000", 1, "budi"), AckLink(known, 1, "nobody")):
        path = office.service.links.to_acknowledge(link).removeprefix(office.service.settings.public_url)
        assert office.visitor().get(path).status_code == 404


def test_link_shows_no_contacts_and_logs_nobody_in(office: Office) -> None:
    visitor = office.visitor()
    page = visitor.get(office.link(office.canary_report(), "budi")).text
    assert not [canary for canary in CANARIES.values() if canary in page]
    assert visitor.get("/desk/").status_code == 302


# --- the citizen's page ---------------------------------------------------------------------------------------------

TOKEN = re.compile(r'name="csrf_token" value="[^"]+"|name="next" value="[^"]+"')


def test_wrong_and_missing_tickets_answer_alike(office: Office) -> None:
    visitor = office.visitor()
    visitor.get("/track/")
    well_formed = ticket_for(b"a key nobody uses here", "qlue", "QL-1")
    last = well_formed[-1]
    misspelt = well_formed[:-1] + CROCKFORD[(CROCKFORD.index(last) + 1) % 32]
    answers = [
        visitor.get(f"/track/{text}") for text in (well_formed, misspelt, "x", "'; DROP TABLE reports", "é" * 12)
    ]
    answers.append(visitor.get("/track/?ticket=nonsense"))
    assert {answer.status_code for answer in answers} == {404}
    assert len({TOKEN.sub("", answer.text) for answer in answers}) == 1
    assert len({tuple(sorted(n for n, _ in answer.headers)) for answer in answers}) == 1


def test_ticket_is_found_however_a_person_writes_it(office: Office) -> None:
    ticket = office.new_report()
    plain = ticket.replace("-", "")
    for text in (ticket, ticket.lower(), plain, plain.lower(), f"{plain[:6]} {plain[6:]}"):
        assert office.visitor().get(f"/track/{text}").status_code == 200
    asked = office.visitor().get("/track/", query_string={"ticket": f" {plain.lower()} "})
    assert (asked.status_code, asked.location) == (302, f"/track/{ticket}")


def bring_to(office: Office, ticket: str, status: Status) -> None:
    """Make the move that leads to the next state."""
    move, details = {
        Status.ACKNOWLEDGED: (Move.ACKNOWLEDGE, Details()),
        Status.NEEDS_COMPLETION: (Move.ASK_COMPLETION, Details(missing=("bukti pembelian",))),
        Status.REGISTERED: (Move.REGISTER, Details(case_number="017/REG")),
        Status.CLOSED: (Move.CLOSE, Details(outcome=Outcome.GRANTED)),
    }[status]
    office.service.casework.move(move, ticket, CHAIR, details)


@pytest.mark.parametrize("language", ["id", "en"])
def test_citizens_page_holds_nothing_personal_in_any_state(office: Office, language: str) -> None:
    ticket, visitor = office.canary_report(), office.visitor()
    visitor.post(f"/language/{language}")
    hidden = [*CANARIES.values(), "Motor ditarik", "QL-", "Budi", "Ani", "017/REG", office.report(ticket).report_id]
    pages = [visitor.get(f"/track/{ticket}").text]
    for status in list(Status)[1:]:
        bring_to(office, ticket, status)
        pages.append(visitor.get(f"/track/{ticket}").text)
    for page in pages:
        assert not [canary for canary in hidden if canary in page]
    assert [found for page in pages for found in re.findall('class="status (.+?)"', page)] == [
        "merah",
        "kuning",
        "kuning",
        "kuning",
        "hijau",
    ]


def test_citizen_sees_what_is_asked_and_by_when(office: Office) -> None:
    ticket = office.new_report()
    bring_to(office, ticket, Status.ACKNOWLEDGED)
    bring_to(office, ticket, Status.NEEDS_COMPLETION)
    page = office.visitor().get(f"/track/{ticket}").text
    assert "Yang diminta dari Anda" in page
    assert "bukti pembelian" in page
    assert "Batas waktu" in page


def test_guessing_tickets_is_slowed_down_and_says_how_long(office: Office) -> None:
    guesser, ticket = office.visitor(), office.new_report()
    statuses = [guesser.get(f"/track/guess-{number}").status_code for number in range(40)]
    assert (statuses[0], statuses[-1]) == (404, 429)
    slowed = guesser.get(f"/track/{ticket}")
    assert (slowed.status_code, int(slowed.headers["Retry-After"]) >= 1) == (429, True), (
        "a right guess looks like a wrong one"
    )
    assert office.visitor().get(f"/track/{ticket}").status_code == 200


def test_citizen_may_look_at_the_own_ticket_as_often_as_the_page_renews_itself(office: Office) -> None:
    citizen, ticket = office.visitor(), office.new_report()
    assert {citizen.get(f"/track/{ticket}").status_code for _ in range(100)} == {200}


def test_escalations_are_shown_to_the_citizen_with_offices_and_without_names(office: Office) -> None:
    ticket = office.new_report()
    office.let_pass(ticket, steps=6)
    page = office.visitor().get(f"/track/{ticket}").text
    shown = re.findall(r"Eskalasi ke ([\w ]+?)<br>", page)
    assert shown == ["anggota berikutnya", "Sekretariat", "Ketua BPSK", "Kepala Dinas"]
    assert "sudah lewat" in page
    assert not [name for name in ROLES if name.title() in page]


def test_citizens_page_after_everybody_was_told_says_so(office: Office) -> None:
    ticket = office.new_report()
    office.let_pass(ticket, steps=7)
    page = office.visitor().get(f"/track/{ticket}").text
    assert "semua atasan sudah diberitahu" in page
    assert "Eskalasi ke Admin kota" in page
