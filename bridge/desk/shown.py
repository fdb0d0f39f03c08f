"""Rows as pages show them: the clock that counts, in working time, and who is behind an id."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.reports.clocks import ClockState, Obligation
from bridge.reports.rulebook import Rulebook
from bridge.reports.states import Outcome, Status, words_for


@dataclass(frozen=True)
class Countdown:
    """The running clock that ends first: seconds of working time left, negative once it is late."""

    kind: str
    deadline_at: datetime
    left_s: float
    level: int

    @property
    def late(self) -> bool:
        """Tell whether the deadline has passed."""
        return self.left_s < 0


def countdown(owed: list[Obligation], office: str, book: Rulebook, now: datetime) -> Countdown | None:
    """Return the clock the office should look at, or None when none runs."""
    running = [o for o in owed if o.state is ClockState.RUNNING]
    if not running:
        return None
    soonest = min(running, key=lambda o: o.deadline_at)
    calendar = book.calendar_for(office)
    left_s = calendar.elapsed(now, soonest.deadline_at) - calendar.elapsed(soonest.deadline_at, now)
    if left_s == 0:  # both outside working time: the wall clock says on which side
        left_s = min(0.0, (soonest.deadline_at - now).total_seconds())
    return Countdown(soonest.kind, soonest.deadline_at, left_s, soonest.level)


def shown_report(row: Mapping[str, Any], book: Rulebook, names: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """Return what a list shows of a report."""
    outcome = Outcome(row["outcome"]) if row["outcome"] else None
    return {
        **row,
        "words": words_for(Status(row["status"]), outcome),
        "assignee_name": names.get(row["assignee"] or "", row["assignee"]),
        "countdown": countdown(row["obligations"], row["office"], book, now),
    }
