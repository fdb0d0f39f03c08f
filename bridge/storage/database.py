"""One database, PostgreSQL or SQLite, behind two doors: `read()` and `write()`."""

import functools
import json
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection as Connection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DisconnectionError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from bridge.bells import ELSEWHERE_S, Bells
from bridge.storage.statements import locking, new_into

#: Seconds a writer waits for its turn on SQLite before it gives up and tries later.
SQLITE_BUSY_S = 15
#: A connection that has lain in the pool for so many seconds is tried before it is used.
IDLE_S = 2.0
STREAMED_AT_ONCE = 2000
OUTBOX_CHANNEL = "bridge_outbox"
#: What lets whoever waits for the outbox look once PostgreSQL has committed; see Database.wake_relay.
WAKE_RELAY = f"SELECT pg_notify('{OUTBOX_CHANNEL}', '')"
#: In a connection's `info`: what the next transaction is to be.
_KIND = "bridge_kind"
#: Whatever a statement raises inside a transaction, before one of the doors below gives it our name.
StatementFailed = SQLAlchemyError


#: Of PostgreSQL's errors that are not called operational: it is a standby, or was made read-only; we were cut off.
_PASSING = ("25006", "25P03")


class DatabaseAway(Exception):
    """The database cannot be reached or gave up on this transaction; nothing was written. Try later."""


class Conflict(Exception):
    """Another transaction wrote the same thing first; nothing was written. Look again and decide anew."""


