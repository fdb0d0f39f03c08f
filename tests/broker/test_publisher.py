"""What publishing promises: when it returns the message is in the queue, and when it is not sure it says so, in time."""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.broker.messages import Message, grouped
from bridge.broker.publisher import NotDurable, Publisher, open_publisher
from schemas.messages import load_message
from tests.broker.queues import INTAKE, LIMIT_S, NOTICES, Broker, Process, at_once, names_in, notice, webhook
from tests.servers import eventually


@pytest.fixture
def publisher(broker: Broker) -> Iterator[Publisher]:
    """A publisher that has published: whatever it must open is open."""
    with broker.publisher() as made:
        made.publish([notice(0)], timeout_s=LIMIT_S)
        yield made


def test_message_is_in_the_queue_when_publishing_returns(broker: Broker, publisher: Publisher) -> None:
    for number in range(1, 6):
        publisher.publish([notice(number)], timeout_s=LIMIT_S)
        broker.settles_at(notices=number + 1)
    assert broker.drained(NOTICES, 6) == [str(number) for number in range(6)]


def test_everybody_who_publishes_at_once_gets_through_once(broker: Broker, publisher: Publisher) -> None:
    works = [lambda n=number: publisher.publish([notice(n)], timeout_s=LIMIT_S) for number in range(1, 65)]
    assert at_once(works) == [None] * 64
    assert sorted(map(int, broker.drained(NOTICES, 65))) == list(range(65))


def test_webhooks_that_come_together_share_messages_and_each_is_there_once(
    broker: Broker, publisher: Publisher
) -> None:
    names = [f"w{number:03}" for number in range(200)]
    works = [
        lambda part=names[n::16]: publisher.publish([webhook(name) for name in part], timeout_s=LIMIT_S)
        for n in range(16)
    ]
    assert at_once(works) == [None] * 16
    with broker.taking(INTAKE) as taking:
        eventually(lambda: taking.nothing_more() and len(taking.names()) >= 200, LIMIT_S)
        assert sorted(taking.names()) == names
        assert {load_message(json.loads(message.body))["type"] for message in taking.messages} <= {
            "webhook.received",
            "webhook.batch",
        }
        assert broker.embedded or len(taking.messages) < 200


def test_group_carries_every_webhook_byte_for_byte() -> None:
    messages = [webhook(f"w{number}", size=number * 1000) for number in range(1, 6)]
    items = load_message(json.loads(grouped(messages).body()))["data"]["items"]
    assert [(item["webhook_id"], len(item["body"])) for item in items] == [(f"w{n}", n * 1000) for n in range(1, 6)]


def test_large_webhooks_do_not_gather_into_one_message_without_bound(broker: Broker, publisher: Publisher) -> None:
    works = [lambda n=number: publisher.publish([webhook(f"w{n}", 200_000)], timeout_s=LIMIT_S) for number in range(12)]
    assert at_once(works) == [None] * 12
    with broker.taking(INTAKE) as taking:
        eventually(lambda: taking.nothing_more() and len(taking.names()) == 12, LIMIT_S)
        assert max(len(message.body) for message in taking.messages) < 2_000_000


def test_message_no_queue_takes_is_no_success_and_harms_no_other(broker: Broker, publisher: Publisher) -> None:
    for _ in range(2):
        with pytest.raises(NotDurable, match=r"no queue"):
            publisher.publish([Message("nobody.knows", {})], timeout_s=LIMIT_S)
    publisher.publish([notice(1)], timeout_s=LIMIT_S)
    assert publisher.healthy
    assert broker.drained(NOTICES, 2) == ["0", "1"]


def test_one_of_several_that_no_queue_takes_fails_them_all_for_the_caller(publisher: Publisher) -> None:
    with pytest.raises(NotDurable):
        publisher.publish([notice(1), Message("nobody.knows", {}), notice(2)], timeout_s=LIMIT_S)


def test_closed_publisher_refuses_and_says_that_it_is_not_well(broker: Broker) -> None:
    publisher = open_publisher(broker.url)
    publisher.publish([notice(1)], timeout_s=LIMIT_S)
    publisher.close()
    with pytest.raises(NotDurable, match="closed"):
        publisher.publish([notice(2)])
    assert not publisher.healthy
    assert broker.drained(NOTICES, 1) == ["1"]


def test_publisher_that_is_closed_at_once_ends(broker: Broker) -> None:
    for _ in range(5):
        started = time.monotonic()
        open_publisher(broker.url).close()
        assert time.monotonic() - started < 8


