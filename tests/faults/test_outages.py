"""RabbitMQ stopped, frozen, full, and cut off in the middle of confirms while reports keep coming, then counted.

The way in as it ships (`bridge receive`, RabbitMQ, `bridge work take_in`, PostgreSQL): the city is answered 202 all
the while, and everything that was answered so is in the database, once.
"""

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
import requests
import sqlalchemy as sa

from bridge.storage.tables import history, reports, set_aside, webhooks
from tests.broker.outages import Line, overtaken
from tests.running import Running
from tests.servers import CityReceiver, Mail, PostgreSQL, RabbitMQ, eventually, new_folder

pytestmark = pytest.mark.timeout(600)

#: Senders, and the pause of each between an answer and the next report, in seconds: some 50 reports a second.
SENDERS, PAUSE_S = 6, 0.1
#: Reports that must have been accepted in each outage before it is mended, and after it before the next.
DURING, BETWEEN = 120, 60
LIMIT_S = 90


@dataclass
class WayIn(Running):
    """Only what a report needs to get from the city into the database; the receiver reaches the broker by a line."""

    line_port: int = 0

    def parts(self) -> list[str]:
        return ["receive", "desk", "work take_in"]

    def start_part(self, part: str) -> None:
        usual, port = self.env, urlsplit(self.broker_url).port
        if part == "receive":
            self.env = usual | {"BRIDGE_BROKER_URL": self.broker_url.replace(f":{port}/", f":{self.line_port}/")}
        super().start_part(part)
        self.env = usual

    def spooled(self) -> int:
        """Return how many reports wait on the receiver's disk."""
        text = requests.get(f"http://127.0.0.1:{self.port}/metrics", timeout=30).text
        found = re.search(r"^bridge_spool_messages (\S+)", text, re.MULTILINE)
        return int(float(found[1])) if found else 0

    def stored(self) -> int:
        """Return how many reports are in the database."""
        with self.service.database.read() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(reports)).scalar_one()


@dataclass
class Sent:
    """What the city knows: which reports were answered 202, with which ticket, and every answer's status."""

    accepted: dict[str, str] = field(default_factory=dict)
    spans: dict[str, tuple[float, float]] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0

    def keep_sending(self, running: WayIn, sender: int, over: threading.Event) -> None:
        """Send a report, wait for its answer, and so on; the answer and its time are noted."""
        number = 0
        while not over.wait(PAUSE_S):  # the rate of the load, not a wait for something
            number += 1
            external_id, began = f"O-{sender}-{number}", time.monotonic()
            try:
                self.accepted[external_id] = running.send(external_id).json()["ticket"]
                self.spans[external_id] = (began, time.monotonic())
                self.statuses["202"] += 1
            except (requests.RequestException, AssertionError) as error:
                self.statuses[repr(error)[:100]] += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)


@pytest.fixture
def line(rabbitmq: RabbitMQ) -> Iterator[Line]:
    rabbitmq.ensure_running()
    made = Line(rabbitmq.port)
    yield made
    made.close()


@pytest.fixture
def way_in(rabbitmq: RabbitMQ, postgres: PostgreSQL, line: Line) -> Iterator[WayIn]:
    """The way in on real servers; whatever the test does to them is mended at the end."""
    postgres.ensure_running()
    folder = new_folder("outages")
    mail, city = Mail(folder / "mail"), CityReceiver()
    mail.start()
    city.start()
    urls = postgres.new_database(), rabbitmq.new_vhost()
    running = WayIn(folder, "full", *urls, mail, city, line_port=line.port)
    running.start()
    yield running
    rabbitmq.ensure_running()
    running.stop()
    city.stop()
    mail.stop()