class Database:
    """The facts. One per process; safe for many threads, not across a fork."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        if self.is_sqlite:
            Path(make_url(url).database or "").parent.mkdir(parents=True, exist_ok=True)
        self.engine = sa.create_engine(
            url,
            # As people write, not escaped: a search looks into the text.
            json_serializer=functools.partial(json.dumps, ensure_ascii=False),
            # Errors go into logs, and rows hold what citizens wrote.
            hide_parameters=True,
            pool_size=10,
            max_overflow=20,
            connect_args={"timeout": SQLITE_BUSY_S} if self.is_sqlite else {"connect_timeout": 5},
        )
        #: SQLite has one writer at a time. Threads of this process wait here for their turn: its own way of waiting
        #: is to sleep and look again.
        self.turn: AbstractContextManager[Any] = _InTurn() if self.is_sqlite else nullcontext()
        #: Rung when something has been put into SQLite's outbox; PostgreSQL notifies by itself.
        self.bells = Bells()
        event.listen(self.engine, "handle_error", _quote_no_row)
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            # Not by the event "begin": for a single listener to it every statement would look for more of them.
            self.engine.dialect.do_begin = _begin_sqlite  # type: ignore[method-assign, assignment]
        else:
            event.listen(self.engine, "checkin", _given_back)
            event.listen(self.engine, "checkout", _ping_if_idle)
            self.engine.dialect.do_begin = _begin_postgresql  # type: ignore[method-assign, assignment]
            event.listen(self.engine, "connect", _prepare_postgresql)

    @contextmanager
    def write(self, *, lasting: bool = True, is_one_statement: bool = False) -> Iterator[Connection]:
        """Open a transaction that writes; it commits at the end of the block or not at all.

        Args:
            lasting: False for what may be undone by a power cut because it is then done again: SQLite does not wait
                for the disk. What commits later and lasts makes it last, too.
            is_one_statement: PostgreSQL commits each statement by itself, which saves going there twice: for a single
                one; use Writes.commit.

        Raises:
            DatabaseAway: nothing was written.
            Conflict: a unique key was taken meanwhile; nothing was written.
        """
        try:
            with self.turn, self.engine.connect() as connection:
                connection.info[_KIND] = "single" if is_one_statement else "lasting" if lasting else "light"
                with connection.begin():
                    yield connection
                rings = connection.info.pop(OUTBOX_CHANNEL, False)
        except IntegrityError as error:
            raise Conflict(str(error.orig)) from error
        except StatementFailed as error:
            if not _passes(error):
                raise
            raise DatabaseAway(str(getattr(error, "orig", error))) from error
        if rings:
            self.bells.ring([OUTBOX_CHANNEL])

    def wake_relay(self, connection: Connection) -> None:
        """Let whoever waits for the outbox look once this transaction has committed."""
        if self.is_sqlite:
            connection.info[OUTBOX_CHANNEL] = True
        else:
            connection.exec_driver_sql(WAKE_RELAY)

    @contextmanager
    def alone(self, connection: Connection) -> Iterator[None]:
        """Write a part of an open transaction whole or not at all, so that the rest can go on without it.

        Raises:
            Conflict: a unique key was taken; nothing of this part was written.
        """
        try:
            with connection.begin_nested():
                yield
        except IntegrityError as error:
            raise Conflict(str(error.orig)) from error

    @contextmanager
    def read(self, *, walks: bool = False) -> Iterator[Connection]:
        """Open a connection that only reads. PostgreSQL shows each statement what is committed by then; SQLite shows
        all of them the same.

        Args:
            walks: A result is fetched piece by piece (`yield_per`), for which PostgreSQL needs a transaction.

        Raises:
            DatabaseAway: cannot be reached.
        """
        try:
            with self.engine.connect() as connection:
                connection.info[_KIND] = "walking" if walks else "reading"
                with connection.begin():
                    yield connection
        except StatementFailed as error:
            if not _passes(error):
                raise
            raise DatabaseAway(str(getattr(error, "orig", error))) from error

    def stream(self, connection: Connection, statement: sa.Select[Any]) -> Iterator[Sequence[Any]]:
        """Yield all rows of a statement without parameters, while PostgreSQL sends the next ones.

        Nothing else can be asked of the connection meanwhile.

        Raises:
            DatabaseAway: was lost on the way.
        """
        if self.is_sqlite:
            yield from connection.execute(statement.execution_options(yield_per=STREAMED_AT_ONCE))
            return
        text = statement.compile(self.engine, compile_kwargs={"literal_binds": True})
        written = (column.type.compile(self.engine.dialect) for column in statement.selected_columns)
        types = [name.partition("(")[0].lower() for name in written]  # "VARCHAR(64)"
        driver: Any = connection.connection.driver_connection
        try:
            with driver.cursor() as cursor, cursor.copy(f"COPY ({text}) TO STDOUT (FORMAT BINARY)") as copy:
                copy.set_types(types)
                yield from copy.rows()
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise DatabaseAway(str(error)) from error

    def now(self, connection: Connection) -> datetime:
        """Return the database's clock, aware, UTC: the only clock that decides (a worker's own may be wrong)."""
        if self.is_sqlite:
            driver: Any = connection.connection.driver_connection
            (text,) = driver.execute("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')").fetchone()
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        at: datetime = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
        return at.astimezone(UTC)

    def insert_new(self, connection: Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
        """Insert the rows that break no unique key; what is there already stays as it is."""
        if rows:
            connection.execute(new_into(table, sqlite=self.is_sqlite), rows)

    def for_update(self, statement: sa.Select[Any], *, skip_locked: bool = False) -> sa.Select[Any]:
        """Lock the rows the statement finds until the transaction ends; SQLite has one writer anyway."""
        return statement if self.is_sqlite else locking(statement, skip_locked=skip_locked)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def _passes(error: SQLAlchemyError) -> bool:
    """Tell whether it passes by itself, when the database is there again."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    return isinstance(error, OperationalError | InterfaceError | NoConnectionFree) or state in _PASSING


class _InTurn:
    """A lock that is given to whoever has waited longest; threading.Lock may go to the one who has just released it."""

    def __init__(self) -> None:
        self._looking, self._taken = threading.Lock(), False
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._looking:
            if not self._taken:
                self._taken = True
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        try:
            mine.acquire()
        except BaseException:  # Ctrl-C: whoever is behind must not wait for somebody who has gone
            self._go(mine)
            raise

    def _go(self, mine: threading.Lock) -> None:
        with self._looking:
            still_waiting = mine in self._waiting
            if still_waiting:
                self._waiting.remove(mine)
        if not still_waiting:
            self.__exit__()

    def __exit__(self, *raised: object) -> None:
        with self._looking:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False


