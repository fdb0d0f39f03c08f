"""`recompute`: a holiday is decreed while reports are open. How long until everybody knows which deadlines move, and
until they have moved; and how long somebody who acknowledges meanwhile waits.

On PostgreSQL with fsync. Each report has two running clocks, some with steps that have fired; a decree of three days
off in the week ahead moves nearly all of them. Rounds alternate: it is decreed, it is taken back.
"""

import argparse
import logging
import multiprocessing
import random
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from multiprocessing.connection import Connection as Pipe
from typing import Any

import sqlalchemy as sa

from bench.common import RESULTS, end_in_order, percentile, save, scratch_folder, served, spread, table
from bridge import logs
from bridge.casework import Casework
from bridge.recomputing import Recomputing
from bridge.reports.calendars import WorkingCalendar
from bridge.reports.clocks import ON_RECEIPT, Obligation, Policy, advanced, start_clock
from bridge.reports.moves import Actor
from bridge.reports.people import Person, Role
from bridge.reports.recompute import CalendarChange
from bridge.reports.report import Escalation, Report
from bridge.reports.rulebook import Rulebook
from bridge.reports.states import Status
from bridge.reports.tickets import report_id_for, ticket_for
from bridge.rules import Rules
from bridge.storage import people
from bridge.storage.database import Database
from bridge.storage.migrate import migrate
from bridge.storage.rows import escalation_row, obligation_row, report_row
from bridge.storage.tables import escalations, obligations, reports
from config.calendars import calendar_from, definition_of
from config.files import read_configuration
from config.settings import read_settings
from tests.servers import PostgreSQL

OFFICE, SOURCE, KEY = "bpsk-dki", "qlue", b"t" * 32
#: What the goals say, in seconds, and milliseconds for who acknowledges.
PREVIEW_S, APPLY_S, WAIT_MS = 5.0, 20.0, 100.0
#: Acknowledgements a second while clocks move: a whole city's.
ACKS_PER_S = 20
CHUNK = 2000


def main() -> int:
    """Run the rounds, print the table, write the figures."""
    options = _options()
    end_in_order()
    logs.configure("text", least=logging.ERROR)
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder("recompute"))
        url = served(stack, PostgreSQL(folder / "postgres")).new_database()
        database = Database(url)
        stack.callback(database.close)
        migrate(database)
        began = time.monotonic()
        _fill(database, _book(url, decreed=False), options.reports)
        print(f"  {options.reports:,} reports with two clocks each, in {time.monotonic() - began:.0f} s")
        quiet = _while_acknowledging(url, options.reports, lambda: time.sleep(5.0))[1]
        rounds = [_round(database, options.reports, number) for number in range(options.rounds)]
    _show(options.reports, quiet, rounds)
    path = save("recompute", {"options": vars(options), "acknowledged_quiet_ms": quiet, "rounds": rounds})
    print(f"figures: {path.name}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--reports", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="two rounds of 10,000")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.reports = 2, 10_000
    return options


def _round(database: Database, count: int, number: int) -> dict[str, Any]:
    rules = Rules(database, _book(database.url, decreed=number % 2 == 0))
    rules.prepare()
    work, change = Recomputing(database, rules), CalendarChange(rules.book)
    began = time.monotonic()
    shown = work.preview(change, most=50)
    preview_s = time.monotonic() - began
    apply_s, waits = _while_acknowledging(
        database.url,
        count,
        lambda: work.apply(change, reason="SKB cuti bersama", actor=Actor("cli:bench")),
    )
    assert work.preview(change).counts.clocks == 0, "something was left"
    print(f"  round {number + 1}: {shown.counts.reports:,} move; preview {preview_s:.1f} s, apply {apply_s:.1f} s")
    return {"preview_s": preview_s, "apply_s": apply_s, "acknowledged_ms": waits, "counts": vars(shown.counts)}


# --- reports ----------------------------------------------------------------------------------------------------------


def _book(url: str, *, decreed: bool) -> Rulebook:
    """Return the shipped configuration; `decreed`: with three more days off in the week ahead."""
    settings = read_settings({"BRIDGE_DATABASE_URL": url, "BRIDGE_DATA_DIR": str(RESULTS / "data")})
    book = read_configuration(settings, {}).rulebook
    return replace(book, calendars={name: _decree(c) for name, c in book.calendars.items()}) if decreed else book


def _decree(calendar: WorkingCalendar) -> WorkingCalendar:
    today, extra = datetime.now(UTC).date(), dict[date, str]()
    ahead = (today + timedelta(days=days) for days in range(1, 30))
    for day in [day for day in ahead if calendar.spans_on(day)][:3]:
        extra[day] = "cuti bersama"
    changed = replace(calendar, days_off={**calendar.days_off, **extra})
    return calendar_from(calendar.name, definition_of(changed))


def _fill(database: Database, book: Rulebook, count: int) -> None:
    rules = Rules(database, book)
    rules.prepare()
    with database.write() as connection:
        people.save(connection, Person("ani", "Ani", Role.OFFICER, OFFICE, "ani@bpsk.example"))
    rng, now = random.Random(1), datetime.now(UTC)
    for start in range(0, count, CHUNK):
        made = [_report(rng, number, book, now) for number in range(start, min(start + CHUNK, count))]
        with database.write() as connection:
            connection.execute(sa.insert(reports), [report_row(report) for report, _, _ in made])
            connection.execute(sa.insert(obligations), [obligation_row(o) for _, owed, _ in made for o in owed])
            fired = [escalation_row(line) for _, _, lines in made for line in lines]
            if fired:
                connection.execute(sa.insert(escalations), fired)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")


