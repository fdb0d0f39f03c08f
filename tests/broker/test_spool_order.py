"""Order of arrival when the broker fails while requests wait for it: into the spool, and out of it, in that order."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bridge.broker.messages import Message
from bridge.broker.publisher import NotDurable, Waiting, open_publisher
from bridge.broker.spool_store import SpoolStore
from bridge.receiver import spool as spooling
from bridge.receiver.spool import SpoolingPublisher
from tests.broker.outages import overtaken
from tests.broker.queues import INTAKE, LIMIT_S, Broker, webhook
from tests.servers import RabbitMQ, eventually

FLOOR = 1_000_000
SENDERS = 8


class Frozen:
    """A broker that seems well and confirms nothing: what stands at the network's edge when RabbitMQ hangs."""

    healthy = True

    def __init__(self) -> None:
        self.thawed = False
        self.begun: list[Waiting] = []

    def submit(self, waiting: Sequence[Waiting]) -> None:
        self.begun += waiting
        if self.thawed:
            for one in waiting:
                one.settle()

    def publish(self, messages: Sequence[Message], *, timeout_s: float = 5.0) -> None:
        waiting = [Waiting(message, time.monotonic() + timeout_s) for message in messages]
        self.submit(waiting)
        for one in waiting:
            one.wait()

    def close(self) -> None: ...

    def names(self) -> list[str]:
        """Return what it was given, in order."""
        return [one.message.data["webhook_id"] for one in self.begun]


@contextlib.contextmanager
def opened(inner: Frozen, path: Path) -> Iterator[SpoolingPublisher]:
    """Open a publisher with a spool that publishes directly so far."""
    publisher = SpoolingPublisher(inner, path, floor_bytes=FLOOR)
    try:
        eventually(lambda: not publisher.spooling, LIMIT_S, "it publishes directly")
        yield publisher
    finally:
        publisher.close()


class Senders:
    """Requests, a thread each."""

    def __init__(self, publisher: SpoolingPublisher) -> None:
        self._publisher = publisher
        self._threads: list[threading.Thread] = []
        self.failed: list[str] = []

    def send(self, name: str) -> None:
        """Begin a request."""
        self._threads.append(threading.Thread(target=self._send, args=(name,)))
        self._threads[-1].start()

    def _send(self, name: str) -> None:
        try:
            self._publisher.publish([webhook(name)], timeout_s=8)
        except NotDurable as error:
            self.failed.append(f"{name}: {error}")

    def join(self) -> None:
        """Wait for every answer."""
        for thread in self._threads:
            thread.join(LIMIT_S)


def spooled(path: Path) -> list[str]:
    """Return what lies in the spool, in order."""
    with contextlib.closing(SpoolStore(path)) as store:
        return [row.message().data["webhook_id"] for row in store.waiting(1000)]


def test_first_that_fails_takes_all_that_wait_along_in_the_order_they_came(tmp_path: Path) -> None:
    inner, path = Frozen(), tmp_path / "spool.sqlite3"
    with opened(inner, path) as publisher:
        senders, began = Senders(publisher), time.monotonic()
        for number, name in enumerate("ABC"):
            # A second apart: B and C would wait for a broker that is known to hang long after A has given it up.
            eventually(lambda n=number: time.monotonic() >= began + n)  # type: ignore[misc]
            senders.send(name)
            eventually(lambda n=name: n in inner.names(), LIMIT_S, f"{name} waits for the broker")  # type: ignore[misc]
        eventually(lambda: spooled(path), LIMIT_S, "the first gives up")
        senders.send("D")
        eventually(lambda: "D" in spooled(path), LIMIT_S, "D is spooled")
        senders.send("E")
        senders.join()
        took_s = time.monotonic() - began
    assert senders.failed == []
    assert spooled(path) == ["A", "B", "C", "D", "E"]
    assert took_s < spooling.DIRECT_S + 1, "nobody waits for a broker that another has given up"


