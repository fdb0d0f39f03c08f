"""Step 2: messages leave the outbox for the queue, in order, deleted once the queue has confirmed them.

A crash between confirm and delete repeats messages; every consumer knows repeats.
"""

import time
from contextlib import ExitStack
from datetime import datetime
from typing import Any

import structlog

from bridge.broker.messages import Message
from bridge.broker.publisher import Publisher
from bridge.storage import outbox
from bridge.storage.database import Connection, Database, Wakeups
from bridge.storage.deliveries import announce_stranded
from bridge.tracing import span

log = structlog.get_logger()

#: A delivery that has been due for so long without an end is announced again: the queue may have lost its message.
STRANDED_S = 300.0
#: How often such are looked for, in seconds.
SWEEP_S = 30.0
#: A look begins at the earliest so many seconds after the one before: what comes meanwhile shares its costs.
EVERY_S = 0.02
#: Longest wait between two looks, in seconds; a wake-up from the database usually comes first.
POLL_S = 1.0


class RelayOutbox:
    """Relay what is due; several relays share the work without waiting for each other."""

    most = 200

    def __init__(self, database: Database, publisher: Publisher) -> None:
        self._database = database
        self._publisher = publisher
        self._wakeups = Wakeups(database)
        self._swept_at = 0.0
        #: How long nothing will be due, as far as the last look has seen.
        self._idle_s = POLL_S

    def turn(self) -> None:
        """Relay until nothing is due, then wait for more; now and then look for what was lost on the way."""
        self._sweep()
        looked_at = time.monotonic()
        while self.relay() == self.most:
            pass
        self._wakeups.wait(self._idle_s)
        time.sleep(max(0.0, looked_at + EVERY_S - time.monotonic()))

    def close(self) -> None:
        """Close the connection kept for waiting."""
        self._wakeups.close()

    def _sweep(self) -> None:
        if time.monotonic() - self._swept_at < SWEEP_S:
            return
        self._swept_at = time.monotonic()
        with self._database.write() as connection:
            now = self._database.now(connection)
            found = announce_stranded(self._database, connection, now=now, older_s=STRANDED_S, most=500)
        if found:
            log.warning("stranded_announced_again", deliveries=found)

    def relay(self) -> int:
        """Publish one batch and delete it; returns how many messages left.

        Raises:
            NotDurable: the queue did not confirm; they stay.
        """
        if self._database.is_sqlite:
            return self._relay_unlocked()
        with self._database.write() as connection:
            now = self._database.now(connection)
            rows = outbox.take(connection, now, self.most)
            self._note_next(connection, now, len(rows))
            if rows:
                self._publish(rows)
        return len(rows)

    def _relay_unlocked(self) -> int:
        # SQLite has one writer for the whole file: nobody should wait for it while we wait for the queue.
        with self._database.read() as connection:
            now = self._database.now(connection)
            rows = outbox.claim(self._database, connection, now, self.most)
            self._note_next(connection, now, len(rows))
        if rows:
            self._publish(rows)
            with self._database.write(lasting=False) as connection:
                outbox.forget(connection, [row["id"] for row in rows])
        return len(rows)

    def _note_next(self, connection: Connection, now: datetime, found: int) -> None:
        if found < self.most:
            due_at = outbox.next_at(connection, now)
            self._idle_s = min(POLL_S, _until(due_at, now)) if due_at else POLL_S

    def _publish(self, rows: list[dict[str, Any]]) -> None:
        with ExitStack() as spans:
            messages = [_message(row, spans) for row in rows]
            self._publisher.publish(messages, timeout_s=10)


def _message(row: dict[str, Any], spans: ExitStack) -> Message:
    """Return what a row says; its span is left when the queue has it, or has not."""
    if row["traceparent"] is None:
        return Message(row["type"], row["data"])
    leaving = spans.enter_context(span("relay_outbox", parent=row["traceparent"], type=row["type"]))
    return Message(row["type"], row["data"], leaving.carried())


def _until(due_at: datetime, now: datetime) -> float:
    return max(0.001, (due_at - now).total_seconds())
