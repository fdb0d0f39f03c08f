"""Running clocks under a new calendar or policy: which ones are concerned, what moves, and what is written down.

Nothing here happens by itself: a clock keeps the versions it was started with until an operator applies today's.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from bridge.reports import retimed
from bridge.reports.calendars import WorkingCalendar
from bridge.reports.clocks import Deed, Kind, Obligation, Policy, Step, changed, due_at, timed
from bridge.reports.reckoner import Reckoner
from bridge.reports.rulebook import Rulebook

#: Between today's policy and the mark of the steps that fired before it was applied, in the name of a version.
_AFTER = "+"
_NEVER = datetime.max.replace(tzinfo=UTC)


class Standing(NamedTuple):
    """By what a running clock is counted: the office and policy set of its report, its kind, its versions."""

    office: str
    policy_set: str
    kind: Kind
    policy_version: str
    calendar_version: str


class Revised(NamedTuple):
    """A clock under today's rules, and the policy it now keeps.

    `last` is the step of the new ladder that stands where the last fired one did; None when there is none, or when it
    was due at the same instant by the old and the new rules.
    """

    obligation: Obligation
    policy: Policy
    calendar: WorkingCalendar
    last: Step | None = None


class Change(Protocol):
    """Today's calendars, or today's policies, as an operator would apply them to running clocks."""

    @property
    def what(self) -> str:
        """Tell what changes: `calendar` or `policy`."""

    @property
    def book(self) -> Rulebook:
        """Return today's rulebook."""

    def targets(self, standing: Standing) -> tuple[str, str] | None:
        """Return what such a clock would take and in which version, or None when it is not concerned."""

    def revised(self, obligation: Obligation, standing: Standing) -> Revised:
        """Return a clock that is concerned, computed from scratch under what it would take.

        Raises:
            UnknownVersion: the policy or calendar it holds is not loaded.
        """


@dataclass(frozen=True)
class CalendarChange:
    """Running clocks take today's calendar of their office; policies stay. `name`: only this calendar."""

    book: Rulebook
    name: str = ""
    what: str = "calendar"
    _terms: dict[tuple[str, str, str], "_Terms"] = field(default_factory=dict, init=False, repr=False, compare=False)

    def targets(self, standing: Standing) -> tuple[str, str] | None:
        """Return the name and version of the office's calendar; None too for an office that is no more."""
        if standing.office not in self.book.offices:
            return None
        calendar = self.book.calendar_for(standing.office)
        concerned = calendar.version != standing.calendar_version and self.name in ("", calendar.name)
        return (calendar.name, calendar.version) if concerned else None

    def revised(self, obligation: Obligation, standing: Standing) -> Revised:
        """Return the clock with its times in today's calendar."""
        held, today, until = self._terms_of(obligation, standing)
        policy, calendar = today.policy, today.calendar
        if max(obligation.next_due or obligation.deadline_at, obligation.deadline_at) <= until:
            # The calendars part only later: computing afresh could but give the same (I23).
            same = changed(obligation, calendar_version=calendar.version)
            return Revised(same, policy, calendar)
        last = policy.steps[obligation.step - 1] if obligation.step else None
        if last and held.step_due(obligation, obligation.step - 1) <= until:
            last = None  # due then under both
        return Revised(today.timed(obligation), policy, calendar, last)

    def _terms_of(self, obligation: Obligation, standing: Standing) -> "_Terms":
        key = (standing.office, obligation.policy_version, obligation.calendar_version)
        if key not in self._terms:
            policy, held = self.book.frozen(obligation)
            calendar = self.book.calendar_for(standing.office)
            until = calendar.same_until(held) or _NEVER
            self._terms[key] = _Terms(Reckoner(policy, held), Reckoner(policy, calendar), until)
        return self._terms[key]


class _Terms(NamedTuple):
    """A policy under the calendar that is held and under today's; until `until` they are the same."""

    held: Reckoner
    today: Reckoner
    until: datetime


@dataclass(frozen=True)
class PolicyChange:
    """Running clocks take today's policy of their set; calendars stay. `name`: only reports of this set.

    A set that is no more is the set `default`; a kind of clock that is no more keeps its policy.
    """

    book: Rulebook
    name: str = ""
    what: str = "policy"

    def targets(self, standing: Standing) -> tuple[str, str] | None:
        """Return `set/kind` and the version of that policy."""
        today = self.book.policy_for(standing.policy_set, standing.kind)
        if today is None or self.name not in ("", standing.policy_set):
            return None
        applied = standing.policy_version.partition(_AFTER)[0] == today.version
        return None if applied else (f"{standing.policy_set}/{standing.kind}", today.version)

    def revised(self, obligation: Obligation, standing: Standing) -> Revised:
        """Return the clock on today's ladder, above what has fired."""
        held, calendar = self.book.frozen(obligation)
        today = self.book.policy_for(standing.policy_set, standing.kind)
        assert today is not None, "only what targets() named is revised"  # noqa: S101
        policy = continued(obligation, held, today)
        after = timed(changed(obligation, policy_version=policy.version), policy, calendar)
        return Revised(after, policy, calendar, _counterpart(held.steps[: obligation.step], today))


