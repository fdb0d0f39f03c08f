"""Races forced, not hoped for: two at the same report, one held in front of a statement, in both orders.

Whichever is first, the rows keep every invariant and both together leave what one after the other leaves.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from bridge.reports.moves import Details
from bridge.reports.states import Move, MoveRefused, Outcome
from consumers.watch_clocks import WatchClocks
from tests.invariants.checker import Facts, i11_overdue, violations
from tests.invariants.clock import DatabaseClock
from tests.invariants.town import facts_of, policies, use, wait
from tests.storage.crashes import Standstill
from tests.storage.office import ANI, Office

ASKED = Details(outcome=Outcome.SETTLED, missing=("KTP",), reason="uji")
#: Where the first stands still: with all it does done, or half of it.
IN_A_MOVE = ("COMMIT", "UPDATE obligations")
IN_A_TICK = ("COMMIT", "INSERT INTO escalations", "FROM people")


@dataclass(frozen=True)
class Race:
    """A move by a person against a step of a clock: how it comes to that, and what each order must end in."""

    before: tuple[Move, ...]
    #: Seconds that pass, the engine at work after each but the last: then the step in question is due.
    waits_s: tuple[int, ...]
    move: Move
    kind: str
    #: (state of the clock, how often it fired) if the move is first, if the step is first.
    move_first: tuple[str, int]
    step_first: tuple[str, int]


ASK = (Move.ACKNOWLEDGE, Move.ASK_COMPLETION)
RACES = {
    "ack against fire": Race((), (1800, 1800), Move.ACKNOWLEDGE, "acknowledge", ("met", 1), ("met", 2)),
    "withdrawal against fire": Race((), (1800, 1800), Move.WITHDRAW, "acknowledge", ("cancelled", 1), ("cancelled", 2)),
    "pause against fire": Race(ASK[:1], (0, 7200), Move.ASK_COMPLETION, "triage", ("paused", 0), ("paused", 1)),
    "close against fire": Race(ASK[:1], (0, 7200), Move.CLOSE, "triage", ("met", 0), ("met", 1)),
    "answer against close by clock": Race(
        ASK, (3600, 1800, 1800), Move.RESUME, "completion", ("met", 2), ("cancelled", 3)
    ),
}


@pytest.fixture
def clock(office: Office) -> Iterator[DatabaseClock]:
    """The clock of the office's database, and the rules of the model test."""
    moved = DatabaseClock(office.database)
    use(office, policies(0), office.rules.book.calendar_for("bpsk-dki"))
    yield moved
    moved.close()


def _prepared(office: Office, clock: DatabaseClock, race: Race) -> str:
    """Bring a report to the moment in question: one step of one clock is due."""
    ticket = office.receive("Q-1")
    for move in race.before:
        office.casework.move(move, ticket, ANI, ASKED)
    *at_work, last = race.waits_s
    for seconds in at_work:
        wait(office, clock, seconds)
        office.tick_all()
    wait(office, clock, last)
    return ticket


def _move(office: Office, ticket: str, move: Move) -> Callable[[], str]:
    def made() -> str:
        try:
            office.casework.move(move, ticket, ANI, ASKED)
        except MoveRefused:
            return "refused"
        return "made"

    return made


@pytest.mark.parametrize("place", IN_A_MOVE)
@pytest.mark.parametrize("race", RACES.values(), ids=RACES)
def test_move_that_is_first_wins_and_nothing_fires(
    office: Office, clock: DatabaseClock, race: Race, place: str
) -> None:
    ticket = _prepared(office, clock, race)
    before = facts_of(office.database)
    with Standstill(office.database, place, _move(office, ticket, race.move)) as held:
        tick = held.meanwhile(office.watcher.tick)
        held.go_on()
        assert tick.result() == 0
    assert office.tick_all() == 0
    _settled(office, race, race.move_first, before)


@pytest.mark.parametrize("place", IN_A_TICK)
@pytest.mark.parametrize("race", RACES.values(), ids=RACES)
def test_step_that_is_first_fires_once_and_the_move_comes_after_it(
    office: Office, clock: DatabaseClock, race: Race, place: str
) -> None:
    ticket = _prepared(office, clock, race)
    before = facts_of(office.database)
    with Standstill(office.database, place, office.watcher.tick) as held:
        move = held.meanwhile(_move(office, ticket, race.move))
        held.go_on()
        assert move.result() == ("refused" if race.move is Move.RESUME else "made")
    assert office.tick_all() == 0
    _settled(office, race, race.step_first, before)


