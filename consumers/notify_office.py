"""Step 3: the office is told: an assigned report, a deadline near, an escalation.

Takes `notice.due`; leaves the notice with the person's channel (mail, their office's own system, a messenger) and the
delivery's row with its attempt. What fails goes on by the person's next channel; nobody is flooded.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from bridge.delivery.errors import Fault, NotDelivered, Taken
from bridge.delivery.facts import Item
from bridge.delivery.notices import Notice, Texts
from bridge.delivery.outlets import Envelope, Outlet
from bridge.links import AckLink, Links
from bridge.reports.calendars import WorkingCalendar
from bridge.reports.channels import DESK, EMAIL, Channel, Ways, address_on
from bridge.reports.clocks import Obligation
from bridge.reports.people import Person
from bridge.reports.preferences import (
    GATHERED,
    MAY_TURN_OFF,
    Held,
    Pace,
    held_until,
    paced,
    standing_in,
)
from bridge.reports.report import Delivery, Report
from bridge.reports.telling import in_place_of, reason_gone, through
from bridge.rules import Rules
from bridge.storage import deliveries, destinations, people
from bridge.storage import reports as stored
from bridge.storage.changes import deliver
from bridge.storage.database import Connection, Database
from bridge.storage.deliveries import Locked
from bridge.storage.rows import delivery_of
from consumers.attempts import Attempt, Sending
from consumers.telling import Telling

_DIGESTS = UUID("8a52ee0e-6d3e-5f0b-9a41-6a656d626174")


class NotifyOffice(Telling):
    """Send notices by the channels of each person; who has none finds them on the desk, where every report lies."""

    def __init__(
        self,
        database: Database,
        rules: Rules,
        outlets: Mapping[str, Outlet],
        texts: Texts,
        links: Links,
        ways: Ways,
    ) -> None:
        super().__init__(database, ways)
        self._rules = rules
        self._outlets = outlets
        self._texts = texts
        self._links = links
        #: What the deliveries at hand are about, and whom they name.
        self._people: dict[str, Person] = {}
        self._reports: dict[str, Report] = {}
        self._owed: dict[str, list[Obligation]] = {}
        self._paces: dict[str, Pace] = {}

    # -- before it is sent ---------------------------------------------------------------------------------------

    def claim(self, connection: Connection, delivery_ids: Sequence[str]) -> Locked | None:
        """See Telling.claim: with what leaves together; nobody else decides for the same people meanwhile."""
        asked, told = deliveries.lock_recipients(connection, delivery_ids)
        self._people = people.with_stand_ins(connection, told)
        together = {row.recipient for row in asked if row.held in GATHERED}
        still_open = {row.delivery_id for row in asked}
        ids = [delivery_id for delivery_id in delivery_ids if delivery_id in still_open]
        if together:
            ids += deliveries.gathered(connection, together, self._database.now(connection))
        digests = {row.digest_id for row in asked if row.digest_id}
        if digests:
            ids += deliveries.fellows(connection, digests)
        locked = deliveries.lock(connection, ids) if ids else None
        if locked is None:
            return None
        absent = {row["payload"]["for"] for row in locked.rows if "for" in row["payload"]} - set(self._people)
        if absent:
            self._people |= people.by_ids(connection, absent)
        about = {row["report_id"] for row in locked.rows}
        self._reports, self._owed = stored.by_ids(connection, about), stored.obligations_of(connection, about)
        self._paces = locked.paces
        return replace(locked, rows=locked.in_order_of(list(dict.fromkeys(ids))))

    def gone(self, attempt: Attempt) -> str | None:
        """See Telling.gone."""
        row = attempt.row
        owed = self._owed.get(row["report_id"], [])
        return reason_gone(
            event=row["event"],
            cycle=row["cycle"],
            recipient=row["payload"].get("for", row["recipient"]),
            report=self._reports[row["report_id"]],
            obligation=next((o for o in owed if o.kind == row["kind"] and o.cycle == row["cycle"]), None),
        )

    def arrange(self, connection: Connection, attempts: Sequence[Attempt]) -> list[Sending]:
        """See Telling.arrange."""
        reaching = [attempt for attempt in attempts if self._reaches(connection, attempt)]
        alone = [one for one in reaching if not one.row["digest_id"] and one.row["held"] not in GATHERED]
        leaving = [self._sending((one,)) for one in self._unhurried(connection, alone)]
        return leaving + self._digests([one for one in reaching if one not in alone])

    def _reaches(self, connection: Connection, attempt: Attempt) -> bool:
        """Tell whether it is for this person, now: not turned off, and nobody stands in."""
        person = self._people.get(attempt.row["recipient"])
        if person is None:
            return True  # sending it says what is wrong
        event = attempt.row["event"]
        if event in person.turned_off and event in MAY_TURN_OFF:
            self.suppress(connection, attempt, f"{person.person_id} has turned these notices off")
            return False
        stand_in = standing_in(person, self._people, attempt.now)
        if stand_in is not person:
            other = in_place_of(delivery_of(attempt.row), stand_in.person_id, now=attempt.now)
            deliver(self._database, connection, [other])
            self.suppress(connection, attempt, f"{person.person_id} is absent; {stand_in.person_id} is told")
            return False
        return True

    def _unhurried(self, connection: Connection, attempts: Sequence[Attempt]) -> list[Attempt]:
        """Return those that leave by themselves now; the others wait for their time, or for company."""
        leaving: list[Attempt] = []
        waiting: dict[tuple[datetime, Held], list[Attempt]] = defaultdict(list)
        for attempt in attempts:
            held = self._held(connection, attempt)
            (leaving if held is None else waiting[held]).append(attempt)
        for (until, why), together in waiting.items():
            self.hold(connection, together, until, why)
        return leaving

    def _held(self, connection: Connection, attempt: Attempt) -> tuple[datetime, Held] | None:
        person = self._people.get(attempt.row["recipient"])
        # What is tried again, or was let through a moment ago, has waited for its time.
        if person is None or attempt.tries > 1 or self._is_ours(attempt.row) or self._way(attempt) == DESK:
            return None
        zone = ZoneInfo(self._calendar(attempt).zone)
        wished = held_until(person, attempt.row["event"], attempt.now, zone)
        if wished:
            return wished
        before = self._paces.get(person.person_id)
        pace, gather_until = paced(before, self._ways.flood, attempt.now)
        if gather_until:
            return gather_until, Held.BURST
        if pace is not None and pace != before:
            self._paces[person.person_id] = pace
            destinations.save_pace(connection, person.person_id, pace.since, pace.sent)
        return None

    def _digests(self, attempts: Sequence[Attempt]) -> list[Sending]:
        """Return what leaves together: all of one person's by one channel, and what left together before."""
        groups: dict[tuple[str, str, str], list[Attempt]] = defaultdict(list)
        for attempt in attempts:
            row = attempt.row
            groups[row["recipient"], self._way(attempt), row["digest_id"] or ""].append(attempt)
        return [self._digest(group, digest_id) for (_, _, digest_id), group in groups.items()]

    def _digest(self, group: Sequence[Attempt], digest_id: str) -> Sending:
        if len(group) == 1 and not digest_id:
            return self._sending((group[0],))
        # What it is made of decides its id, so the same digest has the same one.
        made_of = "/".join(f"{one.delivery_id}:{one.number}" for one in group)
        return self._sending(tuple(group), digest_id or str(uuid5(_DIGESTS, made_of)))

    def _sending(self, attempts: tuple[Attempt, ...], digest_id: str | None = None) -> Sending:
        channel = self._way(attempts[0])
        return Sending(attempts, channel, "" if channel == DESK else channel, digest_id)

    def _way(self, attempt: Attempt) -> str:
        """Return the channel it goes by: the one it fell back to, else the person's first."""
        person = self._people.get(attempt.row["recipient"])
        there = self._ways.of(person) if person else [DESK]
        via = attempt.row["payload"].get("via")
        return via if via in there else there[0]

    # -- sending -------------------------------------------------------------------------------------------------

    def send(self, sending: Sending) -> Taken:
        """See Telling.send."""
        row = sending.first.row
        person = self._people.get(row["recipient"])
        if person is None:
            raise NotDelivered(f"{row['recipient']} is no longer here", permanent=True, fault=Fault.OURS)
        if sending.channel == DESK:
            return Taken()
        return self._outlets[sending.channel].send(self._envelope(sending, person))

    def _envelope(self, sending: Sending, person: Person) -> Envelope:
        items = [self._item(attempt) for attempt in sending.attempts]
        row, together = sending.first.row, sending.digest_id is not None
        # What is for programs stands in no mail.
        told = [self._data(item, person) for item in items] if sending.channel != EMAIL else [{}]
        return Envelope(
            message_id=sending.message_id,
            person=person,
            address=address_on(person, sending.channel),
            notice=self._written(items, person, _why(sending) if together else ""),
            event="digest" if together else row["event"],
            ticket="" if together else row["ticket"],
            replays=row["replays"],
            data={"notices": told} if together else told[0],
        )

    def _written(self, items: Sequence[Item], person: Person, why: str) -> Notice:
        if why:
            return self._texts.digest(person, items, why=why, links=self._links)
        (item,) = items
        return self._texts.notice(item.report, person, item.delivery_row, self._links, remaining_s=item.remaining_s)

    def _item(self, attempt: Attempt) -> Item:
        """Return what is told, with the name of whom the person stands in for."""
        row, meant_for = attempt.row, attempt.row["payload"].get("for")
        absent = self._people.get(meant_for)
        named = {"standing_in_for": absent.name if absent else meant_for} if meant_for else {}
        report = self._reports[row["report_id"]]
        return Item(report, row | {"payload": row["payload"] | named}, self._remaining_s(attempt))

    def _data(self, item: Item, person: Person) -> dict[str, Any]:
        """Return what a program is told: no personal data of the citizen."""
        report, row = item.report, item.delivery_row
        link = AckLink(report.report_id, row["cycle"], person.person_id)
        return {
            "ticket": report.ticket,
            "event": row["event"],
            "kind": row["kind"],
            "level": row["payload"].get("level", 0),
            "cycle": row["cycle"],
            "title": report.title,
            "category": report.category,
            "office": report.office,
            "assignee": report.assignee,
            "due_at": row["payload"].get("deadline_at"),
            "report_url": self._links.to_report(report.ticket),
            "acknowledge_url": self._links.to_acknowledge(link) if row["kind"] == "acknowledge" else None,
        }

    def _remaining_s(self, attempt: Attempt) -> float | None:
        text = attempt.row["payload"].get("deadline_at")
        if not text:
            return None
        deadline = datetime.fromisoformat(text)
        calendar = self._calendar(attempt)
        return calendar.elapsed(attempt.now, deadline) - calendar.elapsed(deadline, attempt.now)

    def _calendar(self, attempt: Attempt) -> WorkingCalendar:
        report_id, book = attempt.row["report_id"], self._rules.book
        report, owed = self._reports[report_id], self._owed.get(report_id, [])
        return self._rules.deciding(lambda: book.calendar_of(report.office, report, owed))

    def close(self) -> None:
        """See Telling.close."""
        for outlet in self._outlets.values():
            outlet.close()

    # -- when it fails -------------------------------------------------------------------------------------------

    def instead(self, attempt: Attempt, channel: str, now: datetime) -> Delivery | None:
        """See Telling.instead."""
        person = self._people.get(attempt.row["recipient"])
        other = self._ways.after(person, channel) if person else None
        return through(delivery_of(attempt.row), other, now=now) if other else None

    def patience(self, sending: Sending) -> Channel:
        """See Telling.patience."""
        return self._ways.channel(sending.channel)

    def waiting_for(self, sending: Sending) -> Mapping[str, str]:
        """See Telling.waiting_for."""
        return {"channel": sending.channel}


def _why(sending: Sending) -> str:
    """Return why these come together."""
    held = {one.row["held"] for one in sending.attempts}
    return str(next((why for why in GATHERED if why in held), Held.BURST))
