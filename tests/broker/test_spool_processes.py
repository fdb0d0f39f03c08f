"""Several receiver processes over one spool: what one has answered, none of them overtakes."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.broker.embedded import payload_of
from bridge.broker.spool_store import SpoolStore
from bridge.broker.spool_way import DIRECT, HANDOVER, SPOOLING, Way
from bridge.receiver import spool as spooling
from bridge.receiver.spool import SpoolingPublisher
from tests.broker.outages import Line, overtaken
from tests.broker.queues import INTAKE, LIMIT_S, Broker, Process, names_in, webhook
from tests.broker.test_spool_order import FLOOR, Frozen, Senders, opened
from tests.servers import RabbitMQ, eventually


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the spool lies."""
    return tmp_path / "spool.sqlite3"


@contextlib.contextmanager
def store(path: Path) -> Iterator[SpoolStore]:
    """Open the spool as one more process."""
    with contextlib.closing(SpoolStore(path)) as opened:
        yield opened


def put(into: SpoolStore, *names: str) -> None:
    into.put([(INTAKE, payload_of(webhook(name))) for name in names])


def test_way_is_one_for_all_and_free_only_when_nothing_waits(path: Path) -> None:
    with store(path) as one, store(path) as other:
        assert (one.way.now, other.way.now) == (DIRECT, DIRECT)
        put(one, "A", "B")
        assert other.way.now == SPOOLING
        other.remove([other.waiting(1)[0].row_id])
        assert (other.end(), one.way.now) == (False, SPOOLING)
        other.remove([other.waiting(1)[0].row_id])
        assert (other.end(), one.way.now) == (True, DIRECT)


def test_who_comes_in_late_to_a_handover_is_behind_and_turns_the_others_back(path: Path) -> None:
    with store(path) as one, store(path) as other:
        put(one, "A")
        other.way.hand_over()
        put(one, "B")
        assert (one.way.now, other.end()) == (HANDOVER, False)
        other.remove([row.row_id for row in other.waiting(2)])
        assert other.end()
        put(one, "C")  # decided when it was not over
        assert other.way.now == SPOOLING


@pytest.mark.parametrize("left", [0, 1], ids=["nothing waits", "something waits"])
@pytest.mark.parametrize("stale", [DIRECT, SPOOLING, HANDOVER])
def test_whatever_a_power_cut_left_of_the_way_what_waits_comes_first(path: Path, left: int, stale: int) -> None:
    inner = Frozen()
    inner.thawed = True
    with store(path) as before:
        put(before, *["A"] * left)
    path.with_name(f"{path.name}.way").write_bytes(bytes([stale]))
    publisher = SpoolingPublisher(inner, path, floor_bytes=FLOOR)
    try:
        publisher.publish([webhook("B")], timeout_s=8)
        eventually(lambda: not publisher.spooling, LIMIT_S, "it publishes directly")
    finally:
        publisher.close()
    assert inner.names() == ["A"] * left + ["B"]


def test_what_comes_to_one_goes_behind_what_another_has_spooled(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooling, "DIRECT_S", 0.3)
    monkeypatch.setattr(spooling, "FORWARD_S", 0.5)
    hangs, works = Frozen(), Frozen()
    works.thawed = True
    with opened(hangs, path) as one, opened(works, path) as other:
        for name in "ACEG":
            one.publish([webhook(name)], timeout_s=8)
            other.publish([webhook(chr(ord(name) + 1))], timeout_s=8)
        eventually(lambda: len(works.names()) >= 8, LIMIT_S, "who can forwards all")
    assert list(dict.fromkeys(works.names())) == list("ABCDEFGH")


def test_who_died_in_the_middle_of_a_handover_holds_nobody_back(path: Path) -> None:
    inner = Frozen()
    with opened(inner, path) as publisher:
        inner.healthy = False
        Way(path).hand_over()
        senders, began = Senders(publisher), time.monotonic()
        for number in range(10):
            senders.send(f"w{number}")
        senders.join()
        took_s = time.monotonic() - began
        assert senders.failed == []
        assert publisher.spooling
        assert took_s < spooling.HANDOVER_S + 2, "once, not each"