def _settled(office: Office, race: Race, expected: tuple[str, int], before: Facts) -> None:
    facts = facts_of(office.database)
    (clock,) = [row for row in facts.rows["obligations"] if row["kind"] == race.kind]
    assert (clock["state"], len(facts.fired(clock))) == expected
    assert violations(facts, before) == []
    assert i11_overdue(facts, office.now()) == []


@pytest.mark.parametrize("place", IN_A_MOVE)
def test_reopening_past_due_does_not_fire_at_once_whoever_ticks_meanwhile(
    office: Office, clock: DatabaseClock, place: str
) -> None:
    ticket = _closed_with_an_old_ladder(office, clock)
    before = facts_of(office.database)
    with Standstill(office.database, place, _move(office, ticket, Move.REOPEN)) as held:
        tick = held.meanwhile(office.watcher.tick)
        held.go_on()
        assert tick.result() == 0
    assert office.tick_all() == 0
    after = facts_of(office.database)
    assert [(row["kind"], row["cycle"]) for row in after.log] == [("acknowledge", 1)]
    assert violations(after, before) == []


def test_reopening_while_another_report_fires_gives_the_new_cycle_its_own_ladder(
    office: Office, clock: DatabaseClock
) -> None:
    ticket = _closed_with_an_old_ladder(office, clock)
    other = office.receive("Q-2")
    wait(office, clock, 1800)
    with Standstill(office.database, "COMMIT", office.watcher.tick) as held:
        reopened = held.meanwhile(_move(office, ticket, Move.REOPEN))
        held.go_on()
        assert reopened.result() == "made"
    assert [row["ticket"] for row in office.rows("escalations")] == [ticket, other]
    wait(office, clock, 3600)
    office.tick_all()
    assert [row["step"] for row in office.rows("escalations", ticket=ticket, cycle=2)] == [1, 2]
    assert violations(facts_of(office.database)) == []


def _closed_with_an_old_ladder(office: Office, clock: DatabaseClock) -> str:
    ticket = office.receive("Q-1")
    wait(office, clock, 1800)
    assert office.tick_all() == 1
    for move in (Move.ACKNOWLEDGE, Move.CLOSE):
        office.casework.move(move, ticket, ANI, ASKED)
    wait(office, clock, 100_000)
    return ticket


@pytest.mark.parametrize("place", IN_A_TICK)
def test_two_watchers_at_one_report_fire_each_step_once_and_in_order(
    office: Office, clock: DatabaseClock, place: str
) -> None:
    office.receive("Q-1")
    wait(office, clock, 15_000)
    second = WatchClocks(office.database, office.rules)
    with Standstill(office.database, place, office.watcher.tick) as held:
        other = held.meanwhile(second.tick)
        held.go_on()
        other.result()
    while office.watcher.tick() + second.tick():
        pass
    facts = facts_of(office.database)
    assert [row["step"] for row in facts.log if row["kind"] == "acknowledge"] == [1, 2, 3, 4, 5]
    assert violations(facts) == []
    assert i11_overdue(facts, office.now()) == []


@pytest.mark.parametrize("first", ["the clock", "the acknowledgement"])
def test_late_acknowledgement_neither_stops_nor_undoes_the_close_by_the_clock(
    office: Office, clock: DatabaseClock, first: str
) -> None:
    ticket = _prepared(office, clock, RACES["answer against close by clock"])
    works: list[Callable[[], Any]] = [office.watcher.tick, lambda: office.casework.acknowledge(ticket, ANI)]
    one, other = works if first == "the clock" else works[::-1]
    with Standstill(office.database, "COMMIT", one) as held:
        waiting = held.meanwhile(other)
        held.go_on()
        waiting.result()
    office.tick_all()
    assert office.report(ticket).outcome is Outcome.INCOMPLETE
    assert len(office.rows("history", event="acknowledge")) == 1
    assert violations(facts_of(office.database)) == []
