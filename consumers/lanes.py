"""One slow address holds up nobody else: deliveries go through lanes, one for each destination, a few if it is slow.

A lane is a thread with a step of its own, made when there is something for it; what it is given while it is at work it
does together next. Its messages are acknowledged when it has done them, or after PATIENCE_S: what a slow lane has not
done then is announced again by the database for later, and goes on in its lane meanwhile. So a message is never
forgotten by a crash, and never waits behind a stranger.

What failed when nobody waited any more would fail so again and again, and the queue would count nothing: when it comes
again it is watched, that is given alone and waited for however long, so that the queue counts its failures.
"""

import queue
import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

import structlog

from bridge.reports.channels import EMAIL, name_of
from bridge.storage import deliveries
from bridge.storage.database import Database
from consumers.runtime import AWAY
from consumers.telling import LEASE_S

log = structlog.get_logger()

#: Lanes side by side to a destination that is slow. To a quick one a single lane is faster: what leaves together
#: shares its questions to the database.
WIDTH = 4
#: A destination that needs longer than this for a message is slow, in seconds, and is taken for it so long. What counts
#: is its own time, averaged: ours, when all have much to do, becomes more with more lanes.
QUICK_S = 0.1
SLOW_FOR_S = 60.0
_NEWEST_COUNTS = 0.2
#: Seconds the queue's messages wait for a slow lane.
PATIENCE_S = 2.0
#: So many messages a lane does together at most.
MOST_TOGETHER = 80
#: A lane with nothing to do for so many seconds ends, and closes its connections.
IDLE_S = 60.0
#: Told to stop, so many seconds are given to what is being sent at that moment.
GRACE_S = 10.0
#: A lane that has so many messages before it gets no more; they come again by themselves, after so many seconds. More
#: than the queue hands out at once (2 x MOST_TOGETHER): only what was put off leaves room for so many.
MOST_WAITING = 3 * MOST_TOGETHER
FULL_FOR_S = 10.0
#: So many are watched at a time: each keeps a place of those the queue hands out.
MOST_WATCHED = 10

Message = dict[str, Any]


class _Step(Protocol):
    #: Seconds the destination took for each message of the last `handle`, on average; and since when, by the monotonic
    #: clock, it has been taking the one that is being sent.
    sending_s: float
    sending_since: float | None

    def handle(self, messages: Sequence[Message]) -> None:
        """Do the step's work for these messages."""

    def settled(self) -> bool:
        """Write what is known and not written yet; tells whether nothing is left of it."""

    def close(self) -> None:
        """Close what is kept open."""


#: Messages, and what will say that they are done.
_Work = tuple[Sequence[Message], Future[float]]


class _Lane:
    """A thread that works off what it is given, in order."""

    def __init__(self, name: str, make: Callable[[], _Step]) -> None:
        self._make = make
        self._step: _Step | None = None
        self._work: queue.Queue[_Work] = queue.Queue()
        self.waiting = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._lock = threading.Lock()
        self._ended = False
        self._busy = threading.Lock()

    def start(self) -> None:
        """Begin with what it was given: with nothing at hand, a slow moment would already be idleness."""
        self._thread.start()

    def put(self, messages: Sequence[Message]) -> Future[float] | None:
        """Give it work; returns what will say how long its destination took (see _Step), or None when it has ended."""
        with self._lock:
            if self._ended:
                return None
            done: Future[float] = Future()
            self.waiting += len(messages)
            self._work.put((messages, done))
        return done

    def sending_s(self) -> float:
        """Return how many seconds its destination has had for the message that is being sent."""
        since = self._step.sending_since if self._step else None
        return time.monotonic() - since if since is not None else 0.0

    def finish(self, limit_s: float) -> None:
        """Take nothing more, and wait for what is under way: a mail that is sent shall be noted, too."""
        with self._lock:
            self._ended = True
        if self._busy.acquire(timeout=limit_s):
            self._busy.release()

    def _run(self) -> None:
        while True:
            try:
                given = [self._work.get(timeout=IDLE_S)]
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
                    self._handle(given + self._more(MOST_TOGETHER - len(given[0][0])))

    def _more(self, most: int) -> list[_Work]:
        """Return what else waits."""
        found = []
        while most > 0 and not self._work.empty():
            found.append(self._work.get())
            most -= len(found[-1][0])
        return found

    def _close(self) -> None:
        if self._step is not None:
            self._step.close()

    def _handle(self, given: Sequence[_Work]) -> None:
        messages = [message for share, _ in given for message in share]
        try:
            # Here, so that a step that cannot be made is an error somebody hears of.
            self._step = self._step or self._make()
            self._step.handle(messages)
        except Exception as error:  # noqa: BLE001 - the last line of a thread: who waits gets it
            if len(given) > 1 and not isinstance(error, AWAY):
                # It may be one message's fault: what fails by itself fails alone.
                for one in given:
                    self._handle([one])
                return
            # Whoever still waits raises it; if nobody does, the messages come again by themselves.
            log.warning("lane_failed", lane=self._thread.name, error=f"{type(error).__name__}: {error}"[:300])
            self._finished(messages)
            for _, done in given:
                done.set_exception(error)
        else:
            self._finished(messages)
            for _, done in given:
                done.set_result(self._step.sending_s)

    def _finished(self, messages: Sequence[Message]) -> None:
        with self._lock:
            self.waiting -= len(messages)


