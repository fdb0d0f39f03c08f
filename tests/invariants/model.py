"""What the engine ought to do, in small: reports, their clocks and their ladders, without database, log or workers.

Written from the words of contracts.md and escalation.md, it decides by itself what is due when and whom a rung
reaches. Spans of working time it takes from the calendar, which is proved apart.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from bridge.reports.calendars import WorkingCalendar
from bridge.reports.clocks import Kind, Policy, Span, Step, Unit
from bridge.reports.daycounts import FROM_NEXT_DAY, counting_from, due_on

Row = Mapping[str, Any]
OFFICE, OTHER_OFFICE = "bpsk-dki", "dinas"
ON_RECEIPT = (Kind.ACKNOWLEDGE, Kind.TRIAGE)
#: Move -> (where it may start, where it leads to).
MOVES = {
    "acknowledge": (("received",), "acknowledged"),
    "ask_completion": (("acknowledged",), "needs_completion"),
    "resume": (("needs_completion",), "acknowledged"),
    "register": (("acknowledged", "needs_completion"), "registered"),
    "close": (("acknowledged", "needs_completion", "registered"), "closed"),
    "withdraw": (("received", "acknowledged", "needs_completion", "registered"), "closed"),
    "reopen": (("closed",), "received"),
}
STARTS = {
    "ask_completion": (Kind.COMPLETION,),
    "register": (Kind.SUMMONS, Kind.FIRST_HEARING, Kind.DECISION),
    "reopen": ON_RECEIPT,
}


@dataclass
class Rules:
    """The policies and the calendar of the day."""

    policies: Mapping[Kind, Policy]
    calendar: WorkingCalendar


@dataclass
class Clock:
    """One obligation. `fired` counts from its start, `earlier` what its kind had fired in the cycle before that."""

    kind: Kind
    cycle: int
    start: datetime
    rules: Rules
    earlier: int = 0
    fired: int = 0
    level: int = 0
    state: str = "running"
    pauses: list[tuple[datetime, datetime]] = field(default_factory=list)
    paused_at: datetime | None = None
    at_once: datetime | None = None
    sent_up: tuple[int, datetime] | None = None
    stopped_in: str | None = None

    def __post_init__(self) -> None:
        self.policy = self.rules.policies[self.kind]
        self.calendar = self.rules.calendar

    @property
    def due(self) -> datetime | None:
        """When its next step fires; None if it does not."""
        if self.state != "running" or self.fired >= len(self.policy.steps):
            return None
        if self.sent_up and self.fired <= self.sent_up[0]:
            return self.sent_up[1]
        return self.at_once or self._planned(self.fired)

    @property
    def deadline(self) -> datetime:
        """When its span ends."""
        return self._end_of(self.policy.span)

    def _planned(self, step: int) -> datetime:
        return self._end_of(self.policy.steps[step].at)

    def _end_of(self, span: Span) -> datetime:
        if span.unit is Unit.WORKING_DAYS:
            return self._end_of_days(span.amount)
        left, at = float(span.amount), self.start
        for since, until in sorted(self.pauses):
            ran = self._length(at, since, span.unit)
            if left <= ran:
                break
            left, at = left - ran, max(at, until)
        return at + timedelta(seconds=left) if span.unit is Unit.WALL_SECONDS else self.calendar.add(at, left)

    def _end_of_days(self, days: int) -> datetime:
        # The working time it stood still is made up for after the last day; the day of the start does not count.
        end = at = due_on(self.calendar, self.start, days, FROM_NEXT_DAY)
        counted, lost = counting_from(self.calendar, self.start, FROM_NEXT_DAY), 0.0
        stood_until = self.start
        for since, until in sorted(self.pauses):
            since = max(since, stood_until)
            if since >= at:
                break
            if until > since:
                lost += self.calendar.elapsed(max(since, counted), until)
                stood_until, at = until, self.calendar.add(end, lost) if lost else end
        return at

    def _length(self, since: datetime, until: datetime, unit: Unit) -> float:
        if until <= since:
            return 0.0
        return (until - since).total_seconds() if unit is Unit.WALL_SECONDS else self.calendar.elapsed(since, until)

    def pause(self, now: datetime) -> None:
        """Stand still from now."""
        if self.state == "running":
            self.state, self.paused_at = "paused", now

    def resume(self, now: datetime) -> None:
        """Run again from now; a rung that was to be reached at once is planned as usual after a wait."""
        if self.state == "paused" and self.paused_at is not None:
            self.pauses.append((self.paused_at, max(now, self.paused_at)))
            self.state, self.paused_at, self.at_once = "running", None, None

    def next_rung(self) -> int | None:
        """Which step a person may send it up to: the next rung, if it runs and that rung does not close the report."""
        rungs = [n for n, step in enumerate(self.policy.steps) if n >= self.fired and step.level]
        may = self.state == "running" and rungs and self.policy.steps[rungs[0]].deed != "close"
        return rungs[0] if may else None

    def take_calendar(self, calendar: WorkingCalendar) -> None:
        """Be counted in another calendar from its start on."""
        if self.state in ("running", "paused"):
            self.calendar = calendar

    def take_policy(self, today: Policy) -> None:
        """Go up another ladder: what fired stays; then its rungs above what was told, and warnings if none was told."""
        if self.state not in ("running", "paused") or self.policy.version.partition("+")[0] == today.version:
            return
        fired = self.policy.steps[: self.fired]
        again = max((step.again for step in fired if step.level == self.level), default=0)
        rungs = [step for step in today.steps if step.level and (step.level, step.again) > (self.level, again)]
        warned = sum(not step.level for step in fired)
        warnings = [] if self.level else [step for step in today.steps if not step.level][warned:]
        left = [step for step in today.steps if step in rungs or step in warnings]
        steps = (*fired, *left)
        version = today.version if steps == today.steps else f"{today.version}+{self.level}{fired}"
        self.policy = replace(today, steps=steps, version=version)

    def end(self, state: str) -> None:
        """Be met or cancelled, once."""
        if self.state in ("running", "paused"):
            self.state = state

    def going_on(self, now: datetime) -> "Clock":
        """How it would be if it ran on now, whether it waits or not."""
        running = replace(self, pauses=list(self.pauses))
        running.policy, running.calendar = self.policy, self.calendar
        running.resume(now)
        return running

    def take_over(self, other: "Clock", now: datetime) -> None:
        """Go on with the times of a clock whose deadline is earlier; what was told stays told, who waits waits on."""
        told = sum(step.level <= self.level for step in other.policy.steps) if other.policy != self.policy else 0
        self.start, self.pauses, self.at_once = other.start, list(other.pauses), None
        self.policy, self.calendar = other.policy, other.calendar
        self.fired = max(self.fired, told if self.fired else 0)
        self.paused_at = now if self.state == "paused" else None

    def stop_for_a_merge(self) -> None:
        """Be cancelled, if open, so that it can go on."""
        self.stopped_in = self.state if self.state in ("running", "paused") else None
        self.end("cancelled")

    def go_on(self, merged_at: datetime, now: datetime) -> None:
        """Stand where it stood before a merge: what ran has not run between."""
        if self.stopped_in == "running":
            self.pauses.append((merged_at, max(now, merged_at)))
            self.at_once = None
        self.state, self.stopped_in = self.stopped_in or self.state, None


@dataclass
class Report:
    """One report."""

    ticket: str
    assignee: str | None
    status: str = "received"
    outcome: str | None = None
    cycle: int = 1
    cycle_began: datetime | None = None
    tried: set[str] = field(default_factory=set)
    clocks: dict[Kind, Clock] = field(default_factory=dict)
    office: str = OFFICE
    before_merge: str = ""
    merged_at: datetime | None = None

    def start(self, kinds: tuple[Kind, ...], rules: Rules, now: datetime) -> None:
        """Start clocks; one started again in the same cycle counts on."""
        for kind in kinds:
            old = self.clocks.get(kind)
            earlier = old.earlier + old.fired if old and old.cycle == self.cycle else 0
            self.clocks[kind] = Clock(kind, self.cycle, now, rules, earlier)

    def allows(self, move: str) -> bool:
        """Tell whether a move is allowed."""
        return self.status in MOVES[move][0]

    def move(self, move: str, rules: Rules, now: datetime, *, by: str = "", outcome: str | None = None) -> None:
        """Make a move that is allowed; reopening what is merged takes the merge back."""
        if move == "reopen" and self.before_merge:
            self.take_back(now)
            return
        self.status = MOVES[move][1]
        if move == "acknowledge":
            self.clocks[Kind.ACKNOWLEDGE].end("met")
            self.assignee = by or self.assignee
        elif move == "ask_completion":
            for kind in ON_RECEIPT:
                self.clocks[kind].pause(now)
        elif move == "resume":
            self.clocks[Kind.COMPLETION].end("met")
            for kind in ON_RECEIPT:
                self.clocks[kind].resume(now)
        elif move == "reopen":
            self.cycle, self.cycle_began, self.outcome, self.tried = self.cycle + 1, now, None, set()
        else:
            self._further(move, outcome)
        self.start(STARTS.get(move, ()), rules, now)

    def merge_into(self, other: "Report", now: datetime) -> None:
        """Be closed as a duplicate; of two open clocks the earlier deadline survives."""
        for kind, clock in self.clocks.items():
            own = other.clocks.get(kind)
            if own and {own.state, clock.state} <= {"running", "paused"}:
                going_on = clock.going_on(now)
                if going_on.deadline < own.going_on(now).deadline:
                    own.take_over(going_on, now)
            clock.stop_for_a_merge()
        self.before_merge, self.merged_at = self.status, now
        self.status, self.outcome = "closed", "duplicate"

    def take_back(self, now: datetime) -> None:
        """Be what it was before it was merged."""
        assert self.merged_at is not None
        for clock in self.clocks.values():
            clock.go_on(self.merged_at, now)
        self.status, self.outcome, self.before_merge = self.before_merge, None, ""

    def _further(self, move: str, outcome: str | None) -> None:
        met = {"register": (Kind.TRIAGE, Kind.COMPLETION), "close": (Kind.TRIAGE, Kind.DECISION), "withdraw": ()}[move]
        for clock in self.clocks.values():
            if clock.kind in met:
                clock.end("met")
            elif move != "register":
                clock.end("cancelled")
        if move != "register":
            self.outcome = "withdrawn" if move == "withdraw" else outcome


@dataclass
class Office:
    """Everything there is: reports by id, and who is there (person id -> role)."""

    rules: Rules
    present: dict[str, str]
    reports: dict[str, Report] = field(default_factory=dict)

    def copied(self) -> "Office":
        """Return all of it again, as it is now; rules are shared, for they never change."""
        clocks = [clock for report in self.reports.values() for clock in report.clocks.values()]
        shared = [self.rules, *(clock.rules for clock in clocks), *(clock.calendar for clock in clocks)]
        return deepcopy(self, {id(one): one for one in shared})

    def reached(self, to: str, report: Report) -> set[str]:
        """Whom a rung may reach: all of them, or for the next member one of them."""
        kind, _, name = to.partition(":")
        if kind == "role":
            return {person for person, role in self.present.items() if role == name}
        if kind == "next_member":
            return self.officers(report.office) - report.tried - {report.assignee or ""}
        return {report.assignee if kind == "assignee" else name} & self.present.keys() if kind != "citizen" else set()

    def officers(self, office: str) -> set[str]:
        """Who may take over a report of an office; all of them are of one."""
        return {person for person, role in self.present.items() if role == "officer"} if office == OFFICE else set()

    def due(self, now: datetime) -> Iterator[tuple[Report, Clock]]:
        """Every clock that would fire now."""
        for report in self.reports.values():
            yield from ((report, clock) for clock in report.clocks.values() if clock.due and clock.due <= now)

    def fire(self, row: Row, now: datetime) -> None:
        """Go with a line of the log, which must be the one that was to come.

        Raises:
            AssertionError: it was not.
        """
        report = self.reports[row["report_id"]]
        clock = report.clocks[Kind(row["kind"])]
        assert clock.due is not None and clock.due <= now, f"{row['kind']} fired, due {clock.due} at {now}"
        step = clock.policy.steps[clock.fired]
        assert (row["cycle"], row["step"]) == (clock.cycle, clock.earlier + clock.fired + 1)
        assert (row["level"], row["due_at"], row["fired_at"]) == (step.level, clock.due, now)
        assert (row["held_by"], row["target"]) == (report.assignee, step.to)
        clock.fired, clock.at_once, clock.level = clock.fired + 1, None, max(clock.level, step.level)
        if clock.sent_up:
            assert row["remark"] == "hurried"
            if not step.level:
                assert row["told"] == [], "warned of what a person has sent up"
                return
            clock.sent_up = None
        if row["remark"] == "overtaken":
            # Nobody hears that something will be late which is late already.
            assert step.level == 0 and clock.due and clock.due <= now and row["told"] == []
            return
        assert step.level or not clock.due or clock.due > now, "warned of what was late already"
        if step.deed == "close":
            assert (row["did"], row["told"]) == ("close", [])
            report.move("close", self.rules, now, outcome="incomplete")
        else:
            self._reach(report, clock, row, now)

    def _reach(self, report: Report, clock: Clock, row: Row, now: datetime) -> None:
        step = clock.policy.steps[clock.fired - 1]
        self._give_back(clock, step, row["due_at"], now)
        reached, told = self.reached(step.to, report), set(row["told"])
        nobody = not reached and step.to != "citizen"
        assert row["did"] == ("no_target" if nobody else step.deed)
        if step.to == "next_member":
            assert len(told) == min(1, len(reached)) and told <= reached, f"{told} of {reached}"
        else:
            assert told == reached
        further = clock.policy.steps[clock.fired :]
        if nobody and step.level and further and further[0].deed != "close":
            clock.at_once = now

    def _give_back(self, clock: Clock, step: Step, since: datetime, now: datetime) -> None:
        # A citizen who was told late what they must do has the time between, before the report is closed.
        closes = any(later.deed == "close" for later in clock.policy.steps[clock.fired :])
        if step.to == "citizen" and closes and now > since + timedelta(minutes=1):
            clock.pauses.append((since, now))

    def hand_over(self, report: Report, heir: str | None) -> None:
        """Let a report change hands."""
        if heir != report.assignee:
            report.tried |= {report.assignee} if report.assignee else set()
            report.assignee = heir
