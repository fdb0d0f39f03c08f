"""A message in the queue is worked on until somebody says that it is done, whoever dies meanwhile."""

import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from statistics import median

import pytest
from kombu.entity import Queue

from bridge.broker.embedded import LEASE_S, QueueStore
from bridge.broker.topology import DELIVERY_LIMIT, ROUTES, connect
from tests.broker.queues import CALLBACKS, INTAKE, LIMIT_S, NOTICES, Broker, Process, names_in, notice, webhook
from tests.servers import eventually


def test_message_arrives_as_it_was_published_and_is_gone_when_acknowledged(broker: Broker) -> None:
    sent = webhook("w1")
    broker.put(sent)
    with broker.taking(INTAKE) as taking:
        (message,) = taking.wait_for(1)
        assert json.loads(message.body) == json.loads(sent.body())
        assert (message.content_type, message.headers["source"]) == ("application/json", "qlue")
        assert (message.properties["message_id"], message.properties["type"]) == (sent.id, "webhook.received")
        assert message.delivery_info["redelivered"] is False
        message.ack()
    broker.settles_at(intake=0, intake_dead=0)


def test_every_type_of_message_lands_in_the_queue_of_its_step(broker: Broker) -> None:
    with broker.publisher() as publisher:
        publisher.publish([webhook("w1"), notice(1)])
    broker.settles_at(intake=1, notices=1, callbacks=0)
    assert {route.step for route in ROUTES} == {"take_in", "notify_office", "report_back"}


def test_messages_come_in_the_order_they_were_published(broker: Broker) -> None:
    names = [f"w{number:02}" for number in range(30)]
    broker.put(*(webhook(name) for name in names))
    assert broker.drained(INTAKE, 30) == names


def test_consumer_gets_no_more_than_it_asked_for_before_it_acknowledges(broker: Broker) -> None:
    broker.put(*(webhook(f"w{number}") for number in range(5)))
    with broker.taking(INTAKE, prefetch=2) as taking:
        taking.wait_for(2)
        assert taking.nothing_more()
        taking.messages[0].ack()
        taking.wait_for(3)
        assert taking.nothing_more()


def test_what_a_consumer_holds_when_it_closes_comes_back_in_its_place(broker: Broker) -> None:
    broker.put(*(webhook(f"w{number}") for number in range(3)))
    with broker.taking(INTAKE) as taking:
        taking.wait_for(3)
    with broker.taking(INTAKE) as taking:
        again = taking.wait_for(3)
        assert taking.names() == ["w0", "w1", "w2"]
        assert [message.delivery_info["redelivered"] for message in again] == [True] * 3


def test_what_a_process_holds_when_it_is_killed_comes_back(broker: Broker) -> None:
    broker.put(*(webhook(f"w{number}") for number in range(5)))
    with Process("hold", broker.url, INTAKE, "3") as holder:
        assert holder.read(3) == ["w0", "w1", "w2"]
        with broker.taking(INTAKE) as taking:
            taking.wait_for(2)
            assert taking.nothing_more(), "the holder lives: what it holds is its own"
            holder.kill()
            killed_at = time.monotonic()
            taking.wait_for(5)
            took_s = time.monotonic() - killed_at
            assert sorted(taking.names()) == [f"w{number}" for number in range(5)]
    # Dead owners are looked for twice a second; the rest is for a busy machine.
    assert took_s < 2 or not broker.embedded


def test_rejected_message_goes_to_the_dead_letters_of_its_queue_whole(broker: Broker) -> None:
    sent = webhook("w1")
    broker.put(sent)
    with broker.taking(INTAKE) as taking:
        taking.wait_for(1)[0].reject(requeue=False)
    broker.settles_at(intake=0, intake_dead=1)
    with broker.taking(f"{INTAKE}.dead") as taking:
        (letter,) = taking.wait_for(1)
        assert json.loads(letter.body) == json.loads(sent.body())
        assert letter.properties["message_id"] == sent.id
        assert letter.delivery_info["routing_key"] == f"{INTAKE}.dead"
        letter.ack()
    broker.settles_at(intake_dead=0)


