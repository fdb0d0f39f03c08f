"""What a file of calendars/ may not say, though each of its parts is right: twice, without effect, not for today."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import combinations
from typing import Any

from bridge.reports.calendars import WorkingCalendar
from config.calendars import holiday_years

#: A decree names the days of one year in the autumn before: so long ahead somebody has time to think of it.
_AHEAD_DAYS = 548  # 18 months
_DAY = timedelta(days=1)


def contradictions(content: Mapping[str, Any], calendar: WorkingCalendar) -> Iterator[str]:
    """Yield what contradicts itself or has no effect in a checked file, a line each, with its place and a remedy."""
    yield from _overridden_twice(content["override"])
    years = [block["year"] for block in content["confirmed"]]
    for number, year in enumerate(years, start=1):
        if year in years[: number - 1]:
            yield f"confirmed[{number}].year: {year} is confirmed already above; keep one"
    yield from _overlapping(content["period"])
    for number, period in enumerate(content["period"], start=1):
        if all(day in calendar.days_off for day in _days(period)):
            yield (
                f"period[{number}] ({period['name']}): no effect, for it has days off only; to work on one of them "
                'write an override of that date: off = false, hours = ["07:30-12:00"]'
            )
    for number, override in enumerate(content["override"], start=1):
        if not override["off"] and not calendar.spans_on(override["date"]):
            yield (
                f"override[{number}].date: {override['date']:%A %Y-%m-%d} has no hours, so off = false has no effect; "
                'give it some: hours = ["07:30-12:00", "13:00-16:00"]'
            )


def without_today(content: Mapping[str, Any], today: date) -> Iterator[str]:
    """Yield that the file knows no holidays of today, if so: every holiday would be a working day."""
    first, last = content["years"]
    confirmed = {block["year"] for block in content["confirmed"]}
    if content["holidays"] and not first <= today.year <= last and today.year not in confirmed:
        yield f"years: [{first}, {last}] leave out {today.year}, so that it would have no holiday at all; widen them"


def ending_soon(content: Mapping[str, Any], today: date) -> Iterator[str]:
    """Yield that the file knows no holidays beyond a day that is near, if so."""
    last = content["years"][1]
    if content["holidays"] and today.year <= last and date(last, 12, 31) < today + _AHEAD_DAYS * _DAY:
        yield f"years: there are no holidays after 31 Dec {last}, and a clock may run into that; widen them"


def unconfirmed(content: Mapping[str, Any], name: str, today: date) -> Iterator[str]:
    """Yield which years from this one on nobody has confirmed, and where the library has come to say otherwise."""
    years = [year for year in holiday_years(content) if year.year >= today.year]
    open_years = ", ".join(str(year.year) for year in years if not year.source)
    if open_years:
        yield (
            f"holidays of {open_years} are what the library proposes, and change with it; when a decree is out, "
            f"confirm its year: bridge calendar propose {name}"
        )
    for year in years if content["holidays"] else ():
        if year.differing:
            days = ", ".join(map(str, year.differing))
            yield (
                f"{year.year} is confirmed ({year.source}), and the library says otherwise of {days}; "
                "look at the decree"
            )


def _overridden_twice(overrides: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for (one, before), (other, after) in combinations(enumerate(overrides, start=1), 2):
        if before["date"] == after["date"]:
            yield f"override[{other}].date: {after['date']} stands in override[{one}] already; keep one of them"


def _overlapping(periods: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for (one, before), (other, after) in combinations(enumerate(periods, start=1), 2):
        both = max(before["first"], after["first"])
        if both <= min(before["last"], after["last"]):
            yield (
                f"period[{other}] ({after['name']}): {both} lies in period[{one}] ({before['name']}) too; end one "
                "before the other begins, or write an override with hours for a single day"
            )


def _days(period: Mapping[str, Any]) -> Iterator[date]:
    return (period["first"] + n * _DAY for n in range((period["last"] - period["first"]).days + 1))
