"""Lists of what was told: each delivery lies in one of them, and what left together is found together."""

from datetime import timedelta
from typing import Any

import pytest

from bridge.storage import told
from bridge.storage.told import LOTS, Wanted
from tests.storage.office import Office

FATES: dict[str, dict[str, Any]] = {
    "ours": {"state": "given_up", "fault": "ours"},
    "refused": {"state": "given_up", "fault": "refused"},
    "of old": {"state": "given_up"},
    "gone on": {"state": "given_up", "fault": "away", "fell_back_to": "sms"},
    "failed": {"state": "failed", "fault": "away"},
    "delivered": {"state": "delivered"},
}


@pytest.fixture
def fates(office: Office) -> dict[str, str]:
    """One notice for each fate, by its id."""
    office.receive_many(len(FATES))
    office.set("deliveries", {"state": "delivered", "finished_at": office.now()}, purpose="callback")
    found = {}
    for row, (name, fate) in zip(office.rows("deliveries", purpose="notice"), FATES.items(), strict=True):
        ended = None if name == "failed" else office.now()
        office.set("deliveries", fate | {"finished_at": ended}, delivery_id=row["delivery_id"])
        found[row["delivery_id"]] = name
    return found


def _names(office: Office, fates: dict[str, str], wanted: Wanted) -> list[str]:
    with office.database.read() as connection:
        return sorted(fates[row["delivery_id"]] for row in told.listed(connection, wanted))


def test_each_list_holds_what_it_says_and_no_delivery_lies_in_two(office: Office, fates: dict[str, str]) -> None:
    lists = {lot: _names(office, fates, Wanted(lot=lot)) for lot in LOTS}
    assert lists == {"ours": ["ours"], "theirs": ["of old", "refused"], "elsewhere": ["gone on"], "waiting": ["failed"]}
    with office.database.read() as connection:
        counts = told.counts(connection, office.now())
        assert told.unheard(connection) == counts.unheard == 3
    assert counts.unheard_by_fault == {"ours": 1, "refused": 1, "None": 1}


def test_ticket_finds_what_was_told_about_its_report(office: Office, fates: dict[str, str]) -> None:
    ticket = next(row["ticket"] for row in office.rows("deliveries", purpose="notice", state="failed"))
    assert _names(office, fates, Wanted(ticket=ticket, purpose="notice")) == ["failed"]
    assert _names(office, fates, Wanted(ticket="0000-0000-0000")) == []


def test_what_left_in_one_digest_is_found_without_the_one_that_asks(office: Office, fates: dict[str, str]) -> None:
    first, second, third, *_ = fates
    for delivery_id in (first, second):
        office.set("deliveries", {"digest_id": "d"}, delivery_id=delivery_id)
    office.set("deliveries", {"digest_id": "d", "created_at": office.now() - timedelta(days=30)}, delivery_id=third)
    rows = {row["delivery_id"]: row for row in office.rows("deliveries", purpose="notice")}
    with office.database.read() as connection:
        assert [row["delivery_id"] for row in told.fellows(connection, rows[first])] == [second]
        assert told.fellows(connection, rows[list(fates)[-1]]) == []
