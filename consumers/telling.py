"""What notify_office and report_back share: one attempt at one delivery, its result written apart from the sending.

First transaction: is it still wanted? Then the attempt is marked as begun. Then it is sent, with no transaction
open. Second transaction: how it went. A crash between the two repeats at most this one message, under the same id.
"""

import random
import time
from abc import abstractmethod
from collections.abc import Sequence
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

log = structlog.get_logger()

#: Longer than any attempt can take: an attempt begun this long ago died with its process.
LEASE_S = 90.0
_FINAL = ("delivered", "given_up", "suppressed")


@dataclass(frozen=True)
class Attempt:
    """One begun attempt: the delivery's row, and the report as it stands now."""

    row: dict[str, Any]
    report: Report
    obligation: Obligation | None
    number: int
    now: datetime


class Telling:
    """One kind of delivery; subclasses know how to send."""

    most = 1

    def __init__(self, database: Database) -> None:
        self._database = database

    def handle(self, messages: Sequence[dict[str, Any]]) -> None:
        """Make the attempt each message announces."""
        for message in messages:
            attempt = self._begin(str(message["data"]["delivery_id"]))
            if attempt is not None:
                self._tell(attempt)

    @abstractmethod
    def send(self, attempt: Attempt) -> str:
        """Send it; returns the channel that took it.

        Raises:
            NotDelivered: nobody took it.
        """

    def _begin(self, delivery_id: str) -> Attempt | None:
        with self._database.write() as connection:
            row = deliveries.lock(self._database, connection, delivery_id)
            now = self._database.now(connection)
            if row is None or not self._is_due(connection, row, now):
                return None
            report = stored.by_ids(connection, [row["report_id"]])[row["report_id"]]
            owed = stored.obligations_of(connection, [report.report_id]).get(report.report_id, [])
            obligation = next((o for o in owed if o.kind == row["kind"] and o.cycle == row["cycle"]), None)
            gone = reason_gone(
                purpose=row["purpose"],
                event=row["event"],
                cycle=row["cycle"],
                recipient=row["recipient"],
                report=report,
                obligation=obligation,
            )
            if gone:
                deliveries.finish(connection, delivery_id, "suppressed", now=now, detail=gone)
                log.info("suppressed", ticket=row["ticket"], delivery_id=delivery_id, reason=gone)
                return None
            number = deliveries.begin(connection, row, now=now, lease_s=LEASE_S)
        return Attempt(row, report, obligation, number, now)

    def _is_due(self, connection: Connection, row: dict[str, Any], now: datetime) -> bool:
        if row["state"] in _FINAL:
            return False
        if row["state"] == "sending" and row["lease_until"] > now:
            # Somebody is at it, or was when its process died: look again when the lease has run out.
            message = {
                "type": f"{row['purpose']}.due",
                "data": {"delivery_id": row["delivery_id"]},
                "available_at": row["lease_until"] + timedelta(seconds=1),
            }
            enqueue(self._database, connection, [message])
            return False
        return bool(row["state"] != "failed" or row["next_attempt_at"] <= now)

    def _tell(self, attempt: Attempt) -> None:
        started = time.monotonic()
        try:
            channel = self.send(attempt)
        except NotDelivered as error:
            self._failed(attempt, error, _ms_since(started))
            return
        except DatabaseAway:
            raise
        except Exception as error:
            log.exception("cannot_tell", ticket=attempt.row["ticket"], delivery_id=attempt.row["delivery_id"])
            self._failed(attempt, NotDelivered(f"{type(error).__name__}: {error}"), _ms_since(started))
            return
        with self._database.write() as connection:
            deliveries.finish(
                connection,
                attempt.row["delivery_id"],
                "delivered",
                now=self._database.now(connection),
                number=attempt.number,
                duration_ms=_ms_since(started),
                channel=channel,
            )

    def _failed(self, attempt: Attempt, error: NotDelivered, duration_ms: int) -> None:
        log.warning("not_delivered", ticket=attempt.row["ticket"], attempt=attempt.number, error=error.detail[:300])
        with self._database.write() as connection:
            now = self._database.now(connection)
            again = next_attempt_at(
                attempt.number,
                now=now,
                chance=random.random(),  # noqa: S311 - spreads retries, protects nothing
                retry_after_s=error.retry_after_s,
            )
            result = {"number": attempt.number, "duration_ms": duration_ms, "detail": error.detail[:1000]}
            if again is None or error.permanent:
                deliveries.finish(connection, attempt.row["delivery_id"], "given_up", now=now, **result)  # type: ignore[arg-type]
            else:
                deliveries.retry(self._database, connection, attempt.row, at=again, **result)  # type: ignore[arg-type]


def _ms_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
