"""The two doors: whole or not at all, one consistent view, and errors by our own names."""

import signal
import threading
from contextlib import ExitStack, nullcontext
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import sqlalchemy as sa

from bridge.storage import workers
from bridge.storage.database import STREAMED_AT_ONCE, Conflict, Database, DatabaseAway
from bridge.storage.migrate import migrate
from bridge.storage.tables import reports, webhooks
from bridge.storage.tables import workers as table
from tests.storage.crashes import Standstill, together
from tests.storage.office import Office
from tests.waiting import eventually


def _seen(database: Database, name: str) -> None:
    with database.write() as connection:
        workers.seen(connection, name, "take_in", database.now(connection))


def _names(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(sa.select(table.c.worker).order_by(table.c.worker)).scalars())


def test_error_in_the_middle_of_a_transaction_leaves_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        workers.seen(connection, "one", "take_in", database.now(connection))
        raise ZeroDivisionError
    assert _names(database) == []


def test_taken_key_is_a_conflict_and_nothing_of_the_transaction_is_written(database: Database) -> None:
    _seen(database, "one")
    with pytest.raises(Conflict), database.write() as connection:
        workers.seen(connection, "two", "take_in", database.now(connection))
        row = {"worker": "one", "step": "x", "seen_at": database.now(connection)}
        connection.execute(sa.insert(table), [row])
    assert _names(database) == ["one"]


def test_part_that_conflicts_alone_leaves_the_rest_of_the_transaction(database: Database) -> None:
    _seen(database, "one")
    with database.write() as connection:
        workers.seen(connection, "two", "take_in", database.now(connection))
        with pytest.raises(Conflict), database.alone(connection):
            workers.seen(connection, "three", "take_in", database.now(connection))
            connection.execute(sa.insert(table), [{"worker": "one", "step": "x", "seen_at": database.now(connection)}])
        workers.seen(connection, "four", "take_in", database.now(connection))
    assert _names(database) == ["four", "one", "two"]


def test_only_new_rows_are_inserted(database: Database) -> None:
    _seen(database, "one")
    with database.write() as connection:
        now = database.now(connection)
        rows = [{"worker": name, "step": "other", "seen_at": now} for name in ("one", "two")]
        database.insert_new(connection, table, rows)
        database.insert_new(connection, table, [])
    with database.read() as connection:
        found = connection.execute(sa.select(table.c.worker, table.c.step).order_by(table.c.worker))
        assert [tuple(row) for row in found] == [("one", "take_in"), ("two", "other")]


def test_many_writers_wait_for_each_other_and_all_get_through(database: Database) -> None:
    def write_ten(number: int) -> None:
        for turn in range(10):
            _seen(database, f"{number}-{turn}")

    together(*(partial(write_ten, number) for number in range(8)))
    assert len(_names(database)) == 80


def test_reader_does_not_wait_for_a_writer_and_sees_nothing_half_done(database: Database) -> None:
    _seen(database, "one")
    with Standstill(database, "COMMIT", lambda: _seen(database, "two")) as held:
        assert _names(database) == ["one"]
        held.go_on()
    assert _names(database) == ["one", "two"]


def test_two_writers_that_read_first_do_not_lose_each_others_change(office: Office) -> None:
    """Each opens as a writer at once: nobody writes on the ground of what another one has changed meanwhile."""
    office.receive("Q-1")

    def raise_sequence() -> None:
        with office.database.write() as connection:
            statement = office.database.for_update(sa.select(reports.c.sequence))
            sequence = connection.execute(statement).scalar_one()
            connection.execute(sa.update(reports).values(sequence=sequence + 1))

    together(*[raise_sequence] * 8)
    assert office.rows("reports")[0]["sequence"] == 9


def test_database_clock_is_aware_utc_and_moves_within_a_transaction(database: Database) -> None:
    with database.write() as connection:
        first = database.now(connection)
        later = first
        while later == first:
            later = database.now(connection)
    assert first.utcoffset() is not None
    assert later > first


def test_reference_to_nothing_is_refused(database: Database) -> None:
    statement = (
        "INSERT INTO history (report_id, cycle, event, actor, at, data) VALUES ('x', 1, 'e', 'a', '2026-11-23', '{}')"
    )
    with pytest.raises(Conflict), database.write() as connection:
        connection.execute(sa.text(statement))


def test_body_of_a_webhook_may_hold_any_byte(office: Office) -> None:
    every = bytes(range(256)) * 10
    with office.database.write() as connection:
        row = {"source": "s", "webhook_id": "w", "effect": "set_aside", "received_at": office.database.now(connection)}
        connection.execute(sa.insert(webhooks), [{**row, "sha256": "0" * 64, "body": every}])
    assert bytes(office.rows("webhooks")[0]["body"]) == every


# --- the turn to write ------------------------------------------------------------------------------------------------


