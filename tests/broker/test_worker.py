"""The runtime around a step: what is done is acknowledged, what must wait waits, what cannot be done is set aside."""

import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bridge.broker.messages import Message
from bridge.broker.publisher import NotDurable
from bridge.broker.topology import DELIVERY_LIMIT
from bridge.storage.database import Conflict, DatabaseAway
from consumers.runtime import DeadLetter, DeadLetterWorker, LoopWorker, QueueWorker, SharingWorker, TryLater
from tests.broker.queues import INTAKE, LIMIT_S, NOTICES, Broker, notice, webhook
from tests.servers import RabbitMQ, eventually

#: How long a worker may take to end, on a busy machine: without load it is half a second.
SOON_S = 5


class Step:
    """A step that notes what it was given, and then does what the test says."""

    def __init__(self, most: int = 1, then: Callable[[list[int]], None] = lambda _: None) -> None:
        self.most = most
        self.then = then
        self.calls: list[list[int]] = []
        self.done: list[int] = []

    def handle(self, messages: Sequence[dict[str, Any]]) -> None:
        """Note the numbers of the notices; they are done unless `then` raises."""
        numbers = [int(str(message["data"]["delivery_id"])[-12:]) for message in messages]
        self.calls.append(numbers)
        self.then(numbers)
        self.done += numbers


class Workers:
    """Workers in threads, told to stop at the end."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.stop = threading.Event()
        self.threads: list[threading.Thread] = []

    def start(self, step: Any, kind: type[QueueWorker] = QueueWorker, queue: str = NOTICES) -> None:
        """Start one more."""
        thread = threading.Thread(target=kind(self.broker.url, [queue], step, self.stop).run)
        self.threads.append(thread)
        thread.start()

    def end(self) -> float:
        """Tell all to stop; returns how many seconds they took."""
        self.stop.set()
        told_at = time.monotonic()
        for thread in self.threads:
            thread.join(LIMIT_S)
            assert not thread.is_alive()
        self.threads.clear()
        return time.monotonic() - told_at

    def alive(self) -> bool:
        """Tell whether none has died."""
        return all(thread.is_alive() for thread in self.threads)


@pytest.fixture
def workers(broker: Broker) -> Iterator[Workers]:
    """Workers over the queue."""
    made = Workers(broker)
    yield made
    made.end()


def _raise(error: Exception) -> None:
    raise error


def test_done_messages_are_acknowledged_in_order(broker: Broker, workers: Workers) -> None:
    broker.put(*(notice(number) for number in range(20)))
    step = Step()
    workers.start(step)
    eventually(lambda: len(step.done) == 20, LIMIT_S)
    workers.end()
    assert step.done == list(range(20))
    broker.settles_at(notices=0, notices_dead=0)


def test_many_waiting_messages_are_handed_over_together_up_to_the_most(broker: Broker, workers: Workers) -> None:
    broker.put(*(notice(number) for number in range(25)))
    step = Step(most=10)
    workers.start(step)
    eventually(lambda: len(step.done) == 25, LIMIT_S)
    assert max(map(len, step.calls)) == 10
    assert sorted(step.done) == list(range(25))


@pytest.mark.parametrize(
    "error", [TryLater("db"), DatabaseAway("gone"), Conflict("taken"), NotDurable("frozen")], ids=repr
)
def test_message_is_kept_and_asked_again_while_the_world_is_away(
    broker: Broker, workers: Workers, error: Exception
) -> None:
    broker.put(notice(1))
    step = Step()
    step.then = lambda _: _raise(error) if len(step.calls) <= 4 else None
    workers.start(step)
    eventually(lambda: step.done == [1], LIMIT_S)
    workers.end()
    assert len(step.calls) == 5
    broker.settles_at(notices=0, notices_dead=0)


def test_waiting_for_the_world_is_not_counted_against_the_message(broker: Broker, workers: Workers) -> None:
    """However often it is asked again: only what a message does to its step parks it."""
    broker.put(notice(1))
    step = Step(then=lambda _: _raise(TryLater("db")))
    for _ in range(3):
        round_ = Workers(broker)
        calls = len(step.calls)
        round_.start(step)
        eventually(lambda before=calls: len(step.calls) >= before + 3, LIMIT_S)  # type: ignore[misc]
        round_.end()
    step.then = lambda _: None
    workers.start(step)
    eventually(lambda: step.done == [1], LIMIT_S)


def test_message_that_makes_its_step_fail_ends_among_the_dead_letters_and_the_others_go_on(
    broker: Broker, workers: Workers
) -> None:
    broker.put(*(notice(number) for number in range(5)))
    step = Step(then=lambda numbers: _raise(ValueError("poison")) if 2 in numbers else None)
    workers.start(step)
    broker.settles_at(notices=0, notices_dead=1)
    workers.end()
    assert sorted(step.done) == [0, 1, 3, 4]
    assert next(numbers for numbers in step.calls if 2 in numbers) == [2]
    assert sum(2 in numbers for numbers in step.calls) - DELIVERY_LIMIT in (0, 1)


def test_message_that_conflicts_for_ever_is_set_aside_and_the_others_go_on(broker: Broker, workers: Workers) -> None:
    """What no other transaction can have caused is the message's own fault: it must not block its queue."""
    broker.put(*(notice(number) for number in range(4)))
    step = Step(most=4, then=lambda numbers: _raise(Conflict("ticket")) if 2 in numbers else None)
    workers.start(step)
    broker.settles_at(notices=0, notices_dead=1)
    workers.end()
    assert sorted(step.done) == [0, 1, 3]


