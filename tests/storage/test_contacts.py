"""Contact data at rest: sealed in every table, on both engines, and no amendment because a token differs."""

from typing import Any

from bridge.contacts import opened
from bridge.storage.tables import metadata
from tests.storage.office import ARRIVALS, Office

SITI = {"name": "Siti Kenari", "phone": "+62 812-0000-7777", "email": "siti.kenari@warga.example"}


def reporter(office: Office) -> dict[str, Any]:
    """Return the reporter of the only report, as it is kept."""
    (row,) = office.rows("reports")
    found: dict[str, Any] = row["reporter"]
    return found


def everything(office: Office) -> str:
    """Return all rows of all tables as text."""
    return repr([office.rows(name) for name in metadata.tables])


def test_no_table_holds_a_contact_in_clear(office: Office) -> None:
    office.receive("Q-1", reporter={**SITI, "domicile": "31.74"})
    office.receive("Q-1", "report.amended", at="2026-11-23T11:00:00Z", reporter={**SITI, "name": "Siti Kenanga"})
    office.receive("Q-2", title=None, reporter=SITI)
    kept = everything(office)
    assert [value for value in (*SITI.values(), "Kenanga") if value in kept] == []
    assert opened(ARRIVALS.vault, reporter(office)) == {**SITI, "name": "Siti Kenanga"}
    assert len(office.rows("set_aside")) == 1


def test_same_contact_sent_again_is_no_amendment(office: Office) -> None:
    office.receive("Q-1", reporter=SITI)
    before = reporter(office)
    office.receive("Q-1", "report.amended", at="2026-11-23T11:00:00Z", reporter=dict(reversed(SITI.items())))
    assert reporter(office) == before
    assert [row["effect"] for row in office.rows("webhooks")] == ["unchanged", "created"]


def test_who_becomes_anonymous_is_no_longer_kept_in_the_report(office: Office) -> None:
    office.receive("Q-1", reporter={**SITI, "domicile": "31.74"})
    office.receive(
        "Q-1", "report.amended", at="2026-11-23T11:00:00Z", reporter={"anonymous": True, "domicile": "31.74"}
    )
    assert reporter(office) == {"anonymous": True, "domicile": "31.74"}
    assert office.rows("reports")[0]["consumer_mark"] is None


def test_who_is_anonymous_from_the_start_is_not_kept_even_if_the_city_sent_it(office: Office) -> None:
    office.receive("Q-1", reporter={**SITI, "anonymous": True, "domicile": "31.74"})
    assert reporter(office) == {"anonymous": True, "domicile": "31.74"}


def test_marks_for_finding_the_same_again_follow_what_the_report_says(office: Office) -> None:
    office.receive("Q-1", reporter=SITI, business={"name": "PT. Maju Jaya, Tbk"})
    office.receive("Q-2", reporter={"phone": "0812 0000 7777"}, business={"name": "maju jaya"})
    one, other = office.rows("reports")
    assert one["consumer_mark"] == other["consumer_mark"] == reporter_mark(one)
    assert one["business_name"] == other["business_name"] == "maju jaya"
    office.receive(
        "Q-2", "report.amended", at="2026-11-23T11:00:00Z", reporter={"phone": "0812 0000 7778"}, business=None
    )
    changed = next(row for row in office.rows("reports") if row["external_id"] == "Q-2")
    assert changed["consumer_mark"] not in (None, one["consumer_mark"])
    assert changed["business_name"] is None


def reporter_mark(row: dict[str, Any]) -> Any:
    return row["reporter"]["consumer"]
