"""Before something is told: is the reason still there? After it failed: when again?"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bridge.reports.channels import RETRY_AFTER_S
from bridge.reports.clocks import ClockState, Obligation
from bridge.reports.report import Delivery, Report
from bridge.reports.states import Status

#: At most this share is added to a wait, so that a recovered receiver is not hit by all at once.
JITTER = 0.1
#: A receiver's own Retry-After is honoured up to here, in seconds.
LONGEST_WAIT_S = 86_400
#: Events whose deliveries' keys end with the person's id.
NAMES_ITS_PERSON = ("new_report", "warning", "escalation")
#: A callback the city refused so often, being there, no longer holds up a newer one about the same report.
REFUSALS_BEFORE_PASSED = 3


def reason_gone(*, event: str, cycle: int, recipient: str, report: Report, obligation: Obligation | None) -> str | None:
    """Return why a notice to `recipient` (of one for a stand-in: whom it is meant for) is not needed any more, or None.

    A notice about a clock lapses with that clock.
    """
    if cycle != report.cycle:
        return "the report was reopened since"
    if event in ("withdrawn", "amended"):
        return None
    if report.status is Status.CLOSED:
        return "the report was closed meanwhile"
    if obligation is not None and obligation.state in (ClockState.MET, ClockState.CANCELLED):
        return f"{obligation.kind}: {obligation.state} meanwhile by {obligation.ended_by}"
    if event in ("new_report", "warning") and report.assignee != recipient:
        return f"the report has moved on to {report.assignee or 'nobody'}"
    return None


def next_attempt_at(
    failed_attempts: int,
    *,
    now: datetime,
    chance: float,
    retry_after_s: float | None = None,
    schedule_s: Sequence[float] = RETRY_AFTER_S,
) -> datetime | None:
    """Return when to try again after `failed_attempts` failures, or None to give up.

    Args:
        schedule_s: Seconds from each failed attempt to the next.
        chance: Anything from 0 to 1, drawn by the caller: how much of the jitter is added.
        retry_after_s: What the receiver asked for, in seconds; honoured when it is longer than our own wait.
    """
    if failed_attempts > len(schedule_s):
        return None
    wait_s = schedule_s[failed_attempts - 1] * (1 + JITTER * chance)
    if retry_after_s is not None:
        wait_s = max(wait_s, min(retry_after_s, LONGEST_WAIT_S))
    return now + timedelta(seconds=wait_s)


def through(delivery: Delivery, channel: str, *, now: datetime) -> Delivery:
    """Return the same notice by another channel: a delivery of its own, so by one channel nobody is told twice."""
    key = _first_key(delivery)
    payload = {**delivery.payload, "via": channel, "key": key}
    return replace(delivery, channel=channel, dedupe_key=f"via/{channel}/{key}", created_at=now, payload=payload)


def in_place_of(delivery: Delivery, stand_in: str, *, now: datetime) -> Delivery:
    """Return the notice for whoever stands in, under the key of their own one: who is told anyway is told once."""
    key, recipient = _first_key(delivery), delivery.recipient
    named = delivery.event in NAMES_ITS_PERSON and key.endswith(f"/{recipient}")
    renamed = key.removesuffix(recipient) + stand_in if named else f"{key}/{stand_in}"
    payload = {name: value for name, value in delivery.payload.items() if name not in ("via", "key")}
    meant_for = delivery.payload.get("for", recipient)
    return replace(
        delivery, recipient=stand_in, dedupe_key=renamed, created_at=now, payload=payload | {"for": meant_for}
    )


def _first_key(delivery: Delivery) -> str:
    return str(delivery.payload.get("key", delivery.dedupe_key))
