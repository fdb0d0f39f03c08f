"""After a restore: the numbers leap over what cities may know, they are told how reports stand, and the engine waits."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bridge import restoring
from bridge.reports.setting_aside import ReasonMissing
from bridge.reports.states import Move
from bridge.restoring import Restored, first_number
from bridge.storage import engine
from bridge.storage.restored import leap
from tests.storage.crashes import killed_before
from tests.storage.office import ANI, Office

OPERATOR, REASON = "cli:wati", "disk rusak, kembali ke cadangan 02.00"


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "BATCH", 3)


def numbers(office: Office) -> dict[str, int]:
    return {row["ticket"]: row["sequence"] for row in office.rows("reports")}


def at_least(office: Office) -> int:
    """A number no city was told without a restore, and every one after one."""
    return first_number(office.now() - timedelta(hours=1))


def told_again(office: Office) -> list[str]:
    """The tickets of which cities were told with a number they cannot know."""
    callbacks = office.rows("deliveries", purpose="callback")
    return sorted(row["ticket"] for row in callbacks if row["sequence"] > at_least(office))


def withdrawn(office: Office) -> tuple[str, list[str]]:
    """Seven reports, one of them closed; returns it and the others."""
    closed, *others = office.receive_many(7)
    office.casework.move(Move.WITHDRAW, closed, ANI)
    return closed, others


def test_numbers_leap_and_cities_are_told_how_open_reports_stand_in_batches(office: Office) -> None:
    closed, others = withdrawn(office)
    steps = list[tuple[int, int]]()
    told = Restored(office.database, office.rules).go_on(
        reason=f" {REASON} ", actor=OPERATOR, progress=lambda done, total: steps.append((done, total))
    )
    assert (told, steps) == (6, [(3, 6), (6, 6)])
    assert told_again(office) == sorted(others)
    leapt = numbers(office)
    assert {leapt[ticket] - leapt[closed] for ticket in others} == {1}
    assert leapt[closed] > at_least(office), "that of the closed one leaps, too: it may be reopened"
    lines = office.rows("history", event="told_again")
    assert {(line["actor"], line["data"]["reason"]) for line in lines} == {(OPERATOR, REASON)}
    (row,) = office.rows("engine")
    assert (row["held_until"], row["held_why"]) == (None, f"{OPERATOR}: {REASON}")
    assert row["held_since"] is not None


def test_closed_reports_are_told_of_if_anything_happened_to_them_since(office: Office) -> None:
    closed, others = withdrawn(office)
    work = Restored(office.database, office.rules)
    assert work.go_on(reason=REASON, actor=OPERATOR, since=office.now() + timedelta(minutes=1)) == 6
    assert closed not in told_again(office)
    assert work.go_on(reason=REASON, actor=OPERATOR, since=office.now() - timedelta(hours=1)) == 7
    assert set(told_again(office)) == {closed, *others}


def test_without_a_reason_nothing_is_done(office: Office) -> None:
    withdrawn(office)
    before = office.snapshot()
    with pytest.raises(ReasonMissing):
        Restored(office.database, office.rules).go_on(reason=" ", actor=OPERATOR)
    assert office.snapshot() == before


def test_city_that_is_told_nothing_is_told_nothing(office: Office) -> None:
    office.set("reports", {"sequence": 0}, report_id=office.report(office.receive("Q-1")).report_id)
    office.rules.book = replace(office.rules.book, told_back=frozenset())
    assert Restored(office.database, office.rules).go_on(reason=REASON, actor=OPERATOR) == 0
    assert office.rows("history", event="told_again") == []


@pytest.mark.parametrize("at", range(1, 14, 2))
def test_killed_anywhere_it_is_held_before_anything_else_and_doing_it_again_tells_all(office: Office, at: int) -> None:
    _, others = withdrawn(office)
    before = numbers(office)
    work = Restored(office.database, office.rules)
    killed_before(office.database, at, lambda: work.go_on(reason=REASON, actor=OPERATOR))
    held = office.rows("engine")[0]["held_since"] is not None
    assert held or numbers(office) == before
    assert work.go_on(reason=REASON, actor=OPERATOR) == len(others)
    assert set(told_again(office)) == set(others)
    assert all(number > at_least(office) for number in numbers(office).values())


def test_numbers_after_a_second_restore_of_one_copy_are_above_those_after_the_first(office: Office) -> None:
    ticket = office.receive("Q-1")
    Restored(office.database, office.rules).go_on(reason=REASON, actor=OPERATOR)
    office.casework.acknowledge(ticket, ANI)
    last = numbers(office)[ticket]
    office.set("reports", {"sequence": 1})  # put back again, a minute later
    with office.database.write() as connection:
        now = office.database.now(connection)
        leap(connection, first_number(now + timedelta(minutes=1)), reason=REASON, actor=OPERATOR, now=now)
    assert numbers(office)[ticket] > last


def test_number_that_is_high_already_never_falls(office: Office) -> None:
    ticket = office.receive("Q-1")
    high = first_number(office.now() + timedelta(days=1))
    office.set("reports", {"sequence": high})
    Restored(office.database, office.rules).go_on(reason=REASON, actor=OPERATOR)
    assert numbers(office)[ticket] == high + 1


def test_report_the_city_sends_again_goes_on_above_the_numbers_it_had(office: Office) -> None:
    Restored(office.database, office.rules).go_on(reason=REASON, actor=OPERATOR)
    office.use()  # processes are started afterwards
    ticket = office.receive("Q-lost")
    assert numbers(office)[ticket] > at_least(office)
    assert told_again(office) == [ticket]
    (line,) = office.rows("revisions")
    assert (line["what"], line["actor"], line["reason"]) == ("restored", OPERATOR, REASON)


def test_held_engine_fires_nothing_until_it_is_released(office: Office) -> None:
    office.receive("Q-1")
    office.set("obligations", {"next_due": office.now() - timedelta(hours=1)}, kind="acknowledge")
    Restored(office.database, office.rules).go_on(reason=REASON, actor=OPERATOR)
    assert office.watcher.tick() == 0
    with office.database.write() as connection:
        held = engine.read(connection).held_since
        assert held is not None
        engine.let_go(connection, held)
    assert office.watcher.tick() >= 1
