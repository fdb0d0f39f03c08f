"""The engine as a whole: held or free, of which version, on a clock that jumps, with any number of workers."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from bridge.reports.clocks import Kind
from bridge.reports.guard import Limits
from bridge.running import MustStop
from bridge.storage import engine
from bridge.storage.database import Connection
from bridge.storage.engine import ENGINE_VERSION, OtherVersion
from bridge.storage.migrate import NotMigrated
from bridge.storage.tables import metadata
from consumers.runtime import LoopWorker
from consumers.watch_clocks import WatchClocks
from tests.storage.crashes import Standstill, Working
from tests.storage.office import ANI, LADDER, Office, id_of

#: Six due at once, more than the half: enough to try the guard with.
FEW = Limits(least=5)
on_postgresql = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)


class Clock:
    """The database's clock, as somebody sets it."""

    def __init__(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        real = office.database.now
        self.ahead = timedelta(0)

        def now(connection: Connection) -> datetime:
            return real(connection) + self.ahead

        monkeypatch.setattr(office.database, "now", now)

    def set_by(self, seconds: float) -> None:
        """Set the clock forward, or back."""
        self.ahead += timedelta(seconds=seconds)


@pytest.fixture
def clock(office: Office, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the office's database."""
    return Clock(office, monkeypatch)


def row(office: Office) -> dict[str, Any]:
    """Return the engine's row."""
    (found,) = office.rows("engine")
    return found


def hold(office: Office, why: str = "cli:root: the disk moves") -> None:
    with office.database.write() as connection:
        engine.hold_for_good(office.database, connection, why, now=office.database.now(connection))


def release(office: Office) -> None:
    with office.database.write() as connection:
        held_since = engine.read(connection).held_since
        assert held_since
        assert engine.let_go(connection, held_since)


def watcher(office: Office, limits: Limits = FEW, most: int = 100) -> WatchClocks:
    made = WatchClocks(office.database, office.rules, limits)
    made.most = most
    return made


# --- the version ----------------------------------------------------------------------------------------------------


def test_migrations_leave_the_row_this_version_works_with(office: Office) -> None:
    assert (row(office)["name"], row(office)["version"]) == ("clocks", ENGINE_VERSION)


@pytest.mark.parametrize("version", [ENGINE_VERSION - 1, ENGINE_VERSION + 1])
def test_worker_of_another_version_does_no_work(office: Office, version: int) -> None:
    """I37."""
    office.receive("Q-1")
    office.pass_time(20_000)
    office.set("engine", {"version": version})
    before = office.snapshot()
    with pytest.raises(OtherVersion, match=f"version {version} of the clocks, this is version {ENGINE_VERSION}"):
        office.watcher.tick()
    with pytest.raises(MustStop):
        LoopWorker("watch_clocks", office.watcher.turn, threading.Event()).run()
    assert office.snapshot() == before


def test_worker_that_is_at_work_stops_at_its_next_tick_after_a_migration(office: Office) -> None:
    office.receive_many(3)
    office.pass_time(3600)
    office.watcher.most = 1
    assert office.watcher.tick() == 1
    office.set("engine", {"version": ENGINE_VERSION + 1})
    with pytest.raises(OtherVersion):
        office.watcher.tick()
    assert len(office.rows("escalations")) == 1


def test_missing_row_is_the_same_as_not_migrated(office: Office) -> None:
    office.receive("Q-1")
    office.pass_time(3600)
    with office.database.write() as connection:
        connection.execute(sa.delete(metadata.tables["engine"]))
    with pytest.raises(NotMigrated, match="bridge migrate"):
        office.watcher.tick()
    assert office.rows("escalations") == []


# --- held and released ----------------------------------------------------------------------------------------------


def test_held_engine_fires_nothing_and_after_the_release_everything_once(office: Office) -> None:
    office.receive_many(8)
    office.pass_time(3600)
    hold(office)
    one = watcher(office)
    assert [one.tick() for _ in range(3)] == [0, 0, 0]
    release(office)
    assert sum(iter(one.tick, 0)) == 8, "a person has looked: no second hold for the same share"
    assert len(office.rows("escalations")) == 8
    one.tick()
    assert row(office)["held_why"] is None, "what had gathered is through"


def test_hold_waits_for_the_tick_under_way_and_then_nothing_fires_any_more(office: Office) -> None:
    office.receive_many(2)
    office.pass_time(3600)
    office.watcher.most = 1
    with Standstill(office.database, "COMMIT", office.watcher.tick) as under_way:
        holding = under_way.meanwhile(partial(hold, office))
        assert holding.is_alive(), "it must not say that nothing fires while something does"
        under_way.go_on()
        holding.result()
    assert (office.watcher.tick(), len(office.rows("escalations"))) == (0, 1)


@on_postgresql
def test_ticks_do_not_wait_for_each_other_because_of_the_engine(office: Office) -> None:
    office.receive_many(2)
    office.pass_time(3600)
    first, second = watcher(office, most=1), watcher(office, most=1)
    with Standstill(office.database, "COMMIT", first.tick) as held:
        other = held.meanwhile(second.tick)
        assert (other.result(), held.go_on()) == (1, None)


def test_held_engine_looks_once_a_poll_and_not_all_the_time(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.receive("Q-1")
    office.pass_time(3600)
    hold(office)
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    office.watcher.turn()
    assert slept == [1.0]


def test_watcher_says_that_it_lives_held_or_not(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    hold(office)
    office.watcher.turn()
    assert row(office)["ticked_at"] is not None


# --- the clock ------------------------------------------------------------------------------------------------------


def test_jump_forward_holds_and_fires_nothing(office: Office, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """I35."""
    office.receive("Q-1")
    assert office.watcher.tick() == 0
    clock.set_by(3601)
    assert [office.watcher.tick() for _ in range(3)] == [0, 0, 0]
    assert row(office)["held_why"].startswith("clock: the database's clock was set forward by 36")
    assert row(office)["held_until"] is None
    assert office.rows("escalations") == []
    assert capsys.readouterr().out.count("engine_held") == 1


def test_jump_that_is_undone_releases_by_itself_and_what_is_really_due_fires(
    office: Office, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    office.receive("Q-1")
    office.pass_time(3600)
    office.receive("Q-2")
    clock.set_by(-3600)  # Q-1 is not due yet
    office.watcher.tick()
    clock.set_by(7200)
    office.watcher.tick()
    clock.set_by(-3600)  # back to the truth, but not to where it was
    assert office.watcher.tick() == 0
    clock.set_by(-3600)
    assert office.watcher.tick() == 0
    assert row(office)["held_since"] is None
    assert "engine_released" in capsys.readouterr().out
    clock.set_by(110)
    assert office.watcher.tick() == 0
    assert office.rows("escalations") == []


def test_jump_a_person_accepts_lets_everything_through(office: Office, clock: Clock) -> None:
    office.receive_many(8)
    one, other = watcher(office), watcher(office)
    assert (one.tick(), other.tick()) == (0, 0)
    clock.set_by(3601)
    assert (one.tick(), other.tick()) == (0, 0)
    release(office)
    assert one.tick() + other.tick() == 8
    assert (one.tick(), other.tick(), row(office)["held_since"]) == (0, 0, None)


def test_restarted_worker_finds_the_hold_and_waits_for_a_person(office: Office, clock: Clock) -> None:
    office.receive("Q-1")
    office.watcher.tick()
    clock.set_by(3601)
    office.watcher.tick()
    fresh = watcher(office)
    assert fresh.tick() == 0
    clock.set_by(-3601)
    assert fresh.tick() == 0
    assert row(office)["held_since"] is not None, "it has not seen the jump, so it cannot see it undone"


def test_clock_set_back_fires_nothing_twice_and_skips_no_level(
    office: Office, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """I34."""
    office.receive("Q-1")
    office.pass_time(7200)
    office.tick_all()
    fired = office.rows("escalations")
    assert [r["step"] for r in fired] == [1, 2]
    clock.set_by(-7200)
    assert office.tick_all() == 0
    assert "database_clock_set_back" in capsys.readouterr().out
    for hours in range(1, 5):
        office.pass_time(3600)
        office.tick_all()
        steps = [r["step"] for r in office.rows("escalations")]
        assert steps == list(range(1, max(2, hours) + 1)), "late by no more than the clock was set back"
    office.pass_time(3600)
    office.tick_all()
    log = office.rows("escalations")
    assert [r["step"] for r in log] == [1, 2, 3, 4, 5]
    assert log[:2] == fired


def test_every_setting_of_the_clock_leaves_each_level_once_and_in_order(office: Office, clock: Clock) -> None:
    """Forward and back, by minutes that are let through: the log is that of a clock nobody touched."""
    office.receive_many(3)
    for by in (100, -100, 119, -3600, 60, -60, 115, -7200):
        clock.set_by(by)
        office.pass_time(2500)
        office.tick_all()
    office.pass_time(40_000)
    office.tick_all()
    for external_id in ("Q-0", "Q-1", "Q-2"):
        mine = office.rows("escalations", report_id=id_of(external_id), kind="acknowledge")
        assert [r["step"] for r in mine] == [1, 2, 3, 4, 5]
        assert all(r["fired_at"] >= r["due_at"] for r in mine)


def test_workers_own_clock_decides_nothing(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """I33: a worker whose wall clock is years off fires what the database says is due, stamped with its time."""
    office.receive("Q-1")
    office.pass_time(3600)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert office.watcher.tick() == 1
    (fired,) = office.rows("escalations")
    assert abs((office.now() - fired["fired_at"]).total_seconds()) < 60


# --- too much at once -----------------------------------------------------------------------------------------------


def test_implausible_share_due_at_once_holds_for_a_quarter_of_an_hour(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    """I35."""
    office.use({Kind.TRIAGE: LADDER})
    office.receive_many(8)
    office.pass_time(3600)
    assert watcher(office).tick() == 0
    held = row(office)
    assert held["held_why"].startswith("share: 16 or more clocks fell due at once, only 0 ")
    assert held["held_until"] - held["held_since"] == timedelta(minutes=15)
    assert (office.rows("escalations"), "engine_held" in capsys.readouterr().out) == ([], True)


def test_hold_for_a_share_ends_by_itself_and_is_not_repeated_for_the_same_backlog(office: Office) -> None:
    office.use({Kind.TRIAGE: LADDER})
    office.receive_many(8)
    office.pass_time(20_000)
    one = watcher(office, most=2)
    one.tick()
    office.set("engine", {"held_until": office.now() - timedelta(seconds=1)})
    fired = sum(iter(one.tick, 0))
    assert fired == len(office.rows("escalations")) == 16 * len(LADDER)
    assert (row(office)["held_since"], row(office)["held_why"]) == (None, None)


def test_next_implausible_share_is_held_again(office: Office) -> None:
    office.use({Kind.TRIAGE: LADDER})
    office.receive_many(8)
    office.pass_time(3600)
    one = watcher(office)
    one.tick()
    release(office)
    assert sum(iter(one.tick, 0)) == 16
    office.pass_time(3600)
    assert one.tick() == 0
    assert row(office)["held_since"] is not None


def test_person_can_hold_for_good_what_would_go_on_by_itself(office: Office) -> None:
    office.use({Kind.TRIAGE: LADDER})
    office.receive_many(8)
    office.pass_time(3600)
    one = watcher(office)
    one.tick()
    hold(office)
    assert (one.tick(), row(office)["held_until"]) == (0, None)


def test_half_of_all_clocks_or_less_is_let_through(office: Office) -> None:
    office.receive_many(8)  # triage runs for a hundred hours more
    office.pass_time(3600)
    assert watcher(office).tick() == 8


def test_few_at_once_are_let_through_whatever_their_share(office: Office) -> None:
    office.use({Kind.TRIAGE: LADDER})
    office.receive_many(2)
    office.pass_time(3600)
    assert sum(iter(watcher(office).tick, 0)) == 4


def test_guard_that_is_switched_off_lets_everything_through(office: Office) -> None:
    office.use({Kind.TRIAGE: LADDER})
    office.receive_many(8)
    office.pass_time(3600)
    assert sum(iter(watcher(office, Limits(share=1.0, least=5)).tick, 0)) == 16


def test_counting_stops_as_soon_as_the_share_is_certain(office: Office) -> None:
    office.receive_many(12)
    office.pass_time(3600)
    now = office.now()
    with office.database.read() as connection:
        assert engine.due(connection, now, 1000) == 12
        assert engine.due(connection, now, 5) == 5
        assert engine.backlog(connection, now, lambda due: due + 1) == (12, 12)
        assert engine.backlog(connection, now, lambda due: 3) == (12, 3)


def _many(office: Office, count: int) -> None:
    """Copy the one report there is, with its clocks."""
    copied = "SELECT {} FROM {} CROSS JOIN generate_series(1, :count) AS n"
    with office.database.write() as connection:
        for name in ("reports", "obligations"):
            made = {"report_id": "'R-' || n", "ticket": "'T-' || n", "external_id": "'E-' || n"}
            columns = [column.name for column in metadata.tables[name].c]
            values = copied.format(", ".join(made.get(column, column) for column in columns), name)
            connection.execute(sa.text(f"INSERT INTO {name} ({', '.join(columns)}) {values}"), {"count": count})
    with office.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE obligations")


@on_postgresql
def test_idle_tick_reads_nothing_of_many_obligations_but_their_index(office: Office) -> None:
    office.receive("Q-1")
    _many(office, 5000)
    asked: list[tuple[str, Any]] = []

    def note(_: object, __: object, statement: str, parameters: Any, *rest: object) -> None:
        asked.append((statement, parameters))

    sa.event.listen(office.database.engine, "before_cursor_execute", note)
    try:
        assert office.watcher.tick() == 0
    finally:
        sa.event.remove(office.database.engine, "before_cursor_execute", note)
    assert len(asked) <= 5
    with office.database.read() as connection:
        plans = [
            "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars())
            for statement, parameters in asked
            if "obligations" in statement
        ]
    assert len(plans) == 2, "is anything due, and what"
    assert "Index Only Scan using ix_obligations_due" in plans[0]
    assert "Index Scan using ix_obligations_due" in plans[1]


# --- poison ---------------------------------------------------------------------------------------------------------


def test_poison_backs_off_longer_every_time_up_to_an_hour_while_others_go_on(office: Office) -> None:
    """I13."""
    office.receive("Q-poison")
    where = {"report_id": id_of("Q-poison"), "kind": "acknowledge"}
    office.set("obligations", {"policy_version": "acknowledge@gone"}, **where)
    office.pass_time(3600)
    waits = []
    for number in range(7):
        office.receive(f"Q-{number}")
        office.set("obligations", {"next_due": office.now()}, report_id=id_of(f"Q-{number}"), kind="acknowledge")
        office.tick_all()
        assert len(office.rows("escalations", report_id=id_of(f"Q-{number}"))) == 1, "the others go on"
        (stuck,) = office.rows("obligations", **where)
        waits.append(round((stuck["next_due"] - office.now()).total_seconds() / 60))
        office.set("obligations", {"next_due": office.now()}, **where)
    assert waits == [5, 10, 20, 40, 60, 60, 60]
    assert office.rows("escalations", report_id=id_of("Q-poison")) == []
    notes = office.rows("history", report_id=id_of("Q-poison"), event="clock_stuck")
    assert [note["data"]["wait_s"] for note in notes] == [60 * minutes for minutes in waits]


# --- company --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("workers", "most"), [(1, 1), (1, 1000), (3, 7), (4, 1)])
def test_any_number_of_workers_and_any_batch_leave_the_log_of_one(
    office: Office, twin: Office, workers: int, most: int
) -> None:
    """I36."""
    for one in (office, twin):
        one.receive_many(20)
        one.pass_time(8000)
        one.casework.acknowledge(one.receive("Q-answered"), ANI)
        one.receive("Q-young")
        one.pass_time(7500)
    twin.tick_all()
    crew = [Working(partial(_work, office, most)) for _ in range(workers)]
    for worker in crew:
        worker.start()
    fired = sum(worker.result() for worker in crew)
    assert fired == len(_log(office))
    assert sorted(_log(office)) == sorted(_log(twin))
    assert len(set(_log(office))) == fired
    for report_id in {report_id for report_id, *_ in _log(office)}:
        steps = [step for report, _, _, step, _ in _log(office) if report == report_id]
        assert steps == list(range(1, len(steps) + 1)), "in the order they were written"


def _work(office: Office, most: int) -> int:
    """Tick until nothing is due any more, by whomever."""
    mine, fired = watcher(office, Limits(), most), 0
    while True:
        fired += mine.tick()
        with office.database.read() as connection:
            if not engine.due(connection, office.database.now(connection), 1):
                return fired


def _log(office: Office) -> list[tuple[Any, ...]]:
    return [
        tuple(r[name] for name in ("report_id", "kind", "cycle", "step", "level")) for r in office.rows("escalations")
    ]


# --- the ack --------------------------------------------------------------------------------------------------------


class Turns:
    """A database's turn to write; notes when this thread has asked for it, and when it has given it back."""

    def __init__(self, turn: AbstractContextManager[Any]) -> None:
        self._turn, self._thread = turn, threading.get_ident()
        self.mine: list[float] = []

    def _note(self) -> None:
        if threading.get_ident() == self._thread:
            self.mine.append(time.monotonic())

    def __enter__(self) -> None:
        self._note()
        self._turn.__enter__()

    def __exit__(self, *raised: Any) -> None:
        self._turn.__exit__(*raised)
        self._note()


def test_ack_waits_for_at_most_one_tick(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """I39: while a backlog is worked off, no two whole ticks fit between an ack's asking to write and its having written.

    What it does before and after waits for nobody, but on a busy machine for the interpreter.
    """
    tickets = office.receive_many(300)
    office.pass_time(20_000)
    mine, stop = watcher(office, Limits(), most=10), threading.Event()
    ticks: list[tuple[float, float]] = []
    turns = Turns(office.database.turn)
    monkeypatch.setattr(office.database, "turn", turns)

    def work() -> None:
        while not stop.is_set():
            began = time.monotonic()
            if mine.tick():
                ticks.append((began, time.monotonic()))

    worker = Working(work)
    worker.start()
    acks = []
    for ticket in tickets[::10]:
        turns.mine.clear()
        office.casework.acknowledge(ticket, ANI)
        acks.append((turns.mine[0], turns.mine[-1]))
    stop.set()
    worker.result()
    inside = [sum(begin <= b and e <= end for b, e in ticks) for begin, end in acks]
    assert ticks
    assert max(inside) <= 1, (inside, acks, ticks)


class Audited:
    """What this thread asks of the world outside, as Python's own audit events tell. A hook can't be taken out."""

    def __init__(self) -> None:
        self.thread = 0
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, _: tuple[Any, ...]) -> None:
        if self.thread == threading.get_ident() and event.startswith(
            ("open", "socket.", "subprocess.", "os.", "time.sleep", "smtplib.", "urllib.", "http.")
        ):
            self.seen.append(event)


@pytest.fixture(scope="module")
def audited() -> Iterator[Audited]:
    """The hook, deaf at the end."""
    made = Audited()
    yield made
    made.thread = 0


def test_tick_does_no_io_but_the_databases(office: Office, audited: Audited) -> None:
    """I39: nothing an ack could wait for."""
    office.receive_many(30)
    office.pass_time(3600)
    office.watcher.tick()  # connections are open and code is loaded now
    office.pass_time(3600)
    audited.seen.clear()
    audited.thread = threading.get_ident()
    try:
        assert office.watcher.tick() > 0
        seen = list(audited.seen)
        open("/dev/null").close()  # the hook does hear something
    finally:
        audited.thread = 0
    assert (seen, "open" in audited.seen) == ([], True)
