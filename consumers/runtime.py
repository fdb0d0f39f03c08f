"""The only file that acknowledges or rejects: done, try later, or set aside.

A step takes messages and returns; then they are acknowledged. `TryLater` keeps them and asks again. Any other error
gives them back to the queue, alone, until the delivery limit of topology.py parks them among the dead letters,
where `set_aside` finds them. What cannot be read at all goes there at once.
"""

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.messaging import Consumer
from marshmallow import ValidationError
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_random_exponential,
)

from bridge.broker.publisher import NotDurable
from bridge.broker.topology import connect, declare
from bridge.running import MustStop
from bridge.storage.database import Conflict, DatabaseAway
from bridge.storage.migrate import NotMigrated
from schemas.messages import load_message

log = structlog.get_logger()


class TryLater(Exception):
    """What the step needs is away for now; keep the messages and ask again."""


#: Something is away: never a message's fault, however long.
AWAY = (TryLater, DatabaseAway, NotDurable)
#: Errors of the world around us, not of a message.
PASSING = (*AWAY, Conflict)
#: A conflict passes when the other transaction has ended. After so many in a row there is no other: it is the message.
MOST_CONFLICTS = 6


class Step(Protocol):
    """One step of the way, fed by a queue."""

    #: Messages handled at a time, at most; more than one only if the step handles them in one transaction.
    most: int

    def handle(self, messages: Sequence[dict[str, Any]]) -> None:
        """Do the step's work for these messages, or for none of them."""


class Share(Protocol):
    """Messages that are being handled, apart from others."""

    messages: Sequence[dict[str, Any]]
    #: One message that failed before when nobody waited for it: if it fails now, that is counted.
    watched: bool


class Sharing(Step, Protocol):
    """A step whose messages are handled side by side, each share in its own time."""

    def give(self, messages: Sequence[dict[str, Any]]) -> Sequence[Any]:
        """Begin; returns the shares. What is in none of them needs nothing more."""

    def ends(self, share: Any) -> bool:
        """Tell whether a share is done; raises what went wrong."""


@dataclass(frozen=True)
class DeadLetter:
    """A message nobody could handle, as it lay in a dead-letter queue; `died` is why, if the broker says it."""

    queue: str
    message_id: str
    body: bytes
    died: str = ""


#: A message as the broker gave it, and as it was read.
Taken = tuple[Any, dict[str, Any]]


class QueueWorker:
    """Feeds one step from its queues, over either broker, until told to stop.

    Args:
        every_s: A batch begins at the earliest so many seconds after the one before: under load, what comes meanwhile
            shares its costs; a message that comes alone does not wait.
    """

    def __init__(
        self, broker_url: str, queues: Sequence[str], step: Step, stop: threading.Event, *, every_s: float = 0.0
    ) -> None:
        self._broker_url = broker_url
        self._queues = queues
        self._step = step
        self._stop = stop
        self._inbox: list[Any] = []
        self._every_s = every_s
        self._next_at = 0.0

    def run(self) -> None:
        """Work; a lost broker is waited for, with a line in the log."""
        while not self._stop.is_set():
            keep_trying(self._stop, "broker", (*_broker_errors(self._broker_url), OSError), self._consume)

    def _consume(self) -> None:
        with connect(self._broker_url) as connection:
            declare(connection)
            channel = connection.channel()
            self._forget()
            consumer = Consumer(
                channel,
                [Queue(name, channel=channel, no_declare=True) for name in self._queues],
                on_message=self._inbox.append,
                prefetch_count=self._step.most * 2,
            )
            with consumer:
                while not self._stop.is_set():
                    self._gather(connection)
                    self._work(connection)

    def _forget(self) -> None:
        """Forget what was taken over another connection: it comes again."""
        self._inbox.clear()

    def _gather(self, connection: Connection) -> None:
        """Wait for a message, then take what else is there already."""
        self._stop.wait(self._next_at - time.monotonic())
        limit_s = self._rest_s()
        while len(self._inbox) < self._step.most:
            try:
                connection.drain_events(timeout=limit_s)
            except TimeoutError:
                break
            limit_s = 0.001
        if connection.supports_heartbeats:
            connection.heartbeat_check()

    def _work(self, connection: Connection) -> None:
        self._next_at = time.monotonic() + self._every_s
        batch, self._inbox[:] = self._inbox[: self._step.most], self._inbox[self._step.most :]
        readable = [(raw, message) for raw in batch if (message := self._read(raw)) is not None]
        if readable:
            self._take_on(readable, connection)

    def _rest_s(self) -> float:
        """Return how long to wait for a message before looking at anything else."""
        return 0.5

    def _take_on(self, batch: list[Taken], connection: Connection) -> None:
        self._handle(batch, connection)

    def _read(self, raw: Any) -> dict[str, Any] | None:
        try:
            return load_message(json.loads(raw.body)) | {"traceparent": (raw.headers or {}).get("traceparent")}
        except (ValueError, TypeError, RecursionError, ValidationError) as error:
            log.error("message_unreadable", message_id=raw.properties.get("message_id"), error=str(error))
            raw.reject(requeue=False)
            return None

    def _handle(self, batch: list[Taken], connection: Connection) -> None:
        try:
            self._until_done([message for _, message in batch], connection)
        except _Stopped:
            for raw, _ in batch:
                raw.requeue()
        except Exception as error:
            if len(batch) > 1:
                # One of them is poison: find it by halving, so that the others go on.
                half = len(batch) // 2
                self._handle(batch[:half], connection)
                self._handle(batch[half:], connection)
                return
            raw, message = batch[0]
            log.exception("message_failed", message_id=message["id"], type=message["type"])
            raw.reject(requeue=not isinstance(error, Conflict))
        else:
            for raw, _ in batch:
                raw.ack()

    def _until_done(self, messages: list[dict[str, Any]], connection: Connection) -> None:
        wait = wait_random_exponential(multiplier=0.1, max=5)
        retrying = Retrying(
            wait=wait,
            retry=retry_if_exception_type(PASSING),
            stop=_is_hopeless,
            reraise=True,
            sleep=lambda seconds: self._rest(seconds, connection),
            before_sleep=lambda state: log.warning("step_waits", step=type(self._step).__name__, **_why(state)),
        )
        retrying(self._step.handle, messages)

    def _rest(self, seconds: float, connection: Connection) -> None:
        """Wait without letting the broker think that we died."""
        if self._stop.wait(seconds):
            raise _Stopped
        if connection.supports_heartbeats:
            connection.heartbeat_check()


