"""A day on which telling did not go well: deliveries in every state, each with its attempts, and destinations in trouble."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bridge.reports.report import Delivery, Purpose, Report
from bridge.service import Service
from bridge.storage import reports as stored
from bridge.storage.database import Connection
from bridge.storage.rows import delivery_row
from bridge.storage.tables import deliveries, delivery_attempts, destinations

PROBLEM = '{"type":"about:blank","title":"Unprocessable","status":422,"detail":"unknown status \'<b>registered</b>\'"}'


@dataclass(frozen=True)
class Try:
    """One attempt: what is kept of it."""

    outcome: str = "failed"
    status: int | None = None
    response: str = ""
    detail: str = ""
    fault: str | None = None
    channel: str = ""
    duration_ms: int = 180


@dataclass(frozen=True)
class Told:
    """One delivery as it ended, or as it waits."""

    recipient: str
    event: str
    channel: str
    state: str
    tries: tuple[Try, ...] = ()
    purpose: Purpose = Purpose.NOTICE
    sequence: int | None = None
    held: str | None = None
    fault: str | None = None
    fell_back_to: str | None = None
    last_error: str | None = None
    digest_id: str | None = None
    hours_ago: float = 1.0
    next_in_s: float | None = None
    payload: dict[str, Any] = field(default_factory=dict)


AWAY = "telegram: Failed to send Telegram notification: Connection timed out after 20 s"
REFUSED = "the city answered 422"
NO_ADDRESS = "whatsapp: '' is no address there; say one: bridge people tell … --channels whatsapp:…"
TAKEN = Try("delivered", 250, "2.0.0 Ok: queued as 4F1A9C03", channel="email", duration_ms=412)

DELIVERED = Told("ani", "new_report", "email", "delivered", (TAKEN,), hours_ago=5)
WENT_ON = Told(
    "budi", "new_report", "telegram", "given_up",
    (Try(detail=AWAY, fault="away"), Try("given_up", detail=AWAY, fault="away")),
    fault="away", fell_back_to="email", last_error=AWAY, hours_ago=4,
)  # fmt: skip
TAKEN_OVER = Told("budi", "new_report", "email", "delivered", (TAKEN,), hours_ago=3.9, payload={"via": "email"})
REFUSED_BY_CITY = Told(
    "qlue", "status_changed", "webhook", "given_up",
    tuple(Try(status=422, response=PROBLEM, detail=REFUSED, fault="refused") for _ in range(3)),
    purpose=Purpose.CALLBACK, sequence=2, fault="refused", last_error=REFUSED, hours_ago=3,
)  # fmt: skip
OUR_FAULT = Told(
    "kartika", "escalation", "whatsapp", "given_up", (Try("given_up", detail=NO_ADDRESS, fault="ours", duration_ms=2),),
    fault="ours", last_error=NO_ADDRESS, hours_ago=2, payload={"level": 3},
)  # fmt: skip
QUIET = Told("sekar", "warning", "email", "pending", held="quiet", hours_ago=0.6, next_in_s=30_000)
BREAKER = Told(
    "qlue/arsip", "status_changed", "webhook", "failed", (Try(status=503, detail="the city answered 503", fault="away"),),
    purpose=Purpose.CALLBACK, sequence=3, held="breaker", fault="away", last_error="the city answered 503", hours_ago=0.5, next_in_s=240,
)  # fmt: skip
ORDER = Told(
    "qlue/arsip",
    "status_changed",
    "webhook",
    "pending",
    purpose=Purpose.CALLBACK,
    sequence=4,
    held="order",
    hours_ago=0.4,
    next_in_s=240,
)
AGAIN = Told(
    "ani", "amended", "email", "failed", (Try(status=451, response="4.7.1 Greylisted, try again later", detail="the mail server answered 451", fault="away"),),
    fault="away", last_error="the mail server answered 451", hours_ago=0.3, next_in_s=300,
)  # fmt: skip
GONE = Told(
    "budi", "warning", "email", "suppressed", last_error="acknowledge: met meanwhile by person:ani", hours_ago=0.2
)
DIGEST = tuple(
    Told("ani", event, "email", "delivered", (TAKEN,), digest_id="0d9be5a2-0c5e-5a0e-8f7e-2f0a7f3c1f86", hours_ago=6)
    for event in ("warning", "withdrawn")
)
STORY = (DELIVERED, WENT_ON, TAKEN_OVER, REFUSED_BY_CITY, OUR_FAULT, QUIET, BREAKER, ORDER, AGAIN, GONE, *DIGEST)
#: name -> failures in a row, seconds until it is asked again (negative: it may be), last error.
TROUBLED = {
    "telegram": (7, 200, AWAY),
    "qlue/arsip": (5, -5, "the city answered 503"),
    "whatsapp": (2, None, "sent late"),
}


def happen(service: Service, ticket: str, *told: Told) -> list[str]:
    """Let deliveries about a report have become what is said; nobody is told to send them. Returns their ids."""
    with service.database.write() as connection:
        report, now = stored.by_ticket(connection, ticket), service.database.now(connection)
        return [_write(connection, report, one, number, now) for number, one in enumerate(told)]


def _write(connection: Connection, report: Report, one: Told, number: int, now: datetime) -> str:
    decided = now - timedelta(hours=one.hours_ago)
    delivery = Delivery(
        report.report_id, report.ticket, report.cycle, one.purpose, one.event, one.channel, one.recipient,
        f"story/{report.ticket}/{number}/{decided.isoformat()}", decided, "acknowledge", None, one.payload, one.sequence,
    )  # fmt: skip
    over = one.state in ("delivered", "given_up", "suppressed")
    next_at = None if over else now + timedelta(seconds=one.next_in_s or 0)
    became = {
        "state": one.state, "attempts": len(one.tries), "held": one.held, "fault": one.fault, "fell_back_to": one.fell_back_to,
        "last_error": one.last_error, "digest_id": one.digest_id, "next_attempt_at": next_at,
        "finished_at": decided + timedelta(minutes=2) if over else None,
    }  # fmt: skip
    connection.execute(sa.insert(deliveries), [delivery_row(delivery) | became])
    for attempt, tried in enumerate(one.tries, 1):
        at = decided + timedelta(seconds=20 * attempt)
        row = vars(tried) | {"delivery_id": delivery.delivery_id, "number": attempt, "at": at}
        connection.execute(sa.insert(delivery_attempts), [row | {"channel": tried.channel or one.channel}])
    return delivery.delivery_id


def trouble(service: Service) -> None:
    """Let destinations be in trouble, one in each state."""
    with service.database.write() as connection:
        now = service.database.now(connection)
        for name, (failures, wait_s, error) in TROUBLED.items():
            until = None if wait_s is None else now + timedelta(seconds=wait_s)
            row = {"destination": name, "failures": failures, "trips": int(until is not None), "open_until": until}
            row |= {"probe_until": None, "failing_since": now - timedelta(minutes=50), "last_error": error}
            connection.execute(sa.insert(destinations), [row])
