"""Step 1: webhooks from the intake queue become reports: stored, routed, assigned, their clocks opened.

Takes `webhook.received` and `webhook.batch`; leaves, in one transaction for the whole batch, the webhook as it
came, the report, its obligations, history, and notices and callbacks in the outbox.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import structlog

from bridge.arrivals import Arrivals
from bridge.contacts import without_contacts
from bridge.reports.clocks import Obligation
from bridge.reports.escalation import Desk
from bridge.reports.intake import CityEvent, Effect, EventType, existing_report, new_report
from bridge.reports.report import Changes, Report
from bridge.reports.setting_aside import released_as
from bridge.rules import Rules
from bridge.storage import people, set_aside, webhooks
from bridge.storage import reports as stored
from bridge.storage.changes import put_into
from bridge.storage.database import Connection, Database
from bridge.storage.sets import Writes
from bridge.strict_json import NotJson
from bridge.tracing import Value, note, record_root, span
from bridge.vault import Unreadable
from consumers.runtime import TryLater
from schemas.city import NotAReport, load_event

log = structlog.get_logger()


@dataclass(frozen=True)
class Arrival:
    """One authentic webhook out of the queue; `event` is None and `problems` are not empty if it is no report.

    `body` is sealed and stays so. `released` is the number it had on the set-aside list.
    """

    source: str
    webhook_id: str
    key_id: str
    received_at: datetime
    sha256: str
    body: bytes
    released: int | None = None
    event: CityEvent | None = None
    problems: tuple[str, ...] = ()
    #: Of the span that received it, and of the city's own.
    traceparent: str | None = None
    city_traceparent: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Return what an arrival is known by for good."""
        return self.source, self.webhook_id


@dataclass
class _Batch:
    """One transaction's work: what is there, what was decided."""

    connection: Connection
    now: datetime
    reports: dict[str, Report]
    obligations: dict[str, list[Obligation]]
    waiting: dict[str, list[CityEvent]]
    desk: Desk
    open_reports: dict[str, int]  # the same numbers the desk holds, counted on within the batch
    awaited: set[str]  # reports for which events are kept that came before them
    changes: Changes = field(default_factory=Changes)
    remembered: list[dict[str, Any]] = field(default_factory=list)
    aside: list[dict[str, Any]] = field(default_factory=list)
    back: dict[int, list[str]] = field(default_factory=dict)  # released, and still no report: why
    settled: set[str] = field(default_factory=set)  # reports created here, so that what waited for them is applied


