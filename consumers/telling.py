"""What notify_office and report_back share: one attempt at each delivery, its result written apart from the sending.

First transaction, for all messages at hand: is it still wanted, may it leave now, and together with what? Then its
attempt is marked as begun. Then each is sent, with no transaction open, and how it went is written before the next one
is sent: a crash between the two repeats at most that one message, under the same id.
"""

import random
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from bridge.broker.topology import DELIVERY_LIMIT
from bridge.delivery.errors import Fault, NotDelivered, Taken
from bridge.reports import breakers
from bridge.reports.breakers import Admission, Breaker
from bridge.reports.channels import Channel, Ways
from bridge.reports.preferences import Held
from bridge.reports.report import Delivery
from bridge.reports.telling import next_attempt_at
from bridge.storage import deliveries, destinations
from bridge.storage.changes import deliver
from bridge.storage.database import Connection, Database, DatabaseAway
from bridge.storage.deliveries import Begun, End, Locked, Result
from consumers.attempts import Attempt, Outcome, Sending, traced

log = structlog.get_logger()

#: Longer than any attempt can take: an attempt begun this long ago died with its process.
LEASE_S = 90.0
#: What has waited this long behind slow ones is looked at again before it is sent.
LOOK_AGAIN_S = 2.0
_FINAL = ("delivered", "given_up", "suppressed")
#: Answers by which a destination asks all of us to come back later, not only this one.
_SLOW_DOWN = (429, 503)


