"""The embedded queue: a kombu transport over one SQLite file, with leases, acks and redelivery.

kombu's own SQL and file transports forget a taken message when its process is killed. Here a taken message only
gets an owner; it is deleted by its ack. An owner proves that it lives by a lock on a file, which the kernel lets go
when the process dies, however it dies: what it held goes back into the queue at once.
"""

import fcntl
import json
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any, ClassVar

from kombu.transport import virtual
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from bridge.bells import ELSEWHERE_S, Bells
from bridge.broker.messages import Message
from bridge.broker.topology import DELIVERY_LIMIT, EXCHANGE

#: A taken message comes back after this long even if its owner lives; no step holds one so long.
LEASE_S = 600
#: How often dead owners are looked for, in seconds.
SWEEP_S = 0.5
_BATCH = 100

SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  queue TEXT NOT NULL,
  payload TEXT NOT NULL,
  owner TEXT,
  taken_at REAL,
  deliveries INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS messages_waiting ON messages (queue, id) WHERE owner IS NULL;
CREATE INDEX IF NOT EXISTS messages_taken ON messages (owner) WHERE owner IS NOT NULL;
"""

#: The file's threads of this process queue up here to write; SQLite's own way to wait is to sleep and look again.
_TURNS: dict[Path, threading.Lock] = {}
#: By file, and in it by queue: rung by who puts something there, for the threads that wait for it.
_BELLS: dict[Path, Bells] = {}

# Also for what a dead owner held: a message that kills whoever takes it must end among the dead letters too.
_GIVE_BACK = (
    "UPDATE messages SET owner = NULL, taken_at = NULL,"
    " queue = CASE WHEN deliveries >= ? AND queue NOT LIKE '%.dead' THEN queue || '.dead' ELSE queue END"
)


class QueueStore:
    """The queues of one file. One store per thread that uses it; any number of processes."""

    schema: ClassVar[str] = SCHEMA

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        # Putting must survive a power cut; taking and acking need not: what is forgotten there comes again.
        self._durable = self._open("FULL")
        self._light = self._open("NORMAL")
        self._turn = _TURNS.setdefault(path, threading.Lock())
        self._bells = _BELLS.setdefault(path, Bells())
        self._woken: dict[tuple[str, ...], threading.Event] = {}
        self._owner = _Owner.of(path)
        self._seen: dict[tuple[str, ...], int] = {}  # queues looked into -> data_version when they were empty
        self._swept_at = 0.0

    def put(self, messages: Iterable[tuple[str, str]]) -> None:
        """Store (queue, payload) pairs, all or none; durable when this returns.

        Raises:
            sqlite3.OperationalError: disk full, or locked for more than five seconds.
        """
        rows = list(messages)
        with transaction(self._durable, self._turn):
            self._insert(rows)
        self._bells.ring({queue for queue, _ in rows})

    def _insert(self, rows: Sequence[tuple[str, str]]) -> None:
        self._durable.executemany("INSERT INTO messages (queue, payload) VALUES (?, ?)", rows)

    def take(self, queues: Sequence[str], most: int) -> list[tuple[int, str, str, int]]:
        """Take up to `most` messages, oldest first; returns (id, queue, payload, deliveries before)."""
        self._listening(queues).clear()
        self._sweep()
        version = self._light.execute("PRAGMA data_version").fetchone()[0]
        if version == self._seen.get(tuple(queues)):
            return []  # nobody else wrote since the last empty look: five microseconds instead of a write
        marks = ",".join("?" * len(queues))
        taken = self._take(queues, marks, most) if self._any(queues, marks) else []
        if not taken:
            self._seen[tuple(queues)] = version
        return taken

    def wait(self, queues: Sequence[str], limit_s: float) -> None:
        """Return when something may be in these queues that was not at the last `take`, or when the time is over."""
        self._listening(queues).wait(min(limit_s, ELSEWHERE_S))

    def _listening(self, queues: Sequence[str]) -> threading.Event:
        key = tuple(queues)
        if key not in self._woken:
            self._woken[key] = self._bells.listen(key)
        return self._woken[key]

    def peek(self, queue: str, most: int) -> list[tuple[int, str]]:
        """Return up to `most` messages (id, payload), oldest first, and leave them; for a queue with one reader."""
        statement = "SELECT id, payload FROM messages WHERE queue = ? AND owner IS NULL ORDER BY id LIMIT ?"
        return self._light.execute(statement, (queue, most)).fetchall()

    def oldest(self, queues: Sequence[str]) -> str | None:
        """Return the payload of the oldest message in these queues, taken ones included, or None."""
        marks = ",".join("?" * len(queues))
        statement = f"SELECT payload FROM messages WHERE queue IN ({marks}) ORDER BY id LIMIT 1"  # noqa: S608 - marks
        found = self._light.execute(statement, tuple(queues)).fetchone()
        return found[0] if found else None

    def remove(self, message_ids: Sequence[int]) -> None:
        """Delete messages that were looked at, all or none."""
        with transaction(self._light, self._turn):
            self._light.executemany("DELETE FROM messages WHERE id = ?", [(one,) for one in message_ids])

    def ack(self, message_id: int) -> None:
        """Delete a message: its work is done."""
        with transaction(self._light, self._turn):
            self._light.execute("DELETE FROM messages WHERE id = ?", (message_id,))

    def release(self, message_id: int) -> None:
        """Put a taken message back in its place; one delivered too often goes to the dead letters."""
        with transaction(self._light, self._turn):
            self._light.execute(f"{_GIVE_BACK} WHERE id = ?", (DELIVERY_LIMIT, message_id))
        self._came_back()

    def park(self, message_id: int) -> None:
        """Move a message to the dead-letter queue of its queue."""
        with transaction(self._light, self._turn):
            self._light.execute(
                "UPDATE messages SET queue = queue || '.dead', owner = NULL, taken_at = NULL, deliveries = 0"
                " WHERE id = ?",
                (message_id,),
            )
        self._came_back()

    def size(self, queue: str) -> int:
        """Return the number of messages in a queue, taken ones included."""
        count: int = self._light.execute("SELECT count(*) FROM messages WHERE queue = ?", (queue,)).fetchone()[0]
        return count

    def purge(self, queue: str) -> int:
        """Delete every message of a queue; returns how many."""
        with transaction(self._light, self._turn):
            return self._light.execute("DELETE FROM messages WHERE queue = ?", (queue,)).rowcount

    def close(self) -> None:
        """Close the file; what this thread still held must have been released before."""
        for woken in self._woken.values():
            self._bells.leave(woken)
        self._durable.close()
        self._light.close()

    def _any(self, queues: Sequence[str], marks: str) -> bool:
        """Tell whether something waits there, without a turn as a writer: most puts are for somebody else."""
        statement = f"SELECT 1 FROM messages WHERE owner IS NULL AND queue IN ({marks}) LIMIT 1"  # noqa: S608 - marks
        return self._light.execute(statement, tuple(queues)).fetchone() is not None

    def _take(self, queues: Sequence[str], marks: str, most: int) -> list[tuple[int, str, str, int]]:
        with transaction(self._light, self._turn):
            rows = self._light.execute(
                f"SELECT id, queue, payload, deliveries FROM messages"  # noqa: S608 - only question marks
                f" WHERE owner IS NULL AND queue IN ({marks}) ORDER BY id LIMIT ?",
                (*queues, most),
            ).fetchall()
            self._light.executemany(
                "UPDATE messages SET owner = ?, taken_at = ?, deliveries = deliveries + 1 WHERE id = ?",
                [(self._owner.name, time.time(), row[0]) for row in rows],
            )
        return rows

    def _sweep(self) -> None:
        if time.monotonic() - self._swept_at < SWEEP_S:
            return
        self._swept_at = time.monotonic()
        found = self._light.execute("SELECT DISTINCT owner FROM messages WHERE owner IS NOT NULL").fetchall()
        dead = [owner for (owner,) in found if not self._owner.lives(owner)]
        stale = time.time() - LEASE_S
        with transaction(self._light, self._turn):
            for owner in dead:
                self._light.execute(f"{_GIVE_BACK} WHERE owner = ?", (DELIVERY_LIMIT, owner))
            freed = self._light.execute(
                f"{_GIVE_BACK} WHERE owner IS NOT NULL AND taken_at < ?", (DELIVERY_LIMIT, stale)
            ).rowcount
        if dead or freed:
            self._came_back()

    def _came_back(self) -> None:
        # Our own writes do not change our data_version.
        self._seen.clear()
        self._bells.ring()

    def _open(self, synchronous: str) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=5, isolation_level=None, check_same_thread=False)
        # Turning a new file to WAL does not wait for another process that does the same, whatever the timeout.
        try:
            Retrying(
                wait=wait_random(0, 0.1),
                stop=stop_after_delay(10),
                retry=retry_if_exception_type(sqlite3.OperationalError),
                reraise=True,
            )(connection.executescript, f"PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; {self.schema}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection


@contextmanager
def transaction(connection: sqlite3.Connection, turn: threading.Lock) -> Iterator[None]:
    """BEGIN IMMEDIATE … COMMIT: a writer waits its turn instead of failing half-way."""
    with turn:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:  # also when the disk was too full to commit
                connection.execute("ROLLBACK")


class _Owner:
    """This process as an owner of taken messages: a name, and a file locked for as long as it lives."""

    _of_process: ClassVar[dict[tuple[int, Path], "_Owner"]] = {}
    _making = threading.Lock()

    def __init__(self, folder: Path) -> None:
        self.name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(folder / self.name, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)

    @classmethod
    def of(cls, store: Path) -> "_Owner":
        """Return this process's owner for a store; after a fork the child is another one."""
        with cls._making:
            key = (os.getpid(), store)
            if key not in cls._of_process:
                cls._of_process[key] = cls(store.with_name(f"{store.name}.owners"))
            return cls._of_process[key]

    def lives(self, name: str) -> bool:
        """Tell whether the process behind an owner's name is alive; the file of a dead one is removed."""
        if name == self.name:
            return True
        try:
            file = os.open(self._folder / name, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            (self._folder / name).unlink(missing_ok=True)
            return False
        finally:
            os.close(file)


class QoS(virtual.QoS):
    """Acknowledging deletes the row, rejecting releases or parks it."""

    def ack(self, delivery_tag: str) -> None:
        """Delete the message."""
        self.channel.store.ack(int(delivery_tag))
        self._quick_ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give the message back, or park it in the dead-letter queue."""
        store = self.channel.store
        (store.release if requeue else store.park)(int(delivery_tag))
        self._quick_ack(delivery_tag)


class Channel(virtual.Channel):
    """A kombu channel over a QueueStore."""

    QoS = QoS
    body_encoding: Any = None  # our bodies are JSON text already

    def __init__(self, connection: Any, **options: Any) -> None:
        super().__init__(connection, **options)  # type: ignore[no-untyped-call]
        self.store = QueueStore(Path(connection.client.virtual_host))

    def close(self) -> None:
        """Release what is unacknowledged and close the file."""
        if not self.closed:
            super().close()  # type: ignore[no-untyped-call]
            self.store.close()

    def _get_many(self, queues: Sequence[str], timeout: float | None = None) -> None:
        most = min(self.qos.can_consume_max_estimate() or _BATCH, _BATCH)
        rows = self.store.take(queues, most)
        if not rows:
            self.store.wait(queues, ELSEWHERE_S if timeout is None else timeout)
            rows = self.store.take(queues, most)
        if not rows:
            raise Empty
        for row in rows:
            self.connection._deliver(_payload(row), row[1])

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:  # noqa: ARG002 - kombu calls it so
        rows = self.store.take([queue], 1)
        if not rows:
            raise Empty
        return _payload(rows[0])

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        self.store.put([(queue, json.dumps(message))])

    def _size(self, queue: str) -> int:
        return self.store.size(queue)

    def _purge(self, queue: str) -> int:
        return self.store.purge(queue)

    def _restore(self, message: Any) -> None:
        self.store.release(int(message.delivery_tag))


class Transport(virtual.Transport):
    """`Connection(transport="bridge.broker.embedded:Transport", virtual_host="/path/to/file")`."""

    Channel = Channel
    driver_type = "embedded"
    driver_name = "sqlite"
    polling_interval = 0.001  # seconds between looks; the channel waits by itself, until somebody rings
    # A full disk, or a file locked for long, is a broker that is away: waited for, not died of.
    connection_errors: Any = (*virtual.Transport.connection_errors, sqlite3.OperationalError)


def payload_of(message: Message) -> str:
    """Return a message as the transport stores it, for writers that do not go through kombu."""
    properties = {
        "message_id": message.id,
        "type": message.type,
        "delivery_info": {"exchange": EXCHANGE, "routing_key": message.type},
        "body_encoding": "utf-8",
        "delivery_mode": 2,
    }
    return json.dumps(
        {
            "body": message.body(),
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": message.headers,
            "properties": properties,
        }
    )


def _payload(row: tuple[int, str, str, int]) -> dict[str, Any]:
    message_id, queue, text, deliveries = row
    payload: dict[str, Any] = json.loads(text)
    payload["properties"]["delivery_tag"] = str(message_id)
    if queue.endswith(".dead"):
        payload["properties"]["delivery_info"]["routing_key"] = queue  # as RabbitMQ says it of a dead letter
    payload["properties"]["delivery_info"]["redelivered"] = deliveries > 0
    return payload
