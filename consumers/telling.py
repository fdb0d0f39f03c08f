"""What notify_office and report_back share: one attempt at each delivery, its result written apart from the sending.

First transaction, for all messages at hand: is it still wanted? Then its attempt is marked as begun. Then each is
sent, with no transaction open, and how it went is written before the next one is sent: a crash between the two
repeats at most that one message, under the same id.
"""

import random
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from bridge.delivery.errors import NotDelivered
from bridge.reports.clocks import Obligation
from bridge.reports.report import Report
from bridge.reports.telling import next_attempt_at, reason_gone
from bridge.storage import deliveries
from bridge.storage import reports as stored
from bridge.storage.changes import enqueue
from bridge.storage.database import Connection, Database, DatabaseAway
from consumers.attempts import attempt_span, ended

log = structlog.get_logger()

#: Longer than any attempt can take: an attempt begun this long ago died with its process.
LEASE_S = 90.0
#: What has waited this long behind slow ones is looked at again before it is sent.
LOOK_AGAIN_S = 2.0
_FINAL = ("delivered", "given_up", "suppressed")


@dataclass(frozen=True)
class Attempt:
    """One begun attempt: the delivery's row, and the report as it stands now."""

    row: dict[str, Any]
    report: Report
    obligation: Obligation | None
    number: int
    #: By the database's clock; what passes from then on is measured here.
    now: datetime
    looked_at: float

    @property
    def delivery_id(self) -> str:
        """Return the delivery's id: the same on every attempt."""
        return str(self.row["delivery_id"])

    def ended(self) -> datetime:
        """Return this moment, by the database's clock."""
        return self.now + timedelta(seconds=time.monotonic() - self.looked_at)


@dataclass(frozen=True)
class _Outcome:
    attempt: Attempt
    duration_ms: int
    channel: str | None = None
    error: NotDelivered | None = None


