"""`take_in`: reports stored, routed, assigned, clocks opened, history and outbox written, per second, one worker.

Against (a) the very same rows inserted by bare psycopg `executemany` in batches of the same size, and (b) our own
one-by-one mode. All on PostgreSQL with fsync, alternating in one run.
"""

import argparse
import hashlib
import json
import logging
import random
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from bench.common import RESULTS, end_in_order, paired_ratio, save, scratch_folder, served, spread, table
from bridge import logs
from bridge.arrivals import Arrivals
from bridge.reports.people import Person, Role
from bridge.rules import Rules
from bridge.simulation.complaints import complaint
from bridge.storage import people
from bridge.storage.database import Database
from bridge.storage.migrate import migrate
from config.files import read_configuration
from config.settings import read_settings
from consumers.take_in import TakeIn
from tests.servers import PostgreSQL

#: What one take_in writes, parents first.
TABLES = ("reports", "webhooks", "obligations", "history", "deliveries", "outbox")
BATCH = 100


def main() -> int:
    """Run the rounds, print the table, write the figures."""
    options = _options()
    end_in_order()
    logs.configure("text", least=logging.WARNING)
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder("take-in"))
        server = served(stack, PostgreSQL(folder / "postgres"))
        ours, one_by_one, bare = [], [], []
        for number in range(options.rounds):
            messages = messages_of(number, options.reports)
            worked, rate = _ours(server.new_database(), messages, BATCH)
            ours.append(rate)
            bare.append(_bare(worked, server.new_database(), options.reports))
            few = messages[: max(100, options.reports // 10)]
            one_by_one.append(_ours(server.new_database(), few, 1)[1])
            print(f"  round {number + 1}: {rate:,.0f} ours, {bare[-1]:,.0f} bare, {one_by_one[-1]:,.0f} one by one")
    _show(ours, bare, one_by_one)
    path = save("take_in", {"options": vars(options), "ours": ours, "bare": bare, "one_by_one": one_by_one})
    print(f"figures: {path.name}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--reports", type=int, default=5000)
    parser.add_argument("--quick", action="store_true", help="one round of 1,000")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.reports = 1, 1000
    return options


ARRIVALS = Arrivals.under(b"t" * 32)


def messages_of(round_number: int, count: int) -> list[dict[str, Any]]:
    """Return decoded `webhook.received` messages, as the runtime hands them to the step."""
    rng, now = random.Random(round_number), datetime.now(UTC)
    found = []
    for number in range(count):
        event = {"type": "report.submitted", "timestamp": now.isoformat(), "data": complaint(rng, number, now)}
        event["data"]["id"] = f"B-{round_number}-{number}"  # type: ignore[index]
        body = json.dumps(event).encode()
        message = ARRIVALS.sealed("qlue", f"m-{round_number}-{number}", "", now, hashlib.sha256(body).hexdigest(), body)
        found.append({"id": message.id, "type": message.type, "data": {**message.data, "received_at": now}})
    return found


def _ours(url: str, messages: list[dict[str, Any]], batch: int) -> tuple[str, float]:
    database = Database(url)
    migrate(database)
    settings = read_settings({"BRIDGE_DATABASE_URL": url, "BRIDGE_DATA_DIR": str(RESULTS / "data")})
    city = {"QLUE_CALLBACK_URL": "http://127.0.0.1:9/", "QLUE_CALLBACK_SECRET": "whsec_" + "QUJD" * 11}
    rules = Rules(database, read_configuration(settings, city).rulebook)
    rules.prepare()
    with database.write() as connection:
        for name in ("ani", "budi", "citra"):
            people.save(connection, Person(name, name, Role.OFFICER, "bpsk-dki", f"{name}@bpsk.example"))
    step = TakeIn(database, rules, ARRIVALS)
    step.handle(messages[:batch])  # the first batch pays for connections and compiled statements
    started = time.monotonic()
    for start in range(batch, len(messages), batch):
        step.handle(messages[start : start + batch])
    rate = (len(messages) - batch) / (time.monotonic() - started)
    database.close()
    return url, rate


def _bare(source_url: str, target_url: str, reports: int) -> float:
    """Insert the rows that are in `source_url` into an equal, empty database, batch by batch."""
    target = Database(target_url)
    migrate(target)
    target.close()
    with psycopg.connect(_plain(source_url)) as source, psycopg.connect(_plain(target_url)) as connection:
        copied = {name: _rows(source, name) for name in TABLES}
        batches = reports // BATCH
        started = time.monotonic()
        for number in range(batches):
            with connection.transaction(), connection.cursor() as cursor:
                for statement, rows in copied.values():
                    per_batch = len(rows) // batches
                    cursor.executemany(statement, rows[number * per_batch : (number + 1) * per_batch])
        return reports / (time.monotonic() - started)


def _rows(source: psycopg.Connection[Any], name: str) -> tuple[str, list[tuple[Any, ...]]]:
    """Return the insert statement of a table and its rows, by report."""
    # Children in the order of their parents, so that a batch holds whole reports.
    order = "" if name == "outbox" else "ORDER BY report_id"
    with source.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {name} {order}")
        columns = [column.name for column in cursor.description or ()]
        rows = cursor.fetchall()
    kept = [place for place, column in enumerate(columns) if column != "id"]
    values = [tuple(Jsonb(row[i]) if isinstance(row[i], dict | list) else row[i] for i in kept) for row in rows]
    marks = ", ".join(["%s"] * len(kept))
    return f"INSERT INTO {name} ({', '.join(columns[i] for i in kept)}) VALUES ({marks})", values


def _plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")


def _show(ours: list[float], bare: list[float], one_by_one: list[float]) -> None:
    rows = []
    for name, reference, goal in (("bare executemany", bare, "0.4"), ("one by one", one_by_one, "5")):
        ratio, least, most = paired_ratio(ours, reference)
        rates = [f"{spread(ours)[0]:,.0f}", f"{spread(reference)[0]:,.0f}"]
        rows.append([name, *rates, f"{ratio:.2f}", f"{least:.2f}–{most:.2f}", goal])
    heads = ["reference", "ours /s", "reference /s", "ratio", "spread", "to reach"]
    print(table("take_in: reports per second, one worker, PostgreSQL", heads, rows))


if __name__ == "__main__":
    sys.exit(main())
