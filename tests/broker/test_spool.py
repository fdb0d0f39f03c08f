"""The spool before a real RabbitMQ that is stopped, frozen, full or cut off: nothing is lost, and order is kept."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.broker.embedded import QueueStore
from bridge.broker.publisher import NotDurable, open_publisher
from bridge.receiver import spool as spooling
from bridge.receiver.spool import SpoolingPublisher, spool_state
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


def waiting(path: Path) -> int:
    return spool_state(path, floor_bytes=FLOOR).waiting


def direct(publisher: SpoolingPublisher) -> bool:
    return not publisher._spooling.is_set()


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


class Cut:
    """A way to the broker on which its answers, and so its confirms, can be held back before the line is cut."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.mute = threading.Event()
        self._lines: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def cut(self) -> None:
        """Close every line; new ones work."""
        lines, self._lines = self._lines, []
        for line in lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()
        self.mute.clear()

    def close(self) -> None:
        """Close for good."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _serve(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
                server = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                return
            self._lines += [client, server]
            threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(65536):
                if not (answers and self.mute.is_set()):
                    sink.sendall(content)


def test_line_cut_in_the_middle_of_a_confirm_repeats_but_loses_nothing(
    broker: Broker, path: Path, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooling, "DIRECT_S", 0.5)
    line = Cut(rabbitmq.port)
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


def test_forwarder_outlives_what_it_cannot_read_and_goes_on_when_it_is_gone(broker: Broker, path: Path) -> None:
    store = QueueStore(path)
    store.put([(INTAKE, "damaged")])
    with opened(broker.url, path) as publisher:
        sent = send(publisher, 1)
        assert waiting_rows(store) == 2, "nothing overtakes it, nothing is thrown away"
        store.remove([store.peek(INTAKE, 1)[0][0]])
        eventually(lambda: direct(publisher), LIMIT_S, "it publishes directly")
    store.close()
    assert drained(broker, 1) == sent


def waiting_rows(store: QueueStore) -> int:
    return len(store.peek(INTAKE, 10))


def test_spool_that_was_never_needed_is_empty(tmp_path: Path) -> None:
    state = spool_state(tmp_path / "nothing" / "spool.sqlite3", floor_bytes=FLOOR)
    assert (state.waiting, state.oldest_at, state.full) == (0, None, False)
