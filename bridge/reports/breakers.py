"""A destination that keeps failing is left alone for a while, then asked with one try whether it is back.

Nothing is dropped by it: what waits keeps its place and its tries; notices go to the next channel meanwhile.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

#: So many failures in a row open it.
TRIP_AFTER = 5
#: Seconds it stays open, the first time and each time the one try fails again.
OPEN_S = (30, 60, 120, 300, 600, 900)
#: What a destination may ask for (Retry-After) is kept to up to here, in seconds.
LONGEST_OPEN_S = 3600.0
#: Seconds after which a try without an end counts as died with its process: longer than any try can take.
PROBE_S = 90.0
#: While the one try is under way the others look again so often.
ASK_AGAIN_S = 10.0


class Admission(StrEnum):
    """What may happen to the next thing for this destination."""

    SEND = "send"
    PROBE = "probe"
    WAIT = "wait"


@dataclass(frozen=True)
class Breaker:
    """A destination with trouble; one without has none. `failures` and `trips` are in a row, without a success."""

    destination: str
    failures: int = 0
    trips: int = 0
    open_until: datetime | None = None
    probe_until: datetime | None = None
    failing_since: datetime | None = None
    last_error: str = ""

    def state(self, now: datetime) -> str:
        """Return `closed`, `open` or `half_open`."""
        if self.open_until is None:
            return "closed"
        return "open" if now < self.open_until else "half_open"


def admission(breaker: Breaker | None, now: datetime) -> tuple[Admission, datetime | None]:
    """Return what may happen now, and until when to wait if nothing may."""
    if breaker is None or breaker.open_until is None:
        return Admission.SEND, None
    if now < breaker.open_until:
        return Admission.WAIT, breaker.open_until
    if breaker.probe_until is not None and now < breaker.probe_until:
        return Admission.WAIT, min(breaker.probe_until, now + timedelta(seconds=ASK_AGAIN_S))
    return Admission.PROBE, None


def probing(breaker: Breaker, now: datetime) -> Breaker:
    """Return it with its one try under way: everybody else waits for how it ends."""
    return replace(breaker, probe_until=now + timedelta(seconds=PROBE_S))


def failed(breaker: Breaker, *, now: datetime, error: str, pause_s: float | None = None) -> Breaker:
    """Return it after a failure that was the destination's own.

    Args:
        pause_s: What it asked for itself (429 or 503 with Retry-After), in seconds: opens it at once.
    """
    failures = breaker.failures + 1
    counted = replace(
        breaker,
        failures=failures,
        probe_until=None,
        failing_since=breaker.failing_since or now,
        last_error=error,
    )
    if pause_s is None and failures < TRIP_AFTER:
        return counted
    if breaker.open_until is not None and now < breaker.open_until and pause_s is None:
        # Begun before it opened: says nothing new.
        return counted
    open_s = max(OPEN_S[min(breaker.trips, len(OPEN_S) - 1)], min(pause_s or 0.0, LONGEST_OPEN_S))
    return replace(counted, trips=breaker.trips + 1, open_until=now + timedelta(seconds=open_s))