def test_one_poison_of_a_hundred_is_found_by_halving_and_set_aside_alone(broker: Broker, workers: Workers) -> None:
    with broker.publisher() as publisher:
        publisher.publish([notice(number) for number in range(100)], timeout_s=LIMIT_S)
    broker.settles_at(notices=100)
    step = Step(most=100, then=lambda numbers: _raise(ValueError("poison")) if 37 in numbers else None)
    workers.start(step)
    broker.settles_at(notices=0, notices_dead=1)
    workers.end()
    assert Counter(step.done) == Counter(n for n in range(100) if n != 37)
    assert broker.drained(f"{NOTICES}.dead", 1) == ["37"]
    assert len(step.calls) < 100, "halving, not one by one"


@dataclass(frozen=True)
class Raw(Message):
    """A message with any text for a body."""

    text: str = ""

    def body(self) -> str:
        """Return the text."""
        return self.text


UNREADABLE = {
    "nothing": "",
    "no json": '{"id": ',
    "no object": "[]",
    "another schema": '{"id": "1", "type": "notice.due", "timestamp": "2026-11-23T10:00:00Z", "data": {"x": 1}}',
    "another type": '{"id": "1", "type": "notice.never", "timestamp": "2026-11-23T10:00:00Z", "data": {}}',
    "a field too many": json.dumps({**json.loads(notice(1).body()), "more": 1}),
    "deeper than Python reads": "[" * 50_000,
}


def test_what_cannot_be_read_goes_to_the_dead_letters_at_once_and_stops_nobody(
    broker: Broker, workers: Workers
) -> None:
    broker.put(*(Raw("notice.due", {}, text=text) for text in UNREADABLE.values()), notice(7))
    step = Step(most=4)
    workers.start(step)
    eventually(lambda: step.done == [7], LIMIT_S)
    broker.settles_at(notices=0, notices_dead=len(UNREADABLE))
    assert workers.alive()
    workers.end()
    with broker.taking(f"{NOTICES}.dead") as taking:
        letters = taking.wait_for(len(UNREADABLE))
        found = [letter.body if isinstance(letter.body, str) else bytes(letter.body).decode() for letter in letters]
        assert sorted(found) == sorted(UNREADABLE.values()), "whole"


def test_dead_letters_are_handed_over_as_they_lay_in_their_queue(broker: Broker, workers: Workers) -> None:
    sent = [Raw("notice.due", {}, text="nonsense"), webhook("w1")]
    broker.put(*sent)
    for queue in (NOTICES, INTAKE):
        with broker.taking(queue) as taking:
            taking.wait_for(1)[0].reject(requeue=False)
    letters: list[DeadLetter] = []

    class Keep:
        most = 10

        def handle(self, messages: Sequence[dict[str, Any]]) -> None:
            letters.extend(message["data"] for message in messages)

    for queue in (f"{NOTICES}.dead", f"{INTAKE}.dead"):
        workers.start(Keep(), DeadLetterWorker, queue)
    eventually(lambda: len(letters) == 2, LIMIT_S)
    assert {(one.queue, one.message_id, one.body) for one in letters} == {
        (f"{NOTICES}.dead", sent[0].id, b"nonsense"),
        (f"{INTAKE}.dead", sent[1].id, sent[1].body().encode()),
    }
    workers.end()
    broker.settles_at(notices_dead=0, intake_dead=0)


def test_idle_worker_stops_soon_when_told(workers: Workers) -> None:
    workers.start(Step())
    eventually(workers.alive, LIMIT_S)
    assert workers.end() < SOON_S


def test_worker_that_waits_for_the_world_stops_soon_and_gives_the_messages_back(
    broker: Broker, workers: Workers
) -> None:
    broker.put(*(notice(number) for number in range(5)))
    step = Step(most=5, then=lambda _: _raise(TryLater("db")))
    workers.start(step)
    eventually(lambda: len(step.calls) >= 5, LIMIT_S)
    assert workers.end() < SOON_S
    assert sorted(map(int, broker.drained(NOTICES, 5))) == list(range(5))
    assert step.done == []


def test_worker_that_waits_for_a_broker_that_is_away_stops_soon(tmp_path: Path) -> None:
    (tmp_path / "queue.sqlite3").mkdir()
    for url in ("amqp://guest:guest@127.0.0.1:1//", f"embedded://{tmp_path}/queue.sqlite3"):
        away = Workers(Broker(url))
        away.start(Step())
        eventually(away.alive, LIMIT_S)
        assert away.end() < SOON_S + 10