class Telling:
    """One kind of delivery; subclasses know how to send."""

    #: Few enough that a batch behind one that is slow gets another look soon.
    most = 20

    def __init__(self, database: Database) -> None:
        self._database = database
        #: Begun by us and not yet sent, with the number of the attempt: our own lease must not hold us up.
        self._unsent: dict[str, int] = {}
        #: Sent, but the database went away before it could be told.
        self._unrecorded: list[_Outcome] = []

    def handle(self, messages: Sequence[dict[str, Any]]) -> None:
        """Make the attempts the messages announce."""
        self._record()
        above = {str(message["data"]["delivery_id"]): message.get("traceparent") for message in messages}
        waiting = list(dict.fromkeys(str(message["data"]["delivery_id"]) for message in messages))
        while waiting:
            attempts = self._begin(waiting)
            self._unsent = {attempt.delivery_id: attempt.number for attempt in attempts}
            for place, attempt in enumerate(attempts):
                if place and time.monotonic() - attempt.looked_at > LOOK_AGAIN_S:
                    break
                del self._unsent[attempt.delivery_id]
                with attempt_span(attempt.row, attempt.number, above.get(attempt.delivery_id)) as telling:
                    self._unrecorded.append(outcome := self._tell(attempt))
                    ended(telling, outcome.channel, outcome.error)
                self._record()
            waiting = list(self._unsent)

    @abstractmethod
    def send(self, attempt: Attempt) -> str:
        """Send it; returns the channel that took it.

        Raises:
            NotDelivered: nobody took it.
        """

    def look_up(self, connection: Connection, attempts: Sequence[Attempt]) -> None:
        """Read what `send` will need, in the transaction that begins these attempts."""

    def _begin(self, delivery_ids: Sequence[str]) -> list[Attempt]:
        with self._database.write() as connection:
            rows = deliveries.lock(self._database, connection, delivery_ids)
            now, looked_at = self._database.now(connection), time.monotonic()
            due = [row for row in rows if self._is_due(connection, row, now)]
            if not due:
                return []
            report_ids = {row["report_id"] for row in due}
            found, owed = stored.by_ids(connection, report_ids), stored.obligations_of(connection, report_ids)
            attempts = []
            for row in due:
                again = self._is_ours(row)
                clocks = owed.get(row["report_id"], [])
                clock = next((o for o in clocks if o.kind == row["kind"] and o.cycle == row["cycle"]), None)
                number = row["attempts"] + (not again)
                attempt = Attempt(row, found[row["report_id"]], clock, number, now, looked_at)
                if not self._suppressed(connection, attempt):
                    attempts.append(attempt)
            self.look_up(connection, attempts)
            until = now + timedelta(seconds=LEASE_S)
            numbers = [(attempt.delivery_id, attempt.number) for attempt in attempts]
            deliveries.begin(self._database, connection, numbers, now=now, lease_until=until)
        return attempts

    def _is_ours(self, row: Mapping[str, Any]) -> bool:
        return bool(row["state"] == "sending" and self._unsent.get(row["delivery_id"]) == row["attempts"])

    def _is_due(self, connection: Connection, row: Mapping[str, Any], now: datetime) -> bool:
        if row["state"] in _FINAL:
            return False
        if row["state"] == "sending" and row["lease_until"] > now and not self._is_ours(row):
            # Somebody is at it, or was when its process died: look again when the lease has run out.
            message = {
                "type": f"{row['purpose']}.due",
                "data": {"delivery_id": row["delivery_id"]},
                "available_at": row["lease_until"] + timedelta(seconds=1),
            }
            enqueue(self._database, connection, [message])
            return False
        return bool(row["state"] != "failed" or row["next_attempt_at"] <= now)

    def _suppressed(self, connection: Connection, attempt: Attempt) -> bool:
        row = attempt.row
        gone = reason_gone(
            purpose=row["purpose"],
            event=row["event"],
            cycle=row["cycle"],
            recipient=row["recipient"],
            report=attempt.report,
            obligation=attempt.obligation,
        )
        if gone:
            deliveries.finish(connection, attempt.delivery_id, "suppressed", now=attempt.now, detail=gone)
            log.info("suppressed", ticket=row["ticket"], delivery_id=attempt.delivery_id, reason=gone)
        return gone is not None

    def _tell(self, attempt: Attempt) -> _Outcome:
        started = time.monotonic()
        try:
            channel = self.send(attempt)
        except NotDelivered as error:
            log.warning("not_delivered", ticket=attempt.row["ticket"], attempt=attempt.number, error=error.detail[:300])
            return _Outcome(attempt, _ms_since(started), error=error)
        except Exception as error:
            log.exception("cannot_tell", ticket=attempt.row["ticket"], delivery_id=attempt.delivery_id)
            return _Outcome(attempt, _ms_since(started), error=NotDelivered(f"{type(error).__name__}: {error}"))
        return _Outcome(attempt, _ms_since(started), channel=channel)

    def _record(self) -> None:
        """Write what became of the attempts; kept for the next time only if the database is away.

        One that cannot be written at all must not stand in the way of all others: its message fails alone.
        """
        while self._unrecorded:
            try:
                with self._database.write() as connection:
                    self._write(connection, self._unrecorded[0])
            except DatabaseAway:
                raise
            except Exception:
                self._unrecorded.pop(0)
                raise
            self._unrecorded.pop(0)

    def _write(self, connection: Connection, outcome: _Outcome) -> None:
        attempt, error, now = outcome.attempt, outcome.error, outcome.attempt.ended()
        result: dict[str, Any] = {"number": attempt.number, "duration_ms": outcome.duration_ms}
        if error is None:
            deliveries.finish(connection, attempt.delivery_id, "delivered", now=now, channel=outcome.channel, **result)
            return
        again = next_attempt_at(
            attempt.number,
            now=now,
            chance=random.random(),  # noqa: S311 - spreads retries, protects nothing
            retry_after_s=error.retry_after_s,
        )
        result["detail"] = _storable(error.detail[:1000])
        if again is None or error.permanent:
            deliveries.finish(connection, attempt.delivery_id, "given_up", now=now, **result)
        else:
            deliveries.retry(self._database, connection, attempt.row, at=again, **result)


def _storable(text: str) -> str:
    """Return what a database keeps of a text from outside: PostgreSQL takes no NUL and no half of a surrogate pair."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _ms_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
