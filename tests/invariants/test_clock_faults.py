"""The database's clock set back and forward: nothing twice, nothing left out, and the order of the log is its own."""

from collections.abc import Iterator

import pytest

from bridge.storage import escalations
from tests.invariants.checker import i11_overdue, violations
from tests.invariants.clock import MONDAY, DatabaseClock
from tests.invariants.town import facts_of, policies, use, wait
from tests.storage.office import ANI, Office


@pytest.fixture
def clock(office: Office) -> Iterator[DatabaseClock]:
    """The clock of the office's database, and the rules of the model test."""
    moved = DatabaseClock(office.database)
    use(office, policies(0), office.rules.book.calendar_for("bpsk-dki"))
    yield moved
    moved.close()


def test_clock_of_the_database_is_the_one_that_decides(office: Office, clock: DatabaseClock) -> None:
    """The year of this process plays no part: what is written bears the database's."""
    assert office.now() == MONDAY
    office.receive("Q-1")
    wait(office, clock, 1800)
    office.tick_all()
    (fired,) = office.rows("escalations")
    assert fired["fired_at"] == clock.at == MONDAY.replace(minute=30)


def test_clock_set_back_fires_nothing_twice_and_leaves_no_step_out(office: Office, clock: DatabaseClock) -> None:
    office.receive("Q-1")
    for seconds in (1800, -1800, 0, 1800, 1800, -7200, 7200, 3600, -600, 10_000):
        wait(office, clock, seconds)
        office.tick_all()
    facts = facts_of(office.database, steady=False)
    assert [row["step"] for row in facts.log if row["kind"] == "acknowledge"] == [1, 2, 3, 4, 5]
    assert (violations(facts), i11_overdue(facts, clock.at)) == ([], [])


def test_log_is_sealed_in_its_own_order_when_the_clock_was_set_back_in_between(
    office: Office, clock: DatabaseClock
) -> None:
    office.receive("Q-1")
    wait(office, clock, 1800)
    office.tick_all()
    wait(office, clock, 1800)
    office.tick_all()
    office.receive("Q-2")
    wait(office, clock, -3000)
    use(office, policies(1), office.rules.book.calendar_for("bpsk-dki"))
    office.receive("Q-3")
    office.tick_all()
    with office.database.write() as connection:
        escalations.seal(office.database, connection)
    in_order = [row["escalation_id"] for row in office.rows("escalation_seals")]
    assert in_order == [row["id"] for row in office.rows("escalations")]
    assert [row["fired_at"] for row in office.rows("escalations")] != sorted(
        r["fired_at"] for r in office.rows("escalations")
    )
    assert violations(facts_of(office.database, steady=False)) == []


def test_clock_set_forward_and_back_again_moves_no_deadline(office: Office, clock: DatabaseClock) -> None:
    ticket = office.receive("Q-1")
    before = office.rows("obligations")
    wait(office, clock, 365 * 86_400)
    wait(office, clock, -365 * 86_400)
    assert office.tick_all() == 0
    assert office.rows("obligations") == before
    office.casework.acknowledge(ticket, ANI)
    assert violations(facts_of(office.database, steady=False)) == []
