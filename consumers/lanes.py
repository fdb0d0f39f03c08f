"""One slow address holds up nobody else: deliveries go through lanes, one for each destination, a few if it is slow.

A lane is a thread with a step of its own, made when there is something for it. `handle` returns when all lanes have
done their part, or after PATIENCE_S: what a slow lane has not done then is announced again by the database for later,
and goes on in its lane meanwhile. So a message is never forgotten by a crash, and never waits behind a stranger.
"""

import queue
import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, wait
from datetime import timedelta
from typing import Any, Protocol

import structlog

from bridge.reports.channels import EMAIL, name_of
from bridge.storage import deliveries
from bridge.storage.database import Database
from consumers.telling import LEASE_S

log = structlog.get_logger()

#: Lanes side by side to a destination that is slow. To a quick one a single lane is faster: what leaves together
#: shares its questions to the database.
WIDTH = 4
#: A destination that needs longer than this for a message is slow, in seconds, and is taken for it so long.
QUICK_S = 0.1
SLOW_FOR_S = 60.0
#: Seconds the queue's messages wait for a slow lane.
PATIENCE_S = 2.0
#: A lane with nothing to do for so many seconds ends, and closes its connections.
IDLE_S = 60.0
#: Told to stop, so many seconds are given to what is being sent at that moment.
GRACE_S = 10.0
#: A lane that has so many messages before it gets no more; they come again by themselves, after so many seconds.
MOST_WAITING = 100
FULL_FOR_S = 10.0

Message = dict[str, Any]


class _Step(Protocol):
    def handle(self, messages: Sequence[Message]) -> None:
        """Do the step's work for these messages."""

    def settled(self) -> bool:
        """Write what is known and not written yet; tells whether nothing is left of it."""

    def close(self) -> None:
        """Close what is kept open."""


class _Lane:
    """A thread that works off what it is given, in order."""

    def __init__(self, name: str, make: Callable[[], _Step]) -> None:
        self._make = make
        self._step: _Step | None = None
        self._work: queue.Queue[tuple[Sequence[Message], Future[float]]] = queue.Queue()
        self.waiting = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._lock = threading.Lock()
        self._ended = False
        self._busy = threading.Lock()
        self._thread.start()

    def put(self, messages: Sequence[Message]) -> Future[float] | None:
        """Give it work; returns what will say how many seconds each message took, or None when it has ended."""
        with self._lock:
            if self._ended:
                return None
            done: Future[float] = Future()
            self.waiting += len(messages)
            self._work.put((messages, done))
        return done

    def finish(self, limit_s: float) -> None:
        """Take nothing more, and wait for what is under way: a mail that is sent shall be noted, too."""
        with self._lock:
            self._ended = True
        if self._busy.acquire(timeout=limit_s):
            self._busy.release()

    def _run(self) -> None:
        while True:
            try:
                messages, done = self._work.get(timeout=IDLE_S)
            except queue.Empty:
                # What was sent while the database was away is known here alone: forgotten, it would be sent again.
                if self._step is not None and not self._step.settled():
                    continue
                with self._lock:
                    self._ended = self._ended or self._work.empty()
                if self._ended:
                    return self._close()
                continue
            with self._busy:
                if not self._ended:
                    self._handle(messages, done)

    def _close(self) -> None:
        if self._step is not None:
            self._step.close()

    def _handle(self, messages: Sequence[Message], done: "Future[float]") -> None:
        began_at = time.monotonic()
        try:
            # Here, so that a step that cannot be made is an error somebody hears of.
            self._step = self._step or self._make()
            self._step.handle(messages)
        except Exception as error:  # noqa: BLE001 - the last line of a thread: who waits gets it
            # Whoever still waits raises it; if nobody does, the messages come again by themselves.
            log.warning("lane_failed", lane=self._thread.name, error=f"{type(error).__name__}: {error}"[:300])
            done.set_exception(error)
        else:
            done.set_result((time.monotonic() - began_at) / len(messages))
        finally:
            with self._lock:
                self.waiting -= len(messages)