class Crowd:
    """Threads that fill a spool, each with a store of its own, and one that empties it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.answered = [0, 0]
        self.gone: set[int] = set()
        self._fillers = [threading.Thread(target=self._fill, args=(which,)) for which in (0, 1)]
        self._emptier = threading.Thread(target=self._empty)
        for thread in (*self._fillers, self._emptier):
            thread.start()

    def _fill(self, which: int) -> None:
        with store(self._path) as mine:
            for number in range(150):
                put(mine, f"{which}-{number}")
                self.answered[which] = number + 1

    def _empty(self) -> None:
        with store(self._path) as mine:
            while self.filling or mine.waiting(1):
                rows = mine.waiting(10)
                self.gone.update(row.row_id for row in rows)
                mine.remove([row.row_id for row in rows])
                mine.end()

    @property
    def filling(self) -> bool:
        return any(thread.is_alive() for thread in self._fillers)

    def join(self) -> None:
        self._emptier.join(LIMIT_S)


def test_nothing_answered_waits_when_the_way_is_free_whoever_puts_and_takes(path: Path) -> None:
    """The rule of order, looked at from outside many thousand times."""
    crowd, way, looked, broken = Crowd(path), Way(path), 0, []
    while crowd.filling:
        before = sum(crowd.answered)  # by now so many had been answered
        if way.now == DIRECT:
            looked += 1
            if len(crowd.gone) < before:
                broken.append((before, len(crowd.gone)))
    crowd.join()
    assert looked > 0
    assert broken == []
    assert (sum(crowd.answered), len(crowd.gone), way.now) == (300, 300, DIRECT)


# --- processes and a real broker ------------------------------------------------------------------------------------


class Receivers:
    """Processes that send, each with its own connection, and what they say of each report."""

    def __init__(self, path: Path, urls: list[str]) -> None:
        self.spans: dict[str, tuple[float, float]] = {}
        self.refused: list[str] = []
        self._processes = [Process("send_through_spool", url, str(path), str(n)) for n, url in enumerate(urls)]
        self._readers = [threading.Thread(target=self._read, args=(one,)) for one in self._processes]
        for reader in self._readers:
            reader.start()

    def _read(self, process: Process) -> None:
        while line := process.read()[0]:
            name, began, answered, error = json.loads(line)
            if error:
                self.refused.append(f"{name}: {error}")
            else:
                self.spans[name] = (began, answered)

    def more(self, count: int) -> None:
        """Wait until each process has had so many more answered."""
        until = [len(self._of(number)) + count for number in range(len(self._processes))]
        eventually(
            lambda: all(len(self._of(number)) >= least for number, least in enumerate(until)),
            LIMIT_S,
            f"{count} more are answered: {self.refused[:3]}",
        )

    def _of(self, number: int) -> list[str]:
        return [name for name in list(self.spans) if name.startswith(f"{number}-")]

    def end(self) -> None:
        """Let them send no more, and end."""
        for process in self._processes:
            process.go()
        for reader in self._readers:
            reader.join(LIMIT_S)
        assert [process.ended() for process in self._processes] == [0] * len(self._processes)

    def kill(self) -> None:
        for process in self._processes:
            process.kill()


def cut_off(_: RabbitMQ, line: Line) -> None:
    line.shut.set()
    line.cut()


def mend(rabbitmq: RabbitMQ, line: Line) -> None:
    rabbitmq.ensure_running()
    line.shut.clear()
    if line.mute.is_set():
        line.cut()


def all_that_came(broker: Broker) -> list[str]:
    """Return what lies in the queue, in order; one consumer takes it all, for what it leaves behind loses its place."""
    count, found = broker.depth(INTAKE), list[str]()
    with broker.taking(INTAKE) as taking:
        for _ in range(count):
            found += names_in(taking.next().body)
        assert taking.nothing_more()
    return list(dict.fromkeys(found))


STRIKES: dict[str, Callable[[RabbitMQ, Line], None]] = {
    "freeze": lambda rabbitmq, _: rabbitmq.freeze(),
    "kill": lambda rabbitmq, _: rabbitmq.kill(),
    "cut one off": cut_off,
    "hold one's confirms back": lambda _, line: line.mute.set(),
}


@pytest.mark.parametrize("strike", STRIKES)
def test_reports_sent_to_two_processes_keep_their_order_through_outages(
    amqp_url: str, path: Path, rabbitmq: RabbitMQ, strike: str
) -> None:
    broker = Broker(amqp_url)
    broker.declare()
    rabbitmq.settle()
    line = Line(rabbitmq.port)
    receivers = Receivers(path, [amqp_url, amqp_url.replace(f":{rabbitmq.port}/", f":{line.port}/")])
    way = Way(path)
    try:
        receivers.more(1)
        for _ in range(2):
            eventually(lambda: way.now == DIRECT, LIMIT_S, "they publish directly again, under load")
            receivers.more(40)
            STRIKES[strike](rabbitmq, line)
            eventually(lambda: way.now != DIRECT, LIMIT_S, "they spool")
            receivers.more(40)
            mend(rabbitmq, line)
        eventually(lambda: way.now == DIRECT, LIMIT_S, "they publish directly again, under load")
        receivers.more(40)
        receivers.end()
    finally:
        receivers.kill()
        rabbitmq.ensure_running()
        line.close()
    order = all_that_came(broker)
    assert receivers.refused == []
    assert set(order) == set(receivers.spans), "lost 0"
    assert overtaken(order, receivers.spans) == []