def _report(
    rng: random.Random, number: int, book: Rulebook, now: datetime
) -> tuple[Report, list[Obligation], list[Escalation]]:
    """Return a report of the last six days whose clocks fired what fell due since."""
    at = now - timedelta(seconds=rng.uniform(0, 6 * 86400))
    external_id = f"R-{number}"
    report = Report(
        report_id=report_id_for(SOURCE, external_id),
        ticket=ticket_for(KEY, SOURCE, external_id),
        source=SOURCE,
        external_id=external_id,
        status=Status.RECEIVED,
        cycle=1,
        office=OFFICE,
        policy="default",
        title=f"Keluhan {number}",
        description="Klaim ditolak tanpa alasan tertulis.",
        category="ASURANSI",
        language="id",
        reporter={"name": "Siti"},
        business={"name": "PT Asuransi"},
        location={},
        attachments=(),
        amount_idr=None,
        reported_at=at,
        received_at=at,
        event_at=at,
        routing=("asuransi",),
        assignee="ani",
    )
    calendar, owed, lines = book.calendar_for(OFFICE), [], []
    for kind in ON_RECEIPT:
        policy = book.policies["default"][kind]
        clock = start_clock(report.report_id, policy, calendar, cycle=1, now=at)
        clock, fired = _fired(report, clock, policy, calendar, now)
        owed.append(clock)
        lines += fired
    return report, owed, lines


def _fired(
    report: Report, clock: Obligation, policy: Policy, calendar: WorkingCalendar, now: datetime
) -> tuple[Obligation, list[Escalation]]:
    """Return the clock after what fell due until now, and the log of that."""
    lines = []
    while clock.next_due is not None and clock.next_due <= now:
        step = policy.steps[clock.step]
        lines.append(
            Escalation(
                report_id=report.report_id,
                ticket=report.ticket,
                kind=clock.kind,
                cycle=1,
                step=clock.step + 1,
                level=step.level,
                due_at=clock.next_due,
                fired_at=clock.next_due,
                lateness_s=0.0,
                held_by="ani",
                target=step.to,
                told=("ani",),
                did=step.deed,
                policy_version=clock.policy_version,
                calendar_version=clock.calendar_version,
            )
        )
        clock = advanced(clock, policy, calendar, now=now, skipped=False)
    return clock, lines


# --- somebody acknowledges meanwhile ----------------------------------------------------------------------------------


def _while_acknowledging(url: str, count: int, work: Any) -> tuple[float, list[float]]:
    """Do the work while another process acknowledges; returns what it took, in s, and each acknowledgement, in ms."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_acknowledge, args=(url, count, theirs), daemon=True)
    process.start()
    assert ours.recv() == "ready"
    began = time.monotonic()
    work()
    took_s = time.monotonic() - began
    ours.send("stop")
    waits: list[float] = ours.recv()
    process.join()
    return took_s, waits


def _acknowledge(url: str, count: int, pipe: Pipe) -> None:
    logs.configure("text", least=logging.ERROR)
    database = Database(url)
    rules = Rules(database, _book(url, decreed=False))
    rules.prepare()
    casework, rng, waits = Casework(database, rules), random.Random(time.monotonic_ns()), list[float]()
    casework.acknowledge(_any_ticket(rng, count), Actor("cli:bench"))  # pays for connection and compiled statements
    pipe.send("ready")
    while not pipe.poll(rng.expovariate(ACKS_PER_S)):
        began = time.monotonic()
        casework.acknowledge(_any_ticket(rng, count), Actor("cli:bench"))
        waits.append((time.monotonic() - began) * 1000)
    pipe.send(waits)
    database.close()


def _any_ticket(rng: random.Random, count: int) -> str:
    return ticket_for(KEY, SOURCE, f"R-{rng.randrange(count)}")


def _show(count: int, quiet: list[float], rounds: list[dict[str, Any]]) -> None:
    rows = []
    for name, key, goal in (("preview", "preview_s", PREVIEW_S), ("apply", "apply_s", APPLY_S)):
        median, least, most = spread([one[key] for one in rounds])
        rows.append([f"{name}, s", f"{median:.1f}", f"{least:.1f}–{most:.1f}", f"≤ {goal:.0f}"])
    for name, waits, wanted in (
        ("acknowledging, nothing else going on, ms", quiet, "–"),
        (
            "acknowledging meanwhile, ms",
            [ms for one in rounds for ms in one["acknowledged_ms"]],
            f"max ≤ {WAIT_MS:.0f}",
        ),
    ):
        figures = f"p99 {percentile(waits, 0.99):.0f}, max {max(waits):.0f} of {len(waits):,}"
        rows.append([name, f"{percentile(waits, 0.5):.1f}", figures, wanted])
    heads = ["", "median", "spread", "to reach"]
    print(table(f"recompute: {count:,} open reports, two clocks each, PostgreSQL", heads, rows))


if __name__ == "__main__":
    sys.exit(main())
