"""Whether the steps of a clock fall due in the order they are written, also where their units differ.

Steps fire one after the other: one that is due before the step above it in the file waits for that, and comes late.
"""

from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from itertools import pairwise

from bridge.reports.calendars import WorkingCalendar
from bridge.reports.clocks import Policy, Step, due_at, start_clock

_ORDINARY_ON = date(2026, 1, 5)  # a Monday, for calendars without a day off
_FORTNIGHT_DAYS = 14
_WALL_MINUTES = (6 * 60, 20 * 60)
_DAY = timedelta(days=1)


class StepsFall(ValueError):
    """A step of a policy would be due before the one written above it."""

    def __init__(self, before: Step, after: Step, calendar: WorkingCalendar, started: datetime) -> None:
        self.before, self.after = before, after
        when = f"{calendar.local(started):%a %Y-%m-%d %H:%M}"
        super().__init__(
            f"{after.at} comes after {before.at}; steps must rise, and started {when} by calendar {calendar.name} it "
            "is due first"
        )


def check_rising(policy: Policy, calendar: WorkingCalendar) -> None:
    """Compare the due times of steps of different units, for starts at which hours and days part most.

    Raises:
        StepsFall: with the first start at which a step is due before the one above it.
        NoWorkingTime: a step is never due.
    """
    mixed = [(before, after) for before, after in pairwise(policy.steps) if before.at.unit is not after.at.unit]
    for started in _starts(calendar) if mixed else ():
        clock = start_clock("", policy, calendar, cycle=1, now=started)
        for before, after in mixed:
            first, then = (due_at(clock, step.at, calendar, policy.days) for step in (before, after))
            if then < first:
                raise StepsFall(before, after, calendar, started)


def _starts(calendar: WorkingCalendar) -> Iterator[datetime]:
    """Yield instants of the fortnight before the longest closure, and of the first week of every period."""
    closed_on = _longest_closure(calendar)
    yield from _instants(calendar, (closed_on - _FORTNIGHT_DAYS * _DAY + n * _DAY for n in range(_FORTNIGHT_DAYS + 1)))
    for period in calendar.periods:
        yield from _instants(calendar, (period.first_on + n * _DAY for n in range(7)))


def _instants(calendar: WorkingCalendar, days: Iterable[date]) -> Iterator[datetime]:
    """Yield, for each day, before work, after it, the opening and the last minute of each stretch."""
    for day in days:
        yield from (calendar.instant(day, minutes) for minutes in _WALL_MINUTES)
        for opens, closes in calendar.spans_on(day):
            yield opens
            yield closes - timedelta(minutes=1)


def _longest_closure(calendar: WorkingCalendar) -> date:
    """Return the first day of the longest row of days without work around a named day off; the earliest of several."""
    rows = {_closed_from(calendar, day): _closed_until(calendar, day) for day in calendar.days_off}
    return max(rows, key=lambda first: (rows[first] - first, -first.toordinal()), default=_ORDINARY_ON)


def _closed_from(calendar: WorkingCalendar, day: date) -> date:
    while not calendar.spans_on(day - _DAY):
        day -= _DAY
    return day


def _closed_until(calendar: WorkingCalendar, day: date) -> date:
    while not calendar.spans_on(day):
        day += _DAY
    return day