class SharingWorker(QueueWorker):
    """Feeds a step that shares its messages out, and acknowledges each share when it is done."""

    def __init__(
        self, broker_url: str, queues: Sequence[str], step: Sharing, stop: threading.Event, *, every_s: float = 0.0
    ) -> None:
        super().__init__(broker_url, queues, step, stop, every_s=every_s)
        self._sharing = step
        self._given: list[tuple[Any, list[Taken]]] = []

    def _forget(self) -> None:
        super()._forget()
        self._given.clear()

    def _rest_s(self) -> float:
        return 0.02 if self._given else super()._rest_s()

    def _work(self, connection: Connection) -> None:
        given, self._given = self._given, []
        for share, batch in given:
            if not self._is_done(share, batch, connection):
                self._given.append((share, batch))
        super()._work(connection)

    def _is_done(self, share: Any, batch: list[Taken], connection: Connection) -> bool:
        try:
            if not self._sharing.ends(share):
                return False
        except Exception as error:
            if share.watched and not isinstance(error, AWAY):
                # Not handled once more: its destination is slow, and all others would wait for it.
                raw, message = batch[0]
                log.exception("message_failed", message_id=message["id"], type=message["type"])
                raw.reject(requeue=True)
                return True
            log.warning("share_failed", step=type(self._step).__name__, error=str(error)[:300])
            self._handle(batch, connection)
        else:
            for raw, _ in batch:
                raw.ack()
        return True

    def _take_on(self, batch: list[Taken], connection: Connection) -> None:
        left = {id(message): (raw, message) for raw, message in batch}
        try:
            shares = self._sharing.give([message for _, message in batch])
        except Exception as error:  # noqa: BLE001 - handled once more, and then it is said
            log.warning("cannot_share", step=type(self._step).__name__, error=str(error)[:300])
            self._handle(batch, connection)
            return
        for share in shares:
            self._given.append((share, [left.pop(id(message)) for message in share.messages]))
        for raw, _ in left.values():
            raw.ack()


class DeadLetterWorker(QueueWorker):
    """Feeds a step with dead letters as they are: nothing is expected of their content."""

    def _read(self, raw: Any) -> dict[str, Any]:
        body = raw.body if isinstance(raw.body, bytes) else str(raw.body).encode()
        queue = raw.delivery_info.get("routing_key") or ""
        died = str((raw.headers or {}).get("x-first-death-reason") or "")
        letter = DeadLetter(queue, str(raw.properties.get("message_id") or ""), body, died)
        return {"id": letter.message_id, "type": "dead.letter", "data": letter}


class LoopWorker:
    """Calls `turn` again and again; `turn` returns when it found nothing to do, after waiting a little itself."""

    def __init__(self, name: str, turn: Callable[[], None], stop: threading.Event) -> None:
        self._name, self._turn, self._stop = name, turn, stop

    def run(self) -> None:
        """Work until told to stop; what is away is waited for."""
        while not self._stop.is_set():
            keep_trying(self._stop, self._name, (*PASSING, OSError), self._turns)

    def _turns(self) -> None:
        try:
            while not self._stop.is_set():
                self._turn()
        except NotMigrated as error:
            # Seen to be right when we started, so somebody has migrated since: this code may not go on.
            raise MustStop(str(error)) from error


class _Stopped(Exception):
    """Told to stop while waiting."""


def keep_trying(
    stop: threading.Event, what: str, errors: tuple[type[BaseException], ...], work: Callable[[], None]
) -> None:
    """Call `work` until it returns or we are told to stop; these errors are waited out with growing pauses."""

    def note(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("waiting_for", what=what, error=str(error)[:300])

    retrying = Retrying(
        wait=wait_random_exponential(multiplier=0.2, max=5),
        retry=retry_if_exception_type(errors),
        stop=stop_when_event_set(stop),
        retry_error_callback=lambda _: None,
        before_sleep=note,
        sleep=sleep_using_event(stop),
    )
    retrying(work)


def _is_hopeless(state: RetryCallState) -> bool:
    error = state.outcome.exception() if state.outcome else None
    return isinstance(error, Conflict) and state.attempt_number >= MOST_CONFLICTS


def _why(state: RetryCallState) -> dict[str, str]:
    error = state.outcome.exception() if state.outcome else None
    return {"error": str(error)[:300]}


def _broker_errors(broker_url: str) -> tuple[type[BaseException], ...]:
    with connect(broker_url) as connection:
        return (*connection.connection_errors, *connection.channel_errors)