def continued(obligation: Obligation, held: Policy, today: Policy) -> Policy:
    """Return today's policy for a clock some of whose steps have fired: those stay, then today's that are left.

    Left are the rungs above the level reached and the repeats of that level not told yet; warnings only while no rung
    has fired, less as many as have been given. So nothing that fired fires again, the level never falls, steps keep
    their numbers in the log, and a rung that was deleted stops nobody: the ladder goes on with the next one above it.
    Where nothing differs but what is to come it is today's policy itself, else one named after it.
    """
    fired = held.steps[: obligation.step]
    steps = (*fired, *_left(fired, obligation.level, today.steps))
    if steps == today.steps:
        return today
    content = json.dumps([step.definition() for step in fired], sort_keys=True)
    mark = hashlib.sha256(content.encode()).hexdigest()[:10]
    return replace(today, version=f"{today.version}{_AFTER}{obligation.level}.{mark}", steps=steps)


def _left(fired: tuple[Step, ...], level: int, steps: tuple[Step, ...]) -> Iterator[Step]:
    told = (level, max((step.again for step in fired if step.level == level), default=0))
    warnings = sum(step.level == 0 for step in fired)
    for step in steps:
        if step.level > 0 and (step.level, step.again) > told:
            yield step
        elif step.level == 0 and level == 0:
            warnings -= 1
            if warnings < 0:
                yield step


def _counterpart(fired: tuple[Step, ...], today: Policy) -> Step | None:
    if not fired:
        return None
    last = fired[-1]
    if last.level:
        return next((s for s in today.steps if (s.level, s.again) == (last.level, last.again)), None)
    warnings = [step for step in today.steps if step.deed is Deed.WARN]
    given = sum(step.level == 0 for step in fired)
    return warnings[given - 1] if given <= len(warnings) else None


#: Tells when the last fired step of a clock's cycle fired; None when none did.
FiredAt = Callable[[Obligation], datetime | None]


class Moved(NamedTuple):
    """What applying a change does to one clock.

    `overdue`: its deadline, ahead until now, would have passed. `at_once`: its next step falls due with that, or
    fell due meanwhile. `premature_by_s`: its last step fired, and would by the new rules have been due so much later;
    it stays fired.
    """

    before: Obligation
    after: Obligation
    overdue: bool
    at_once: bool
    premature_by_s: float | None

    @property
    def moves(self) -> bool:
        """Tell whether a time changes; otherwise only the versions do."""
        return retimed.moves(self.before, self.after)

    @property
    def event(self) -> str:
        """Return what the history calls it."""
        return retimed.MOVED if self.moves else retimed.RENEWED

    def noted(self, reason: str) -> dict[str, Any]:
        """Return what the history says of it, as plain JSON values."""
        data = retimed.noted(self.before, self.after, reason)
        if self.premature_by_s is not None:
            data["premature_by_s"] = self.premature_by_s
        return data


def move(
    obligation: Obligation,
    standing: Standing,
    change: Change,
    *,
    fired_at: FiredAt,
    now: datetime,
) -> tuple[Moved, Policy]:
    """Return what the change does to a clock that is concerned, and the policy it then keeps.

    Fired steps stay fired. When the next due time changes, `moved_at` says so to whoever fires it.

    Args:
        fired_at: Returns when the last fired step of a clock's cycle fired; asked only if it matters.

    Raises:
        UnknownVersion: the policy or calendar the clock holds is not loaded.
    """
    revised = change.revised(obligation, standing)
    after, before_due = revised.obligation, obligation.next_due
    if (after_due := after.next_due) != before_due:
        vars(after)["moved_at"] = now  # new, and nobody else's yet: one copy less of each
    overdue = after.deadline_at <= now < obligation.deadline_at
    at_once = after_due is not None and after_due <= now and (before_due is None or now < before_due)
    premature_by_s = _premature_by(obligation, revised, change, fired_at) if revised.last else None
    return Moved(obligation, after, overdue, at_once, premature_by_s), revised.policy


def _premature_by(obligation: Obligation, revised: Revised, change: Change, fired_at: FiredAt) -> float | None:
    assert revised.last is not None  # noqa: S101
    held, calendar = change.book.frozen(obligation)
    was = due_at(obligation, held.steps[obligation.step - 1].at, calendar, held.days)
    due = due_at(obligation, revised.last.at, revised.calendar, revised.policy.days)
    if due <= was or (fired := fired_at(obligation)) is None or due <= fired:
        return None
    # A step that came early because nobody stood on the one before is early by that, not by the change.
    return (due - max(was, fired)).total_seconds()


@dataclass
class Counts:
    """What a change does to all it concerns; `reports` and `clocks` move, `same` clocks keep their times."""

    reports: int = 0
    clocks: int = 0
    later: int = 0
    earlier: int = 0
    overdue: int = 0
    at_once: int = 0
    premature: int = 0
    same: int = 0

    def add(self, moves: Iterable[Moved]) -> None:
        """Count the clocks of whole reports."""
        reports = set()
        for one in moves:
            if not one.moves:
                self.same += 1
                continue
            reports.add(one.after.report_id)
            self.clocks += 1
            self.later += one.after.deadline_at > one.before.deadline_at
            self.earlier += one.after.deadline_at < one.before.deadline_at
            self.overdue += one.overdue
            self.at_once += one.at_once
            self.premature += one.premature_by_s is not None
        self.reports += len(reports)

    def include(self, others: "Counts") -> None:
        """Add what was counted elsewhere, of other reports."""
        for name, number in vars(others).items():
            setattr(self, name, getattr(self, name) + number)
