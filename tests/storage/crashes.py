"""Dying in front of any statement, and standing still in front of one: where races and half-done work show."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from bridge.storage.database import Database
from tests.servers import eventually

LIMIT_S = 60


class Killed(BaseException):
    """The process is gone: no `except Exception` may notice it."""


@contextmanager
def statements(database: Database, before: Callable[[str], None]) -> Iterator[None]:
    """Call `before` in front of every statement, and with COMMIT in front of every commit."""

    def on_statement(_: object, __: object, statement: str, *rest: object) -> None:
        before(statement)

    def on_commit(_: object) -> None:
        before("COMMIT")

    event.listen(database.engine, "before_cursor_execute", on_statement)
    event.listen(database.engine, "commit", on_commit)
    try:
        yield
    finally:
        event.remove(database.engine, "before_cursor_execute", on_statement)
        event.remove(database.engine, "commit", on_commit)


def killed_before(database: Database, number: int, work: Callable[[], Any]) -> bool:
    """Do the work, but die in front of its `number`-th statement; returns False once it has fewer."""
    count = 0

    def before(_: str) -> None:
        nonlocal count
        count += 1
        if count == number:
            raise Killed

    try:
        with statements(database, before):
            work()
    except Killed:
        return True
    return False


def survives_every_crash(database: Database, work: Callable[[], Any], after_crash: Callable[[], Any]) -> int:
    """Do the work, dying in front of each of its statements in turn, until it gets through; returns the deaths."""
    deaths = 0
    while killed_before(database, deaths + 1, work):
        deaths += 1
        after_crash()
    return deaths


class Standstill:
    """Work of its own thread, held in front of the first statement that contains a text, until let go."""

    def __init__(self, database: Database, text: str, work: Callable[[], Any]) -> None:
        self._database, self._text = database, text
        self._there, self._go = threading.Event(), threading.Event()
        self._thread = self._held = Working(work)
        self._began: set[threading.Thread] = set()

    def __enter__(self) -> "Standstill":
        self._turn, self._database.turn = self._database.turn, _Queue(self._database.turn, self._began)
        self._listening = statements(self._database, self._before)
        self._listening.__enter__()
        self._thread.start()
        assert self._there.wait(LIMIT_S), f"never came to {self._text}"
        return self

    def meanwhile(self, work: Callable[[], Any]) -> "Working":
        """Start other work; return it when it has ended or can't go on because of the one that stands still."""
        other = Working(work)
        other.start()
        eventually(lambda: not other.is_alive() or self._waits(other), LIMIT_S, "the other has ended, or waits")
        return other

    def _waits(self, other: "Working") -> bool:
        # SQLite has one writer: who has asked for its turn waits for it.
        return other in self._began if self._database.is_sqlite else somebody_waits(self._database)

    def go_on(self) -> None:
        """Let the thread go on, and wait for its end."""
        self._go.set()
        self._thread.result()

    def __exit__(self, *_: object) -> None:
        self._go.set()
        self._thread.join(LIMIT_S)
        self._listening.__exit__(None, None, None)
        self._database.turn = self._turn

    def _before(self, statement: str) -> None:
        # Before anybody else began it is the thread, or one that helps it.
        if self._text in statement and (not self._there.is_set() or threading.current_thread() is self._held):
            self._held = threading.current_thread()
            self._there.set()
            assert self._go.wait(LIMIT_S), "never let go"


class _Queue:
    """A database's turn to write, and who has asked for it."""

    def __init__(self, turn: AbstractContextManager[Any], asked: set[threading.Thread]) -> None:
        self._turn, self._asked = turn, asked

    def __enter__(self) -> None:
        self._asked.add(threading.current_thread())
        self._turn.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._turn.__exit__(*error)


class Working(threading.Thread):
    """A thread whose error is not lost."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self.error: BaseException | None = None
        self.found: Any = None

    def run(self) -> None:
        try:
            self.found = self._work()
        except BaseException as error:  # noqa: BLE001 - raised again by result()
            self.error = error

    def result(self) -> Any:
        """Wait for the end; return what the work returned, or raise what it raised."""
        self.join(LIMIT_S)
        assert not self.is_alive(), "still at work"
        if self.error:
            raise self.error
        return self.found


def together(*works: Callable[[], Any]) -> list[Any]:
    """Do all of it at once, a thread each; returns what each returned."""
    threads = [Working(work) for work in works]
    for thread in threads:
        thread.start()
    return [thread.result() for thread in threads]


def somebody_waits(database: Database) -> bool:
    """Tell whether a transaction of this PostgreSQL database waits for another one's lock."""
    statement = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with database.read() as connection:
        return bool(connection.execute(sa.text(statement)).scalar_one())
