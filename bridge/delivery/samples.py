"""Notices about a report that is none: to check the texts with at the start, and to show how they look."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

from bridge.delivery.facts import About, Item, Reader, Several, Single, Told
from bridge.reports.people import Person, Role
from bridge.reports.report import Report
from bridge.reports.states import Status

#: An address that is nobody's (RFC 2606).
OURS = "https://jembatan.example"
TICKET = "K7Q2-9XWM-4T8K"
_TITLE = "Motor ditarik leasing di jalan tanpa surat tugas"
#: A text with every kind of paragraph.
A_BODY = f"Yth. Ani,\n\n  Tiket : {TICKET}\n\n--------\n\nTanggapi:\n{OURS}/a/token\n\nBuka:\n{OURS}/desk/"
_ENDS = (f"{OURS}/desk/", f"{OURS}/desk/me")
_WHYS = ("burst", "digest", "quiet")

#: In words already: dates in words load a megabyte of calendars, which a check at the start can do without.
_TOLD = Told(
    report=About(TICKET, _TITLE, "PEMBIAYAAN"),
    ticket=TICKET,
    title=_TITLE,
    event="",
    what="Eskalasi",
    clock="tanggapan pertama",
    level=1,
    assigned=True,
    passed=0,
    due="Senin, 23 Nov 2026 14.00 WIB",
    remaining="1 j 20 m",
    late=False,
    standing_in_for=None,
    acknowledge_url=f"{OURS}/a/token",
    report_url=f"{OURS}/desk/reports/{TICKET}",
)


def known_to(kind: str) -> Iterator[dict[str, Any]]:
    """Yield what a text of a kind may be given, in every way the facts can differ."""
    person = Reader("Ani Rahmawati")
    if kind == "digest":
        tolds = tuple(_variants("escalation"))
        for why, several in product(_WHYS, (tolds[:1], tolds)):
            yield vars(Several(person, several, len(several), why, *_ENDS))
        return
    single = vars(Single(person, *_ENDS))
    for told in _variants(kind):
        yield vars(told) | single


def _variants(event: str) -> Iterator[Told]:
    times: tuple[dict[str, Any], ...] = ({}, {"late": True}, {"due": None, "remaining": None, "clock": ""})
    stands: tuple[dict[str, Any], ...] = ({}, {"standing_in_for": "Budi Santoso", "acknowledge_url": None})
    several_steps: tuple[dict[str, Any], ...] = ({"assigned": False, "passed": 2}, {})
    for time, stand, several in product(times, stands, several_steps):
        yield replace(_TOLD, **{"event": event, **time, **stand, **several})


def a_report() -> Report:
    """Return a report nobody made."""
    at = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
    return Report(
        report_id="0d9c1f3e-0000-5000-8000-000000000001",
        ticket=TICKET,
        source="qlue",
        external_id="QL-1",
        status=Status.RECEIVED,
        cycle=1,
        office="",
        policy="default",
        title=_TITLE,
        description="",
        category="PEMBIAYAAN",
        language="id",
        reporter={},
        business={},
        location={},
        attachments=(),
        amount_idr=None,
        reported_at=at,
        received_at=at,
        event_at=at,
        routing=(),
    )


def a_person(language: str) -> Person:
    """Return somebody who works nowhere."""
    return Person("ani", "Ani Rahmawati", Role.OFFICER, "", "ani@bpsk.example", language=language)


def a_row(kind: str, now: datetime) -> dict[str, Any]:
    """Return a row of `deliveries` such as a kind of notice has; a deadline passed or to come, where it has one."""
    if kind in ("amended", "withdrawn"):
        return {"event": kind, "kind": None, "cycle": 1, "payload": {}}
    deadline = now - timedelta(minutes=80) if kind == "escalation" else now + timedelta(minutes=80)
    payload = {"deadline_at": deadline.isoformat(), "level": 2 if kind == "escalation" else 0, "assigned": True}
    return {"event": kind, "kind": "acknowledge", "cycle": 1, "payload": payload}


def an_item(kind: str, now: datetime) -> Item:
    """Return a notice that would be sent about the sample."""
    row = a_row(kind, now)
    deadline = row["payload"].get("deadline_at")
    remaining_s = (datetime.fromisoformat(deadline) - now).total_seconds() if deadline else None
    return Item(a_report(), row, remaining_s)