def test_outages_of_the_broker_under_load_lose_nothing_and_store_nothing_twice(
    way_in: WayIn, line: Line, rabbitmq: RabbitMQ, capsys: pytest.CaptureFixture[str]
) -> None:
    outages: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
        "stopped": (rabbitmq.stop, rabbitmq.start),
        "frozen": (rabbitmq.freeze, rabbitmq.thaw),
        "cut in the middle of confirms": (line.mute.set, line.cut),
        "full": (lambda: _fill(way_in, rabbitmq), lambda: way_in.start_part("work take_in")),
    }
    sent, over = Sent(), threading.Event()
    senders = [threading.Thread(target=sent.keep_sending, args=(way_in, n, over)) for n in range(SENDERS)]
    rabbitmq.settle()  # RabbitMQ 3.10 forgets what a queue confirmed that was declared a moment before the kill
    for sender in senders:
        sender.start()
    said = []
    try:
        for name, (strike, mend) in outages.items():
            _accepted(sent, BETWEEN)
            before, sent.slowest_s = len(sent.accepted), 0.0
            strike()
            eventually(lambda: way_in.spooled() > 0, LIMIT_S, f"{name}: reports wait on the disk")
            _accepted(sent, DURING)
            during = len(sent.accepted) - before
            mend()
            eventually(lambda: way_in.spooled() == 0, LIMIT_S, f"{name}: all have been forwarded")
            said.append(f"{name}: {during} answered 202 meanwhile, the slowest in {sent.slowest_s:.1f} s")
        _accepted(sent, BETWEEN)
    finally:
        over.set()
        for sender in senders:
            sender.join()
    eventually(lambda: way_in.stored() >= len(sent.accepted), LIMIT_S, "every accepted report is stored")

    stored = _stored(way_in)
    lost = {external_id for external_id, ticket in sent.accepted.items() if ticket not in stored[external_id]}
    twice = {external_id for external_id, tickets in stored.items() if len(tickets) > 1}
    with capsys.disabled():
        total = sum(sent.statuses.values())
        print("", *said, sep="\n")
        print(
            f"sent {total}, answered {dict(sent.statuses)}, stored {len(stored)}, lost {len(lost)}, twice {len(twice)}"
        )
    assert set(sent.statuses) == {"202"}, "the city never notices"
    assert (lost, twice) == (set(), set())
    assert set(stored) == set(sent.accepted)
    assert _rows(way_in) == {"webhooks": len(stored), "begun": len(stored), "set aside": 0}


def test_reports_are_in_the_database_in_the_order_they_came_through_a_frozen_broker(
    way_in: WayIn, rabbitmq: RabbitMQ, capsys: pytest.CaptureFixture[str]
) -> None:
    sent, over = Sent(), threading.Event()
    senders = [threading.Thread(target=sent.keep_sending, args=(way_in, n, over)) for n in range(SENDERS)]
    for sender in senders:
        sender.start()
    try:
        for _ in range(2):
            _accepted(sent, BETWEEN)
            rabbitmq.freeze()
            eventually(lambda: way_in.spooled() > 0, LIMIT_S, "reports wait on the disk")
            _accepted(sent, DURING)
            rabbitmq.thaw()
            eventually(lambda: way_in.spooled() == 0, LIMIT_S, "all have been forwarded")
        _accepted(sent, BETWEEN)
    finally:
        over.set()
        for sender in senders:
            sender.join()
    eventually(lambda: way_in.stored() >= len(sent.accepted), LIMIT_S, "every accepted report is stored")
    order = _in_order(way_in)
    late = overtaken(order, sent.spans)
    with capsys.disabled():
        print(f"\n{len(order)} stored, {len(late)} after one that was sent when they had been answered")
    assert set(order) == set(sent.accepted)
    assert late == []


def _in_order(way_in: WayIn) -> list[str]:
    """Return the city's own ids in the order the reports were taken in."""
    begun = sa.select(reports.c.external_id).join(history, history.c.report_id == reports.c.report_id)
    with way_in.service.database.read() as connection:
        found = connection.execute(begun.where(history.c.event == "received").order_by(history.c.id))
        return [external_id for (external_id,) in found]


def _accepted(sent: Sent, more: int) -> None:
    before = len(sent.accepted)
    eventually(lambda: len(sent.accepted) >= before + more, LIMIT_S, f"{more} more are accepted: {sent.statuses}")


def _fill(way_in: WayIn, rabbitmq: RabbitMQ) -> None:
    """Let nobody take anything out of a queue that holds no more than ten."""
    vhost = way_in.broker_url.rpartition("/")[2]
    limit = '[{<<"max-length">>, 10}, {<<"overflow">>, <<"reject-publish">>}]'
    policy = f'<<"{vhost}">>, <<"small">>, <<"bridge.intake">>, {limit}, 0, <<"queues">>, <<"tests">>'
    rabbitmq.evaluate(f"rabbit_policy:set({policy})")
    way_in.kill("work take_in")


def _stored(way_in: WayIn) -> dict[str, list[str]]:
    """Return the tickets in the database by the city's own id."""
    found: dict[str, list[str]] = {}
    with way_in.service.database.read() as connection:
        for external_id, ticket in connection.execute(sa.select(reports.c.external_id, reports.c.ticket)):
            found.setdefault(external_id, []).append(ticket)
    return found


def _rows(way_in: WayIn) -> dict[str, int]:
    """Return what else is there: as many webhooks and beginnings as reports, if nothing came twice."""
    counted = {
        "webhooks": sa.select(sa.func.count()).select_from(webhooks),
        "begun": sa.select(sa.func.count()).select_from(history).where(history.c.event == "received"),
        "set aside": sa.select(sa.func.count()).select_from(set_aside),
    }
    with way_in.service.database.read() as connection:
        return {name: connection.execute(statement).scalar_one() for name, statement in counted.items()}
