"""Publishing to RabbitMQ with pika: one I/O thread, many outstanding confirms, groups under load.

What counts as durable: the broker's ack for a message it did not return. A nack, a return (no queue took it) and
silence are failures. After a lost connection unconfirmed messages are published again, as long as somebody waits
for them: a repeat is harmless, every consumer knows repeats.
"""

import functools
import threading
import time
from collections import deque
from collections.abc import Sequence

import pika
import structlog
from pika.adapters.select_connection import SelectConnection
from pika.channel import Channel
from pika.spec import Basic, BasicProperties
from tenacity import Retrying, retry_if_exception_type, stop_when_event_set, wait_random_exponential

from bridge.broker.messages import Message, grouped
from bridge.broker.publisher import NotDurable, Unroutable, Waiting
from bridge.broker.topology import EXCHANGE

log = structlog.get_logger()

#: Received webhooks that share one message at most; beyond this a group no longer gets cheaper.
GROUP_MESSAGES = 64
GROUP_BYTES = 512 * 1024
#: Unconfirmed messages at a time; of received webhooks fewer, so that what arrives meanwhile gathers into a group: what
#: it costs to send and to confirm is paid by the group.
WINDOW = 4
WEBHOOKS_WINDOW = 1


class _Away(Exception):
    """The broker could not be reached, or was lost again at once."""