class Wakeups:
    """Waiting for rows to appear in the outbox without asking for them all the time.

    PostgreSQL notifies. With SQLite our own threads ring, and its data_version changes when another process wrote.
    Either way a lost wake-up costs at most `wait`'s limit.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Any = None
        self._woken = database.bells.listen([OUTBOX_CHANNEL])
        self._seen = -1

    def wait(self, limit_s: float) -> None:
        """Return when something may have changed, at the latest after `limit_s` seconds.

        Raises:
            DatabaseAway: cannot be reached.
        """
        try:
            if self._connection is None:
                self._open()
            if self._database.is_sqlite:
                self._wait_for_version(limit_s)
            else:
                next(self._connection.notifies(timeout=limit_s, stop_after=1), None)
        except (OperationalError, psycopg.OperationalError, psycopg.InterfaceError, sqlite3.OperationalError) as error:
            self.close()
            raise DatabaseAway(str(error)) from error

    def close(self) -> None:
        """Close the connection kept for waiting; the next wait opens one."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _open(self) -> None:
        raw = self._database.engine.raw_connection()
        self._connection = raw.driver_connection
        raw.detach()
        if not self._database.is_sqlite:
            self._connection.autocommit = True
            self._connection.execute(f"LISTEN {OUTBOX_CHANNEL}")

    def _wait_for_version(self, limit_s: float) -> None:
        until, woken = time.monotonic() + limit_s, False
        while not woken:
            woken = self._woken.wait(max(0.0, min(ELSEWHERE_S, until - time.monotonic())))
            version = self._connection.execute("PRAGMA data_version").fetchone()[0]
            woken = woken or version != self._seen or time.monotonic() >= until
            self._seen = version
        # Before who waited looks: what is written after that look wakes again.
        self._woken.clear()


def _quote_no_row(context: sa.ExceptionContext) -> None:
    """Keep the first line of what the database says: the next ones quote the row, or the text it came in."""
    driver, ours = context.original_exception, context.sqlalchemy_exception
    first = str(driver).partition("\n")[0]
    driver.args = (first,)
    if ours is not None and ours.args:
        ours.args = (f"({type(driver).__name__}) {first}",)


def _given_back(connection: Any, record: Any) -> None:
    record.info["idle_since"] = time.monotonic()
    if connection is not None and connection.autocommit and not connection.closed:
        connection.autocommit = False


def _ping_if_idle(connection: Any, record: Any, _: Any) -> None:
    """Try a connection that may have died in the pool; SQLAlchemy's own ping tries all, a tenth of a short write."""
    if time.monotonic() - record.info.get("idle_since", time.monotonic()) < IDLE_S:
        return
    try:
        connection.execute("SELECT 1")
        connection.rollback()
    except psycopg.Error as error:
        raise DisconnectionError from error


def _prepare_sqlite(connection: Any, _: object) -> None:
    # We say BEGIN ourselves (below): the driver's own late BEGIN lets two readers both become writers and fail.
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _prepare_postgresql(connection: Any, _: object) -> None:
    # Instants then come in UTC from the driver: in any other zone each would be converted there, and back here.
    connection.execute("SET TIME ZONE 'UTC'")
    connection.commit()


def _begin_postgresql(pooled: Any) -> None:
    # The driver says BEGIN with the first statement, and COMMIT; each is a way to the server and back.
    if pooled.info.pop(_KIND, "lasting") in ("reading", "single"):
        pooled.driver_connection.autocommit = True


def _begin_sqlite(pooled: Any) -> None:
    kind = pooled.info.pop(_KIND, "lasting")
    reads = kind in ("reading", "walking")
    if not reads:
        synchronous = "NORMAL" if kind == "light" else "FULL"
        if pooled.info.get("synchronous", "FULL") != synchronous:
            pooled.driver_connection.execute(f"PRAGMA synchronous = {synchronous}")
            pooled.info["synchronous"] = synchronous
    pooled.driver_connection.execute("BEGIN" if reads else "BEGIN IMMEDIATE")
