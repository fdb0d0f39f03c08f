"""THE MAP: every exchange, queue and dead-letter queue, who fills it and which step empties it."""

from dataclasses import dataclass

import structlog
from kombu.connection import Connection
from kombu.entity import Exchange, Queue
from tenacity import Retrying, retry_if_exception_type, wait_random_exponential

log = structlog.get_logger()

EXCHANGE = "bridge"

#: After this many deliveries without an end, a message goes to the dead-letter queue of its queue.
DELIVERY_LIMIT = 20


@dataclass(frozen=True)
class Route:
    """One queue: messages whose type begins with `types.` go into it, the step of consumers/ empties it."""

    queue: str
    types: str
    step: str

    @property
    def dead(self) -> str:
        """Return the name of its dead-letter queue, emptied by `set_aside`."""
        return f"{self.queue}.dead"


ROUTES = (
    Route("bridge.intake", "webhook", "take_in"),
    Route("bridge.notices", "notice", "notify_office"),
    Route("bridge.callbacks", "callback", "report_back"),
)


def route_of(message_type: str) -> Route:
    """Return the route a message type takes.

    Raises:
        LookupError: no queue is bound for it.
    """
    for route in ROUTES:
        if message_type.startswith(f"{route.types}."):
            return route
    raise LookupError(f"no queue is bound for messages of type {message_type!r}")


def connect(broker_url: str) -> Connection:
    """Return a kombu connection, not yet open, to RabbitMQ or to the embedded queue."""
    if broker_url.startswith("embedded:"):
        path = broker_url.removeprefix("embedded://")
        return Connection(transport="bridge.broker.embedded:Transport", virtual_host=path)
    # Without socket timeouts opening a channel on a frozen broker waits for ever.
    return Connection(
        broker_url, connect_timeout=5, heartbeat=30, transport_options={"read_timeout": 60, "write_timeout": 10}
    )


def declare(connection: Connection) -> None:
    """Create what is not there yet. Declaring the same again changes nothing."""
    exchange = Exchange(EXCHANGE, type="topic", durable=True)
    with connection.channel() as channel:
        for route in ROUTES:
            Queue(route.dead, durable=True, queue_arguments={"x-queue-type": "quorum"}, channel=channel).declare()
            Queue(
                route.queue,
                exchange,
                routing_key=f"{route.types}.#",
                durable=True,
                queue_arguments={
                    "x-queue-type": "quorum",
                    "x-delivery-limit": DELIVERY_LIMIT,
                    "x-dead-letter-exchange": "",
                    "x-dead-letter-routing-key": route.dead,
                    # At-least-once dead lettering needs reject-publish: a full queue refuses, it never drops.
                    "x-dead-letter-strategy": "at-least-once",
                    "x-overflow": "reject-publish",
                },
                channel=channel,
            ).declare()


def declare_patiently(broker_url: str) -> None:
    """Create what is not there yet, as soon as the broker can be reached."""
    with connect(broker_url) as connection:
        away = (*connection.connection_errors, *connection.channel_errors, OSError)
    Retrying(
        wait=wait_random_exponential(multiplier=0.2, max=5),
        retry=retry_if_exception_type(away),
        before_sleep=lambda _: log.warning("waiting_for", what="broker"),
    )(_declare_once, broker_url)


def _declare_once(broker_url: str) -> None:
    with connect(broker_url) as connection:
        declare(connection)
