"""An office without processes: people, rules, and the steps as objects on one database."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa

from bridge.arrivals import Arrivals
from bridge.broker.messages import grouped
from bridge.casework import Casework
from bridge.contacts import opened
from bridge.delivery.outlets import ByMail, Outlet
from bridge.links import Links
from bridge.reports.channels import Ways
from bridge.reports.clocks import Deed, Kind, Policy, Step, parse_span
from bridge.reports.moves import Actor
from bridge.reports.people import Person, Role
from bridge.reports.report import Report
from bridge.reports.rulebook import Rulebook
from bridge.reports.tickets import report_id_for, ticket_for
from bridge.rules import Rules
from bridge.storage import reports as stored
from bridge.storage.database import Conflict, Database, DatabaseAway
from bridge.storage.tables import Utc, deliveries, destinations, metadata, obligations, outbox, paces, people
from config.calendars import version_of
from config.files import read_configuration
from config.settings import read_settings
from config.wording import shipped
from consumers.notify_office import NotifyOffice
from consumers.take_in import TakeIn
from consumers.watch_clocks import WatchClocks
from schemas.messages import load_message

SOURCE = "qlue"
TICKET_KEY = b"t" * 32
ARRIVALS = Arrivals.under(TICKET_KEY)
KEY = "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU="

PEOPLE = (
    Person("ani", "Ani Rahmawati", Role.OFFICER, "bpsk-dki", "ani@bpsk.example", "consumer"),
    Person("budi", "Budi Santoso", Role.OFFICER, "bpsk-dki", "budi@bpsk.example", "business"),
    Person("citra", "Citra Lestari", Role.OFFICER, "bpsk-dki", "citra@bpsk.example", "government"),
    Person("sekar", "Sekar Wulandari", Role.SECRETARIAT, "bpsk-dki", "sekar@bpsk.example"),
    Person("kartika", "Kartika Hidayat", Role.CHAIR, "bpsk-dki", "kartika@bpsk.example"),
    Person("darma", "Darma Siregar", Role.DINAS_HEAD, "dinas", "darma@dinas.example"),
    Person("adi", "Adi Nugroho", Role.ADMIN, "dinas", "adi@kota.example"),
)
ANI = Actor("person:ani", PEOPLE[0])
KARTIKA = Actor("person:kartika", PEOPLE[4])

#: A rung as tests write it: seconds after the start, to whom, what.
Rung = tuple[int, str, str]

#: Wall seconds, so that no calendar interferes: an hour a rung, unless a test wants other policies.
LADDER: tuple[Rung, ...] = (
    (3600, "next_member", "both"),
    (7200, "role:secretariat", "notify"),
    (10_800, "role:chair", "notify"),
    (14_400, "role:dinas_head", "notify"),
    (18_000, "role:admin", "notify"),
)
POLICIES: Mapping[Kind, Sequence[Rung]] = {
    Kind.ACKNOWLEDGE: LADDER,
    Kind.TRIAGE: ((360_000, "role:secretariat", "notify"),),
    Kind.COMPLETION: ((7200, "citizen", "notify"), (14_400, "assignee", "close")),
    Kind.SUMMONS: ((360_000, "role:chair", "notify"),),
    Kind.FIRST_HEARING: ((360_000, "role:chair", "notify"),),
    Kind.DECISION: ((360_000, "role:chair", "notify"),),
}


def policy(kind: Kind, rungs: Sequence[Rung]) -> Policy:
    """Return a policy of wall seconds; `warn` is a warning, every other deed a rung of the ladder."""
    steps, level = [], 0
    for at_s, to, deed in rungs:
        level += deed != Deed.WARN
        steps.append(Step(parse_span(f"{at_s} seconds"), level if deed != Deed.WARN else 0, to, Deed(deed)))
    span = next(step.at for step in steps if step.level)
    unnamed = Policy(kind, "", span, tuple(steps), "test")
    return replace(unnamed, version=version_of(kind, unnamed.definition()))


def make_rules(database: Database, changed: Mapping[Kind, Sequence[Rung]] | None = None) -> Rules:
    """Return prepared rules: the shipped configuration, with policies of seconds and a city that is told back."""
    policies = {"default": {kind: policy(kind, rungs) for kind, rungs in {**POLICIES, **(changed or {})}.items()}}
    told_back = frozenset({SOURCE})
    fresh = replace(_shipped(), policies=policies, told_back=told_back, policy_versions={}, calendar_versions={})
    rules = Rules(database, fresh)
    rules.prepare()
    return rules


@cache
def _shipped() -> Rulebook:
    variables = {"BRIDGE_SECRET_KEY": "s" * 32, "BRIDGE_TICKET_KEY": "t" * 32, "QLUE_WEBHOOK_SECRET": KEY}
    return read_configuration(read_settings(variables), variables).rulebook


def body(
    external_id: str, type_: str = "report.submitted", at: str = "2026-11-23T10:00:00+07:00", **data: Any
) -> bytes:
    """Return what a city app posts; without data a submission gets what it needs."""
    if type_ == "report.submitted":
        data = {"title": f"Klaim {external_id}", "description": "Ditolak.", **data}
    return json.dumps({"type": type_, "timestamp": at, "data": {"id": external_id, **data}}).encode()


def webhook(content: bytes, webhook_id: str) -> dict[str, Any]:
    """Return the message of one webhook as a worker hands it to take_in."""
    sent = ARRIVALS.sealed(SOURCE, webhook_id, "", datetime.now(UTC), hashlib.sha256(content).hexdigest(), content)
    return load_message(json.loads(sent.body()))


def plain(row: Mapping[str, Any]) -> bytes:
    """Return the body a row keeps, opened."""
    return ARRIVALS.vault.open(bytes(row["body"]))


def one_message(contents: Mapping[str, bytes]) -> dict[str, Any]:
    """Return one message that carries several webhooks, by webhook-id."""
    now = datetime.now(UTC)
    sent = grouped(
        [ARRIVALS.sealed(SOURCE, key, "", now, hashlib.sha256(one).hexdigest(), one) for key, one in contents.items()]
    )
    return load_message(json.loads(sent.body()))


LINKS = Links(b"s" * 32, "https://jembatan.example")


def by_mail(here: "Office", mailer: Any, ways: Ways = Ways(), **others: Outlet) -> NotifyOffice:  # noqa: B008 - frozen
    """Return the step that tells the office: by this mailer, and by other channels if there are any."""
    outlets: dict[str, Outlet] = {"email": ByMail(mailer, "jembatan@bpsk.example"), **others}
    return NotifyOffice(here.database, here.rules, outlets, shipped(), LINKS, ways)


class Office:
    """People, rules and steps over one migrated database."""

    def __init__(self, database: Database, changed: Mapping[Kind, Sequence[Rung]] | None = None) -> None:
        self.database = database
        with database.write() as connection:
            connection.execute(sa.insert(people), [{**vars(person), "active": 1} for person in PEOPLE])
        self.use(changed)

    def use(self, changed: Mapping[Kind, Sequence[Rung]] | None = None) -> None:
        """Go on with these policies; running clocks keep theirs."""
        self.rules = make_rules(self.database, changed)
        self.casework = Casework(self.database, self.rules)
        self.take_in = TakeIn(self.database, self.rules, ARRIVALS)
        self.watcher = WatchClocks(self.database, self.rules)

    def receive(self, external_id: str, type_: str = "report.submitted", *, webhook_id: str = "", **data: Any) -> str:
        """Take in one event from the city; returns the ticket."""
        content = body(external_id, type_, **data)
        self.handle([webhook(content, webhook_id or f"msg-{external_id}-{type_}")])
        return ticket_for(TICKET_KEY, SOURCE, external_id)

    def receive_many(self, count: int) -> list[str]:
        """Take in new reports Q-0, Q-1, …; returns their tickets."""
        self.handle([one_message({f"msg-Q-{number}": body(f"Q-{number}") for number in range(count)})])
        return [ticket_for(TICKET_KEY, SOURCE, f"Q-{number}") for number in range(count)]

    def handle(self, messages: Sequence[dict[str, Any]]) -> None:
        """Take in messages as a worker does: what passes is tried again."""
        while True:
            try:
                return self.take_in.handle(messages)
            except (Conflict, DatabaseAway):
                continue

    def report(self, ticket: str) -> Report:
        """Return a report."""
        with self.database.read() as connection:
            return stored.by_ticket(connection, ticket)

    def clocks(self, ticket: str) -> dict[str, str]:
        """Return the state of each of a report's clocks, by kind."""
        rows = self.rows("obligations", report_id=self.report(ticket).report_id)
        return {row["kind"]: row["state"] for row in rows}

    def rows(self, table: str, **wanted: Any) -> list[dict[str, Any]]:
        """Return the rows of a table in the order of its key, those with these values if any are given."""
        at = metadata.tables[table]
        statement = sa.select(at).where(*(at.c[name] == value for name, value in wanted.items()))
        with self.database.read() as connection:
            return [dict(row) for row in connection.execute(statement.order_by(*at.primary_key)).mappings()]

    def snapshot(self) -> dict[str, list[dict[str, Any]]]:
        """Return every row of every table, what is sealed opened: sealed twice it is never the same."""
        found = {name: self.rows(name) for name in metadata.tables}
        for name in ("webhooks", "set_aside"):
            found[name] = [row | {"body": plain(row)} for row in found[name]]
        for row in found["reports"]:
            row["reporter"] = {**row["reporter"], "sealed": opened(ARRIVALS.vault, row["reporter"])}
        return found

    def set(self, table: str, values: Mapping[str, Any], **where: Any) -> int:
        """Change rows behind everybody's back; returns how many."""
        at = metadata.tables[table]
        statement = sa.update(at).where(*(at.c[name] == value for name, value in where.items())).values(**values)
        with self.database.write() as connection:
            return connection.execute(statement).rowcount

    def now(self) -> datetime:
        """Return the database's clock."""
        with self.database.read() as connection:
            return self.database.now(connection)

    def pass_time(self, seconds: float) -> None:
        """Move every timer into the past by so much: the same as having waited."""
        by = timedelta(seconds=seconds)
        with self.database.write() as connection:
            for table in (obligations, outbox, deliveries, destinations, paces):
                for row in connection.execute(sa.select(table)).mappings().all():
                    moved = {name: _earlier(row[name], by) for name in row if name in _TIMERS}
                    key = [column == row[column.name] for column in table.primary_key]
                    connection.execute(sa.update(table).where(*key).values(moved))

    def tick_all(self) -> int:
        """Fire until nothing is due; returns how many steps fired."""
        return sum(iter(self.watcher.tick, 0))


