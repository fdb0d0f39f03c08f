"""The one place that publishes: nothing returns before the message is durable.

Publishers share one form. Callers put messages on a list and wait; one thread per process takes whatever has
gathered, sends it on, and wakes those whose messages are safe. Under load many callers share one group: for
RabbitMQ one message and one confirm, for the embedded queue one commit.
"""

import contextlib
import math
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import structlog

from bridge.broker.embedded import QueueStore, payload_of
from bridge.broker.messages import Message
from bridge.broker.topology import route_of

log = structlog.get_logger()


class NotDurable(Exception):
    """The message could not be made durable in time; it may have arrived all the same, so repeats are normal."""


class Unroutable(NotDurable):
    """No queue took the message: a wiring mistake, since topology.py binds a queue for every type."""


class Publisher(Protocol):
    """What can make messages durable."""

    def publish(self, messages: Sequence[Message], *, timeout_s: float = 5.0) -> None:
        """Return once all messages are durable.

        Raises:
            NotDurable: at least one could not be confirmed within `timeout_s` seconds.
        """

    def close(self) -> None:
        """Stop the thread; waiting callers get NotDurable."""

    @property
    def healthy(self) -> bool:
        """Tell whether publishing would probably work now."""


class Waiting:
    """One message and the caller that waits for it."""

    __slots__ = ("_done", "deadline", "error", "message", "settled")

    def __init__(self, message: Message, deadline: float) -> None:
        self.message = message
        self.deadline = deadline  # monotonic seconds
        self.error: NotDurable | None = None
        self.settled = False
        # A bare lock wakes its waiter in half the time an Event does, and this is paid per webhook.
        self._done = threading.Lock()
        self._done.acquire()

    def settle(self, error: NotDurable | None = None) -> None:
        """Wake the caller: durable, or failed with `error`."""
        self.error = error
        self.settled = True
        try:  # noqa: SIM105 - contextlib.suppress costs more than all of this, and it is paid per webhook
            self._done.release()
        except RuntimeError:
            pass  # withdrawn and settled in one moment: awake already

    def withdraw(self) -> None:
        """Wake the caller: failed; who has not sent the message yet shall not send it any more."""
        self.deadline = -math.inf
        self.settle(NotDurable("taken back"))

    def wait(self) -> None:
        """Wait until settled or overdue.

        Raises:
            NotDurable: not settled in time, or settled with an error.
        """
        if not self._done.acquire(timeout=max(0.0, self.deadline - time.monotonic())):
            raise NotDurable("no confirm from the queue in time")
        if self.error is not None:
            raise self.error

    @property
    def overdue(self) -> bool:
        """Tell whether the caller has stopped waiting."""
        return time.monotonic() >= self.deadline


class Submitting(Publisher, Protocol):
    """A publisher that need not be waited for."""

    def submit(self, waiting: Sequence[Waiting]) -> None:
        """Begin to publish and return at once; each is settled when it is durable, or has failed.

        Raises:
            NotDurable: nothing was begun.
        """


class EmbeddedPublisher:
    """Publishes into the embedded queue; one commit for all that gathered while the last one ran."""

    def __init__(self, path: Path, opens: Callable[[Path], QueueStore] = QueueStore) -> None:
        self._path = path
        self._opens = opens
        self._gathered: deque[tuple[Waiting, tuple[str, str]]] = deque()
        self._store: QueueStore | None = None  # the thread's own
        self._wake = threading.Condition()
        self._closed = False
        self._lets_go = False
        self._healthy = True
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """Tell whether the last commit worked."""
        return self._healthy and not self._closed

    def publish(self, messages: Sequence[Message], *, timeout_s: float = 5.0) -> None:
        """See Publisher.publish."""
        deadline = time.monotonic() + timeout_s
        waiting = [Waiting(message, deadline) for message in messages]
        self.submit(waiting)
        for one in waiting:
            one.wait()

    def submit(self, waiting: Sequence[Waiting]) -> None:
        """See Publisher.submit."""
        try:
            # Here, in the caller's thread: what is wrong with a message must not end ours.
            rows = [(route_of(one.message.type).queue, payload_of(one.message)) for one in waiting]
        except LookupError as error:
            raise Unroutable(str(error)) from error
        with self._wake:
            if self._closed:
                raise NotDurable("the publisher is closed")
            self._gathered.extend(zip(waiting, rows, strict=True))
            self._wake.notify_all()

    def let_go(self) -> None:
        """Close the file, and open whatever lies at its path then at the next commit; returns when it is closed.

        SQLite removes the log of a file by its name when it closes it: by then that must not be another file's.
        """
        with self._wake:
            self._lets_go = True
            self._wake.notify_all()
            self._wake.wait_for(lambda: not self._lets_go or self._closed, timeout=10)

    def close(self) -> None:
        """See Publisher.close."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._gathered and not self._closed and not self._lets_go:
                    self._wake.wait()
                if self._lets_go:
                    self._forget_store()
                    self._lets_go, self._healthy = False, True  # another file, as good as new
                    self._wake.notify_all()
                    continue
                if self._closed and not self._gathered:
                    break
                group = list(self._gathered)
                self._gathered.clear()
            self._put(group)
        self._forget_store()

    def _forget_store(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            with contextlib.suppress(sqlite3.Error):  # a damaged one; what was committed is where it is
                store.close()

    def _put(self, group: list[tuple[Waiting, tuple[str, str]]]) -> None:
        try:
            self._store = self._store or self._opens(self._path)
            self._store.put([row for _, row in group])
        except (sqlite3.Error, OSError) as error:
            self._healthy = False
            log.warning("queue_refused", error=str(error), messages=len(group))
            failed = NotDurable(f"the embedded queue refused: {error}")
            for one, _ in group:
                one.settle(failed)
            return
        self._healthy = True
        for one, _ in group:
            one.settle()


def open_publisher(broker_url: str) -> Submitting:
    """Return the publisher for a broker URL; it connects by itself, now and after every loss."""
    if broker_url.startswith("embedded:"):
        return EmbeddedPublisher(Path(broker_url.removeprefix("embedded://")))
    from bridge.broker.pika_publisher import PikaPublisher  # the embedded kind needs no pika

    return PikaPublisher(broker_url)
