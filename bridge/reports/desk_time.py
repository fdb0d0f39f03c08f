"""On whose desk a report lay, for how much working time: without the citizen's waiting, nights and holidays."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

from bridge.reports.calendars import WorkingCalendar
from bridge.reports.report import Event
from bridge.reports.states import Move, Status

#: After these the report waits for the citizen; after the others it is the office's turn again.
_WAITS = frozenset({Move.ASK_COMPLETION})
_GOES_ON = frozenset({Move.RESUME, Move.REGISTER, Move.REOPEN})
_CLOSES = frozenset({Move.CLOSE, Move.WITHDRAW, "merged"})


@dataclass(frozen=True)
class Stay:
    """A stretch of a report's life: on one desk (`person`; None: on nobody's), or waiting for the citizen."""

    since: datetime
    until: datetime
    person: str | None
    office: str
    citizen: bool
    working_s: float


@dataclass(frozen=True)
class _Place:
    """Where the report is: on whose desk of which office, and whether it waits or is closed."""

    person: str | None = None
    office: str = ""
    citizen: bool = False
    closed: bool = False


def stays(
    history: Sequence[Event], calendar_of: Callable[[str], WorkingCalendar], office: str, *, now: datetime
) -> list[Stay]:
    """Return where a report was from its first event until `now`, in order; while it is closed it is nowhere.

    Args:
        history: All of its events, oldest first. One whose `data` has `to` puts it on that person's desk
            (`transferred`: into that office, on the desk of `desk`).
        calendar_of: The calendar of an office by its id.
        office: Where it is if its history names none.
    """
    found: list[Stay] = []
    for since, until, place in _places(history, _Place(office=office), now):
        if place.closed or until <= since:
            continue
        last = found[-1] if found else None
        if last and (last.until, last.person, last.office, last.citizen) == (
            since, place.person, place.office, place.citizen,
        ):  # fmt: skip
            since, found = last.since, found[:-1]
        working_s = calendar_of(place.office).elapsed(since, until)
        found.append(Stay(since, until, place.person, place.office, place.citizen, working_s))
    return found


def by_desk(found: Iterable[Stay]) -> dict[str | None, float]:
    """Return the working seconds on each desk, by person id (None: on nobody's), without waiting for the citizen."""
    total: dict[str | None, float] = {}
    for stay in found:
        if not stay.citizen:
            total[stay.person] = total.get(stay.person, 0.0) + stay.working_s
    return total


def _places(history: Sequence[Event], place: _Place, now: datetime) -> Iterator[tuple[datetime, datetime, _Place]]:
    """Yield (since, until, where) between each two events; a clock set back in between makes no time."""
    places: list[_Place] = []
    moments: list[datetime] = []
    for event in history:
        place = _after(event, place)
        places.append(place)
        moments.append(max(event.at, moments[-1]) if moments else event.at)
    for (since, until), where in zip(pairwise([*moments, now]), places, strict=False):
        yield since, until, where


def _after(event: Event, place: _Place) -> _Place:
    if event.event == "transferred":
        return replace(place, office=event.data["to"], person=event.data["desk"])
    if "to" in event.data:
        place = replace(place, person=event.data["to"])
    if "office" in event.data:
        place = replace(place, office=event.data["office"])
    if event.event == "unmerged":
        return replace(place, citizen=event.data["status"] == Status.NEEDS_COMPLETION, closed=False)
    if event.event in _WAITS:
        return replace(place, citizen=True)
    if event.event in _CLOSES:
        return replace(place, closed=True)  # and nowhere, whoever it waited for
    return replace(place, citizen=False, closed=False) if event.event in _GOES_ON else place
