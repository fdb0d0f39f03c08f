"""A calendar's working time laid out in a row, so that a question is a look-up and not a walk from day to day."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from itertools import accumulate

#: The stretches of work of one local date, as pairs of UTC instants, none of them empty.
Spans = Sequence[tuple[datetime, datetime]]


class Track:
    """The stretches of work from the local day `first` to before the day `end` (ordinals), with running totals.

    Never changed once made: threads may share it.
    """

    def __init__(self, spans_on: Callable[[date], Spans], first: int, end: int) -> None:
        self.first, self.end = first, end
        days = [(day, spans_on(date.fromordinal(day))) for day in range(first, end)]
        self._opens = [opens for _, spans in days for opens, _ in spans]
        self._closes = [closes for _, spans in days for _, closes in spans]
        self._days = [day for day, spans in days for _ in spans]
        lengths = map(lambda opens, closes: closes - opens, self._opens, self._closes)
        self._totals = list(accumulate(lengths))
        self._work_days = [day for day, spans in days if spans]

    def worked_by(self, at: datetime) -> timedelta:
        """Return the working time from the beginning of the track to an instant within it."""
        place = bisect_right(self._opens, at) - 1
        if place < 0:
            return timedelta()
        closes = self._closes[place]
        return self._totals[place] - (closes - at) if at < closes else self._totals[place]

    def worked_before_day(self, day: int) -> timedelta:
        """Return the working time from the beginning of the track to that day's."""
        place = bisect_left(self._days, day) - 1
        return self._totals[place] if place >= 0 else timedelta()

    def after(self, start: datetime, work: timedelta, before_day: int) -> datetime | None:
        """Return when so much work is done after `start`; None if not on this track, or not before that day."""
        until = self.worked_by(start) + work
        # No work at all: the next opening, not the closing behind us, which has the same total.
        place = bisect_left(self._totals, until, bisect_right(self._closes, start))
        if place >= len(self._days) or self._days[place] >= before_day:
            return None
        return self._closes[place] - (self._totals[place] - until)

    def working_day(self, first: int, days: int, before_day: int) -> int | None:
        """Return the `days`-th working day after day `first` (ordinals); with 0 that day or the next with work."""
        here = bisect_right(self._work_days, first) if days else bisect_left(self._work_days, first)
        place = here + max(days, 1) - 1
        if place >= len(self._work_days) or self._work_days[place] >= before_day:
            return None
        return self._work_days[place]
