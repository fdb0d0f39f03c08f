"""Keys that change: everything comes under the first one, a batch at a time, beside running workers."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from bridge import resealing
from bridge.arrivals import Arrivals
from bridge.contacts import opened
from bridge.resealing import Tally, reseal, survey
from bridge.storage.tables import reports
from bridge.vault import Unreadable, Vault, new_data_key
from consumers.runtime import DeadLetter
from consumers.set_aside import SetAside
from tests.storage.crashes import survives_every_crash
from tests.storage.office import ARRIVALS, TICKET_KEY, Office, body

SITI = {"name": "Siti Kenari", "phone": "+62 812-0000-7777"}
NEW = new_data_key()
ROTATED = Vault.under(TICKET_KEY, [NEW])
#: Knows the new key only: what it opens lies under that one.
ONLY_NEW = Vault.under(b"another ticket key, 24 bytes or more", [NEW])


def filled(office: Office) -> Office:
    """Take in reports with and without contact, one that is invalid, one dead letter."""
    office.receive("Q-1", reporter=SITI)
    office.receive("Q-2", reporter={"domicile": "31.74"})
    office.receive("Q-3", title=None, reporter=SITI)
    letter = DeadLetter("bridge.intake.dead", "m1", b"letter")
    SetAside(office.database, ARRIVALS.vault).handle([{"id": "m1", "type": "dead.letter", "data": letter}])
    office.set("set_aside", {"mended": ARRIVALS.vault.seal(b"mended")}, webhook_id="m1")
    return office


def kept(office: Office, vault: Vault) -> list[Any]:
    """Return everything sealed, opened by this vault."""
    bodies = [vault.open(row["body"]) for name in ("webhooks", "set_aside") for row in office.rows(name)]
    mended = [vault.open(row["mended"]) for row in office.rows("set_aside") if row["mended"]]
    return [*bodies, *mended, *(opened(vault, row["reporter"]) for row in office.rows("reports"))]


def test_everything_comes_under_the_first_key_and_says_the_same(office: Office) -> None:
    before = kept(filled(office), ARRIVALS.vault)
    assert reseal(office.database, ROTATED) == Tally(looked=9, older=7)
    assert kept(office, ONLY_NEW) == before
    assert reseal(office.database, ROTATED) == Tally(looked=9)


def test_nothing_else_of_a_row_changes(office: Office) -> None:
    filled(office)
    before = [{k: v for k, v in row.items() if k != "reporter"} for row in office.rows("reports")]
    reseal(office.database, ROTATED)
    assert [{k: v for k, v in row.items() if k != "reporter"} for row in office.rows("reports")] == before


def test_dry_run_counts_and_changes_nothing(office: Office) -> None:
    before = filled(office).snapshot()
    assert reseal(office.database, ROTATED, dry_run=True) == Tally(looked=9, older=7)
    assert office.snapshot() == before


def test_what_lies_in_clear_from_before_is_sealed_and_found_again(office: Office) -> None:
    filled(office)
    first = office.rows("reports")[0]["report_id"]
    mark = next(row["consumer_mark"] for row in office.rows("reports") if row["consumer_mark"])
    office.set("reports", {"reporter": {**SITI, "domicile": "31.74"}, "consumer_mark": None}, report_id=first)
    office.set("webhooks", {"body": body("Q-1")}, webhook_id="msg-Q-1-report.submitted")
    assert survey(office.database, ARRIVALS.vault).clear == 2
    assert reseal(office.database, ARRIVALS.vault) == Tally(looked=9, clear=2)
    (row,) = office.rows("reports", report_id=first)
    assert (row["reporter"]["domicile"], opened(ARRIVALS.vault, row["reporter"]), row["consumer_mark"]) == (
        "31.74",
        SITI,
        mark,
    )
    assert body("Q-1") in kept(office, ARRIVALS.vault)


def test_anonymous_contact_in_clear_from_before_is_dropped(office: Office) -> None:
    office.receive("Q-1")
    office.set("reports", {"reporter": {**SITI, "anonymous": True}})
    reseal(office.database, ARRIVALS.vault)
    assert office.rows("reports")[0]["reporter"] == {"anonymous": True}


def test_what_no_key_opens_is_counted_and_left_alone(office: Office) -> None:
    foreign = Arrivals.under(b"f" * 32).vault.seal(b"x")
    filled(office)
    office.set("webhooks", {"body": foreign}, webhook_id="msg-Q-1-report.submitted")
    assert survey(office.database, ROTATED) == Tally(looked=9, older=6, lost=1)
    assert reseal(office.database, ROTATED) == Tally(looked=9, older=6, lost=1)
    assert office.rows("webhooks", webhook_id="msg-Q-1-report.submitted")[0]["body"] == foreign
    with pytest.raises(Unreadable):
        kept(office, ARRIVALS.vault)


def test_batches_walk_through_every_row(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resealing, "BATCH", 3)
    office.receive_many(10)
    seen: list[tuple[int, int]] = []
    assert reseal(office.database, ROTATED, progress=lambda *now: seen.append(now)).older == 10
    assert [total for _, total in seen] == [20] * len(seen)
    assert [done for done, _ in seen] == [3, 6, 9, 10, 13, 16, 19, 20]
    assert len(kept(office, ONLY_NEW)) == 20


def test_row_somebody_holds_is_left_for_the_next_time(office: Office) -> None:
    if office.database.is_sqlite:
        return  # one writer at a time: nobody can hold one row
    filled(office)
    with office.database.write() as connection:
        connection.execute(sa.select(reports).with_for_update())
        assert reseal(office.database, ROTATED) == Tally(looked=9, older=7, held=1)
    assert reseal(office.database, ROTATED) == Tally(looked=9, older=1)


def test_death_between_any_two_statements_leaves_what_is_not_done_yet(office: Office) -> None:
    before = kept(filled(office), ARRIVALS.vault)

    def the_same() -> None:
        assert kept(office, ROTATED) == before

    work: Callable[[], Any] = lambda: reseal(office.database, ROTATED)  # noqa: E731
    assert survives_every_crash(office.database, work, the_same) >= 8
    assert kept(office, ONLY_NEW) == before


def test_amendment_while_keys_change_is_not_lost(office: Office) -> None:
    filled(office)
    office.receive("Q-1", "report.amended", at="2026-11-23T11:00:00Z", reporter={**SITI, "name": "Siti Kenanga"})
    reseal(office.database, ROTATED)
    assert {"name": "Siti Kenanga", "phone": SITI["phone"]} in kept(office, ONLY_NEW)