class Interrupted(Exception):
    """What a signal raises here, as Ctrl-C would."""


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_turn_goes_to_whoever_has_waited_longest_and_past_whom_a_signal_took_away(database: Database) -> None:
    order: list[int] = []

    def write(number: int) -> None:
        with database.turn:
            order.append(number)

    def interrupted(*_: object) -> None:
        raise Interrupted

    waiting = vars(database.turn)["_waiting"]
    before = signal.signal(signal.SIGALRM, interrupted)
    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    try:
        with database.turn:
            for count, thread in enumerate(threads[:4], 1):
                thread.start()
                eventually(lambda count=count: len(waiting) == count)  # type: ignore[misc]
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(Interrupted), database.turn:
                pass
            for count, thread in enumerate(threads[4:], 5):
                thread.start()
                eventually(lambda count=count: len(waiting) == count)  # type: ignore[misc]
    finally:
        signal.signal(signal.SIGALRM, before)
    for thread in threads:
        thread.join(20)
    assert order == list(range(8))


# --- a stream of rows -------------------------------------------------------------------------------------------------

_WORKERS = sa.select(table.c.worker, table.c.seen_at, sa.literal_column("7", sa.Integer).label("seven")).order_by(
    table.c.worker
)


def _many(database: Database, count: int) -> list[tuple[Any, ...]]:
    with database.write() as connection:
        now = database.now(connection)
        rows = [{"worker": f"{number:06}", "step": "take_in", "seen_at": now} for number in range(count)]
        connection.execute(sa.insert(table), rows)
    return [(row["worker"], now, 7) for row in rows]


@pytest.mark.parametrize("count", [0, 1, 2 * STREAMED_AT_ONCE + 1])
def test_stream_is_what_the_statement_says_and_the_connection_goes_on(database: Database, count: int) -> None:
    rows = _many(database, count) if count else []
    with database.read() as connection:
        assert [tuple(row) for row in database.stream(connection, _WORKERS)] == rows
        assert database.now(connection).tzinfo is UTC


def test_stream_may_be_left_early(database: Database) -> None:
    rows = _many(database, 50_000)
    with database.read() as connection:
        streamed = database.stream(connection, _WORKERS)
        assert tuple(next(streamed)) == rows[0]
        streamed.close()
    assert _names(database)[0] == "000000"


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_database_lost_in_the_middle_of_a_stream_is_away(database: Database) -> None:
    _many(database, 50_000)
    with pytest.raises(DatabaseAway, match="connection"), database.read() as connection:
        mine = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        for number, _ in enumerate(database.stream(connection, _WORKERS)):
            if number == 10:
                with database.read() as other:
                    other.exec_driver_sql(f"SELECT pg_terminate_backend({mine})")


def test_postgresql_that_is_not_there_is_away() -> None:
    database = Database("postgresql+psycopg://postgres@127.0.0.1:1/nothing")
    with pytest.raises(DatabaseAway), database.read():
        pass
    with pytest.raises(DatabaseAway), database.write():
        pass
    database.close()


def test_database_whose_connections_all_hang_is_away(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen server keeps every connection there is: that is no fault of the message that wants one."""
    monkeypatch.setattr(database.engine.pool, "_timeout", 0.1)
    with ExitStack() as hanging:
        for _ in range(30):
            hanging.enter_context(database.engine.connect())
        with pytest.raises(DatabaseAway), database.read():
            pass
        with pytest.raises(DatabaseAway), database.write():
            pass
    _seen(database, "one")


def test_postgresql_that_takes_no_writes_is_away_until_it_does(postgres_url: str) -> None:
    """A standby that was not promoted yet: hours of it are no reason to set a message aside."""
    database, name = Database(postgres_url), urlsplit(postgres_url).path[1:]
    migrate(database)
    for answer, closed in ((pytest.raises(DatabaseAway), "on"), (nullcontext(), "off")):
        with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as admin:
            admin.execute("SET default_transaction_read_only = off")
            admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {closed}".encode())
        database.close()
        with answer:
            _seen(database, "one")
    database.close()


def test_sqlite_file_that_cannot_be_opened_is_away(tmp_path: Path) -> None:
    (tmp_path / "bridge.sqlite3").mkdir()
    database = Database(f"sqlite:///{tmp_path}/bridge.sqlite3")
    with pytest.raises(DatabaseAway), database.read():
        pass
    database.close()


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_sqlite_writes_every_commit_to_the_disk_and_keeps_references(database: Database) -> None:
    """A power cut cannot be had here; the settings that decide about it can be looked at."""
    with database.read() as connection:
        pragmas = ("journal_mode", "synchronous", "foreign_keys")
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas]
    assert found == ["wal", 2, 1]
    waits = []
    for lasting in (True, False, True, False, False):
        with database.write(lasting=lasting) as connection:
            waits.append(connection.exec_driver_sql("PRAGMA synchronous").scalar())
    assert waits == [2, 1, 2, 1, 1], "only what says so is not waited for, on whichever connection it comes"
    with database.write() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