class TakeIn:
    """Take in webhooks, up to `most` messages in one transaction."""

    most = 100

    def __init__(self, database: Database, rules: Rules, arrivals: Arrivals) -> None:
        self._database = database
        self._rules = rules
        self._arrivals = arrivals

    def handle(self, messages: Sequence[dict[str, Any]]) -> None:
        """Take in all webhooks of these messages, or none; what came before changes nothing."""
        arrivals = [self._checked(item, item["body"].encode()) for message in messages for item in _items(message)]
        self._rules.deciding(lambda: self._take_in(arrivals))

    def _checked(self, item: dict[str, Any], body: bytes) -> Arrival:
        source, webhook_id, released = item["source"], item["webhook_id"], item.get("released")
        known_by = webhook_id if released is None else released_as(released)
        bare = Arrival(source, known_by, item["key_id"] or "", item["received_at"], item["sha256"], body, released)
        bare = replace(bare, **{name: item[name] for name in _TRACE if name in item})
        try:
            plain = self._arrivals.vault.open(body)
        except Unreadable as fault:
            # Not the message's fault: an operator took a key away that is still needed.
            raise TryLater(str(fault)) from fault
        try:
            checked = load_event(self._arrivals.payload(source, webhook_id, plain))
        except NotJson as fault:
            return replace(bare, problems=(str(fault),))
        except NotAReport as fault:
            return replace(bare, problems=tuple(fault.problems))
        external_id = checked["data"]["id"]
        report_id, ticket = self._arrivals.named(source, external_id)
        event = CityEvent(
            source=bare.source,
            type=EventType(checked["type"]),
            external_id=external_id,
            report_id=report_id,
            ticket=ticket,
            webhook_id=bare.webhook_id,
            happened_at=checked["timestamp"],
            received_at=bare.received_at,
            data=without_contacts(self._arrivals.vault, checked["data"]),
        )
        return replace(bare, event=event)

    def _take_in(self, arrivals: Sequence[Arrival]) -> None:
        began_at = datetime.now(UTC)
        # The spans outlast the transaction: what was not committed was not taken in.
        with ExitStack() as spans, self._database.write() as connection:
            fresh, aside = self._sorted_out(connection, arrivals)
            batch = self._load(connection, [a.event for a in fresh if a.event])
            batch.aside = aside
            for arrival in fresh:
                spans.enter_context(_span(arrival, began_at, len(arrivals)))
                self._decide(batch, arrival)
            self._write(batch)
        for report in batch.changes.new_reports:
            record_root(report.report_id, since=report.received_at, ticket=report.ticket, source=report.source)
        log.info("taken_in", webhooks=len(arrivals), reports=len(batch.changes.new_reports), aside=len(batch.aside))

    def _sorted_out(
        self, connection: Connection, arrivals: Sequence[Arrival]
    ) -> tuple[list[Arrival], list[dict[str, Any]]]:
        """Return (arrivals never seen before, rows for ids that came again with another body)."""
        seen = webhooks.known(connection, [arrival.key for arrival in arrivals])
        fresh: list[Arrival] = []
        aside: list[dict[str, Any]] = []
        for arrival in arrivals:
            before = seen.get(arrival.key)
            if before is None:
                seen[arrival.key] = arrival.sha256
                fresh.append(arrival)
            elif before != arrival.sha256 and arrival.released is None:
                log.error("webhook_id_reused", source=arrival.source, webhook_id=arrival.webhook_id)
                aside.append(_aside(arrival, "id_reused", ["this webhook-id came before with another body"]))
        return fresh, aside

    def _load(self, connection: Connection, events: Sequence[CityEvent]) -> _Batch:
        ids = {event.report_id for event in events}
        later = {event.report_id for event in events if event.type is not EventType.SUBMITTED}
        withdrawn = {event.report_id for event in events if event.type is EventType.WITHDRAWN}
        early = later - stored.by_ids(connection, later).keys() if later else later
        now = webhooks.take_turn(self._database, connection, alone=bool(early))
        # All reports at once, in the order everybody keeps; withdrawing ends clocks, so their rows are locked too.
        known = stored.lock(self._database, connection, ids)
        owed = stored.lock_obligations(self._database, connection, withdrawn)
        waiting: dict[str, list[CityEvent]] = {}
        early_rows = webhooks.waiting(connection, ids - known.keys())
        for row in early_rows:
            if earlier := self._checked(row, row["body"]).event:
                waiting.setdefault(earlier.report_id, []).append(earlier)
        open_reports = stored.open_by_assignee(connection)
        desk = Desk(people.active(connection), open_reports)
        return _Batch(
            connection, now, known, owed, waiting, desk, open_reports, {row["report_id"] for row in early_rows}
        )

    def _decide(self, batch: _Batch, arrival: Arrival) -> None:
        event = arrival.event
        if event is None and arrival.released is not None:
            batch.back[arrival.released] = list(arrival.problems)
            return
        if event is None:
            batch.aside.append(_aside(arrival, "invalid", list(arrival.problems)))
            batch.remembered.append(_remembered(arrival, "set_aside"))
            return
        effect = self._effect(batch, event)
        note(effect=effect)
        row = _remembered(arrival, effect)
        report = batch.reports.get(event.report_id)
        if report is not None and report.forgotten_at is not None:
            row["body"] = b""
        batch.remembered.append(row)

    def _effect(self, batch: _Batch, event: CityEvent) -> Effect:
        book, now = self._rules.book, batch.now
        report = batch.reports.get(event.report_id)
        if report is not None:
            owed = batch.obligations.get(event.report_id, [])
            changes, effect = existing_report(event, report, owed, book, now=now)
        elif event.type is EventType.SUBMITTED:
            waiting = batch.waiting.pop(event.report_id, [])
            changes, effect = new_report(event, waiting, book, batch.desk, now=now), Effect.CREATED
            batch.settled.add(event.report_id)
        else:
            batch.waiting.setdefault(event.report_id, []).append(event)
            return Effect.WAITING
        self._keep(batch, event.report_id, changes)
        return effect

    def _keep(self, batch: _Batch, report_id: str, changes: Changes) -> None:
        """Let the next event of this batch see what this one changed."""
        for report in (*changes.new_reports, *changes.reports.values()):
            batch.reports[report_id] = report
        for report in changes.new_reports:
            if report.assignee:
                batch.open_reports[report.assignee] = batch.open_reports.get(report.assignee, 0) + 1
        by_kind = {o.kind: o for o in batch.obligations.get(report_id, [])}
        by_kind |= {o.kind: o for o in (*changes.new_obligations, *changes.obligations)}
        batch.obligations[report_id] = list(by_kind.values())
        batch.changes.add(changes)

    def _write(self, batch: _Batch) -> None:
        webhooks.settle_waiting(batch.connection, batch.settled & batch.awaited, "applied")
        for row in batch.remembered:
            if row["effect"] == Effect.WAITING and row["report_id"] in batch.settled:
                row["effect"] = "applied"
        writes = Writes()
        put_into(writes, batch.changes)
        webhooks.put_into(writes, batch.remembered)
        writes.send(self._database, batch.connection)
        set_aside.put(self._database, batch.connection, batch.aside)
        set_aside.take_back(batch.connection, batch.back)


_TRACE = ("traceparent", "city_traceparent")


def _span(arrival: Arrival, since: datetime, batch: int) -> AbstractContextManager[object]:
    """Return the span of one report's part in a batch; what is no report has no trace."""
    event = arrival.event
    if event is None:
        return nullcontext()
    above, city = arrival.traceparent, arrival.city_traceparent
    said: dict[str, Value] = {"source": event.source, "type": event.type, "ticket": event.ticket, "batch": batch}
    return span("take_in", event.report_id, parent=above, link=city, since=since, **said)


def _items(message: dict[str, Any]) -> list[dict[str, Any]]:
    if message["type"] == "webhook.batch":
        items: list[dict[str, Any]] = message["data"]["items"]
        return items
    return [message["data"]]


def _remembered(arrival: Arrival, effect: str) -> dict[str, Any]:
    event = arrival.event
    return {
        "source": arrival.source,
        "webhook_id": arrival.webhook_id,
        "key_id": arrival.key_id,
        "report_id": event.report_id if event else None,
        "type": event.type if event else None,
        "effect": effect,
        "happened_at": event.happened_at if event else None,
        "received_at": arrival.received_at,
        "sha256": arrival.sha256,
        "body": arrival.body,
    }


def _aside(arrival: Arrival, why: str, reasons: list[str]) -> dict[str, Any]:
    return {
        "source": arrival.source,
        "webhook_id": arrival.webhook_id,
        "sha256": arrival.sha256,
        "why": why,
        "reasons": reasons,
        "received_at": arrival.received_at,
        "body": arrival.body,
    }
