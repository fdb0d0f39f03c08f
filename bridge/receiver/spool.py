"""When the broker is away, reports wait on the receiver's own disk: durable, in order, and forwarded when it is back.

The embedded queue, reused as a spool. While it holds anything, whatever comes in goes behind it, so that the order of
arrival stays; one forwarder for all receiver processes of a machine empties it. A message whose confirm was cut off
may be in the broker and in the spool: take_in knows repeats.
"""

import contextlib
import fcntl
import json
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
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

from bridge.broker.embedded import QueueStore
from bridge.broker.messages import Message
from bridge.broker.publisher import EmbeddedPublisher, NotDurable, Publisher
from bridge.broker.topology import route_of

log = structlog.get_logger()

#: How long a report waits for a broker that seems well before it goes to the spool, in seconds.
DIRECT_S = 3.0
#: Messages forwarded at a time.
BATCH = 64
#: How often a process looks whether the spool has been emptied, in seconds.
LOOK_S = 0.2
#: How long free space is believed, in seconds: less than a disk needs to fill from the floor to the brim.
DISK_S = 1.0


@dataclass(frozen=True)
class SpoolState:
    """What waits: how many reports, since when the oldest (UTC; None when empty), and free bytes above the floor."""

    waiting: int
    oldest_at: datetime | None
    free_bytes: int

    @property
    def full(self) -> bool:
        """Tell whether the disk has come down to the floor: nothing more is taken."""
        return self.free_bytes <= 0


class SpoolingPublisher:
    """A publisher that goes on without the broker, for as long as the disk has room."""

    def __init__(self, inner: Publisher, path: Path, *, floor_bytes: int) -> None:
        self._inner = inner
        self._path = path
        self._floor_bytes = floor_bytes
        path.parent.mkdir(parents=True, exist_ok=True)
        self._spool = EmbeddedPublisher(path)
        self._free: tuple[float, int] = (-DISK_S, 0)
        self._closing = threading.Event()
        # What an earlier process left comes first.
        self._spooling = threading.Event()
        self._spooling.set()
        self._thread = threading.Thread(target=self._run, name="forwarder", daemon=True)
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """Tell whether a report sent now would be durable: in the broker, or on the disk."""
        return not self._closing.is_set() and (self._inner.healthy or (self._spool.healthy and self._room() > 0))

    def publish(self, messages: Sequence[Message], *, timeout_s: float = 5.0) -> None:
        """See Publisher.publish; in the broker, or else in the spool."""
        until = time.monotonic() + timeout_s
        if not self._spooling.is_set():
            if self._inner.healthy:
                try:
                    self._inner.publish(messages, timeout_s=min(DIRECT_S, timeout_s / 2))
                except NotDurable as error:
                    log.warning("spooling", reason=str(error))
                else:
                    return
            self._spooling.set()
        if self._room() <= 0:
            raise NotDurable("the broker is away and the disk is down to its floor")
        self._spool.publish(messages, timeout_s=until - time.monotonic())

    def close(self) -> None:
        """See Publisher.close; what waits stays for the next process."""
        self._closing.set()
        self._thread.join(timeout=15)
        self._spool.close()

    def _room(self) -> int:
        looked_at, free = self._free
        if time.monotonic() - looked_at >= DISK_S:
            free = _free_bytes(self._path) - self._floor_bytes
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
                retrying(self._forward_until_closing)

    def _forward_until_closing(self) -> None:
        with contextlib.closing(QueueStore(self._path)) as store, _Turn(self._path) as turn:
            while not self._closing.is_set():
                if turn.mine():
                    self._empty(store)
                if self._spooling.is_set() and self._inner.healthy and not store.peek(_QUEUE, 1):
                    self._spooling.clear()
                    log.info("publishing_directly")
                self._closing.wait(LOOK_S)

    def _empty(self, store: QueueStore) -> None:
        """Forward all that waits, oldest first; what was confirmed is deleted before the next goes out."""
        forwarded = 0
        while not self._closing.is_set() and (rows := store.peek(_QUEUE, BATCH)):
            self._inner.publish([_message(payload) for _, payload in rows], timeout_s=10)
            store.remove([row_id for row_id, _ in rows])
            forwarded += len(rows)
        if forwarded:
            log.info("forwarded", messages=forwarded)


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


_QUEUE = route_of("webhook.received").queue


def spool_state(path: Path, *, floor_bytes: int) -> SpoolState:
    """Return what waits in a spool; one that was never needed is empty."""
    free = _free_bytes(path) - floor_bytes
    if not path.exists():
        return SpoolState(0, None, free)
    with contextlib.closing(QueueStore(path)) as store:
        waiting, oldest = store.size(_QUEUE), store.peek(_QUEUE, 1)
    return SpoolState(waiting, _message(oldest[0][1]).at if oldest else None, free)


def _free_bytes(path: Path) -> int:
    folder = next(folder for folder in path.parents if folder.exists())
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def _message(payload: str) -> Message:
    """Return a message as it was before `payload_of` (bridge/broker/embedded.py)."""
    stored = json.loads(payload)
    envelope = json.loads(stored["body"])
    at = datetime.fromisoformat(envelope["timestamp"]).astimezone(UTC)
    return Message(envelope["type"], envelope["data"], stored["headers"], envelope["id"], at)
