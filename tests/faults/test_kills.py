"""SIGKILL at random under load, then count: nothing accepted is lost, nothing is told twice, nobody is overlooked."""

import itertools
import random
import threading
import time

import pytest

from tests.faults.counting import Sent, acknowledge_some, check, counted, gather, send, settle
from tests.running import Running

#: How long reports are sent while processes are killed, in seconds.
STORM_S = 45.0
pytestmark = pytest.mark.timeout(900)  # a storm, and then the rest of every ladder

REPORTS = 240


def test_random_kills_under_load_lose_nothing_and_tell_nothing_twice(
    stormy: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = _storm(stormy, random.Random(8311))

    settle(stormy, sent)

    facts = gather(stormy)
    with capsys.disabled():
        print(counted(stormy, sent, facts))
    assert _enough(sent)
    check(stormy, sent, facts)


def _storm(running: Running, rng: random.Random) -> Sent:
    sent = Sent()
    over = threading.Event()
    officers = threading.Thread(target=acknowledge_some, args=(running, sent, over, random.Random(1)))
    killer = threading.Thread(target=_kill_at_random, args=(running, sent, over, rng))
    officers.start()
    killer.start()
    for number in itertools.count():
        # A busy machine takes long to start what was killed, and the city finds nobody: then it goes on.
        if number >= REPORTS and (_enough(sent) or not killer.is_alive()):
            break
        send(running, f"K-{number}", sent)
        time.sleep(STORM_S / REPORTS)  # the rate of the load, not a wait for something
    over.set()
    killer.join()
    officers.join()
    return sent


def _enough(sent: Sent) -> bool:
    """Return whether it was a storm, and about something."""
    return sent.kills >= 5 and len(sent.accepted) >= REPORTS // 4


def _kill_at_random(running: Running, sent: Sent, over: threading.Event, rng: random.Random) -> None:
    while not over.wait(rng.uniform(0.5, 2.5)):
        part = rng.choice(running.parts())
        running.kill(part)
        sent.kills += 1
        over.wait(rng.uniform(0, 0.3))
        running.start_part(part)
        if part in ("up", "receive"):
            running.wait_ready()  # a city that finds nobody for long proves nothing
