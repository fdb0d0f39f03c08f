"""What both queues promise, embedded and RabbitMQ: nothing confirmed is lost, nothing acked comes again."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from bridge.broker.messages import Message
from bridge.broker.publisher import NotDurable, Publisher, open_publisher
from bridge.broker.topology import DELIVERY_LIMIT, ROUTES, connect, declare
from consumers.runtime import DeadLetter, DeadLetterWorker, QueueWorker, TryLater
from tests.running import ROOT
from tests.servers import RabbitMQ, eventually

QUEUE = "bridge.notices"


@pytest.fixture
def declared(broker_url: str) -> str:
    """A broker with our queues."""
    with connect(broker_url) as connection:
        declare(connection)
    return broker_url


@pytest.fixture
def publisher(declared: str) -> Iterator[Publisher]:
    """The real publisher, connected."""
    made = open_publisher(declared)
    eventually(lambda: made.healthy, 20, "a healthy publisher")
    yield made
    made.close()


class Taker:
    """A step that does what a test tells it, and remembers the deliveries it saw."""

    def __init__(self, most: int = 1, deed: Callable[[list[str]], None] = lambda _: None) -> None:
        self.most = most
        self._deed = deed
        self.seen: list[str] = []

    def handle(self, messages: Sequence[dict[str, Any]]) -> None:
        names = [str(message["data"]["delivery_id"]) for message in messages]
        self._deed(names)
        self.seen += names


@pytest.fixture
def working(declared: str) -> Iterator[Callable[..., threading.Event]]:
    """Starts a worker thread on a queue; all are told to stop at the end, and must."""
    stop, threads = threading.Event(), []

    def start(step: Any, queue: str = QUEUE, kind: type[QueueWorker] = QueueWorker) -> threading.Event:
        thread = threading.Thread(target=kind(declared, [queue], step, stop).run)
        threads.append(thread)
        thread.start()
        return stop

    yield start
    stop.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive(), "a worker did not stop within 10 s"


def ids(count: int) -> list[str]:
    return [f"00000000-0000-4000-8000-{number:012d}" for number in range(count)]


def notices(names: Sequence[str]) -> list[Message]:
    return [Message("notice.due", {"delivery_id": name}) for name in names]


def waiting_in(url: str, queue: str) -> list[str]:
    """Take everything that lies in a queue and return the raw bodies."""
    found: list[str] = []
    with connect(url) as connection:
        declare(connection)
        channel = connection.channel()
        while message := channel.basic_get(queue, no_ack=False):
            found.append(message.body if isinstance(message.body, str) else message.body.decode())
            channel.basic_ack(message.delivery_tag)
    return found


def test_published_messages_are_taken_once_in_order(
    publisher: Publisher, working: Callable[..., threading.Event]
) -> None:
    publisher.publish(notices(ids(50)))
    taker = Taker()

    working(taker)

    eventually(lambda: len(taker.seen) >= 50, 20, "fifty messages")
    assert taker.seen == ids(50)


def test_every_type_lands_in_the_queue_of_its_route(declared: str, publisher: Publisher) -> None:
    publisher.publish([Message(f"{route.types}.due", {"n": route.queue}) for route in ROUTES])

    for route in ROUTES:
        assert [json.loads(body)["data"]["n"] for body in waiting_in(declared, route.queue)] == [route.queue]


def test_what_a_killed_consumer_held_comes_back_to_the_next(
    declared: str, publisher: Publisher, working: Callable[..., threading.Event]
) -> None:
    publisher.publish(notices(ids(5)))
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, declared], cwd=ROOT, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": "."}
    )
    assert holder.stdout
    assert holder.stdout.readline() == b"holding\n"
    holder.send_signal(signal.SIGKILL)
    holder.wait(10)
    holder.stdout.close()
    taker = Taker()

    working(taker)

    eventually(lambda: len(taker.seen) >= 5, 20, "all five again")
    assert sorted(taker.seen) == ids(5)


_HOLD = f"""
import sys, time
from bridge.broker.topology import connect
channel = connect(sys.argv[1]).channel()
held = 0
while held < 5:
    held += channel.basic_get({QUEUE!r}, no_ack=False) is not None