_TIMERS = (
    "started_at",
    "next_due",
    "deadline_at",
    "pauses",
    "available_at",
    "next_attempt_at",
    "lease_until",
    "open_until",
    "probe_until",
    "since",
)


def _earlier(value: Any, by: timedelta) -> Any:
    if isinstance(value, datetime):
        return value - by
    if isinstance(value, list):  # pauses
        moved = ((pause, {k: pause[k] for k in ("since", "until") if pause[k]}) for pause in value)
        return [
            {**p, **{k: (datetime.fromisoformat(t) - by).isoformat() for k, t in times.items()}} for p, times in moved
        ]
    return value


_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(\+00:00|Z)")


def shape(snapshot: Mapping[str, Iterable[Mapping[str, Any]]]) -> dict[str, list[str]]:
    """Return the facts without what differs between two equal runs: instants, lateness and counted ids."""
    shaped = {}
    for name, rows in snapshot.items():
        table = metadata.tables[name]
        volatile = {c.name for c in table.c if isinstance(c.type, Utc)} | {"id", "lateness_s", "escalation_id", "hash"}
        plain = [{key: value for key, value in row.items() if key not in volatile} for row in rows]
        shaped[name] = sorted(_INSTANT.sub("<instant>", json.dumps(row, sort_keys=True, default=repr)) for row in plain)
    return shaped


def id_of(external_id: str) -> str:
    """Return the id of a city's report."""
    return report_id_for(SOURCE, external_id)
