"""RabbitMQ and PostgreSQL killed and started again under load, then count."""

import threading
import time

import pytest

from tests.faults.counting import Sent, check, counted, gather, send, settle
from tests.running import Running
from tests.servers import PostgreSQL, RabbitMQ, eventually

pytestmark = pytest.mark.timeout(900)  # a storm, and then the rest of every ladder

REPORTS = 80


def test_broker_and_database_killed_under_load_lose_nothing_and_tell_nothing_twice(
    stormy_full: Running, rabbitmq: RabbitMQ, postgres: PostgreSQL, capsys: pytest.CaptureFixture[str]
) -> None:
    sent, over = Sent(), threading.Event()
    sender = threading.Thread(target=_send_all, args=(stormy_full, sent, over))
    rabbitmq.settle()  # RabbitMQ 3.10 forgets what a queue confirmed that was declared a moment before the kill
    sender.start()
    eventually(lambda: len(sent.accepted) >= 10, 60, "some reports before the first fault")

    for server in (rabbitmq, postgres, rabbitmq):
        before = len(sent.accepted)
        server.kill()
        sent.kills += 1
        server.start()
        stormy_full.wait_ready()
        eventually(lambda before=before: len(sent.accepted) >= before + 5, 60, "reports after the fault")  # type: ignore[misc]

    over.set()
    sender.join()
    settle(stormy_full, sent)
    facts = gather(stormy_full)
    with capsys.disabled():
        print(counted(stormy_full, sent, facts))
    check(stormy_full, sent, facts)


def _send_all(running: Running, sent: Sent, over: threading.Event) -> None:
    for number in range(10 * REPORTS):
        if over.is_set() and len(sent.accepted) >= REPORTS:
            return
        send(running, f"R-{number}", sent)
        time.sleep(0.05)  # the rate of the load, not a wait for something
