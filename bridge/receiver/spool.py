"""When the broker is away, reports wait on the receiver's own disk: durable, in order, and forwarded when it is back.

The embedded queue, reused as a spool for all receiver processes of a machine. While it holds anything, whatever comes
to any of them goes behind it, so that the order of arrival stays (spool_way.py); one forwarder of them empties it. A
message whose confirm was cut off may be in the broker and in the spool: take_in knows repeats.
"""

import contextlib
import fcntl
import math
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from logging import ERROR, WARNING
from pathlib import Path

import structlog
from tenacity import (
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
)
from tenacity.wait import wait_random_exponential

from bridge.broker.messages import Message
from bridge.broker.publisher import EmbeddedPublisher, NotDurable, Submitting, Waiting
from bridge.broker.spool_store import Row, SpoolStore, Unreadable, is_lasting
from bridge.broker.spool_way import DIRECT, HANDOVER, Way
from bridge.receiver.spool_state import free_bytes

log = structlog.get_logger()

#: How long a report waits for a broker that seems well before it goes to the spool, in seconds.
DIRECT_S = 3.0
#: Messages forwarded at a time: so many that whoever empties the spool is faster than several processes that fill it.
BATCH, BATCH_BYTES = 512, 4_000_000
#: How long their confirms are waited for, in seconds.
FORWARD_S = 10.0
#: How often a process looks whether something waits in the spool, in seconds.
LOOK_S = 0.2
#: How long requests are held back at most while the last of the spool leaves, in seconds: once, at an outage's end.
HANDOVER_S = 0.5
#: How often who is held back, and who waits for those that were not, looks again, in seconds.
MOMENT_S = 0.005
#: How long free space is believed, in seconds: less than a disk needs to fill from the floor to the brim.
DISK_S = 1.0


class _Request:
    """What came in together, on its way to the broker or into the spool."""

    __slots__ = ("_messages", "_until", "direct", "spooled")

    def __init__(self, messages: Sequence[Message], timeout_s: float) -> None:
        now = time.monotonic()
        self._messages = messages
        self._until = now + timeout_s
        direct_until = now + min(DIRECT_S, timeout_s / 2)
        self.direct = [Waiting(message, direct_until) for message in messages]
        self.spooled: list[Waiting] | None = None

    def enter(self, spool: EmbeddedPublisher) -> None:
        """Go into the spool, once; whoever waits for the broker waits for the spool from now on."""
        if self.spooled is not None:
            return
        self.spooled = [Waiting(message, self._until) for message in self._messages]
        try:
            spool.submit(self.spooled)
        except NotDurable as error:
            for one in self.spooled:
                one.settle(error)
        for one in self.direct:
            one.withdraw()

    @property
    def entering(self) -> bool:
        """Tell whether it is on its way into the spool."""
        return self.spooled is not None and not all(one.settled for one in self.spooled)