class Lanes:
    """A step that shares its messages out to lanes; several workers may feed it.

    Args:
        make: Makes a lane's own step, with connections of its own.
        key_of: (recipient, channel, report_id) -> what must stay in one lane: the destination first.
    """

    most = 80

    def __init__(
        self,
        database: Database,
        name: str,
        make: Callable[[], _Step],
        key_of: Callable[[Any], tuple[str, Hashable]],
    ) -> None:
        self._database, self._name, self._make, self._key_of = database, name, make, key_of
        self._lanes: dict[tuple[str, int], _Lane] = {}
        #: Until when a destination is taken for slow, by the monotonic clock.
        self._slow_until: dict[str, float] = {}
        self._lock = threading.Lock()

    def handle(self, messages: Sequence[Message]) -> None:
        """Let every message's lane handle it; returns when all are done or durably put off.

        Raises:
            Exception: what a lane's step raised: none of the messages may be acknowledged then.
        """
        futures, no_room = {}, []
        for lane, share in self._shared_out(messages).items():
            done = self._put(lane, share)
            if done is None:
                no_room += share
            else:
                futures[done] = lane, share
        finished, late = wait(futures, timeout=PATIENCE_S)
        self._put_off(no_room, FULL_FOR_S)
        self._put_off([message for done in late for message in futures[done][1]], LEASE_S)
        for done, ((destination, _), _) in futures.items():
            if done in late or (not done.exception() and done.result() > QUICK_S):
                self._slow_until[destination] = time.monotonic() + SLOW_FOR_S
        for done in finished:
            done.result()

    def finish(self, limit_s: float = GRACE_S) -> None:
        """Let every lane end what it has in hand; what it has not begun comes again by itself."""
        ends_at = time.monotonic() + limit_s
        with self._lock:
            lanes = list(self._lanes.values())
        for lane in lanes:
            lane.finish(max(0.0, ends_at - time.monotonic()))

    def _shared_out(self, messages: Sequence[Message]) -> dict[tuple[str, int], list[Message]]:
        ids = {str(message["data"]["delivery_id"]): message for message in messages}
        with self._database.read() as connection:
            rows = deliveries.recipients(connection, list(ids))
        shares: dict[tuple[str, int], list[Message]] = defaultdict(list)
        for row in rows:
            destination, together = self._key_of(row)
            number = zlib.crc32(repr(together).encode()) % self._width(destination)
            shares[destination, number].append(ids[row.delivery_id])
        return shares

    def _width(self, destination: str) -> int:
        return WIDTH if time.monotonic() < self._slow_until.get(destination, 0.0) else 1

    def _put(self, lane: tuple[str, int], messages: Sequence[Message]) -> "Future[float] | None":
        with self._lock:
            there = self._lanes.get(lane)
            if there is not None and there.waiting >= MOST_WAITING:
                return None
            done = there.put(messages) if there else None
            if done is None:
                self._lanes[lane] = there = _Lane(f"{self._name}-{lane[0]}-{lane[1]}", self._make)
                done = there.put(messages)
        return done

    def _put_off(self, messages: Sequence[Message], for_s: float) -> None:
        """Let the messages come again: by then the lane has done them, or is still at it, or has died with us."""
        if not messages:
            return
        ids = [str(message["data"]["delivery_id"]) for message in messages]
        with self._database.write() as connection:
            at = self._database.now(connection) + timedelta(seconds=for_s)
            deliveries.announce_open(self._database, connection, ids, at=at)
        log.info("put_off", step=self._name, deliveries=len(ids))


def by_person(row: Any) -> tuple[str, Hashable]:
    """Return the lane of a notice: what one person is told stays in one, so that it can be gathered."""
    # Decisions know nothing of channels: before its first attempt a notice goes by the person's first.
    fresh = row.attempts == 0 and row.channel == EMAIL and row.channels
    return name_of(row.channels[0]) if fresh else row.channel, row.recipient


def by_report(row: Any) -> tuple[str, Hashable]:
    """Return the lane of a callback: what is said about one report stays in one."""
    return row.recipient, row.report_id