def test_requeued_message_comes_again_until_the_limit_parks_it(broker: Broker) -> None:
    broker.put(webhook("poison"), webhook("good"))
    with broker.taking(INTAKE, prefetch=1) as taking:
        deliveries = Counter[str]()
        while deliveries["good"] == 0 or deliveries["poison"] < DELIVERY_LIMIT:
            message = taking.wait_for(1)[0]
            taking.messages.clear()
            (name,) = names_in(message.body)
            deliveries[name] += 1
            message.ack() if name == "good" else message.requeue()
        while not taking.nothing_more():
            taking.messages.pop().requeue()
            deliveries["poison"] += 1
    assert (deliveries["good"], deliveries["poison"] - DELIVERY_LIMIT in (0, 1)) == (1, True)
    broker.settles_at(intake=0, intake_dead=1)


def test_message_that_kills_its_consumer_every_time_is_parked(broker: Broker) -> None:
    """A message that brings the whole process down must not do so for ever."""
    broker.put(webhook("deadly"))
    with broker.taking(INTAKE, prefetch=1) as taking:
        for _ in range(DELIVERY_LIMIT - 3):
            taking.wait_for(1)
            taking.messages.pop().requeue()
        taking.wait_for(1)  # given back by the closing
    with Process("die_holding", broker.url, INTAKE, "5") as process:
        took = int(process.rest()[-1])
    assert took in (2, 3)
    broker.settles_at(intake=0, intake_dead=1)


def test_two_processes_share_a_thousand_messages_none_twice_none_missing(broker: Broker) -> None:
    """And more, until both have had some: on a busy machine one may be quick enough to take them all."""
    names: list[str] = []
    with Process("work_off", broker.url, NOTICES) as one, Process("work_off", broker.url, NOTICES) as other:
        assert (one.read(), other.read()) == (["ready"], ["ready"])
        with broker.publisher() as publisher:

            def both_had_some_of_a_thousand() -> bool:
                fresh = range(len(names), len(names) + 100)
                publisher.publish([notice(number) for number in fresh], timeout_s=LIMIT_S)
                names.extend(map(str, fresh))
                return len(names) >= 1000 and one.has_said_more() and other.has_said_more()

            eventually(both_had_some_of_a_thousand, LIMIT_S)
        eventually(lambda: broker.depth(NOTICES) == 0, LIMIT_S)
        for process in (one, other):
            process.go()
        shares = [process.rest()[1:] for process in (one, other)]
    assert sorted(shares[0] + shares[1], key=int) == names


def test_message_reaches_a_waiting_consumer_in_less_than_fifty_milliseconds(broker: Broker) -> None:
    """The best of many rounds, so that a busy machine fails nobody: a poll of a second would never pass."""
    with broker.publisher() as publisher, broker.taking(NOTICES) as taking:
        trips: list[float] = []

        def quick() -> bool:
            started = time.monotonic()
            publisher.publish([notice(len(trips))], timeout_s=LIMIT_S)
            taking.wait_for(len(trips) + 1)
            trips.append(time.monotonic() - started)
            return len(trips) >= 9 and median(trips[-9:]) < 0.05

        eventually(quick, LIMIT_S)


