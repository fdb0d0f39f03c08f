"""When a person wants to be told: quiet hours, digests, what they turned off; and who is told in their place.

What is urgent, an escalation, waits for none of it. No clock waits for any of it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from bridge.reports.channels import Flood
from bridge.reports.people import Person

URGENT = ("escalation",)
#: What a person may turn off; a report given to them and what climbed to them they always hear of.
MAY_TURN_OFF = ("warning", "amended", "withdrawn")
#: A stand-in may be away, too: so many are asked in turn.
_MOST_STAND_INS = 3
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


class Held(StrEnum):
    """Why something waits although its time has come."""

    QUIET = "quiet"
    DIGEST = "digest"
    BURST = "burst"
    BREAKER = "breaker"
    ORDER = "order"


#: What waits for these leaves together, one message for all of a person's.
GATHERED = (Held.QUIET, Held.DIGEST, Held.BURST)


class BadTimes(ValueError):
    """Quiet hours or digest times that cannot be read."""


@dataclass(frozen=True)
class Pace:
    """How many single notices a person got since when."""

    since: datetime
    sent: int


def quiet_hours(text: str) -> tuple[time, time] | None:
    """Return the span of `20:00-06:00` (it may pass midnight), or None of an empty text.

    Raises:
        BadTimes: anything else.
    """
    if not text:
        return None
    begin, dash, end = text.partition("-")
    if not dash or begin == end:
        raise BadTimes(f"{text!r} is no span of the day; write it like 20:00-06:00")
    return _time(begin), _time(end)


def digest_times(text: str) -> list[time]:
    """Return the times of `07:30 13:00`, in order; none of an empty text.

    Raises:
        BadTimes: anything else.
    """
    return sorted({_time(one) for one in text.split()})


def _time(text: str) -> time:
    found = _TIME.fullmatch(text)
    if found is None:
        raise BadTimes(f"{text!r} is no time of day; write it like 07:30")
    return time(int(found[1]), int(found[2]))


def held_until(person: Person, event: str, now: datetime, zone: ZoneInfo) -> tuple[datetime, Held] | None:
    """Return until when (UTC) the person's own wishes hold a notice, and which, or None when it may leave."""
    if event in URGENT:
        return None
    wished = digest_times(person.digest)
    if wished:
        # A digest that falls into quiet hours was chosen so.
        return _next_of(wished, now, zone), Held.DIGEST
    span = quiet_hours(person.quiet)
    if span and _within(span, now.astimezone(zone).time()):
        return _next_of([span[1]], now, zone), Held.QUIET
    return None


def _within(span: tuple[time, time], at: time) -> bool:
    begin, end = span
    return begin <= at < end if begin < end else at >= begin or at < end


def _next_of(times: Sequence[time], now: datetime, zone: ZoneInfo) -> datetime:
    """Return the next instant (UTC) at which a clock in the zone shows one of the times."""
    today = now.astimezone(zone).date()
    days = (today + timedelta(days=offset) for offset in range(3))
    instants = (datetime.combine(day, at, zone).astimezone(UTC) for day in days for at in times)
    return min(instant for instant in instants if instant > now)


def paced(pace: Pace | None, flood: Flood, now: datetime) -> tuple[Pace | None, datetime | None]:
    """Return the pace after one more notice, or until when it gathers with others because there were too many."""
    if not flood.most:
        return pace, None
    if pace is None or now >= pace.since + timedelta(seconds=flood.within_s) or pace.since > now:
        return Pace(now, 1), None
    if pace.sent < flood.most:
        return Pace(pace.since, pace.sent + 1), None
    passed = (now - pace.since).total_seconds() // flood.digest_every_s
    return None, pace.since + timedelta(seconds=(passed + 1) * flood.digest_every_s)


def standing_in(person: Person, people: Mapping[str, Person], now: datetime) -> Person:
    """Return who is told in the person's place: themselves while present, or when nobody who stands in is."""
    asked, seen = person, {person.person_id}
    for _ in range(_MOST_STAND_INS):
        if asked.is_present(now):
            return asked
        following = people.get(asked.stand_in or "")
        if following is None or following.person_id in seen:
            return person
        seen.add(following.person_id)
        asked = following
    return asked if asked.is_present(now) else person
