"""The way in as it ships, while RabbitMQ is away: 202 goes on, and not even kill -9 of the receiver loses a report."""

from collections.abc import Iterator

import pytest

from tests.servers import RabbitMQ, eventually, new_folder
from tests.web.doors import FullDoor, open_full
from tests.web.processes import ask, post, report, signed

LIMIT_S = 60


@pytest.fixture
def door(rabbitmq: RabbitMQ) -> Iterator[FullDoor]:
    """`bridge receive` of the test's own."""
    rabbitmq.ensure_running()
    opened = open_full(new_folder("spooling-door"), rabbitmq)
    yield opened
    opened.bridge.close()


def posted(door: FullDoor, count: int) -> set[str]:
    """Send reports, all of which must be taken; returns their webhook-ids."""
    ids = set()
    for _ in range(count):
        body = report()
        headers = signed(body)
        answer = post(door.port, body, headers)
        assert answer.status == 202, answer
        assert answer.json()["status"] == "accepted"
        ids.add(headers["webhook-id"])
    return ids


def test_reports_sent_while_the_broker_is_away_are_in_its_queue_when_it_is_back(door: FullDoor) -> None:
    before = posted(door, 3)
    eventually(lambda: door.spooled() == 0, LIMIT_S, "every process has found the broker")
    with door.without_broker():
        during = posted(door, 20)
        assert door.spooled() == 20
        assert door.ready(), "it can take reports, so the front must go on sending them"
        assert "bridge_spool_messages 20.0" in ask(door.port, "GET", "/metrics").body.decode()
    eventually(lambda: door.spooled() == 0, LIMIT_S, "all have been forwarded")
    after = posted(door, 3)
    assert door.kept() == before | during | after


def test_receiver_killed_with_a_full_spool_forwards_it_when_it_comes_back(door: FullDoor) -> None:
    with door.without_broker():
        before = posted(door, 10)
        door.bridge.kill()
        door.bridge.start()
        eventually(lambda: ask(door.port, "GET", "/healthz").status == 200, LIMIT_S, "it listens without the broker")
        after = posted(door, 10)
        door.bridge.kill()
        assert door.spooled() == 20
    door.bridge.start()
    eventually(lambda: door.spooled() == 0, LIMIT_S, "all have been forwarded")
    assert door.kept() == before | after


def test_same_webhook_sent_again_during_the_outage_is_the_same_answer(door: FullDoor) -> None:
    body = report()
    headers = signed(body)
    with door.without_broker():
        first, again = post(door.port, body, headers), post(door.port, body, headers)
    assert (first.status, again.status) == (202, 202)
    assert first.json()["report_id"] == again.json()["report_id"]
    eventually(lambda: door.spooled() == 0, LIMIT_S, "all have been forwarded")
    assert door.kept() == {headers["webhook-id"]}
