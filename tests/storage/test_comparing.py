"""Reports of one grievance find each other, open and closed, until somebody says that they are not the same."""

from datetime import timedelta

import pytest

from bridge.comparing import about_business, alike, dismiss
from bridge.forgetting import forget
from bridge.reports.merging import NotPossible
from bridge.reports.moves import Actor, Details
from bridge.reports.states import Move, Outcome
from bridge.storage import likenesses
from tests.storage.office import ANI, ARRIVALS, KARTIKA, Office

SITI = {"name": "Siti Kenari", "phone": "+62 812-0000-7777"}
BUDI = {"name": "Budi Kenanga", "phone": "+62 812-0000-8888"}
MAJU = {"name": "PT. Maju Jaya, Tbk"}


def same(office: Office, ticket: str) -> list[tuple[str, int]]:
    """Return the city's ids of the reports found like this one, with the scores."""
    with office.database.read() as connection:
        return [(a.report.external_id, a.likeness.score) for a in alike(connection, office.report(ticket))]


def twice(office: Office) -> tuple[str, str]:
    """Take in one grievance under two ids; returns the tickets."""
    what = {"title": "Klaim ditolak", "description": "Ditolak tanpa alasan.", "amount_idr": 1_000_000}
    first = office.receive("Q-1", reporter=SITI, business=MAJU, **what)
    again = {"phone": "0812 0000 7777", "name": "Siti K."}
    return first, office.receive("Q-2", reporter=again, business={"name": "Maju Jaya"}, **what)


def test_same_grievance_under_a_new_id_is_found_from_both_sides(office: Office) -> None:
    first, second = twice(office)
    office.receive("Q-3", reporter=BUDI, business=MAJU, description="Rumah belum diserahkan.")
    assert (same(office, first), same(office, second)) == ([("Q-2", 100)], [("Q-1", 100)])


def test_closed_report_is_found_too_and_one_of_long_ago_is_not(office: Office) -> None:
    first, second = twice(office)
    office.casework.acknowledge(first, ANI)
    office.casework.move(Move.CLOSE, first, ANI, Details(outcome=Outcome.REFERRED))
    assert same(office, second) == [("Q-1", 100)]
    long_ago = office.now() - likenesses.WINDOW - timedelta(days=1)
    office.set("reports", {"received_at": long_ago}, external_id="Q-1")
    assert same(office, second) == []


def test_amendment_counts_at_once(office: Office) -> None:
    first, second = twice(office)
    other = {
        "title": "Rumah",
        "description": "Sertifikat belum ada.",
        "business": {"name": "PT Griya"},
        "amount_idr": 5,
    }
    office.receive("Q-2", "report.amended", at="2026-11-24T10:00:00Z", **other)
    assert (same(office, first), same(office, second)) == ([], [])


def test_nothing_is_merged_by_itself(office: Office) -> None:
    first, second = twice(office)
    assert {office.report(ticket).merged_into for ticket in (first, second)} == {None}
    assert set(office.clocks(second).values()) == {"running"}


def test_dismissed_stays_dismissed_from_both_sides_also_after_an_amendment(office: Office) -> None:
    first, second = twice(office)
    for _ in range(2):
        dismiss(office.database, first, second, KARTIKA)
    dismiss(office.database, second, first, ANI)
    office.receive("Q-1", "report.amended", at="2026-11-24T10:00:00Z", category="ASURANSI")
    assert (same(office, first), same(office, second)) == ([], [])
    (row,) = office.rows("likenesses")
    assert (row["report_id"], row["like_id"]) == (office.report(second).report_id, office.report(first).report_id)
    assert (row["state"], row["decided_by"], row["score"]) == ("dismissed", KARTIKA.name, 100)
    with pytest.raises(NotPossible):
        dismiss(office.database, first, first, ANI)


def test_merged_ones_are_not_suggested_again_and_one_clock_goes_on(office: Office) -> None:
    first, second = twice(office)
    office.casework.merge(second, first, KARTIKA, "sama")
    assert (same(office, first), same(office, second)) == ([], [])
    assert set(office.clocks(second).values()) == {"cancelled"}
    assert {row["ended_by"] for row in office.rows("obligations") if row["state"] == "cancelled"} == {f"merged:{first}"}
    assert "running" in office.clocks(first).values()


def test_forgotten_report_is_found_by_nobody(office: Office) -> None:
    first, second = twice(office)
    forget(office.database, ARRIVALS.vault, first, Actor("person:adi"), "asked for", even_open=True)
    assert (same(office, first), same(office, second)) == ([], [])


def test_many_citizens_about_one_business_are_counted_not_suggested(office: Office) -> None:
    tickets = [
        office.receive(
            f"Q-{n}", title=f"Hal {n}", reporter={"phone": f"0812 0000 00{n:02}"}, business=MAJU, description=text
        )
        for n, text in enumerate(("Motor ditarik.", "Klaim asuransi ditolak perusahaan.", "Sertifikat belum ada."))
    ]
    with office.database.read() as connection:
        assert about_business(connection, office.database, office.report(tickets[0])) == 2
    office.set("reports", {"received_at": office.now() - timedelta(days=91)}, external_id="Q-1")
    without = office.receive("Q-9")
    with office.database.read() as connection:
        assert about_business(connection, office.database, office.report(tickets[0])) == 1
        assert about_business(connection, office.database, office.report(without)) == 0
    assert [same(office, ticket) for ticket in tickets] == [[], [], []]


def test_so_many_are_compared_and_no_more(office: Office) -> None:
    for number in range(8):
        ticket = office.receive(f"Q-{number}", reporter=SITI, business=MAJU)
    with office.database.read() as connection:
        assert len(likenesses.candidates(connection, office.report(ticket), most=3)) == 3
    assert len(same(office, ticket)) == 5
