"""The way in as it ships, while RabbitMQ is away: 202 goes on, and not even kill -9 of the receiver loses a report."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing

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


def said(door: FullDoor, path: str) -> tuple[int, str]:
    answer = ask(door.port, "GET", path)
    return answer.status, answer.body.decode()


def figure(door: FullDoor, name: str) -> str:
    """Return a figure of /metrics as it stands there."""
    status, text = said(door, "/metrics")
    assert status == 200, text
    return next(line.split()[1] for line in text.splitlines() if line.startswith(f"{name} "))


def test_disk_at_its_floor_without_the_broker_is_503_until_the_broker_is_back(rabbitmq: RabbitMQ) -> None:
    rabbitmq.ensure_running()
    folder = new_folder("door-at-the-floor")
    above_mb = shutil.disk_usage(folder).free // 1_000_000 + 100_000
    door = open_full(folder, rabbitmq, BRIDGE_SPOOL_FLOOR_MB=str(min(above_mb, 1_000_000)))
    try:
        before = posted(door, 1)
        with door.without_broker():
            refused = post(door.port, report())
            assert (refused.status, refused.headers["retry-after"]) == (503, "30")
            assert refused.json()["status"] == "refused"
            assert said(door, "/readyz") == (503, "the queue cannot be reached, and the disk is full\n")
            assert float(figure(door, "bridge_spool_free_bytes")) < 0
            assert figure(door, 'bridge_webhooks_total{outcome="not_durable",source="qlue"}') == "1.0"
            assert door.spooled() == 0, "what was refused is the city's"
        eventually(door.ready, LIMIT_S, "the broker is back")
        after = posted(door, 1)
        assert door.kept() == before | after
    finally:
        door.bridge.close()


def test_damaged_report_is_alarmed_and_those_behind_it_are_forwarded(door: FullDoor) -> None:
    with door.without_broker():
        sent = posted(door, 4)
        door.bridge.kill()
        with closing(sqlite3.connect(door.bridge.folder / "var" / "spool.sqlite3", isolation_level=None)) as spool:
            spool.execute("UPDATE messages SET payload = 'damaged' WHERE id = (SELECT min(id) FROM messages)")
        door.bridge.start()
        status, text = said(door, "/readyz")
        assert (status, text.splitlines()[0]) == (200, "ready")
        assert "1 reports in the spool cannot be read" in text
        sent |= posted(door, 1)
        eventually(lambda: door.spooled() == 4, LIMIT_S, "the damaged one is out of the way")
        assert figure(door, "bridge_spool_messages") == "4.0"
    eventually(lambda: door.spooled() == 0, LIMIT_S, "all others have been forwarded")
    found = door.kept()
    assert found < sent
    assert len(found) == 4
    assert (figure(door, "bridge_spool_unreadable"), figure(door, "bridge_spool_unusable")) == ("1.0", "0.0")


def test_spool_that_is_no_database_refuses_nothing_while_the_broker_is_there(door: FullDoor) -> None:
    path = door.bridge.folder / "var" / "spool.sqlite3"
    door.bridge.stop()
    garbage = b"no database at all" * 1000
    for one in path.parent.glob("spool.sqlite3-*"):
        one.unlink()
    path.write_bytes(garbage)
    door.bridge.start()
    eventually(door.ready, LIMIT_S, "it would take reports")
    sent = {f"msg-{number}" for number in range(5)}
    for webhook_id in sent:
        body = report()
        assert post(door.port, body, signed(body, webhook_id)).status == 202
    status, text = said(door, "/readyz")
    assert (status, text.splitlines()[0]) == (200, "ready")
    assert "the spool's file cannot be used (file is not a database)" in text
    assert (figure(door, "bridge_spool_messages"), figure(door, "bridge_spool_unusable")) == ("NaN", "1.0")
    with door.without_broker():
        eventually(lambda: not door.ready(), LIMIT_S, "it says that it would take nothing")
        assert post(door.port, report()).status == 503
        assert said(door, "/readyz")[1].startswith("the queue cannot be reached, and the spool cannot be used")
    eventually(door.ready, LIMIT_S, "the broker is back")
    door.bridge.stop()
    assert path.read_bytes() == garbage
    path.unlink()  # for the look into it
    sqlite3.connect(path).executescript("CREATE TABLE messages (payload TEXT)").connection.close()
    assert door.kept() == sent
