"""From `calendars/*.toml` and the holidays library to a WorkingCalendar, named by a hash of its content."""

import hashlib
import json
import re
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import holidays

from bridge.reports.calendars import Hours, Period, WorkingCalendar
from bridge.reports.zones import Offsets

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: Nobody plans before or after these; the calendar of Python ends in both directions.
FIRST_YEAR, LAST_YEAR = 1900, 2200
#: Between these a calendar knows how its zone's clocks are set: from before the first report to beyond any deadline.
_CLOCKS_FROM, _CLOCKS_TO = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
#: No clocks have been set twice within so short a time.
_LOOKED_AT_EVERY = timedelta(days=7)
#: The zones of Indonesia, seconds ahead of UTC since 1988. What is as usual is left out of a definition, so that the
#: versions from before offsets were part of it stay what they were.
_USUAL_S = {"Asia/Jakarta": 25_200, "Asia/Pontianak": 25_200, "Asia/Makassar": 28_800, "Asia/Jayapura": 32_400}
_DAY = 1440
_STRETCH = re.compile(r"([0-9]{1,2}):([0-5][0-9])-([0-9]{1,2}):([0-5][0-9])")


class BadHours(ValueError):
    """Opening hours that cannot be read."""


class NotInTheLibrary(ValueError):
    """Days off are asked for that the library does not list for this country."""

    def __init__(self, country: str, missing: list[str]) -> None:
        what, remedy = "public holidays", "leave holidays out, and write overrides"
        if missing == ["government"]:
            what, remedy = "joint leave", "write joint_leave = false, and overrides for it"
        super().__init__(f"the library knows no {what} of {country}; {remedy}")


def build_calendar(name: str, content: Mapping[str, Any]) -> WorkingCalendar:
    """Return the calendar a checked file describes: days off as confirmed, else the library's, our overrides above.

    A working day of its own hours is a period of that one day, before all others.

    Raises:
        BadHours: a stretch of hours is not `07:30-12:00`, or they overlap.
        NoWorkingTime: no hours at all.
        NotInTheLibrary: the library lists no such days off for this country.
        NotImplementedError: it does not know the country.
    """
    week = _week(content["hours"])
    days_off = {day: why for year in holiday_years(content) for day, why in year.in_force.items()}
    for override in content["override"]:
        if override["off"]:
            days_off[override["date"]] = override["source"]
        else:
            days_off.pop(override["date"], None)
    worked = [
        Period(override["date"], override["date"], _same_all_week(override["hours"]), override["source"])
        for override in content["override"]
        if override.get("hours")
    ]
    periods = (
        *worked,
        *(Period(one["first"], one["last"], _week(one["hours"]), one["name"]) for one in content["period"]),
    )
    unnamed = WorkingCalendar(name, "", content["zone"], week, days_off, periods, offsets_of(content["zone"]))
    return calendar_from(name, definition_of(unnamed))


def definition_of(calendar: WorkingCalendar) -> dict[str, Any]:
    """Return the calendar as plain JSON values, for the store of versions."""
    unusual = calendar.offsets and calendar.offsets != _usual(calendar.zone)
    offsets = [(since.isoformat(), ahead_s) for since, ahead_s in calendar.offsets]
    return {
        **({"offsets": offsets} if unusual else {}),
        "zone": calendar.zone,
        "week": calendar.week,
        "days_off": {day.isoformat(): why for day, why in sorted(calendar.days_off.items())},
        "periods": [
            {"first": p.first_on.isoformat(), "last": p.last_on.isoformat(), "week": p.week, "name": p.name}
            for p in calendar.periods
        ],
    }


def calendar_from(name: str, definition: Mapping[str, Any], version: str = "") -> WorkingCalendar:
    """Read what `definition_of` gave; without a version, name it by its content."""
    return WorkingCalendar(
        name=name,
        version=version or version_of(name, definition),
        zone=definition["zone"],
        week=_tuples(definition["week"]),
        days_off={date.fromisoformat(day): why for day, why in definition["days_off"].items()},
        periods=tuple(
            Period(date.fromisoformat(p["first"]), date.fromisoformat(p["last"]), _tuples(p["week"]), p["name"])
            for p in definition["periods"]
        ),
        offsets=_offsets_in(definition) or _usual(definition["zone"]),
    )


def offsets_of(zone: str) -> Offsets:
    """Return how the clocks of an IANA zone are set from 2020 to 2100, as this machine's time zone database has it."""
    return _read(ZoneInfo(zone))


