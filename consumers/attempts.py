"""One attempt to tell the office or the city, what leaves as one message, how it ended, and its span in the trace."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bridge.delivery.errors import NotDelivered, Taken
from bridge.reports.report import Purpose
from bridge.tracing import Span, span


@dataclass(frozen=True)
class Attempt:
    """One attempt at a delivery, which is its row."""

    row: dict[str, Any]
    number: int
    #: By the database's clock; what passes from then on is measured here.
    now: datetime
    looked_at: float

    @property
    def delivery_id(self) -> str:
        """Return the delivery's id: the same on every attempt."""
        return str(self.row["delivery_id"])

    @property
    def tries(self) -> int:
        """Return which try of its schedule this is; somebody who sends it once more begins a new schedule."""
        return self.number - int(self.row["tries_before"])


@dataclass(frozen=True)
class Sending:
    """What leaves as one message: one attempt, or those of a digest under an id of its own."""

    attempts: tuple[Attempt, ...]
    channel: str
    destination: str
    digest_id: str | None = None

    @property
    def first(self) -> Attempt:
        """Return the attempt it is about, or the first of a digest."""
        return self.attempts[0]

    @property
    def message_id(self) -> str:
        """Return the id the receiver knows it by: the same on every attempt."""
        return self.digest_id or self.first.delivery_id

    def ended(self) -> datetime:
        """Return this moment, by the database's clock."""
        return self.first.now + timedelta(seconds=time.monotonic() - self.first.looked_at)


@dataclass(frozen=True)
class Outcome:
    """How a sending ended: taken, or an error."""

    sending: Sending
    duration_ms: int
    taken: Taken | None = None
    error: NotDelivered | None = None


_NAMES = {Purpose.NOTICE: "notify", Purpose.CALLBACK: "callback"}


@contextmanager
def traced(sending: Sending, above: Mapping[str, str | None]) -> Iterator[Callable[[Outcome], None]]:
    """Record a sending in the trace of each report it is about; yields what is told how it ended.

    Args:
        above: By delivery id, the span whose message announced it.
    """
    with ExitStack() as stack:
        spans = [stack.enter_context(_span(one, sending.channel, above)) for one in sending.attempts]

        def say(outcome: Outcome) -> None:
            for one in spans:
                _ended(one, outcome)

        yield say


def _span(attempt: Attempt, channel: str, above: Mapping[str, str | None]) -> Span:
    row = attempt.row
    what = {"ticket": row["ticket"], "event": row["event"], "channel": channel, "attempt": attempt.number}
    parent = above.get(attempt.delivery_id)
    return span(_NAMES[Purpose(row["purpose"])], row["report_id"], parent=parent, **what)


def _ended(telling: Span, outcome: Outcome) -> None:
    """Say how the attempt ended; of what the other side answered no more than its code."""
    answer, error = outcome.taken or outcome.error, outcome.error
    if answer is not None and answer.status is not None:
        telling.note(status=answer.status)
    if error is None:
        telling.note(outcome="delivered")
        return
    telling.note(outcome="not_delivered", fault=error.fault)
    telling.failed(error.__cause__ or error)
