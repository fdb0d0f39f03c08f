"""The guard of the clockwork: where firing would do more harm than waiting, the engine holds.

Two signs. The database's clock moved against this machine's uptime: somebody set it. Or so large a share of all
running clocks falls due at once that a wrong calendar, policy or clock is likelier than the truth.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

#: Who holds, when it is not a person: the word before the reason.
CLOCK, SHARE = "clock", "share"
#: An obligation whose step cannot be decided is looked at again after so long, then after twice that, up to the last.
FIRST_BACK_OFF, LAST_BACK_OFF = timedelta(minutes=5), timedelta(hours=1)


@dataclass(frozen=True)
class Limits:
    """What is still plausible."""

    jump_s: float = 120.0  # seconds the two clocks may differ between two looks
    share: float = 0.5  # part of all running obligations that may be due at once; 1 lets everything pass
    least: int = 500  # fewer than so many due at once are never implausible
    pause: timedelta = timedelta(minutes=15)  # how long an implausible share is held, for a person to look


@dataclass(frozen=True)
class Engine:
    """The engine's own row. `held_why` is `who: reason`; it stays after the release until the backlog is through."""

    version: int = 0
    held_since: datetime | None = None
    held_until: datetime | None = None  # None while held: until it is released
    held_why: str | None = None
    ticked_at: datetime | None = None
    audited_at: datetime | None = None
    findings: tuple[Mapping[str, Any], ...] = ()

    def held_by(self, now: datetime) -> str | None:
        """Return who holds the engine at this moment (`clock`, `share`, `cli:<user>`), or None."""
        if self.held_since is None or self.over(now):
            return None
        return (self.held_why or "").partition(": ")[0]

    def over(self, now: datetime) -> bool:
        """Tell whether a hold has come to its end by itself and nobody has noticed yet."""
        return self.held_since is not None and self.held_until is not None and self.held_until <= now

    @property
    def lets_through(self) -> bool:
        """Tell whether a hold has ended and what had gathered is on its way: no second hold for the same."""
        return self.held_since is None and self.held_why is not None


@dataclass(frozen=True)
class Reading:
    """The database's clock, and this machine's uptime in seconds when it was asked and when the answer was there."""

    database_at: datetime
    asked_s: float
    answered_s: float


@dataclass(frozen=True)
class Memory:
    """What a worker remembers from one look to the next: the last reading it trusts, and how it found things last."""

    trusted: Reading | None = None
    jumped: bool = False
    held: bool = False


class Verdict(StrEnum):
    """What a worker does with this tick."""

    FIRE = "fire"
    SET_BACK = "set_back"  # fire: what has fired stands in the log; but say it loudly
    HOLD = "hold"
    WAIT = "wait"
    RELEASE = "release"


def moved_s(before: Reading, after: Reading) -> float:
    """Return how many seconds the database's clock has certainly been set forward (+) or back (−) in between.

    An answer that was long under way explains a difference as large as its delay: that is not counted.
    """
    passed_s = (after.database_at - before.database_at).total_seconds()
    most_s, least_s = after.answered_s - before.asked_s, after.asked_s - before.answered_s
    return passed_s - min(max(passed_s, least_s), most_s)


def judge(memory: Memory, reading: Reading, held_by: str | None, limits: Limits) -> tuple[Memory, Verdict, float]:
    """Return what to remember, what to do, and by how many seconds the clock was set since the last trusted reading.

    What is to be remembered counts only once the hold it speaks of is committed.
    """
    before = memory.trusted or reading
    moved = moved_s(before, reading)
    if held_by is not None:
        if held_by == CLOCK and memory.jumped and abs(moved) <= limits.jump_s:
            return Memory(reading), Verdict.RELEASE, moved
        # A hold that ends by itself must not let a jump through that came while it lasted.
        verdict = Verdict.HOLD if held_by == SHARE and moved > limits.jump_s else Verdict.WAIT
        # While it is held for its clock, no reading is one to trust: who starts meanwhile has seen no jump.
        trusted = memory.trusted if held_by == CLOCK else before
        return Memory(trusted, moved > limits.jump_s, held=True), verdict, moved
    if memory.held and (memory.jumped or moved <= limits.jump_s):
        # Whoever released it has accepted the clock as it is now.
        return Memory(reading), Verdict.FIRE, 0.0
    if moved > limits.jump_s:
        return Memory(before, jumped=True, held=True), Verdict.HOLD, moved
    return Memory(reading), Verdict.SET_BACK if moved < -limits.jump_s else Verdict.FIRE, moved


def implausible(due: int, later: int, limits: Limits) -> bool:
    """Tell whether too many obligations are due at once, given how many fall due later."""
    return due > limits.least and due > limits.share * (due + later)


def enough_later(due: int, limits: Limits) -> int:
    """Return how many later ones make `due` plausible for sure: nobody needs to count further."""
    return int(due * (1 - limits.share) / limits.share) + 1


def back_off(before: timedelta | None) -> timedelta:
    """Return how long to put a step off that could not be decided, given how long it was put off before."""
    return FIRST_BACK_OFF if before is None else min(2 * before, LAST_BACK_OFF)