@dataclass(frozen=True)
class Given:
    """What a lane was given, since when, and what will say how long its destination took (see _Step).

    `watched` is one message that failed before when nobody waited for it.
    """

    lane: _Lane
    destination: str
    messages: Sequence[Message]
    done: Future[float]
    since: float
    watched: bool = False


class Lanes:
    """A step that shares its messages out to lanes.

    Args:
        make: Makes a lane's own step, with connections of its own.
        key_of: (recipient, channel, report_id) -> what must stay in one lane: the destination first.
    """

    most = MOST_TOGETHER

    def __init__(
        self,
        database: Database,
        name: str,
        make: Callable[[], _Step],
        key_of: Callable[[Any], tuple[str, Hashable]],
    ) -> None:
        self._database, self._name, self._make, self._key_of = database, name, make, key_of
        self._lanes: dict[tuple[str, int], _Lane] = {}
        #: How long a destination takes, and until when it is taken for slow, by the monotonic clock.
        self._sending_s: dict[str, float] = defaultdict(float)
        self._slow_until: dict[str, float] = {}
        self._lock = threading.Lock()
        #: Deliveries that failed when nobody waited for them, until they succeed; how many of them are watched now.
        self._failed_late: set[str] = set()
        self._watched = 0

    def give(self, messages: Sequence[Message]) -> list[Given]:
        """Give every message to its lane; returns what is to be waited for with `ends`. The others need nothing more.

        Raises:
            DatabaseAway: cannot be asked for whom they are.
        """
        return self._given(messages, watch=True)

    def _given(self, messages: Sequence[Message], *, watch: bool) -> list[Given]:
        given, no_room = [], list[Message]()
        for (destination, number), together in self._shared_out(messages).items():
            for share, watched in self._apart(together) if watch else [(together, False)]:
                one = self._put(destination, number, share, watched=watched)
                if one is None:
                    no_room += share
                else:
                    given.append(one)
        self._put_off(no_room, FULL_FOR_S)
        return given

    def _apart(self, messages: Sequence[Message]) -> Iterator[tuple[list[Message], bool]]:
        """Yield each message that is to be watched alone, then the others together."""
        others = []
        for message in messages:
            with self._lock:
                watched = _id_of(message) in self._failed_late and self._watched < MOST_WATCHED
                self._watched += watched
            if watched:
                yield [message], True
            else:
                others.append(message)
        if others:
            yield others, False

    def ends(self, given: Given) -> bool:
        """Tell whether the messages are done, or durably put off because their destination is slow.

        A lane that has much to do, but does it, is waited for: the queue keeps the rest.

        Raises:
            Exception: what the lane's step raised: none of them may be acknowledged then.
        """
        if given.done.done():
            self._took(given.destination, given.done.result())
            return True
        waited_s = time.monotonic() - given.since
        if given.watched or waited_s < PATIENCE_S or given.lane.sending_s() <= QUICK_S:
            return False
        self._slow_until[given.destination] = time.monotonic() + SLOW_FOR_S
        self._put_off(given.messages, LEASE_S)
        given.done.add_done_callback(partial(self._ended_late, given.messages))
        return True

    def _ended_late(self, messages: Sequence[Message], done: Future[float]) -> None:
        if done.exception() is not None and not isinstance(done.exception(), AWAY):
            with self._lock:
                self._failed_late |= {_id_of(message) for message in messages}

    def _watched_ended(self, messages: Sequence[Message], done: Future[float]) -> None:
        with self._lock:
            self._watched -= 1
            if done.exception() is None:
                self._failed_late -= {_id_of(message) for message in messages}

    def handle(self, messages: Sequence[Message]) -> None:
        """Give every message to its lane, and wait until all are done or put off.

        Raises:
            Exception: what a lane's step raised: none of the messages may be acknowledged then.
        """
        left, failed = self._given(messages, watch=False), list[Exception]()
        while left:
            wait([one.done for one in left], timeout=PATIENCE_S)
            unfinished = []
            for one in left:
                try:
                    if not self.ends(one):
                        unfinished.append(one)
                except Exception as error:  # noqa: BLE001 - raised when the others have ended, too
                    failed.append(error)
            left = unfinished
        if failed:
            raise failed[0]

    def finish(self, limit_s: float = GRACE_S) -> None:
        """Let every lane end what it has in hand; what it has not begun comes again by itself."""
        ends_at = time.monotonic() + limit_s
        with self._lock:
            lanes = list(self._lanes.values())
        for lane in lanes:
            lane.finish(max(0.0, ends_at - time.monotonic()))

    def _shared_out(self, messages: Sequence[Message]) -> dict[tuple[str, int], list[Message]]:
        ids = {_id_of(message): message for message in messages}
        with self._database.read() as connection:
            rows = deliveries.recipients(connection, list(ids))
        shares: dict[tuple[str, int], list[Message]] = defaultdict(list)
        for row in rows:
            destination, together = self._key_of(row)
            number = zlib.crc32(repr(together).encode()) % self._width(destination)
            shares[destination, number].append(ids[row.delivery_id])
        return shares

    def _took(self, destination: str, sending_s: float) -> None:
        with self._lock:
            now_s = self._sending_s[destination] = (
                _NEWEST_COUNTS * sending_s + (1 - _NEWEST_COUNTS) * self._sending_s[destination]
            )
            if now_s > QUICK_S:
                self._slow_until[destination] = time.monotonic() + SLOW_FOR_S

    def _width(self, destination: str) -> int:
        return WIDTH if time.monotonic() < self._slow_until.get(destination, 0.0) else 1

    def _put(self, destination: str, number: int, messages: Sequence[Message], *, watched: bool) -> Given | None:
        with self._lock:
            lane = self._lanes.get((destination, number))
            if lane is not None and lane.waiting >= MOST_WAITING:
                self._watched -= watched
                return None
            done = lane.put(messages) if lane else None
            if lane is None or done is None:
                lane = self._lanes[destination, number] = _Lane(f"{self._name}-{destination}-{number}", self._make)
                done = lane.put(messages)
                lane.start()
        if done is None:
            return None
        if watched:
            done.add_done_callback(partial(self._watched_ended, messages))
        return Given(lane, destination, messages, done, time.monotonic(), watched)

    def _put_off(self, messages: Sequence[Message], for_s: float) -> None:
        """Let the messages come again: by then the lane has done them, or is still at it, or has died with us."""
        if not messages:
            return
        ids = [_id_of(message) for message in messages]
        with self._database.write() as connection:
            at = self._database.now(connection) + timedelta(seconds=for_s)
            deliveries.announce_open(self._database, connection, ids, at=at)
        log.info("put_off", step=self._name, deliveries=len(ids))


def _id_of(message: Message) -> str:
    return str(message["data"]["delivery_id"])


def by_person(row: Any) -> tuple[str, Hashable]:
    """Return the lane of a notice: what one person is told stays in one, so that it can be gathered."""
    # Decisions know nothing of channels: before its first attempt a notice goes by the person's first.
    fresh = row.attempts == 0 and row.channel == EMAIL and row.channels
    return name_of(row.channels[0]) if fresh else row.channel, row.recipient


def by_report(row: Any) -> tuple[str, Hashable]:
    """Return the lane of a callback: what is said about one report stays in one."""
    return row.recipient, row.report_id
