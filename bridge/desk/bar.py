"""A clock as a bar on its own axis: working time for clocks that count it, so that nights and holidays take no room."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from bridge.reports.clocks import ClockState, Unit
from bridge.reports.explaining import Account, Line, What

#: Marks nearer to each other than this share of the bar stand in two rows.
_NEAR = 6.0
_MOST_DAYS = 45  # more ticks than that are no help to anybody


@dataclass(frozen=True)
class Mark:
    """A step of the ladder on the bar; `at` is its place in percent, `row` 0 or 1."""

    at: float
    level: int
    fired: bool
    row: int


@dataclass(frozen=True)
class Bar:
    """Places in percent of the bar's length, 0 to 100; stretches are (from, length)."""

    deadline: float
    now: float | None  # None once the clock has ended
    used: tuple[float, float]
    over: tuple[float, float]  # what was used beyond the deadline
    paused: tuple[tuple[float, float], ...]
    days: tuple[float, ...]  # where a local day begins
    marks: tuple[Mark, ...]

    @property
    def height(self) -> int:
        """Return its height in pixels: room for as many rows of marks as there are."""
        return 30 + 15 * max((mark.row + 1 for mark in self.marks), default=0)


def bar(account: Account, now: datetime) -> Bar:
    """Return the bar of a clock, from its start to its deadline or last step, whichever is later."""
    owed, due = account.obligation, account.lines[-1].at
    end = max([due, *(line.facts["due_at"] for line in account.steps)])
    place = _axis(account, end)
    pauses = [line for line in account.lines if line.what is What.PAUSE]
    running = owed.state in (ClockState.RUNNING, ClockState.PAUSED)
    until = now if running else owed.ended_at or now
    deadline, used = place(due), place(until)
    stretches = [(place(line.at), place(line.facts["until"] or until)) for line in pauses]
    return Bar(
        deadline=deadline,
        now=used if running else None,
        used=(0.0, min(used, deadline)),
        over=(deadline, max(0.0, used - deadline)),
        paused=tuple((since, over - since) for since, over in stretches if over > since),
        days=tuple(_days(account, end, place)),
        marks=tuple(_marks(account.steps, place)),
    )


def _axis(account: Account, end: datetime) -> Callable[[datetime], float]:
    """Return what gives an instant its place: 0 at the start, 100 at `end`, measured as the clock counts."""
    start, calendar = account.obligation.started_at, account.calendar
    on_the_wall = account.policy.span.unit is Unit.WALL_SECONDS

    def passed(at: datetime) -> float:
        return (at - start).total_seconds() if on_the_wall else calendar.elapsed(start, at)

    whole = passed(end)

    def place(at: datetime) -> float:
        if whole <= 0:
            return 0.0 if at < end else 100.0
        return round(max(0.0, min(100.0, 100 * passed(at) / whole)), 2)

    return place


def _days(account: Account, end: datetime, place: Callable[[datetime], float]) -> Iterator[float]:
    calendar, start = account.calendar, account.obligation.started_at
    first, last = calendar.local(start).date(), calendar.local(end).date()
    if (last - first).days > _MOST_DAYS:
        return
    mornings = [calendar.instant(first + timedelta(days=n), 0) for n in range(1, (last - first).days + 1)]
    for before, here in pairwise([0.0, *map(place, mornings)]):
        if before < here < 100:
            yield here


def _marks(steps: tuple[Line, ...], place: Callable[[datetime], float]) -> Iterator[Mark]:
    before, row = -100.0, 0
    for line in sorted(steps, key=lambda line: (line.facts["due_at"], line.facts["step"])):
        at = place(line.facts["due_at"])
        row = 1 - row if at - before < _NEAR else 0
        before = at
        yield Mark(at, line.facts["level"], line.what is What.FIRED, row)
