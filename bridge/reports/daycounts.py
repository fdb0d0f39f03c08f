"""How working days are counted: whether the day of receipt counts, until which hour, and when on the last day."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from bridge.reports.calendars import WorkingCalendar


@dataclass(frozen=True)
class DayCount:
    """The rules of one clock for spans of working days; each statute and each promise has its own.

    Args:
        from_same_day: The day of receipt is day 1, if it is a working day; else it is day 0 and never counts.
        cut_off: Minutes after local midnight; what comes in then or later, or on a day without work, counts as
            received on the next working day. None: the hour does not matter.
        same_time: Due at the hour it was received, moved into that day's working time; else at the day's end.
    """

    from_same_day: bool = False
    cut_off: int | None = None
    same_time: bool = False

    def definition(self) -> dict[str, Any]:
        """Return the rules as plain JSON values."""
        return asdict(self)


#: Counting starts the day after (reference B7; SK 350/2001 itself does not say) and runs to the end of the last day.
FROM_NEXT_DAY = DayCount()


def due_on(calendar: WorkingCalendar, start: datetime, days: int, count: DayCount) -> datetime:
    """Return when `days` working days from `start` are over, UTC.

    Raises:
        NoWorkingTime: not so many working days in the ten years after `start`.
    """
    start_day = _received(calendar, start, count)
    ahead = days - 1 if _counts_at_once(calendar, start_day, count) and days > 0 else days
    end = calendar.end_of_working_day(start_day, ahead)
    return _same_time(calendar, start, end) if count.same_time else end


def counting_from(calendar: WorkingCalendar, start: datetime, count: DayCount) -> datetime:
    """Return the instant from which working days count: what stands still before it takes nothing away."""
    start_day = _received(calendar, start, count)
    if _counts_at_once(calendar, start_day, count):
        return start
    return calendar.instant(calendar.local(start_day).date() + timedelta(days=1), 0)


def _counts_at_once(calendar: WorkingCalendar, start_day: datetime, count: DayCount) -> bool:
    return count.from_same_day and bool(calendar.spans_on(calendar.local(start_day).date()))


def _received(calendar: WorkingCalendar, start: datetime, count: DayCount) -> datetime:
    if count.cut_off is None:
        return start
    local = calendar.local(start)
    in_time = local.hour * 60 + local.minute < count.cut_off and calendar.spans_on(local.date())
    return start if in_time else _last_instant(calendar.end_of_working_day(start, 1))


def _same_time(calendar: WorkingCalendar, start: datetime, end: datetime) -> datetime:
    local, day = calendar.local(start), calendar.local(_last_instant(end)).date()
    # The same reading of the clock on the wall, however many hours lie between.
    wall = calendar.instant(day, local.hour * 60 + local.minute) + timedelta(
        seconds=local.second, microseconds=local.microsecond
    )
    return min(calendar.add(wall, 0), end)


def _last_instant(end: datetime) -> datetime:
    """Return the last instant before an end of work, which may be midnight and so on the next date."""
    return end - timedelta(microseconds=1)
