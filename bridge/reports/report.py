"""The facts decisions work on: the report, and what a decision changes. All instants are aware, in UTC."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from bridge.reports.clocks import Obligation
from bridge.reports.states import Outcome, Status

_DELIVERIES = uuid.UUID("2f3c1f86-3d52-5d0c-9c3e-6a656d626174")


@dataclass(frozen=True)
class Report:
    """A citizen's report as the bridge holds it (laporan); the registered case (perkara) is only mirrored.

    `sequence` numbers what the city was told, from 1. `cycle` rises when the report is reopened. `assigned_before`
    holds the person ids whose desk it was on earlier in this cycle. The contact in `reporter` is sealed.
    """

    report_id: str
    ticket: str
    source: str
    external_id: str
    status: Status
    cycle: int
    office: str
    policy: str
    title: str
    description: str
    category: str
    language: str
    reporter: Mapping[str, Any]
    business: Mapping[str, Any]
    location: Mapping[str, Any]
    attachments: tuple[Mapping[str, Any], ...]
    amount_idr: int | None
    reported_at: datetime
    received_at: datetime
    event_at: datetime  # the city's own time of the last event applied: an older one no longer changes anything
    routing: tuple[str, ...]
    assignee: str | None = None
    assigned_before: tuple[str, ...] = ()
    outcome: Outcome | None = None
    case_number: str | None = None
    missing: tuple[str, ...] = ()
    sequence: int = 0
    merged_into: str | None = None  # the ticket that goes on in its place
    forgotten_at: datetime | None = None  # when its personal data was removed for good

    @property
    def facts(self) -> dict[str, str]:
        """Return what routing rules may ask about."""
        return {
            "source": self.source,
            "category": self.category,
            "domicile": str(self.reporter.get("domicile") or ""),
            "area": str(self.location.get("area") or ""),
            "anonymous": "true" if self.reporter.get("anonymous") else "false",
        }


@dataclass(frozen=True)
class Event:
    """One line of a report's history: what happened, by whom, when. Never edited, never holds contact data."""

    report_id: str
    cycle: int
    event: str
    actor: str  # person:<id>, source:<name>, clock:<kind>, cli:<user>, system
    at: datetime
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Escalation:
    """One line of the escalation log: a step that fired. Level 0 is a warning before the deadline."""

    report_id: str
    ticket: str
    kind: str
    cycle: int
    step: int
    level: int
    due_at: datetime
    fired_at: datetime
    lateness_s: float
    held_by: str | None
    target: str
    told: tuple[str, ...]
    did: str  # warn | notify | reassign | both | close | no_target
    policy_version: str
    calendar_version: str
    remark: str | None = None


class Purpose(StrEnum):
    """Whom a delivery is for: the office, or the city."""

    NOTICE = "notice"
    CALLBACK = "callback"


@dataclass(frozen=True)
class Delivery:
    """One thing to be told to one recipient by one channel.

    `dedupe_key` is unique in the database: the same thing cannot be told twice, whatever is redelivered or
    decided again. The id (webhook-id, Message-ID) follows from it and stays the same on every attempt.
    """

    report_id: str
    ticket: str
    cycle: int
    purpose: Purpose
    event: str
    channel: str
    recipient: str  # a person id, or the source's name, or one of its further destinations: `source/name`
    dedupe_key: str
    created_at: datetime
    kind: str | None = None
    step: int | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)
    sequence: int | None = None  # of a callback: an older one never leaves after a newer one

    @property
    def delivery_id(self) -> str:
        """Return the delivery's id, a UUIDv5 of its key."""
        return str(uuid.uuid5(_DELIVERIES, self.dedupe_key))


@dataclass
class Changes:
    """What one decision, or a batch of them, changes: written in one transaction or not at all."""

    new_reports: list[Report] = field(default_factory=list)
    reports: dict[str, Report] = field(default_factory=dict)
    new_obligations: list[Obligation] = field(default_factory=list)
    obligations: list[Obligation] = field(default_factory=list)
    history: list[Event] = field(default_factory=list)
    escalations: list[Escalation] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)

    def note(self, report: Report, event: str, actor: str, at: datetime, **data: Any) -> None:
        """Add a line to the report's history."""
        self.history.append(Event(report.report_id, report.cycle, event, actor, at, data))

    def add(self, other: "Changes") -> None:
        """Append what another decision changes."""
        self.new_reports += other.new_reports
        self.reports |= other.reports
        self.new_obligations += other.new_obligations
        self.obligations += other.obligations
        self.history += other.history
        self.escalations += other.escalations
        self.deliveries += other.deliveries
