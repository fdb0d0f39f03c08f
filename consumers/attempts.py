"""The span of one attempt to tell the office or the city: what telling.py records of it in the report's trace."""

from collections.abc import Mapping
from typing import Any

from bridge.delivery.errors import NotDelivered, Taken
from bridge.reports.report import Purpose
from bridge.tracing import Span, span

_NAMES = {Purpose.NOTICE: "notify", Purpose.CALLBACK: "callback"}


def attempt_span(row: Mapping[str, Any], channel: str, number: int, above: str | None) -> Span:
    """Return the span of a delivery's attempt (numbered from 1), below the span whose message announced it."""
    what = {"ticket": row["ticket"], "event": row["event"], "channel": channel}
    return span(_NAMES[Purpose(row["purpose"])], row["report_id"], parent=above, attempt=number, **what)


def ended(telling: Span, taken: Taken | None, error: NotDelivered | None) -> None:
    """Say how the attempt ended; of what the other side answered no more than its code."""
    answer = taken or error
    if answer is not None and answer.status is not None:
        telling.note(status=answer.status)
    if error is None:
        telling.note(outcome="delivered")
        return
    telling.note(outcome="not_delivered", fault=error.fault)
    telling.failed(error.__cause__ or error)
