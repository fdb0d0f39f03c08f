"""Publishing to RabbitMQ while it is frozen, away, full, killed: never a success that is none, never stuck for good."""

import gc
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from bridge.broker.messages import Message
from bridge.broker.publisher import NotDurable, Publisher, open_publisher
from tests.broker.queues import INTAKE, LIMIT_S, NOTICES, Broker, at_once, names_in, notice, webhook
from tests.servers import RabbitMQ, eventually


@pytest.fixture
def broker(amqp_url: str) -> Broker:
    """RabbitMQ with our topology."""
    made = Broker(amqp_url)
    made.declare()
    return made


@pytest.fixture
def publisher(broker: Broker) -> Iterator[Publisher]:
    """A publisher that is connected."""
    with broker.publisher() as made:
        made.publish([notice(0)], timeout_s=LIMIT_S)
        yield made


def _publish_until_it_works(publisher: Publisher, number: int) -> None:
    def works() -> bool:
        try:
            publisher.publish([notice(number)], timeout_s=2)
        except NotDurable:
            return False
        return True

    eventually(works, LIMIT_S, "publishing works again, by itself")


def test_missing_exchange_is_no_success_and_works_once_it_is_declared(amqp_url: str) -> None:
    broker = Broker(amqp_url)
    with broker.publisher() as publisher:
        with pytest.raises(NotDurable):
            publisher.publish([notice(0)], timeout_s=2)
        broker.declare()
        _publish_until_it_works(publisher, 1)
    assert "1" in broker.drained(NOTICES, 1)


def test_deleted_queue_is_no_success(broker: Broker, publisher: Publisher, rabbitmq: RabbitMQ) -> None:
    name = broker.url.rpartition("/")[2]
    queue = f'rabbit_misc:r(<<"{name}">>, queue, <<"{NOTICES}">>)'
    rabbitmq.evaluate(
        f'{{ok, Q}} = rabbit_amqqueue:lookup({queue}), rabbit_amqqueue:delete(Q, false, false, <<"tests">>)'
    )
    with pytest.raises(NotDurable, match="no queue"):
        publisher.publish([notice(1)], timeout_s=LIMIT_S)
    broker.declare()
    publisher.publish([notice(2)], timeout_s=LIMIT_S)
    assert broker.drained(NOTICES, 1) == ["2"]


def test_full_queue_is_no_success_and_nothing_confirmed_is_dropped(
    broker: Broker, publisher: Publisher, rabbitmq: RabbitMQ
) -> None:
    name = broker.url.rpartition("/")[2]
    limit = '[{<<"max-length">>, 10}, {<<"overflow">>, <<"reject-publish">>}]'
    rabbitmq.evaluate(
        f'rabbit_policy:set(<<"{name}">>, <<"small">>, <<"bridge.notices">>, {limit}, 0, <<"queues">>, <<"tests">>)'
    )
    confirmed, refused = [0], list[int]()
    while len(refused) < 5:
        number = len(confirmed) + len(refused)
        assert number < 200, "it never gets full"
        try:
            publisher.publish([notice(number)], timeout_s=LIMIT_S)
            confirmed.append(number)
        except NotDurable as error:
            assert "full" in str(error)
            refused.append(number)
    assert sorted(map(int, broker.drained(NOTICES, len(confirmed)))) == confirmed
    _publish_until_it_works(publisher, 1000)


def test_frozen_broker_fails_in_time_and_publishing_goes_on_by_itself_when_it_thaws(
    broker: Broker, publisher: Publisher, rabbitmq: RabbitMQ
) -> None:
    rabbitmq.freeze()
    started = time.monotonic()
    results = at_once([partial(publisher.publish, [notice(number)], timeout_s=1) for number in range(1, 21)])
    took_s = time.monotonic() - started
    healthy = publisher.healthy
    rabbitmq.thaw()
    assert [type(result) for result in results] == [NotDurable] * 20
    assert took_s < 10
    assert not healthy
    _publish_until_it_works(publisher, 1000)
    eventually(lambda: publisher.healthy, LIMIT_S)
    found = set(map(int, broker.drained(NOTICES, 2)))
    assert {0, 1000} <= found <= {*range(21), 1000}


