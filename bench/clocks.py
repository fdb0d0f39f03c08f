"""`clocks`: what a watcher's tick costs over very many open obligations, and how fast it catches up.

Idle tick, the query it sleeps by, and a tick with 100 due, over 10 k to 10 M open obligations; then 100 k overdue
worked off by one and by two worker processes. The reference does the same by bare SQL through psycopg: claims, locks
and writes the very same rows with `executemany`. PostgreSQL with fsync, taking turns in one run.
"""

import argparse
import logging
import multiprocessing
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from multiprocessing.synchronize import Barrier, Event
from typing import Any

import sqlalchemy as sa

from bench import escalating
from bench.common import (
    RESULTS,
    NotAsExpected,
    end_in_order,
    paired_ratio,
    save,
    scratch_folder,
    served,
    spread,
    table,
    wait_until,
)
from bench.take_in import ARRIVALS, messages_of
from bridge import logs
from bridge.reports.people import Person, Role
from bridge.rules import Rules
from bridge.storage import people
from bridge.storage import reports as stored
from bridge.storage.database import Database
from bridge.storage.migrate import migrate
from bridge.storage.tables import obligations, reports
from config.files import read_configuration
from config.settings import read_settings
from consumers.take_in import TakeIn
from consumers.watch_clocks import WatchClocks
from tests.servers import PostgreSQL
from tests.storage.many import analyze, copy_id, multiply

#: Reports really taken in, which the others are copies of.
SAMPLES = 100
#: What an open obligation takes on disk with its share of a report, indexes and write-ahead log, at most.
BYTES_EACH = 2500
OFFICE = (
    *(
        Person(name, name.title(), Role.OFFICER, "bpsk-dki", f"{name}@bpsk.example")
        for name in ("ani", "budi", "citra")
    ),
    Person("sekar", "Sekar", Role.SECRETARIAT, "bpsk-dki", "sekar@bpsk.example"),
    Person("kartika", "Kartika", Role.CHAIR, "bpsk-dki", "kartika@bpsk.example"),
    Person("darma", "Darma", Role.DINAS_HEAD, "dinas", "darma@dinas.example"),
    Person("adi", "Adi", Role.ADMIN, "dinas", "adi@kota.example"),
)
#: The acknowledge clocks fall due, each at one of the first five steps of their ladder: two warnings and three rungs.
SPREAD_OVER_STEPS = """
UPDATE obligations SET next_due = now(), step = place.at, level = greatest(0, place.at - 2) FROM (
    SELECT report_id, (row_number() OVER (ORDER BY report_id)) % 5 AS at FROM reports
) AS place WHERE place.report_id = obligations.report_id AND kind = 'acknowledge'
"""
#: Copies that have a log and deliveries from earlier: no such table is empty where something falls due.
LOGGED = 2000
#: Only the other copies: what is written for them is all there is of them.
MAKE_DUE = """
UPDATE obligations SET next_due = now() - make_interval(secs => 60 + random() * 3600) WHERE report_id IN (
    SELECT report_id FROM obligations WHERE kind = 'acknowledge' AND next_due > now()
    AND report_id BETWEEN %s AND '00000000-0000-5000-9' ORDER BY next_due LIMIT %s
) AND kind = 'acknowledge' RETURNING report_id
"""
ANY_DUE = "SELECT 1 FROM obligations WHERE next_due <= now() LIMIT 1"


def main() -> int:
    """Measure, print the tables, write the figures."""
    options = _options()
    end_in_order()
    logs.configure("text", least=logging.WARNING)
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder("clocks"))
        _enough_room(folder, max([*options.sizes, 0]))
        server = served(stack, PostgreSQL(folder / "postgres"))
        ticks = [_ticks(server, size, options.rounds) for size in options.sizes]
        caught_up = _catch_up(server, options) if options.overdue else []
    _show(ticks, caught_up)
    print(f"figures: {save('clocks', {'options': vars(options), 'ticks': ticks, 'catch_up': caught_up}).name}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 1_000_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--overdue", type=int, default=100_000, help="0: no catching up")
    parser.add_argument("--limit-s", type=float, default=400.0, help="longest catching up, in seconds")
    parser.add_argument("--quick", action="store_true", help="10 k open, 3 rounds, 2,000 overdue")
    options = parser.parse_args()
    if options.quick:
        options.sizes, options.rounds, options.overdue = [10_000], 3, 2000
    return options


