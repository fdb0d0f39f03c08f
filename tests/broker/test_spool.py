"""The spool before a real RabbitMQ that is stopped, frozen, full or cut off: nothing is lost, and order is kept."""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.broker.embedded import payload_of
from bridge.broker.publisher import NotDurable, open_publisher
from bridge.broker.spool_store import SpoolStore
from bridge.receiver import spool as spooling
from bridge.receiver.spool import SpoolingPublisher
from bridge.receiver.spool_state import spool_state
from tests.broker.outages import Line
from tests.broker.queues import INTAKE, LIMIT_S, Broker, webhook
from tests.servers import RabbitMQ, eventually, free_port

FLOOR = 1_000_000


@pytest.fixture
def broker(amqp_url: str) -> Broker:
    """RabbitMQ with our topology."""
    made = Broker(amqp_url)
    made.declare()
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the spool lies."""
    return tmp_path / "var" / "spool.sqlite3"


@contextlib.contextmanager
def opened(url: str, path: Path, floor_bytes: int = FLOOR) -> Iterator[SpoolingPublisher]:
    """Open a publisher with a spool, as a receiver process does."""
    inner = open_publisher(url)
    publisher = SpoolingPublisher(inner, path, floor_bytes=floor_bytes)
    try:
        yield publisher
    finally:
        publisher.close()
        inner.close()


def send(publisher: SpoolingPublisher, *numbers: int) -> list[str]:
    """Publish webhooks one after the other; returns their names."""
    names = [f"w{number:03}" for number in numbers]
    for name in names:
        publisher.publish([webhook(name)], timeout_s=8)
    return names


def waiting(path: Path) -> int | None:
    return spool_state(path, floor_bytes=FLOOR).waiting


def direct(publisher: SpoolingPublisher) -> bool:
    return not publisher.spooling


def drained(broker: Broker, count: int) -> list[str]:
    """Take so many different webhooks out of the queue, several of which may share a message; all that came."""
    found: list[str] = []
    while len(set(found)) < count:
        found += broker.drained(INTAKE, 1)
    return found


def in_order(names: list[str]) -> list[str]:
    """Return names in the order they first came."""
    return list(dict.fromkeys(names))


def test_what_comes_while_the_broker_is_stopped_is_forwarded_in_order_and_once(
    broker: Broker, path: Path, rabbitmq: RabbitMQ
) -> None:
    rabbitmq.settle()
    with opened(broker.url, path) as publisher:
        eventually(lambda: direct(publisher), LIMIT_S, "it publishes directly")
        sent = send(publisher, 0)
        rabbitmq.stop()
        began = time.monotonic()
        sent += send(publisher, *range(1, 41))
        assert time.monotonic() - began < 20, "nobody waits for a broker that is known to be away"
        assert waiting(path) == 40
        oldest = spool_state(path, floor_bytes=FLOOR).oldest_at
        assert oldest is not None
        assert publisher.healthy
        rabbitmq.start()
        eventually(lambda: direct(publisher), LIMIT_S, "it publishes directly again")
        assert waiting(path) == 0
        sent += send(publisher, 41)
    assert drained(broker, len(sent)) == sent


def test_frozen_broker_costs_one_short_wait_and_loses_nothing(
    broker: Broker, path: Path, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooling, "DIRECT_S", 0.5)
    with opened(broker.url, path) as publisher:
        eventually(lambda: direct(publisher), LIMIT_S, "it publishes directly")
        rabbitmq.freeze()
        began = time.monotonic()
        sent = send(publisher, *range(20))
        took_s = time.monotonic() - began
        rabbitmq.thaw()
        assert took_s < 8, "only those that were on their way waited"
        eventually(lambda: direct(publisher), LIMIT_S, "it publishes directly again")
    # The one whose confirm did not come may be there twice: take_in knows repeats.
    found = drained(broker, len(sent))
    assert in_order(found) == sent
    assert len(found) <= len(sent) + 1


def test_full_queue_is_waited_out_on_disk(broker: Broker, path: Path, rabbitmq: RabbitMQ) -> None:
    vhost = broker.url.rpartition("/")[2]
    limit = '[{<<"max-length">>, 10}, {<<"overflow">>, <<"reject-publish">>}]'
    rabbitmq.evaluate(
        f'rabbit_policy:set(<<"{vhost}">>, <<"small">>, <<"{INTAKE}">>, {limit}, 0, <<"queues">>, <<"tests">>)'
    )
    with opened(broker.url, path) as publisher:
        eventually(lambda: direct(publisher), LIMIT_S, "it publishes directly")
        sent = send(publisher, *range(40))
        eventually(lambda: waiting(path) > 0, LIMIT_S, "the queue is full")
        found = drained(broker, len(sent))
        assert waiting(path) == 0
    assert in_order(found) == sent


def test_line_cut_in_the_middle_of_a_confirm_repeats_but_loses_nothing(
    broker: Broker, path: Path, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooling, "DIRECT_S", 0.5)
    line = Line(rabbitmq.port)
    try:
        with opened(broker.url.replace(f":{rabbitmq.port}/", f":{line.port}/"), path) as publisher:
            eventually(lambda: direct(publisher), LIMIT_S, "it publishes directly")
            line.mute.set()
            sent = send(publisher, *range(5))
            assert waiting(path) == 5
            line.cut()
            eventually(lambda: direct(publisher), LIMIT_S, "it publishes directly again")
            sent += send(publisher, 5)
    finally:
        line.close()
    found = drained(broker, len(sent))
    assert in_order(found) == sent
    assert found.count("w000") == 2, "it had arrived; only the confirm had not"


def test_what_a_dead_process_left_comes_first(broker: Broker, path: Path, rabbitmq: RabbitMQ) -> None:
    rabbitmq.settle()
    rabbitmq.stop()
    with opened(broker.url, path) as publisher:
        sent = send(publisher, *range(10))
    with opened(broker.url, path) as publisher:
        sent += send(publisher, 10)
        rabbitmq.start()
        eventually(lambda: direct(publisher), LIMIT_S, "it publishes directly")
        sent += send(publisher, 11)
    assert drained(broker, len(sent)) == sent


def test_processes_that_share_a_spool_forward_each_report_once(broker: Broker, path: Path, rabbitmq: RabbitMQ) -> None:
    rabbitmq.settle()
    rabbitmq.stop()
    with opened(broker.url, path) as one, opened(broker.url, path) as other:
        sent = [name for number in range(0, 40, 2) for name in (*send(one, number), *send(other, number + 1))]
        rabbitmq.start()
        eventually(lambda: direct(one) and direct(other), LIMIT_S, "both publish directly")
    assert drained(broker, len(sent)) == sent


def test_disk_down_to_its_floor_refuses_and_says_so(path: Path) -> None:
    nobody = f"amqp://guest:guest@127.0.0.1:{free_port()}/x"
    with opened(nobody, path, floor_bytes=1 << 60) as publisher:
        with pytest.raises(NotDurable, match="floor"):
            send(publisher, 1)
        assert not publisher.healthy
    assert waiting(path) == 0
    assert spool_state(path, floor_bytes=1 << 60).full


# --- a damaged spool ------------------------------------------------------------------------------------------------

DAMAGES = {
    "no JSON": "payload = 'damaged'",
    "other JSON": "payload = '{}'",
    "no text": "payload = CAST(x'ff00fe' AS TEXT)",
    "no text at all": "payload = x'00'",
    "no body in its data": "payload = replace(payload, 'body', 'baby')",
    "half": "payload = substr(payload, 1, length(payload) / 2)",
    "its data without the webhook": "payload = replace(payload, 'sha256', 'sha257')",
    "another type": "payload = replace(payload, 'webhook.received', 'nobody.knows')",
    "another queue": "queue = 'bridge.nowhere'",
    "no queue": "queue = CAST(x'ff' AS TEXT)",
}


def fill(path: Path, count: int, size: int = 10) -> list[str]:
    """Leave reports in the spool as a dead process does; returns their names."""
    names = [f"w{number:03}" for number in range(count)]
    with contextlib.closing(SpoolStore(path)) as store:
        store.put([(INTAKE, payload_of(webhook(name, size))) for name in names])
    return names


def execute(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        return connection.execute(statement).fetchall()


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_unreadable_report_lies_aside_whole_and_those_behind_it_go_on(broker: Broker, path: Path, damage: str) -> None:
    names = fill(path, 5)
    execute(path, f"UPDATE messages SET {damage} WHERE id IN (1, 4)")
    whole = execute(path, "SELECT id, CAST(queue AS BLOB), CAST(payload AS BLOB) FROM messages WHERE id IN (1, 4)")
    seen = spool_state(path, floor_bytes=FLOOR)
    assert (seen.waiting, seen.unreadable, seen.unusable) == (5, 2, ""), "it is known before anybody forwards"
    with opened(broker.url, path) as publisher:
        eventually(lambda: direct(publisher), LIMIT_S, "it publishes directly")
        assert publisher.healthy
        names += send(publisher, 6)
    assert drained(broker, 4) == [names[1], names[2], names[4], names[5]]
    kept = "SELECT place, CAST(queue AS BLOB), CAST(payload AS BLOB) FROM unreadable ORDER BY id"
    assert execute(path, kept) == whole, "byte for byte"
    assert all(why for (why,) in execute(path, "SELECT why FROM unreadable"))
    seen = spool_state(path, floor_bytes=FLOOR)
    assert (seen.waiting, seen.unreadable, seen.unusable) == (0, 2, "")
    assert "2 reports in the spool cannot be read" in seen.damage[0]


def test_unreadable_report_lies_aside_while_the_broker_is_away_and_nothing_is_refused(path: Path) -> None:
    fill(path, 3)
    execute(path, "UPDATE messages SET payload = 'damaged' WHERE id = 1")
    with opened(f"amqp://guest:guest@127.0.0.1:{free_port()}/x", path) as publisher:
        send(publisher, 3)
        eventually(lambda: waiting(path) == 3, LIMIT_S, "it is out of the way")
        assert publisher.healthy
    assert spool_state(path, floor_bytes=FLOOR).unreadable == 1


def ruin_all(path: Path) -> None:
    """Write other bytes over the whole file."""
    path.write_bytes(b"no database at all" * 1000)


def ruin_pages(path: Path) -> None:
    """Write other bytes over the pages that hold the reports; the first, which says what the file is, stays."""
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\x5a" * (len(whole) - 4096))


RUINS = {"all of it": ruin_all, "pages of it": ruin_pages}


@pytest.mark.parametrize("ruin", RUINS.values(), ids=RUINS)
def test_spool_that_cannot_be_used_is_kept_and_the_broker_alone_is_used(
    broker: Broker, path: Path, ruin: Callable[[Path], None]
) -> None:
    fill(path, 200, size=500)
    ruin(path)
    before = path.read_bytes()
    with opened(broker.url, path) as publisher:
        eventually(lambda: publisher._unusable and publisher.healthy, LIMIT_S, "it knows, and would take reports")
        sent = send(publisher, *range(900, 920))
        state = spool_state(path, floor_bytes=FLOOR)
        if ruin is ruin_all:
            assert state.waiting is None
            assert "cannot be used (file is not a database)" in state.damage[0]
        assert state.unusable
    assert path.read_bytes() == before, "what it holds was perhaps accepted"
    assert drained(broker, len(sent)) == sent


def test_spool_that_cannot_be_used_is_used_again_when_it_is_another(
    broker: Broker, path: Path, rabbitmq: RabbitMQ
) -> None:
    rabbitmq.settle()
    rabbitmq.stop()
    kept = path.with_name("kept.sqlite3")
    with opened(broker.url, path) as publisher:
        first = send(publisher, 1)
        assert waiting(path) == 1
        for end in ("", "-wal", "-shm"):
            path.with_name(f"{path.name}{end}").rename(f"{kept}{end}")
        ruin_all(path)
        eventually(lambda: not publisher.healthy, LIMIT_S, "it says that it can take nothing")
        with pytest.raises(NotDurable):
            publisher.publish([webhook("refused")], timeout_s=0.1)
        path.unlink()
        eventually(lambda: publisher.healthy, LIMIT_S, "it has a spool again")
        sent = send(publisher, 2, 3)
        assert waiting(path) == 2
        rabbitmq.start()
        eventually(lambda: direct(publisher), LIMIT_S, "it publishes directly")
    assert drained(broker, len(sent)) == sent
    with contextlib.closing(SpoolStore(kept)) as store:
        assert [row.message().data["webhook_id"] for row in store.waiting(10)] == first


def test_spool_that_somebody_locks_is_waited_for_and_not_passed_by(broker: Broker, path: Path) -> None:
    names = fill(path, 3)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with opened(broker.url, path) as publisher:
            began = time.monotonic()
            eventually(lambda: publisher._sent, LIMIT_S, "they are forwarded")
            # SQLite waits five seconds for a lock; then it is tried anew.
            eventually(lambda: time.monotonic() > began + 8)
            assert not direct(publisher), "they cannot be deleted yet"
            holder.execute("ROLLBACK")
            eventually(lambda: direct(publisher), LIMIT_S, "it publishes directly")
            assert not publisher._unusable
    assert drained(broker, 3) == names, "and not once more for each try to delete them"


def test_spool_that_was_never_needed_is_empty(tmp_path: Path) -> None:
    state = spool_state(tmp_path / "nothing" / "spool.sqlite3", floor_bytes=FLOOR)
    assert (state.waiting, state.oldest_at, state.full) == (0, None, False)
