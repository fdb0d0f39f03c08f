"""State can be rebuilt from the log: history and escalations alone tell where every report and clock stands."""

import random

import pytest
import sqlalchemy as sa

from bridge.casework import NothingOwed
from bridge.reports.clocks import ClockState, Kind, Obligation, Pause, timed
from bridge.reports.escalation import NothingToHurry
from bridge.reports.merging import NotPossible
from bridge.reports.moves import Details
from bridge.reports.recompute import CalendarChange, PolicyChange
from bridge.reports.states import Move, MoveRefused, Outcome, moves_from
from bridge.storage.rows import obligation_row
from bridge.storage.tables import obligations, reports
from tests.invariants.clock import MONDAY
from tests.invariants.rebuild import Report, differences, rebuilt
from tests.invariants.town import apply_rules, edited, facts_of, policies, use
from tests.storage.office import ANI, KARTIKA, PEOPLE, Office

DETAILS = Details(outcome=Outcome.SETTLED, case_number="17/BPSK", missing=("KTP", "kuitansi"), reason="uji")
REPORTS, ACTS = 8, 120


def _act(office: Office, tickets: list[str], chance: random.Random) -> None:
    """Do anything that may be done, or be refused."""
    ticket, kind = chance.choice(tickets), chance.randrange(12)
    try:
        if kind < 6:
            allowed = [m for m in moves_from(office.report(ticket).status) if m is not Move.WITHDRAW]
            move = chance.choice([*allowed, chance.choice(list(Move))])
            office.casework.move(move, ticket, chance.choice([ANI, KARTIKA]), DETAILS)
        elif kind == 6:
            office.casework.meet(chance.choice(list(Kind)), ticket, ANI)
        elif kind == 7:
            office.casework.assign(ticket, chance.choice(PEOPLE[:3]), KARTIKA, "uji")
        elif kind == 8 and chance.random() < 0.3:
            office.casework.merge(ticket, chance.choice(tickets), KARTIKA, "uji")
        elif kind == 9:
            office.casework.transfer(ticket, chance.choice(sorted(office.rules.book.offices)), KARTIKA, "uji")
        elif kind == 10:
            office.casework.hurry(ticket, KARTIKA, "uji", kind=chance.choice(list(Kind)))
    except (MoveRefused, NothingOwed, NotPossible, NothingToHurry):
        return  # refused: nothing may have changed


@pytest.mark.parametrize("seed", range(3))
def test_state_of_any_run_can_be_rebuilt_from_the_log(office: Office, seed: int) -> None:
    chance, calendar = random.Random(seed), office.rules.book.calendar_for("bpsk-dki")
    use(office, policies(0), calendar)
    tickets = [office.receive(f"Q-{number}") for number in range(REPORTS)]
    for number in range(ACTS):
        _act(office, tickets, chance)
        if number % 20 == 19:
            use(office, policies(number // 20), edited(calendar, chance.randrange(4), MONDAY.date()))
        if number % 30 == 29:
            apply_rules(office, chance.choice([CalendarChange, PolicyChange]))
        if number % 5 == 4:
            _wait_and_fire(office)
    rows = facts_of(office.database).rows
    assert differences(rows) == []
    assert len(rows["escalations"]) >= 20
    events = {row["event"] for row in rows["history"]}
    assert events >= {"acknowledge", "ask_completion", "close", "reassigned", "due_moved", "rules_renewed", "hurried"}


def _wait_and_fire(office: Office) -> None:
    """Let every running ladder reach its next step, without moving what the log says began when."""
    now = office.now()
    for clock in office.rows("obligations"):
        if clock["next_due"]:
            office.set("obligations", {"next_due": now}, report_id=clock["report_id"], kind=clock["kind"])
    office.tick_all()


def test_tables_that_were_lost_are_told_by_the_log(office: Office) -> None:
    """A restore: what the log says is put back into emptied tables, and nobody can tell the difference."""
    use(office, policies(0), office.rules.book.calendar_for("bpsk-dki"))
    ticket = office.receive("Q-1")
    office.casework.acknowledge(ticket, ANI)
    office.casework.move(Move.ASK_COMPLETION, ticket, ANI, DETAILS)
    _wait_and_fire(office)
    before = facts_of(office.database).rows
    with office.database.write() as connection:
        connection.execute(sa.update(reports).values(status="received", assignee=None, missing=[]))
        connection.execute(sa.delete(obligations))
    assert differences(facts_of(office.database).rows) != []
    (told,) = rebuilt(before["history"], before["escalations"]).values()
    _put_back(office, told)
    after = facts_of(office.database).rows
    assert differences(after) == []
    assert after["reports"] == before["reports"]
    assert after["obligations"] == before["obligations"]


def _put_back(office: Office, told: Report) -> None:
    office.set("reports", {name: getattr(told, name) for name in ("status", "assignee", "missing", "outcome")})
    with office.database.write() as connection:
        for clock in told.clocks.values():
            names = ("cycle", "step", "level", "started_at", "earlier_steps", "ended_at", "ended_by")
            plain = Obligation(
                told.report_id,
                Kind(clock.kind),
                state=ClockState(clock.state),
                next_due=None,
                deadline_at=clock.started_at,
                pauses=tuple(Pause(**pause) for pause in clock.pauses),
                policy_version=clock.policy_version,
                calendar_version=clock.calendar_version,
                **{name: getattr(clock, name) for name in names},
            )
            timed_anew = timed(plain, *office.rules.book.frozen(plain))
            connection.execute(sa.insert(obligations), obligation_row(timed_anew))