def _enough_room(folder: Any, obligations_: int) -> None:
    free, needed = shutil.disk_usage(folder).free, obligations_ * BYTES_EACH + 2_000_000_000
    if free < needed:
        raise NotAsExpected(f"{needed / 1e9:.0f} GB needed in {folder}, {free / 1e9:.0f} GB free: see --sizes")


def build(server: PostgreSQL, clocks: int, *, old: bool = False) -> str:
    """Return the URL of a new database with so many obligations, two to a report, none of them due.

    All are open, and a few reports have a log; with `old` nine of ten are met, and all have one.
    """
    url = server.new_database()
    with closing(Database(url)) as database:
        migrate(database)
        rules = _rules(database)
        with database.write() as connection:
            for person in OFFICE:
                people.save(connection, person)
        TakeIn(database, rules, ARRIVALS).handle(messages_of(0, SAMPLES))
        grown = [*obligations.indexes, *reports.indexes]
        with database.write() as connection:
            connection.execute(sa.text(SPREAD_OVER_STEPS))
        WatchClocks(database, rules).tick()
        with database.write() as connection:
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '1GB'")
            for index in grown:
                index.drop(connection)
            multiply(database, connection, clocks // 2, logged=None if old else LOGGED, old=old)
            for index in grown:
                index.create(connection)
            connection.exec_driver_sql("DELETE FROM outbox")
        analyze(database)
    return url


def _rules(database: Database) -> Rules:
    settings = read_settings({"BRIDGE_DATABASE_URL": database.url, "BRIDGE_DATA_DIR": str(RESULTS / "data")})
    city = {"QLUE_CALLBACK_URL": "http://127.0.0.1:9/", "QLUE_CALLBACK_SECRET": "whsec_" + "QUJD" * 11}
    rules = Rules(database, read_configuration(settings, city).rulebook)
    rules.prepare()
    return rules


def _ticks(server: PostgreSQL, size: int, rounds: int) -> dict[str, Any]:
    """Return milliseconds, ours and bare, of idle ticks, of the next due time, and of ticks with a batch due."""
    started = time.monotonic()
    url = build(server, size)
    print(f"  {size:,} open obligations made in {time.monotonic() - started:.0f} s")
    found: dict[str, Any] = {"open": size, "idle": [], "idle_bare": [], "next_due": [], "due": [], "due_bare": []}
    with closing(Database(url)) as database, closing(escalating.connect(url)) as bare:
        watcher = WatchClocks(database, _rules(database))
        nothing = escalating.Written()
        for number in range(-3, rounds * 5):  # the first ones pay for connections and compiled statements
            samples = (
                ("idle", _ms(watcher.tick, 0)),
                ("idle_bare", _ms(lambda: escalating.tick(bare, nothing), 0)),
                ("next_due", _ms(lambda: _next_due(database))),
            )
            for name, ms in samples:
                found[name] += [ms] if number >= 0 else []
        for number in range(-1, rounds):
            ours, reference = _with_a_batch_due(watcher, bare)
            found["due"] += [ours] if number >= 0 else []
            found["due_bare"] += [reference] if number >= 0 else []
    server.drop_database(url)
    return found


def _with_a_batch_due(watcher: WatchClocks, bare: Any) -> tuple[float, float]:
    """Return the milliseconds of one tick over a batch, ours and then bare over the same one."""
    with bare.transaction():
        ids = [row[0] for row in bare.execute(MAKE_DUE, (copy_id(LOGGED + 1), escalating.BATCH)).fetchall()]
        before = escalating.read_back(bare, ids)
    ours = _ms(watcher.tick, escalating.BATCH)
    with bare.transaction():
        written = escalating.read_back(bare, ids)
    escalating.undo(bare, before, ids)
    reference = _ms(lambda: escalating.tick(bare, written), escalating.BATCH)
    escalating.undo(bare, written, ids)  # keeps the clocks moved on, and the tables as small as they were
    return ours, reference


def _next_due(database: Database) -> None:
    with database.read() as connection:
        stored.next_due(connection)


def _ms(work: Callable[[], Any], expected: int | None = None) -> float:
    started = time.perf_counter()
    done = work()
    took_ms = (time.perf_counter() - started) * 1000
    if expected is not None and done != expected:
        raise NotAsExpected(f"{done} steps fired instead of {expected}")
    return took_ms


def _catch_up(server: PostgreSQL, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return how fast one and two processes work off what is overdue, ours and bare, each on a fresh copy."""
    url = build(server, 3 * options.overdue)  # a share the guard takes for plausible
    with closing(escalating.connect(url)) as connection, connection.transaction():
        ids = [row[0] for row in connection.execute(MAKE_DUE, (copy_id(LOGGED + 1), options.overdue)).fetchall()]
    template, found = url.rpartition("/")[2], []
    for workers in (1, 2):
        copy = server.new_database(template)
        ours = _worked_off(copy, workers, _watch, options.limit_s)
        with closing(escalating.connect(copy)) as connection, connection.transaction():
            written = escalating.read_back(connection, ids)
        if (fired := sum(map(len, written.values["escalations"].values()))) != len(ids):
            raise NotAsExpected(f"{fired} escalations instead of {len(ids)}")
        server.drop_database(copy)
        copy = server.new_database(template)
        bare = _worked_off(copy, workers, _write_again, options.limit_s, written)
        server.drop_database(copy)
        found.append({"workers": workers, "ours": len(ids) / ours, "bare": len(ids) / bare})
        print(f"  {workers} at work: {len(ids) / ours:,.0f}/s ours, {len(ids) / bare:,.0f}/s bare")
    return found


def _worked_off(url: str, workers: int, work: Callable[..., None], limit_s: float, *more: Any) -> float:
    """Return the seconds until nothing is due any more."""
    forked = multiprocessing.get_context("fork")  # what was read back need not be handed over
    ready, stop = forked.Barrier(workers + 1), forked.Event()
    processes = [forked.Process(target=work, args=(url, ready, stop, *more), daemon=True) for _ in range(workers)]
    for process in processes:
        process.start()
    with closing(escalating.connect(url)) as connection:
        connection.autocommit = True
        ready.wait(60)
        started = time.monotonic()

        def done() -> bool:
            if any(process.exitcode for process in processes):
                raise NotAsExpected("a worker ended before its work was done")
            return not connection.execute(ANY_DUE).fetchone()

        wait_until(done, limit_s, "nothing is due any more")
        took_s = time.monotonic() - started
    stop.set()
    for process in processes:
        process.join(15)
        if process.exitcode != 0:
            raise NotAsExpected(f"a worker ended with {process.exitcode}")
    return took_s


def _watch(url: str, ready: Barrier, stop: Event) -> None:
    """Be a watcher: fire, seal, sleep, as `bridge work watch_clocks` does."""
    with closing(Database(url)) as database:
        watcher = WatchClocks(database, _rules(database))
        ready.wait(60)
        while not stop.is_set():
            watcher.turn()


def _write_again(url: str, ready: Barrier, stop: Event, written: escalating.Written) -> None:
    with closing(escalating.connect(url)) as connection:
        ready.wait(60)
        while not stop.is_set():
            if not escalating.tick(connection, written):
                stop.wait(0.05)


def _show(ticks: Sequence[dict[str, Any]], caught_up: Sequence[dict[str, Any]]) -> None:
    if ticks:
        base = spread(ticks[0]["idle"])[0]
        heads = [
            "open obligations",
            "idle ms",
            "÷ first",
            "bare ms",
            "next due ms",
            "100 due ms",
            "bare ms",
            "bare ÷ ours",
        ]
        rows = [_tick_row(one, base) for one in ticks]
        print(table("clocks: one tick, median (to reach: idle flat within 2)", heads, rows))
    if caught_up:
        rows = [
            [str(one["workers"]), f"{one['ours']:,.0f}", f"{one['bare']:,.0f}", f"{one['ours'] / one['bare']:.2f}"]
            for one in caught_up
        ]
        heads = ["workers", "ours /s", "bare /s", "ratio"]
        print(table("clocks: escalations per second, catching up (to reach: 0.5, and 10,000/s)", heads, rows))


def _tick_row(one: dict[str, Any], base: float) -> list[str]:
    idle, due = spread(one["idle"])[0], spread(one["due"])[0]
    ratio, least, most = paired_ratio(one["due_bare"], one["due"])
    figures = [idle, idle / base, spread(one["idle_bare"])[0], spread(one["next_due"])[0]]
    return [
        f"{one['open']:,}",
        *(f"{figure:.2f}" for figure in figures),
        *(f"{figure:.0f}" for figure in (due, spread(one["due_bare"])[0])),
        f"{ratio:.2f} ({least:.2f}–{most:.2f})",
    ]


if __name__ == "__main__":
    sys.exit(main())
