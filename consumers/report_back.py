"""Step 5: the city app is told what became of the report, so that the citizen sees it.

Takes `callback.due`; leaves a signed webhook at each of the city's addresses and the delivery's row with its attempt.
About one report an older state never leaves after a newer one; one address never waits for another.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from typing import Any

from bridge.delivery.errors import Fault, NotDelivered, Taken
from bridge.delivery.webhook import CityEndpoint
from bridge.links import Links
from bridge.reports.channels import Channel, Ways
from bridge.reports.preferences import Held
from bridge.reports.telling import REFUSALS_BEFORE_PASSED
from bridge.storage import deliveries
from bridge.storage.database import Connection, Database
from bridge.storage.deliveries import End, Locked, Result
from consumers.attempts import Attempt, Sending
from consumers.telling import Telling

_EVERYBODYS = Ways()


class ReportBack(Telling):
    """Send status callbacks, oldest first; the receiver may check by `sequence`."""

    in_turn = True

    def __init__(
        self, database: Database, cities: Mapping[str, CityEndpoint], links: Links, ways: Ways = _EVERYBODYS
    ) -> None:
        super().__init__(database, ways)
        self._cities = cities
        self._links = links
        #: Every callback about the same reports that has no end yet.
        self._open: list[dict[str, Any]] = []

    def claim(self, connection: Connection, delivery_ids: Sequence[str]) -> Locked | None:
        """See Telling.claim: with every other callback about the same reports that has no end yet."""
        locked = deliveries.lock_with_siblings(connection, delivery_ids)
        self._open = [row for row in locked.rows if row["finished_at"] is None] if locked else []
        at_hand = set(delivery_ids)
        return replace(locked, rows=[row for row in locked.rows if row["delivery_id"] in at_hand]) if locked else None

    def arrange(self, connection: Connection, attempts: Sequence[Attempt]) -> list[Sending]:
        """See Telling.arrange: of each report only the oldest that has no end yet."""
        return [
            Sending((attempt,), "webhook", attempt.row["recipient"])
            for _, group in groupby(sorted(attempts, key=_in_order), key=_about)
            for attempt in self._first(connection, list(group))
        ]

    def _first(self, connection: Connection, group: Sequence[Attempt]) -> Iterator[Attempt]:
        """Yield the one that may leave, if any; the others wait for it, or for an older one that is not due."""
        due = {attempt.delivery_id for attempt in group}
        there = [row for row in self._open if _about_row(row) == _about(group[0])]
        for attempt in group:
            older = [row for row in there if (row["sequence"] or 0) < (attempt.row["sequence"] or 0)]
            in_the_way = [
                row for row in older if row["delivery_id"] in due or not self._passed(connection, row, attempt.now)
            ]
            if in_the_way:
                self.hold(connection, [attempt], _until(in_the_way[0], attempt.now), Held.ORDER)
            else:
                yield attempt

    def _passed(self, connection: Connection, row: dict[str, Any], now: datetime) -> bool:
        """End an older one which the city, being there, refused again and again: it must not hold up the newer."""
        tries = row["attempts"] - row["tries_before"]
        if row["state"] != "failed" or row["fault"] != Fault.REFUSED or tries < REFUSALS_BEFORE_PASSED:
            return False
        why = f"refused {tries} times, then passed by a newer state: {row['last_error']}"
        result = Result(detail=why, fault=Fault.REFUSED)
        deliveries.finish(self._database, connection, End(row["delivery_id"], "given_up", result), now=now)
        return True

    def ended(self, connection: Connection, row: Mapping[str, Any], now: datetime) -> None:
        """See Telling.ended: the next one about this report may leave."""
        if row["sequence"] is not None:
            deliveries.next_in_turn(self._database, connection, row, now=now)

    def send(self, sending: Sending) -> Taken:
        """See Telling.send."""
        row = sending.first.row
        city = self._cities.get(row["recipient"])
        if city is None:
            raise NotDelivered("this source has no callback address any more", permanent=True, fault=Fault.OURS)
        data = {**row["payload"], "track_url": self._links.to_track(row["ticket"])}
        event = {"type": "report.status_changed", "timestamp": data["occurred_at"], "data": data}
        return city.send(row["delivery_id"], event, replays=row["replays"])

    def instead(self, *_: object) -> None:
        """See Telling.instead: there is no other way to a city; it waits."""

    def close(self) -> None:
        """See Telling.close."""
        for city in self._cities.values():
            city.close()

    def patience(self, _: Sending) -> Channel:
        """See Telling.patience."""
        return self._ways.city

    def waiting_for(self, sending: Sending) -> Mapping[str, str]:
        """See Telling.waiting_for."""
        return {"recipient": sending.destination}


def _about(attempt: Attempt) -> tuple[str, str]:
    return _about_row(attempt.row)


def _about_row(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["report_id"], row["recipient"]


def _in_order(attempt: Attempt) -> tuple[str, str, int]:
    return (*_about(attempt), attempt.row["sequence"] or 0)


def _until(row: Mapping[str, Any], now: datetime) -> datetime:
    """Return when an older one may have ended: so long nobody needs to look for the one that waits for it."""
    known: list[datetime] = [row["lease_until"] or now, row["next_attempt_at"] or now, now]
    return max(known)
