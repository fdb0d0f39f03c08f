"""Step 2: what must leave leaves, in order, and is forgotten only when the queue has it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from bridge.broker.embedded import QueueStore
from bridge.broker.messages import Message
from bridge.broker.publisher import EmbeddedPublisher, NotDurable
from bridge.storage import outbox
from bridge.storage.changes import enqueue
from bridge.storage.database import Database, DatabaseAway, Wakeups
from consumers.relay_outbox import RelayOutbox
from tests.servers import eventually
from tests.storage.crashes import LIMIT_S, Standstill, Working, survives_every_crash, together
from tests.storage.office import Office


class Broker:
    """The network's edge: takes messages, or does what it is told to instead."""

    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self.taken: list[str] = []
        self.healthy = True
        self.before = before

    def publish(self, messages: Sequence[Message], *, timeout_s: float = 5.0) -> None:
        """Take them all."""
        self.before()
        self.taken += [message.data["delivery_id"] for message in messages]

    def close(self) -> None:
        """Nothing to close."""


def _refuse() -> None:
    raise NotDurable("no confirm from the queue in time")


def _enqueue(office: Office, *names: str, in_s: float = -1.0) -> None:
    with office.database.write() as connection:
        at = office.database.now(connection) + timedelta(seconds=in_s)
        rows = [{"type": "notice.due", "data": {"delivery_id": name}, "available_at": at} for name in names]
        enqueue(office.database, connection, rows)


def _waiting(office: Office) -> list[str]:
    return [row["data"]["delivery_id"] for row in office.rows("outbox")]


def test_messages_leave_in_order_and_are_forgotten(office: Office) -> None:
    names = [f"n{number:03}" for number in range(450)]
    _enqueue(office, *names)
    broker = Broker()
    relay = RelayOutbox(office.database, broker)
    assert [relay.relay() for _ in range(4)] == [200, 200, 50, 0]
    assert (broker.taken, _waiting(office)) == (names, [])


def test_message_that_is_due_earlier_leaves_earlier_whenever_it_was_written(office: Office) -> None:
    _enqueue(office, "later", in_s=-1)
    _enqueue(office, "earlier", in_s=-60)
    broker = Broker()
    RelayOutbox(office.database, broker).relay()
    assert broker.taken == ["earlier", "later"]


def test_messages_are_still_in_the_outbox_while_the_queue_has_not_confirmed(office: Office) -> None:
    _enqueue(office, "a", "b")
    seen: list[list[str]] = []
    RelayOutbox(office.database, Broker(lambda: seen.append(_waiting(office)))).relay()
    assert (seen, _waiting(office)) == ([["a", "b"]], [])


def test_messages_the_queue_did_not_confirm_stay_and_leave_later(office: Office) -> None:
    _enqueue(office, "a", "b")
    broker = Broker(_refuse)
    relay = RelayOutbox(office.database, broker)
    for _ in range(3):
        with pytest.raises(NotDurable):
            relay.relay()
    assert _waiting(office) == ["a", "b"]
    broker.before = lambda: None
    assert (relay.relay(), broker.taken, _waiting(office)) == (2, ["a", "b"], [])


def test_message_waits_for_its_time(office: Office) -> None:
    _enqueue(office, "now")
    _enqueue(office, "in an hour", in_s=3600)
    broker = Broker()
    relay = RelayOutbox(office.database, broker)
    assert (relay.relay(), relay.relay(), broker.taken) == (1, 0, ["now"])
    office.pass_time(3601)
    assert (relay.relay(), broker.taken) == (1, ["now", "in an hour"])


def test_death_between_confirm_and_delete_repeats_messages_and_loses_none(office: Office) -> None:
    names = ["a", "b", "c"]
    _enqueue(office, *names)
    broker = Broker()
    relay = RelayOutbox(office.database, broker)

    def still_there() -> None:
        assert _waiting(office) == names

    survives_every_crash(office.database, relay.relay, still_there)
    assert set(broker.taken) == set(names)
    assert len(broker.taken) > 3, "it died at least once after the confirm"
    assert _waiting(office) == []


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_two_relays_share_the_work_without_waiting_for_each_other(office: Office) -> None:
    names = [f"n{number:03}" for number in range(300)]
    _enqueue(office, *names)
    second = Broker()
    first = Broker(lambda: office_relayed.append(RelayOutbox(office.database, second).relay()))
    office_relayed: list[int] = []
    assert RelayOutbox(office.database, first).relay() == 200
    assert office_relayed == [100]
    assert (first.taken, second.taken) == (names[:200], names[200:])
    assert _waiting(office) == []