class PikaPublisher:
    """A publisher over one AMQP connection that is opened again whenever it is lost."""

    def __init__(self, broker_url: str) -> None:
        self._parameters = pika.URLParameters(broker_url)
        self._parameters.heartbeat = 10
        self._parameters.blocked_connection_timeout = 5
        self._parameters.socket_timeout = 5
        self._parameters.stack_timeout = 10
        self._gathered: deque[Waiting] = deque()
        self._in_flight: dict[int, list[Waiting]] = {}
        self._returned: set[str] = set()
        self._ids: dict[int, str] = {}
        self._next_tag = 1
        self._connection: SelectConnection | None = None
        self._channel: Channel | None = None
        self._drain_asked = False
        self._asking = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """Tell whether a channel is open and confirms are not overdue."""
        return self._channel is not None and not any(group[0].overdue for group in list(self._in_flight.values()))

    def publish(self, messages: Sequence[Message], *, timeout_s: float = 5.0) -> None:
        """See Publisher.publish."""
        deadline = time.monotonic() + timeout_s
        waiting = [Waiting(message, deadline) for message in messages]
        self.submit(waiting)
        for one in waiting:
            one.wait()

    def submit(self, waiting: Sequence[Waiting]) -> None:
        """See Publisher.submit."""
        if self._closing.is_set():
            raise NotDurable("the publisher is closed")
        self._gathered.extend(waiting)
        self._ask_to_drain()

    def close(self) -> None:
        """See Publisher.close."""
        self._closing.set()
        with self._asking:
            if (connection := self._connection) is not None:
                connection.ioloop.add_callback_threadsafe(functools.partial(self._close_connection, connection))
        self._thread.join(timeout=10)

    # -- the I/O thread; everything below runs on it -------------------------------------------------------------

    def _run(self) -> None:
        retrying = Retrying(
            wait=wait_random_exponential(multiplier=0.2, max=5),
            retry=retry_if_exception_type(_Away),
            stop=stop_when_event_set(self._closing),
            retry_error_callback=lambda _: None,
            sleep=self._pause,
        )
        while not self._closing.is_set():
            retrying(self._serve_until_lost)

    def _serve_until_lost(self) -> None:
        opened_at = time.monotonic()
        self._connect_and_serve()
        # A connection that held for a while starts the waiting anew.
        if time.monotonic() - opened_at < 5:
            raise _Away

    def _connect_and_serve(self) -> None:
        connection = SelectConnection(
            self._parameters,
            on_open_callback=self._opened,
            on_open_error_callback=self._not_opened,
            on_close_callback=self._lost,
        )
        with self._asking:
            self._drain_asked = False
            self._connection = connection
            if self._closing.is_set():  # told so when there was nothing to close yet
                connection.ioloop.add_callback_threadsafe(functools.partial(self._close_connection, connection))
        try:
            connection.ioloop.start()
        except AssertionError as error:
            # Told to close during the handshake, pika 1.4 stumbles over its own word for that (a class, no instance).
            if not self._closing.is_set():
                raise
            log.info("broker_handshake_broken_off", error=type(error).__name__)
        finally:
            self._channel = None
            with self._asking:
                self._connection = None
            connection.ioloop.close()  # else its wake-up sockets stay open, a pair for every lost connection
        self._take_back()

    def _opened(self, connection: SelectConnection) -> None:
        connection.channel(on_open_callback=self._channel_opened)

    def _not_opened(self, connection: SelectConnection, error: BaseException) -> None:
        log.warning("broker_away", error=repr(error))
        connection.ioloop.stop()

    def _lost(self, connection: SelectConnection, error: BaseException) -> None:
        if not self._closing.is_set():
            log.warning("broker_lost", error=repr(error), unconfirmed=len(self._in_flight))
        connection.ioloop.stop()

    def _channel_opened(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._channel_closed)
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._on_confirm, callback=lambda _: self._ready(channel))

    def _ready(self, channel: Channel) -> None:
        self._next_tag = 1
        self._channel = channel
        log.info("broker_ready")
        self._drain()

    def _channel_closed(self, channel: Channel, reason: BaseException) -> None:
        # For instance 404: the exchange is not declared yet. Open everything anew, after the usual wait.
        self._channel = None
        if not channel.connection.is_closing and not channel.connection.is_closed:
            log.warning("broker_channel_closed", reason=repr(reason))
            channel.connection.close()

    def _ask_to_drain(self) -> None:
        with self._asking:
            if self._drain_asked or self._connection is None:
                return
            self._drain_asked = True
            self._connection.ioloop.add_callback_threadsafe(self._drain)

    def _drain(self) -> None:
        self._drain_asked = False
        while self._channel is not None and self._gathered and len(self._in_flight) < self._window():
            if group := self._next_group():
                self._send(group)

    def _window(self) -> int:
        return WEBHOOKS_WINDOW if self._gathered[0].message.type == "webhook.received" else WINDOW

    def _next_group(self) -> list[Waiting]:
        """Return what goes out as one message: received webhooks together, everything else alone."""
        group: list[Waiting] = []
        size = 0
        while self._gathered and len(group) < GROUP_MESSAGES and size < GROUP_BYTES:
            first = self._gathered[0]
            if group and first.message.type != "webhook.received":
                break
            self._gathered.popleft()
            if first.overdue:
                continue
            group.append(first)
            if first.message.type != "webhook.received":
                break
            size += len(first.message.data["body"])
        return group

    def _send(self, group: list[Waiting]) -> None:
        assert self._channel is not None  # noqa: S101 - for the type checker; _drain looked
        message = group[0].message if len(group) == 1 else grouped([one.message for one in group])
        properties = BasicProperties(
            content_type="application/json",
            delivery_mode=2,
            message_id=message.id,
            type=message.type,
            timestamp=int(message.at.timestamp()),
            headers=dict(message.headers),
        )
        self._in_flight[self._next_tag] = group
        self._ids[self._next_tag] = message.id
        self._next_tag += 1
        self._channel.basic_publish(EXCHANGE, message.type, message.body().encode(), properties, mandatory=True)

    def _on_return(self, _: Channel, __: Basic.Return, properties: BasicProperties, ___: bytes) -> None:
        # The broker returns before it acks, so the id is here when the ack comes.
        self._returned.add(properties.message_id or "")

    def _on_confirm(self, frame: pika.frame.Method) -> None:
        confirm = frame.method
        tags = [confirm.delivery_tag]
        if confirm.multiple:
            tags = [tag for tag in self._in_flight if tag <= confirm.delivery_tag]
        for tag in tags:
            self._settle(tag, acked=isinstance(confirm, Basic.Ack))
        self._drain()

    def _settle(self, tag: int, *, acked: bool) -> None:
        message_id = self._ids.pop(tag)
        error: NotDurable | None = None
        if message_id in self._returned:
            self._returned.discard(message_id)
            error = Unroutable("no queue takes this message; is the topology declared?")
        elif not acked:
            error = NotDurable("the queue refused the message; is it full?")
        for one in self._in_flight.pop(tag):
            one.settle(error)

    def _take_back(self) -> None:
        """Put unconfirmed messages back at the front, oldest first; they go out again on the next connection."""
        for tag in sorted(self._in_flight, reverse=True):
            self._gathered.extendleft(reversed(self._in_flight[tag]))
        self._in_flight.clear()
        self._ids.clear()
        self._returned.clear()

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._closing.wait(0.05):
            self._drop_overdue()

    def _drop_overdue(self) -> None:
        while self._gathered and self._gathered[0].overdue:
            self._gathered.popleft()

    @staticmethod
    def _close_connection(connection: SelectConnection) -> None:
        # Also one that is still opening: stopping its loop alone would leave its socket open.
        if connection.is_closing or connection.is_closed:
            connection.ioloop.stop()
        else:
            connection.close()