print("holding", flush=True)
time.sleep(60)
"""


def test_try_later_keeps_the_message_until_the_world_is_back(
    publisher: Publisher, working: Callable[..., threading.Event]
) -> None:
    tries: list[int] = []

    def away_twice(_: list[str]) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise TryLater("away")

    taker = Taker(deed=away_twice)
    publisher.publish(notices(ids(1)))

    working(taker)

    eventually(lambda: taker.seen == ids(1), 20, "handled at the third try")
    assert len(tries) == 3


def test_one_poison_among_a_hundred_is_parked_alone(
    declared: str, publisher: Publisher, working: Callable[..., threading.Event]
) -> None:
    poison = ids(100)[37]

    def refuse(names: list[str]) -> None:
        if poison in names:
            raise RuntimeError("poison")

    taker = Taker(most=100, deed=refuse)
    publisher.publish(notices(ids(100)))

    stop = working(taker)

    eventually(lambda: len(taker.seen) >= 99, 40, "the ninety-nine others")
    parked = eventually(lambda: waiting_in(declared, f"{QUEUE}.dead"), 60, "the poison among the dead letters")
    stop.set()
    assert [json.loads(body)["data"]["delivery_id"] for body in parked] == [poison]
    assert sorted(taker.seen) == sorted(set(ids(100)) - {poison})


def test_unreadable_message_goes_to_the_dead_letters_and_never_to_the_step(
    publisher: Publisher, working: Callable[..., threading.Event]
) -> None:
    publisher.publish([Message("notice.due", {"surprise": 1}), *notices(ids(1))])
    taker, letters = Taker(), _Letters()

    working(taker)
    working(letters, f"{QUEUE}.dead", DeadLetterWorker)

    eventually(lambda: letters.seen, 20, "a dead letter")
    assert json.loads(letters.seen[0].body)["data"] == {"surprise": 1}
    assert taker.seen == ids(1)


class _Letters:
    most = 10

    def __init__(self) -> None:
        self.seen: list[DeadLetter] = []

    def handle(self, messages: Sequence[dict[str, Any]]) -> None:
        self.seen += [message["data"] for message in messages]


def test_webhooks_that_gather_share_messages_and_none_is_missing(declared: str, publisher: Publisher) -> None:
    names = [f"w-{number}" for number in range(300)]
    threads = [
        threading.Thread(target=publisher.publish, args=([Message("webhook.received", {"body": "e30=", "n": name})],))
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    found: list[str] = []
    for body in waiting_in(declared, "bridge.intake"):
        message = json.loads(body)
        items = message["data"]["items"] if message["type"] == "webhook.batch" else [message["data"]]
        found += [item["n"] for item in items]
    assert sorted(found) == sorted(names)


def test_two_consumers_share_a_thousand_messages_without_loss_or_repeat(
    publisher: Publisher, working: Callable[..., threading.Event]
) -> None:
    publisher.publish(notices(ids(1000)), timeout_s=30)
    one, other = Taker(most=20), Taker(most=20)

    working(one)
    working(other)

    eventually(lambda: len(one.seen) + len(other.seen) >= 1000, 60, "a thousand")
    assert sorted(one.seen + other.seen) == ids(1000)


def test_delivery_limit_is_high_enough_for_restarts_and_low_enough_for_people() -> None:
    assert 10 <= DELIVERY_LIMIT <= 50


def test_publisher_refuses_within_its_time_while_rabbitmq_is_frozen_and_recovers_by_itself(
    amqp_url: str, rabbitmq: RabbitMQ
) -> None:
    with connect(amqp_url) as connection:
        declare(connection)
    made = open_publisher(amqp_url)
    eventually(lambda: made.healthy, 20)
    rabbitmq.freeze()
    started = time.monotonic()
    with pytest.raises(NotDurable):
        made.publish(notices(ids(1)), timeout_s=2)
    assert time.monotonic() - started < 5
    rabbitmq.thaw()

    eventually(lambda: _publishes(made), 60, "publishing again")
    made.close()


def test_every_publish_that_returned_is_in_the_queue_after_rabbitmq_was_killed(
    amqp_url: str, rabbitmq: RabbitMQ
) -> None:
    with connect(amqp_url) as connection:
        declare(connection)
    rabbitmq.settle()
    made = open_publisher(amqp_url)
    eventually(lambda: made.healthy, 20)
    confirmed: list[str] = []
    over = threading.Event()
    thread = threading.Thread(target=_publish_until, args=(made, confirmed, over))
    thread.start()
    eventually(lambda: len(confirmed) > 50, 30)

    rabbitmq.kill()
    rabbitmq.start()
    after = len(confirmed)
    eventually(lambda: len(confirmed) > after + 50, 60, "publishing again")
    over.set()
    thread.join(20)
    made.close()

    found = [json.loads(body)["data"]["delivery_id"] for body in waiting_in(amqp_url, QUEUE)]
    assert set(confirmed) - set(found) == set(), "confirmed, but not in the queue"


def test_unroutable_message_is_a_failure_and_never_taken_for_success(amqp_url: str) -> None:
    with connect(amqp_url) as connection:
        declare(connection)
    made = open_publisher(amqp_url)
    eventually(lambda: made.healthy, 20)

    with pytest.raises(NotDurable):
        made.publish([Message("nobody.listens", {})], timeout_s=5)
    made.close()


def test_missing_exchange_is_a_failure_until_somebody_declares_it(amqp_url: str) -> None:
    made = open_publisher(amqp_url)
    with pytest.raises(NotDurable):
        made.publish(notices(ids(1)), timeout_s=2)

    with connect(amqp_url) as connection:
        declare(connection)

    eventually(lambda: _publishes(made), 30, "publishing once it is there")
    made.close()


def test_put_in_the_embedded_queue_survives_sigkill_right_after_it_returned(embedded_url: str) -> None:
    put = (
        "import os, signal, sys\nfrom bridge.broker.publisher import open_publisher\n"
        "from tests.broker.test_engines import ids, notices\n"
        "open_publisher(sys.argv[1]).publish(notices(ids(3)))\nos.kill(os.getpid(), signal.SIGKILL)"
    )

    done = subprocess.run([sys.executable, "-c", put, embedded_url], cwd=ROOT, timeout=60, check=False)

    assert done.returncode == -signal.SIGKILL
    assert len(waiting_in(embedded_url, QUEUE)) == 3


def _publishes(publisher: Publisher) -> bool:
    try:
        publisher.publish(notices(ids(1)), timeout_s=2)
    except NotDurable:
        return False
    return True


def _publish_until(publisher: Publisher, confirmed: list[str], over: threading.Event) -> None:
    number = 0
    while not over.is_set():
        name = f"00000000-0000-4000-9000-{number:012d}"
        number += 1
        try:
            publisher.publish(notices([name]), timeout_s=3)
        except NotDurable:
            continue
        confirmed.append(name)
