"""An update that an Open311 client posts becomes part of its report: one transaction, as take_in's.

The queue is no help here: whether an update_id was seen before, and which report a ticket is of, only the database
knows; and once it has committed, the update is as durable as can be.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any

import structlog

from bridge.contacts import opened
from bridge.open311.appending import with_pictures, with_update
from bridge.open311.form import Form, in_their_words
from bridge.open311.rendering import Refused
from bridge.reports.clocks import Obligation
from bridge.reports.intake import CityEvent, Effect, EventType, existing_report
from bridge.reports.report import Changes, Report
from bridge.service import Service
from bridge.storage import reports as stored
from bridge.storage import webhooks
from bridge.storage.changes import write
from bridge.storage.database import Conflict
from bridge.vault import Unreadable
from bridge.words import when
from schemas.city import NotAReport, load_event

log = structlog.get_logger()

#: What the webhook-id of an update begins with.
UPDATES = "open311-update-"
#: What says, from the citizen's side, that nothing more is wanted of the office.
_ENDINGS = frozenset({"closed", "fixed", "cancelled"})


@dataclass(frozen=True)
class Update:
    """An update as it was posted, its required arguments all there."""

    form: Form
    source: str
    key_id: str
    ticket: str
    update_id: str
    status: str
    at: datetime

    @property
    def webhook_id(self) -> str:
        """Return what the update is remembered by for good."""
        return f"{UPDATES}{sha256(f'{self.ticket} {self.update_id}'.encode()).hexdigest()[:40]}"


def take(service: Service, update: Update) -> None:
    """Change the report and remember the update, both or neither.

    Raises:
        Refused: unknown ticket, known update_id, or not valid.
    """
    try:
        effect = service.rules.deciding(lambda: _take(service, update))
    except Conflict as error:
        # Its id is taken, and with it all else was taken back.
        raise Refused(400, "update_id: already exists") from error
    except stored.NoSuchReport as error:
        raise Refused(404, "service_request_id: not found. One just given out may take a moment.") from error
    log.info("open311_update", ticket=update.ticket, source=update.source, status=update.status, effect=effect)


def _take(service: Service, update: Update) -> Effect:
    database = service.database
    with database.write() as connection:
        report_id = stored.by_ticket(connection, update.ticket).report_id
        owed = stored.lock_obligations(database, connection, [report_id]).get(report_id, [])
        report = stored.lock(database, connection, [report_id])[report_id]
        if report.source != update.source:
            raise stored.NoSuchReport(update.ticket)
        event = _event(update, report, database.now(connection))
        changes, effect = _decided(service, update, event, report, owed)
        write(database, connection, changes)
        # What was forgotten stays so: only the id of what comes for it is kept.
        body = b"" if report.forgotten_at else service.arrivals.vault.seal(update.form.body(event.received_at))
        webhooks.remember(connection, [_remembered(update, event, effect, body)])
    return effect


def _event(update: Update, report: Report, now: datetime) -> CityEvent:
    """Return the amendment: the citizen's words behind what the report says already, pictures behind its pictures."""
    pictures = [{"url": url} for url in update.form.all("media_url")]
    own = {"id": report.external_id, "description": update.form.one("description"), "attachments": pictures}
    try:
        # Ours and not the client's time: what was written while the request was on its way is no older than it.
        load_event({"type": EventType.AMENDED, "timestamp": now.isoformat(), "data": own})
    except NotAReport as fault:
        raise Refused(400, *map(in_their_words, fault.problems)) from fault
    return CityEvent(
        source=report.source,
        type=EventType.AMENDED,
        external_id=report.external_id,
        report_id=report.report_id,
        ticket=report.ticket,
        webhook_id=update.webhook_id,
        happened_at=now,
        received_at=now,
        data=_behind(update, report, pictures),
    )


def _behind(update: Update, report: Report, pictures: list[dict[str, Any]]) -> dict[str, Any]:
    attachments, others = with_pictures(report.attachments, pictures)
    said = f"[{when(update.at)} · {update.status.upper()}] {update.form.one('description')}"
    said += "".join(f"\nLampiran lain: {url}" for url in others)
    data: dict[str, Any] = {"description": with_update(report.description, said, report.ticket)}
    return data | ({"attachments": attachments} if pictures else {})


def _decided(
    service: Service, update: Update, event: CityEvent, report: Report, owed: list[Obligation]
) -> tuple[Changes, Effect]:
    book, now = service.rules.book, event.received_at
    changes, effect = existing_report(event, report, owed, book, now=now)
    if update.status in _ENDINGS and _is_the_reporter(service, update.form, report):
        withdrawal = replace(event, type=EventType.WITHDRAWN, happened_at=min(update.at, now), data={})
        amended = changes.reports.get(report.report_id, report)
        more, effect = existing_report(withdrawal, amended, owed, book, now=now)
        changes.add(more)
    return changes, effect


def _is_the_reporter(service: Service, form: Form, report: Report) -> bool:
    """Tell whether the one who complained speaks: on a public site anybody may call somebody else's report fixed."""
    try:
        known = str(opened(service.arrivals.vault, report.reporter).get("email") or "").casefold()
    except Unreadable as fault:
        raise Refused(503, "Not available just now. Send it again later.", **{"Retry-After": "60"}) from fault
    return bool(known) and form.one("email").casefold() == known


def _remembered(update: Update, event: CityEvent, effect: Effect, body: bytes) -> dict[str, Any]:
    return {
        "source": update.source,
        "webhook_id": update.webhook_id,
        "key_id": update.key_id,
        "report_id": event.report_id,
        "type": event.type,
        "effect": effect,
        "happened_at": update.at,
        "received_at": event.received_at,
        "sha256": update.form.digest(),
        "body": body,
    }
