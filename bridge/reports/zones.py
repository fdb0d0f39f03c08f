"""The clock on an office's wall, as its calendar read it once, whatever a government makes of the zone later."""

from bisect import bisect_right
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from itertools import pairwise

#: Since when (UTC) a zone has been so many seconds ahead of UTC, in order; the first also holds before.
Offsets = tuple[tuple[datetime, int], ...]


def wall_clock(offsets: Offsets) -> tzinfo:
    """Return the clock that is set so; there must be one offset at least."""
    return _SetNowAndThen(offsets) if offsets[1:] else timezone(timedelta(seconds=offsets[0][1]))


def agree_until(some: Offsets, others: Offsets) -> datetime | None:
    """Return the last instant (UTC) of which two clocks surely show the same; None if of all."""
    if some[0][1] != others[0][1]:
        return datetime.min.replace(tzinfo=UTC)
    settings = sorted({at for at, _ in (*some[1:], *others[1:])})
    parts_at = next((at for at in settings if _ahead_s(some, at) != _ahead_s(others, at)), None)
    # What ends at that instant by one clock may end later by the other.
    return parts_at - datetime.resolution if parts_at else None


def _ahead_s(offsets: Offsets, at: datetime) -> int:
    return offsets[bisect_right([since for since, _ in offsets[1:]], at)][1]


class _SetNowAndThen(tzinfo):
    """A clock that is set forward and back; of a doubled time `fold` tells which, as in zoneinfo."""

    def __init__(self, offsets: Offsets) -> None:
        self._ahead = [timedelta(seconds=ahead_s) for _, ahead_s in offsets]
        self._set_at = [at.astimezone(UTC).replace(tzinfo=None) for at, _ in offsets[1:]]
        steps = list(zip(self._set_at, pairwise(self._ahead), strict=True))
        # What the wall shows when the next offset begins, by the first and the second reading of a doubled time.
        self._walls = [at + max(both) for at, both in steps], [at + min(both) for at, both in steps]

    def utcoffset(self, at: datetime | None) -> timedelta:
        """Return how far ahead of UTC the clock is when it shows `at`."""
        assert at is not None  # noqa: S101 - only a time without a date asks so
        return self._ahead[bisect_right(self._walls[at.fold], at.replace(tzinfo=None, fold=0))]

    def fromutc(self, at: datetime) -> datetime:
        """Return what the clock shows at `at`, an instant in UTC that bears this zone."""
        plain = at.replace(tzinfo=None)
        place = bisect_right(self._set_at, plain)
        ahead = self._ahead[place]
        again = place > 0 and plain - self._set_at[place - 1] < self._ahead[place - 1] - ahead
        return (at + ahead).replace(fold=int(again))

    def dst(self, at: datetime | None) -> None:
        """Say that nobody knows which of the offsets is summer."""

    def tzname(self, at: datetime | None) -> str:
        """Return the offset, as the clock has no other name."""
        return timezone(self.utcoffset(at)).tzname(at)