def test_worker_goes_on_by_itself_after_the_embedded_queue_was_out_of_order(embedded_url: str) -> None:
    broker = Broker(embedded_url)
    broker.put(notice(1))
    workers, step = Workers(broker), Step()
    workers.start(step)
    eventually(lambda: step.done == [1], LIMIT_S)
    with closing(sqlite3.connect(embedded_url.removeprefix("embedded://"), timeout=30)) as file:
        file.execute("ALTER TABLE messages RENAME TO away")
        started = time.monotonic()
        eventually(lambda: time.monotonic() - started > 1, LIMIT_S)
        assert workers.alive()
        file.execute("DROP TABLE IF EXISTS messages")
        file.execute("ALTER TABLE away RENAME TO messages")
    broker.put(notice(2))
    eventually(lambda: step.done == [1, 2], LIMIT_S)
    workers.end()


def test_worker_goes_on_by_itself_after_rabbitmq_closed_its_connection(amqp_url: str, rabbitmq: RabbitMQ) -> None:
    broker = Broker(amqp_url)
    broker.declare()
    broker.put(notice(1))
    workers, step = Workers(broker), Step()
    workers.start(step)
    eventually(lambda: step.done == [1], LIMIT_S)
    rabbitmq.close_connections()
    broker.put(notice(2))
    eventually(lambda: step.done == [1, 2], LIMIT_S)
    workers.end()


def test_loop_waits_out_what_passes_and_stops_when_told() -> None:
    stop, turns = threading.Event(), []

    def turn() -> None:
        turns.append(1)
        if len(turns) < 4:
            raise DatabaseAway("gone")
        stop.set()

    LoopWorker("loop", turn, stop).run()
    assert len(turns) == 4


def test_loop_ends_with_an_error_nobody_foresaw() -> None:
    """So that the process ends and is started anew, instead of living on without this step."""
    with pytest.raises(ZeroDivisionError):
        LoopWorker("loop", lambda: _raise(ZeroDivisionError()), threading.Event()).run()


class Sharing(Step):
    """A step whose messages are a share each; the shares in `held` do not end, those in `failing` fail."""

    def __init__(self) -> None:
        super().__init__(most=10)
        self.held = set[int]()
        self.failing = set[int]()
        self.away = 0

    def give(self, messages: Sequence[dict[str, Any]]) -> list["Part"]:
        """Share them out, message by message; the number 99 needs nothing."""
        if self.away:
            self.away -= 1
            raise DatabaseAway("gone")
        return [part for message in messages if (part := Part([message])).number != 99]

    def ends(self, share: "Part") -> bool:
        """Tell whether it is done."""
        if share.number in self.failing:
            raise ValueError("poison")
        if share.number in self.held:
            return False
        self.done.append(share.number)
        return True


@dataclass
class Part:
    """A share of one message."""

    messages: list[dict[str, Any]]
    watched: bool = False

    @property
    def number(self) -> int:
        """Return the notice's number."""
        return int(str(self.messages[0]["data"]["delivery_id"])[-12:])


def test_share_that_takes_long_keeps_nothing_back_but_its_own_message(broker: Broker, workers: Workers) -> None:
    broker.put(*(notice(number) for number in (1, 2, 3, 99)))
    step = Sharing()
    step.held = {2}
    workers.start(step, SharingWorker)
    eventually(lambda: sorted(step.done) == [1, 3], LIMIT_S)
    broker.put(notice(4))
    eventually(lambda: sorted(step.done) == [1, 3, 4], LIMIT_S)
    workers.end()
    broker.settles_at(notices=1, notices_dead=0)


def test_share_that_was_not_done_when_the_worker_ended_comes_again(broker: Broker, workers: Workers) -> None:
    broker.put(notice(1))
    step = Sharing()
    step.held = {1}
    workers.start(step, SharingWorker)
    time.sleep(0.3)
    workers.end()
    assert step.done == []
    again = Workers(broker)
    step.held.clear()
    again.start(step, SharingWorker)
    eventually(lambda: step.done == [1], LIMIT_S)
    broker.settles_at(notices=0, notices_dead=0)
    again.end()


def test_share_that_fails_is_handled_alone_and_parked_if_it_fails_again(broker: Broker, workers: Workers) -> None:
    broker.put(*(notice(number) for number in (1, 2, 3)))
    step = Sharing()
    step.failing = {2}
    step.then = lambda numbers: _raise(ValueError("poison")) if 2 in numbers else None
    workers.start(step, SharingWorker)
    broker.settles_at(notices=0, notices_dead=1)
    workers.end()
    assert sorted(step.done) == [1, 3]
    assert {number for call in step.calls for number in call} == {2}


def test_messages_that_cannot_be_shared_out_are_handled_when_the_world_is_back(
    broker: Broker, workers: Workers
) -> None:
    broker.put(notice(1))
    step = Sharing()
    step.away = 1
    workers.start(step, SharingWorker)
    eventually(lambda: step.done == [1], LIMIT_S)
    assert step.calls == [[1]]
    workers.end()
    broker.settles_at(notices=0, notices_dead=0)
