"""A queue to test with: what it holds, taking from it, and consumers that are processes of their own."""

import json
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from kombu.connection import Connection
from kombu.entity import Queue
from kombu.messaging import Consumer

from bridge.broker.messages import Message, webhook_received
from bridge.broker.publisher import Publisher, open_publisher
from bridge.broker.topology import connect, declare
from tests.servers import eventually

ROOT = Path(__file__).parents[2]
INTAKE, NOTICES, CALLBACKS = "bridge.intake", "bridge.notices", "bridge.callbacks"
#: Nothing here takes nearly so long; the machine may be busy with something else.
LIMIT_S = 60


def webhook(name: str, size: int = 10) -> Message:
    """Return a received webhook that is known by its webhook-id."""
    content = b"x" * size
    return webhook_received("qlue", name, "", datetime.now(UTC), sha256(content).hexdigest(), content)


def notice(number: int) -> Message:
    """Return a notice that is known by its delivery id."""
    return Message("notice.due", {"delivery_id": f"00000000-0000-0000-0000-{number:012}"})


def names_in(body: str | bytes) -> list[str]:
    """Return what the messages in a body are known by: several for a group."""
    data = json.loads(body)["data"]
    items = data["items"] if "items" in data else [data]
    return [item["webhook_id"] if "webhook_id" in item else str(int(item["delivery_id"][-12:])) for item in items]


class Taking:
    """A consumer of this process, with what it has taken so far."""

    def __init__(self, connection: Connection) -> None:
        self.messages: list[Any] = []
        self._connection = connection

    def wait_for(self, count: int) -> list[Any]:
        """Take until there are so many, then return them all."""
        eventually(lambda: self._take() >= count, LIMIT_S, f"{count} messages, got {len(self.messages)}")
        return list(self.messages)

    def next(self) -> Any:
        """Take the next one for good, and return it."""
        eventually(lambda: self.messages or self._take(), LIMIT_S, "one more message")
        message = self.messages.pop(0)
        message.ack()
        return message

    def nothing_more(self) -> bool:
        """Tell whether nothing comes for half a second."""
        before = len(self.messages)
        return self._take(0.5) == before

    def names(self) -> list[str]:
        """Return what the messages are known by, in the order they came."""
        return [name for message in self.messages for name in names_in(message.body)]

    def _take(self, limit_s: float = 0.05) -> int:
        try:
            self._connection.drain_events(timeout=limit_s)
        except TimeoutError:
            pass
        return len(self.messages)


class Broker:
    """One queue server with our topology: embedded or RabbitMQ."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.embedded = url.startswith("embedded:")

    def declare(self) -> None:
        """Create exchanges and queues."""
        with connect(self.url) as connection:
            declare(connection)

    @contextmanager
    def publisher(self) -> Iterator[Publisher]:
        """Open a publisher; it is closed at the end."""
        opened = open_publisher(self.url)
        yield opened
        opened.close()

    def put(self, *messages: Message) -> None:
        """Publish, one by one: as they are, not in groups."""
        with self.publisher() as publisher:
            for message in messages:
                publisher.publish([message], timeout_s=LIMIT_S)

    @contextmanager
    def taking(self, *queues: str, prefetch: int = 1000) -> Iterator[Taking]:
        """Consume; what was not acknowledged goes back at the end."""
        with connect(self.url) as connection, connection.channel() as channel:
            taking = Taking(connection)
            wanted = [Queue(name, channel=channel, no_declare=True) for name in queues]
            with Consumer(channel, wanted, on_message=taking.messages.append, prefetch_count=prefetch):
                yield taking

    def depth(self, queue: str) -> int:
        """Return how many messages lie in a queue; the embedded one counts those being worked on as well."""
        with connect(self.url) as connection, connection.channel() as channel:
            return int(Queue(queue, channel=channel).queue_declare(passive=True).message_count)

    def settles_at(self, **depths: int) -> None:
        """Wait until the queues hold so many: `intake=3, intake_dead=1`."""
        for name, depth in depths.items():
            queue = f"bridge.{name.replace('_', '.')}"
            eventually(lambda q=queue, d=depth: self.depth(q) == d, LIMIT_S, f"{depth} messages in {queue}")  # type: ignore[misc]

    def drained(self, queue: str, count: int) -> list[str]:
        """Take at least so many messages out for good, and return what all are known by."""
        with self.taking(queue) as taking:
            taking.wait_for(count)
            while not taking.nothing_more():
                pass
            for message in taking.messages:
                message.ack()
            return taking.names()


class Process:
    """A program of tests/broker/programs.py in a process of its own."""

    def __init__(self, program: str, url: str, *words: str) -> None:
        command = [sys.executable, "-m", "tests.broker.programs", program, url, *words]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
        self.lines: list[str] = []

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def read(self, count: int = 1) -> list[str]:
        """Return its next lines."""
        assert self._process.stdout
        found = [self._process.stdout.readline().strip() for _ in range(count)]
        self.lines += found
        return found

    def has_said_more(self) -> bool:
        """Tell whether it has said something that nobody has read."""
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def go(self) -> None:
        """Close its input: what it waits for."""
        assert self._process.stdin
        self._process.stdin.close()

    def rest(self) -> list[str]:
        """Return all it has said by its end."""
        assert self._process.stdout
        self.lines += [line.strip() for line in self._process.stdout]
        self._process.wait(LIMIT_S)
        self._close()
        return self.lines

    def ended(self) -> int:
        """Wait for its end; returns its exit code."""
        code = self._process.wait(LIMIT_S)
        self._close()
        return code

    def kill(self) -> None:
        """Kill it: no last words."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(LIMIT_S)
        self._close()

    def _close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe and not pipe.closed:
                pipe.close()

    @property
    def code(self) -> int | None:
        """Its exit code, negative for a signal."""
        return self._process.poll()


def at_once(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """Do all of it at once, a thread each; returns what each returned or raised."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(works)) as pool:
        futures = [pool.submit(work) for work in works]
        return [future.exception() or future.result() for future in futures]
