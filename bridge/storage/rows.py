"""Between rows and the dataclasses decisions work on: the same names on both sides."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from bridge.reports.businesses import plain_name
from bridge.reports.clocks import ClockState, Kind, Obligation, Pause
from bridge.reports.people import Person, Role
from bridge.reports.report import Delivery, Escalation, Event, Purpose, Report
from bridge.reports.states import Outcome, Status

#: A row as SQLAlchemy or a test gives it.
Row = Mapping[str, Any] | RowMapping

_REPORT_FIELDS = tuple(f.name for f in fields(Report))
_OBLIGATION_FIELDS = tuple(f.name for f in fields(Obligation))
_EVENT_FIELDS = tuple(f.name for f in fields(Event))
_ESCALATION_FIELDS = tuple(f.name for f in fields(Escalation))
_DELIVERY_FIELDS = tuple(f.name for f in fields(Delivery))


def report_row(report: Report) -> dict[str, Any]:
    """Return the row of a report, with what follows from it: by whom and against whom, for finding the same again."""
    who, whom = report.reporter.get("consumer"), plain_name(report.business.get("name"))
    return {**vars(report), "consumer_mark": who, "business_name": whom}


def report_of(row: Row) -> Report:
    """Return the report in a row."""
    values = {name: row[name] for name in _REPORT_FIELDS}
    values["status"] = Status(values["status"])
    values["outcome"] = Outcome(values["outcome"]) if values["outcome"] else None
    for name in ("attachments", "routing", "assigned_before", "missing"):
        values[name] = tuple(values[name])
    return Report(**values)


def obligation_row(obligation: Obligation) -> dict[str, Any]:
    """Return the row of an obligation."""
    row = vars(obligation).copy()
    row["pauses"] = [
        {
            "since": p.since.isoformat(),
            "until": p.until.isoformat() if p.until else None,
            "by": p.by,
            "reason": p.reason,
        }
        for p in obligation.pauses
    ]
    return row


def obligation_of(row: Row) -> Obligation:
    """Return the obligation in a row."""
    values = {name: row[name] for name in _OBLIGATION_FIELDS}
    values["kind"] = Kind(values["kind"])
    values["state"] = ClockState(values["state"])
    values["pauses"] = pauses_of(values["pauses"])
    return Obligation(**values)


def pauses_of(stored: Iterable[Mapping[str, Any]]) -> tuple[Pause, ...]:
    """Return the pauses as a row keeps them."""
    return tuple(
        Pause(_instant(p["since"]), _instant(p["until"]) if p["until"] else None, p["by"], p["reason"]) for p in stored
    )


def event_row(event: Event) -> dict[str, Any]:
    """Return the row of a line of history."""
    return vars(event).copy()


def event_of(row: Row) -> Event:
    """Return the line of history in a row."""
    return Event(**{name: row[name] for name in _EVENT_FIELDS})


def escalation_row(escalation: Escalation) -> dict[str, Any]:
    """Return the row of a line of the escalation log."""
    return vars(escalation).copy()


def escalation_of(row: Row) -> Escalation:
    """Return the line of the escalation log in a row."""
    values = {name: row[name] for name in _ESCALATION_FIELDS}
    return Escalation(**values | {"told": tuple(values["told"])})


def delivery_row(delivery: Delivery) -> dict[str, Any]:
    """Return the row of a delivery that has not been tried yet."""
    return {
        **vars(delivery),
        "delivery_id": delivery.delivery_id,
        "state": "pending",
        "attempts": 0,
        "next_attempt_at": delivery.created_at,
    }


def delivery_of(row: Row) -> Delivery:
    """Return the delivery in a row, as it was decided."""
    values = {name: row[name] for name in _DELIVERY_FIELDS}
    return Delivery(**values | {"purpose": Purpose(values["purpose"])})


def person_of(row: Row) -> Person:
    """Return the person in a row."""
    return Person(
        person_id=row["person_id"],
        name=row["name"],
        role=Role(row["role"]),
        office=row["office"],
        email=row["email"],
        element=row["element"],
        language=row["language"],
        absent_from=row["absent_from"],
        absent_until=row["absent_until"],
        channels=tuple(row["channels"]),
        quiet=row["quiet"],
        digest=row["digest"],
        turned_off=tuple(row["turned_off"]),
        stand_in=row["stand_in"],
    )


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