def test_publisher_that_is_closed_while_it_connects_ends_and_leaves_no_socket() -> None:
    """Nor does its thread end with an exception: pytest fails a test for either."""
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes the connection, and never says a word of AMQP
        for wait_s in (0.0, 0.05, 0.3):
            publisher = open_publisher(f"amqp://127.0.0.1:{mute.getsockname()[1]}/x")
            connection, _ = mute.accept()
            time.sleep(wait_s)
            started = time.monotonic()
            publisher.close()
            assert time.monotonic() - started < 8
            connection.close()
    gc.collect()
    assert not [thread for thread in threading.enumerate() if thread.name == "publisher"]


def test_what_comes_while_a_group_is_under_way_gathers_into_the_next(
    broker: Broker, publisher: Publisher, rabbitmq: RabbitMQ
) -> None:
    publishing = []

    def begin(*messages: Message, waiting: int) -> None:
        started = [threading.Thread(target=publisher.publish, args=([one],)) for one in messages]
        for thread in started:
            thread.start()
        inside = vars(publisher)
        eventually(lambda: inside["_in_flight"] and len(inside["_gathered"]) == waiting, LIMIT_S)
        publishing.extend(started)

    rabbitmq.freeze()
    begin(webhook("first"), waiting=0)
    begin(*(webhook(f"w{number}") for number in range(10)), waiting=10)
    begin(notice(1), waiting=11)  # the relay's: alone, and behind what came before it
    rabbitmq.thaw()
    for thread in publishing:
        thread.join(LIMIT_S)
    with broker.taking(INTAKE) as taking:
        eventually(lambda: taking.nothing_more() and len(taking.names()) == 11, 20)
        assert sorted(len(names_in(message.body)) for message in taking.messages) == [1, 10]
    assert broker.drained(NOTICES, 2) == ["0", "1"]


def test_stopped_broker_fails_in_time_and_publishing_goes_on_by_itself_when_it_is_back(
    broker: Broker, publisher: Publisher, rabbitmq: RabbitMQ
) -> None:
    rabbitmq.stop()
    eventually(lambda: not publisher.healthy, LIMIT_S)
    started = time.monotonic()
    with pytest.raises(NotDurable):
        publisher.publish([notice(1)], timeout_s=1)
    assert time.monotonic() - started < 5
    started = time.monotonic()
    open_publisher(broker.url).close()
    assert time.monotonic() - started < 8, "closing waits for nobody who is away"
    rabbitmq.start()
    _publish_until_it_works(publisher, 2)
    assert {"0", "2"} <= set(broker.drained(NOTICES, 2))


class Load:
    """Eight threads that publish, each number once, and note what was confirmed."""

    def __init__(self, publisher: Publisher) -> None:
        self.confirmed: list[int] = []
        self.refused: list[int] = []
        self._publisher = publisher
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(share,)) for share in range(8)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        self.goes_on()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(LIMIT_S)

    def goes_on(self) -> None:
        """Wait until more is confirmed than now."""
        before = len(self.confirmed)
        eventually(lambda: len(self.confirmed) > before + 20, 2 * LIMIT_S, "more is confirmed")

    def _run(self, share: int) -> None:
        number = share + 8
        while not self._stop.is_set():
            try:
                self._publisher.publish([notice(number)], timeout_s=20)
                self.confirmed.append(number)
            except NotDurable:
                self.refused.append(number)
            number += 8


def test_every_publish_that_returned_is_in_the_queue_although_the_broker_was_killed(
    broker: Broker, publisher: Publisher, rabbitmq: RabbitMQ
) -> None:
    with Load(publisher) as load:
        rabbitmq.kill()
        rabbitmq.start()
        load.goes_on()
    found = list(map(int, broker.drained(NOTICES, len(load.confirmed) + 1)))
    missing = set(load.confirmed) - set(found)
    assert missing == set()
    assert set(found) <= {0, *load.confirmed, *load.refused}


def test_connections_closed_by_an_operator_lose_nothing(
    broker: Broker, publisher: Publisher, rabbitmq: RabbitMQ
) -> None:
    with Load(publisher) as load:
        for _ in range(2):
            rabbitmq.close_connections()
            load.goes_on()
    found = set(map(int, broker.drained(NOTICES, len(load.confirmed) + 1)))
    assert set(load.confirmed) - found == set()
    assert load.refused == []