def test_publishing_nothing_returns_at_once(publisher: Publisher) -> None:
    publisher.publish([], timeout_s=0)


def test_what_was_published_survives_the_sigkill_right_after_it(broker: Broker) -> None:
    with Process("publish", broker.url) as process:
        said = process.read(40)
        process.kill()
    found = broker.drained(INTAKE, 40)
    assert set(said) <= set(found)
    assert len(found) == len(set(found))


def test_message_carries_its_id_type_time_and_headers_for_the_steps(broker: Broker, publisher: Publisher) -> None:
    before = datetime.now(UTC)
    message = webhook("w1")
    publisher.publish([message], timeout_s=LIMIT_S)
    with broker.taking(INTAKE) as taking:
        envelope = load_message(json.loads(taking.wait_for(1)[0].body))
        assert (envelope["id"], envelope["type"]) == (message.id, "webhook.received")
        assert abs((envelope["timestamp"] - before).total_seconds()) < LIMIT_S


# -- the embedded queue in trouble --------------------------------------------------------------------------------


def _file(url: str) -> Path:
    return Path(url.removeprefix("embedded://"))


@contextmanager
def _table_away(url: str) -> Iterator[None]:
    """Take the embedded queue's table away for a while: everybody who writes or reads gets an error."""
    with closing(sqlite3.connect(_file(url), timeout=30)) as file:
        file.execute("ALTER TABLE messages RENAME TO away")
        yield
        file.execute("DROP TABLE IF EXISTS messages")
        file.execute("ALTER TABLE away RENAME TO messages")


def test_embedded_queue_that_refuses_is_no_success_and_is_used_again_when_it_is_back(embedded_url: str) -> None:
    broker = Broker(embedded_url)
    with broker.publisher() as publisher:
        publisher.publish([notice(0)], timeout_s=LIMIT_S)
        with _table_away(embedded_url):
            with pytest.raises(NotDurable, match="refused"):
                publisher.publish([notice(1)], timeout_s=LIMIT_S)
            assert not publisher.healthy
        publisher.publish([notice(2)], timeout_s=LIMIT_S)
        assert publisher.healthy
    assert broker.drained(NOTICES, 2) == ["0", "2"]


def test_embedded_queue_somebody_else_keeps_locked_fails_in_time_and_recovers(embedded_url: str) -> None:
    broker = Broker(embedded_url)
    with broker.publisher() as publisher:
        publisher.publish([notice(0)], timeout_s=LIMIT_S)
        with closing(sqlite3.connect(_file(embedded_url), isolation_level=None)) as file:
            file.execute("BEGIN IMMEDIATE")
            started = time.monotonic()
            with pytest.raises(NotDurable, match="in time"):
                publisher.publish([notice(1)], timeout_s=0.3)
            assert time.monotonic() - started < 4
            file.execute("ROLLBACK")
        publisher.publish([notice(2)], timeout_s=LIMIT_S)
    found = broker.drained(NOTICES, 2)
    assert [name for name in found if name != "1"] == ["0", "2"], "what was not confirmed may have arrived all the same"


def test_embedded_queue_that_cannot_be_opened_is_tried_again(tmp_path: Path) -> None:
    at = tmp_path / "queue.sqlite3"
    at.mkdir()
    broker = Broker(f"embedded://{at}")
    with broker.publisher() as publisher:
        with pytest.raises(NotDurable):
            publisher.publish([notice(0)], timeout_s=LIMIT_S)
        at.rmdir()
        publisher.publish([notice(1)], timeout_s=LIMIT_S)
    assert broker.drained(NOTICES, 1) == ["1"]


def test_full_disk_refuses_and_loses_nothing_that_was_confirmed(embedded_url: str) -> None:
    """A limit on the size of files stands for the disk: writing beyond it fails in the same place."""
    broker = Broker(embedded_url)
    broker.declare()
    with Process("publish_until_full", embedded_url) as process:
        said = process.rest()
    assert said[-2:] == ["full", "after"], said[-5:]
    confirmed = said[:-2]
    assert confirmed
    assert set(broker.drained(INTAKE, len(confirmed) + 1)) >= {*confirmed, "after"}


def test_names_of_a_group_and_of_a_single_message_are_read_alike() -> None:
    """A test of the tests: counting goes by these names."""
    assert names_in(webhook("w1").body()) == ["w1"]
    assert names_in(grouped([webhook("w1"), webhook("w2")]).body()) == ["w1", "w2"]
    with suppress(KeyError):
        names_in(Message("x.y", {}).body())
        raise AssertionError("a message without a name must not be counted")