@lru_cache(32)
def _read(zone: ZoneInfo) -> Offsets:
    found = [(_CLOCKS_FROM, _ahead_s(zone, _CLOCKS_FROM))]
    for number in range(1, (_CLOCKS_TO - _CLOCKS_FROM) // _LOOKED_AT_EVERY + 1):
        at = _CLOCKS_FROM + number * _LOOKED_AT_EVERY
        if (ahead_s := _ahead_s(zone, at)) != found[-1][1]:
            found.append((_set_at(zone, at, ahead_s), ahead_s))
    return tuple(found)


def _set_at(zone: ZoneInfo, after: datetime, ahead_s: int) -> datetime:
    """Return the second at which the clocks were set to what they show at `after`."""
    before = after - _LOOKED_AT_EVERY
    seconds = range(round(_LOOKED_AT_EVERY.total_seconds()))
    is_set = bisect_left(seconds, 1, key=lambda s: int(_ahead_s(zone, before + timedelta(seconds=s)) == ahead_s))
    return before + timedelta(seconds=is_set)


def _ahead_s(zone: ZoneInfo, at: datetime) -> int:
    ahead = at.astimezone(zone).utcoffset()
    assert ahead is not None  # noqa: S101 - every zone of the database has one
    return round(ahead.total_seconds())


def _usual(zone: str) -> Offsets:
    return ((_CLOCKS_FROM, _USUAL_S[zone]),) if zone in _USUAL_S else ()


def _offsets_in(definition: Mapping[str, Any]) -> Offsets:
    return tuple((datetime.fromisoformat(since), ahead_s) for since, ahead_s in definition.get("offsets", ()))


def version_of(name: str, definition: Mapping[str, Any]) -> str:
    """Return `<name>@<ten hex digits>` of the content: the same content has the same name everywhere."""
    content = json.dumps(definition, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"{name}@{hashlib.sha256(content.encode()).hexdigest()[:10]}"


def stretch(text: str) -> tuple[int, int]:
    """Return the minutes after midnight at which a stretch like `07:30-12:00` starts and ends.

    One over midnight ends after 24:00: `22:00-30:00` is from ten in the evening to six the next morning.

    Raises:
        BadHours: says what would be right.
    """
    found = _STRETCH.fullmatch(text)
    if not found:
        raise BadHours(f"{text!r} is not a stretch of hours like '07:30-12:00'")
    start, end = int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])
    if not start < end <= 2 * _DAY or start >= _DAY:
        raise BadHours(f"{text!r} must start before it ends; over midnight write for example '22:00-30:00'")
    return start, end


@dataclass(frozen=True)
class HolidayYear:
    """The days off of one year: as a person confirmed them from a decree, and as the library proposes them.

    Both by date with their names; days on which the calendar does not count joint leave are in neither. `source` is the
    decree, and empty while nobody has confirmed the year.
    """

    year: int
    source: str
    confirmed: Mapping[date, str]
    proposed: Mapping[date, str]

    @property
    def in_force(self) -> Mapping[date, str]:
        """Return the days off: an upgrade of the library changes none of a confirmed year."""
        return self.confirmed if self.source else self.proposed

    @property
    def differing(self) -> list[date]:
        """Return the dates only one of the two has, in order; names do not matter."""
        return sorted(self.confirmed.keys() ^ self.proposed.keys()) if self.source else []


def holiday_years(content: Mapping[str, Any]) -> list[HolidayYear]:
    """Return the years a checked file speaks of, in order.

    Raises:
        NotInTheLibrary: the library lists no such days off for this country.
        NotImplementedError: it does not know the country.
    """
    kinds = ("public", "joint_leave") if content["joint_leave"] else ("public",)
    proposed = _proposed(content)
    confirmed = {block["year"]: block for block in content.get("confirmed", ())}
    found = []
    for year in sorted({*confirmed, *(day.year for day in proposed)}):
        block = confirmed.get(year, {"source": ""})
        days = {date.fromisoformat(day): why for kind in kinds for day, why in block.get(kind, {}).items()}
        ours = {day: why for day, why in sorted(proposed.items()) if day.year == year}
        found.append(HolidayYear(year, block["source"], dict(sorted(days.items())), ours))
    return found


def joint_leave_in(content: Mapping[str, Any]) -> frozenset[date]:
    """Return the days off that the library knows for joint leave (cuti bersama) only, whether they count or not."""
    try:
        whole = _proposed({**content, "joint_leave": True})
    except NotInTheLibrary:
        return frozenset()
    return frozenset(whole.keys() - _proposed({**content, "joint_leave": False}).keys())


def _proposed(content: Mapping[str, Any]) -> dict[date, str]:
    if not content["holidays"]:
        return {}
    # Without `government` the library leaves joint leave (cuti bersama) out: up to 11 days a year.
    categories = ("public", "government") if content["joint_leave"] else ("public",)
    supported = holidays.country_holidays(content["holidays"]).supported_categories
    missing = [category for category in categories if category not in supported]
    if missing:
        raise NotInTheLibrary(content["holidays"], missing)
    first, last = content["years"]
    days = holidays.country_holidays(
        content["holidays"], years=range(first, last + 1), categories=categories, language="id"
    )
    return dict(days.items())


def _same_all_week(texts: list[str]) -> tuple[Hours, ...]:
    return _week(dict.fromkeys(DAYS, texts))


def _week(hours: Mapping[str, list[str]]) -> tuple[Hours, ...]:
    week = [tuple(stretch(text) for text in hours.get(day, [])) for day in DAYS]
    for place, today in enumerate(week):
        # What runs over midnight ends on the next day: Sunday's on Monday.
        yesterday = [(start - _DAY, end - _DAY) for start, end in week[place - 1]]
        if any(before[1] > after[0] for before, after in pairwise([*yesterday[-1:], *today])):
            texts = ", ".join(hours.get(DAYS[place], []))
            raise BadHours(f"{DAYS[place]}: stretches overlap or are out of order: {texts}")
    return tuple(week)


def _tuples(week: Any) -> tuple[Hours, ...]:
    return tuple(tuple((start, end) for start, end in day) for day in week)
