"""What the model test and the races share: ladders to run, and the two ends of the network."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import sqlalchemy as sa

from bridge.broker.messages import Message
from bridge.casework import Casework
from bridge.delivery.errors import Taken
from bridge.recomputing import Recomputing
from bridge.reports.calendars import WorkingCalendar
from bridge.reports.clocks import Kind, Policy, Span, Unit
from bridge.reports.moves import Actor
from bridge.reports.recompute import CalendarChange, Counts, PolicyChange
from bridge.rules import Rules
from bridge.storage.database import Database
from bridge.storage.tables import metadata
from config.calendars import definition_of, offsets_of, version_of
from consumers.take_in import TakeIn
from consumers.watch_clocks import WatchClocks
from tests.invariants.checker import Facts
from tests.invariants.clock import DatabaseClock
from tests.storage.office import ARRIVALS, Office, Rung, policy

ONCE: tuple[Rung, ...] = ((36_000, "role:chair", "notify"),)
#: The policies of four days: warnings, rungs for one, many and nobody, several at once, repeats of one deed.
POLICIES: tuple[Mapping[Kind, Sequence[Rung]], ...] = (
    {
        Kind.ACKNOWLEDGE: (
            (1800, "assignee", "warn"),
            (3600, "next_member", "both"),
            (7200, "role:secretariat", "notify"),
            (10_800, "role:chair", "both"),
            (14_400, "role:admin", "notify"),
        ),
        Kind.TRIAGE: ((7200, "role:secretariat", "notify"), (14_400, "role:chair", "notify")),
        Kind.COMPLETION: ((3600, "citizen", "notify"), (5400, "assignee", "warn"), (7200, "assignee", "close")),
    },
    {
        Kind.ACKNOWLEDGE: (
            (0, "role:secretariat", "notify"),
            (600, "next_member", "reassign"),
            (600, "person:gone", "notify"),
            (3600, "next_member", "both"),
        ),
        Kind.TRIAGE: ((3600, "person:gone", "notify"),),
        Kind.COMPLETION: ((3600, "citizen", "notify"), (3600, "assignee", "close")),
    },
    {
        Kind.ACKNOWLEDGE: tuple((3600 * n, "next_member", "both") for n in range(1, 5)),
        Kind.TRIAGE: ((3600, "role:chair", "notify"), (3600, "role:dinas_head", "notify")),
        Kind.COMPLETION: ((1800, "citizen", "notify"), (7200, "citizen", "notify"), (9000, "assignee", "close")),
    },
    {
        Kind.ACKNOWLEDGE: ((1800, "assignee", "warn"), (3600, "next_member", "both"), (5400, "role:admin", "notify")),
        Kind.TRIAGE: ((1, "role:chair", "notify"), (2, "role:admin", "notify")),
        Kind.COMPLETION: ((3600, "person:gone", "notify"), (7200, "assignee", "close")),
    },
)


def policies(day: int) -> dict[Kind, Policy]:
    """Return the policies of a day.

    The clock of triage counts working time, on the fourth day working days, the others time on the wall. On the fourth
    day the last rung of `acknowledge` is repeated twice.
    """
    fourth = day % len(POLICIES) == 3
    rungs = dict.fromkeys(Kind, ONCE) | POLICIES[day % len(POLICIES)]
    made = {kind: policy(kind, steps) for kind, steps in rungs.items()}
    made[Kind.TRIAGE] = _counted_in(made[Kind.TRIAGE], Unit.WORKING_DAYS if fourth else Unit.WORKING_SECONDS)
    if fourth:
        made[Kind.ACKNOWLEDGE] = _repeated(made[Kind.ACKNOWLEDGE])
    return made


def _counted_in(plain: Policy, unit: Unit) -> Policy:
    steps = tuple(replace(step, at=Span(step.at.amount, unit)) for step in plain.steps)
    return _named(replace(plain, span=Span(plain.span.amount, unit), steps=steps))


def _repeated(plain: Policy) -> Policy:
    last = plain.steps[-1]
    times = [replace(last, at=replace(last.at, amount=last.at.amount + 1800 * n), again=n) for n in (1, 2)]
    return _named(replace(plain, steps=(*plain.steps, *times)))


def _named(policy: Policy) -> Policy:
    return replace(policy, version=version_of(policy.kind, policy.definition()))


def edited(calendar: WorkingCalendar, how: int, day: date) -> WorkingCalendar:
    """Return the calendar as somebody edits it, under a version of its own: a day off more, one less, hours, the zone."""
    days_off = dict(calendar.days_off)
    if how == 0:
        changed = replace(calendar, days_off={**days_off, day: "test"})
    elif how == 1:
        days_off.pop(day, None)
        changed = replace(calendar, days_off=days_off)
    elif how == 2:
        longer = tuple((*hours[:-1], (hours[-1][0], hours[-1][1] + 30)) if hours else hours for hours in calendar.week)
        changed = replace(calendar, week=longer)
    else:
        changed = replace(calendar, zone="Europe/Amsterdam" if calendar.zone == "Asia/Jakarta" else "Asia/Jakarta")
    return read_again(changed)


def read_again(calendar: WorkingCalendar) -> WorkingCalendar:
    """Return the calendar as a process reads it that starts now: its zone's clocks are set as they are set now."""
    read = replace(calendar, offsets=offsets_of(calendar.zone))
    return replace(read, version=version_of(calendar.name, definition_of(read)))


