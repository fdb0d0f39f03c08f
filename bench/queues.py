"""Looking into a private broker: how many reports a queue holds, and making it fresh again."""

import json
from collections.abc import Callable

from bridge.broker.topology import ROUTES, connect, declare

#: Longest wait for one more message while emptying a queue, in seconds.
NEXT_MESSAGE_S = 10.0


def declare_ours(url: str) -> None:
    """Create our own queues, as any part of the bridge does."""
    with connect(url) as connection:
        declare(connection)


def delete_ours(url: str) -> None:
    """Delete our own queues; only ever on a private broker."""
    delete(url, *(name for route in ROUTES for name in (route.queue, route.dead)))


def delete(url: str, *queues: str) -> None:
    """Delete queues with whatever they hold."""
    with connect(url) as connection, connection.channel() as channel:
        for queue in queues:
            channel.queue_delete(queue)


def held(url: str, queue: str) -> int:
    """Return how many messages a queue holds; nobody may be consuming."""
    with connect(url) as connection, connection.channel() as channel:
        return int(channel.queue_declare(queue, passive=True).message_count)


def drained(url: str, queue: str, reports_in: Callable[[bytes], int]) -> int:
    """Empty a queue and return how many reports its messages carried."""
    waiting = held(url, queue)
    found: list[int] = []
    with connect(url) as connection, connection.channel() as channel:
        count = lambda message: found.append(reports_in(message.body))  # noqa: E731 - shorter than a function
        channel.basic_consume(queue, no_ack=True, callback=count)
        while len(found) < waiting:
            connection.drain_events(timeout=NEXT_MESSAGE_S)
    return sum(found)


def one_report_in(_: bytes) -> int:
    """Return how many webhooks a peer's message carries."""
    return 1


def our_reports_in(payload: bytes | str) -> int:
    """Return how many webhooks one of our messages carries: under load several share one."""
    message = json.loads(payload)
    return len(message["data"]["items"]) if message["type"] == "webhook.batch" else 1
