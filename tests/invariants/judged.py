"""An office with the model beside it, and the judge over both: what every act of the model test works on."""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

from bridge.reports.clocks import Kind
from bridge.reports.moves import Actor
from bridge.storage.database import Database
from consumers.report_back import ReportBack
from consumers.watch_clocks import WatchClocks
from tests.invariants import model
from tests.invariants.checker import Facts, Rows, violations
from tests.invariants.clock import DatabaseClock
from tests.invariants.copies import Copy
from tests.invariants.town import Post, Queue, facts_of, policies, use
from tests.storage.crashes import killed_before
from tests.storage.office import LINKS, PEOPLE, SOURCE, Office, by_mail, id_of
from tests.zones import ZoneDatabase

MOST_REPORTS = 5
WORKERS = 3
ACTORS = {person.person_id: Actor(f"person:{person.person_id}", person) for person in PEOPLE}
#: Which report, and in front of which statement a process dies.
which = st.integers(0, MOST_REPORTS - 1)
statement = st.integers(1, 25)


@dataclass(frozen=True)
class Sent:
    """A webhook of the city about its report of a number: a report, or when its citizen withdrew it."""

    message: dict[str, Any]
    number: int
    withdrawn_at: datetime | None = None


@dataclass(frozen=True)
class Kept:
    """A backup, and how things stood beside it: the model, the tickets, how many webhooks had come, the rows."""

    copy: Copy
    model: model.Office
    tickets: tuple[str, ...]
    handled: int
    facts: Facts


class Judged(RuleBasedStateMachine):
    """The engine on one database; `database` comes from the test."""

    database: Database
    #: What all runs together have seen: proof that they were about something.
    seen: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.zones = DatabaseClock(self.database), ZoneDatabase()
        self.office = Office(self.database)
        self.day, self.calendar = 0, self.office.rules.book.calendar_for("bpsk-dki")
        self.model = model.Office(self._rules(), {p.person_id: p.role for p in PEOPLE})
        self.use()
        self.queue, self.post = Queue(), Post()
        self.tellers: dict[str, Any] = {
            "notice.due": by_mail(self.office, self.post),
            "callback.due": ReportBack(self.database, {SOURCE: self.post}, LINKS),  # type: ignore[dict-item]
        }
        #: What the city has sent and we have taken in, and the backup there is.
        self.handled: list[Sent] = []
        self.kept: Kept | None = None
        self.tickets: list[str] = []
        self.steady, self.back, self.may_fire, self.crashes = True, 0, False, 0
        self.before: Facts | None = None
        self.failed = False
        #: What acts did that nothing else would tell.
        self.did: Counter[str] = Counter()

    def use(self) -> None:
        """Go on with the rules of today."""
        self.model.rules = self._rules()
        use(self.office, self.model.rules.policies, self.calendar)
        self._start_workers()

    def _rules(self) -> model.Rules:
        # The model goes by the zone itself, as it is now; the engine by what it has kept of it.
        by_the_zone = replace(self.calendar, offsets=())
        by_the_zone.local(self.clock.at)
        return model.Rules(policies(self.day), by_the_zone)

    def forget_backup(self) -> None:
        """Throw the backup away, if there is one."""
        if self.kept:
            self.kept.copy.close()
            self.kept = None

    def _start_tellers(self) -> None:
        for teller in self.tellers.values():
            teller._unsent.clear()
            teller._unrecorded.clear()

    def _start_workers(self) -> None:
        self.workers = [WatchClocks(self.database, self.office.rules) for _ in range(WORKERS)]

    @invariant()
    def every_invariant_holds(self) -> None:
        """The rows keep every invariant, and are what the model says."""
        self.failed = True
        facts = facts_of(self.database, steady=self.steady)
        known = {row["id"] for row in self.before.log} if self.before else set()
        fresh = [row for row in facts.log if row["id"] not in known]
        assert self.may_fire or not fresh, f"fired by nobody: {fresh}"
        self._follow(facts, fresh)
        faults = violations(facts, self.before) + _as_modelled(facts, self.model)
        assert not faults, faults
        self.before, self.may_fire, self.failed = facts, False, False

    def _follow(self, facts: Facts, fresh: list[Any]) -> None:
        """Let the model fire what the engine fired, oldest due first."""
        known = {line["id"] for line in self.before.rows["history"]} if self.before else set()
        handed = [h for h in facts.rows["history"] if h["id"] not in known and h["actor"] == "clock"]
        for row in fresh:
            report = self.model.reports[row["report_id"]]
            clock = report.clocks[Kind(row["kind"])]
            self.model.fire(row, self.clock.at)
            changes_hands = row["did"] in ("reassign", "both")
            if changes_hands and (line := _handed_over(handed, row, report)):
                handed.remove(line)
                assert line["data"]["to"] in row["told"], "handed over to somebody who was not told"
                self.model.hand_over(report, line["data"]["to"])
            elif changes_hands:
                assert report.assignee in row["told"], f"{clock.kind}: nobody took over"
        assert handed == [], "handed over without a rung"

    def _report(self, number: int) -> model.Report:
        return self.model.reports[id_of(f"Q-{number % len(self.tickets)}")]

    def _killed(self, at: int, work: Any) -> bool:
        before = facts_of(self.database).rows
        killed = killed_before(self.database, at, work)
        if killed:
            self.crashes += 1
            assert self._facts_kept(before), "a transaction left something behind"
        return killed

    def _facts_kept(self, before: Rows) -> bool:
        # Deliveries are told in transactions of their own; each is judged by the invariants.
        apart = ("deliveries", "delivery_attempts", "outbox", "destinations", "paces")
        now = facts_of(self.database).rows
        return all(now[name] == rows for name, rows in before.items() if name not in apart)


def _handed_over(handed: list[Any], row: Any, report: model.Report) -> Any:
    of_this = (h for h in handed if h["report_id"] == row["report_id"] and h["data"]["level"] == row["level"])
    line = next(of_this, None)
    return line if line and line["data"]["of"] == report.assignee else None


def _as_modelled(facts: Facts, office: model.Office) -> list[str]:
    faults = []
    for report_id, told in office.reports.items():
        live = facts.reports[report_id]
        if any(live[name] != getattr(told, name) for name in ("status", "outcome", "cycle", "assignee")):
            faults.append(f"{told.ticket} is {live}, the model says {told}")
        for kind, clock in told.clocks.items():
            row = facts.clocks[report_id, kind]
            found = (row["cycle"], row["state"], row["step"], row["earlier_steps"], row["next_due"])
            wanted = (clock.cycle, clock.state, clock.fired, clock.earlier, clock.due)
            if found != wanted:
                faults.append(f"{kind} of {told.ticket} is {found}, the model says {wanted}")
    return faults