def apply_rules(office: Office, change: type[CalendarChange | PolicyChange]) -> Counts:
    """Let every clock that runs take the calendar, or the policies, of today."""
    work = Recomputing(office.database, office.rules)
    return work.apply(change(office.rules.book), reason="uji", actor=Actor("cli:uji"))


def use(office: Office, chosen: Mapping[Kind, Policy], calendar: WorkingCalendar) -> None:
    """Go on with these rules, as processes started anew do; running clocks keep theirs."""
    book = replace(
        office.rules.book,
        policies={"default": dict(chosen)},
        calendars=dict.fromkeys(office.rules.book.calendars, calendar),
        policy_versions={},
        calendar_versions={},
    )
    office.rules = Rules(office.database, book)
    office.rules.prepare()
    office.casework = Casework(office.database, office.rules)
    office.take_in = TakeIn(office.database, office.rules, ARRIVALS)
    office.watcher = WatchClocks(office.database, office.rules)


#: What the checker looks at.
JUDGED = ("reports", "obligations", "history", "escalations", "escalation_seals", "deliveries", "delivery_attempts")
JUDGED_TOO = ("people", "versions", "outbox", "webhooks", "set_aside")


def facts_of(database: Database, *, steady: bool = True) -> Facts:
    """Return what the checker looks at, as one consistent view."""
    with database.read() as connection:
        if not database.is_sqlite:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        tables = [metadata.tables[name] for name in (*JUDGED, *JUDGED_TOO)]
        rows = {
            table.name: [
                dict(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()
            ]
            for table in tables
        }
    return Facts(rows, steady)


def wait(office: Office, clock: DatabaseClock, seconds: float) -> None:
    """Let time pass; the watcher starts anew, or it would hold because somebody set the clock (test_engine.py)."""
    clock.move(seconds)
    office.watcher = WatchClocks(office.database, office.rules)


class Queue:
    """The network's edge: keeps every message for good, so that any of them can come again."""

    def __init__(self) -> None:
        self.taken: list[Message] = []
        self.healthy = True
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None

    def publish(self, messages: Sequence[Message], *, timeout_s: float = 5.0) -> None:
        """Take them all; they are here, whatever becomes of who sent them."""
        self.before()
        self.taken += messages
        self.after()

    def close(self) -> None:
        """Nothing to close."""


class Post:
    """The network's other edge: mail servers and the city, which take everything and count it."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        #: ticket -> the numbers of its callbacks, as they came.
        self.numbers: dict[str, list[int]] = defaultdict(list)
        #: What the city shows of each ticket: of callbacks it has not had before, the one with the highest number.
        self.shown: dict[str, Mapping[str, Any]] = {}
        self._known: set[str] = set()

    def send(self, *what: Any, replays: int = 0) -> Taken:
        """Take a mail, or a callback under its id."""
        first = what[0]
        self.sent.append(first if isinstance(first, str) else first["Message-ID"].strip("<>").partition("@")[0])
        if isinstance(first, str):
            self._take(first, what[1]["data"])
        return Taken()

    def _take(self, webhook_id: str, data: Mapping[str, Any]) -> None:
        self.numbers[data["ticket"]].append(data["sequence"])
        newer = data["sequence"] > self.shown.get(data["ticket"], {"sequence": 0})["sequence"]
        if newer and webhook_id not in self._known:
            self.shown[data["ticket"]] = data
        self._known.add(webhook_id)

    def begin_anew(self) -> None:
        """Have nothing in order before from now on; what is known stays known."""
        self.numbers.clear()

    def in_order(self) -> bool:
        """Tell whether of each report no older state came after a newer one."""
        return all(numbers == sorted(numbers) for numbers in self.numbers.values())
