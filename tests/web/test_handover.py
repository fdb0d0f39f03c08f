"""A report changes hands on the desk: who may, what the pages say afterwards, and what is refused in words."""

from bridge.reports.states import Outcome, Status
from tests.web.office import ROLES, Office

SECRETARIAT = next(name for name, role in ROLES.items() if role == "secretariat")


def test_merged_report_says_where_it_went_and_the_other_where_it_came_from(office: Office) -> None:
    first, second = office.new_report(), office.new_report()
    visitor = office.inside(SECRETARIAT)
    assert "Gabungkan sebagai duplikat" in visitor.get(f"/desk/reports/{first}").text
    answer = visitor.post(f"/desk/reports/{first}/merge", into=second.lower(), reason="pengaduan yang sama")
    assert (answer.status_code, answer.location) == (302, f"/desk/reports/{second}")
    assert (office.report(first).outcome, office.report(first).merged_into) == (Outcome.DUPLICATE, second)
    closed, open_one = (visitor.get(f"/desk/reports/{ticket}").text for ticket in (first, second))
    assert f'digabung ke <a href="/desk/reports/{second}">' in closed
    assert "Digabung sebagai duplikat" in closed
    assert "Menerima gabungan laporan lain" in open_one
    assert first in open_one


def test_merge_that_makes_no_sense_is_refused_in_words_and_changes_nothing(office: Office) -> None:
    ticket, visitor = office.new_report(), office.inside(SECRETARIAT)
    assert visitor.post(f"/desk/reports/{ticket}/merge", into="no ticket", reason="x").status_code == 400
    assert visitor.post(f"/desk/reports/{ticket}/merge", into=ticket, reason="x").status_code == 409
    assert visitor.post(f"/desk/reports/{ticket}/merge", into="0000-0000-0000", reason="x").status_code == 404
    assert office.report(ticket).status is Status.RECEIVED


def test_transferred_report_is_with_the_other_office(office: Office) -> None:
    ticket, visitor = office.new_report(), office.inside(SECRETARIAT)
    here = office.report(ticket).office
    there = next(name for name in office.service.rules.book.offices if name != here)
    assert "Alihkan ke kantor lain" in visitor.get(f"/desk/reports/{ticket}").text
    answer = visitor.post(f"/desk/reports/{ticket}/transfer", office=there, reason="domisili")
    assert answer.status_code == 302
    assert office.report(ticket).office == there
    assert visitor.post(f"/desk/reports/{ticket}/transfer", office=there, reason="domisili").status_code == 409
    assert visitor.post(f"/desk/reports/{ticket}/transfer", office="moon", reason="domisili").status_code == 409


def test_report_is_sent_up_with_the_button_of_the_page_it_was_seen_on(office: Office) -> None:
    ticket, visitor = office.new_report(), office.inside(SECRETARIAT)
    assert "Naikkan sekarang" in visitor.get(f"/desk/reports/{ticket}").text
    form = {"kind": "acknowledge", "cycle": "1", "step": "0", "reason": "mendesak"}
    assert visitor.post(f"/desk/reports/{ticket}/escalate", **form).status_code == 302
    assert visitor.post(f"/desk/reports/{ticket}/escalate", **form).status_code == 409
    assert visitor.post(f"/desk/reports/{ticket}/escalate", **{**form, "step": "x"}).status_code == 400
    page = visitor.get(f"/desk/reports/{ticket}").text
    assert "Dinaikkan lebih awal" in page
    # The warnings before the rung told nobody, and neither page says they did.
    passed = "dilewati, tidak ada yang diingatkan"
    assert passed in page.partition("Riwayat")[2]
    assert passed in visitor.get(f"/desk/escalations?ticket={ticket}&warnings=1").text
