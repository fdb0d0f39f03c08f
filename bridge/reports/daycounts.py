"""How working days are counted: whether the day of receipt counts, until which hour, and when on the last day."""

from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
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
    received_on = _received_on(calendar, start, count)
    ahead = days - 1 if _counts_at_once(calendar, received_on, count) and days > 0 else days
    day = calendar.working_day(received_on, ahead)
    return _same_time(calendar, start, day) if count.same_time else calendar.spans_on(day)[-1][1]


def counting_from(calendar: WorkingCalendar, start: datetime, count: DayCount) -> datetime:
    """Return the instant from which working days count: what stands still before it takes nothing away."""
    received_on = _received_on(calendar, start, count)
    if _counts_at_once(calendar, received_on, count):
        return start
    midnight = calendar.instant(received_on + timedelta(days=1), 0)
    # The night shift of a day that does not count goes on after its midnight.
    return max([midnight, *(closes for _, closes in calendar.spans_on(received_on))])


def _counts_at_once(calendar: WorkingCalendar, received_on: date, count: DayCount) -> bool:
    return count.from_same_day and bool(calendar.spans_on(received_on))


def _received_on(calendar: WorkingCalendar, start: datetime, count: DayCount) -> date:
    """Return the local date that counts as that of receipt: the date on the wall, also within a night shift."""
    local = calendar.local(start)
    if count.cut_off is None:
        return local.date()
    in_time = local.hour * 60 + local.minute < count.cut_off and calendar.spans_on(local.date())
    return local.date() if in_time else calendar.working_day(local.date(), 1)


def _same_time(calendar: WorkingCalendar, start: datetime, day: date) -> datetime:
    local, spans = calendar.local(start), calendar.spans_on(day)
    # The same reading of the clock on the wall, however many hours lie between; a night shift has it after midnight.
    walls = [
        calendar.instant(on, local.hour * 60 + local.minute)
        + timedelta(seconds=local.second, microseconds=local.microsecond)
        for on in (day, day + timedelta(days=1))
    ]
    within = [wall for wall in walls if any(opens <= wall < closes for opens, closes in spans)]
    if within:
        return within[0]
    return next((opens for opens, _ in spans if opens > walls[0]), spans[-1][1])