def test_who_waits_is_woken_by_another_thread_and_need_not_look(
    embedded_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.broker.embedded.ELSEWHERE_S", 10 * LIMIT_S)
    path = Path(embedded_url.removeprefix("embedded://"))
    with closing(QueueStore(path)) as waiting, closing(QueueStore(path)) as other:
        assert waiting.take([INTAKE, NOTICES], 1) == []
        threading.Timer(0.1, other.put, [[(NOTICES, "{}")]]).start()
        began = time.monotonic()
        waiting.wait([INTAKE, NOTICES], 10 * LIMIT_S)
        assert time.monotonic() - began < LIMIT_S
        ((number, *_),) = waiting.take([INTAKE, NOTICES], 1)
        assert waiting.take([INTAKE, NOTICES], 1) == []
        other.release(number)
        waiting.wait([INTAKE, NOTICES], 10 * LIMIT_S)
        assert time.monotonic() - began < LIMIT_S, "what is given back wakes, too"


def test_what_another_process_puts_is_found_without_a_bell(embedded_url: str) -> None:
    path = Path(embedded_url.removeprefix("embedded://"))
    program = (
        "import sys, pathlib; from bridge.broker.embedded import QueueStore; "
        "QueueStore(pathlib.Path(sys.argv[1])).put([(sys.argv[2], '{}')])"
    )
    with closing(QueueStore(path)) as store:
        assert store.take([NOTICES], 1) == []
        subprocess.run([sys.executable, "-c", program, str(path), NOTICES], check=True, timeout=LIMIT_S)
        began = time.monotonic()
        store.wait([NOTICES], 10 * LIMIT_S)
        assert time.monotonic() - began < LIMIT_S
        assert len(store.take([NOTICES], 1)) == 1


def test_several_queues_can_be_looked_into_over_one_channel(broker: Broker) -> None:
    broker.put(notice(1))
    with connect(broker.url) as connection, connection.channel() as channel:
        assert Queue(INTAKE, channel=channel).get() is None
        assert Queue(CALLBACKS, channel=channel).get() is None
        found = eventually(Queue(NOTICES, channel=channel).get, LIMIT_S)
        assert names_in(found.body) == ["1"]


def test_declaring_again_changes_and_loses_nothing(broker: Broker) -> None:
    broker.put(webhook("w1"))
    broker.declare()
    assert broker.drained(INTAKE, 1) == ["w1"]


def test_purged_queue_is_empty(broker: Broker) -> None:
    broker.put(webhook("w1"), notice(1))
    broker.settles_at(intake=1, notices=1)
    with connect(broker.url) as connection, connection.channel() as channel:
        assert Queue(INTAKE, channel=channel).purge() == 1
    broker.settles_at(intake=0, notices=1)


def test_four_processes_that_make_the_embedded_queue_at_once_all_get_through(embedded_url: str) -> None:
    processes = [Process("open_queue", embedded_url) for _ in range(4)]
    for process in processes:
        assert process.read() == ["ready"]
    for process in processes:
        process.go()
    for process in processes:
        process.rest()
    assert [process.code for process in processes] == [0] * 4
    assert Broker(embedded_url).depth(INTAKE) == 4


def test_message_a_living_consumer_keeps_too_long_goes_to_another_and_a_late_ack_harms_nobody(
    embedded_url: str,
) -> None:
    broker = Broker(embedded_url)
    broker.put(webhook("w1"), webhook("w2"))
    with broker.taking(INTAKE, prefetch=1) as slow, broker.taking(INTAKE, prefetch=2) as other:
        (kept,) = slow.wait_for(1)
        other.wait_for(1)
        assert other.nothing_more()
        with closing(sqlite3.connect(embedded_url.removeprefix("embedded://"), timeout=30)) as file, file:
            file.execute("UPDATE messages SET taken_at = taken_at - ? WHERE id = ?", (LEASE_S + 1, kept.delivery_tag))
        other.wait_for(2)
        assert sorted(other.names()) == ["w1", "w2"]
        kept.ack()
        for message in other.messages:
            message.ack()
    assert broker.depth(INTAKE) == 0


def test_file_of_a_dead_owner_is_taken_away(embedded_url: str) -> None:
    broker = Broker(embedded_url)
    broker.put(webhook("w1"))
    with Process("hold", embedded_url, INTAKE, "1") as holder:
        holder.read()
    assert broker.drained(INTAKE, 1) == ["w1"]
    owners = Path(embedded_url.removeprefix("embedded://") + ".owners")
    assert len(list(owners.iterdir())) == 1, "only ours is left"


def test_messages_put_together_are_all_there_or_none(embedded_url: str) -> None:
    store = QueueStore(Path(embedded_url.removeprefix("embedded://")))
    with pytest.raises(ZeroDivisionError):
        store.put((INTAKE, str(1 // (2 - number))) for number in range(5))
    assert store.size(INTAKE) == 0
    store.put([(INTAKE, "1"), (NOTICES, "2")])
    assert (store.size(INTAKE), store.size(NOTICES)) == (1, 1)
    store.close()
