"""Working time found by walking every minute: slow, obvious, and nothing in common with the code it checks."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from bridge.reports.calendars import Hours, Period, WorkingCalendar

#: A zone and a day to walk from: ordinary ones, and those just before clocks go forward or back.
SCENES = (
    ("Asia/Jakarta", date(2026, 11, 19)),
    ("Asia/Jakarta", date(2028, 2, 27)),
    ("Europe/Amsterdam", date(2026, 3, 26)),
    ("Europe/Amsterdam", date(2026, 10, 22)),
    ("America/New_York", date(2026, 3, 5)),
    ("America/New_York", date(2026, 10, 29)),
    ("Australia/Lord_Howe", date(2026, 10, 1)),  # half an hour of summer time
    ("Australia/Lord_Howe", date(2026, 4, 2)),
    ("America/Santiago", date(2026, 9, 3)),  # changes at midnight: a day without 00.00
    ("America/Santiago", date(2026, 4, 2)),
)
WALKED_DAYS = 8
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Walked:
    """The minutes of some days' shifts, as UTC instants at which they begin, each with the day its shift began.

    `earlier` are those of the shift of the day before, which may go on into the first day.
    """

    calendar: WorkingCalendar
    first_on: date
    worked: tuple[tuple[datetime, date], ...]
    earlier: frozenset[datetime]

    @property
    def minutes(self) -> list[datetime]:
        """The minutes alone."""
        return [minute for minute, _ in self.worked]

    def add(self, start: datetime, minutes: int) -> datetime | None:
        """The instant after so many open minutes, or None beyond what was walked."""
        following = self.minutes[bisect_left(self.minutes, start) :]
        if len(following) < max(1, minutes):
            return None
        return following[minutes - 1] + _MINUTE if minutes else following[0]

    def closings(self, start: datetime) -> list[int]:
        """After how many open minutes the office closes: the numbers at which a mistake by one would show."""
        following = self.minutes[bisect_left(self.minutes, start) :]
        return [count for count, (now, then) in enumerate(pairwise(following), start=1) if then - now > _MINUTE]

    def elapsed(self, start: datetime, end: datetime) -> int:
        """The number of open minutes between two whole minutes."""
        return max(0, bisect_left(self.minutes, end) - bisect_left(self.minutes, start))

    def end_of_working_day(self, start: datetime, days: int) -> datetime | None:
        """The end of the last minute of the `days`-th day on which a shift began, after the date of `start`."""
        received_on = start.astimezone(ZoneInfo(self.calendar.zone)).date()
        closing = {day: minute + _MINUTE for minute, day in self.worked}
        after = [at for day, at in closing.items() if day >= received_on + timedelta(days=days > 0)]
        return after[max(0, days - 1)] if len(after) >= max(1, days) else None


def walk(calendar: WorkingCalendar, first_on: date) -> Walked:
    """Walk the calendar from the local midnight of a day on."""
    days = dict(_days(calendar.zone, first_on))
    before = first_on - timedelta(days=1)
    taken: dict[datetime, date] = {}
    for day in sorted(days)[:-1]:
        tomorrow = [(minute, wall + 1440) for minute, wall in days[day + timedelta(days=1)]]
        for minute in _open_minutes(calendar, day, [*days[day], *tomorrow]):
            # A shift that goes on keeps its minutes: nobody works twice at once.
            taken.setdefault(minute, day)
    worked = tuple((minute, day) for minute, day in taken.items() if day != before)
    return Walked(calendar, first_on, worked, frozenset(minute for minute, day in taken.items() if day == before))


def _open_minutes(calendar: WorkingCalendar, day: date, minutes: list[tuple[datetime, int]]) -> Iterator[datetime]:
    for opens, closes in _hours(calendar, day):
        is_open = False
        for minute, wall in minutes:
            # Once open it stays open until the clock first shows the closing time, even if clocks go back.
            is_open = is_open or wall >= opens
            if wall >= closes:
                break
            if is_open:
                yield minute


def _hours(calendar: WorkingCalendar, day: date) -> Hours:
    if day in calendar.days_off:
        return ()
    weeks = [p.week for p in calendar.periods if p.first_on <= day <= p.last_on] + [calendar.week]
    return weeks[0][day.weekday()]


@cache
def _days(zone: str, first_on: date) -> list[tuple[date, list[tuple[datetime, int]]]]:
    """Each local day with its minutes: when in UTC, and what the clock shows; one day before and one after, too."""
    minute = datetime(first_on.year, first_on.month, first_on.day, tzinfo=UTC) - timedelta(days=2)
    found: dict[date, list[tuple[datetime, int]]] = {}
    for _ in range((WALKED_DAYS + 4) * 1440):
        local = minute.astimezone(ZoneInfo(zone))
        found.setdefault(local.date(), []).append((minute, local.hour * 60 + local.minute))
        minute += _MINUTE
    last_on = first_on + timedelta(days=WALKED_DAYS)
    return [(day, minutes) for day, minutes in found.items() if first_on - timedelta(days=1) <= day <= last_on]


def _stretches(numbers: list[int]) -> Hours:
    ordered = sorted(numbers)
    return tuple(zip(ordered[::2], ordered[1::2], strict=False))


#: The hours of one day: up to three stretches, often none, often round, sometimes the whole day.
_day_hours = st.one_of(
    st.just(()),
    st.just(((0, 1440),)),
    st.just(((540, 720), (720, 1020))),
    st.just(((0, 150), (165, 300))),  # at work in the hour that clocks skip or repeat
    st.just(((1320, 1800),)),  # the night shift
    st.just(((480, 720), (1200, 1560))),  # closes in the hour that clocks skip or repeat
    st.just(((120, 480), (1439, 1441))),
    st.lists(st.integers(0, 1440), max_size=6, unique=True).map(_stretches),
)
#: A week made of few kinds of days, as real ones are.
_weeks = st.builds(
    lambda kinds, days: tuple(kinds[day] for day in days),
    st.tuples(_day_hours, _day_hours, _day_hours),
    st.sampled_from([(0, 1, 2, 0, 1, 2, 0), (0, 0, 0, 0, 1, 2, 2), (0, 1, 0, 1, 0, 1, 2), (0,) * 7]),
).filter(any)


@st.composite
def walked_calendars(draw: st.DrawFn) -> Walked:
    """Random calendars, walked: zones, several stretches a day, days off, sometimes a period with other hours."""
    zone, first_on = draw(st.sampled_from(SCENES))
    days = [first_on + timedelta(days=offset) for offset in range(WALKED_DAYS)]
    days_off = {day: "off" for day in draw(st.sets(st.sampled_from(days), max_size=3))}
    periods: tuple[Period, ...] = ()
    if draw(st.booleans()):
        begin, end = sorted((draw(st.sampled_from(days)), draw(st.sampled_from(days))))
        periods = (Period(begin, end, draw(_weeks)),)
    calendar = WorkingCalendar("any", "any@1", zone, draw(_weeks), days_off, periods)
    return walk(calendar, first_on)


def instants(walked: Walked, *, whole_minutes: bool = True) -> st.SearchStrategy[datetime]:
    """Instants within the days walked, each written in a zone of its own: that must change no answer (I20)."""
    midnight = datetime.combine(walked.first_on, datetime.min.time(), UTC) + timedelta(days=1)
    seconds = st.integers(0, (WALKED_DAYS - 4) * 86_400)
    at = seconds.map(lambda s: midnight + timedelta(seconds=s - s % 60 if whole_minutes else s))
    zones = st.sampled_from(("UTC", *sorted({zone for zone, _ in SCENES})))
    return st.builds(lambda instant, zone: instant.astimezone(ZoneInfo(zone)), at, zones)
