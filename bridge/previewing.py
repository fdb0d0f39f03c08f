"""How a notice would look: about a sample, or about a real report with its clocks' real deadlines. Nothing is sent."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bridge.delivery.facts import Item
from bridge.delivery.notices import Notice
from bridge.delivery.samples import a_person, a_row, an_item
from bridge.links import Links
from bridge.reports.clocks import ClockState, Kind, Obligation
from bridge.reports.people import Person
from bridge.service import Service
from bridge.storage import people
from bridge.storage import reports as stored

#: What the sample of a digest holds.
_IN_A_DIGEST = ("new_report", "escalation", "warning", "amended")


def preview(service: Service, kind: str, language: str, *, ticket: str = "", person_id: str = "") -> Notice:
    """Return a notice of a kind in a language.

    Its one-click link is made with a key thrown away at once: who looks at a preview must not be able to acknowledge
    in somebody else's name.

    Args:
        kind: One of KINDS.
        ticket: Of a real report; empty for the sample.
        person_id: To whom; empty for somebody who is nobody.

    Raises:
        NoSuchReport, NoSuchPerson: none of that ticket or id.
    """
    links = Links(secrets.token_bytes(32), service.settings.public_url)
    person = replace(_person(service, person_id) or a_person(language), language=language)
    kinds = _IN_A_DIGEST if kind == "digest" else (kind,)
    items = _about(service, ticket, kinds) if ticket else [an_item(each, datetime.now(UTC)) for each in kinds]
    if kind == "digest":
        return service.texts.digest(person, items, why="digest", links=links)
    (item,) = items
    return service.texts.notice(item.report, person, item.delivery_row, links, remaining_s=item.remaining_s)


def _person(service: Service, person_id: str) -> Person | None:
    if not person_id:
        return None
    with service.database.read() as connection:
        return people.one(connection, person_id)


def _about(service: Service, ticket: str, kinds: Sequence[str]) -> list[Item]:
    """Return what would be told of a report now."""
    with service.database.read() as connection:
        report = stored.by_ticket(connection, ticket)
        clocks = stored.obligations_of(connection, [report.report_id]).get(report.report_id, [])
        now = service.database.now(connection)
    book = service.rules.book
    calendar = service.rules.deciding(lambda: book.calendar_of(report.office, report, clocks))
    items = []
    for kind in kinds:
        row = _row(kind, _clock(kind, [clock for clock in clocks if clock.cycle == report.cycle]), report.cycle, now)
        item = Item(report, row)
        if item.deadline_at:
            item = replace(
                item, remaining_s=calendar.elapsed(now, item.deadline_at) - calendar.elapsed(item.deadline_at, now)
            )
        items.append(item)
    return items


def _clock(kind: str, clocks: Sequence[Obligation]) -> Obligation | None:
    """Return the clock a notice would speak of: the first to answer for a new report, else the next to fall due."""
    if kind == "new_report":
        return next((clock for clock in clocks if clock.kind is Kind.ACKNOWLEDGE), None)
    running = [clock for clock in clocks if clock.state is ClockState.RUNNING]
    return min(running or clocks, key=lambda clock: clock.deadline_at, default=None)


def _row(kind: str, clock: Obligation | None, cycle: int, now: datetime) -> dict[str, Any]:
    row = a_row(kind, now) | {"cycle": cycle}
    if "deadline_at" in row["payload"]:
        deadline = clock.deadline_at.isoformat() if clock else None
        row["kind"] = clock.kind if clock else None
        row["payload"] = row["payload"] | {"deadline_at": deadline}
    return row
