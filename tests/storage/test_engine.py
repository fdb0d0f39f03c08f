"""The engine as a whole: held or free, of which version, with any number of workers, over very many clocks."""

import threading
import time
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from bridge.reports.guard import Limits
from bridge.running import MustStop
from bridge.storage import engine
from bridge.storage.engine import ENGINE_VERSION, OtherVersion
from bridge.storage.migrate import NotMigrated
from bridge.storage.tables import metadata
from consumers.runtime import LoopWorker
from tests.storage.crashes import Standstill, Working
from tests.storage.held import hold, release, row, watcher
from tests.storage.office import ANI, Office, id_of

on_postgresql = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)


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


# --- very many ------------------------------------------------------------------------------------------------------


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