class Telling:
    """One kind of delivery; subclasses know who it is for, what leaves together, and how to send."""

    #: Whether the end of one makes another possible; see `ended`.
    in_turn = False

    def __init__(self, database: Database, ways: Ways) -> None:
        self._database = database
        self._ways = ways
        #: Begun by us and not yet sent, with the number of the attempt: our own lease must not hold us up.
        self._unsent: dict[str, int] = {}
        #: Sent, but the database went away before it could be told.
        self._unrecorded: list[Outcome] = []
        #: See lanes.py: how long the sendings of the last `handle` took on average, and when the present one began.
        self.sending_s = 0.0
        self.sending_since: float | None = None
        #: Destinations that had trouble when we last looked: a success there is news.
        self._troubled: dict[str, Breaker] = {}

    def handle(self, messages: Sequence[dict[str, Any]]) -> None:
        """Make the attempts the messages announce."""
        self._record()
        above = {str(message["data"]["delivery_id"]): message.get("traceparent") for message in messages}
        waiting = list(dict.fromkeys(str(message["data"]["delivery_id"]) for message in messages))
        took_ms: list[int] = []
        while waiting:
            sendings = self._begin(waiting)
            begun = {one.delivery_id: one.number for sending in sendings for one in sending.attempts}
            # What an error before this left unsent stays ours until its own message is at hand: it waits for no lease.
            self._unsent = {one: n for one, n in self._unsent.items() if one not in waiting} | begun
            for place, sending in enumerate(sendings):
                if place and self._looks_again(sending):
                    break
                for attempt in sending.attempts:
                    del self._unsent[attempt.delivery_id]
                with traced(sending, above) as say:
                    self._unrecorded.append(outcome := self._tell(sending))
                    say(outcome)
                took_ms.append(outcome.duration_ms)
                self._record()
            waiting = [one for one in begun if one in self._unsent]
        self.sending_s = sum(took_ms) / len(took_ms) / 1000 if took_ms else 0.0

    def settled(self) -> bool:
        """Write what became of sendings while the database was away; tells whether nothing is left unwritten."""
        try:
            self._record()
        except DatabaseAway:
            return False
        return True

    def _looks_again(self, sending: Sending) -> bool:
        """Tell whether what was looked up before may not be so any more."""
        if time.monotonic() - sending.first.looked_at > LOOK_AGAIN_S:
            return True
        breaker = self._troubled.get(sending.destination)
        return breaker is not None and breaker.state(sending.ended()) == "open"

    # -- what subclasses say -------------------------------------------------------------------------------------

    @abstractmethod
    def send(self, sending: Sending) -> Taken:
        """Send it.

        Raises:
            NotDelivered: nobody took it.
        """

    @abstractmethod
    def arrange(self, connection: Connection, attempts: Sequence[Attempt]) -> list[Sending]:
        """Return what may leave now, in which order and by which channel; hold or end the rest."""

    @abstractmethod
    def patience(self, sending: Sending) -> Channel:
        """Return how patient the way it goes is."""

    @abstractmethod
    def waiting_for(self, sending: Sending) -> Mapping[str, str]:
        """Return the column and value of all deliveries that go to the same destination."""

    @abstractmethod
    def close(self) -> None:
        """Close the connections kept open between sendings."""

    @abstractmethod
    def claim(self, connection: Connection, delivery_ids: Sequence[str]) -> Locked | None:
        """Lock what is asked for, and what must be decided together with it.

        Returns the rows of what is asked for, or None when there are none.
        """

    def gone(self, attempt: Attempt) -> str | None:  # noqa: ARG002 - for who overrides it
        """Return why it is not wanted any more, or None."""
        return None

    @abstractmethod
    def instead(self, attempt: Attempt, channel: str, now: datetime) -> Delivery | None:
        """Return the same thing by the next channel, or None when none is left."""

    def ended(self, connection: Connection, row: Mapping[str, Any], now: datetime) -> None:
        """Do what the end of a delivery makes possible."""

    # -- before it is sent ---------------------------------------------------------------------------------------

    def _begin(self, delivery_ids: Sequence[str]) -> list[Sending]:
        # An attempt that is forgotten is made again, under the same id.
        with self._database.write(lasting=False) as connection:
            claimed, looked_at = self.claim(connection, delivery_ids), time.monotonic()
            if claimed is None:
                return []
            due = [row for row in claimed.rows if self._is_due(connection, row, claimed.now)]
            if not due:
                return []
            endless = self._endless(connection, due)
            for row in endless:
                self._give_up_endless(connection, row, claimed.now)
            sendings = [] if endless else self._begun(connection, claimed, due, looked_at)
        # Their end may let others leave.
        return self._begin(delivery_ids) if endless else sendings

    def _begun(
        self, connection: Connection, claimed: Locked, due: Sequence[dict[str, Any]], looked_at: float
    ) -> list[Sending]:
        now = claimed.now
        attempts = [Attempt(row, row["attempts"] + (not self._is_ours(row)), now, looked_at) for row in due]
        leaving = self.arrange(connection, self._wanted(connection, attempts))
        sendings = self._admitted(connection, leaving, now, is_trouble=claimed.is_trouble)
        begun = [
            Begun(one.delivery_id, one.number, sending.channel, sending.digest_id)
            for sending in sendings
            for one in sending.attempts
        ]
        until = now + timedelta(seconds=LEASE_S)
        deliveries.begin(self._database, connection, begun, now=now, lease_until=until)
        return sendings

    def _is_ours(self, row: Mapping[str, Any]) -> bool:
        return bool(row["state"] == "sending" and self._unsent.get(row["delivery_id"]) == row["attempts"])

    def _is_due(self, connection: Connection, row: Mapping[str, Any], now: datetime) -> bool:
        if row["state"] in _FINAL:
            return False
        if row["state"] == "sending" and row["lease_until"] > now and not self._is_ours(row):
            # Somebody is at it, or was when its process died: look again when the lease has run out.
            at = row["lease_until"] + timedelta(seconds=1)
            deliveries.announce(self._database, connection, [row], at=at)
            return False
        # What waited for an older one is asked for when that has ended, what lay aside when a person says so.
        waits = row["held"] != Held.ORDER and row["next_attempt_at"] and (row["held"] or row["state"] == "failed")
        return bool(not waits or row["next_attempt_at"] <= now)

    def _endless(self, connection: Connection, due: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return what has been begun again and again and never had an end.

        Its process died each time, or how it went could not be written. No queue counts that: a message that comes
        while the lease of the last attempt runs is done at once, and the delivery is announced anew for its end.
        """
        open_ended = [row for row in due if row["state"] == "sending" and not self._is_ours(row)]
        often = [row for row in open_ended if row["attempts"] - row["tries_before"] >= DELIVERY_LIMIT]
        counted = deliveries.without_end(connection, [row["delivery_id"] for row in often])
        return [row for row in often if counted.get(row["delivery_id"], 0) >= DELIVERY_LIMIT]

    def _give_up_endless(self, connection: Connection, row: dict[str, Any], now: datetime) -> None:
        why = (
            f"begun {DELIVERY_LIMIT} times without an end; why: lane_failed and message_failed in the log of this step"
        )
        attempt = Attempt(row, row["attempts"], now, time.monotonic())
        result = Result(attempt.number, detail=why, fault=Fault.OURS)
        self._give_up(connection, attempt, self.instead(attempt, row["channel"], now), result, now)

    def _wanted(self, connection: Connection, attempts: Sequence[Attempt]) -> list[Attempt]:
        wanted = []
        for attempt in attempts:
            why = self.gone(attempt)
            if why is None:
                wanted.append(attempt)
            else:
                self.suppress(connection, attempt, why)
        return wanted

    def suppress(self, connection: Connection, attempt: Attempt, why: str) -> None:
        """End a delivery whose reason has gone."""
        result = Result(detail=why)
        deliveries.finish(self._database, connection, End(attempt.delivery_id, "suppressed", result), now=attempt.now)
        self.ended(connection, attempt.row, attempt.now)
        log.info("suppressed", ticket=attempt.row["ticket"], delivery_id=attempt.delivery_id, reason=why)

    def hold(
        self, connection: Connection, attempts: Sequence[Attempt], until: datetime, why: Held, channel: str = ""
    ) -> None:
        """Let deliveries wait, for a channel if one is said."""
        rows = [one.row for one in attempts]
        deliveries.hold(self._database, connection, rows, until=until, why=why, channel=channel)
        log.info("held", tickets=[one.row["ticket"] for one in attempts], until=until.isoformat(), why=why)

    def _admitted(
        self, connection: Connection, sendings: Sequence[Sending], now: datetime, *, is_trouble: bool
    ) -> list[Sending]:
        """Return what its destination can take now; the rest waits for it, or goes another way."""
        names = {sending.destination for sending in sendings if sending.destination and is_trouble}
        self._troubled = destinations.lock(self._database, connection, names) if names else {}
        admitted = []
        for sending in sendings:
            breaker = self._troubled.get(sending.destination)
            answer, until = breakers.admission(breaker, now)
            if answer is Admission.WAIT and until is not None and breaker is not None:
                self._wait(connection, sending, until, breaker, now)
                continue
            if answer is Admission.PROBE and breaker is not None:
                self._troubled[sending.destination] = breakers.probing(breaker, now)
                destinations.save(connection, self._troubled[sending.destination])
            admitted.append(sending)
        return admitted

    def _wait(self, connection: Connection, sending: Sending, until: datetime, breaker: Breaker, now: datetime) -> None:
        others = [self.instead(attempt, sending.channel, now) for attempt in sending.attempts]
        stuck = [attempt for attempt, other in zip(sending.attempts, others, strict=True) if other is None]
        if stuck:
            self.hold(connection, stuck, until, Held.BREAKER, sending.channel)
        why = f"{sending.destination} has failed {breaker.failures} times in a row: {breaker.last_error}"
        for attempt, other in zip(sending.attempts, others, strict=True):
            if other is not None:
                self._give_up(connection, attempt, other, Result(detail=why, fault=Fault.AWAY), now)

    # -- after it was sent ---------------------------------------------------------------------------------------

    def _tell(self, sending: Sending) -> Outcome:
        started, ticket = time.monotonic(), sending.first.row["ticket"]
        self.sending_since = started
        try:
            taken = self.send(sending)
        except NotDelivered as error:
            log.warning("not_delivered", ticket=ticket, attempt=sending.first.number, error=error.detail[:300])
            return Outcome(sending, _ms_since(started), error=error)
        except Exception as error:
            log.exception("cannot_tell", ticket=ticket, delivery_id=sending.first.delivery_id)
            ours = NotDelivered(f"{type(error).__name__}: {error}", fault=Fault.OURS)
            return Outcome(sending, _ms_since(started), error=ours)
        finally:
            self.sending_since = None
        return Outcome(sending, _ms_since(started), taken=taken)

    def _record(self) -> None:
        """Write what became of the attempts; kept for the next time only if the database is away.

        One that cannot be written at all must not stand in the way of all others: its message fails alone.
        """
        while self._unrecorded:
            try:
                self._write(self._unrecorded[0])
            except DatabaseAway:
                raise
            except Exception:
                self._unrecorded.pop(0)
                raise
            self._unrecorded.pop(0)

    def _write(self, outcome: Outcome) -> None:
        sending, now = outcome.sending, outcome.sending.ended()
        delivered = deliveries.ends(_delivered(outcome), now=now)
        if outcome.error is None and not self.in_turn and sending.destination not in self._troubled:
            delivered.commit(self._database)
            return
        with self._database.write() as connection:
            if outcome.error is None:
                delivered.send(self._database, connection)
                for attempt in sending.attempts:
                    self.ended(connection, attempt.row, now)
            else:
                for attempt in sending.attempts:
                    self._failed(connection, sending, attempt, outcome.error, outcome.duration_ms, now)
            self._learn(connection, outcome, now)

    def _failed(
        self,
        connection: Connection,
        sending: Sending,
        attempt: Attempt,
        error: NotDelivered,
        duration_ms: int,
        now: datetime,
    ) -> None:
        result = Result(
            attempt.number,
            duration_ms,
            detail=_storable(error.detail[:1000]),
            status=error.status,
            response=_storable(error.response),
            fault=error.fault,
        )
        way = self.patience(sending)
        again = next_attempt_at(
            attempt.tries,
            now=now,
            chance=random.random(),  # noqa: S311 - spreads retries, protects nothing
            retry_after_s=error.retry_after_s,
            schedule_s=way.retry_s,
        )
        over = again is None or error.permanent
        # One failure is none: what waited for the morning would go another way at the first.
        patience_ends = attempt.row["created_at"] + timedelta(seconds=way.fallback_s)
        impatient = attempt.tries > 1 and again is not None and again > patience_ends
        other = self.instead(attempt, sending.channel, now) if over or impatient else None
        if other is not None or over or again is None:
            self._give_up(connection, attempt, other, result, now)
        else:
            deliveries.retry(self._database, connection, attempt.row, at=again, result=result)

    def _give_up(
        self, connection: Connection, attempt: Attempt, other: Delivery | None, result: Result, now: datetime
    ) -> None:
        went_on = other.channel if other else None
        end = End(attempt.delivery_id, "given_up", result, fell_back_to=went_on)
        deliveries.finish(self._database, connection, end, now=now)
        if other is not None:
            deliver(self._database, connection, [other])
        self.ended(connection, attempt.row, now)
        told = {"ticket": attempt.row["ticket"], "delivery_id": attempt.delivery_id, "instead": went_on}
        log.error("given_up", **told, error=result.detail[:300])

    def _learn(self, connection: Connection, outcome: Outcome, now: datetime) -> None:
        """Keep what this outcome says about its destination."""
        name, error = outcome.sending.destination, outcome.error
        if not name:
            return
        if error is not None and error.fault is Fault.AWAY:
            breaker = destinations.begin_trouble(self._database, connection, name)
            pause_s = error.retry_after_s or 60.0 if error.status == 429 else None
            if error.status in _SLOW_DOWN and error.retry_after_s:
                pause_s = error.retry_after_s
            text = _storable(error.detail[:300])
            self._troubled[name] = breakers.failed(breaker, now=now, error=text, pause_s=pause_s)
            destinations.save(connection, self._troubled[name])
        elif name in self._troubled and error is not None and error.fault is Fault.OURS:
            # Nothing was asked: whoever comes next may.
            destinations.save(connection, replace(self._troubled[name], probe_until=None))
        elif name in self._troubled:
            breaker = self._troubled.pop(name)
            destinations.end_trouble(connection, name)
            # A single failure among successes keeps its own time: tried again after each of them it would be given up.
            if breaker.trips:
                where, purpose = self.waiting_for(outcome.sending), outcome.sending.first.row["purpose"]
                count = deliveries.release(self._database, connection, purpose=purpose, where=where, now=now)
                log.info("destination_is_back", destination=name, released=count)


def _delivered(outcome: Outcome) -> list[End]:
    taken = outcome.taken or Taken()
    status, response = taken.status, _storable(taken.response)
    return [
        End(one.delivery_id, "delivered", Result(one.number, outcome.duration_ms, status=status, response=response))
        for one in outcome.sending.attempts
    ]


def _storable(text: str) -> str:
    """Return what a database keeps of a text from outside: PostgreSQL takes no NUL and no half of a surrogate pair."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _ms_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