def test_relays_that_run_at_once_lose_nothing(office: Office) -> None:
    names = [f"n{number:04}" for number in range(600)]
    brokers = [Broker() for _ in range(3)]
    done = threading.Event()

    def relay(broker: Broker) -> None:
        step = RelayOutbox(office.database, broker)
        while step.relay() or not done.is_set():
            pass

    def fill() -> None:
        for start in range(0, 600, 30):
            _enqueue(office, *names[start : start + 30])
        eventually(lambda: not _waiting(office), LIMIT_S)
        done.set()

    together(fill, *(lambda b=broker: relay(b) for broker in brokers))
    taken = [name for broker in brokers for name in broker.taken]
    assert set(taken) == set(names)
    # On SQLite nobody holds rows while waiting for the queue, so two relays may both send one; one is started there.
    assert office.database.is_sqlite or len(taken) == len(names)


def test_messages_arrive_in_the_embedded_queue_in_order(office: Office, tmp_path: Path) -> None:
    names = [f"n{number:03}" for number in range(50)]
    _enqueue(office, *names)
    publisher = EmbeddedPublisher(tmp_path / "queue.sqlite3")
    RelayOutbox(office.database, publisher).relay()
    publisher.close()
    store = QueueStore(tmp_path / "queue.sqlite3")
    taken = store.take(["bridge.notices"], 100)
    assert [name for _, _, payload, _ in taken for name in names if f'\\"{name}\\"' in payload] == names
    store.close()


def test_relay_sends_what_is_written_while_it_waits(office: Office) -> None:
    broker = Broker()
    relay = RelayOutbox(office.database, broker)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            relay.turn()

    thread = Working(work)
    thread.start()
    for number in range(5):
        _enqueue(office, f"n{number}")
        eventually(lambda n=number: len(broker.taken) > n, LIMIT_S)  # type: ignore[misc]
    stop.set()
    thread.result()
    relay.close()
    assert broker.taken == [f"n{number}" for number in range(5)]


@pytest.fixture
def wakeups(database: Database) -> Iterator[Wakeups]:
    """Waits for the outbox; it has had its first answer."""
    made = Wakeups(database)
    made.wait(0.01)
    yield made
    made.close()


def test_new_message_wakes_who_waits_long_before_the_limit(office: Office, wakeups: Wakeups) -> None:
    waiter = Working(lambda: wakeups.wait(10 * LIMIT_S))
    waiter.start()
    eventually(lambda: waiter.is_alive())
    _enqueue(office, "a")
    waiter.result()


def test_message_written_before_the_wait_begins_is_noticed(office: Office, wakeups: Wakeups) -> None:
    _enqueue(office, "a")
    waiter = Working(lambda: wakeups.wait(10 * LIMIT_S))
    waiter.start()
    waiter.result()


def test_waiting_in_vain_ends_at_its_limit(wakeups: Wakeups) -> None:
    wakeups.wait(0.05)


def test_uncommitted_message_wakes_nobody_and_is_not_sent(office: Office) -> None:
    broker = Broker()
    relay = RelayOutbox(office.database, broker)
    with Standstill(office.database, "COMMIT", lambda: _enqueue(office, "a")) as held:
        if not office.database.is_sqlite:
            assert relay.relay() == 0
        held.go_on()
    assert (relay.relay(), broker.taken) == (1, ["a"])


def test_relay_of_a_database_that_is_away_says_so(tmp_path: Path) -> None:
    away = Database("postgresql+psycopg://postgres@127.0.0.1:1/nothing")
    with pytest.raises(DatabaseAway):
        RelayOutbox(away, Broker()).relay()
    with pytest.raises(DatabaseAway):
        Wakeups(away).wait(0.1)
    away.close()


def test_depth_and_next_time_tell_what_waits(office: Office) -> None:
    _enqueue(office, "now")
    _enqueue(office, "later", in_s=3600)
    with office.database.read() as connection:
        assert outbox.depth(connection) == 2
        due, later = sorted(row["available_at"] for row in office.rows("outbox"))
        assert outbox.next_at(connection, due) == later
        assert outbox.next_at(connection, later) is None, "what is due waits for nothing"