class SpoolingPublisher:
    """A publisher that goes on without the broker, for as long as the disk has room.

    What comes in is noted in the order it came, without a lock. When the broker fails one, all that wait for it go into
    the spool in that order, and what comes later, to whichever process of this machine, goes behind them.
    """

    def __init__(self, inner: Submitting, path: Path, *, floor_bytes: int) -> None:
        self._inner = inner
        self._path = path
        self._floor_bytes = floor_bytes
        path.parent.mkdir(parents=True, exist_ok=True)
        self._spool = EmbeddedPublisher(path, SpoolStore)
        self._free: tuple[float, int] = (-DISK_S, 0)
        self._closing = threading.Event()
        # As an ordered set: a dict is changed and copied in one step of the interpreter.
        self._under_way: dict[_Request, None] = {}
        # Who goes into the spool has the turn.
        self._turn = threading.Lock()
        # None until somebody has looked: what an earlier process left comes first.
        self._way: Way | None = None
        self._unusable = ""
        # Forwarded, and perhaps not deleted: not to be sent again for as long as the file cannot be written.
        self._sent: set[tuple[int, str]] = set()
        self._thread = threading.Thread(target=self._run, name="forwarder", daemon=True)
        self._thread.start()

    @property
    def spooling(self) -> bool:
        """Tell whether what comes in now goes into the spool."""
        return self._way is None or self._way.now != DIRECT

    @property
    def healthy(self) -> bool:
        """Tell whether a report sent now would be durable: in the broker, or on the disk."""
        if self._closing.is_set():
            return False
        if self._unusable:
            return self._inner.healthy
        # While something waits, nothing goes past it: then it is the spool that must be able to take more.
        direct = self._inner.healthy and not self.spooling
        return direct or (self._spool.healthy and self._room() > 0)

    def publish(self, messages: Sequence[Message], *, timeout_s: float = 5.0) -> None:
        """See Publisher.publish; in the broker, or else in the spool."""
        if self._unusable:
            # There is nowhere else to go: the broker has all the time there is.
            self._inner.publish(messages, timeout_s=timeout_s)
            return
        request = _Request(messages, timeout_s)
        self._under_way[request] = None
        try:
            self._bring(request)
        finally:
            del self._under_way[request]

    def close(self) -> None:
        """Close what is ours; what waits stays for the next process."""
        self._closing.set()
        self._thread.join(timeout=15)
        self._spool.close()

    def _bring(self, request: _Request) -> None:
        if self.spooling:
            with self._turn:
                self._held_back()
                if self.spooling:  # it may have ended while we waited
                    self._enter(request)
        if request.spooled is None:
            if not (reason := self._fails(request)):
                return
            with self._turn:
                if self._way and self._way.into_spool():
                    log.warning("spooling", reason=reason)
                self._enter(request)
        for one in request.spooled or ():
            one.wait()

    def _held_back(self) -> None:
        """Wait for the moment in which the last of the spool leaves."""
        way, until = self._way, time.monotonic() + HANDOVER_S
        while way and way.now == HANDOVER:
            if self._closing.wait(MOMENT_S) or time.monotonic() > until:
                way.hand_over_no_more()  # who did it is dead, or too slow

    def _fails(self, request: _Request) -> str:
        """Try the broker; returns why it failed, or nothing."""
        # Looked at once more: who turned to the spool before we were noted has not taken us along.
        if self.spooling or not self._inner.healthy:
            return "the broker is away"
        try:
            self._inner.submit(request.direct)
            for one in request.direct:
                one.wait()
        except NotDurable as error:
            return str(error)
        return ""

    def _enter(self, request: _Request) -> None:
        """Let all that are under way into the spool, in the order they came."""
        if request.spooled is not None:
            return
        if self._room() <= 0:
            raise NotDurable("the broker is away and the disk is down to its floor")
        for one in list(self._under_way):
            one.enter(self._spool)

    def _room(self) -> int:
        looked_at, free = self._free
        if time.monotonic() - looked_at >= DISK_S:
            free = free_bytes(self._path) - self._floor_bytes
            self._free = (time.monotonic(), free)
        return free

    # -- the forwarder's thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        retrying = Retrying(
            wait=wait_random_exponential(multiplier=0.2, max=5),
            # Whatever it is: a forwarder that ends would leave every later report on this disk without a word.
            retry=retry_if_exception_type(Exception),
            stop=stop_when_event_set(self._closing),
            sleep=sleep_using_event(self._closing),
            before_sleep=_say_why,
        )
        while not self._closing.is_set():
            # RetryError: told to stop while waiting.
            with contextlib.suppress(RetryError):
                retrying(self._forward)

    def _forward(self) -> None:
        try:
            self._forward_until_closing()
        except (sqlite3.Error, OSError) as error:
            if is_lasting(error) and not self._unusable:
                self._unusable = str(error) or repr(error)
                log.error("spool_unusable", path=str(self._path), error=self._unusable)
                self._spool.let_go()
            raise

    def _forward_until_closing(self) -> None:
        with contextlib.closing(SpoolStore(self._path)) as store, _Turn(self._path) as turn:
            if self._unusable:
                store.check()
            store.begin()
            self._way = store.way
            if self._unusable:
                self._unusable = ""
                log.info("spool_usable_again")
            while not self._closing.is_set():
                if turn.mine():
                    self._empty(store)
                    if self.spooling and self._inner.healthy:
                        self._end_spooling(store)
                self._closing.wait(LOOK_S)

    def _end_spooling(self, store: SpoolStore) -> None:
        """Let requests past the spool again, once what entered it last has left; who comes meanwhile waits."""
        until = time.monotonic() + HANDOVER_S
        store.way.hand_over()
        try:
            while time.monotonic() < until and not self._closing.wait(MOMENT_S):
                if any(one.entering for one in list(self._under_way)):
                    continue
                self._empty(store, until)
                if store.end():
                    log.info("publishing_directly")
                    return
        finally:
            store.way.hand_over_no_more()

    def _empty(self, store: SpoolStore, until: float = math.inf) -> None:
        """Forward what waits, oldest first, until little comes after it; what was confirmed is deleted before the next.

        `until` is the end of it in monotonic seconds.
        """
        forwarded, full = 0, True
        while full and not self._closing.is_set() and (left_s := until - time.monotonic()) > 0:
            if not (rows := store.waiting(BATCH, BATCH_BYTES)):
                break
            found = self._readable(store, rows)
            fresh = [message for row_id, message in found if (row_id, message.id) not in self._sent]
            self._inner.publish(fresh, timeout_s=min(FORWARD_S, left_s))
            self._sent = {(row_id, message.id) for row_id, message in found}
            store.remove([row_id for row_id, _ in found])
            forwarded, full = forwarded + len(fresh), _is_full(rows)
        if forwarded:
            log.info("forwarded", messages=forwarded)

    def _readable(self, store: SpoolStore, rows: Sequence[Row]) -> list[tuple[int, Message]]:
        """Return what can be read; the rest is laid aside, so that what is behind it goes on."""
        found, damaged = [], []
        for row in rows:
            try:
                found.append((row.row_id, row.message()))
            except Unreadable as error:
                damaged.append((row, str(error)))
        if damaged:
            store.lay_aside(damaged)
        for row, why in damaged:
            log.error("spooled_report_unreadable", row=row.row_id, why=why, size_bytes=len(row.payload))
        return found


def _is_full(rows: Sequence[Row]) -> bool:
    return len(rows) == BATCH or sum(len(row.payload) for row in rows) >= BATCH_BYTES


def _say_why(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    known = isinstance(error, (NotDurable, sqlite3.Error, OSError))
    log.log(WARNING if known else ERROR, "spool_waits", error=repr(error)[:300], exc_info=None if known else error)


class _Turn:
    """Who forwards: of all processes that share a spool, the one that holds the lock of its file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path.with_name(f"{path.name}.forwarder"), os.O_RDWR | os.O_CREAT, 0o600)
        self._held = False

    def __enter__(self) -> "_Turn":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def mine(self) -> bool:
        """Tell whether it is this process; a dead one's turn is free at once."""
        if not self._held:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            self._held = True
        return True
