"""Working time: when an office is open, and arithmetic on it. All instants in and out are aware, in UTC.

Where the days off come from (law, decree, library) is the configuration's business: here they are given.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo

from bridge.reports.tracks import Track
from bridge.reports.zones import Offsets, agree_until, wall_clock

#: The stretches of work that begin on one local day: minutes after its midnight, start below end, start at most 1440,
#: end at most 2880. A shift over midnight belongs to the day it begins, whatever the next day is.
Hours = tuple[tuple[int, int], ...]

_DAY, _MIDNIGHT = timedelta(days=1), 1440
_LONGEST_SEARCH_DAYS = 3660  # ten years: beyond that a calendar is taken for closed, not slow
_TRACK_DAYS = 64  # laid out at once; twice as many whenever that is not enough
_EVER = datetime.min.replace(tzinfo=UTC)
_LAST_DAY = date.max.toordinal() - 2  # the instants of the very last days have no room in every zone


class NoWorkingTime(ValueError):
    """The calendar has no working time where it was looked for; it is never read as open all day."""


class NaiveDatetime(ValueError):
    """An instant without a time zone was given."""


@dataclass(frozen=True)
class Period:
    """Other hours between two local dates, both included, such as Ramadan."""

    first_on: date
    last_on: date
    week: tuple[Hours, ...]
    name: str = ""


@dataclass(frozen=True)
class WorkingCalendar:
    """When one office works.

    Args:
        week: Hours for Monday to Sunday, 7 entries.
        days_off: Local dates without work, each with its reason, as people should read it.
        zone: IANA name; local rules are applied there, whatever the server's own zone.
        offsets: How that zone's clocks are set. Without them as the time zone database of this machine has it today.
        version: Names exactly this content; a deadline keeps the version it was computed with.

    Raises:
        NoWorkingTime: no hours on any day of the week.
    """

    name: str
    version: str
    zone: str
    week: tuple[Hours, ...]
    days_off: Mapping[date, str] = field(default_factory=dict)
    periods: tuple[Period, ...] = ()
    offsets: Offsets = ()
    _spans: dict[date, tuple[tuple[datetime, datetime], ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _tracks: list[Track] = field(default_factory=list, init=False, repr=False, compare=False)
    _counted: dict[tuple[int, int], date] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.week) != 7 or not any(self.week):
            raise NoWorkingTime(f"calendar {self.name}: no working hours on any day of the week")

    def local(self, at: datetime) -> datetime:
        """Return `at` on the office's own clock."""
        return in_utc(at).astimezone(self._zone)

    def is_open(self, at: datetime) -> bool:
        """Tell whether `at` lies inside working time (its end instant excluded)."""
        return self.worked_on(at) is not None

    def worked_on(self, at: datetime) -> date | None:
        """Return the day whose working time `at` lies in: at night perhaps that of yesterday's shift. None: in none."""
        today = self.local(at).date()
        for day in (today, today - _DAY):
            if any(start <= at < end for start, end in self.spans_on(day)):
                return day
        return None

    def spans_on(self, day: date) -> tuple[tuple[datetime, datetime], ...]:
        """Return the stretches of work that begin on one local date, as pairs of UTC instants.

        Where the shift of the day before goes on into it, this day's work begins when that ends.
        """
        # Pure all the same: the answer depends on the frozen fields only; asking twice should not cost twice.
        if day not in self._spans:
            spans = [self._instants(day, hours) for hours in self._hours_on(day)]
            if spans and (until := self._night_before(day)):
                spans = [(max(opens, until), closes) for opens, closes in spans]
            # Hours that fall whole into a skipped hour are none on that day.
            self._spans[day] = tuple((opens, closes) for opens, closes in spans if opens < closes)
        return self._spans[day]

    def add(self, start: datetime, working_s: float) -> datetime:
        """Return the instant at which `working_s` seconds of working time have passed since `start`.

        With 0 it is `start` itself when open, else the next opening. The end of a working day counts as that
        day's end, not as the next opening.

        Raises:
            NoWorkingTime: not enough working time in the ten years after `start`.
        """
        start, work = in_utc(start), _seconds(working_s)
        # Nearly always it is on the track there is; local days begin within a day of UTC's.
        # The shift of the day before may go on.
        known, earliest = self._known(), start.toordinal() - 2
        if known and known.first <= earliest and (at := known.after(start, work, earliest + 1 + _LONGEST_SEARCH_DAYS)):
            return at
        first = self._day(start)
        for track in self._longer_and_longer(first):
            if at := track.after(start, work, first + _LONGEST_SEARCH_DAYS):
                return at
        raise NoWorkingTime(f"calendar {self.name}: not {working_s:.0f} s of work in ten years after {start}")

    def elapsed(self, start: datetime, end: datetime) -> float:
        """Return the seconds of working time between two instants; 0 when `end` is not after `start`."""
        start, end = in_utc(start), in_utc(end)
        if end <= start:
            return 0.0
        first, last = self._day(start), self._day(end)
        beyond = first + _LONGEST_SEARCH_DAYS
        track = self._track(first - 1, min(last + 1, beyond))
        until = track.worked_by(end) if last < beyond else track.worked_before_day(beyond)
        return (until - track.worked_by(start)).total_seconds()

    def end_of_working_day(self, start: datetime, days: int) -> datetime:
        """Return the end of the `days`-th working day after the local day of `start`.

        The day of receipt is day 0 and never counts, whatever the hour (reference B7: counting starts the day
        after; SK 350/2001 itself does not say). With 0 it is the end of that day, or of the next working day.
        """
        return self.spans_on(self.working_day(self.local(start).date(), days))[-1][1]

    def working_day(self, day: date, days: int) -> date:
        """Return the `days`-th working day after a local date; with 0 that date, or the next one with work.

        Raises:
            NoWorkingTime: not so many in ten years.
        """
        first = day.toordinal()
        if found := self._counted.get((first, days)):
            return found
        for track in self._longer_and_longer(first):
            if ordinal := track.working_day(first, days, first + _LONGEST_SEARCH_DAYS):
                # Asked for by every report of a day.
                self._counted[first, days] = date.fromordinal(ordinal)
                return self._counted[first, days]
        raise NoWorkingTime(f"calendar {self.name}: not {days} working days in ten years after {day}")

    def days_off_between(self, start: datetime, end: datetime) -> list[tuple[date, str]]:
        """Return the named days off from the local day of `start` to that of `end`, in order."""
        first, last = self.local(start).date(), self.local(end).date()
        return sorted((day, why) for day, why in self.days_off.items() if first <= day <= last)

    def same_until(self, other: "WorkingCalendar") -> datetime | None:
        """Return the instant from which the two may differ; None when they never do."""
        changed = set(self.periods) ^ set(other.periods)
        kept, kept_there = ([p for p in one.periods if p not in changed] for one in (self, other))
        if (self.week, kept) != (other.week, kept_there):
            return _EVER
        days = {period.first_on for period in changed} | (self.days_off.keys() ^ other.days_off.keys())
        parts = [self.instant(min(days), 0)] if days else []
        return min((*parts, *self._clocks_part(other)), default=None)

    def _clocks_part(self, other: "WorkingCalendar") -> Iterator[datetime]:
        """Yield until when the clocks on both walls show the same, unless they always do."""
        if not self.offsets or not other.offsets:
            if (self.zone, self.offsets) != (other.zone, other.offsets):
                yield _EVER
        elif until := agree_until(self.offsets, other.offsets):
            yield until

    @cached_property
    def _zone(self) -> tzinfo:
        return wall_clock(self.offsets) if self.offsets else ZoneInfo(self.zone)

    def _day(self, at: datetime) -> int:
        return self.local(at).toordinal()

    def _longer_and_longer(self, first: int) -> Iterator[Track]:
        end = first + 1
        while end <= min(first + _LONGEST_SEARCH_DAYS, _LAST_DAY):
            track = self._track(first - 1, end)
            yield track
            end = track.end + 1

    def _known(self) -> Track | None:
        return self._tracks[0] if self._tracks else None

    def _track(self, first: int, end: int) -> Track:
        """Return a track over at least the days from `first` to before `end`."""
        known, first = self._known(), max(1, first)
        if known and known.first <= first and end <= known.end:
            return known
        if known:
            first, end = min(first, known.first), max(end, known.end)
        first = max(1, first - _TRACK_DAYS) if not known or first < known.first else first
        end = min(end + max(_TRACK_DAYS, end - first), _LAST_DAY)
        # Replaced as a whole: who has the shorter one goes on with it.
        self._tracks[:] = [track := Track(self.spans_on, first, end)]
        return track

    def _night_before(self, day: date) -> datetime | None:
        """Return until when the shift of the day before goes on into this one, if it does."""
        before = day - _DAY
        ends = [end for _, end in self._hours_on(before) if end > _MIDNIGHT] if day > date.min else []
        return self.instant(before, max(ends)) if ends else None

    def _hours_on(self, day: date) -> Hours:
        if day in self.days_off:
            return ()
        for period in self.periods:
            if period.first_on <= day <= period.last_on:
                return period.week[day.weekday()]
        return self.week[day.weekday()]

    def _instants(self, day: date, hours: tuple[int, int]) -> tuple[datetime, datetime]:
        return self.instant(day, hours[0]), self.instant(day, hours[1])

    def instant(self, day: date, minutes: int) -> datetime:
        """Return the first instant at which the local clock shows that time, or has passed it where it is skipped."""
        zone = self._zone
        wall = datetime.combine(day, time()) + timedelta(minutes=minutes)
        while (at := wall.replace(tzinfo=zone).astimezone(UTC)).astimezone(zone).replace(tzinfo=None) != wall:
            wall += timedelta(minutes=1)
        return at


@lru_cache(1000)  # spans are few, and making one is a fifth of finding its end
def _seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def in_utc(at: datetime) -> datetime:
    """Return an aware instant in UTC: arithmetic within any other zone goes by its wall clock, and that changes.

    Raises:
        NaiveDatetime: it has no zone.
    """
    if at.tzinfo is None:
        raise NaiveDatetime(f"{at} has no time zone")
    return at if at.tzinfo is UTC else at.astimezone(UTC)
