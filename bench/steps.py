"""`steps`: what a report costs each step, in milliseconds of CPU of one thread, alone and in batches.

    python -m bench.steps [--reports 300] [--batches 1 2 4] [--engines sqlite postgresql]

From taking in to the results of one notice and one callback written; what stands at the network's edge takes everything
at once, so SMTP and HTTP come on top, and so do threads that wait for each other. PostgreSQL's own work is not in it.
"""

import argparse
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.bridges import KEYS, OFFICERS, unhurried
from bench.common import end_in_order, save, scratch_folder, served, table
from bench.take_in import ARRIVALS, messages_of
from bridge import logs
from bridge.broker.messages import Message
from bridge.delivery.errors import Taken
from bridge.delivery.outlets import ByMail
from bridge.reports.people import Person, Role
from bridge.service import Service
from bridge.storage import deliveries, people
from bridge.storage.migrate import migrate
from consumers.lanes import by_person, by_report
from consumers.notify_office import NotifyOffice
from consumers.relay_outbox import RelayOutbox
from consumers.report_back import ReportBack
from consumers.take_in import TakeIn
from tests.servers import PostgreSQL

STEPS = ("take_in", "relay", "lanes", "notice", "callback")
WARM_UP = 20


class Edge:
    """Mail server, city and queue in one: takes whatever comes."""

    healthy = True

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def publish(self, messages: Sequence[Message], *, timeout_s: float = 5.0) -> None:  # noqa: ARG002 - Publisher's
        """See Publisher.publish."""
        self.messages.extend(messages)

    def send(self, *_: Any, **__: Any) -> Taken:
        """See Mailer.send and CityEndpoint.send."""
        return Taken()

    def close(self) -> None:
        """Nothing stays open."""


class Way:
    """The steps of one process on a new database, each timed."""

    def __init__(self, folder: Path, url: str) -> None:
        city = {"QLUE_CALLBACK_URL": "http://127.0.0.1:9/", "QLUE_CALLBACK_SECRET": "whsec_" + "QUJD" * 11}
        database = {"BRIDGE_DATABASE_URL": url} if url else {}
        env = {"BRIDGE_DATA_DIR": str(folder / "data"), **unhurried(folder), **KEYS, **city, **database}
        service = Service.from_environment(env)
        self._database, self._edge, self.spent = service.database, Edge(), Counter[str]()
        migrate(self._database)
        service.rules.prepare()
        with self._database.write() as connection:
            for name in OFFICERS:
                people.save(connection, Person(name, name.title(), Role.OFFICER, "bpsk-dki", f"{name}@bpsk.example"))
        cities: Any = dict.fromkeys(service.new_cities(), self._edge)
        outlets = {"email": ByMail(self._edge, service.settings.mail_from)}
        self._take_in = TakeIn(self._database, service.rules, ARRIVALS)
        self._relay = RelayOutbox(self._database, self._edge)
        ways, texts = service.ways, service.texts
        self._notice = NotifyOffice(self._database, service.rules, outlets, texts, service.links, ways)
        self._callback = ReportBack(self._database, cities, service.links, ways)
        self.close = service.close

    def go(self, webhooks: Sequence[dict[str, Any]]) -> None:
        """Let a batch go all the way."""
        self._timed("take_in", self._take_in.handle, webhooks)
        self._timed("relay", self._relay.relay)
        due = [{"type": one.type, "data": one.data} for one in self._edge.messages]
        self._edge.messages.clear()
        for kind, key_of, step in (("notice", by_person, self._notice), ("callback", by_report, self._callback)):
            mine = [message for message in due if message["type"] == f"{kind}.due"]
            self._timed("lanes", self._shared_out, mine, key_of)
            self._timed(kind, step.handle, mine)

    def _shared_out(self, messages: Sequence[dict[str, Any]], key_of: Callable[[Any], Any]) -> None:
        ids = [message["data"]["delivery_id"] for message in messages]
        with self._database.read() as connection:
            for row in deliveries.recipients(connection, ids):
                key_of(row)

    def _timed(self, name: str, work: Callable[..., Any], *given: Any) -> None:
        began = time.thread_time()
        work(*given)
        self.spent[name] += time.thread_time() - began


def costs(folder: Path, url: str, reports: int, batch: int) -> dict[str, float]:
    """Return milliseconds per report by step, on a new database."""
    messages = messages_of(batch, WARM_UP + reports)
    way = Way(folder, url)
    for message in messages[:WARM_UP]:
        way.go([message])
    way.spent.clear()
    for start in range(WARM_UP, len(messages), batch):
        way.go(messages[start : start + batch])
    way.close()
    return {name: way.spent[name] * 1000 / reports for name in STEPS}


def measured(options: argparse.Namespace) -> Iterator[tuple[str, int, dict[str, float]]]:
    """Yield engine, batch and costs."""
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder("steps"))
        server = served(stack, PostgreSQL(folder / "postgresql")) if "postgresql" in options.engines else None
        for engine in options.engines:
            for batch in options.batches:
                url = server.new_database() if server and engine == "postgresql" else ""
                yield engine, batch, costs(folder / f"{engine}-{batch}", url, options.reports, batch)


def main() -> None:
    """Measure, print the table, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--reports", type=int, default=300)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--engines", nargs="+", choices=("sqlite", "postgresql"), default=["sqlite", "postgresql"])
    parser.add_argument("--quick", action="store_true", help="40 reports, one and two at a time")
    options = parser.parse_args()
    if options.quick:
        options.reports, options.batches = 40, [1, 2]
    end_in_order()
    logs.configure("text", least=logging.ERROR)
    found = list(measured(options))
    rows = [
        [engine, str(batch), *(f"{spent[name]:.2f}" for name in STEPS), f"{sum(spent.values()):.2f}"]
        for engine, batch, spent in found
    ]
    print(table("steps: ms of CPU per report", ("", "batch", *STEPS, "together"), rows))
    print(f"figures: {save('steps', {'options': vars(options), 'costs': found}).name}")


if __name__ == "__main__":
    main()
