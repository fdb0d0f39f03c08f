"""Step 4 with company: several watchers and people who acknowledge at the same moment, in real threads."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from bridge.reports.clocks import Kind
from bridge.storage import escalations
from consumers.watch_clocks import WatchClocks
from tests.servers import eventually
from tests.storage.crashes import LIMIT_S, Standstill, Working
from tests.storage.office import ANI, Office

REPORTS = 200
ACKNOWLEDGED = 120
#: Two steps due at once, the others within three seconds of real time.
LADDER = [
    (0, "next_member", "both"),
    (0, "role:secretariat", "notify"),
    (1, "role:chair", "notify"),
    (2, "role:dinas_head", "notify"),
    (3, "role:admin", "notify"),
]


def test_four_watchers_and_three_ackers_never_escalate_after_an_ack_nor_out_of_order(office: Office) -> None:
    office.use({Kind.ACKNOWLEDGE: LADDER})
    tickets = office.receive_many(REPORTS)
    stop = threading.Event()
    watchers = [Working(lambda: _watch(office, stop)) for _ in range(4)]
    shares = [random.sample(tickets[n:ACKNOWLEDGED:3], ACKNOWLEDGED // 3) for n in range(3)]
    ackers = [Working(partial(_acknowledge, office, share)) for share in shares]
    for thread in (*watchers, *ackers):
        thread.start()
    after_ack = {ticket: count for acker in ackers for ticket, count in acker.result().items()}
    eventually(lambda: _exhausted(office) == REPORTS - ACKNOWLEDGED, LIMIT_S, "every other ladder has ended")
    stop.set()
    fired = sum(watcher.result() for watcher in watchers)

    log = office.rows("escalations")
    assert fired == len(log)
    assert {ticket: count for ticket, count in _counts(log).items() if ticket in after_ack} == +Counter(after_ack)
    assert {n for ticket, n in _counts(log).items() if ticket not in after_ack} == {len(LADDER)}
    _in_order(log)
    _agree(office, log)


def _watch(office: Office, stop: threading.Event) -> int:
    watcher, fired = WatchClocks(office.database, office.rules), 0
    while not stop.is_set():
        fired += watcher.tick()
    return fired


def _acknowledge(office: Office, tickets: list[str]) -> dict[str, int]:
    """Acknowledge each twice; returns how often each had escalated by then."""
    seen = {}
    for ticket in tickets:
        assert office.casework.acknowledge(ticket, ANI).changed
        seen[ticket] = len(office.rows("escalations", ticket=ticket))
        assert not office.casework.acknowledge(ticket, ANI).changed
    return seen


def _exhausted(office: Office) -> int:
    return len(office.rows("obligations", kind="acknowledge", state="running", next_due=None))


def _counts(log: list[dict[str, Any]]) -> Counter[str]:
    return Counter(row["ticket"] for row in log)


def _in_order(log: list[dict[str, Any]]) -> None:
    """In the order they were written, every report's steps rise by one, and nothing fired early."""
    for ticket in _counts(log):
        mine = [row for row in log if row["ticket"] == ticket]
        assert [row["step"] for row in mine] == list(range(1, len(mine) + 1)), ticket
        assert all(row["fired_at"] >= row["due_at"] for row in mine), ticket


def _agree(office: Office, log: list[dict[str, Any]]) -> None:
    """Log, clocks, reports, deliveries and outbox say the same."""
    by_report = Counter(row["report_id"] for row in log)
    steps = {row["report_id"]: row["step"] for row in office.rows("obligations", kind="acknowledge")}
    assert +Counter(steps) == by_report
    deliveries = office.rows("deliveries")
    told = Counter((row["report_id"], row["step"], person) for row in log for person in row["told"])
    assert (
        Counter((d["report_id"], d["step"], d["recipient"]) for d in deliveries if d["event"] == "escalation") == told
    )
    assert Counter(d["report_id"] for d in deliveries if d["purpose"] == "callback") == {
        row["report_id"]: row["sequence"] for row in office.rows("reports")
    }
    left = sorted(message["data"]["delivery_id"] for message in office.rows("outbox"))
    assert left == sorted(d["delivery_id"] for d in deliveries)
    with office.database.write() as connection:
        assert escalations.seal(office.database, connection) == len(log)
        assert escalations.verify(connection).broken_at is None


def _while_held(office: Office, first: Callable[[], Any], second: Callable[[], Any]) -> Any:
    """Hold the first in front of its commit; start the second, which must not get past it; returns the second's answer."""
    with Standstill(office.database, "COMMIT", first) as held:
        other = held.meanwhile(second)
        held.go_on()
        return other.result()


def test_nothing_fires_while_an_ack_is_being_written(office: Office) -> None:
    ticket = office.receive("Q-1")
    office.pass_time(3600)
    fired = _while_held(office, lambda: office.casework.acknowledge(ticket, ANI), office.watcher.tick)
    assert (fired, office.tick_all(), office.rows("escalations")) == (0, 0, [])


def test_ack_that_comes_while_a_step_fires_waits_for_it_and_ends_the_ladder(office: Office) -> None:
    ticket = office.receive("Q-1")
    office.pass_time(3600)
    result = _while_held(office, office.watcher.tick, lambda: office.casework.acknowledge(ticket, ANI))
    assert (result.changed, office.tick_all()) == (True, 0)
    assert [row["step"] for row in office.rows("escalations")] == [1]
    assert office.report(ticket).sequence == 3, "received, escalated, acknowledged"


def test_second_watcher_does_not_wait_for_the_first(office: Office) -> None:
    office.receive_many(2)
    office.pass_time(3600)
    office.watcher.most = 1
    second = WatchClocks(office.database, office.rules)
    fired = _while_held(office, office.watcher.tick, second.tick)
    assert fired == 1
    assert [row["step"] for row in office.rows("escalations")] == [1, 1]
