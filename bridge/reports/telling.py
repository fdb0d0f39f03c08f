"""Before something is told: is the reason still there? After it failed: when again?"""

from datetime import datetime, timedelta

from bridge.reports.clocks import ClockState, Obligation
from bridge.reports.report import Purpose, Report
from bridge.reports.states import Status

#: Seconds from each failed attempt to the next (Standard Webhooks 1.0.0: ten tries in 75 h 35 min 5 s).
RETRY_AFTER_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
#: At most this share is added to a wait, so that a recovered receiver is not hit by all at once.
JITTER = 0.1
#: A receiver's own Retry-After is honoured up to here, in seconds.
LONGEST_WAIT_S = 86_400


def reason_gone(
    *, purpose: str, event: str, cycle: int, recipient: str, report: Report, obligation: Obligation | None
) -> str | None:
    """Return why a notice need not be sent any more, or None when it must be.

    The city is told everything: it decides by `sequence`. A notice about a clock lapses with that clock.
    """
    if purpose == Purpose.CALLBACK:
        return None
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
    failed_attempts: int, *, now: datetime, chance: float, retry_after_s: float | None = None
) -> datetime | None:
    """Return when to try again after `failed_attempts` failures, or None to give up.

    Args:
        chance: Anything from 0 to 1, drawn by the caller: how much of the jitter is added.
        retry_after_s: What the receiver asked for, in seconds; honoured when it is longer than our own wait.
    """
    if failed_attempts > len(RETRY_AFTER_S):
        return None
    wait_s = RETRY_AFTER_S[failed_attempts - 1] * (1 + JITTER * chance)
    if retry_after_s is not None:
        wait_s = max(wait_s, min(retry_after_s, LONGEST_WAIT_S))
    return now + timedelta(seconds=wait_s)