def test_what_was_taken_along_is_not_sent_past_the_spool_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooling, "DIRECT_S", 0.5)
    inner, path = Frozen(), tmp_path / "spool.sqlite3"
    with opened(inner, path) as publisher:
        senders = Senders(publisher)
        for number in range(10):
            senders.send(f"w{number}")
        senders.join()
        # A confirm that comes all the same harms nobody, and wakes nobody twice.
        direct = inner.begun[:10]
        assert all(one.overdue for one in direct), "who would send it now leaves it"
        for one in direct:
            one.settle()
        inner.thawed = True
        eventually(lambda: not publisher.spooling, LIMIT_S, "it publishes directly again")
    assert senders.failed == []
    assert spooled(path) == []


@pytest.mark.parametrize("room", [True, False], ids=["room", "no room"])
def test_request_whose_spool_takes_nothing_is_refused_and_not_left_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: bool
) -> None:
    monkeypatch.setattr(spooling, "DIRECT_S", 0.3)
    inner, path = Frozen(), tmp_path / "spool.sqlite3"
    with opened(inner, path) as publisher:
        monkeypatch.setattr(publisher, "_floor_bytes", FLOOR if room else 1 << 60)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            senders, began = Senders(publisher), time.monotonic()
            for number in range(5):
                senders.send(f"w{number}")
            senders.join()
            holder.execute("ROLLBACK")
        assert len(senders.failed) == 5
        assert time.monotonic() - began < 9
        assert not publisher._under_way


# --- a real broker --------------------------------------------------------------------------------------------------


@dataclass
class Load:
    """Senders that send one report after the other, and when each began and was answered."""

    publisher: SpoolingPublisher
    spans: dict[str, tuple[float, float]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Load":
        self._threads = [threading.Thread(target=self._send, args=(n,)) for n in range(SENDERS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join(LIMIT_S)

    def _send(self, sender: int) -> None:
        number = 0
        while not self.over.wait(0.002 * sender):  # each at a pace of its own
            name, began = f"s{sender}-{number:05}", time.monotonic()
            try:
                self.publisher.publish([webhook(name)], timeout_s=8)
            except NotDurable as error:
                self.refused.append(f"{name}: {error}")
            else:
                self.spans[name] = (began, time.monotonic())
            number += 1

    def more(self, count: int) -> None:
        """Wait until so many more were answered."""
        until = len(self.spans) + count
        eventually(lambda: len(self.spans) >= until, LIMIT_S, f"{count} more are answered: {self.refused[:3]}")


def test_overtaking_is_noticed() -> None:
    spans = {"a": (0.0, 1.0), "b": (2.0, 3.0), "c": (2.5, 2.6)}
    assert overtaken(["a", "b", "c"], spans) == overtaken(["a", "c", "b"], spans) == []
    assert overtaken(["b", "a", "c"], spans) == [("a", "b")]


@pytest.mark.parametrize("strike", ["freeze", "kill", "close_connections"])
def test_reports_under_load_keep_their_order_through_an_outage(
    amqp_url: str, tmp_path: Path, rabbitmq: RabbitMQ, strike: str
) -> None:
    broker = Broker(amqp_url)
    broker.declare()
    rabbitmq.settle()
    inner = open_publisher(broker.url)
    path = tmp_path / "spool.sqlite3"
    publisher = SpoolingPublisher(inner, path, floor_bytes=FLOOR)
    try:
        with Load(publisher) as load:
            eventually(lambda: not publisher.spooling, LIMIT_S, "it publishes directly")
            for _ in range(2):
                load.more(100)
                getattr(rabbitmq, strike)()
                load.more(100)
                rabbitmq.ensure_running()
                eventually(lambda: not publisher.spooling, LIMIT_S, "it publishes directly, under load")
            load.more(100)
        eventually(lambda: not spooled(path), LIMIT_S, "all have been forwarded")
    finally:
        publisher.close()
        inner.close()
        rabbitmq.ensure_running()
    came = broker.drained(INTAKE, 1)
    order = list(dict.fromkeys(came))
    assert load.refused == []
    assert set(order) == set(load.spans), "lost 0"
    for sender in range(SENDERS):
        mine = [name for name in order if name.startswith(f"s{sender}-")]
        assert mine == sorted(mine)
    assert overtaken(order, load.spans) == []
